"""Sky in cells, and the damaged pixels that stay out of it."""

import numpy as np
import pytest
from scipy.special import ndtr
from test_stars import SIGMA, SKY, grid, planes, sensor

from zemosaic.imaging.noise import noise_growth, sky_noise
from zemosaic.imaging.sky import CELL, damaged_pixels, left_mesh, repaired, sky_level, sky_mesh, uncut_mean
from zemosaic.model import SkyMesh


@pytest.mark.parametrize("shape", [(64, 48), (66, 50), (18, 100), (11, 7)])
@pytest.mark.parametrize("pattern", ["GRBG", "BGGR", None])
def test_cells_are_plain_means(shape, pattern):
    rng = np.random.default_rng(0)
    raw = rng.normal(500, 50, shape).astype(np.float32)
    damaged = rng.random(shape) < 0.02
    mesh = sky_mesh(raw, pattern, damaged, (50.0,) * 3, 0.0)
    letters = np.array(list(pattern or "RRRR")).reshape(2, 2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for cy in range(-(-shape[0] // CELL)):
        for cx in range(-(-shape[1] // CELL)):
            for channel, letter in enumerate("RGB" if pattern else "R"):
                mine = (y // CELL == cy) & (x // CELL == cx) & ~damaged & (letters[y % 2, x % 2] == letter)
                assert mesh.mean[cy, cx, channel] == pytest.approx(raw[mine].mean(dtype=float), rel=1e-6)


def test_cell_without_data_is_nan():
    data = np.full((3, 40, 40), 7, np.float32)
    data[:, 16:32, :16] = np.nan
    mesh = sky_mesh(data, None, None, (1.0, 1.0, 1.0), 0.0)
    assert mesh.mean.shape == (3, 3, 3)
    assert np.isnan(mesh.mean[1, 0]).all()
    assert np.isfinite(np.delete(mesh.mean.reshape(9, 3), 3, axis=0)).all()


@pytest.mark.parametrize("z", [-2.0, -0.5, 0.0, 1.6, 3.0, 8.0])
def test_uncut_mean_inverts_the_formula(z):
    cut = z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    assert uncut_mean(59 * cut, 59.0) == pytest.approx(59 * z, abs=1e-6)


def test_uncut_mean_of_nothing():
    below, unknown = uncut_mean([0.0, np.nan], 59.0)
    assert below == -3 * 59
    assert np.isnan(unknown)


def test_sky_of_a_cut_frame():
    raw = np.maximum(np.round(np.random.default_rng(1).normal(95, 59, (960, 1080))), 0).astype(np.float32)
    sigma = (59.0, 59.0, 59.0)
    damaged = damaged_pixels(raw, "GRBG", sigma)
    mesh = sky_mesh(raw, "GRBG", damaged, sigma, float(np.mean(raw == 0)))
    np.testing.assert_allclose(mesh.mean.mean(axis=(0, 1)), 95, atol=0.25)  # 59 / sqrt(259200) = 0.12 for R and B
    assert raw.mean() > 96.2


def test_sky_of_a_cut_frame_whose_noise_grows_with_its_level():
    """Vignetting and a gradient, photons of 0.1 electrons per ADU: with one noise for all the dark corner is 0.3 ADU too low."""
    rng = np.random.default_rng(4)
    level = np.linspace(60.0, 130.0, 1920)[:, None] * np.ones(1080)
    sigma = np.sqrt(50.0**2 + 10.0 * level)
    raw = np.maximum(np.round(level + sigma * rng.normal(size=level.shape)), 0).astype(np.float32)
    growth, noise = noise_growth(raw, "GRBG"), sky_noise(raw, "GRBG")
    assert growth == pytest.approx((10.0,) * 3, abs=3.0)
    rows = np.array([level[k * CELL : (k + 1) * CELL].mean() for k in range(120)])
    errors = []
    for known in (growth, ()):
        mesh = sky_mesh(raw, "GRBG", None, noise, float(np.mean(raw == 0)), known)
        away = mesh.mean.mean(axis=(1, 2)) - rows
        errors.append(np.std([part.mean() for part in np.array_split(away, 6)]))
    assert errors[0] < 0.12 < 0.25 < errors[1]
    assert noise_growth(raw[:200, :200], "GRBG") == (0.0, 0.0, 0.0)


def test_level_is_that_of_the_sky_between_the_stars():
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 600, 700), rng.uniform(0, 480, 700)
    light = planes(x, y, 8e3 * rng.random(700) ** -0.8, 3.5, shape=(480, 600))
    mesh = sky_mesh(sensor(light, rng), "GRBG", None, SIGMA, 0.0)
    np.testing.assert_allclose(sky_level(mesh), SKY, atol=0.2 * min(SIGMA))
    assert np.all(mesh.mean.mean(axis=(0, 1)) > np.array(SKY) + 0.3 * max(SIGMA))


def test_level_without_data():
    assert np.isnan(sky_level(SkyMesh(np.full((2, 2, 1), np.nan, np.float32), CELL))).all()


@pytest.mark.parametrize("pattern", ["GRBG", None])
def test_planted_pixels_are_found_and_stars_are_not(pattern):
    rng = np.random.default_rng(3)
    shape = (800, 1000)
    x, y = grid(rng, shape, 40)
    light = planes(x, y, rng.uniform(1e3, 3e5, len(x)), 2.2, shape=shape)
    clean = sensor(light, rng, pattern) if pattern else (light[1] + rng.normal(996, 89, shape)).astype(np.float32)
    sigma = SIGMA if pattern else (89.0,)
    assert damaged_pixels(clean, pattern, sigma).sum() <= 2
    distance = np.full(shape, np.inf)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    for xi, yi in zip(x, y):
        near = np.s_[max(int(yi) - 8, 0) : int(yi) + 9, max(int(xi) - 8, 0) : int(xi) + 9]
        distance[near] = np.minimum(distance[near], np.hypot(xx[near] - xi, yy[near] - yi))
    place = rng.choice(np.flatnonzero(distance > 6), 600, replace=False)
    raw = clean.copy()
    raw.flat[place[:500]] += 89 * rng.uniform(9, 400, 500).astype(np.float32)
    raw.flat[place[500:]] = 0.0
    bad = damaged_pixels(raw, pattern, sigma)
    assert bad.flat[place].mean() > 0.97
    assert bad.sum() - bad.flat[place].sum() <= 10  # noise beside one planted
    fixed = repaired(raw, pattern, bad)
    assert np.all(fixed[~bad] == raw[~bad])
    error = (fixed - clean)[bad]
    assert np.abs(error).max() < 600
    assert error.std() < 1.4 * 89


def test_pairs_of_hot_pixels_are_found():
    rng = np.random.default_rng(6)
    raw = sensor(np.zeros((3, 200, 300)), rng)
    y, x = (grid.ravel() for grid in np.mgrid[10:190:20, 10:290:20])
    dy, dx = np.array([(0, 1), (1, 0), (1, 1), (1, -1)])[rng.integers(0, 4, len(x))].T
    raw[y, x] += 3000
    raw[y + dy, x + dx] += 2500
    bad = damaged_pixels(raw, "GRBG", SIGMA)
    assert bad[y, x].mean() > 0.99
    assert bad[y + dy, x + dx].mean() > 0.99
    assert np.abs((repaired(raw, "GRBG", bad) - raw)[~bad]).max() == 0


def test_a_star_of_one_colour_is_left_alone():
    """FWHM 2 px, half the green and a fifth of the blue, centred on a red pixel: as sharp and as red as stars get."""
    light = planes([101.0], [100.0], 4e4, 2.0, (1.0, 0.5, 0.2), (200, 200))
    raw = sensor(light, np.random.default_rng(5))
    assert not damaged_pixels(raw, "GRBG", SIGMA)[95:106, 95:107].any()


def test_what_a_model_leaves_in_cells():
    rng = np.random.default_rng(7)
    raw, colours, sigma = (
        rng.normal(500, 50, (66, 50)).astype(np.float32),
        np.array([[1, 0], [2, 1]]),
        np.full((2, 2), 50.0),
    )
    model, spread, skipped = np.full_like(raw, 490.0), np.zeros_like(raw), np.zeros(raw.shape, bool)
    mean = left_mesh(raw, model, spread, skipped, colours, sigma, 3)
    np.testing.assert_allclose(mean, sky_mesh(raw, "GRBG", None, (50.0,) * 3, 0.0).mean - 490.0, atol=1e-3)
    spread[:CELL, : CELL // 2 + 2] = 151.0  # starlight on more than half of the first cell
    model[CELL : 2 * CELL, :CELL] = np.nan
    raw[2 * CELL, 2] = 9e4
    skipped[2 * CELL, 2] = True
    mean = left_mesh(raw, model, spread, skipped, colours, sigma, 3)
    assert np.isnan(mean[:2, 0]).all() and np.isfinite(mean[2:]).all() and np.abs(mean[2]).max() < 60
    plane = left_mesh(raw, model, spread, skipped, np.full((2, 2), 1), sigma, 3)
    assert np.isnan(plane[..., [0, 2]]).all() and np.isfinite(plane[2:, :, 1]).all()


@pytest.mark.parametrize("shape", [(64, 48), (66, 50), (18, 101), (11, 7), (0, 0)])
def test_what_a_model_leaves_is_its_slow_twin(shape):
    rng = np.random.default_rng(2)
    raw, model = (rng.normal(100, 30, shape).astype(np.float32) for _ in range(2))
    spread = rng.uniform(0, 10, shape).astype(np.float32)
    for each in (raw, model, spread):
        each[rng.random(shape) < 0.1] = np.nan
    skipped = rng.random(shape) < 0.1
    colours, sigma = np.array([[1, 0], [2, 1]]), np.array([[2.0, 2.5], [3.0, 3.5]])
    cells = (-(-shape[0] // CELL), -(-shape[1] // CELL), 3)
    total, count, pixels = np.zeros((3, *cells))
    for y in range(shape[0]):
        for x in range(shape[1]):
            at = y // CELL, x // CELL, colours[y % 2, x % 2]
            left = float(raw[y, x]) - float(model[y, x])
            pixels[at] += 1
            if np.isfinite(left) and not skipped[y, x] and spread[y, x] < 3.0 * sigma[y % 2, x % 2]:
                total[at] += left
                count[at] += 1
    expected = np.where(count > 0.5 * pixels, total / np.maximum(count, 1), np.nan)
    mean = left_mesh(raw, model, spread, skipped, colours, sigma, 3)
    np.testing.assert_allclose(mean, expected, rtol=1e-4, atol=1e-4)
    assert mean.size == 0 or (np.isfinite(mean).any() and np.isnan(mean).any())
