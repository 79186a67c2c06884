"""Sums along all lines of an image at once.

The discrete Radon transform of Goetz & Druck (1996, Pattern Recognition 29, 711) and Brady (1998, SIAM J. Comput. 27, 107): a
line through twice as many rows is two lines through half of them, one after the other. It has found streaks before: Nir, Zackay
& Ofek (2018, AJ 156, 229).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["band_pixels", "binned", "line_sums", "profile_sums"]


@kernel
def binned(score: NDArray[np.float32], mask: NDArray[np.bool_], limit: float, out: NDArray[np.float32]) -> None:
    """Sums of b x b pixels over b, so that unit noise stays unit noise.

    score : (h, w) float32, cut at +- `limit`; NaN counts 0, and so does what is in the mask
    out : (h // b, w // b) float32, out
    """
    b = score.shape[0] // out.shape[0]
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            total = np.float32(0.0)
            for y in range(j * b, (j + 1) * b):
                for x in range(i * b, (i + 1) * b):
                    value = score[y, x]
                    if value == value and not mask[y, x]:
                        total += min(max(value, np.float32(-limit)), np.float32(limit))
            out[j, i] = total / np.float32(b)


@kernel
def _twice_as_long(now: NDArray[np.float32], half: int, rows: int, left: int, out: NDArray[np.float32]) -> None:
    """Lines through twice `half` rows, of the first `rows`, from column `left` on."""
    width = out.shape[1] - left
    for first in range(0, rows, 2 * half):
        for s in range(2 * half):
            # rows that begin at `left`: of places counted from 0 the compiler knows that they are not negative
            upper, lower = now[first + s // 2, left:], now[first + half + s // 2, left:]
            into, skip = out[first + s, left:], (s + 1) // 2
            for x in range(width - skip):
                into[x] = upper[x] + lower[x + skip]
            for x in range(max(width - skip, 0), width):
                into[x] = upper[x]


@kernel
def line_sums(image: NDArray[np.float32], scratch: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """out[s, x] = sum of an image (h, w) along the line from column x - n of row 0 to column x - n + s of row n - 1.

    A line keeps to within log2(n) / 6 pixels of the straight one. Beyond the image there is 0.

    scratch, out : (n, w + n) float32, out, n a power of 2, at least h
    """
    n = out.shape[0]
    levels = 0
    while 1 << levels < n:
        levels += 1
    # the last level writes to `out`; rows below the image, and columns that no line has reached yet, stay 0
    out[:], scratch[:] = 0.0, 0.0
    begin = out if levels % 2 == 0 else scratch
    begin[: image.shape[0], n:] = image
    for level in range(levels):
        half = 1 << level
        if (levels - level) % 2 == 0:
            _twice_as_long(out, half, image.shape[0], n + 1 - 2 * half, scratch)
        else:
            _twice_as_long(scratch, half, image.shape[0], n + 1 - 2 * half, out)


@kernel
def band_pixels(
    width: int,
    sine: float,
    cosine: float,
    offset: float,
    reach: float,
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    height: int,
) -> int:
    """Pixels of an image (height, width) with |x sine + y cosine - offset| <= reach, row by row.

    ys, xs : out, as many as there is room for; returns how many there are
    """
    n = 0
    for y in range(height):
        first, last = 0, width - 1
        rest = offset - y * cosine
        if abs(sine) * width > 1e-9:
            ends = (rest - reach) / sine, (rest + reach) / sine
            first = max(first, int(math.ceil(max(min(ends), -1.0))) - 1)
            last = min(last, int(math.floor(min(max(ends), float(width)))) + 1)
        for x in range(first, last + 1):
            if abs(x * sine - rest) <= reach:
                if n < ys.size:
                    ys[n], xs[n] = y, x
                n += 1
    return n


@kernel
def profile_sums(
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    values: NDArray[np.float32],
    sine: float,
    cosine: float,
    offset: float,
    total: NDArray[np.float64],
    count: NDArray[np.int64],
) -> None:
    """Add up values by their distance x sine + y cosine - offset from a line, rounded; the middle of the bins is 0.

    total, count : (2 * reach + 1,) out, zero on entry; what is farther away is left out
    """
    reach = total.size // 2
    for k in range(values.size):
        place = int(np.rint(xs[k] * sine + ys[k] * cosine - offset)) + reach
        if 0 <= place < total.size:
            total[place] += values[k]
            count[place] += 1
