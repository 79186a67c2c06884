"""Differences of neighbouring pixels of a colour, tile by tile, for the noise of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["core_square", "pairs_in_tiles"]


@kernel
def pairs_in_tiles(
    plane: NDArray[np.float32],
    rows: int,
    columns: int,
    first: int,
    step: int,
    around: NDArray[np.float32],
    left: NDArray[np.float32],
    right: NDArray[np.float32],
) -> None:
    """Pairs of horizontal neighbours, and the sums of the ten pixels around each, in every `step`-th tile from `first` on.

    A tile holds `rows` x `columns` pairs; that of number t has its first pair in row 1 + rows * (t // across), column 1 +
    2 * columns * (t % across), and `across` tiles fit beside each other with a column to spare on either side.

    plane : (h, w) float32, any strides; around, left, right : (tiles, rows * columns) float32, out
    """
    across = (plane.shape[1] - 2) // 2 // columns
    for n in range(around.shape[0]):
        t = first + n * step
        top, start = 1 + rows * (t // across), 1 + 2 * columns * (t % across)
        for r in range(rows):
            for c in range(columns):
                y, x, k = top + r, start + 2 * c, r * columns + c
                total = plane[y - 1, x] + plane[y - 1, x + 1] + plane[y + 1, x] + plane[y + 1, x + 1]
                for j in range(y - 1, y + 2):
                    total += plane[j, x - 1] + plane[j, x + 2]
                around[n, k], left[n, k], right[n, k] = total, plane[y, x], plane[y, x + 1]


@kernel
def core_square(values: NDArray[np.float32], limit: float) -> float:
    """Mean square of the values whose size is at most `limit`; NaN without any."""
    total, count = 0.0, 0
    for k in range(values.size):
        value = float(values[k])
        if abs(value) <= limit:
            total += value * value
            count += 1
    return total / count if count else np.nan
