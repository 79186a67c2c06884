"""Frame to mosaic: one interpolation with six taps along each axis, added to running sums.

A frame arrives as (h, w, 4) float32: three colours (the first alone for mono) and the validity of each pixel. The mapping
mosaic -> frame arrives on a lattice of nodes at multiples of `step` mosaic pixels and is interpolated bilinearly, so that
a pixel's value does not depend on the region in which it is computed. Weights arrive on a lattice of the frame and are
brought to the same nodes. The mosaic is filled cell by cell of this lattice: what a cell takes of the frame fits the
processor's first cache, and most cells need no look at the borders.

A frame can also arrive as its colour filter array, and its drops are added, see `zemosaic.kernels.drops`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels._simd import PHASES, prefetch
from zemosaic.kernels.drops import halves
from zemosaic.kernels.sampling import PLANES, along_row, at_nodes, cells_of, four_times, row_ends, see, see_drops

__all__ = ["BUCKETS", "PHASES", "PLANES", "add_to_buckets", "add_to_sums", "bucket_centre"]

BUCKETS = 9
LINE = 16  # float32 in a line of the processor's cache


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
    flat, shape, tables = image.ravel(), (height, width), (table.ravel(), four_times(table))
    lanes, taper = np.empty(4 * step, np.float32), np.empty(step)
    node_weights, weight = at_nodes(weights, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    cells = cells_of(shape, nodes_x, nodes_y, node0, step, margins, box)
    for n in range(len(cells)):
        j, i, wholly = cells[n, 0], cells[n, 1], cells[n, 2] == 1
        top, left = (j + node0[0]) * step, (i + node0[1]) * step
        for y in range(max(box[0], top), min(box[1], top + step)):
            Y, share = y - origin[0], (y - top) / step
            first, last = max(box[2] - left, 0), min(box[3] - left, step)
            while first < last and count[Y, left + first - origin[1]] >= most:
                first += 1
            while first < last and count[Y, left + last - 1 - origin[1]] >= most:
                last -= 1
            if first == last:
                continue
            ends = row_ends(nodes_x, nodes_y, j, i, share)
            see(flat, shape, row0, tables, ends, (first, last), step, margins, wholly, apart, lanes, taper)
            along_row(node_weights, j, i, share, weight)
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
    flat, shape, tables = image.ravel(), (height, width), (table.ravel(), four_times(table))
    lanes, taper = np.empty(4 * step, np.float32), np.empty(step)
    parts, strength, drops = halves(table), np.ones(3 * step, np.float32), red[0] < PLANES
    node_weights, weight = at_nodes(weights, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    node_variances, variance = at_nodes(variances, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    flat_sums, contributed = sums.ravel(), 0
    cells = cells_of(shape, nodes_x, nodes_y, node0, step, margins, box)
    for n in range(len(cells)):
        j, i, wholly = cells[n, 0], cells[n, 1], cells[n, 2] == 1
        top, left = (j + node0[0]) * step, (i + node0[1]) * step
        if left + step < box[3]:
            _fetch_cell(flat, image.shape[0], width, row0, nodes_x, nodes_y, j, i + 1)
        span = max(box[2] - left, 0), min(box[3] - left, step)
        here = slice(left + span[0] - origin[1], left + span[1] - origin[1])
        for y in range(max(box[0], top), min(box[1], top + step)):
            Y, share = y - origin[0], (y - top) / step
            if sums.shape[0] > Y + 1:
                _fetch_row(flat_sums, ((Y + 1) * sums.shape[1] + here.start) * sums.shape[2], sums.shape[2] * step)
            ends = row_ends(nodes_x, nodes_y, j, i, share)
            if drops:
                see_drops(
                    flat,
                    shape,
                    row0,
                    tables,
                    parts,
                    red,
                    ends,
                    span,
                    step,
                    margins,
                    wholly,
                    apart,
                    lanes,
                    strength,
                    taper,
                )
            else:
                see(flat, shape, row0, tables, ends, span, step, margins, wholly, apart, lanes, taper)
            along_row(node_weights, j, i, share, weight)
            along_row(node_variances, j, i, share, variance)
            contributed += _add_row(
                lanes, strength, taper, span, 1.0 / step, drops, weight, variance,
                sums[Y, here], count[Y, here], rejected[Y, here],
            )  # fmt: skip
    return contributed
