"""Kernels around single stars against slow and obvious twins, and the kernel of the noise."""

import numpy as np
import pytest
import sep

from zemosaic.imaging.photometry import _covered
from zemosaic.kernels.noise import core_square, pairs_in_tiles
from zemosaic.kernels.stars import half_light_radii, ring_means, subtract_coarse


@pytest.fixture
def image():
    y, x = np.mgrid[:80, :70]
    star = 900 * np.exp(-((x - 30.3) ** 2 + (y - 40.8) ** 2) / (2 * 1.7**2)) + 300 * np.exp(
        -((x - 2.0) ** 2 + (y - 77.4) ** 2) / (2 * 2.5**2)
    )
    return (star + np.random.default_rng(1).normal(0, 1, star.shape)).astype(np.float32)


def test_half_of_the_light(image):
    x, y, reach = np.array([30.3, 2.0, 55.0]), np.array([40.8, 77.4, 10.0]), np.array([8.0, 9.0, 6.0])
    out = np.empty(3)
    half_light_radii(image, x, y, reach, out)
    np.testing.assert_allclose(out[:2], sep.flux_radius(image, x, y, reach, 0.5, subpix=5)[0][:2], rtol=2e-3)
    assert out[0] == pytest.approx(1.1774 * np.hypot(1.7, 0.2887), rel=0.01)
    half_light_radii(-image, x[:1], y[:1], reach[:1], out[:1])
    assert np.isnan(out[0])


def naive_mean(values, rounds):
    middle = np.median(values[::4])
    spread = 1.4826 * np.median(np.abs(values[::4] - middle))
    for _ in range(rounds):
        kept = values[np.abs(values - middle) <= 3.0 * spread]
        middle, spread = kept.mean(), kept.std()
    return middle


@pytest.mark.parametrize("count", [1, 2, 7, 200])
def test_means_of_rings(image, count):
    rng = np.random.default_rng(count)
    image[rng.integers(0, 80, 200), rng.integers(0, 70, 200)] += 50
    dy, dx = rng.integers(-9, 10, count), rng.integers(-9, 10, count)
    x, y = rng.uniform(
        (-2, -2), (72, 82), (50, 2)
    ).T  # strided as those of a list of stars: else another kernel is compiled
    out = np.empty(50)
    ring_means(image, x, y, dy, dx, 3.0, 3, out)
    for k in range(50):
        rows = np.clip(int(np.rint(y[k])) + dy, 0, 79)
        columns = np.clip(int(np.rint(x[k])) + dx, 0, 69)
        assert out[k] == pytest.approx(naive_mean(image[rows, columns].astype(float), 3), abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 2), (7, 10), (12, 9)])
def test_the_background_between_every_second_pixel(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    plane = (3.0 + 0.5 * x - 0.25 * y).astype(np.float32)
    image = plane.copy()
    subtract_coarse(image, np.ascontiguousarray(plane[::2, ::2]))
    inside = image[: shape[0] // 2 * 2 - 1, : shape[1] // 2 * 2 - 1]
    np.testing.assert_allclose(inside, 0.0, atol=1e-6)
    np.testing.assert_allclose(image, 0.0, atol=0.51)


@pytest.mark.parametrize("shape", [(60, 90), (9, 40), (8, 8)])
def test_the_area_of_circles_in_the_frame(shape):
    rng = np.random.default_rng(4)
    x, y = rng.uniform(-3, shape[1] + 2, 300), rng.uniform(-3, shape[0] + 2, 300)
    for radius in (1.3, 6.0):
        expected = sep.sum_circle(np.ones(shape, np.float32), x, y, radius, subpix=0)[0]
        np.testing.assert_allclose(_covered(shape, x, y, radius), expected, rtol=1e-6, atol=1e-6)


def test_pairs_and_what_lies_around_them():
    plane = np.random.default_rng(2).normal(100, 10, (40, 75)).astype(np.float32).T
    rows, columns, first, step = 7, 5, 1, 2
    across, down = (plane.shape[1] - 2) // 2 // columns, (plane.shape[0] - 2) // rows
    around, left, right = (np.full((len(range(first, across * down, step)), 35), np.nan, np.float32) for _ in range(3))
    pairs_in_tiles(plane, rows, columns, first, step, around, left, right)
    for n, t in enumerate(range(first, across * down, step)):
        for k in range(35):
            y = 1 + rows * (t // across) + k // columns
            x = 1 + 2 * (columns * (t % across) + k % columns)
            assert (left[n, k], right[n, k]) == (plane[y, x], plane[y, x + 1])
            block = plane[y - 1 : y + 2, x - 1 : x + 3]
            assert around[n, k] == pytest.approx(block.sum() - left[n, k] - right[n, k], rel=1e-5)


def test_mean_square_of_the_core():
    values = np.array([1.0, -2.0, 50.0, np.nan], np.float32)
    assert core_square(values, 3.0) == pytest.approx(2.5)
    assert core_square(values[:3], np.inf) == pytest.approx(835.0)
    assert np.isnan(core_square(values, 0.5))
