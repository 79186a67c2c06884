"""Sums of residuals against a slow, obvious twin."""

import numpy as np
import pytest

from zemosaic.kernels.sensor import add_residuals

LIMITS = (4, 1.57, 1.0, 4.0)


def naive(raw, expected, tolerated, spread, samples, skipped, sigma, limits, out):
    least, noise, calm, cut = limits
    for y in range(raw.shape[0]):
        for x in range(raw.shape[1]):
            z = (float(raw[y, x]) - float(expected[y, x])) / float(tolerated[y, x])
            still = samples[y, x] >= least and not skipped[y, x] and np.isfinite(z)
            if still and spread[y, x] <= sigma[y % 2, x % 2] * (calm + 2 * np.sqrt(noise / samples[y, x])):
                z = np.clip(z, -cut, cut)
                out[:, y, x] += [1.0, 1.0 / float(tolerated[y, x]) ** 2, z / float(tolerated[y, x]), z * z]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (20, 17)])
def test_sums(shape):
    rng = np.random.default_rng(shape[0])
    sigma = rng.uniform(5, 15, (2, 2)).astype(np.float32)
    found, slow = np.zeros((4, *shape), np.float32), np.zeros((4, *shape))
    for _ in range(3):
        raw, expected = rng.normal(100, 40, (2, *shape)).astype(np.float32)
        tolerated, spread = rng.uniform(5, 30, (2, *shape)).astype(np.float32)
        raw[rng.random(shape) < 0.1] = np.nan
        expected[rng.random(shape) < 0.1] = np.nan
        tolerated[rng.random(shape) < 0.1] = np.nan
        samples, skipped = rng.integers(0, 12, shape).astype(np.uint16), rng.random(shape) < 0.2
        add_residuals(raw, expected, tolerated, spread, samples, skipped, sigma, LIMITS, found)
        naive(raw, expected, tolerated, spread, samples, skipped, sigma, LIMITS, slow)
    np.testing.assert_allclose(found, slow, rtol=1e-5, atol=1e-6)
