"""`zemosaic inspect`: the table of frames, for people and programs, and what it leaves behind."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nights import FIELD, Inline, Recorder, assembled, listing, retaken, rewrite, simulated
from star_lists import frame_at, solution_at
from zemosaic.catalogue import load_catalogue
from zemosaic.cli import main
from zemosaic.events import Measured
from zemosaic.frame_report import as_text
from zemosaic.imaging.projection import sky_to_pixel
from zemosaic.ledger import WORKSPACE, FrameRow, Ledger
from zemosaic.messages import Messages
from zemosaic.model import Correction, FrameState, Measurement
from zemosaic.phases.measure import trailed
from zemosaic.quality import FrameQuality, Matching, frame_table, in_words
from zemosaic.simulate import Night, load_truth

# ---- figures


def row(number: int, *, state: FrameState = FrameState.MATCHED, gain: float = 1.0, **measured: object) -> FrameRow:
    shape = (1920, 1080)
    what = {"sky": (900.0,) * 3, "sigma": (60.0,) * 3, "fwhm": 3.4, "elongation": 1.1, "n_stars": 300} | measured
    frame = replace(frame_at(shape=shape), id=number, filter="IRCUT", path=Path(f"{number}.fit"))
    measurement = Measurement(number, Path("m.npz"), clipped=0.0, **what)  # type: ignore[arg-type]
    correction = Correction(number, (gain,) * 3, ((0.0,) * 3,) * 3, (), 1101.0)
    return FrameRow(frame.path, state, "", "", frame, measurement, solution_at(190.0, 30.0, shape=shape), correction)


def table(rows: list[FrameRow], panels: dict[int, int], *, equal_weights: bool = False) -> list[FrameQuality]:
    matching = {i: Matching(panel, 20.0, 100) for i, panel in panels.items()}
    return list(frame_table(rows, matching, load_catalogue(), equal_weights=equal_weights))


def test_what_stands_out_is_said_with_its_figure() -> None:
    rows = [row(k) for k in range(6)]
    rows[1] = row(1, fwhm=6.8)
    rows[2] = row(2, gain=0.5)
    rows[3] = row(3, n_stars=90, sky=(1800.0,) * 3, sigma=(120.0,) * 3)
    rows[4] = row(4, elongation=1.8)
    found = table(rows, dict.fromkeys(range(6), 0))
    assert [dict(each.remarks) for each in found] == [
        {}, {"soft": 2.0}, {"dim": 0.5}, {"few_stars": 0.3, "bright_sky": 2.0, "noisy": 2.0}, {"elongated": 1.8}, {},
    ]  # fmt: skip
    assert [round(each.weight, 3) for each in found] == [1.0, 1.0, 0.25, 0.25, 1.0, 1.0]
    assert [each.expected for each in found] == [300.0] * 6
    assert in_words(found[1].remarks) == "soft 2" and found[4].roundness == pytest.approx(1 / 1.8)
    assert {each.weight for each in table(rows, dict.fromkeys(range(6), 0), equal_weights=True)} == {1.0}


def test_the_weight_counts_per_square_arcsecond() -> None:
    """With pixels twice as large, of the same noise and starlight, a square arcsecond has a quarter of the variance."""
    fine, coarse = row(0), row(1)
    cd = tuple(2 * each for each in coarse.solution.cd)
    coarse = replace(coarse, solution=replace(coarse.solution, cd=cd))
    weights = [each.weight for each in table([fine, fine, coarse], {0: 0, 1: 0})]
    assert weights[2] / weights[0] == pytest.approx(4.0, rel=1e-6)


def test_the_stars_of_a_lonely_frame_are_expected_from_the_catalogue() -> None:
    rich, poor = row(0, n_stars=400), row(1, n_stars=50)
    poor = replace(poor, solution=solution_at(250.0, 40.0, shape=(1920, 1080)))
    stars = [(each.stars, each.expected) for each in table([rich, poor], {0: 0, 1: 1})]
    catalogue, inside = load_catalogue(), []
    for one in (rich, poor):
        near = catalogue.cone(one.solution.ra, one.solution.dec, 1.0)
        x, y = sky_to_pixel(one.solution, near.ra, near.dec)
        inside.append(np.sum((x > 0) & (x < 1080) & (y > 0) & (y < 1920)))
    assert stars[0][1] / stars[1][1] == pytest.approx(inside[0] / inside[1], rel=0.02)
    unplaced = replace(row(2, n_stars=10), solution=None, correction=None, state=FrameState.UNSOLVED)
    (lost,) = [each for each in table([rich, rich, unplaced], {0: 0}) if each.state == "unsolved"]
    assert lost.expected == 205.0 and math.isnan(lost.weight) and lost.panel == -1


def test_panels_of_the_same_number_are_those_of_another_target() -> None:
    rows = [replace(row(k, n_stars=100 if k < 3 else 900), target="M 94" if k < 3 else "M 27") for k in range(6)]
    found = table(rows, dict.fromkeys(range(6), 0))
    assert [each.expected for each in found] == [100.0] * 3 + [900.0] * 3
    assert not any(each.remarks for each in found)


def test_columns_for_what_the_files_differ_in() -> None:
    rows = [row(0), row(1), replace(row(2), state=FrameState.UNSOLVED, target="")]
    head, *lines = as_text(table(rows, {0: 0, 1: 1}), Messages("en")).splitlines()
    assert [name for name in ("target", "filter", "telescope", "panel") if name in head] == ["panel"]
    assert [line[head.index("panel")] for line in lines[:3]] == ["0", "1", "-"]
    assert "panel" not in as_text(table(rows, {0: 0, 1: 0}), Messages("en")).splitlines()[0]


# ---- the command


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Six subs: one trailed, one behind thin cloud, one of nothing."""
    night = simulated(tmp_path_factory.mktemp("inspect"), FIELD)
    usual = load_truth(night.truth).subs[1].transparency
    retaken(night, 0, smear=(11.0, 4.0))
    retaken(night, 1, transparency=0.3 * usual, trail=None)
    rewrite(night.subs[2], np.random.default_rng(1).normal(200, 20, (480, 360)).astype(np.uint16))
    return night


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zemosaic.workers.open_executor", Inline)


