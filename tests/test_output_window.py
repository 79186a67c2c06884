"""Projection, rotation, window and crop through the whole path: what they make anew, and what they leave as it is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from nights import FIELD, Recorder, all_assembled, assembled, pixels, rows, same_bits, simulated
from zemosaic.errors import Cancelled, InputError
from zemosaic.events import BlocksKept, Note, Warned
from zemosaic.model import FrameState
from zemosaic.simulate import load_truth

LAID_OUT = {"output_projection": "ZEA", "output_rotation": "frames"}


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("night"), replace(FIELD, panels_x=2, subs=4, satellites=0.0, angle=20.0))


@pytest.fixture(scope="module")
def whole(night, tmp_path_factory):
    return assembled(night.subs, tmp_path_factory.mktemp("whole"), **LAID_OUT)


def again(before, night, folder: Path, **settings: object):
    """A run with other settings over a copy of a finished one: its files and its events."""
    shutil.copytree(before.mosaic.parent, folder)
    recorder = Recorder()
    return assembled(night.subs, folder, recorder, **LAID_OUT | settings), recorder


def cut_from(part: Path, whole: Path) -> np.ndarray:
    """What of a file lies where a smaller one does."""
    small, large = fits.getheader(part), fits.getheader(whole)
    assert all(small[key] == large[key] for key in ("CTYPE1", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    x, y = (round(large[f"CRPIX{k}"] - small[f"CRPIX{k}"]) for k in (1, 2))
    assert x >= 0 and y >= 0
    return pixels(whole)[..., y : y + small["NAXIS2"], x : x + small["NAXIS1"]]


def notes(recorder: Recorder) -> str:
    return "\n".join(e.text for e in recorder.events if isinstance(e, Note | Warned))


def test_stars_lie_where_the_header_says(night, whole):
    wcs, data = WCS(fits.getheader(whole.mosaic), naxis=2), pixels(whole.mosaic)
    assert list(wcs.wcs.ctype) == ["RA---ZEA", "DEC--ZEA"] and abs(wcs.wcs.cd[0, 1]) > 0.3 * abs(wcs.wcs.cd[0, 0])
    stars = load_truth(night.truth).stars
    bright = np.argsort(-stars.flux[:, 1])[:40]
    off = []
    for x, y in wcs.wcs_world2pix(np.stack([stars.ra, stars.dec], axis=1)[bright], 0):
        cut = data[1, round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] if min(x, y) > 4 else data[1, :0]
        if cut.shape == (9, 9) and np.isfinite(cut).all() and cut.max() < 60000:
            light = np.maximum(cut - np.median(cut), 0.0)
            yy, xx = np.mgrid[-4:5, -4:5]
            dx, dy = ((light * each).sum() / light.sum() for each in (xx, yy))
            off.append(np.hypot(round(x) + dx - x, round(y) + dy - y))
    assert len(off) > 12 and np.median(off) < 0.1


def test_a_crop_writes_less_and_assembles_nothing(night, whole, tmp_path):
    cropped, recorder = again(whole, night, tmp_path / "crop", crop_depth=0.5)
    (kept,) = [e for e in recorder.events if isinstance(e, BlocksKept)]
    assert kept.kept == kept.blocks and recorder.items["measure"] == 0 and "crop_depth: of " in notes(recorder)
    data, weight = pixels(cropped.mosaic), pixels(cropped.weight)
    assert data.shape[1] * data.shape[2] < 0.9 * pixels(whole.mosaic)[0].size
    assert np.array_equal(data, cut_from(cropped.mosaic, whole.mosaic), equal_nan=True)
    typical = np.median(weight[1][weight[1] > 0])
    assert np.mean(weight[1] < 0.5 * typical) < 0.05
    back, recorder = again(cropped, night, tmp_path / "back")
    assert recorder.items["measure"] == 0 and same_bits(back, whole)


def test_a_window_names_the_subs_that_it_leaves_out(night, whole, tmp_path):
    header = fits.getheader(whole.mosaic)
    wcs = WCS(header, naxis=2)
    place = wcs.wcs_pix2world([[0.2 * header["NAXIS1"], 0.5 * header["NAXIS2"]]], 0)[0]
    window = {"output_center": f"{place[0]:.5f} {place[1]:.5f}", "output_size": "120 x 100"}
    part, recorder = again(whole, night, tmp_path / "window", **window)
    assert pixels(part.mosaic).shape == (3, 100, 120) and "2 of 4 subs lie outside of it" in notes(recorder)
    middle = WCS(fits.getheader(part.mosaic), naxis=2).wcs_pix2world([[59.5, 49.5]], 0)[0]
    assert np.abs(middle - place).max() < 2e-3
    states = [row.state for row in rows(part.mosaic.parent)]
    assert states.count(FrameState.USED) == states.count(FrameState.OUTSIDE) == 2
    assert fits.getheader(part.mosaic)["NCOMBINE"] == 2
    with pytest.raises(InputError, match="output_center and output_size: none of the 4 frames"):
        again(whole, night, tmp_path / "nowhere", output_center="10 10", output_size="1 x 1 deg")


def test_a_size_keeps_the_assembly_that_is_there(night, whole, tmp_path):
    small, recorder = again(whole, night, tmp_path / "small", output_size="200 x 150")
    (kept,) = [e for e in recorder.events if isinstance(e, BlocksKept)]
    assert kept.kept == kept.blocks
    assert np.array_equal(pixels(small.mosaic), cut_from(small.mosaic, whole.mosaic), equal_nan=True)


def test_a_run_that_was_ended_comes_to_the_same_bits(night, whole, tmp_path):
    with pytest.raises(Cancelled):
        assembled(night.subs, tmp_path, Recorder(stop_after="plan"), **LAID_OUT)
    assert same_bits(assembled(night.subs, tmp_path, **LAID_OUT), whole)


def test_of_several_targets_those_in_the_window_are_made(tmp_path):
    night = simulated(tmp_path, replace(FIELD, subs=4, isolated=5.0, satellites=0.0))
    truth, recorder = load_truth(night.truth), Recorder()
    window = {"output_center": f"{truth.plan.ra} {truth.plan.dec}", "output_size": "0.3 deg"}
    (made,) = all_assembled(night.subs, tmp_path / "out", recorder, **window)
    assert pixels(made.mosaic).shape == (3, 180, 180)
    far = {sub.name for sub in truth.subs if sub.panel == 1}
    assert far and {name for name, lost in recorder.left_out.items() if lost.state is FrameState.OUTSIDE} == far
