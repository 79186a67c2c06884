"""Raw pixels to mosaic units: the model turned round."""

from dataclasses import replace

import numpy as np
import pytest

from zemosaic.imaging.calibrate import STEP, Feather, calibration, clipping_bias
from zemosaic.imaging.projection import pixel_area
from zemosaic.imaging.skysurface import PLANE, TERMS, surface_at, surface_basis
from zemosaic.kernels.calibrate import calibrate
from zemosaic.model import Correction, Distortion, Grid, Solution

SHAPE = (480, 640)
RADIUS = float(np.hypot(*SHAPE) / 2)
GRBG = np.array([[1, 0], [2, 1]])
FRAME = Solution(10.0, 40.0, 319.5, 239.5, (7e-4, 1e-4, -1e-4, 7e-4), Distortion(0.004, 0.0, RADIUS))
GRID = Grid(10.1, 40.1, 6.6e-4, 900, 900, 450.0, 450.0)
CORRECTION = Correction(
    0, (0.8, 0.7, 0.9), ((50.0, 9.0, -4.0), (70.0, 0.0, 3.0), (40.0, 1.0, 1.0)), (-0.1, -0.02), RADIUS, 0.5
)

LEVEL = (100.0, 100.0, 100.0)


def model(signal):
    """D = F (a S Omega + B) at every pixel of the frame, without noise; and (y, x, channel)."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    c = GRBG[y % 2, x % 2]
    u, v = (x - 319.5) / RADIUS, (y - 239.5) / RADIUS
    rho2 = u**2 + v**2
    response = 1 - 0.1 * rho2 - 0.02 * rho2**2
    sky = np.array(CORRECTION.sky)[c]
    background = sky[..., 0] + sky[..., 1] * u + sky[..., 2] * v
    area = pixel_area(FRAME, x, y) / GRID.scale**2
    return response * (np.array(CORRECTION.gain)[c] * signal * area + background)


@pytest.mark.parametrize("signal", [0.0, 1000.0])
def test_calibrated_pixels_are_the_surface_brightness(signal):
    lattices = calibration(CORRECTION, FRAME, (10.0, 8.0, 9.0), GRID, SHAPE, Feather(), False, LEVEL)
    out = np.empty(SHAPE, np.float32)
    calibrate(model(signal).astype(np.float32), 0, GRBG, lattices.scale, lattices.offset, STEP, out)
    assert np.abs(out - signal - 100.0).max() < 0.03 + 3e-4 * signal


def test_thin_cloud_dims_the_light_and_not_the_sky():
    cloudy = replace(CORRECTION, cloud=(0.2, -0.3))
    plain, seen = (
        calibration(c, FRAME, (10.0, 8.0, 9.0), GRID, SHAPE, Feather(), False, LEVEL) for c in (CORRECTION, cloudy)
    )
    y, x = np.mgrid[0 : SHAPE[0] + STEP : STEP, 0 : SHAPE[1] + STEP : STEP]
    shape = (1.0 + 0.2 * (x - 319.5) / RADIUS - 0.3 * (y - 239.5) / RADIUS)[..., None]
    np.testing.assert_allclose(plain.scale / seen.scale, np.broadcast_to(shape, seen.scale.shape), rtol=1e-5)
    np.testing.assert_allclose(plain.offset + 100.0, (seen.offset + 100.0) * shape, rtol=1e-4, atol=0.01)
    np.testing.assert_allclose(seen.weight / plain.weight, np.broadcast_to(shape**2, seen.weight.shape), rtol=1e-4)


def test_weight_is_the_inverse_variance_times_the_quality():
    lattices = calibration(CORRECTION, FRAME, (10.0, 8.0, 9.0), GRID, SHAPE, Feather(), False, LEVEL)
    np.testing.assert_allclose(lattices.weight, 0.5 / lattices.variance, rtol=1e-5)
    centre = lattices.variance[15, 20]  # near the frame's centre F is 1
    area = pixel_area(FRAME, 320, 240) / GRID.scale**2
    np.testing.assert_allclose(centre, (np.array([10, 8, 9]) / np.array([0.8, 0.7, 0.9])) ** 2 / area, rtol=0.01)
    equal = calibration(CORRECTION, FRAME, (10.0, 8.0, 9.0), GRID, SHAPE, Feather(), True, LEVEL)
    np.testing.assert_allclose(equal.weight, 0.5)


def test_radial_feathering_falls_to_its_floor():
    feather = Feather(radial_fraction=0.8, radial_power=2.0, radial_floor=0.1)
    plain = calibration(CORRECTION, FRAME, (10.0, 8.0, 9.0), GRID, SHAPE, Feather(), True, LEVEL).weight[..., 0]
    ratio = calibration(CORRECTION, FRAME, (10.0, 8.0, 9.0), GRID, SHAPE, feather, True, LEVEL).weight[..., 0] / plain
    assert ratio[15, 20] > 0.999
    assert ratio[0, 0] == pytest.approx(0.1)


def test_a_crop_moves_the_margin():
    margins = Feather(taper=80, crop=0.18).margins(1000, 2000)
    np.testing.assert_allclose(margins, [183.5, 363.5, 80])


def test_clipping_bias_is_what_cutting_at_zero_adds():
    rng = np.random.default_rng(1)
    for mean in (-20.0, 30.0, 95.0, 400.0):
        sample = np.maximum(rng.normal(mean, 59.0, 2_000_000), 0).mean() - mean
        assert float(clipping_bias(mean, 59.0)) == pytest.approx(sample, abs=0.15)


def test_a_surface_is_the_sum_of_its_terms_on_any_grid():
    rng = np.random.default_rng(3)
    u, v = np.linspace(-0.7, 0.7, 9), np.linspace(-0.4, 0.4, 5)[:, None]
    for terms in (1, PLANE, TERMS):
        coefficients = rng.normal(size=terms)
        coefficients[terms // 2] = 0.0
        expected = surface_basis(*np.broadcast_arrays(u, v), terms) @ coefficients
        np.testing.assert_allclose(surface_at(coefficients, u, v), expected, atol=1e-12)
    assert surface_basis(u, np.zeros(9))[3, 21] == pytest.approx(u[3] ** 6)
