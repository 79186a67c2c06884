"""Rejection tolerates noise, photon noise and seeing, and nothing else."""

import numpy as np
import pytest

from zemosaic.imaging.reject import noise_curve, outliers, tolerance


def test_the_noise_curve_follows_the_light():
    rng = np.random.default_rng(1)
    light = rng.uniform(0, 4000, 400_000).astype(np.float32)
    sigma, gain = 30.0, 8.0
    truth = sigma**2 + gain * light + (0.08 * light) ** 2
    residual = (rng.normal(size=light.size) * np.sqrt(truth)).astype(np.float32)
    residual[rng.integers(0, light.size, 4000)] += 5000
    curve = noise_curve(residual, light, sigma)
    assert np.median(np.abs(curve / truth - 1)) < 0.08
    assert curve.min() >= sigma**2 * 0.99


def test_pure_noise_is_hardly_rejected():
    rng = np.random.default_rng(2)
    residual = rng.normal(0, 25, (300, 300)).astype(np.float32)
    zero = np.zeros_like(residual)
    score = residual / tolerance(residual, zero, zero, 25.0, 1.57 / 4)
    rejection = outliers(score, 4.0, 4.0)
    assert rejection.mask.mean() < 1e-3


@pytest.mark.parametrize("coverage", [3, 8])
def test_planted_outliers_go_with_their_surroundings(coverage):
    rng = np.random.default_rng(3)
    residual = rng.normal(0, 25, (200, 200)).astype(np.float32)
    residual[50, 60] += 25 * 7
    residual[100:103, 100:103] += 25 * 12
    residual[150, 150] -= 25 * 9
    zero = np.zeros_like(residual)
    rejection = outliers(residual / tolerance(residual, zero, zero, 25.0, 1.57 / coverage), 4.0, 4.0)
    assert rejection.mask[50, 60] and rejection.mask[150, 150]
    assert rejection.mask[99:104, 99:104].all()
    assert rejection.high >= 2 and rejection.low >= 1


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
    score = residual / tolerance(residual, model, spread, 30.0, 0.2)
    assert np.abs(score).max() < 4.0
