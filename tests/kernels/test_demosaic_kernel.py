"""The demosaicing kernels against slow, obvious twins."""

import numpy as np
import pytest

from zemosaic.kernels.calibrate import calibrate
from zemosaic.kernels.demosaic import bilinear, calibrated_cubic

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


# taps of green where there is none, of red and blue along an axis; by distance from the pixel
QUINCUNX = {(0, 1): 10 / 32, (1, 2): -1 / 32}
AXIS = {0: 1.0, 1: 9 / 16, 3: -1 / 16}


def naive_cubic(raw, colours):
    """Each colour from its own pixels, on the frame continued by reflection."""
    h, w = raw.shape
    padded, out = np.pad(raw, 3, mode="reflect"), np.zeros((h, w, 3))
    for y, x, dy, dx in np.ndindex(h, w, 7, 7):
        dy, dx = dy - 3, dx - 3
        channel, sample = colours[(y + dy) % 2, (x + dx) % 2], padded[y + dy + 3, x + dx + 3]
        if channel != 1:
            # a sample lies one pixel away along an axis, or three, or on the place itself
            out[y, x, channel] += AXIS.get(abs(dy), 0.0) * AXIS.get(abs(dx), 0.0) * sample
        elif colours[y % 2, x % 2] == 1:
            out[y, x, 1] += (dy == dx == 0) * sample
        else:
            out[y, x, 1] += QUINCUNX.get(tuple(sorted((abs(dy), abs(dx)))), 0.0) * sample
    return out


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("row0", "shape"), [(0, (40, 53)), (16, (21, 18)), (23, (4, 4))])
def test_calibrated_cubic_is_calibration_and_then_the_obvious_twin(pattern, row0, shape):
    rng = np.random.default_rng(4)
    raw, colours = rng.normal(1000, 100, shape).astype(np.float32), np.array(PATTERNS[pattern], np.int64)
    scale, offset = (rng.uniform(low, 2 * low, (5, 5, 3)).astype(np.float32) for low in (1.0, 50.0))
    values = np.empty(shape, np.float32)
    calibrate(raw, row0, colours, scale, offset, 16, values)
    expected = naive_cubic(values.astype(float), np.roll(colours, -(row0 % 2), axis=0))
    out = np.full((*shape, 4), np.nan, np.float32)
    calibrated_cubic(raw, row0, colours, scale, offset, 16, out)
    np.testing.assert_allclose(out[..., :3], expected, rtol=1e-5)
    assert np.all(out[..., 3] == 1.0)


def test_a_cubic_keeps_cubic_surfaces():
    y, x = np.mgrid[0:30, 0:34].astype(float)
    surface = 5.0 + 0.3 * x - 0.2 * y + 0.01 * x * y + 0.004 * x * x * x - 0.003 * y * y * x
    ones, out = np.ones((3, 4, 3), np.float32), np.empty((30, 34, 4), np.float32)
    calibrated_cubic(surface.astype(np.float32), 0, np.array(PATTERNS["GRBG"], np.int64), ones, 0 * ones, 16, out)
    np.testing.assert_allclose(out[3:-3, 3:-3, :3], np.repeat(surface[3:-3, 3:-3, None], 3, axis=2), atol=1e-4)


def test_every_raw_pixel_enters_with_the_weight_of_its_colour():
    """Four pixels' worth of red or blue, two of green: means over an area are as noisy as those of the raw pixels."""
    ones, out = np.ones((3, 3, 3), np.float32), np.empty((20, 24, 4), np.float32)
    for y, x, channel, share in [(9, 11, 1, 2.0), (10, 12, 1, 2.0), (10, 11, 0, 4.0), (9, 12, 2, 4.0)]:
        raw = np.zeros((20, 24), np.float32)
        raw[y, x] = 1.0
        calibrated_cubic(raw, 0, np.array(PATTERNS["GRBG"], np.int64), ones, 0 * ones, 16, out)
        expected = np.zeros(3)
        expected[channel] = share
        np.testing.assert_allclose(out[..., :3].sum(axis=(0, 1)), expected, atol=1e-6)
