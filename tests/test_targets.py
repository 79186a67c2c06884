"""Several targets in one input: which frames belong together, names of folders, and a mosaic of each for real."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from nights import Recorder, all_assembled, assembled, rewrite, rows, same_bits, simulated
from star_lists import frame_at, solution_at
from zemosaic.errors import Cancelled, InputError
from zemosaic.events import (
    Assembled,
    ManyLeftOut,
    RunFinished,
    StrayTarget,
    TargetFailed,
    TargetsFound,
    TargetStarted,
    Unchanged,
)
from zemosaic.imaging.grouping import connected_footprints, unit_vectors
from zemosaic.imaging.projection import angular_separation
from zemosaic.ledger import WORKSPACE, Ledger
from zemosaic.model import FrameState, LeftOut
from zemosaic.mosaics import Mosaics
from zemosaic.report.names import JSON, report_path
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan
from zemosaic.targets import find_targets, folder_name, in_words, is_stray, target_gap, with_unplaced

SIDES = (0.7, 1.2)  # deg


def footprints(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """(n, 4, 3) upright rectangles near the equator, directions of their corners."""
    x, y = (0.5 * side * np.array(sign) for side, sign in zip(SIDES, ([-1, 1, 1, -1], [-1, -1, 1, 1])))
    return unit_vectors(ra[:, None] + x, dec[:, None] + y)


def by_brute_force(ra: np.ndarray, dec: np.ndarray, gap: float) -> list[set[int]]:
    """Parts of rectangles whose sides lie no farther apart than `gap`, near the equator."""
    across = np.maximum(np.abs(ra[:, None] - ra) - SIDES[0], 0)
    along = np.maximum(np.abs(dec[:, None] - dec) - SIDES[1], 0)
    near = np.hypot(across, along) <= gap
    parts: list[set[int]] = []
    free = set(range(len(ra)))
    while free:
        part, new = set(), {min(free)}
        while new:
            part |= new
            new = {int(j) for i in new for j in np.flatnonzero(near[i])} - part
        parts.append(part)
        free -= part
    return parts


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gap", [0.2, 0.5, 2.0])
def test_parts_are_those_of_a_comparison_of_all_pairs(seed: int, gap: float) -> None:
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 22, 60), rng.uniform(-2, 2, 60)
    label = connected_footprints(footprints(ra, dec), gap)
    found = [set(np.flatnonzero(label == k).tolist()) for k in range(label.max() + 1)]
    assert [min(part) for part in found] == sorted(min(part) for part in found)
    for part in by_brute_force(ra, dec, gap - 0.02):  # distances come out up to 0.02 too large
        assert any(part <= whole for whole in found)
    for part in found:
        assert any(part <= whole for whole in by_brute_force(ra, dec, gap))


def test_ten_thousand_frames_of_two_targets_across_the_pole_and_ra_0() -> None:
    rng = np.random.default_rng(1)
    ra = np.concatenate([rng.uniform(0, 360, 5000), rng.normal(0, 1.5, 5000) % 360])
    dec = np.concatenate([rng.uniform(86, 90, 5000), rng.normal(20, 1.5, 5000)])
    x, y = np.array([-0.3, 0.3, 0.3, -0.3]), np.array([-0.6, -0.6, 0.6, 0.6])
    label = connected_footprints(
        unit_vectors(ra[:, None] + x / np.cos(np.radians(dec))[:, None], dec[:, None] + y), 3.0
    )
    assert label.tolist() == [0] * 5000 + [1] * 5000


@pytest.mark.parametrize(
    ("said", "folder"),
    [
        ("M 94", "M 94"),
        ("NGC 6960/6992", "NGC 6960_6992"),
        ("aux", "_aux"),
        ("zemosaic_workspace", "_zemosaic_workspace"),
        ("  Nébuleuse  du Crabe. ", "Nébuleuse du Crabe"),
        ("...", ""),
        ("a" * 300, "a" * 60),
    ],
)
def test_folders_have_names_that_every_system_takes(said: str, folder: str) -> None:
    assert folder_name(said) == folder


def frames_of(*objects: tuple[str, float, int]):
    """Frames (object, RA, number), at Dec 30, and their solutions."""
    shape, frames, solutions = (1920, 1080), [], {}
    for name, ra, number in objects:
        for k in range(number):
            one = replace(frame_at(shape=shape), id=len(frames), target=name, path=Path(f"in/{len(frames)}.fit"))
            frames.append(one)
            solutions[one.id] = solution_at(ra + 0.02 * k, 30.0, shape=shape)
    return frames, solutions


def test_targets_are_named_by_their_object_or_their_place() -> None:
    frames, solutions = frames_of(("M 94", 190.0, 5), ("m 94", 220.0, 3), ("Unknown", 250.0, 4), ("M 27", 300.0, 2))
    found = find_targets(frames, solutions, target_gap(frames, solutions, 0.0))
    assert [t.name for t in found] == ["M 94", "m 94_RA220.0_DEC+30.0", "RA250.0_DEC+30.0", "M 27"]
    assert [len(t.frames) for t in found] == [5, 3, 4, 2]
    words = in_words(found, 2.9)
    assert (
        "4 targets more than 2.9 degrees apart" in words
        and "M 27: 2 frames around RA 300.01 Dec +30.00, in in" in words
    )


def test_a_gap_of_its_own_and_strays() -> None:
    frames, solutions = frames_of(("M 94", 190.0, 40), ("M 94", 194.0, 1))
    assert target_gap(frames, solutions, 0.0) == pytest.approx(2 * math.hypot(0.712, 1.266), rel=0.01)
    (one,) = find_targets(frames, solutions, target_gap(frames, solutions, 0.0))
    assert one.name == ""
    found = find_targets(frames, solutions, target_gap(frames, solutions, 0.5))
    assert [is_stray(t, found) for t in found] == [False, True]


def lost_frames():
    """Two targets of three solved frames and 9 lights in all: what the others say of where they belong."""
    frames, solutions = frames_of(("M 94", 190.0, 3), ("M 27", 300.0, 3))
    frames = [replace(f, path=Path(f"in/{f.target}/{f.id}.fit")) for f in frames]
    nowhere = {"ra": math.nan, "dec": math.nan, "target": "", "path": Path("else/x.fit")}
    for clues in ({"target": "m 27"}, {"path": Path("in/M 94/y.fit")}, {"ra": 301.0, "dec": 30.5},
                  {}, {"target": "M 94", "path": Path("in/M 27/z.fit")}):  # fmt: skip
        frames.append(replace(frames[0], id=len(frames), **(nowhere | clues)))
    return frames, solutions


def test_unsolved_frames_go_where_all_clues_agree() -> None:
    frames, solutions = lost_frames()
    found = find_targets(frames[:6], solutions, 3.0)
    whole = with_unplaced(found, frames, solutions, 3.0)
    assert [(t.name, [f.id for f in t.frames]) for t in whole] == [("M 94", [0, 1, 2, 7]), ("M 27", [3, 4, 5, 6, 8])]
    (one,) = with_unplaced(found[:1], frames, solutions, 3.0)
    assert one.frames == tuple(frames)


def test_losses_of_nobody_are_counted_once_over_all_lights(tmp_path: Path) -> None:
    frames, solutions = lost_frames()
    recorder = Recorder()
    with Ledger(tmp_path) as ledger:
        survey = Mosaics(ledger, Settings(), recorder)
        survey.leave_out(LeftOut(f.path, FrameState.UNSOLVED, "no position") for f in frames[6:])
        survey.warn_of_unplaced(frames, survey.targets(frames, solutions))
        survey.warn_of_unplaced(frames[:9], survey.targets(frames[:9], solutions))  # each says so of its own
    told = [e for e in recorder.events if isinstance(e, ManyLeftOut)]
    assert told == [ManyLeftOut(5, 11, (("unsolved", 5),), "")]


def test_a_target_that_fails_at_assembly_does_not_take_the_others_with_it(tmp_path: Path, monkeypatch) -> None:
    frames, solutions = frames_of(("M 94", 190.0, 3), ("M 27", 300.0, 3))

    class Failing(SimpleNamespace):
        def make(self, folder: Path) -> str:
            if folder.name == "M 94":
                raise InputError("no frame is left")
            return "written"

    monkeypatch.setattr("zemosaic.mosaics.Picture", lambda *_: Failing())
    recorder = Recorder()
    with Ledger(tmp_path) as ledger:
        run = Mosaics(ledger, Settings(), recorder)
        corrections = SimpleNamespace(corrections=solutions)
        monkeypatch.setattr(run, "matched", lambda part, *_: SimpleNamespace(part=part, result=corrections))
        night = SimpleNamespace(measurements={}, solved=SimpleNamespace(solutions=solutions))
        targets = run.targets(frames, solutions)
        assert run.mosaics(targets, night, tmp_path) == ([("M 27", "written")], ["M 94 (no frame is left)"])
        with pytest.raises(InputError, match="no frame is left"):  # there is nothing else to make
            run.mosaics(targets[:1], night, tmp_path)
    assert [e.target.name for e in recorder.events if isinstance(e, TargetFailed)] == ["M 94"]


# ---- for real

PLAN = NightPlan(panels_x=1, panels_y=1, subs=5, width=360, height=480, seed=4, ra=299.9, dec=22.7)
OTHER = replace(PLAN, seed=3, ra=305.0, dec=38.0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights in one folder, each with its object in the headers."""
    folder = tmp_path_factory.mktemp("targets")
    for name, plan in (("M 27", PLAN), ("NGC 6888", OTHER)):
        night = simulated(folder / f"night {name}", plan)
        target = folder / "in" / name
        shutil.copytree(night.lights, target)
        for number, path in enumerate(sorted(target.rglob("*.fit"))):
            fits.setval(path, "OBJECT", value=name)
            path.rename(target / f"{name} {number}.fit")
    return folder / "in"


