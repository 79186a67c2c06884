"""The whole path on small simulated nights, judged against their truth."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from nights import (
    BRIGHT,
    FIELD,
    Recorder,
    assembled,
    listing,
    pixels,
    retaken,
    rewrite,
    rows,
    same_bits,
    simulated,
)
from tones import assert_fit
from zemosaic.errors import Cancelled, InputError
from zemosaic.events import (
    ManyLeftOut,
    Note,
    PhaseProgress,
    Planned,
    RunFinished,
    SeamsGraded,
    Unchanged,
    Warned,
)
from zemosaic.imaging.demosaic import bilinear
from zemosaic.imaging.projection import angular_separation, pixel_to_sky
from zemosaic.ledger import Ledger
from zemosaic.messages import Messages, sentence
from zemosaic.model import FrameState
from zemosaic.phases.assemble import Finished
from zemosaic.phases.export import Outputs
from zemosaic.picture import ALL_SKIES
from zemosaic.score import Score, score
from zemosaic.score.corrections import judge_corrections
from zemosaic.score.scene import Scene, boxes_of, load_scene
from zemosaic.score.smooth import residual_of
from zemosaic.score.starlight import judge_stars
from zemosaic.seams import SeamReport
from zemosaic.simulate import Night, load_truth

QUALITY = replace(BRIGHT, panels_x=2, panels_y=2, subs=24)
PLACES = np.mgrid[1:6:2, 1:6:2] / 6.0  # middles of nine equal parts of a frame, in its height and width
# Limits of the small night, and why they are not those of a full one
LIMITS = {
    "astrometry, median": 0.1,  # arcsec: a fiftieth of these pixels
    "photometry, 1.48 MAD": 15.0,  # mmag
    "photometry, rms": 15.0,
    "zonal error": 5.0,
    "vignetting, rms": 0.25,  # %
    "FWHM over that of the subs": 1.12,
    # a panel holds 4 x 6 cells of 96 px instead of 11 x 20, and a sixth of the star light that gives the response
    "background, rms": 1.5,  # % of the nebula's 99th percentile
    "step between panels": 0.2,  # sigma of a pixel; an overlap is 84 px wide, of which the taper leaves little
    "satellite trails, on axis": 0.3,  # sigma
    "satellite trails, 3-5 px off": 0.3,
    "hot pixels, on": 0.3,
    "hot pixels, 1-3 px off": 0.3,
    "outliers": 60.0,  # per megapixel; one in a colour is 1
}


@dataclass(frozen=True)
class Run:
    night: Night
    folder: Path
    outputs: Outputs
    recorder: Recorder

    @cached_property
    def score(self) -> Score:
        return score(self.outputs.mosaic, self.night.truth)

    @cached_property
    def scene(self) -> Scene:
        return load_scene(self.outputs.mosaic, self.night.truth)

    @cached_property
    def scale(self) -> tuple[float, ...]:
        """Units of the mosaic per ADU at transparency 1, per channel, from its stars."""
        return judge_stars(self.scene).scale

    def astrometry(self) -> float:
        """arcsec, median over nine places in each sub: solution against truth."""
        truth = {sub.name: sub.solution for sub in self.scene.truth.subs}
        plan, apart = self.scene.truth.plan, []
        y, x = PLACES[0] * (plan.height - 1), PLACES[1] * (plan.width - 1)
        for row in rows(self.folder):
            found = pixel_to_sky(row.solution, x, y)
            apart.append(angular_separation(*found, *pixel_to_sky(truth[row.path.name], x, y)))
        return 3600.0 * float(np.median(apart))


def run(folder: Path, plan, **settings) -> Run:
    night, recorder = simulated(folder, plan), Recorder()
    return Run(night, folder / "mosaic", assembled(night.lights, folder / "mosaic", recorder, **settings), recorder)


@pytest.fixture(scope="module")
def quality(tmp_path_factory) -> Run:
    return run(tmp_path_factory.mktemp("quality"), QUALITY, report=True)


@pytest.fixture(scope="module")
def field(tmp_path_factory) -> Run:
    """One panel of six subs: what runs that differ in one thing are compared with."""
    return run(tmp_path_factory.mktemp("field"), FIELD)


@pytest.fixture
def night(field, tmp_path) -> Night:
    """The subs of `field`, for a test that spoils some."""
    here, there = field.night.lights.parent, tmp_path / "night"
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("mosaic"))
    lights, subs = there / field.night.lights.name, tuple(there / path.relative_to(here) for path in field.night.subs)
    return replace(field.night, lights=lights, truth=there / field.night.truth.name, subs=subs)


# ---- the picture


def test_the_report_tells_of_the_run(quality):
    (finished,) = [e for e in quality.recorder.events if isinstance(e, RunFinished)]
    page, folder = finished.mosaics[0].report, quality.folder
    assert page == folder / "zemosaic_MT4_R24_report.html" and page.read_text().count("<svg") == 13
    told = json.loads((folder / "zemosaic_MT4_R24_report.json").read_text())
    header = fits.getheader(quality.outputs.mosaic)
    assert told["facts"]["zero_point"] == pytest.approx(header["MAGZERO"]) and told["facts"]["exposure"] == 240.0
    exposure, weight = pixels(quality.outputs.exposure), pixels(quality.outputs.weight)[1]
    assert told["facts"]["depth"] == np.median(exposure[weight > 0])
    assert [p["frames"] for p in told["panels"]] == [6] * 4 and max(p["deep"] for p in told["panels"]) == 1.0
    assert [p["name"] for p in told["phases"]] == ["scan", "measure", "solve", "match", "plan", "assemble", "export"]
    assert all(p["seconds"] > 0 and 50 < p["memory"] < 4000 for p in told["phases"])
    assert all(f["state"] == "used" and 0 < f["rejected"] < 5 and 0 < f["placed"] < 0.3 for f in told["frames"])
    assert told["seams"]["grade"] in "AB" and all((folder / name).is_file() for name in told["files"])


def test_the_seams_of_four_panels_are_graded(quality):
    first, *_, graded = [e for e in quality.recorder.events if isinstance(e, SeamsGraded)]
    assert graded.visible < first.visible  # the skies of the second iteration
    assert graded.grade in "AB" and graded.overlaps == 6 and graded.frames == ()
    told = json.loads(quality.outputs.mosaic.with_name(f"{quality.outputs.mosaic.stem}_seams.json").read_text())
    assert (told["grade"], told["visible"]) == (graded.grade, graded.visible)
    assert quality.outputs.mosaic.with_name(f"{quality.outputs.mosaic.stem}_seams.png").is_file()
    with Ledger(quality.folder) as ledger:
        assert ledger.get("made_seams", SeamReport).grade == graded.grade


def test_the_final_mosaic_is_made_with_the_skies_of_the_second_iteration(quality):
    with Ledger(quality.folder) as ledger:
        made, recorded = ledger.get("made_from", Finished), {r.frame.id: r.correction for r in ledger.rows()}
    assert {each.id: each.correction for each in made.frames} == {
        i: replace(c, frame_id=-1) for i, c in recorded.items()
    }
    truth = load_truth(quality.night.truth)
    by_name = {r.path.name: r.correction for r in rows(quality.folder)}
    assert judge_corrections(truth, by_name).seam < 0.07  # the skies of the first iteration: 0.08


def test_mosaic_of_four_panels_is_true(quality):
    result = quality.score
    assert {name: result[name] for name, limit in LIMITS.items() if not abs(result[name]) <= limit} == {}, (
        result.table()
    )
    # the taper lies on half of these frames and costs some percent
    assert result["noise efficiency"] >= 0.85, result.table()


def test_companions_fit_the_mosaic(quality):
    data, weight = pixels(quality.outputs.mosaic), pixels(quality.outputs.weight)
    coverage = fits.getdata(quality.outputs.coverage)
    assert data.shape == weight.shape == (3, *coverage.shape)
    covered = np.isfinite(data).all(axis=0)
    assert np.array_equal(covered, np.isfinite(data).any(axis=0))
    assert (weight[:, ~covered] == 0).all()
    assert (coverage[~covered] == 0).all()
    assert (weight[:, coverage > 0] > 0).all()
    # four panels of six subs meet in the middle
    assert 20 <= coverage.max() <= 24
    header = fits.getheader(quality.outputs.mosaic)
    assert (header["BUNIT"], header["NRAWPROC"]) == ("adu", 24)
    assert list(WCS(header, naxis=2).wcs.ctype) == ["RA---TAN", "DEC--TAN"]
    with Image.open(quality.outputs.preview) as picture:
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 10
    assert_fit(quality.outputs.preview)


def test_published_weight_is_the_inverse_variance(quality):
    """In empty sky means of 8 x 8 pixels scatter as the weight map says; single pixels share noise with their neighbours."""
    weight, formal = pixels(quality.outputs.weight), []
    deep = boxes_of(quality.scene.frames.astype(np.float32)) >= 4
    for channel, scale in enumerate(quality.scale):
        rough = residual_of(quality.scene, channel, scale, 3.5).rough * scale
        ratio = (boxes_of(rough) * 8.0 * np.sqrt(boxes_of(weight[channel])))[deep]
        formal.append(1.4826 * np.median(np.abs(ratio[np.isfinite(ratio)])))
    assert formal == pytest.approx([1.0] * 3, abs=0.15)


def test_every_file_has_one_state_and_every_used_frame_says_so(quality):
    assert Counter(row.state for row in rows(quality.folder)) == {FrameState.USED: 24}
    assert len({row.path for row in rows(quality.folder)}) == 24
    assert all(row.solution and row.correction and row.measurement for row in rows(quality.folder))
    assert {row.correction.pedestal for row in rows(quality.folder)} == {0.0}  # this camera adds none


@pytest.mark.parametrize(
    ("where", "plan"),
    [
        ("right ascension 0 h", {"ra": 0.02, "dec": 5.0, "panels_x": 2}),
        ("declination +88", {"ra": 120.0, "dec": 88.2, "panels_x": 2}),
        ("galactic pole", {"ra": 192.86, "dec": 27.13, "panels_x": 2}),
        ("isolated panel", {"isolated": 1.0}),
    ],
)
def test_difficult_fields(where, plan, tmp_path):
    done = run(tmp_path, replace(FIELD, scale=5.0, zero_point=24.0, **plan))
    assert Counter(row.state for row in rows(done.folder)) == {FrameState.USED: 6}
    assert done.astrometry() <= 0.2
    data = pixels(done.outputs.mosaic)[1]
    # both panels are in the picture, tapered edges and overlap apart
    assert np.isfinite(data).sum() > 1.6 * FIELD.width * FIELD.height
    # and on one level: what differs is nebula, not sky
    left, right = np.nanmedian(data[:, : data.shape[1] // 2]), np.nanmedian(data[:, data.shape[1] // 2 :])
    assert abs(left - right) < 0.25 * FIELD.sky


def test_two_telescopes_at_an_angle(tmp_path):
    done = run(tmp_path, replace(FIELD, scale=5.0, zero_point=24.0, instruments=2, subs=8))
    assert Counter(row.state for row in rows(done.folder)) == {FrameState.USED: 8}
    assert len({row.frame.instrument for row in rows(done.folder)}) == 2
    assert done.astrometry() <= 0.15
    # the second telescope stands across: only in the middle do all subs overlap
    coverage = fits.getdata(done.outputs.coverage)
    assert coverage.max() == 8
    assert 0.3 < np.mean(coverage[coverage > 0] > 4) < 0.8
    # its subs are 5 % less sensitive and of another angle and scale: their stars have the same brightness all the same
    spread = judge_stars(done.scene).scatter[1]
    assert not spread > 30.0, spread


def test_clipped_sky_keeps_faint_light(tmp_path):
    """Firmware that cuts the sky at 0: without correction faint light responds with 0.93 to 0.955."""
    done = run(tmp_path, replace(BRIGHT, clipped=True, subs=10))
    frames = boxes_of(done.scene.frames.astype(np.float32))
    for channel, scale in enumerate(done.scale):
        residual = residual_of(done.scene, channel, scale, 3.5)
        light, rest = boxes_of(done.scene.nebula[channel]), boxes_of(residual.sky)
        faint = np.isfinite(light) & np.isfinite(rest) & (light < 100.0) & (frames >= 6)
        y, x = np.nonzero(faint)
        design = np.stack([np.ones(x.size), x, y, light[faint]], axis=1)
        slope = np.linalg.lstsq(design, rest[faint], rcond=None)[0][-1]
        assert abs(slope) < 0.02, f"channel {channel}: faint light responds with {1 + slope:.3f}"
        assert abs(float(np.median(residual.rough[np.isfinite(residual.rough)]))) < 0.03 * 59.0


# ---- kinds of input


def test_three_subs_of_one_field(tmp_path):
    done = run(tmp_path, replace(FIELD, subs=3))
    assert fits.getdata(done.outputs.coverage).max() == 3
    assert np.isfinite(pixels(done.outputs.mosaic)).any()


def planes_of(path: Path) -> np.ndarray:
    """(3, h, w) uint16, as another program debayers a sub."""
    return np.rint(np.moveaxis(bilinear(fits.getdata(path).astype(np.float32), FIELD.bayer), -1, 0)).astype(np.uint16)


def differs(data: np.ndarray, expected: np.ndarray) -> float:
    """Scatter of the difference of two mosaics in boxes of 8 x 8 px, a constant apart."""
    assert data.shape == expected.shape
    difference = boxes_of(data - expected)
    return 1.4826 * float(np.nanmedian(np.abs(difference - np.nanmedian(difference))))


def test_mono_frames(field, night):
    for path in night.subs:
        rewrite(path, planes_of(path)[1], BAYERPAT=None)
    outputs = assembled(night.lights, night.lights.parent / "mosaic")
    data, green = pixels(outputs.mosaic), pixels(field.outputs.mosaic)[1]
    # gains and sky are fitted to other stars and cells: 1 % of them and a share of the noise of a box remain; besides the skies
    # of three colours tell the vignetting (88.3 +- 2.1 % in the corners, true 88), that of one does not (+- 2.9 %) and leaves it
    assert differs(data, green) < 0.06 * FIELD.nebula
    assert fits.getdata(outputs.coverage).max() == 6


def test_frames_debayered_elsewhere(field, night):
    for path in night.subs:
        rewrite(path, planes_of(path), BAYERPAT=None)
    outputs = assembled(night.lights, night.lights.parent / "mosaic")
    for channel, expected in zip(pixels(outputs.mosaic), pixels(field.outputs.mosaic), strict=True):
        assert differs(channel, expected) < 0.03 * FIELD.nebula
    assert fits.getdata(outputs.coverage).max() == 6


# ---- inputs that are no good


def test_bad_subs_are_named_and_the_rest_works(night):
    trailed = retaken(night, 0, smear=(11.0, 4.0))
    clouded = retaken(night, 1, transparency=0.02)
    damaged = night.subs[2]
    damaged.write_bytes(damaged.read_bytes()[:40000])
    recorder = Recorder()
    outputs = assembled(night.lights, night.lights.parent / "mosaic", recorder)
    assert set(recorder.left_out) == {trailed.name, clouded.name, damaged.name}
    assert recorder.left_out[trailed.name].state is FrameState.TRAILED
    assert recorder.left_out[clouded.name].state in (FrameState.TOO_FEW_STARS, FrameState.CLOUDED, FrameState.UNSOLVED)
    assert recorder.left_out[damaged.name].state is FrameState.DAMAGED
    assert all(len(each.reason) > 30 for each in recorder.left_out.values())
    states = Counter(row.state for row in rows(night.lights.parent / "mosaic"))
    assert states[FrameState.USED] == 3
    assert sum(states.values()) == 6
    assert fits.getdata(outputs.coverage).max() == 3
    assert [(e.lost, e.lights) for e in recorder.events if isinstance(e, ManyLeftOut)] == [(2, 5)]


def test_thresholds_are_settings(night):
    """A limit that is tightened leaves out what an earlier run measured and used; a loose one takes all in again."""
    for index, smear in ((0, (6.0, 2.0)), (1, (11.0, 4.0))):
        retaken(night, index, smear=smear)
    output, left_out = night.lights.parent / "mosaic", []
    for longest in (9.0, 1.3, 9.0):
        recorder = Recorder(stop_after="measure")
        with pytest.raises(Cancelled):
            assembled(night.lights, output, recorder, max_elongation=longest)
        left_out.append({name for name, each in recorder.left_out.items() if each.state is FrameState.TRAILED})
    assert left_out == [set(), {night.subs[0].name, night.subs[1].name}, set()]
    shaken = next(row for row in rows(output) if row.path.name == night.subs[1].name)
    assert shaken.measurement.elongation > 2.0


def test_what_the_user_leaves_out_is_not_measured_again_when_it_comes_back(night):
    output, unwanted = night.lights.parent / "mosaic", night.subs[1].name
    for exclude, new in (("", 6), (f"{unwanted}; nothing*", 0), ("", 0)):
        recorder = Recorder(stop_after="measure")
        with pytest.raises(Cancelled):
            assembled(night.lights, output, recorder, exclude_files=exclude)
        assert recorder.items["measure"] == new
        states = {row.path.name: row.state for row in rows(output)}
        assert (states[unwanted] is FrameState.EXCLUDED) == bool(exclude) == (unwanted in recorder.left_out)
        warned = [e.text for e in recorder.events if isinstance(e, Warned) and "exclude_files" in e.text]
        assert warned == ["exclude_files: no file of the input has a name like nothing*"] * bool(exclude)


def test_nothing_solvable_stops_in_words(night):
    for path in night.subs[2:]:
        path.unlink()
    for path in night.subs[:2]:
        rewrite(path, fits.getdata(path), RA=187.0, DEC=-31.0)
    with pytest.raises(InputError, match="none of the 2 lights has a position"):
        assembled(night.lights, night.lights.parent / "mosaic")
    states = {row.state for row in rows(night.lights.parent / "mosaic")}
    assert states == {FrameState.UNSOLVED}


def test_no_light_at_all_stops_in_words(tmp_path):
    with pytest.raises(InputError, match="no FITS file here"):
        assembled(tmp_path, tmp_path / "mosaic")


# ---- what must not matter, and what must not be touched


class _Writes:
    """Every attempt of this process to change something under a folder, by Python's audit events."""

    CHANGES = (
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.utime",
        "os.chmod",
        "os.link",
        "os.symlink",
        "os.truncate",
    )

    def __init__(self) -> None:
        self.folder, self.seen = "", []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple) -> None:
        if not self.folder:
            return
        changes = event in self.CHANGES
        if event == "open":
            mode, flags = arguments[1:]
            changes = bool(mode and set(mode) & set("wax+")) or bool(isinstance(flags, int) and flags & 3)
        if changes and any(str(each).startswith(self.folder) for each in arguments if isinstance(each, str | Path)):
            self.seen.append((event, arguments))


