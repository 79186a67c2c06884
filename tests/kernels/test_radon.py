"""Sums along lines against slow and obvious twins."""

import numpy as np
import pytest

from zemosaic.kernels.radon import band_pixels, binned, line_sums, profile_sums


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


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.2, -0.9])
def test_bands_and_what_lies_across_them(angle):
    y, x = np.mgrid[:33, :47]
    sine, cosine = np.sin(angle), np.cos(angle)
    for offset, reach in [(20 * sine + 15 * cosine, 3.2), (90.0, 2.0), (-2.0, 4.0)]:
        across = x * sine + y * cosine - offset
        expected = np.nonzero(np.abs(across) <= reach)
        room = np.zeros(2000, np.int64), np.zeros(2000, np.int64)
        n = band_pixels(47, sine, cosine, offset, reach, *room, 33)
        np.testing.assert_array_equal(np.stack(room)[:, :n], np.stack(expected))
        assert band_pixels(47, sine, cosine, offset, reach, room[0][:0], room[1][:0], 33) == n
    values = np.random.default_rng(1).normal(size=(33, 47)).astype(np.float32)
    total, count = np.zeros(9), np.zeros(9, np.int64)
    profile_sums(y.ravel(), x.ravel(), values.ravel(), sine, cosine, 10.2, total, count)
    place = np.rint(x * sine + y * cosine - 10.2)
    for k in range(-4, 5):
        assert count[k + 4] == (place == k).sum()
        assert total[k + 4] == pytest.approx(values[place == k].sum(), abs=1e-4)