@pytest.fixture(scope="module")
def both(inputs: Path, tmp_path_factory: pytest.TempPathFactory):
    recorder, output = Recorder(), tmp_path_factory.mktemp("both")
    return all_assembled(inputs, output, recorder), recorder, output


def test_each_target_gets_its_mosaic_in_a_folder_of_its_own(both) -> None:
    outputs, recorder, output = both
    assert [o.mosaic.parent for o in outputs] == [output / "M 27", output / "NGC 6888"]
    for out, plan in zip(outputs, (PLAN, OTHER), strict=True):
        header = fits.getheader(out.mosaic)
        assert angular_separation(header["CRVAL1"], header["CRVAL2"], plan.ra, plan.dec) < 0.5
        assert header["NAXIS1"] < 1000 and out.preview.is_file()
    (seen,) = [e for e in recorder.events if isinstance(e, TargetsFound)]
    assert [(t.name, t.frames) for t in seen.targets] == [("M 27", 5), ("NGC 6888", 5)]
    assert [e.number for e in recorder.events if isinstance(e, TargetStarted)] == [1, 2]
    assert not [e for e in recorder.events if isinstance(e, StrayTarget)]
    (end,) = [e for e in recorder.events if isinstance(e, RunFinished)]
    assert [(m.name, m.used, m.mosaic) for m in end.mosaics] == [
        (n, 5, o.mosaic) for n, o in zip(("M 27", "NGC 6888"), outputs, strict=True)
    ]
    assert Counter((r.target, r.state) for r in rows(output)) == {
        ("M 27", FrameState.USED): 5,
        ("NGC 6888", FrameState.USED): 5,
    }
    assert sorted(p.name for p in (output / WORKSPACE / "mosaic").iterdir()) == ["M 27", "NGC 6888"]


