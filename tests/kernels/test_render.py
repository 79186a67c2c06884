from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from zemosaic.kernels.render import add_stars, sample_periodic

ONE_COLOUR = np.zeros((2, 2), np.int64)
GRBG = np.array([[1, 0], [2, 1]], np.int64)


def naive_star(shape: tuple[int, int], x: float, y: float, flux: float, fwhm: float, beta: float) -> np.ndarray:
    """Every pixel is the mean of 21 x 21 points of the profile."""
    alpha2 = (0.5 * fwhm) ** 2 / (2 ** (1 / beta) - 1)
    sub = (np.arange(21) + 0.5) / 21 - 0.5
    rows = (np.arange(shape[0])[:, None] + sub).ravel()[:, None]
    columns = (np.arange(shape[1])[:, None] + sub).ravel()[None, :]
    fine = (1 + ((rows - y) ** 2 + (columns - x) ** 2) / alpha2) ** -beta
    return flux * (beta - 1) / (np.pi * alpha2) * fine.reshape(shape[0], 21, shape[1], 21).mean(axis=(1, 3))


@pytest.mark.parametrize("fwhm", [1.8, 3.3])
def test_stars_are_pixel_integrals(fwhm):
    out = np.zeros((41, 38))
    x, y, flux = np.array([17.3, 35.9]), np.array([20.8, 2.4]), np.array([[5000.0], [800.0]])
    add_stars(out, ONE_COLOUR, x, y, flux, fwhm, 4.0, np.array([60.0, 60.0]))
    wanted = sum(naive_star(out.shape, x[k], y[k], flux[k, 0], fwhm, 4.0) for k in (0, 1))
    assert np.abs(out - wanted).max() < 2e-3 * wanted.max()
    assert np.abs(out - wanted).sum() < 2e-3 * wanted.sum()


def test_each_pixel_takes_its_own_colour():
    x, y, flux = np.array([10.2]), np.array([9.7]), np.array([[100.0, 200.0, 400.0]])
    white, colour = np.zeros((20, 21)), np.zeros((20, 21))
    add_stars(white, ONE_COLOUR, x, y, flux[:, 1:2], 3.0, 4.0, np.array([30.0]))
    add_stars(colour, GRBG, x, y, flux, 3.0, 4.0, np.array([30.0]))
    ratio = colour / white
    assert np.allclose(ratio[0::2, 1::2], 0.5)
    assert np.allclose(ratio[1::2, 0::2], 2.0)
    assert np.allclose(ratio[0::2, 0::2], 1.0)


def test_stars_outside_touch_nothing():
    out = np.zeros((9, 11))
    add_stars(
        out, ONE_COLOUR, np.array([-40.0, 5.0]), np.array([4.0, 70.0]), np.ones((2, 1)), 3.0, 4.0, np.full(2, 20.0)
    )
    assert not out.any()


def test_periodic_map_is_the_spline_that_scipy_has():
    rng = np.random.default_rng(5)
    data = rng.normal(size=(3, 12, 16))
    coefficients = np.stack([ndimage.spline_filter(plane, 3, mode="grid-wrap") for plane in data])
    step, shape = 4, (13, 18)
    rows, columns = np.mgrid[0:5, 0:6] * step  # one node beyond the last pixel each way
    x, y = -31.3 + 0.83 * columns - 0.2 * rows, 40.2 + 0.21 * columns + 0.79 * rows
    out = np.empty(shape)
    sample_periodic(coefficients, GRBG, x, y, step, out)
    j, i = np.mgrid[0 : shape[0], 0 : shape[1]]
    place = [40.2 + 0.21 * i + 0.79 * j, -31.3 + 0.83 * i - 0.2 * j]
    for (b, a), channel in np.ndenumerate(GRBG):
        wanted = ndimage.map_coordinates(data[channel], place, order=3, mode="grid-wrap")
        assert np.allclose(out[b::2, a::2], wanted[b::2, a::2], atol=1e-9)