WRITES = _Writes()  # a hook stays for the life of the process: one for all tests


def test_inputs_are_only_read(field, night):
    """Hashes, times and listing are the same, and nothing was even opened for writing (root may write anywhere)."""
    before = listing(night.lights)
    for path in (*night.subs, night.lights):
        path.chmod(0o555 if path.is_dir() else 0o444)
    WRITES.folder, WRITES.seen = str(night.lights), []
    try:
        outputs = assembled(night.lights, night.lights.parent / "mosaic")
    finally:
        WRITES.folder = ""
        night.lights.chmod(0o755)
    assert WRITES.seen == []
    assert listing(night.lights) == before
    assert same_bits(outputs, field.outputs)


def test_audit_would_hear_a_write(tmp_path):
    WRITES.folder, WRITES.seen = str(tmp_path), []
    (tmp_path / "a").write_text("a")
    (tmp_path / "a").unlink()
    WRITES.folder = ""
    assert [event for event, _ in WRITES.seen] == ["open", "os.remove"]


def test_output_inside_the_input_is_not_scanned_again(field, night):
    before = {name: what for name, what in listing(night.lights).items() if name != "."}
    first = assembled(night.lights, night.lights / "mosaic")
    recorder = Recorder()
    second = assembled(night.lights, night.lights / "mosaic", recorder)
    assert Unchanged(6) in recorder.outcomes
    assert {each.state for each in recorder.left_out.values()} == {FrameState.OWN_OUTPUT}
    assert Counter(row.state for row in rows(night.lights / "mosaic")) == {FrameState.USED: 6, FrameState.OWN_OUTPUT: 4}
    assert first == second
    after = listing(night.lights)
    assert {name: after[name] for name in before} == before
    assert same_bits(first, field.outputs)


