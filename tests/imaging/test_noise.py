"""Noise of a raw sky pixel."""

import numpy as np
import pytest
from test_stars import SIGMA, SKY, planes, sensor

from zemosaic.imaging.noise import cut_variance, sky_noise

SHAPE = (960, 1080)


def gaussian(mean, sigma, seed=1, shape=SHAPE):
    return np.random.default_rng(seed).normal(mean, sigma, shape)


def test_each_colour_its_own():
    raw = sensor(np.zeros((3, *SHAPE)), np.random.default_rng(0))
    np.testing.assert_allclose(sky_noise(raw, "GRBG"), SIGMA, rtol=0.01)


def test_mono_and_three_planes():
    data = np.stack([gaussian(500, sigma, seed) for seed, sigma in enumerate((10, 20, 40))]).astype(np.float32)
    np.testing.assert_allclose(sky_noise(data[1], None), 20, rtol=0.01)
    np.testing.assert_allclose(sky_noise(data, None), (10, 20, 40), rtol=0.01)


@pytest.mark.parametrize("shape", [(201, 333), (9, 9), (40, 17)])
def test_odd_and_small_frames(shape):
    noise = sky_noise(gaussian(500, 20, shape=shape).astype(np.float32), "RGGB")
    np.testing.assert_allclose(noise, 20, rtol=12 / np.sqrt(np.prod(shape)))


@pytest.mark.parametrize(("sky", "zeros"), [(100, 0.045), (90, 0.063), (40, 0.25)])
def test_frames_cut_at_zero(sky, zeros):
    raw = np.maximum(np.round(gaussian(sky, 59)), 0).astype(np.float32)
    assert np.mean(raw == 0) == pytest.approx(zeros, abs=0.006)
    np.testing.assert_allclose(sky_noise(raw, "GRBG"), 59, rtol=0.01)


def test_variance_of_a_cut_gaussian():
    values = np.maximum(np.random.default_rng(2).normal(1.5, 1, 2_000_000), 0)
    assert cut_variance(np.mean(values == 0)) == pytest.approx(values.var(), rel=0.004)
    assert cut_variance(0.0) == 1.0


@pytest.mark.parametrize("step", [1, 8, 16])
@pytest.mark.parametrize("sigma", [85, 20])
def test_steps_of_the_converter(step, sigma):
    raw = (np.round(gaussian(2000, sigma) / step) * step).astype(np.float32)
    np.testing.assert_allclose(sky_noise(raw, "GRBG"), np.hypot(sigma, step / np.sqrt(12)), rtol=0.01)


def test_noise_below_one_unit():
    raw = np.round(gaussian(2000, 0.6)).astype(np.float32)
    np.testing.assert_allclose(sky_noise(raw, "GRBG"), np.hypot(0.6, np.sqrt(1 / 12)), rtol=0.02)


def test_blind_to_gradients_and_nebula():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = 2 * x + y + 4000 * np.exp(-((x - 500) ** 2 + (y - 400) ** 2) / 150**2)
    noise = sky_noise((gaussian(900, 80) + light).astype(np.float32), "GRBG")
    np.testing.assert_allclose(noise, 80, rtol=0.01)


def test_blind_to_hot_pixels_and_a_dense_field():
    rng = np.random.default_rng(3)
    n = 4 * SHAPE[0] * SHAPE[1] // 1000  # four stars in 32 x 32 px, as in the Milky Way
    x, y = rng.uniform(0, SHAPE[1], n), rng.uniform(0, SHAPE[0], n)
    light = planes(x, y, 1500 * rng.random(n) ** -0.8, 3.5, shape=SHAPE)
    raw = sensor(light, rng)
    raw.flat[rng.integers(0, raw.size, 1000)] += 5000
    np.testing.assert_allclose(sky_noise(raw, "GRBG"), SIGMA, rtol=0.02)


def test_cut_and_dense_at_once():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, SHAPE[1], 2000), rng.uniform(0, SHAPE[0], 2000)
    light = planes(x, y, 1500 * rng.random(2000) ** -0.8, 3.5, shape=SHAPE)[1]
    raw = np.maximum(np.round(light + gaussian(95, 59)), 0).astype(np.float32)
    np.testing.assert_allclose(sky_noise(raw, "GRBG"), 59, rtol=0.02)


def test_the_black_border_of_a_registered_frame_is_no_sky():
    data = np.repeat(gaussian(sum(SKY) / 3, 30)[None], 3, axis=0).astype(np.float32)
    data[:, :, :400] = 0
    np.testing.assert_allclose(sky_noise(data, None), 30, rtol=0.01)


def test_no_information():
    assert sky_noise(np.full(SHAPE, 700, np.float32), "GRBG") == (0.0, 0.0, 0.0)
    assert sky_noise(np.zeros(SHAPE, np.float32), None) == (0.0,)
