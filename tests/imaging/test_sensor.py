"""Sensors whose pixels are known: what the sums over their frames give back."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from zemosaic.imaging.sensor import LEAST_FRAMES, SensorSums, lasting, learn_sensor

SHAPE = (240, 320)
NOISE = 40.0  # ADU
CALM = np.zeros(SHAPE, np.float32)
MANY = np.full(SHAPE, 50, np.uint16)
NOTHING = np.zeros(SHAPE, bool)
PLANES = np.full((2, 2), NOISE)


def halves(residuals, skipped=None):
    """Sums of the first and of the second half of the frames, each an array of residuals."""
    found = [SensorSums.empty(SHAPE), SensorSums.empty(SHAPE)]
    tolerated = np.full(SHAPE, NOISE, np.float32)
    for k, residual in enumerate(residuals):
        raw = (900 + residual).astype(np.float32)
        model = np.full(SHAPE, 900, np.float32)
        half = found[2 * k // len(residuals)]
        half.add_frame(raw, model, tolerated, CALM, MANY, NOTHING if skipped is None else skipped[k], PLANES)
    return found


def noise(frames, seed=0):
    return np.random.default_rng(seed).normal(0, NOISE, (frames, *SHAPE))


@pytest.mark.parametrize("period", [1, 2])
@pytest.mark.parametrize("frames", [LEAST_FRAMES, 40])
def test_pattern_comes_off_as_far_as_the_noise_allows(frames, period):
    pattern = 0.16 * NOISE * np.random.default_rng(1).normal(size=SHAPE)  # as real Seestar S50 have
    found = learn_sensor(*halves(noise(frames) + pattern), period)
    assert found.pattern == pytest.approx(0.16, abs=0.02)
    left = np.mean((pattern - found.offset) ** 2) / np.mean(pattern**2)
    best = 1.0 / (1.0 + frames * 0.16**2)  # Wiener: variance of the error over variance of the mean
    assert left == pytest.approx(best, rel=0.06)
    assert found.bad.sum() == 0


def test_columns_and_rows_are_known_better_than_their_pixels():
    """Stripes of 3 % of the noise, invisible in a pixel of 16 frames (0.25), are means over 120."""
    rng = np.random.default_rng(2)
    stripes = 0.03 * NOISE * (rng.normal(size=(1, SHAPE[1])) + rng.normal(size=(SHAPE[0], 1)))
    found = learn_sensor(*halves(noise(16) + stripes), 2)
    left = np.var(stripes - found.offset) / np.var(stripes)
    assert left < 0.5


@pytest.mark.parametrize("frames", [LEAST_FRAMES, 30])
def test_good_sensor_is_left_alone(frames):
    found = learn_sensor(*halves(noise(frames, 3)), 2)
    assert found.pattern == 0.0
    assert found.bad.sum() == 0
    assert np.mean(np.abs(found.offset) > 0.1 * NOISE) < 5e-4
    assert np.std(found.offset) < 0.02 * NOISE


def test_hot_dead_and_noisy_pixels_are_named_and_warm_ones_corrected():
    rng = np.random.default_rng(4)
    frames, each = 30, 100
    place = rng.permutation(SHAPE[0] * SHAPE[1])[: 5 * each].reshape(5, each)
    residuals = noise(frames, 5)
    flat = residuals.reshape(frames, -1)
    flat[:, place[0]] += NOISE * rng.uniform(4.0, 300.0, each)  # hot
    flat[:, place[1]] -= 20.0 * NOISE  # dead
    flat[:, place[2]] *= 3.0  # noisy
    flat[:, place[3]] += 8.0 * NOISE * (rng.random((frames, each)) < 0.5)  # random telegraph signal
    warm = NOISE * rng.uniform(1.5, 2.3, each)
    flat[:, place[4]] += warm
    found = learn_sensor(*halves(residuals), 2)
    bad = found.bad.ravel()
    assert bad[place[:4]].mean(axis=1).min() >= 0.99
    assert not bad[place[4]].any()
    left = (warm - found.offset.ravel()[place[4]]) / NOISE
    assert abs(left.mean()) < 0.06
    assert left.std() < 1.3 / np.sqrt(frames)
    assert bad.sum() - bad[place[:4]].sum() == 0


def test_one_satellite_hardly_marks_its_pixels():
    residuals = noise(20, 6)
    residuals[3, 100] += 50 * NOISE
    with_it = learn_sensor(*halves(residuals), 2)
    without = learn_sensor(*halves(noise(20, 6)), 2)
    assert np.abs(with_it.offset - without.offset).max() < 0.25 * NOISE  # 4 sigma over 20 frames are 0.2
    assert with_it.bad.sum() == 0
    skipped = np.zeros((20, *SHAPE), bool)
    skipped[3, 100] = True
    told = learn_sensor(*halves(residuals, skipped), 2)
    assert np.abs(told.offset - without.offset).max() < 0.05 * NOISE


def test_field_that_never_moved_teaches_nothing():
    """The pattern is in the model then, and each frame differs from it by its own noise alone."""
    pattern = 0.3 * NOISE * np.random.default_rng(7).normal(size=SHAPE)
    seen = noise(20, 8) + pattern
    found = learn_sensor(*halves(seen - seen.mean(axis=0)), 2)
    assert found.pattern == 0.0
    assert np.std(found.offset) < 0.01 * NOISE


def test_smooth_residuals_are_left_to_others():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    dust = 0.2 * NOISE * np.sin(x / 60.0) * np.cos(y / 80.0)
    found = learn_sensor(*halves(noise(30, 9) + dust), 2)
    assert np.std(found.offset) < 0.2 * np.std(dust)


def test_pixels_under_stars_and_without_a_model_count_nothing():
    sums = SensorSums.empty(SHAPE)
    raw = (900 + noise(1)[0]).astype(np.float32)
    tolerated, spread, samples = np.full(SHAPE, NOISE, np.float32), CALM.copy(), MANY.copy()
    tolerated[0] = np.nan
    spread[1] = 10 * NOISE
    samples[2] = 3
    raw[3] = np.nan
    sums.add_frame(raw, np.full(SHAPE, 900, np.float32), tolerated, spread, samples, NOTHING, PLANES)
    assert sums.planes[:, :4].max() == 0
    assert sums.planes[0, 4:].min() == 1
    assert np.isfinite(sums.planes).all()


def test_frames_that_see_nothing():
    found = learn_sensor(SensorSums.empty(SHAPE), SensorSums.empty(SHAPE), 2)
    assert found.pattern == 0.0
    assert not found.bad.any()
    assert not found.offset.any()


def test_what_a_drift_cannot_tell_from_the_sky_is_not_believed():
    """Warm pixels come off; a band that something else left in the mosaic, smooth along the drift, stays out of the map."""
    rng = np.random.default_rng(10)
    place = rng.permutation(SHAPE[0] * SHAPE[1])[:60]
    pattern = 0.15 * NOISE * rng.normal(size=SHAPE)
    pattern.flat[place] = 2.0 * NOISE
    band = np.zeros(SHAPE)
    band[100:104] = -0.1 * NOISE

    def along(values):
        return uniform_filter1d(values, 41, axis=1, mode="constant")

    residuals = noise(40, 11) + pattern - along(pattern) + band
    found = learn_sensor(*halves(residuals), 1, along)
    believing = learn_sensor(*halves(residuals), 1)
    assert np.mean(believing.offset[100:104, 60:-60]) < -0.03 * NOISE
    assert abs(np.mean(found.offset[100:104, 60:-60])) < 0.015 * NOISE
    assert np.mean(found.offset.flat[place]) > 1.8 * NOISE
    assert np.std(pattern - found.offset) < 0.85 * np.std(pattern)


def test_pixels_that_stand_out_often():
    frames = [np.array([5, 9, 70]), np.array([5, 70]), np.array([5, 11]), np.array([], np.int64)]
    assert lasting(frames).tolist() == [5]
    assert lasting([*frames * 5]).tolist() == [5, 9, 11, 70]
    assert lasting(frames[:2]).size == 0
    assert lasting([]).size == 0