def test_second_run_does_nothing(field):
    before = {name: what for name, what in listing(field.folder).items() if name.endswith((".fits", ".png"))}
    recorder = Recorder()
    assert assembled(field.night.lights, field.folder, recorder) == field.outputs
    assert list(recorder.items) == ["scan", "assemble"] and Unchanged(6) in recorder.outcomes
    assert [len(e.mosaics) for e in recorder.events if isinstance(e, RunFinished)] == [1]
    assert {name: what for name, what in listing(field.folder).items() if name in before} == before
    assert {row.state for row in rows(field.folder)} == {FrameState.USED}


def test_a_finished_run_looks_closer_where_anything_is_not_as_it_was(field, tmp_path):
    """Other settings, another file, a lost file: what is there still holds, but not all of it may."""
    night, output = (
        shutil.copytree(field.night.lights, tmp_path / "in"),
        shutil.copytree(field.folder, tmp_path / "out"),
    )

    def phases(**settings) -> list[str]:
        recorder = Recorder()
        assembled(night, output, recorder, **settings)
        return list(recorder.items)

    assert "match" in phases()  # another place
    assert phases() == ["scan", "assemble"]
    assert "match" in phases(max_elongation=3.0)
    assert "match" in phases() and phases() == ["scan", "assemble"]
    os.utime(next(night.iterdir()))
    assert "measure" in phases() and phases() == ["scan", "assemble"]
    next(output.glob("*_weight.fits")).unlink()
    assert "export" in phases() and phases() == ["scan", "assemble"]


