"""Ready-made stacks of other programs as panels: any projection, any order of the axes, normalised or not, with black borders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp

from nights import BRIGHT, assembled, pixels, rows, simulated
from zemosaic.errors import InputError
from zemosaic.model import FrameState
from zemosaic.score import judge
from zemosaic.score.scene import load_scene
from zemosaic.simulate import load_truth

PLAN = replace(BRIGHT, panels_x=2, subs=12, overlap=0.35, sky_gradient=0.0, nebula=600.0, transparency=(0.9, 1.0))


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("stacks"), PLAN)


@pytest.fixture(scope="module")
def panels(night, tmp_path_factory):
    """A panel as other programs hand it over, and one of our own."""
    folder = tmp_path_factory.mktemp("panels")
    truth = load_truth(night.truth)
    for panel in (0, 1):
        subs = [path for path, sub in zip(night.subs, truth.subs, strict=True) if sub.panel == panel]
        made = assembled(subs, folder / f"run{panel}")
        data, header = pixels(made.mosaic), fits.getheader(made.mosaic)
        if panel == 0:
            foreign(folder / "r_pp_stacked.fits", data, header, len(subs))
        else:
            fits.writeto(folder / "ours.fits", data, header)
    return [folder / "r_pp_stacked.fits", folder / "ours.fits"]


def foreign(path: Path, data: np.ndarray, header: fits.Header, subs: int) -> None:
    """Another projection with its pole elsewhere, colours side by side, values from 0 to 1, black where there is no data."""
    source, (height, width) = WCS(header).celestial, data.shape[1:]
    target = WCS(naxis=2)
    target.wcs.ctype, target.wcs.cdelt = ["RA---ZEA", "DEC--ZEA"], [header["CD1_1"], header["CD2_2"]]
    target.wcs.crval = [header["CRVAL1"] + 0.3, header["CRVAL2"] - 0.2]
    x, y = target.world_to_pixel(source.pixel_to_world((width - 1) / 2, (height - 1) / 2))
    target.wcs.crpix = [width / 2 + 30 - float(x), height / 2 + 30 - float(y)]
    shape = height + 60, width + 60
    planes = [reproject_interp((p, source), target, shape, return_footprint=False) for p in data]
    cards = target.to_header()
    cards["STACKCNT"], cards["PROGRAM"], cards["EXPTIME"] = subs, "Siril", 10.0 * subs
    fits.writeto(path, (np.nan_to_num(np.stack(planes, axis=-1)) / 65535.0).astype(np.float32), cards)


def test_stacks_are_left_out_unless_asked_for(panels, tmp_path):
    with pytest.raises(InputError, match="stack"):
        assembled(panels, tmp_path / "mosaic")


def test_mosaic_of_ready_made_panels(panels, night, tmp_path):
    made = assembled(panels, tmp_path / "mosaic", stacks="use")
    table = judge(load_scene(made.mosaic, night.truth))
    words = table.table()
    assert {row.path.name: row.reason for row in rows(tmp_path / "mosaic") if row.state is not FrameState.USED} == {}
    assert table["astrometry, median"] < 0.3, words  # of pixels of 5 arcsec
    assert table["photometry, rms"] < 25.0, words
    assert table["background, rms without plane"] < 3.0, words
    assert abs(table["step between panels"]) < 1.0, words
    header = fits.getheader(made.mosaic)
    assert header["EXPTIME"] == pytest.approx(120.0)
    data, weight = pixels(made.mosaic), pixels(made.weight)
    assert np.isfinite(data).all(axis=0).mean() == pytest.approx((weight > 0).all(axis=0).mean(), abs=0.02)
    assert np.nanpercentile(data, 0.01) > 0.5 * np.nanmedian(data), "black borders have no place in the picture"


def test_a_stack_counts_as_much_as_the_user_says(panels, tmp_path):
    """Nine times the weight for one of two: where both are whole, the formal variance is (a + 81 b) / (a + 9 b)^2."""
    plain = assembled(panels, tmp_path / "plain", stacks="use")
    made = assembled(panels, tmp_path / "weighted", stacks="use", file_weights="ours*=9")
    before, now = ({r.path.name: r.correction.weight for r in rows(tmp_path / w)} for w in ("plain", "weighted"))
    assert [now[path.name] / before[path.name] for path in panels] == pytest.approx([1.0, 9.0])
    weight, changed = pixels(plain.weight)[1], pixels(made.weight)[1]
    coverage = fits.getdata(plain.coverage)
    both = coverage == 2
    # where one is alone its weight does not matter; either side of the mosaic is one of them
    assert np.allclose(changed[coverage == 1], weight[coverage == 1], rtol=1e-3)
    x = np.arange(weight.shape[1])
    middle = x[both.any(axis=0)].mean()
    sides = [np.where((coverage == 1) & side, weight, np.nan) for side in (x < middle, x > middle)]
    a, b = sorted(float(np.nanpercentile(side, 90)) for side in sides)
    whole = both & (np.abs(weight / (a + b) - 1.0) < 0.05)
    assert whole.sum() > 500
    expected = {(a + 9 * b) ** 2 / (a + 81 * b), (9 * a + b) ** 2 / (81 * a + b)}
    found = float(np.median(changed[whole]))
    assert min(abs(found / each - 1.0) for each in expected) < 0.05, (found, expected, a, b)