def test_the_mosaic_of_a_target_is_that_of_its_frames_alone(both, inputs: Path, tmp_path: Path) -> None:
    alone = assembled(inputs / "NGC 6888", tmp_path)
    header, same = fits.getheader(alone.mosaic), fits.getheader(both[0][1].mosaic)
    assert alone.mosaic.parent == tmp_path
    assert [
        header[k]
        for k in (
            "NAXIS1",
            "NAXIS2",
        )
    ] == [
        same[k]
        for k in (
            "NAXIS1",
            "NAXIS2",
        )
    ]


def test_again_nothing_is_made_and_a_lost_frame_is_missed_in_its_target_only(
    both, inputs: Path, tmp_path: Path
) -> None:
    outputs, _, output = both
    recorder = Recorder()
    assert all_assembled(inputs, output, recorder) == outputs
    assert recorder.outcomes.count(Unchanged(5)) == 2
    shutil.copytree(inputs, tmp_path / "in")
    (tmp_path / "in" / "M 27" / "M 27 0.fit").unlink()
    blank = tmp_path / "in" / "M 27" / "M 27 1.fit"
    rewrite(blank, np.random.default_rng(0).normal(1500, 20, fits.getdata(blank).shape).astype(np.uint16))
    fewer = Recorder()
    made = all_assembled(tmp_path / "in", tmp_path / "out", fewer, report=True)
    assert {e.name: e.used for e in fewer.events[-1].mosaics} == {"M 27": 3, "NGC 6888": 5}
    headers = {o.mosaic.parent.name: fits.getheader(o.mosaic) for o in made}
    assert {name: (h["NRAWINIT"], h["NRAWPROC"]) for name, h in headers.items()} == {"M 27": (4, 3), "NGC 6888": (5, 5)}
    told = [(e.lost, e.lights, e.mosaic) for e in fewer.events if isinstance(e, ManyLeftOut)]
    assert told == [(1, 4, "M 27")]  # a quarter of its own, a ninth of all
    for o in made:
        table = json.loads(report_path(o.preview, JSON).read_text(encoding="utf-8"))["frames"]
        lost = [Path(row["file"]).name for row in table if row["state"] != "used"]
        assert lost == (["M 27 1.fit"] if o.mosaic.parent.name == "M 27" else [])