def test_the_report_again_tells_of_the_run_that_made_the_mosaic_and_ends_no_run_where_it_fails(field):
    assembled(field.night.lights, field.folder, report=True)
    (page,) = field.folder.glob("*_report.html")
    told = {p["name"]: p["items"] for p in json.loads(page.with_suffix(".json").read_text())["phases"]}
    assert {name: told[name] for name in ("measure", "assemble")} == {
        name: field.recorder.items[name] for name in ("measure", "assemble")
    }
    page.unlink()
    page.mkdir()
    recorder = Recorder()
    assert assembled(field.night.lights, field.folder, recorder, report=True) == field.outputs
    page.rmdir()
    (warned,) = [e.text for e in recorder.events if isinstance(e, Warned)]
    assert warned.startswith(f"the mosaic is whole, but {page}: cannot be written (")
    assert sentence(warned, Messages("fr")).startswith(f"la mosaïque est complète, mais {page} : écriture impossible")
    assert [m.report for e in recorder.events if isinstance(e, RunFinished) for m in e.mosaics] == [None]


@pytest.mark.parametrize("phase", ["measure", "plan"])
def test_stopped_run_goes_on_to_the_same_bits(field, tmp_path, phase):
    with pytest.raises(Cancelled):
        assembled(field.night.lights, tmp_path, Recorder(stop_after=phase))
    assert not list(tmp_path.glob("*.fits"))
    recorder = Recorder()
    outputs = assembled(field.night.lights, tmp_path, recorder)
    assert recorder.items["measure"] == 0
    assert same_bits(outputs, field.outputs)