@pytest.mark.usefixtures("in_this_process")
def test_inspect_shows_every_file_and_leaves_only_what_was_asked_for(night: Night, tmp_path: Path, capsys) -> None:
    before, files = listing(night.lights.parent), {kind: tmp_path / f"table.{kind}" for kind in ("csv", "json")}
    flags = [f"--{kind}={path}" for kind, path in files.items()]
    assert main(["inspect", str(night.lights), *flags, "--language", "fr"]) == 0
    assert listing(night.lights.parent) == before
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    shown = capsys.readouterr().out
    assert (
        "étoiles/attendues" in shown
        and "4 fichiers sur 6 sont utilisables" in shown
        and "de la lumière habituelle" in shown
    )
    rows = {row["file"]: row for row in json.loads(files["json"].read_text())}
    trailed, dim, empty, good = (rows[str(night.subs[k])] for k in (0, 1, 2, 3))
    assert trailed["state"] == "trailed" and trailed["roundness"] < 0.5 and "times as long" in trailed["reason"]
    assert dim["state"] == "matched" and dim["transparency"] == pytest.approx(0.3 / 0.75, rel=0.4)
    assert dim["remarks"]["dim"] == dim["transparency"] and dim["weight"] < 0.3
    assert empty["state"] in ("too_few_stars", "unsolved") and empty["weight"] is None
    assert good["remarks"] == {} and good["stars"] > 0.7 * good["expected"] and good["catalogue"] > 5
    with files["csv"].open() as file:
        listed = {row["file"]: row for row in csv.DictReader(file)}
    assert listed.keys() == rows.keys()
    assert (
        float(listed[str(night.subs[3])]["fwhm_arcsec"]) == good["fwhm_arcsec"]
        and listed[str(night.subs[2])]["weight"] == ""
    )


@pytest.mark.usefixtures("in_this_process")
def test_a_run_takes_over_what_was_kept(night: Night, tmp_path: Path) -> None:
    assert main(["inspect", str(night.lights), "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {WORKSPACE, "zemosaic_worker.log"}
    recorder = Recorder()
    assembled(night.lights, tmp_path, recorder)
    assert next(o for o in recorder.outcomes if isinstance(o, Measured)).new == 0
    with Ledger(tmp_path) as ledger:  # the same table can be made of what a run keeps
        kept = frame_table(
            ledger.rows(), ledger.get("matching", dict[int, Matching]), load_catalogue(), equal_weights=False
        )
    assert {row.state for row in kept} >= {"used", "trailed"}
    assert all(row.panel == 0 and row.weight > 0 for row in kept if row.state == "used")


def test_nothing_is_written_into_an_input(night: Night, capsys) -> None:
    for flag in ("--csv", "--json", "--output"):
        with pytest.raises(SystemExit) as stop:
            main(["inspect", str(night.lights), flag, str(night.lights / "x.json")])
        assert stop.value.code == 2 and "lies in an input" in capsys.readouterr().err


def test_the_limit_of_trailed_stars_is_told_as_it_was_set() -> None:
    shaken = row(1, elongation=1.4)
    assert shaken.frame is not None and shaken.measurement is not None
    left_out = trailed(shaken.frame, shaken.measurement, 1.25)
    assert left_out is not None and "at most 1.25 is used" in left_out.reason