def test_stopped_in_the_second_target_it_goes_on_to_the_same_bits(both, inputs: Path, tmp_path: Path) -> None:
    class StopsInTheSecond(Recorder):
        def cancelled(self) -> bool:
            return any(isinstance(e, TargetStarted) and e.number == 2 for e in self.events)

    with pytest.raises(Cancelled):
        all_assembled(inputs, tmp_path, StopsInTheSecond())
    assert (tmp_path / "M 27").is_dir() and not (tmp_path / "NGC 6888").exists()
    recorder = Recorder()
    again = all_assembled(inputs, tmp_path, recorder)
    assert Unchanged(5) in recorder.outcomes
    assert len([o for o in recorder.outcomes if isinstance(o, Assembled)]) == 1
    assert all(same_bits(a, b) for a, b in zip(again, both[0], strict=True))


def test_error_names_the_targets_and_makes_nothing(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"2 targets more than .* degrees apart(.|\n)*M 27: 5 frames(.|\n)*NGC 6888: 5 frames"
    ):
        all_assembled(inputs, tmp_path, targets="error")
    assert not list(tmp_path.rglob("*.fits"))


def test_a_target_that_gives_nothing_does_not_take_the_other_with_it(inputs: Path, tmp_path: Path, monkeypatch) -> None:
    """One is clouded over; the other is made, and the run ends with words about the first."""
    from zemosaic import survey

    match = survey.match

    def clouded(frames, *rest, **more):
        if frames[0].target == "M 27":
            raise InputError("match: every frame was left out as clouded; see the reasons above")
        return match(frames, *rest, **more)

    monkeypatch.setattr(survey, "match", clouded)
    recorder = Recorder()
    with pytest.raises(InputError, match=r"no mosaic of 1 of 2 targets: M 27 \(match: every frame"):
        all_assembled(inputs, tmp_path, recorder)
    assert [e.target.name for e in recorder.events if isinstance(e, TargetFailed)] == ["M 27"]
    assert list((tmp_path / "NGC 6888").glob("*.fits")) and not (tmp_path / "M 27").exists()
