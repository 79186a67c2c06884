"""Passes over the raw pixels: single damaged pixels, and means in cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["cell_sums", "find_damaged"]


@kernel
def _is_alone(raw: NDArray[np.float32], level: NDArray[np.float32], y: int, x: int, contrast: float) -> bool:
    """Whether the neighbours of a pixel do not follow it; level : (2, 2) ADU, sky of the pixels at (y % 2, x % 2)."""
    excess = raw[y, x] - level[y % 2, x % 2]
    sign = 1.0 if excess > 0 else -1.0
    total, count, most = 0.0, 0, -np.inf
    for j in range(max(y - 1, 0), min(y + 2, raw.shape[0])):
        for i in range(max(x - 1, 0), min(x + 2, raw.shape[1])):
            if j != y or i != x:
                other = sign * (raw[j, i] - level[j % 2, i % 2])
                if np.isfinite(other):
                    total += other
                    most = max(most, other)
                    count += 1
    return count > 1 and total - most < contrast * abs(excess) * (count - 1)


@kernel
def find_damaged(
    raw: NDArray[np.float32],
    level: NDArray[np.float32],
    cell: int,
    limit: NDArray[np.float32],
    contrast: float,
    out: NDArray[np.bool_],
) -> None:
    """Mark pixels that stand out from the sky while their eight neighbours, of any colour, do not follow.

    A pixel is damaged when it is more than `limit` away from the sky and the mean excess of its neighbours is less
    than `contrast` times its own. The neighbour that follows most does not count, so that pairs of damaged pixels are
    found. Edge pixels have fewer neighbours; NaN is no neighbour and not damaged.

    raw : (h, w) float32, ADU
    level : (2, 2, ny, nx) float32, ADU, sky of the pixels at (y % 2, x % 2) in cells of `cell` px
    limit : (2, 2) float32, ADU
    out : (h, w) bool
    """
    h, w = raw.shape
    ny, nx = level.shape[2], level.shape[3]
    for y in range(h):
        cy = min(y // cell, ny - 1)
        out[y] = False
        for cx in range(nx):
            left = cx * cell
            part = raw[y, left : (left + cell if cx < nx - 1 else w)]
            for phase in range(2):
                base, bound = level[y % 2, (left + phase) % 2, cy, cx], limit[y % 2, (left + phase) % 2]
                some = 0  # looked for first, in a loop that the compiler takes several of at once
                for i in range(part.size):
                    some += abs(part[i] - base) > bound
                if some > 0:
                    for x in range(left + phase, left + part.size, 2):
                        if abs(raw[y, x] - base) > bound:
                            out[y, x] = _is_alone(raw, level[:, :, cy, cx], y, x, contrast)


@kernel
def cell_sums(
    raw: NDArray[np.float32],
    damaged: NDArray[np.bool_],
    colours: NDArray[np.int64],
    cell: int,
    total: NDArray[np.float64],
    count: NDArray[np.int64],
) -> None:
    """Add up the finite, undamaged pixels of each colour in cells that tile the frame from (0, 0).

    raw : (h, w) float32; damaged : (h, w) bool; colours : (2, 2) channel at (y % 2, x % 2)
    total, count : (ny, nx, channels), zero on entry, ny = ceil(h / cell)
    """
    h, w = raw.shape
    for y in range(h):
        for i in range(total.shape[1]):
            for phase in range(2):
                part, n = 0.0, 0
                first = i * cell
                begin, end = first + (first + phase) % 2, min(first + cell, w)
                values, hidden = raw[y, begin:end:2], damaged[y, begin:end:2]
                for k in range(values.size):
                    good = not hidden[k] and abs(values[k]) < np.inf  # NaN is not
                    part += values[k] if good else 0.0
                    n += good
                channel = colours[y % 2, phase]
                total[y // cell, i, channel] += part
                count[y // cell, i, channel] += n
