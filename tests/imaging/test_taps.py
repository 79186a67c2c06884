"""Every interpolation: its taps against the literature, and whole frames against reproject as an oracle."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from astropy.wcs import WCS
from reproject import reproject_adaptive, reproject_exact, reproject_interp

from zemosaic.imaging.taps import METHODS, taps
from zemosaic.imaging.warp import LATTICE, window
from zemosaic.kernels.coadd import resample_box
from zemosaic.kernels.resample import PLANES
from zemosaic.model import Grid, Solution
from zemosaic.settings import Settings

SHAPE = (120, 150)
GRID = Grid(83.0, -5.0, 6.6e-4, 200, 180, 100.0, 90.0)
SOLUTION = Solution(
    83.0, -5.0, 73.3, 61.8, tuple(6.4e-4 * v for v in (-np.cos(0.3), np.sin(0.3), np.sin(0.3), np.cos(0.3)))
)


def header(x, y, cd):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cd = [83.0, -5.0], [x + 1, y + 1], np.reshape(cd, (2, 2))
    return wcs


FRAME_WCS = header(SOLUTION.x, SOLUTION.y, SOLUTION.cd)
MOSAIC_WCS = header(GRID.x, GRID.y, (-GRID.scale, 0, 0, GRID.scale))


def stars(fwhm, step=17.3):
    """Gaussian stars on a slope."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    data = 20.0 + 0.05 * x + 0.02 * y
    for k in range(20):
        px, py = 25 + (k * step) % 100, 25 + (k * 7.7 * step) % 70
        data += 100.0 * np.exp(-4 * np.log(2) * ((x - px) ** 2 + (y - py) ** 2) / fwhm**2)
    return data


def ours(data, method):
    """One mono frame on the grid; NaN where it says nothing."""
    image = np.ones((*SHAPE, 4), np.float32)
    image[..., 0] = data
    view = window(SOLUTION, SHAPE, GRID, (0, GRID.height, 0, GRID.width))
    out = np.zeros((view.box[1] - view.box[0], view.box[3] - view.box[2], 4), np.float32)
    ones = np.ones((12, 12, 1), np.float32)
    resample_box(
        image[view.rows], view.rows.start, SHAPE[0], taps(method), (PLANES, PLANES), view.nodes_x, view.nodes_y,
        view.node0, LATTICE, ones, ones, 16, np.array([3.5, 3.5, 1.0]), np.empty((0, 2)), True, view.box, out,
    )  # fmt: skip
    result = np.full((GRID.height, GRID.width), np.nan)
    result[view.box[0] : view.box[1], view.box[2] : view.box[3]] = np.where(out[..., 2] > 0, out[..., 0], np.nan)
    return result


def test_settings_offer_what_there_is():
    assert set(METHODS) <= set(get_args(Settings.model_fields["resampling"].annotation))


@pytest.mark.parametrize("method", METHODS)
def test_areas_keep_their_light(method):
    """The weights of a pixel in all positions around it sum up as its own: no pattern, and noise as the raw pixels say."""
    table = taps(method).astype(float)
    assert table.shape == (1025, 6)
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(table[0], [0, 0, 1, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(table[1024], [0, 0, 0, 1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(table[::-1, ::-1], table, atol=1e-7)


@pytest.mark.parametrize(("method", "degree"), [("lanczos3", 0), ("bicubic", 2), ("bilinear", 1)])
def test_polynomials_of_its_degree_are_exact(method, degree):
    """As published: cubic convolution reproduces parabolas, Lanczos (its weights normalised) constants."""
    position = np.arange(1025) / 1024
    for power in range(degree + 1):
        found = taps(method).astype(float) @ np.arange(-2.0, 4.0) ** power
        np.testing.assert_allclose(found, position**power, atol=2e-6)


def compared(mine, other, level):
    both = np.isfinite(mine) & np.isfinite(other)
    assert both.sum() > 12000
    return float(np.abs(mine - other)[both].max()) / level


def test_bilinear_is_that_of_reproject():
    data = stars(4.0)
    other = reproject_interp((data, FRAME_WCS), MOSAIC_WCS, (180, 200), order="bilinear", return_footprint=False)
    assert compared(ours(data, "bilinear"), other, 100.0) < 5e-4  # positions are rounded to 0.0005 px


# splines know more of a band-limited field than six pixels do: what differs is these interpolations' own error
@pytest.mark.parametrize(
    ("method", "fwhm", "most"),
    [("lanczos3", 4.0, 0.01), ("lanczos3", 7.0, 0.005), ("bicubic", 4.0, 0.013), ("bicubic", 7.0, 0.002)],
)
def test_smooth_fields_are_those_of_reproject(method, fwhm, most):
    data = stars(fwhm)
    spline = reproject_interp((data, FRAME_WCS), MOSAIC_WCS, (180, 200), order="bicubic", return_footprint=False)
    assert compared(ours(data, method), spline, 100.0) < most


@pytest.mark.parametrize("method", METHODS)
def test_wide_stars_are_those_of_reproject_adaptive(method):
    """Its Gaussian kernel blurs by about half a pixel; nothing else may differ."""
    data = stars(14.0)
    adaptive = reproject_adaptive(
        (data, FRAME_WCS), MOSAIC_WCS, (180, 200), kernel="gaussian", boundary_mode="strict", return_footprint=False
    )
    assert compared(ours(data, method), adaptive, 100.0) < 0.015


@pytest.mark.parametrize("method", METHODS)
def test_light_is_that_of_reproject_exact(method):
    data = stars(3.0)
    exact = reproject_exact((data, FRAME_WCS), MOSAIC_WCS, (180, 200), return_footprint=False)
    mine = ours(data, method)
    both = np.isfinite(mine) & np.isfinite(exact)
    assert (mine - 20.0)[both].sum() == pytest.approx((exact - 20.0)[both].sum(), rel=1e-4)
