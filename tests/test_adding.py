"""Subs that join or leave a finished mosaic: what they do not touch stays as it is, and the rest is as good as made anew."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import BRIGHT, FIELD, Recorder, assembled, pixels, rows, same_bits, simulated
from zemosaic.events import BlocksKept, Note, Planned, RunFinished
from zemosaic.ledger import Ledger
from zemosaic.model import FrameState
from zemosaic.names import base_name, beside
from zemosaic.phases import _assemble_blocks as blocks
from zemosaic.phases import _assemble_kept as kept
from zemosaic.phases import _assemble_reject as reject
from zemosaic.score.scene import boxes_of
from zemosaic.seams import SeamReport
from zemosaic.simulate import load_truth

NIGHT = replace(BRIGHT, panels_x=4, panels_y=1, subs=20, overlap=0.2, satellites=0.3)


class Ended(BaseException):
    """What a kill looks like to code that runs in the process of the test."""


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zemosaic.phases.plan.LARGEST_BLOCK", 256 * 256)
        yield


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("adding"), NIGHT)


@pytest.fixture(scope="module")
def panels(night):
    """The subs of each panel, in the order in which they were taken."""
    truth = load_truth(night.truth)
    return [[p for p, sub in zip(night.subs, truth.subs) if sub.panel == panel] for panel in range(4)]


@pytest.fixture(scope="module")
def three(panels):
    return [path for panel in panels[1:] for path in panel]


@pytest.fixture(scope="module")
def first(three, tmp_path_factory):
    """Three of four panels, one sub missing: the finished mosaic that all others go on from."""
    return assembled(three[:-1], tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def joined(first, three, tmp_path_factory):
    """The same with the missing sub."""
    return went_on(first, three, tmp_path_factory.mktemp("joined"))


def went_on(before, subs, folder: Path, **settings):
    """A run with other subs over a copy of a finished one: its files, what was said of the blocks, and all events."""
    shutil.copytree(before.mosaic.parent, folder, dirs_exist_ok=True)
    recorder = Recorder()
    outputs = assembled(subs, folder, recorder, **settings)
    (told,) = [e for e in recorder.events if isinstance(e, BlocksKept)]
    return outputs, told, recorder


def on_grid(path: Path, grid: fits.Header) -> np.ndarray:
    """The planes of a file on the pixels of another one, NaN beyond its own."""
    data, header = pixels(path), fits.getheader(path)
    assert [header[k] for k in ("CRVAL1", "CRVAL2", "CD2_2")] == [grid[k] for k in ("CRVAL1", "CRVAL2", "CD2_2")]
    y, x = (round(grid[f"CRPIX{k}"] - header[f"CRPIX{k}"]) for k in (2, 1))
    height, width = grid["NAXIS2"], grid["NAXIS1"]
    out = np.full((*data.shape[:-2], height, width), np.nan, np.float32)
    source = data[..., max(-y, 0) : height - y, max(-x, 0) : width - x]
    out[..., max(y, 0) : max(y, 0) + source.shape[-2], max(x, 0) : max(x, 0) + source.shape[-1]] = source
    return out


def same_share(first, second) -> float:
    """Share of the pixels with data that are equal to the last bit, in the mosaic, its weight and its coverage."""
    grid = fits.getheader(second.mosaic)
    equal = np.isfinite(pixels(second.mosaic)[0])
    seen = equal.sum()
    for name in ("mosaic", "weight", "coverage"):
        before, now = on_grid(getattr(first, name), grid), pixels(getattr(second, name))
        equal &= (before == now).reshape(-1, *equal.shape).all(axis=0)
    return float(equal.sum() / seen)


def changes(first, second) -> np.ndarray:
    """Mean differences of two mosaics on the same pixels in boxes of 8 px, over the noise of a pixel."""
    grid = fits.getheader(second.mosaic)
    weight = pixels(second.weight)
    apart = (on_grid(first.mosaic, grid) - pixels(second.mosaic)) * np.sqrt(weight)
    return np.stack([boxes_of(np.where(w > 0, a, np.nan).astype(np.float32)) for a, w in zip(apart, weight)])


def test_where_no_sub_joined_the_pixels_stay(first, joined):
    outputs, told, recorder = joined
    assert told.kept >= 5 and told.frames >= 4 and told.moved == told.sensor == 0, told
    assert told.kept + told.frames + told.absent == told.blocks and 0 < told.largest <= kept.LIMIT
    assert same_share(first, outputs) > 0.25
    assert recorder.items["measure"] == 1
    assert {row.state for row in rows(outputs.mosaic.parent)} == {FrameState.USED}


def test_a_longer_sub_joins_a_mosaic_of_equal_ones(first, three, tmp_path):
    """The map of the exposure was coverage times 10 s, and no planes of it were kept: now there are, parts that stay included."""
    longer = tmp_path / "longer.fit"
    shutil.copy(three[-1], longer)
    fits.setval(longer, "EXPTIME", value=20.0)
    outputs, told, _ = went_on(first, [*three[:-1], longer], tmp_path / "mosaic")
    assert told.kept >= 5
    seconds, coverage = fits.getdata(outputs.exposure), fits.getdata(outputs.coverage)
    more = seconds - 10.0 * coverage
    assert set(np.unique(more)) == {0.0, 10.0}
    assert ((more == 0) & (coverage > 0)).sum() > 1.5 * (more > 0).sum()  # the sub lies on one of three panels
    assert 0.9 < (more > 0).sum() / (NIGHT.width * NIGHT.height) < 1.1


def test_the_seams_are_those_of_the_corrections_that_were_used(joined, three):
    """They differ from those of the equations of today, and a run that has nothing to do leaves them."""
    outputs, _, _ = joined
    with Ledger(outputs.mosaic.parent) as ledger:
        equations, used = (ledger.get(key, SeamReport) for key in ("seams", "made_seams"))
    assert [(s.first, s.second) for s in equations.seams] and equations.seams != used.seams
    by_pair = [{(s.first, s.second): np.array(s.step) for s in each.seams} for each in (equations, used)]
    apart = [np.abs(by_pair[0][pair] - by_pair[1][pair]).max() for pair in by_pair[0]]
    assert (
        0 < max(apart) < 0.5 * max(r.measurement.sigma[1] for r in rows(outputs.mosaic.parent))
    )  # held for less than that
    file = outputs.mosaic.with_name(f"{outputs.mosaic.stem}_seams.json")
    assert json.loads(file.read_text())["seams"][0]["step"] == list(used.seams[0].step)
    before = file.read_text()
    assembled(three, outputs.mosaic.parent)
    assert file.read_text() == before


def test_other_forms_of_a_mosaic_go_and_older_mosaics_stay(first, three, panels, tmp_path):
    """Planes, then packed, then with another sub: only files that are as the program wrote them are removed."""
    folder = tmp_path / "mosaic"
    shutil.copytree(first.mosaic.parent, folder)
    for path in first.files:
        (folder / path.name).unlink()
    planes = assembled(three[:-1], folder, fits_layout="planes")
    name = base_name(planes.preview)
    assert planes.mosaic.name == f"{name}_R.fits" and beside(planes.preview, "seams.png").is_file()
    assert not list(folder.glob("*_R_seams*"))
    green = planes.planes[0]
    os.utime(green, (1, 1))  # somebody else has been at it
    recorder = Recorder()
    packed = assembled(three[:-1], folder, recorder, fits_compression=True)
    assert set(folder.glob("*.fits*")) == {*(file for file in packed.files if ".fits" in file.name), green}
    integer = assembled(three[:-1], folder, recorder, save_final_as_uint16=True)
    assert set(folder.glob("*.fits*")) == {*(file for file in integer.files if ".fits" in file.name), green}
    told = [
        e.text.rpartition(" ")[2] for e in recorder.events if isinstance(e, Note) and "form it had before" in e.text
    ]
    assert told == ["2", "4"]  # red and blue; mosaic, coverage, weight, exposure
    recorder = Recorder()
    wider = assembled([*three[:-1], panels[0][0]], folder, recorder)
    (finished,) = (e for e in recorder.events if isinstance(e, RunFinished))
    assert finished.mosaics[0].earlier == (name,) and wider.mosaic.is_file() and all(p.is_file() for p in integer.files)
    (plan,) = (each for each in recorder.outcomes if isinstance(each, Planned))
    header = fits.getheader(wider.mosaic)
    assert (plan.width, plan.height) == (header["NAXIS1"], header["NAXIS2"])  # not those of the canvas


def test_what_stays_is_what_would_have_been_made(first, joined, three, tmp_path, monkeypatch):
    """All blocks made anew from the same corrections, against those that were kept."""
    limit = kept.LIMIT
    monkeypatch.setattr(kept, "LIMIT", -1.0)
    anew, told, _ = went_on(first, three, tmp_path)
    assert told.kept == 0
    apart = np.abs(changes(joined[0], anew))
    assert 0 < np.nanpercentile(apart, 99.5) < limit


def test_ended_and_gone_on_it_comes_to_the_same_bits(first, joined, three, tmp_path, monkeypatch):
    read, visits = blocks.read_rows, [0]

    def mortal(*arguments):
        visits[0] += 1
        if visits[0] == 60:
            raise Ended
        return read(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Ended):
        for module in (blocks, reject):
            patch.setattr(module, "read_rows", mortal)
        went_on(first, three, tmp_path)
    recorder = Recorder()
    outputs = assembled(three, tmp_path, recorder)
    assert 0 < recorder.items["assemble"] < joined[2].items["assemble"]
    assert same_bits(outputs, joined[0])


def test_nothing_new_is_nothing_to_do(joined, three):
    recorder, folder = Recorder(), joined[0].mosaic.parent
    before = [row.correction for row in rows(folder)]
    outputs = assembled(three, folder, recorder)
    assert [row.correction for row in rows(folder)] == before  # those that the mosaic was made with
    assert recorder.items["assemble"] == 0 and "export" not in recorder.items
    assert outputs == joined[0]


@pytest.fixture(scope="module")
def raised(tmp_path_factory):
    """A night with a pedestal and darks that tell it, and the folder of a mosaic that was made without them."""
    folder = tmp_path_factory.mktemp("raised")
    night = simulated(folder / "night", replace(FIELD, pedestal=600.0, calibration=3, satellites=0.0))
    assembled(night.lights, folder / "out")
    return night, folder / "out"


@pytest.mark.parametrize("changed", ["calibration_folder", "sky_order"])
def test_what_changes_the_sky_of_all_makes_all_anew(raised, tmp_path, changed):
    """Darks, flats, or another kind of sky: nothing is held to the mosaic that was there, and none of it stays."""
    night, before = raised
    settings = {changed: "2" if changed == "sky_order" else str(night.calibration)}
    shutil.copytree(before, tmp_path / "out")
    again = assembled(night.lights, tmp_path / "out", **settings)
    fresh = assembled(night.lights, tmp_path / "fresh", **settings)
    levels = [np.nanmedian(pixels(each.mosaic), axis=(1, 2)) for each in (again, fresh)]
    assert np.abs(levels[0] - levels[1]).max() < 1.0  # 600 ADU when the old sky was held
    skies = [[row.correction.sky for row in rows(tmp_path / name) if row.correction] for name in ("out", "fresh")]
    np.testing.assert_allclose(*skies, rtol=1e-3, atol=0.5)


def test_a_sub_that_leaves(joined, three, tmp_path):
    outputs, told, _ = went_on(joined[0], three[:-1], tmp_path)
    assert told.kept >= 5 and told.frames >= 4 and told.moved == told.absent == 0, told
    assert same_share(joined[0], outputs) > 0.25
    coverage = fits.getdata(outputs.coverage)
    assert coverage.max() <= 14
    assert np.array_equal(coverage > 0, (pixels(outputs.weight) > 0).all(axis=0))


def test_the_canvas_grows(first, panels, three, tmp_path):
    """Two subs of a panel beside those that are there."""
    outputs, told, _ = went_on(first, panels[0][:2] + three[:-1], tmp_path)
    assert told.absent >= 2 and told.kept >= 5, told
    assert pixels(outputs.mosaic).shape[2] > pixels(first.mosaic).shape[2] + 200
    assert same_share(first, outputs) > 0.25
    data = np.isfinite(pixels(outputs.mosaic)).all(axis=0)
    # as large as the subs need, on every side
    assert all(border.any() for border in (data[:16], data[-16:], data[:, :16], data[:, -16:]))


def test_without_what_was_kept_all_is_made_anew_on_the_same_pixels(first, panels, tmp_path):
    shutil.copytree(first.mosaic.parent, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "zemosaic_workspace" / "mosaic")
    recorder = Recorder()
    outputs = assembled(panels[3][:-1], tmp_path, recorder)
    (told,) = [e for e in recorder.events if isinstance(e, BlocksKept)]
    assert told.kept == 0 and told.absent == told.blocks
    assert np.isfinite(on_grid(first.mosaic, fits.getheader(outputs.mosaic))).any()
