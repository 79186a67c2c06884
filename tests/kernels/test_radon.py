"""Sums along lines against slow and obvious twins."""

import numpy as np
import pytest

from zemosaic.kernels.radon import binned, line_sums


def column(n, s, y):
    """Where a line of n rows that moves s columns to the right is in row y."""
    if n == 1:
        return 0
    half = n // 2
    return column(half, s // 2, y) if y < half else (s + 1) // 2 + column(half, s // 2, y - half)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 5), (16, 9)])
def test_sums_along_all_lines(shape):
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    n = 1 << (shape[0] - 1).bit_length()
    out = np.full((n, shape[1] + n), np.nan, np.float32)
    line_sums(image, np.empty_like(out), out)
    for s, x in np.ndindex(out.shape):
        places = [(y, x - n + column(n, s, y)) for y in range(shape[0])]
        assert out[s, x] == pytest.approx(sum(image[y, p] for y, p in places if 0 <= p < shape[1]), abs=1e-5)


def test_lines_are_straight():
    n = 256
    for s in range(0, n, 7):
        away = [abs(column(n, s, y) - s * y / (n - 1)) for y in range(n)]
        assert max(away) <= np.log2(n) / 6 + 0.5


def test_bins_hold_what_is_not_hidden():
    rng = np.random.default_rng(2)
    score = rng.normal(0, 3, (23, 18)).astype(np.float32)
    mask = rng.random(score.shape) < 0.1
    score[3, 4] = np.nan
    out = np.full((5, 4), np.nan, np.float32)
    binned(score, mask, 4.0, out)
    kept = np.where(mask | np.isnan(score), 0.0, np.clip(score, -4, 4))[:20, :16]
    np.testing.assert_allclose(out, kept.reshape(5, 4, 4, 4).sum(axis=(1, 3)) / 4, rtol=1e-5)