class StopsSaving(Recorder):
    """Asks to stop once `rows` rows were saved."""

    rows = 0

    def cancelled(self) -> bool:
        saved = [e.done for e in self.events if isinstance(e, PhaseProgress) and e.phase == "export"]
        return bool(saved) and saved[-1] >= self.rows


def test_a_run_stopped_while_saving_assembles_nothing_again_and_is_never_taken_for_finished(field, tmp_path):
    """Another run's files may lie under the names of the finished one: it has to be saved anew. Stopped in two files."""
    first = assembled(field.night.lights, tmp_path)
    assemblies = []
    for share in (0.1, 0.4):
        stopper = StopsSaving()
        stopper.rows = int(share * 4 * fits.getheader(first.mosaic)["NAXIS2"])
        with pytest.raises(Cancelled):
            assembled(field.night.lights, tmp_path, stopper, edge_taper=20)
        assemblies.append(stopper.items["assemble"])
    recorder = Recorder()
    again = assembled(field.night.lights, tmp_path, recorder, edge_taper=20)
    assert assemblies[0] > assemblies[1] == recorder.items["assemble"] == 0
    assert not same_bits(again, field.outputs)
    back = Recorder()
    assert same_bits(assembled(field.night.lights, tmp_path, back), field.outputs)
    assert back.items["assemble"] > 0


