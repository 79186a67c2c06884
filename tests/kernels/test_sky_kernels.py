"""Passes over the raw pixels against slow, obvious twins."""

import numpy as np
import pytest

from zemosaic.kernels.sky import cell_sums, find_damaged

SHAPES = [(1, 1), (2, 3), (9, 7), (16, 13)]


def naive_damaged(raw, level, cell, limit, contrast):
    h, w = raw.shape
    sky = np.empty((h, w))
    for y in range(h):
        for x in range(w):
            sky[y, x] = level[y % 2, x % 2, min(y // cell, level.shape[2] - 1), min(x // cell, level.shape[3] - 1)]
    out = np.zeros((h, w), bool)
    for y in range(h):
        for x in range(w):
            at = (min(y // cell, level.shape[2] - 1), min(x // cell, level.shape[3] - 1))
            excess = raw[y, x] - sky[y, x]
            around = [
                raw[j, i] - level[(j % 2, i % 2, *at)]
                for j in range(y - 1, y + 2)
                for i in range(x - 1, x + 2)
                if (j, i) != (y, x) and 0 <= j < h and 0 <= i < w
            ]
            if around and abs(excess) > limit[y % 2, x % 2]:
                known = np.array(around)[np.isfinite(around)]
                rest = np.sort(np.sign(excess) * known)[:-1]
                out[y, x] = len(rest) > 0 and np.mean(rest) < contrast * abs(excess)
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("holes", [False, True])
def test_damaged(shape, holes):
    rng = np.random.default_rng(0)
    raw = rng.normal(100, 30, shape).astype(np.float32)
    raw[rng.random(shape) < 0.2] *= 3
    if holes:
        raw[rng.random(shape) < 0.1] = np.nan
    level = rng.normal(100, 5, (2, 2, 2, 1)).astype(np.float32)
    limit = np.array([[40, 50], [60, 45]], np.float32)
    out = np.ones(shape, bool)
    find_damaged(raw, level, 6, limit, 0.12, out)
    np.testing.assert_array_equal(out, naive_damaged(raw.astype(float), level.astype(float), 6, limit, 0.12))
    assert holes or shape == (1, 1) or out.any()


@pytest.mark.parametrize("shape", [*SHAPES, (0, 0)])
def test_cells(shape):
    rng = np.random.default_rng(1)
    raw = rng.normal(100, 30, shape).astype(np.float32)
    raw[rng.random(shape) < 0.1] = np.nan
    damaged = rng.random(shape) < 0.1
    colours = np.array([[1, 0], [2, 1]])
    cells = (-(-shape[0] // 4), -(-shape[1] // 4), 3)
    total, count = np.zeros(cells), np.zeros(cells, np.int64)
    cell_sums(raw, damaged, colours, 4, total, count)
    expected_total, expected_count = np.zeros(cells), np.zeros(cells, np.int64)
    for y in range(shape[0]):
        for x in range(shape[1]):
            if np.isfinite(raw[y, x]) and not damaged[y, x]:
                expected_total[y // 4, x // 4, colours[y % 2, x % 2]] += raw[y, x]
                expected_count[y // 4, x // 4, colours[y % 2, x % 2]] += 1
    np.testing.assert_array_equal(count, expected_count)
    np.testing.assert_allclose(total, expected_total, rtol=1e-9)
