"""Frame to mosaic: one Lanczos-3 interpolation, added to running sums.

A frame arrives as (h, w, 4) float32: three colours (the first alone for mono) and the validity of each pixel. The mapping
mosaic -> frame arrives on a lattice of nodes at multiples of `step` mosaic pixels and is interpolated bilinearly, so that
a pixel's value does not depend on the region in which it is computed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["BUCKETS", "LANCZOS_TABLE", "add_to_buckets", "add_to_sums", "bucket_centre"]

BUCKETS = 9
PHASES = 1024  # sub-pixel positions in the table: a quantisation of 0.0005 px


def _lanczos_table() -> NDArray[np.float32]:
    """Weights of the six taps at offsets -2..3 from the pixel at or before the position; each row sums to 1."""
    fraction = (np.arange(PHASES + 1) / PHASES)[:, None]
    t = fraction - np.arange(-2, 4)[None, :]
    weights = np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0.0)
    table: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return table


LANCZOS_TABLE = _lanczos_table()


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
def _sample(
    flat: NDArray[np.float32],
    table: NDArray[np.float32],
    row0: int,
    sx: float,
    sy: float,
    columns: NDArray[np.float32],
) -> tuple[Any, Any, Any, Any]:
    """The four lanes of the frame at (sx, sy) by Lanczos-3; the 6 x 6 taps must lie inside the rows at hand.

    flat : (rows, 4 * w) float32, pixels side by side, so that the sum down the columns runs over 24 neighbouring numbers
        (a third faster than pixel by pixel); columns : (24,) float32, scratch
    """
    ix, iy = int(math.floor(sx)), int(math.floor(sy))
    wx = table[int((sx - ix) * PHASES + 0.5)]
    wy = table[int((sy - iy) * PHASES + 0.5)]
    r, left = iy - 2 - row0, 4 * (ix - 2)
    for i in range(24):
        upper = wy[0] * flat[r, left + i] + wy[1] * flat[r + 1, left + i] + wy[2] * flat[r + 2, left + i]
        lower = wy[3] * flat[r + 3, left + i] + wy[4] * flat[r + 4, left + i] + wy[5] * flat[r + 5, left + i]
        columns[i] = upper + lower
    a = b = c = d = np.float32(0.0)
    for k in range(6):
        a += wx[k] * columns[4 * k]
        b += wx[k] * columns[4 * k + 1]
        c += wx[k] * columns[4 * k + 2]
        d += wx[k] * columns[4 * k + 3]
    return a, b, c, d


@kernel
def _seen(
    flat: NDArray[np.float32],
    row0: int,
    height: int,
    table: NDArray[np.float32],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    node0: tuple[int, int],
    step: int,
    margins: NDArray[np.float64],
    y: int,
    x: int,
    columns: NDArray[np.float32],
) -> tuple[Any, Any, Any, Any, Any, Any, Any]:
    """What a frame says about mosaic pixel (y, x): its four lanes, the taper (0 where it says nothing), its place (sx, sy)."""
    nothing, width = np.float32(0.0), flat.shape[1] // 4
    j, i = y // step - node0[0], x // step - node0[1]
    fy, fx = (y % step) / step, (x % step) / step
    sx, sy = _lattice(nodes_x, j, i, fy, fx), _lattice(nodes_y, j, i, fy, fx)
    if not (sx >= 2.0 and sy >= 2.0 and sx < width - 4.0 and sy < height - 4.0):
        return nothing, nothing, nothing, nothing, 0.0, sx, sy
    taper = _taper(sx, width - 1.0, margins[0], margins[2]) * _taper(sy, height - 1.0, margins[1], margins[2])
    if taper <= 0.0:
        return nothing, nothing, nothing, nothing, 0.0, sx, sy
    a, b, c, valid = _sample(flat, table, row0, sx, sy, columns)
    return a, b, c, valid, taper, sx, sy


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
    origin: tuple[int, int],
    box: tuple[int, int, int, int],
    buckets: NDArray[np.float32],
    count: NDArray[np.uint16],
) -> None:
    """Add a frame to the interleaved buckets of a region: the k-th sample of a pixel goes to bucket k modulo 9.

    image : (rows, w, 4) float32, corrected colours and validity of the frame's rows from `row0` on; height : rows of the frame
    nodes_x, nodes_y : (m, n) float64, frame coordinates of the lattice nodes; node0 = (row, column) of the first node
    weights : (p, q, channels) float32 on a lattice of `wstep` frame pixels, inverse variance of a sample
    margins : (margin_x, margin_y, taper) px of the frame
    origin : (y, x) of the region in the mosaic; box : (y0, y1, x0, x1) in the mosaic, inside the region
    buckets : (H, W, 9, 2 * channels) float32, out: sums of weight * value and of weight
    count : (H, W) uint16, out: samples so far
    """
    channels = weights.shape[2]
    flat, columns = image.reshape(image.shape[0], 4 * image.shape[1]), np.empty(24, np.float32)
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            a, b, c, valid, taper, sx, sy = _seen(
                flat, row0, height, table, nodes_x, nodes_y, node0, step, margins, y, x, columns
            )
            if taper <= 0.0 or valid < 0.5:
                continue
            p, q = int(sy / wstep), int(sx / wstep)
            fy, fx = sy / wstep - p, sx / wstep - q
            Y, X = y - origin[0], x - origin[1]
            bucket = buckets[Y, X, count[Y, X] % BUCKETS]
            count[Y, X] += 1
            factor = np.float32(taper * min(valid, np.float32(1.0)))
            for k in range(channels):
                weight = factor * np.float32(_lattice(weights[:, :, k], p, q, fy, fx))
                value = a if k == 0 else (b if k == 1 else c)
                bucket[2 * k] += weight * value
                bucket[2 * k + 1] += weight


@kernel
def bucket_centre(
    buckets: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Median over the non-empty buckets of their means.

    buckets : (H, W, 9, 2 * channels) float32; out : (channels, H, W) float32, NaN where no sample fell
    """
    means = np.empty(BUCKETS, np.float32)
    for y in range(buckets.shape[0]):
        for x in range(buckets.shape[1]):
            for k in range(out.shape[0]):
                n = 0
                for b in range(BUCKETS):
                    weight = buckets[y, x, b, 2 * k + 1]
                    if weight > 0.0:
                        value = buckets[y, x, b, 2 * k] / weight
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
def add_to_sums(
    image: NDArray[np.float32],
    row0: int,
    height: int,
    table: NDArray[np.float32],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    node0: tuple[int, int],
    step: int,
    weights: NDArray[np.float32],
    variances: NDArray[np.float32],
    wstep: int,
    margins: NDArray[np.float64],
    origin: tuple[int, int],
    box: tuple[int, int, int, int],
    sums: NDArray[np.float32],
    count: NDArray[np.uint16],
    rejected: NDArray[np.uint16],
) -> None:
    """Add a frame to the sums of the final mean of a region; arguments as in `add_to_buckets`, and:

    variances : (p, q, channels) float32, variance of a sample on the same lattice as the weights
    sums : (H, W, 3 * channels) float32, out: per channel sum of w * value, of w, of w^2 * variance
    count, rejected : (H, W) uint16, out: frames that contribute, frames whose sample was rejected
    """
    channels = weights.shape[2]
    flat, columns = image.reshape(image.shape[0], 4 * image.shape[1]), np.empty(24, np.float32)
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            a, b, c, valid, taper, sx, sy = _seen(
                flat, row0, height, table, nodes_x, nodes_y, node0, step, margins, y, x, columns
            )
            if taper <= 0.0:
                continue
            Y, X = y - origin[0], x - origin[1]
            if valid < 0.5:
                rejected[Y, X] += 1
            if valid <= 0.02:
                continue
            count[Y, X] += 1
            p, q = int(sy / wstep), int(sx / wstep)
            fy, fx = sy / wstep - p, sx / wstep - q
            factor = np.float32(taper * min(valid, np.float32(1.0)))
            for k in range(channels):
                weight = factor * np.float32(_lattice(weights[:, :, k], p, q, fy, fx))
                variance = np.float32(_lattice(variances[:, :, k], p, q, fy, fx))
                value = a if k == 0 else (b if k == 1 else c)
                sums[Y, X, 3 * k] += weight * value
                sums[Y, X, 3 * k + 1] += weight
                sums[Y, X, 3 * k + 2] += weight * weight * variance
