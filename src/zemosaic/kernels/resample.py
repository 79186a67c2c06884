"""Frame to mosaic: one interpolation with six taps along each axis, added to running sums.

A frame arrives as (h, w, 4) float32: three colours (the first alone for mono) and the validity of each pixel. The mapping
mosaic -> frame arrives on a lattice of nodes at multiples of `step` mosaic pixels and is interpolated bilinearly, so that
a pixel's value does not depend on the region in which it is computed. Weights arrive on a lattice of the frame and are
brought to the same nodes. The mosaic is filled cell by cell of this lattice: what a cell takes of the frame fits the
processor's first cache, and most cells need no look at the borders.

A frame can also arrive as its colour filter array, and its drops are added, see `zemosaic.kernels.drops`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels._simd import PHASES, REST, SHIFT, prefetch, six_by_six
from zemosaic.kernels.drops import ALL_THERE, halves, weigh_left, weigh_whole

__all__ = ["BUCKETS", "PHASES", "PLANES", "add_to_buckets", "add_to_sums", "bucket_centre"]

BUCKETS = 9
LINE = 16  # float32 in a line of the processor's cache
PLANES = 2  # instead of the place of red: every pixel has three colours, to be interpolated
NOWHERE, PARTLY, WHOLLY = 0, 1, 2  # whether a frame sees a cell of the lattice


@kernel
def _lattice(
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
    """C1 rise from 0 at `margin` px inside either border to 1 at `margin + width`."""
    t = (min(position, last - position) - margin) / width
    if t <= 0.0:
        return 0.0
    if t >= 1.0:
        return 1.0
    return t * t * (3.0 - 2.0 * t)


@kernel
def _four_times(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each weight once for every lane."""
    wide = np.empty(4 * table.size, np.float32)
    for k in range(wide.size):
        wide[k] = table.ravel()[k // 4]
    return wide


@kernel
def _at_nodes(
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
                out[j, i, k] = _lattice(values[:, :, k], p, q, y - p, x - q)
    return out


@kernel
def _seen(nodes: NDArray[np.float64], j: int, i: int, last: float, margin: float, width: float) -> int:
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
def _see(
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
    """Means of the drops on one row of a cell, where its taper is above 0; arguments as in `_see` and `drops.weigh_whole`."""
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
    """As `_see`, of a frame that is its colour filter array.

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
def _along(nodes: NDArray[np.float32], j: int, i: int, share: float, out: NDArray[np.float32]) -> None:
    """Values (channels, 2) of a lattice where a row of a cell begins, and what they change until it ends."""
    for k in range(out.shape[0]):
        left = nodes[j, i, k] + (nodes[j + 1, i, k] - nodes[j, i, k]) * share
        right = nodes[j, i + 1, k] + (nodes[j + 1, i + 1, k] - nodes[j, i + 1, k]) * share
        out[k, 0], out[k, 1] = left, right - left


@kernel
def add_to_buckets(
    image: NDArray[np.float32],
    row0: int,
    height: int,
    table: NDArray[np.float32],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    node0: tuple[int, int],
    step: int,
    weights: NDArray[np.float32],
    wstep: int,
    margins: NDArray[np.float64],
    apart: NDArray[np.float64],
    origin: tuple[int, int],
    box: tuple[int, int, int, int],
    buckets: NDArray[np.float32],
    count: NDArray[np.uint16],
    most: int,
) -> None:
    """Add a frame to the interleaved buckets of a region: the k-th sample of a pixel goes to bucket k modulo 9.

    image : (rows, w, 4) float32, corrected colours and validity of the frame's rows from `row0` on; height : rows of the frame
    table : (PHASES + 1, 6) float32, weights of the taps at offsets -2..3 (see `zemosaic.imaging.taps`)
    nodes_x, nodes_y : (m, n) float64, frame coordinates of the lattice nodes; node0 = (row, column) of the first node
    weights : (p, q, channels) float32 on a lattice of `wstep` frame pixels, inverse variance of a sample
    margins : (margin_x, margin_y, taper) px of the frame; margin_x and margin_y at least 3.5
    apart : (2, 2) float64, where the light of red and of blue falls, x, y px from green, at most 1; (0, 2): where green does
    origin : (y, x) of the region in the mosaic; box : (y0, y1, x0, x1) in the mosaic, inside the region
    buckets : (9, H, W, 2 * channels) float32, out: sums of weight * value and of weight
    count : (H, W) uint16, out: samples so far
    most : samples of a pixel, after which it takes no more
    """
    channels, width = weights.shape[2], image.shape[1]
    flat, shape, tables = image.ravel(), (height, width), (table.ravel(), _four_times(table))
    lanes, taper = np.empty(4 * step, np.float32), np.empty(step)
    node_weights, weight = _at_nodes(weights, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    for cy in range(box[0] // step, (box[1] - 1) // step + 1):
        for cx in range(box[2] // step, (box[3] - 1) // step + 1):
            j, i = cy - node0[0], cx - node0[1]
            seen_x = _seen(nodes_x, j, i, width - 1.0, margins[0], margins[2])
            seen_y = _seen(nodes_y, j, i, height - 1.0, margins[1], margins[2])
            if seen_x == NOWHERE or seen_y == NOWHERE:
                continue
            wholly = seen_x == WHOLLY and seen_y == WHOLLY
            left = cx * step
            for y in range(max(box[0], cy * step), min(box[1], (cy + 1) * step)):
                Y, share = y - origin[0], (y - cy * step) / step
                first, last = max(box[2] - left, 0), min(box[3] - left, step)
                while first < last and count[Y, left + first - origin[1]] >= most:
                    first += 1
                while first < last and count[Y, left + last - 1 - origin[1]] >= most:
                    last -= 1
                if first == last:
                    continue
                ends = row_ends(nodes_x, nodes_y, j, i, share)
                _see(flat, shape, row0, tables, ends, (first, last), step, margins, wholly, apart, lanes, taper)
                _along(node_weights, j, i, share, weight)
                for k in range(first, last):
                    valid, X = lanes[4 * k + 3], left + k - origin[1]
                    if taper[k] <= 0.0 or valid < 0.5 or count[Y, X] >= most:
                        continue
                    bucket = buckets[count[Y, X] % BUCKETS, Y, X]
                    count[Y, X] += 1
                    factor, along = np.float32(taper[k] * min(valid, np.float32(1.0))), np.float32(k / step)
                    for c in range(channels):
                        w = factor * (weight[c, 0] + weight[c, 1] * along)
                        bucket[2 * c] += w * lanes[4 * k + c]
                        bucket[2 * c + 1] += w


@kernel
def bucket_centre(
    buckets: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Median over the non-empty buckets of their means.

    buckets : (9, H, W, 2 * channels) float32; out : (channels, H, W) float32, NaN where no sample fell
    """
    means = np.empty(BUCKETS, np.float32)
    for y in range(buckets.shape[1]):
        for x in range(buckets.shape[2]):
            for k in range(out.shape[0]):
                n = 0
                for b in range(BUCKETS):
                    weight = buckets[b, y, x, 2 * k + 1]
                    if weight > 0.0:
                        value = buckets[b, y, x, 2 * k] / weight
                        place = n
                        while place > 0 and means[place - 1] > value:
                            means[place] = means[place - 1]
                            place -= 1
                        means[place] = value
                        n += 1
                if n == 0:
                    out[k, y, x] = np.nan
                elif n % 2 == 1:
                    out[k, y, x] = means[n // 2]
                else:
                    out[k, y, x] = np.float32(0.5) * (means[n // 2 - 1] + means[n // 2])


@kernel
def _fetch_row(flat: NDArray[np.float32], start: int, size: int) -> None:
    """Fetch some float32 of a row that will be needed soon: rows of a cell are too short for the processor to foresee."""
    for k in range(0, size + LINE, LINE):
        prefetch(flat, start + k)


@kernel
def _fetch_cell(
    flat: NDArray[np.float32],
    rows: int,
    width: int,
    row0: int,
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    j: int,
    i: int,
) -> None:
    """Fetch what a cell will read of the frame, `flat` (rows * width * 4,) from its row `row0` on."""
    x0, x1, x2, x3 = nodes_x[j, i], nodes_x[j + 1, i], nodes_x[j, i + 1], nodes_x[j + 1, i + 1]
    y0, y1, y2, y3 = nodes_y[j, i], nodes_y[j + 1, i], nodes_y[j, i + 1], nodes_y[j + 1, i + 1]
    left, right = min(x0, x1, x2, x3) - 2.0, max(x0, x1, x2, x3) + 4.0
    top, bottom = min(y0, y1, y2, y3) - 2.0 - row0, max(y0, y1, y2, y3) + 4.0 - row0
    if left >= 0.0 and top >= 0.0 and right < width and bottom < rows:
        for y in range(int(top), int(bottom)):
            _fetch_row(flat, 4 * (y * width + int(left)), 4 * (int(right) - int(left)))


@kernel
def _add_row(
    lanes: NDArray[np.float32],
    strength: NDArray[np.float32],
    taper: NDArray[np.float64],
    span: tuple[int, int],
    inverse: float,
    drops: bool,
    weight: NDArray[np.float32],
    variance: NDArray[np.float32],
    sums: NDArray[np.float32],
    count: NDArray[np.uint16],
    rejected: NDArray[np.uint16],
) -> int:
    """Add one row of a cell; the number of pixels that get something.

    lanes, strength, taper : what the frame says of the whole row; span : its pixels in the region, first and before last
    weight, variance : (channels, 2) at the row's first pixel, and what they change over its length 1 / inverse
    sums : (n, 3 * channels), count, rejected : (n,) of the pixels in the region, n of them
    """
    contributed, least, most, length = 0, np.float32(0.02), np.float32(1.0), np.float32(inverse)
    channels = weight.shape[0]
    a, b, c = 0, channels // 2, channels - 1  # R, G, B, or three times the one of a mono frame
    a0, a1, b0, b1, c0, c1 = weight[a, 0], weight[a, 1], weight[b, 0], weight[b, 1], weight[c, 0], weight[c, 1]
    p0, p1, q0, q1, r0, r1 = (
        variance[a, 0],
        variance[a, 1],
        variance[b, 0],
        variance[b, 1],
        variance[c, 0],
        variance[c, 1],
    )
    for n in range(count.size):
        k = n + span[0]
        valid = lanes[4 * k + 3]
        if taper[k] <= 0.0:
            continue
        if valid < np.float32(0.5):
            rejected[n] += 1
        if valid <= least:
            continue
        count[n] += 1
        contributed += 1
        factor, along = np.float32(taper[k]), np.float32(k) * length
        if not drops:
            factor *= min(valid, most)
        w = factor * (a0 + a1 * along)
        total = w * strength[3 * k]
        sums[n, 0] += total * lanes[4 * k]
        sums[n, 1] += total
        sums[n, 2] += total * w * (p0 + p1 * along)
        if channels == 1:
            continue
        w, other = factor * (b0 + b1 * along), factor * (c0 + c1 * along)
        total, last = w * strength[3 * k + 1], other * strength[3 * k + 2]
        sums[n, 3] += total * lanes[4 * k + 1]
        sums[n, 4] += total
        sums[n, 5] += total * w * (q0 + q1 * along)
        sums[n, 6] += last * lanes[4 * k + 2]
        sums[n, 7] += last
        sums[n, 8] += last * other * (r0 + r1 * along)
    return contributed


@kernel
def add_to_sums(
    image: NDArray[np.float32],
    row0: int,
    height: int,
    table: NDArray[np.float32],
    red: tuple[int, int],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    node0: tuple[int, int],
    step: int,
    weights: NDArray[np.float32],
    variances: NDArray[np.float32],
    wstep: int,
    margins: NDArray[np.float64],
    apart: NDArray[np.float64],
    origin: tuple[int, int],
    box: tuple[int, int, int, int],
    sums: NDArray[np.float32],
    count: NDArray[np.uint16],
    rejected: NDArray[np.uint16],
) -> int:
    """Add a frame to the sums of the final mean of a region; arguments as in `add_to_buckets`, and:

    red : row and column of the first red pixel, 0 or 1, where `image` holds a colour filter array, below 0 where its pixels have
        all colours; PLANES where it holds colours to be interpolated
    variances : (p, q, channels) float32, variance of a sample on the same lattice as the weights
    sums : (H, W, 3 * channels) float32, out: per channel sum of w * value, of w, of w^2 * variance
    count, rejected : (H, W) uint16, out: frames that contribute, frames whose sample was rejected

    Returns the number of pixels to which the frame contributes.
    """
    channels, width = weights.shape[2], image.shape[1]
    flat, shape, tables = image.ravel(), (height, width), (table.ravel(), _four_times(table))
    lanes, taper = np.empty(4 * step, np.float32), np.empty(step)
    node_weights, weight = _at_nodes(weights, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    node_variances, variance = _at_nodes(variances, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    parts, strength, drops = halves(table), np.ones(3 * step, np.float32), red[0] < PLANES
    flat_sums, contributed = sums.ravel(), 0
    for cy in range(box[0] // step, (box[1] - 1) // step + 1):
        for cx in range(box[2] // step, (box[3] - 1) // step + 1):
            j, i = cy - node0[0], cx - node0[1]
            seen_x = _seen(nodes_x, j, i, width - 1.0, margins[0], margins[2])
            seen_y = _seen(nodes_y, j, i, height - 1.0, margins[1], margins[2])
            if seen_x == NOWHERE or seen_y == NOWHERE:
                continue
            wholly = seen_x == WHOLLY and seen_y == WHOLLY
            left = cx * step
            if cx < (box[3] - 1) // step:
                _fetch_cell(flat, image.shape[0], width, row0, nodes_x, nodes_y, j, i + 1)
            span = max(box[2] - left, 0), min(box[3] - left, step)
            here = slice(left + span[0] - origin[1], left + span[1] - origin[1])
            for y in range(max(box[0], cy * step), min(box[1], (cy + 1) * step)):
                Y, share = y - origin[0], (y - cy * step) / step
                if sums.shape[0] > Y + 1:
                    _fetch_row(flat_sums, ((Y + 1) * sums.shape[1] + here.start) * sums.shape[2], sums.shape[2] * step)
                ends = row_ends(nodes_x, nodes_y, j, i, share)
                if drops:
                    see_drops(
                        flat, shape, row0, tables, parts, red, ends, span, step, margins, wholly, apart, lanes,
                        strength, taper,
                    )  # fmt: skip
                else:
                    _see(flat, shape, row0, tables, ends, span, step, margins, wholly, apart, lanes, taper)
                _along(node_weights, j, i, share, weight)
                _along(node_variances, j, i, share, variance)
                contributed += _add_row(
                    lanes, strength, taper, span, 1.0 / step, drops, weight, variance,
                    sums[Y, here], count[Y, here], rejected[Y, here],
                )  # fmt: skip
    return contributed
