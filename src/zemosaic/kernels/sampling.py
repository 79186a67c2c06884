"""What a frame says about a cell of the mosaic: where it sees it, its taper, its colours at the place of each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels._simd import PHASES, REST, SHIFT, six_by_six
from zemosaic.kernels.drops import ALL_THERE, weigh_left, weigh_whole

__all__ = [
    "PLANES",
    "along_row",
    "at_nodes",
    "cells_of",
    "four_times",
    "lattice",
    "row_ends",
    "see",
    "see_drops",
]

NOWHERE, PARTLY, WHOLLY = 0, 1, 2  # whether a frame sees a cell of the lattice
PLANES = 2  # instead of the place of red: every pixel has three colours, to be interpolated


@kernel
def lattice(
    nodes: NDArray[np.floating[Any]],
    j: int,
    i: int,
    fy: float,
    fx: float,
) -> Any:
    top = nodes[j, i] * (1.0 - fx) + nodes[j, i + 1] * fx
    bottom = nodes[j + 1, i] * (1.0 - fx) + nodes[j + 1, i + 1] * fx
    return top * (1.0 - fy) + bottom * fy


@kernel
def _taper(
    position: float,
    last: float,
    margin: float,
    width: float,
) -> float:
    """Rise from 0 at `margin` px inside either border to 1 at `margin + width`, see `zemosaic.imaging.calibrate.border_rise`."""
    t = (min(position, last - position) - margin) / width
    if t <= 0.0:
        return 0.0
    if t >= 1.0:
        return 1.0
    return t * (2.0 - t)


@kernel
def four_times(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each weight once for every lane."""
    wide = np.empty(4 * table.size, np.float32)
    for k in range(wide.size):
        wide[k] = table.ravel()[k // 4]
    return wide


@kernel
def at_nodes(
    values: NDArray[np.float32], step: int, nodes_x: NDArray[np.float64], nodes_y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(m, n, channels) a lattice of the frame (p, q, channels) at the nodes of the mosaic; beyond its edge what it is there."""
    out = np.empty((nodes_x.shape[0], nodes_x.shape[1], values.shape[2]), np.float32)
    last_y, last_x = values.shape[0] - 1.0, values.shape[1] - 1.0
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            y = min(max(nodes_y[j, i] / step, 0.0), last_y)
            x = min(max(nodes_x[j, i] / step, 0.0), last_x)
            p, q = min(int(y), values.shape[0] - 2), min(int(x), values.shape[1] - 2)
            for k in range(values.shape[2]):
                out[j, i, k] = lattice(values[:, :, k], p, q, y - p, x - q)
    return out


@kernel
def cells_of(
    shape: tuple[int, int],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    node0: tuple[int, int],
    step: int,
    margins: NDArray[np.float64],
    box: tuple[int, int, int, int],
) -> NDArray[np.int64]:
    """(n, 3) the cells of the lattice that a frame of `shape` (h, w) sees in a box (y0, y1, x0, x1) of the mosaic.

    nodes_x, nodes_y : (m, n) frame coordinates of the lattice's nodes, node0 = (row, column) of the first one
    margins : (margin x, margin y, taper) px
    Returns of each the row and the column of its first node in `nodes_x`, and 1 where its taper is 1 all over, else 0.
    """
    top, left = box[0] // step - node0[0], box[2] // step - node0[1]
    bottom, right = (box[1] - 1) // step + 1 - node0[0], (box[3] - 1) // step + 1 - node0[1]
    cells, found = np.empty((max(bottom - top, 0) * max(right - left, 0), 3), np.int64), 0
    for j in range(top, bottom):
        for i in range(left, right):
            seen_x = _seen_where(nodes_x, j, i, shape[1] - 1.0, margins[0], margins[2])
            seen_y = _seen_where(nodes_y, j, i, shape[0] - 1.0, margins[1], margins[2])
            if seen_x != NOWHERE and seen_y != NOWHERE:
                cells[found, 0], cells[found, 1], cells[found, 2] = j, i, min(seen_x, seen_y) == WHOLLY
                found += 1
    return cells[:found]


@kernel
def _seen_where(nodes: NDArray[np.float64], j: int, i: int, last: float, margin: float, width: float) -> int:
    """Whether the places of a cell's pixels along one axis are NOWHERE, PARTLY or WHOLLY where the taper is above 0, is 1.

    A bilinear interpolation stays between its four nodes; nodes that are NaN say PARTLY.
    """
    below = above = inside = 0
    for b in range(2):
        for a in range(2):
            place = nodes[j + b, i + a]
            below += place <= max(margin, 2.0)
            above += place >= min(last - margin, last - 3.0)
            inside += place >= max(margin + width, 2.0) and place < min(last - margin - width, last - 3.0)
    return NOWHERE if below == 4 or above == 4 else (WHOLLY if inside == 4 else PARTLY)


@kernel
def _interpolate(
    image: NDArray[np.float32],
    width: int,
    row0: int,
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
    x: float,
    y: float,
    out: NDArray[np.float32],
    o: int,
) -> None:
    """The four lanes of a frame at (x, y) into out[o : o + 4]; the 6 x 6 taps must lie inside the rows at hand."""
    column, row = int(x * PHASES + 0.5), int(y * PHASES + 0.5)
    six_by_six(
        image, 4 * (((row >> SHIFT) - 2 - row0) * width + (column >> SHIFT) - 2), 4 * width,
        tables[1], 24 * (column & REST), tables[0], 6 * (row & REST), out, o,
    )  # fmt: skip


@kernel
def _taper_at(x: float, y: float, shape: tuple[int, int], margins: NDArray[np.float64]) -> float:
    """The taper at a place of a frame; 0 where the taps do not all lie in it."""
    if not (x >= 2.0 and y >= 2.0 and x < shape[1] - 4.0 and y < shape[0] - 4.0):
        return 0.0
    across = _taper(x, shape[1] - 1.0, margins[0], margins[2])
    return across * _taper(y, shape[0] - 1.0, margins[1], margins[2]) if across > 0.0 else 0.0


@kernel
def see(
    image: NDArray[np.float32],
    shape: tuple[int, int],
    row0: int,
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
    ends: tuple[float, float, float, float],
    span: tuple[int, int],
    step: int,
    margins: NDArray[np.float64],
    wholly: bool,
    apart: NDArray[np.float64],
    lanes: NDArray[np.float32],
    taper: NDArray[np.float64],
) -> None:
    """What a frame says about one row of a cell: four lanes and the taper of each pixel, 0 where it says nothing.

    image : (rows * w * 4,) the frame's rows from `row0` on; shape : (h, w) of the whole frame
    tables : (6 * (PHASES + 1),) and the same four times
    ends : x, y in the frame of the row's node on the left, then of the one on the right
    span : first pixel of the row, and the one after the last; step : pixels in the row of a cell
    apart : (n, 2) where red and blue are, x, y px from where the mapping sends green; none when n = 0
    lanes : (4 * step,), taper : (step,), out
    """
    colours, inverse = np.empty(4, np.float32), 1.0 / step
    left_x, left_y, right_x, right_y = ends
    for k in range(span[0], span[1]):
        share = k * inverse
        sx, sy = left_x + (right_x - left_x) * share, left_y + (right_y - left_y) * share
        taper[k] = 1.0 if wholly else _taper_at(sx, sy, shape, margins)
        if taper[k] <= 0.0:
            continue
        _interpolate(image, shape[1], row0, tables, sx, sy, lanes, 4 * k)
        for n in range(apart.shape[0]):
            _interpolate(image, shape[1], row0, tables, sx + apart[n, 0], sy + apart[n, 1], colours, 0)
            lanes[4 * k + 2 * n] = colours[2 * n]


@kernel
def _drops_at(
    image: NDArray[np.float32],
    shape: tuple[int, int],
    row0: int,
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
    parts: NDArray[np.float32],
    red: tuple[int, int],
    ends: tuple[float, float, float, float],
    span: tuple[int, int],
    step: int,
    taper: NDArray[np.float64],
    places: NDArray[np.int64],
    lanes: NDArray[np.float32],
    strength: NDArray[np.float32],
) -> None:
    """Means of the drops on one row of a cell, where its taper is above 0; arguments as in `see` and `drops.weigh_whole`."""
    left_x, left_y, right_x, right_y = ends
    inverse, complete = 1.0 / step, True
    for k in range(span[0], span[1]):
        if taper[k] <= 0.0:
            places[2 * k] = places[2 * k + 1] = row0 << SHIFT
            continue
        share = k * inverse
        x, y = left_x + (right_x - left_x) * share, left_y + (right_y - left_y) * share
        _interpolate(image, shape[1], row0, tables, x, y, lanes, 4 * k)
        column, row = int(x * PHASES + 0.5), int(y * PHASES + 0.5)
        places[2 * k], places[2 * k + 1] = column - 2 * PHASES, row - 2 * PHASES
        across, down = 2 * (column & REST), 2 * (row & REST)
        whole = (parts[across] + parts[across + 1]) * (parts[down] + parts[down + 1])
        if lanes[4 * k + 3] < whole * np.float32(ALL_THERE):
            places[2 * k + 1], complete = -1 - places[2 * k + 1], False
    weigh_whole(places, span, parts, red, lanes, strength)
    if not complete:
        weigh_left(image, shape[1], row0, places, span, tables[0], parts, red, lanes, strength)


@kernel
def see_drops(
    image: NDArray[np.float32],
    shape: tuple[int, int],
    row0: int,
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
    parts: NDArray[np.float32],
    red: tuple[int, int],
    ends: tuple[float, float, float, float],
    span: tuple[int, int],
    step: int,
    margins: NDArray[np.float64],
    wholly: bool,
    apart: NDArray[np.float64],
    lanes: NDArray[np.float32],
    strength: NDArray[np.float32],
    taper: NDArray[np.float64],
) -> None:
    """As `see`, of a frame that is its colour filter array.

    Which of the two it is, the callers ask: one more kernel around both cost 7 % of all the sums (39 -> 42 ms a sub).

    parts : `halves` of the table; red : see `drops.weigh_whole`
    strength : (3 * step,), out: how much each colour of each pixel counts, 1 on average
    """
    places, inverse = np.empty(2 * step, np.int64), 1.0 / step
    left_x, left_y, right_x, right_y = ends
    for k in range(span[0], span[1]):
        share = k * inverse
        x, y = left_x + (right_x - left_x) * share, left_y + (right_y - left_y) * share
        taper[k] = 1.0 if wholly else _taper_at(x, y, shape, margins)
    _drops_at(image, shape, row0, tables, parts, red, ends, span, step, taper, places, lanes, strength)
    if apart.shape[0] == 0:
        return
    others, shifted = np.empty_like(lanes), np.empty_like(strength)
    for n in range(apart.shape[0]):
        dx, dy = apart[n]
        moved = (left_x + dx, left_y + dy, right_x + dx, right_y + dy)
        _drops_at(image, shape, row0, tables, parts, red, moved, span, step, taper, places, others, shifted)
        for k in range(span[0], span[1]):
            lanes[4 * k + 2 * n], strength[3 * k + 2 * n] = others[4 * k + 2 * n], shifted[3 * k + 2 * n]


@kernel
def row_ends(
    nodes_x: NDArray[np.float64], nodes_y: NDArray[np.float64], j: int, i: int, share: float
) -> tuple[float, float, float, float]:
    """Frame coordinates (x, y) where a row of a cell begins and ends, `share` of the way down."""
    return (
        nodes_x[j, i] + (nodes_x[j + 1, i] - nodes_x[j, i]) * share,
        nodes_y[j, i] + (nodes_y[j + 1, i] - nodes_y[j, i]) * share,
        nodes_x[j, i + 1] + (nodes_x[j + 1, i + 1] - nodes_x[j, i + 1]) * share,
        nodes_y[j, i + 1] + (nodes_y[j + 1, i + 1] - nodes_y[j, i + 1]) * share,
    )


@kernel
def along_row(nodes: NDArray[np.float32], j: int, i: int, share: float, out: NDArray[np.float32]) -> None:
    """Values (channels, 2) of a lattice where a row of a cell begins, and what they change until it ends."""
    for k in range(out.shape[0]):
        left = nodes[j, i, k] + (nodes[j + 1, i, k] - nodes[j, i, k]) * share
        right = nodes[j, i + 1, k] + (nodes[j + 1, i + 1, k] - nodes[j, i + 1, k]) * share
        out[k, 0], out[k, 1] = left, right - left
