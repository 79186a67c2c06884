"""Drizzle: what the weighted sums of a colour filter array are divided by, and how much each colour of a place then counts.

A filter array has each pixel in the lane of its own colour and 0 in the others. Six by six taps give the weighted sum of each
colour; the weights of its pixels follow from the place alone, unless pixels are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels._simd import REST, SHIFT

__all__ = ["ALL_THERE", "halves", "weigh_left", "weigh_whole"]

ALL_THERE = 1.0 - 1e-4  # of the taps' weights: no pixel is left out


@kernel
def halves(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2 n,) weights of the taps at even, then at odd offsets from the first, together, of a table (n, 6)."""
    out = np.empty(2 * table.shape[0], np.float32)
    for k in range(table.shape[0]):
        out[2 * k] = table[k, 0] + table[k, 2] + table[k, 4]
        out[2 * k + 1] = table[k, 1] + table[k, 3] + table[k, 5]
    return out


@kernel
def weigh_whole(
    places: NDArray[np.int64],
    span: tuple[int, int],
    parts: NDArray[np.float32],
    red: tuple[int, int],
    lanes: NDArray[np.float32],
    strength: NDArray[np.float32],
) -> None:
    """Sums of each colour to means, and how much they count, where no pixel is left out.

    places : (2 * step,) column and row of the first tap of each pixel, in units of 1 / PHASES px; -1 - row where a pixel of the
        frame is left out, and nothing is done here. parts : `halves` of the table
    red : row and column of the first red pixel, 0 or 1; blue is on the same diagonal; below 0 when all pixels have all colours
    lanes : (4 * step,) in: sums of three colours and of the validity; out: means, and the share of the weights that is valid
    strength : (3 * step,) out: weight of each colour's pixels, 1 on average
    """
    quarter, half, one = np.float32(4.0), np.float32(2.0), np.float32(1.0)
    for k in range(span[0], span[1]):
        column, row = places[2 * k], places[2 * k + 1]
        if row < 0:
            continue
        across, down = 2 * (column & REST), 2 * (row & REST)
        x, y = ((column >> SHIFT) ^ red[1]) & 1, ((row >> SHIFT) ^ red[0]) & 1
        whole = (parts[across] + parts[across + 1]) * (parts[down] + parts[down + 1])
        lanes[4 * k + 3] /= whole
        if red[0] < 0:
            strength[3 * k] = strength[3 * k + 1] = strength[3 * k + 2] = whole
            for c in range(3):
                lanes[4 * k + c] /= whole
            continue
        first, last = parts[across + x] * parts[down + y], parts[across + 1 - x] * parts[down + 1 - y]
        green = whole - first - last
        strength[3 * k], strength[3 * k + 1], strength[3 * k + 2] = quarter * first, half * green, quarter * last
        lanes[4 * k] *= one / first
        lanes[4 * k + 1] *= one / green
        lanes[4 * k + 2] *= one / last


@kernel
def weigh_left(
    image: NDArray[np.float32],
    width: int,
    row0: int,
    places: NDArray[np.int64],
    span: tuple[int, int],
    table: NDArray[np.float32],
    parts: NDArray[np.float32],
    red: tuple[int, int],
    lanes: NDArray[np.float32],
    strength: NDArray[np.float32],
) -> None:
    """What `weigh_whole` leaves, places with pixels that are left out: each tap counts with the validity of its pixel.

    table : (6 * (PHASES + 1),); means are 0 where a colour has no pixel
    """
    for k in range(span[0], span[1]):
        column, row = places[2 * k], -1 - places[2 * k + 1]
        if row < 0:
            continue
        across, down = column & REST, row & REST
        x0, y0 = column >> SHIFT, row >> SHIFT
        total = np.float32(0.0)
        strength[3 * k] = strength[3 * k + 1] = strength[3 * k + 2] = total
        for m in range(6):
            for n in range(6):
                there = image[4 * ((y0 + m - row0) * width + x0 + n) + 3]
                weight = table[6 * down + m] * table[6 * across + n] * there
                total += weight
                by, bx = (y0 + m + red[0]) & 1, (x0 + n + red[1]) & 1
                strength[3 * k + (2 * by if by == bx else 1)] += weight
        if red[0] < 0:
            strength[3 * k] = strength[3 * k + 1] = strength[3 * k + 2] = total
        for c in range(3):
            weight = strength[3 * k + c]
            lanes[4 * k + c] = lanes[4 * k + c] / weight if weight > 0.0 else np.float32(0.0)
            if red[0] >= 0:
                strength[3 * k + c] = weight * np.float32(2.0 if c == 1 else 4.0)
        whole = (parts[2 * across] + parts[2 * across + 1]) * (parts[2 * down] + parts[2 * down + 1])
        lanes[4 * k + 3] = total / whole
