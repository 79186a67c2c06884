"""Mosaic to frame: the provisional mosaic resampled onto the raw pixels of a frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels._simd import PHASES, REST, SHIFT, four_by_four, prefetch
from zemosaic.kernels.demosaic import CLOSE, NEAR
from zemosaic.kernels.sampling import row_ends

__all__ = ["blot", "invalidate"]

LINE = 16  # float32 in a line of the processor's cache
HALF = PHASES // 2


def _cubic_table() -> NDArray[np.float32]:
    """Catmull-Rom weights of the four taps at -1..2 (Keys 1981, a = -1/2) at PHASES positions, one after the other."""
    t = np.arange(PHASES + 1) / PHASES
    weights = [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    return np.stack(weights, axis=1).astype(np.float32).ravel()


CUBIC_TABLE = _cubic_table()


@kernel
def _bounds(nodes_x: NDArray[np.float64], nodes_y: NDArray[np.float64], cy: int, cx: int) -> tuple[float, ...]:
    """Least and largest x, least and largest y between the four nodes of a cell."""
    x0, x1, x2, x3 = nodes_x[cy, cx], nodes_x[cy + 1, cx], nodes_x[cy, cx + 1], nodes_x[cy + 1, cx + 1]
    y0, y1, y2, y3 = nodes_y[cy, cx], nodes_y[cy + 1, cx], nodes_y[cy, cx + 1], nodes_y[cy + 1, cx + 1]
    return min(x0, x1, x2, x3), max(x0, x1, x2, x3), min(y0, y1, y2, y3), max(y0, y1, y2, y3)


@kernel
def _fetch(flat: NDArray[np.float32], shape: tuple[int, int, int], bounds: tuple[float, ...]) -> None:
    """Fetch what a cell will read: its rows are too many and too short for the processor to foresee.

    flat : (channels * H * W,), a region of the mosaic, `shape`; bounds : of the cell in it
    """
    left, right, top, bottom = bounds[0] - 1.0, bounds[1] + 3.0, bounds[2] - 1.0, bounds[3] + 3.0
    if not (left >= 0.0 and top >= 0.0 and right < shape[2] and bottom < shape[1]):
        return
    for c in range(shape[0]):
        for y in range(int(top), int(bottom) + 1):
            for x in range(int(left), int(right) + LINE, LINE):
                prefetch(flat, (c * shape[1] + y) * shape[2] + x)


@kernel
def _rounded(place: float) -> int:
    """In units of 1 / PHASES px."""
    return int(math.floor(place * PHASES + 0.5))


@kernel
def _place(
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    cell: tuple[int, int],
    down: float,
    across: float,
    step: int,
) -> tuple[float, float, float, float]:
    """x, y in the mosaic of a place in a cell, px from its corner, and what they grow by each pixel along the row."""
    left_x, left_y, right_x, right_y = row_ends(nodes_x, nodes_y, cell[0], cell[1], down / step)
    dx, dy = (right_x - left_x) / step, (right_y - left_y) / step
    return left_x + dx * across, left_y + dy * across, dx, dy


@kernel
def _along(
    nodes: NDArray[np.float32], j: int, i: int, c: int, down: float, across: float, inverse: float
) -> tuple[Any, Any]:
    """Value of a lattice in a cell, `down` of the way down and `across` px along the row, and what it grows by each pixel."""
    share = np.float32(down)
    left = nodes[j, i, c] + (nodes[j + 1, i, c] - nodes[j, i, c]) * share
    right = nodes[j, i + 1, c] + (nodes[j + 1, i + 1, c] - nodes[j, i + 1, c]) * share
    growth = (right - left) * np.float32(inverse)
    return left + growth * np.float32(across), growth


@kernel
def _blot_cell(
    flat: NDArray[np.float32],
    count: NDArray[np.uint16],
    corner: tuple[int, int],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    step: int,
    cell: tuple[int, int],
    colours: NDArray[np.int64],
    shift: NDArray[np.float64],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    piece: int,
    out: NDArray[np.float32],
    spread: NDArray[np.float32],
    samples: NDArray[np.uint16],
) -> None:
    """One cell, two pixels of a colour at a time; arguments as in `blot`, `corner` is the origin in 1 / PHASES px."""
    (H, W), found, left = count.shape, np.empty(4, np.float32), cell[1] * step
    i, inverse, size = left // piece, 1.0 / piece, min(step, out.shape[1] - left)
    begun = left - i * piece  # px of the piece that lie before a cell smaller than it
    last_x, last_y = (W - 2) << SHIFT, (H - 2) << SHIFT
    for y in range(cell[0] * step, min((cell[0] + 1) * step, out.shape[0])):
        row, around, behind = out[y, left:], spread[y, left:], samples[y, left:]
        j = y // piece
        down = (y - j * piece) * inverse
        for phase in range(2):
            c = colours[y % 2, phase]
            x, top, dx, dy = _place(nodes_x, nodes_y, cell, y - cell[0] * step - shift[c, 1], phase - shift[c, 0], step)
            plane = c * H - 1
            for n in range((size + piece - 1) // piece):
                s, ds = _along(scale, j, i + n, c, down, begun + phase, inverse)
                o, do = _along(offset, j, i + n, c, down, begun + phase, inverse)
                first = n * piece + phase
                for one in range(first, min((n + 1) * piece, size), 4):
                    two = one + 2 if one + 2 < size else one  # once more where there is no other
                    # places are rounded before the origin is taken off: they do not depend on what of the mosaic is at hand
                    i0, j0 = (
                        _rounded(x + dx * (one - phase)) - corner[1],
                        _rounded(top + dy * (one - phase)) - corner[0],
                    )
                    i1, j1 = (
                        _rounded(x + dx * (two - phase)) - corner[1],
                        _rounded(top + dy * (two - phase)) - corner[0],
                    )
                    if not (min(i0, i1, j0, j1) >= PHASES and max(i0, i1) < last_x and max(j0, j1) < last_y):
                        for k in (one, two):
                            row[k], around[k], behind[k] = np.nan, 0.0, 0
                        if min(i0, j0) >= PHASES and i0 < last_x and j0 < last_y:
                            two, i1, j1 = one, i0, j0
                        elif min(i1, j1) >= PHASES and i1 < last_x and j1 < last_y:
                            one, i0, j0 = two, i1, j1
                        else:
                            continue
                    four_by_four(
                        flat, (plane + (j0 >> SHIFT)) * W + (i0 >> SHIFT) - 1, (plane + (j1 >> SHIFT)) * W + (i1 >> SHIFT) - 1,
                        W, CUBIC_TABLE, 4 * (i0 & REST), 4 * (j0 & REST), 4 * (i1 & REST), 4 * (j1 & REST), found,
                    )  # fmt: skip
                    k0, k1 = np.float32(one - first), np.float32(two - first)
                    s0, s1 = s + ds * k0, s + ds * k1
                    row[one], around[one] = found[0] * s0 - (o + do * k0), found[1] * s0
                    row[two], around[two] = found[2] * s1 - (o + do * k1), found[3] * s1
                    behind[one] = count[(j0 + HALF) >> SHIFT, (i0 + HALF) >> SHIFT]
                    behind[two] = count[(j1 + HALF) >> SHIFT, (i1 + HALF) >> SHIFT]


@kernel
def blot(
    mosaic: NDArray[np.float32],
    count: NDArray[np.uint16],
    origin: tuple[int, int],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    step: int,
    colours: NDArray[np.int64],
    apart: NDArray[np.float64],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    piece: int,
    out: NDArray[np.float32],
    spread: NDArray[np.float32],
    samples: NDArray[np.uint16],
) -> None:
    """The mosaic at the centres of a frame's pixels, each in the pixel's own colour, times a scale and less an offset.

    mosaic : (channels, H, W) float32, a region of the mosaic whose pixel (0, 0) is `origin` (y, x); NaN is no data
    count : (H, W) uint16, samples in each pixel of the region
    nodes_x, nodes_y : float64, mosaic coordinates of the frame's pixels at multiples of `step`
    colours : (2, 2) int64, channel of each pixel of the colour filter array
    apart : (2, 2) float64, where the light of red and of blue falls, x, y px from green, at most 1; (0, 2): where green does
    scale, offset : (p, q, channels) float32, at the frame's pixels at multiples of `piece`, itself one of 4; it divides `step`,
        or `step` divides it
    out : (h, w) float32, out: NaN where any of the 4 x 4 taps is missing
    spread : (h, w) float32, out: largest minus smallest of the inner 2 x 2 taps and their neighbours along the axes, scaled
    samples : (h, w) uint16, out: count at the nearest mosaic pixel
    """
    flat, shift = mosaic.ravel(), np.zeros((3, 2))
    for n in range(apart.shape[0]):
        shift[2 * n] = apart[n]
    corner = origin[0] << SHIFT, origin[1] << SHIFT
    for cy in range((out.shape[0] + step - 1) // step):
        for cx in range((out.shape[1] + step - 1) // step):
            if cx + 2 < nodes_x.shape[1]:
                x0, x1, y0, y1 = _bounds(nodes_x, nodes_y, cy, cx + 1)
                _fetch(flat, mosaic.shape, (x0 - origin[1], x1 - origin[1], y0 - origin[0], y1 - origin[0]))
            _blot_cell(
                flat, count, corner, nodes_x, nodes_y, step, (cy, cx), colours, shift, scale, offset, piece,
                out, spread, samples,
            )  # fmt: skip


@kernel
def invalidate(
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    colours: NDArray[np.int64],
    filtered: bool,
    lanes: NDArray[np.float32],
) -> None:
    """Take left-out raw pixels off the validity (lane 3) of all pixels into which demosaicing spreads them.

    As `zemosaic.kernels.demosaic.calibrated_cubic` does; its lobes farther out, 1/16 at most, do not count.

    ys, xs : (n,) int64; filtered : True for a colour filter array; lanes : (h, w, 4) float32, lane 3 in and out, >= 0
    """
    h, w = lanes.shape[0], lanes.shape[1]
    for k in range(ys.size):
        reach = 1 if filtered else 0
        green = colours[ys[k] % 2, xs[k] % 2] == 1
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                y, x = ys[k] + dy, xs[k] + dx
                if y < 0 or x < 0 or y >= h or x >= w:
                    continue
                steps = abs(dy) + abs(dx)
                share = (
                    1.0 if steps == 0 else (CLOSE if green else NEAR) if steps == 1 else (0.0 if green else NEAR * NEAR)
                )
                lanes[y, x, 3] = max(lanes[y, x, 3] - np.float32(share), np.float32(0.0))
