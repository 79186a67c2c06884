"""Bilinear demosaicing of a colour filter array, on its own and of raw pixels on their way into mosaic units; luminance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels.calibrate import calibrated_row

__all__ = ["bilinear", "calibrated_bilinear", "luminance"]

GREEN = 1


@kernel
def _demosaic_row(
    up: NDArray[np.float32],
    row: NDArray[np.float32],
    down: NDArray[np.float32],
    colours: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Three colours of each pixel of a row.

    up, row, down : (w + 2,) from column -1 on; colours, neighbours : (2,) channels in this row and in those beside it
    out : (w, n) float32, n >= 3; channels 0..2 are written
    """
    half, quarter = np.float32(0.5), np.float32(0.25)
    green = 0 if colours[0] == GREEN else 1
    own, other = colours[1 - green], neighbours[green]
    for x in range(green, out.shape[0], 2):
        out[x, GREEN] = row[x + 1]
        out[x, own] = half * (row[x] + row[x + 2])
        out[x, other] = half * (up[x + 1] + down[x + 1])
    for x in range(1 - green, out.shape[0], 2):
        out[x, own] = row[x + 1]
        out[x, GREEN] = quarter * (row[x] + row[x + 2] + up[x + 1] + down[x + 1])
        out[x, other] = quarter * (up[x] + up[x + 2] + down[x] + down[x + 2])


@kernel
def _reflected(row: NDArray[np.float32]) -> None:
    """Continue a row (w + 2,) beyond its first and last pixel."""
    row[0], row[-1] = row[2], row[-3]


@kernel
def bilinear(raw: NDArray[np.float32], colours: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Interpolate the three colours at every pixel from the nearest pixels of each, with equal weights.

    The frame is continued by reflection about its edge pixels, which keeps the phase of the filter array.

    raw : (h, w) float32, h >= 2, w >= 2
    colours : (2, 2) int64, channel at (y % 2, x % 2), green on one diagonal
    out : (h, w, n) float32, n >= 3; channels 0..2 are written
    """
    h, w = raw.shape
    rows = np.empty((3, w + 2), np.float32)
    for y in range(-1, h):
        below = rows[(y + 1) % 3]
        below[1:-1] = raw[y + 1 if y < h - 1 else h - 2]
        _reflected(below)
        if y >= 0:
            up = rows[(y + 2) % 3] if y > 0 else below
            _demosaic_row(up, rows[y % 3], below, colours[y % 2], colours[1 - y % 2], out[y])


@kernel
def calibrated_bilinear(
    raw: NDArray[np.float32],
    row0: int,
    colours: NDArray[np.int64],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    step: int,
    out: NDArray[np.float32],
) -> None:
    """`zemosaic.kernels.calibrate.calibrate`, then `bilinear`, in one pass over the memory.

    raw : (rows, w) float32, the frame's rows from `row0` on, rows >= 2, w >= 2
    out : (rows, w, 4) float32, out: three colours, and 1
    """
    h, w = raw.shape
    rows = np.empty((3, w + 2), np.float32)
    for y in range(-1, h):
        below = rows[(y + 1) % 3]
        if y < h - 1:
            at = y + 1 + row0
            calibrated_row(raw[y + 1], at, colours[at % 2], scale, offset, step, below[1:-1])
            _reflected(below)
        else:
            below[:] = rows[(y + 2) % 3]
        if y >= 0:
            up, at = rows[(y + 2) % 3] if y > 0 else below, y + row0
            _demosaic_row(up, rows[y % 3], below, colours[at % 2], colours[1 - at % 2], out[y])
            for x in range(w):
                out[y, x, 3] = 1.0


@kernel
def luminance(raw: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Mean of each pixel and its neighbours with the weights [1 2 1] x [1 2 1] / 16, reflected about the edge pixels.

    raw, out : (h, w) float32, h >= 2, w >= 2
    """
    h, w = raw.shape
    two, sixteenth = np.float32(2.0), np.float32(1.0 / 16.0)
    row = np.empty(w + 2, np.float32)
    for y in range(h):
        up, here, down = raw[y - 1 if y > 0 else 1], raw[y], raw[y + 1 if y < h - 1 else h - 2]
        for x in range(w):
            row[x + 1] = up[x] + two * here[x] + down[x]
        _reflected(row)
        smooth = out[y]
        for x in range(w):
            smooth[x] = (row[x] + two * row[x + 1] + row[x + 2]) * sixteenth
