"""The largest rectangle of a mask: row by row, with the heights of what is set above each place on a stack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["largest_rectangle"]


@kernel
def largest_rectangle(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Rows y0..y1 and columns x0..x1, half open, of the largest rectangle in which all is set; of equal ones the first.

    mask : (h, w) bool. Nothing is set: (0, 0, 0, 0). Work grows as h * w, memory as w.
    """
    h, w = mask.shape
    height, begins, heights = np.zeros(w + 1, np.int64), np.zeros(w + 1, np.int64), np.zeros(w + 1, np.int64)
    most, y0, y1, x0, x1 = 0, 0, 0, 0, 0
    for y in range(h):
        for x in range(w):
            height[x] = height[x] + 1 if mask[y, x] else 0
        open_ones = 0  # rising heights, each with the column where a rectangle as high begins
        for x in range(w + 1):
            begin = x
            while open_ones > 0 and heights[open_ones - 1] >= height[x]:
                open_ones -= 1
                begin = begins[open_ones]
                area = heights[open_ones] * (x - begin)
                if area > most:
                    most, y0, y1, x0, x1 = area, y + 1 - heights[open_ones], y + 1, begin, x
            begins[open_ones], heights[open_ones] = begin, height[x]
            open_ones += 1
    return y0, y1, x0, x1
