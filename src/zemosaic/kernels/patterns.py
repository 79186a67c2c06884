"""Pattern matching: which similarity brings a pair of image stars, and many others with it, onto catalogue stars?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["best_similarity"]

# About half of the checked stars match a true hypothesis (two fifths in sparse fields), 1 % a false one. A true one survives
# the first look with 95 % or better, and there are dozens of good image pairs. Looks at 10 and 24 took 1.7 times as long.
FIRST_LOOK = 6  # stars checked before a hypothesis without any match is given up
SECOND_LOOK = 16  # ... with fewer than two matches


@kernel
def best_similarity(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    a: int,
    b: int,
    cat_x: NDArray[np.float64],
    cat_y: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    near: NDArray[np.uint8],
    cell: float,
    radius: float,
    parity: int,
    turn: float,
    turn_tolerance: float,
    out: NDArray[np.float64],
) -> int:
    """Try every given catalogue pair, in both orders and parities, against the image pair (a, b).

    Parameters
    ----------
    x, y : (n,) px from the frame's centre, stars to check, in the order in which they are checked.
    cat_x, cat_y : (m,) px, catalogue stars on a plane about the expected centre.
    first, second : (k,) catalogue stars of each pair.
    near : (side, side) 1 where a catalogue star is near; cell (j, i) is centred at ((i - side // 2) cell, (j - side // 2) cell).
    radius : px, how far the frame's centre may lie from the origin.
    parity : +1 for det(CD) > 0, -1, or 0 for both.
    turn, turn_tolerance : rad, allowed angles of the image's x axis on the plane.
    out : (6,) filled with the best hypothesis: matches, real and imaginary part of the multiplier, centre x, y, parity.

    Returns the number of hypotheses that were checked against stars.
    """
    side = near.shape[0]
    half = side // 2
    dx, dy = x[b] - x[a], y[b] - y[a]
    length2 = dx * dx + dy * dy
    cos_turn, sin_turn, cos_limit = math.cos(turn), math.sin(turn), math.cos(turn_tolerance)
    tested = 0
    out[0] = -1.0
    for k in range(first.size):
        for variant in range(4):
            sign = 1.0 if variant < 2 else -1.0
            if parity * sign < 0.0:
                continue
            p, q = (first[k], second[k]) if variant % 2 == 0 else (second[k], first[k])
            ex, ey = cat_x[q] - cat_x[p], cat_y[q] - cat_y[p]
            re = (ex * dx + ey * sign * dy) / length2
            im = (ey * dx - ex * sign * dy) / length2
            if re * cos_turn + im * sin_turn < math.hypot(re, im) * cos_limit:
                continue
            cx = cat_x[p] - (re * x[a] - im * sign * y[a])
            cy = cat_y[p] - (im * x[a] + re * sign * y[a])
            if cx * cx + cy * cy > radius * radius:
                continue
            tested += 1
            matches = 0
            checked = 0
            for s in range(x.size):
                if s == a or s == b:
                    continue
                i = int(math.floor((cx + re * x[s] - im * sign * y[s]) / cell + 0.5)) + half
                j = int(math.floor((cy + im * x[s] + re * sign * y[s]) / cell + 0.5)) + half
                if 0 <= i < side and 0 <= j < side:
                    matches += near[j, i]
                checked += 1
                if (checked == FIRST_LOOK and matches == 0) or (checked == SECOND_LOOK and matches < 2):
                    break
            if matches > out[0]:
                out[0], out[1], out[2] = matches, re, im
                out[3], out[4], out[5] = cx, cy, sign
    return tested
