"""Rejection tolerates noise, photon noise and seeing, and nothing else."""

import numpy as np
import pytest

from zemosaic.imaging.calibrate import clipping_bias
from zemosaic.imaging.noise import local_sigma
from zemosaic.imaging.reject import judge, noise_curve, outliers, too_dark, uncut
from zemosaic.kernels.reject import BINS, MIDDLES

GREY = np.zeros((2, 2), np.int64)
GRBG = np.array([[1, 0], [2, 1]])


def scores(residual, light, spread, sigma, samples, sky=100.0, cut=False):
    """Of a frame of one colour."""
    model = (light + sky).astype(np.float32)
    behind = np.full(model.shape, samples, np.uint16)
    return judge((model + residual).astype(np.float32), model, spread, behind, GREY, (sky,), (sigma,), cut).score


def naive_scores(raw, model, spread, samples, channel, sky, sigma, cut):
    """Colour by colour in whole arrays."""
    score = np.full(raw.shape, np.nan)
    for c in range(len(sky)):
        here = (channel == c) & np.isfinite(model) & np.isfinite(raw)
        expected = model[here].astype(float)
        if cut:
            expected += clipping_bias(expected, sigma[c])
        residual, light = raw[here] - expected, np.maximum(expected - sky[c], 0.0)
        edges = [(2.0, 3.0)[b % 2] * 2.0 ** (b // 2) for b in range(BINS)] + [np.inf]
        ratio = light / sigma[c]
        bins = [np.abs(residual[(ratio >= low) & (ratio < high)]) for low, high in zip(edges, edges[1:], strict=False)]
        variances = [(1.4826 * np.median(b)) ** 2 if b.size >= 200 else np.nan for b in bins]
        nodes, values = [1.0], [sigma[c] ** 2]
        for middle, variance in zip(MIDDLES, variances, strict=True):
            if np.isfinite(variance):
                nodes.append(middle)
                values.append(max(variance, values[-1]))
        for middle in MIDDLES[nodes[-1] < MIDDLES]:
            values.append(values[-1] * (middle / nodes[-1]) ** 2)
            nodes.append(middle)
        noise = sigma[c] ** 2 * 1.57 / np.maximum(samples[here], 1)
        gradient = np.maximum(spread[here] - 2 * np.sqrt(noise) - 0.5 * sigma[c], 0.0)
        variance = np.interp(ratio, nodes, values) + noise + (0.1 * light) ** 2 + (0.35 * gradient) ** 2
        scaled = residual / np.sqrt(variance)
        score[here] = np.where((samples[here] <= 2) & (scaled < 0), 0.0, scaled)
    return score


@pytest.mark.parametrize("cut", [False, True])
def test_scores_are_those_of_whole_arrays(cut):
    rng = np.random.default_rng(5)
    shape, sky, sigma = (181, 203), (90.0, 110.0, 95.0), (50.0, 55.0, 60.0)
    channel = GRBG[np.arange(shape[0])[:, None] % 2, np.arange(shape[1]) % 2]
    light = np.exp(rng.uniform(2, 11, shape)) - 60.0
    model = (light + np.array(sky)[channel]).astype(np.float32)
    raw = (model + rng.normal(0, 1, shape) * (50 + 0.12 * np.maximum(light, 0))).astype(np.float32)
    spread = rng.uniform(0, 400, shape).astype(np.float32)
    samples = rng.integers(0, 9, shape).astype(np.uint16)
    model[60:70, 80:99], raw[100, 100] = np.nan, np.nan
    judged = judge(raw, model, spread, samples, GRBG, sky, sigma, cut)
    found = judged.score
    expected = naive_scores(raw, model, spread, samples, channel, sky, sigma, cut)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    many = samples > 2
    np.testing.assert_allclose(((raw - judged.expected) / judged.tolerated)[many], found[many], rtol=1e-5)


def test_the_noise_curve_follows_the_light():
    rng = np.random.default_rng(1)
    sigma, gain = 30.0, 8.0

    def truth(light):
        return sigma**2 + gain * light * sigma + (0.08 * light * sigma) ** 2

    residuals = []
    for middle in MIDDLES:
        light = middle * rng.uniform(0.8, 1.2, 4000 if middle < 300 else 100)
        values = rng.normal(size=light.size) * np.sqrt(truth(light))
        values[::50] += 5000
        residuals.append(np.abs(values).astype(np.float32))
    curve = noise_curve(residuals, sigma)
    for section, light in enumerate(np.concatenate([[2.0], MIDDLES[:-1] * 1.1])):
        variance = curve[section, 0] + curve[section, 1] * light
        assert variance == pytest.approx(truth(light), rel=0.15 if light < 200 else 0.4)
        assert variance > sigma**2 * 0.99
    assert curve[-1, 1] == 0.0


def test_pure_noise_is_hardly_rejected():
    rng = np.random.default_rng(2)
    residual = rng.normal(0, 25, (300, 300)).astype(np.float32)
    zero = np.zeros_like(residual)
    rejection = outliers(scores(residual, zero, zero, 25.0, 4), 4.0, 4.0)
    assert rejection.mask.mean() < 1e-3


@pytest.mark.parametrize("coverage", [3, 8])
def test_planted_outliers_go_with_their_surroundings(coverage):
    rng = np.random.default_rng(3)
    residual = rng.normal(0, 25, (200, 200)).astype(np.float32)
    residual[50, 60] += 25 * 7
    residual[100:103, 100:103] += 25 * 12
    residual[150, 150] -= 25 * 9
    zero = np.zeros_like(residual)
    score = scores(residual, zero, zero, 25.0, coverage)
    rejection = outliers(score, 4.0, 4.0)
    assert rejection.mask[50, 60] and rejection.mask[150, 150]
    assert rejection.mask[99:104, 99:104].all()
    assert rejection.high >= 2 and rejection.low >= 1
    places = np.array([50 * 200 + 60, 101 * 200 + 101, 150 * 200 + 150])
    np.testing.assert_array_equal(too_dark(score, rejection.mask, places), [False, False, True])


def naive_mask(score, low, high):
    """Step by step over the whole frame."""
    mask, weak = (score < -low) | (score > high), (score < -0.5 * low) | (score > 0.5 * high)
    for round in range(3):
        source = mask & (np.abs(score) > 8.0) if round == 2 else mask
        padded = np.pad(source, 1)
        near = np.any(
            [padded[y : y + mask.shape[0], x : x + mask.shape[1]] for y in range(3) for x in range(3)], axis=0
        )
        mask = mask | (near if round == 2 else near & weak)
    return mask


def test_what_belongs_to_an_outlier_goes_with_it():
    rng = np.random.default_rng(6)
    score = rng.normal(0, 2.0, (90, 77)).astype(np.float32)
    score[rng.random(score.shape) < 0.01] *= 5
    score[rng.random(score.shape) < 0.02] = np.nan
    rejection = outliers(score, 3.0, 4.0)
    np.testing.assert_array_equal(rejection.mask, naive_mask(score, 3.0, 4.0))
    assert (rejection.low, rejection.high) == ((score < -3).sum(), (score > 4).sum())


def test_no_model_is_no_reason_to_reject():
    score = np.full((20, 20), np.nan, np.float32)
    score[5, 5] = 30
    mask = outliers(score, 4.0, 4.0).mask
    assert mask[5, 5]
    assert mask.sum() <= 9


def test_seeing_at_the_gradient_of_a_star_is_tolerated():
    y, x = np.mgrid[-12:13, -12:13]
    sharp = 5000 * np.exp(-(x**2 + y**2) / (2 * 1.3**2))
    soft = sharp.max() * (1.3 / 1.6) ** 2 * np.exp(-(x**2 + y**2) / (2 * 1.6**2))
    model = soft.astype(np.float32)
    spread = np.zeros_like(model)
    shifts = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    around = [model[1 + a : 24 + a, 1 + b : 24 + b] for a, b in shifts]
    spread[1:-1, 1:-1] = np.max(around, axis=0) - np.min(around, axis=0)
    residual = (sharp - soft).astype(np.float32)
    assert np.abs(scores(residual, model, spread, 30.0, 8)).max() < 4.0


def test_cores_of_another_profile_are_tolerated_and_outliers_are_not() -> None:
    """In a quarter of the frame the model has an S30's stars, 1.7 times as wide, with a third of the light in their cores."""
    y, x = np.mgrid[-20:21, -20:21]
    star, wide = (20000.0 / w**2 * np.exp(-(x * x + y * y) / (2 * w * w)) for w in (1.45, 2.45))
    raw = np.tile(star, (12, 12)) + 100.0 + np.random.default_rng(1).normal(0.0, 20.0, (492, 492))
    raw[5::41, 5::41] += 300.0
    model = np.tile(star, (12, 12)) + 100.0
    model[:246, :246] = np.tile(wide, (6, 6)) + 100.0
    spread = np.max([np.abs(model - np.roll(model, s, axis=k)) for s in (-1, 1) for k in (0, 1)], axis=0)
    raw, model, spread = (each.astype(np.float32) for each in (raw, model, spread))

    def wrong(unlike):
        samples = np.full(model.shape, 9, np.uint16)
        score = judge(raw, model, spread, samples, GREY, (100.0,), (20.0,), False, unlike).score
        mask = outliers(score, 4.0, 4.0).mask
        return mask[20:246:41, 20:246:41].mean(), mask[5::41, 5::41].mean()

    cores, planted = wrong(0.0)
    assert cores > 0.9 and planted == 1.0
    cores, planted = wrong(0.55)
    assert cores == 0.0 and planted == 1.0


@pytest.mark.parametrize("growth", [(), (0.5, 0.0, 2.0)])
def test_what_cutting_added_is_taken_off_pixel_by_pixel(growth):
    """As the formula has it, with the noise at the level of each pixel; where there is no model the sky stands for it."""
    rng = np.random.default_rng(8)
    model = rng.uniform(-30, 400, (15, 22)).astype(np.float32)
    model[3:5, 6] = np.nan
    sky, sigma = (90.0, 100.0, 95.0), (55.0, 60.0, 58.0)
    raw = rng.uniform(0, 500, model.shape).astype(np.float32)
    found = raw.copy()
    uncut(found, model, GRBG, sky, sigma, growth)
    for y, x in np.ndindex(raw.shape):
        c = GRBG[y % 2, x % 2]
        mean = float(model[y, x]) if np.isfinite(model[y, x]) else sky[c]
        noise = local_sigma(np.array(mean), sigma[c], growth[c] if growth else 0.0, sky[c])
        assert found[y, x] == pytest.approx(raw[y, x] - clipping_bias(mean, noise), abs=2e-3)
