"""Hough transform: a vote of every pixel for every line through it (Duda & Hart 1972, CACM 15, 11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["accumulate"]


@kernel
def accumulate(
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    values: NDArray[np.float32],
    sines: NDArray[np.float64],
    cosines: NDArray[np.float64],
    reach: int,
    out: NDArray[np.float32],
) -> None:
    """Sum the points along the lines x sin + y cos = offset.

    ys, xs : (m,) int64; values : (m,) float32
    sines, cosines : (n,) float64
    out : (n, 2 * reach + 1) float32, out: sum over each line; offset 0 in the middle, `reach` at least the largest offset
    """
    for k in range(sines.size):
        for m in range(values.size):
            out[k, int(ys[m] * cosines[k] + xs[m] * sines[k] + reach + 0.5)] += values[m]
