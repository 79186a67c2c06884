"""Threes of stars: the three of each index quad that lack one of its stars, looked up among those of an image.

A quad's code says where its stars are when A is at 0 and B at 1, so its threes are known without the stars. The code of a
three is the place of the third star when the two that are farthest apart are at 0 and 1, the third nearer to 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels.quads import CODE_STEPS

__all__ = ["ACROSS", "ALONG", "CELL", "FIRST_ACROSS", "FIRST_ALONG", "find_triples", "triple_codes"]

CELL = 0.02  # of the map of codes
ALONG, ACROSS = 27, 92  # cells of Re and Im
FIRST_ALONG, FIRST_ACROSS = -0.02, -0.92  # lower edges of the first cells


@kernel
def _code(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    three: NDArray[np.int64],
    order: NDArray[np.int64],
    code: NDArray[np.float64],
) -> None:
    """Order (A, B, C) of three of the points and the code (Re C, Im C)."""
    a, b, c, longest = 0, 1, 2, -1.0
    for p in range(3):
        q, r = (p + 1) % 3, (p + 2) % 3
        length = (x[three[p]] - x[three[q]]) ** 2 + (y[three[p]] - y[three[q]]) ** 2
        if length > longest:
            a, b, c, longest = three[p], three[q], three[r], length
    bx, by = x[b] - x[a], y[b] - y[a]
    norm = max(longest, 1e-300)
    cx, cy = ((x[c] - x[a]) * bx + (y[c] - y[a]) * by) / norm, ((y[c] - y[a]) * bx - (x[c] - x[a]) * by) / norm
    if cx > 0.5:
        a, b = b, a
        cx, cy = 1.0 - cx, -cy
    order[0], order[1], order[2] = a, b, c
    code[0], code[1] = cx, cy


@kernel
def triple_codes(
    x: NDArray[np.float64], y: NDArray[np.float64], triples: NDArray[np.int64], codes: NDArray[np.float64]
) -> None:
    """Codes (n, 2) of threes (n, 3) of points; the threes are put into the order A, B, C."""
    order, three = np.empty(3, np.int64), np.empty(3, np.int64)
    for i in range(len(triples)):
        three[:] = triples[i]
        _code(x, y, three, order, codes[i])
        triples[i] = order


@kernel
def find_triples(
    codes: NDArray[np.float64],
    tolerance: NDArray[np.float64],
    start: NDArray[np.int64],
    entries: NDArray[np.int64],
    quads: NDArray[np.uint32],
    stored: NDArray[np.uint16],
    out: NDArray[np.int64],
    sky: NDArray[np.uint32],
) -> int:
    """Threes of the index quads whose codes are closer to that of an image three than its tolerance.

    Parameters
    ----------
    codes, tolerance : (n, 2), (n,) of the image threes.
    start, entries : image threes near cell c of the map of codes are entries[start[c] : start[c + 1]].
    quads, stored : (q, 4) stars of index quads and their codes.
    out, sky : (capacity,) image three and (capacity, 3) its stars on the sky, filled.

    Returns the number found, at most the capacity.
    """
    count = 0
    x, y, code = np.zeros(4), np.zeros(4), np.empty(2)
    order, three = np.empty(3, np.int64), np.empty(3, np.int64)
    x[1] = 1.0
    for k in range(len(stored)):
        x[2], y[2] = stored[k, 0] / CODE_STEPS - 1.0, stored[k, 1] / CODE_STEPS - 1.0
        x[3], y[3] = stored[k, 2] / CODE_STEPS - 1.0, stored[k, 3] / CODE_STEPS - 1.0
        for left_out in range(4):
            for p in range(3):
                three[p] = p + (p >= left_out)
            _code(x, y, three, order, code)
            i = int(math.floor((code[0] - FIRST_ALONG) / CELL))
            j = int(math.floor((code[1] - FIRST_ACROSS) / CELL))
            if not (0 <= i < ALONG and 0 <= j < ACROSS):
                continue
            cell = i * ACROSS + j
            for e in range(start[cell], start[cell + 1]):
                entry = entries[e]
                off = (codes[entry, 0] - code[0]) ** 2 + (codes[entry, 1] - code[1]) ** 2
                if off < tolerance[entry] ** 2:
                    if count == len(out):
                        return count
                    out[count] = entry
                    for p in range(3):
                        sky[count, p] = quads[k, order[p]]
                    count += 1
    return count
