"""The demosaicing kernel against a slow, obvious twin."""

import numpy as np
import pytest

from zemosaic.kernels.calibrate import calibrate
from zemosaic.kernels.demosaic import bilinear, calibrated_bilinear

PATTERNS = {"RGGB": [[0, 1], [1, 2]], "BGGR": [[2, 1], [1, 0]], "GRBG": [[1, 0], [2, 1]], "GBRG": [[1, 2], [0, 1]]}


def naive(raw, colours):
    """Mean of the nearest samples of each colour, on the frame continued by reflection about its edge pixels."""
    h, w = raw.shape
    padded = np.pad(raw, 1, mode="reflect")
    out = np.empty((h, w, 3))
    for y in range(h):
        for x in range(w):
            around = {}
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    channel = colours[(y + dy) % 2, (x + dx) % 2]
                    sample = padded[y + dy + 1, x + dx + 1]
                    around.setdefault(channel, []).append((dy * dy + dx * dx, sample))
            for channel, samples in around.items():
                nearest = min(distance for distance, _ in samples)
                out[y, x, channel] = np.mean([value for distance, value in samples if distance == nearest])
    return out


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (7, 10), (9, 5), (12, 8)])
def test_agrees_with_the_obvious_twin(pattern, shape):
    raw = np.random.default_rng(3).normal(1000, 100, shape).astype(np.float32)
    colours = np.array(PATTERNS[pattern], np.int64)
    out = np.full((*shape, 3), np.nan, np.float32)
    bilinear(raw, colours, out)
    np.testing.assert_allclose(out, naive(raw.astype(float), colours), rtol=2e-6)


def test_leaves_further_lanes_alone():
    raw = np.ones((6, 6), np.float32)
    out = np.full((6, 6, 4), 7.0, np.float32)
    bilinear(raw, np.array(PATTERNS["GRBG"], np.int64), out)
    assert np.all(out[..., :3] == 1.0)
    assert np.all(out[..., 3] == 7.0)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("row0", "shape"), [(0, (40, 53)), (16, (21, 18)), (23, (2, 2))])
def test_calibrated_on_the_way_it_is_what_the_two_steps_give(pattern, row0, shape):
    rng = np.random.default_rng(4)
    raw, colours = rng.normal(1000, 100, shape).astype(np.float32), np.array(PATTERNS[pattern], np.int64)
    scale, offset = (rng.uniform(low, 2 * low, (5, 5, 3)).astype(np.float32) for low in (1.0, 50.0))
    values, expected = np.empty(shape, np.float32), np.ones((*shape, 4), np.float32)
    calibrate(raw, row0, colours, scale, offset, 16, values)
    bilinear(values, np.roll(colours, -(row0 % 2), axis=0), expected)
    out = np.full((*shape, 4), np.nan, np.float32)
    calibrated_bilinear(raw, row0, colours, scale, offset, 16, out)
    np.testing.assert_allclose(out, expected, rtol=1e-6)