def test_free_memory_does_not_make_a_mosaic_again_nor_does_a_hips(field, tmp_path):
    first = assembled(field.night.lights, tmp_path)
    recorder = Recorder()
    assembled(field.night.lights, tmp_path, recorder, memory_limit=1.0)
    assert recorder.items["assemble"] == 0
    recorder = Recorder()
    tiled = assembled(field.night.lights, tmp_path, recorder, memory_limit=1.0, picture_hips="jpeg")
    assert recorder.items["assemble"] == 0 and same_bits(tiled, field.outputs) and not first.hips
    (mark,) = tiled.hips
    (made,) = next(event.mosaics for event in recorder.events if isinstance(event, RunFinished))
    assert made.hips == (mark,) and mark.is_file() and list(mark.parent.glob("Norder*/Dir*/Npix*.jpg"))
    recorder = Recorder()
    assembled(field.night.lights, tmp_path, recorder, memory_limit=1.0, picture_hips="jpeg")
    assert list(recorder.items) == ["scan", "assemble"]  # nothing to do


def test_workers_and_superblocks_do_not_matter(field, tmp_path, monkeypatch):
    """Two spawned workers on several superblocks, against one in this process on one."""
    monkeypatch.setattr("zemosaic.phases.plan.LARGEST_BLOCK", 256 * 256)
    recorder = Recorder()
    outputs = assembled(field.night.lights, tmp_path, recorder, pool=True)
    assert next(each for each in recorder.outcomes if isinstance(each, Planned)).blocks >= 4
    assert same_bits(outputs, field.outputs)


def test_new_subs_join_a_finished_mosaic(field, tmp_path):
    """In the middle of the order too: only the new ones are measured."""
    lights = tmp_path / "lights"
    lights.mkdir()
    for path in field.night.subs:
        if path != field.night.subs[2]:
            shutil.copy2(path, lights)
    first = assembled(lights, tmp_path / "mosaic")
    assert fits.getdata(first.coverage).max() == 5
    shutil.copy2(field.night.subs[2], lights)
    recorder = Recorder()
    second = assembled(lights, tmp_path / "mosaic", recorder)
    assert recorder.items["measure"] == 1
    assert fits.getdata(second.coverage).max() == 6
    assert Note(ALL_SKIES) in recorder.events  # a fifth of the subs is new
