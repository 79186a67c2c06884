"""Bilinear demosaicing of a colour filter array, on its own and of raw pixels on their way into mosaic units; luminance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels.calibrate import calibrated_row

__all__ = ["bilinear", "calibrated_cubic", "calibrated_mosaic", "luminance"]

GREEN = 1
MARGIN = 3  # px beyond which a cubic does not reach
NEAR, FAR = 9.0 / 16.0, -1.0 / 16.0  # red and blue, pixels 1 and 3 px away along an axis
CLOSE, WIDE = 10.0 / 32.0, -1.0 / 32.0  # green, the nearest four pixels and the next eight


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
def _continued(row: NDArray[np.float32]) -> None:
    """Continue a row (w + 2 MARGIN,), w > MARGIN, beyond its first and last pixel."""
    last = row.size - 1 - MARGIN
    for k in range(1, MARGIN + 1):
        row[MARGIN - k], row[last + k] = row[MARGIN + k], row[last - k]


@kernel
def _cubic_row(
    rows: tuple[NDArray[np.float32], ...],
    colours: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    beside: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Three colours, and 1, of each pixel of a row.

    rows : seven (w + 2 MARGIN,) from column -MARGIN on, of the rows -3..3 beside this one
    colours, neighbours : (2,) channels in this row and in those beside it
    beside : (w + 2 MARGIN,) scratch; out : (w, 4) float32
    """
    up3, up2, up, row, down, down2, down3 = rows
    near, far = np.float32(NEAR), np.float32(FAR)
    close, wide, one = np.float32(CLOSE), np.float32(WIDE), np.float32(1.0)
    green = 0 if colours[0] == GREEN else 1
    own, other = colours[1 - green], neighbours[green]
    for x in range(row.size):
        beside[x] = near * (up[x] + down[x]) + far * (up3[x] + down3[x])
    for x in range(green, out.shape[0], 2):
        out[x, GREEN] = row[x + 3]
        out[x, own] = near * (row[x + 2] + row[x + 4]) + far * (row[x] + row[x + 6])
        out[x, other] = beside[x + 3]
        out[x, 3] = one
    for x in range(1 - green, out.shape[0], 2):
        nearest = row[x + 2] + row[x + 4] + up[x + 3] + down[x + 3]
        next_ = up[x + 1] + up[x + 5] + down[x + 1] + down[x + 5]
        next_ += up2[x + 2] + up2[x + 4] + down2[x + 2] + down2[x + 4]
        out[x, own] = row[x + 3]
        out[x, GREEN] = close * nearest + wide * next_
        out[x, other] = near * (beside[x + 2] + beside[x + 4]) + far * (beside[x] + beside[x + 6])
        out[x, 3] = one


@kernel
def calibrated_cubic(
    raw: NDArray[np.float32],
    row0: int,
    colours: NDArray[np.int64],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    step: int,
    out: NDArray[np.float32],
) -> None:
    """`zemosaic.kernels.calibrate.calibrate`, then three colours at every pixel, each from its own pixels by a cubic.

    Red and blue: weights (-1 9 9 -1) / 16 of pixels two apart, along either axis or both; green: 10 / 32 of the nearest four,
    -1 / 32 of the next eight. Both are exact for cubic polynomials. The frame is continued by reflection about its edge pixels.

    raw : (rows, w) float32, the frame's rows from `row0` on, rows >= 4, w >= 4
    out : (rows, w, 4) float32, out: three colours, and 1
    """
    h, w = raw.shape
    ring, beside = np.empty((7, w + 2 * MARGIN), np.float32), np.empty(w + 2 * MARGIN, np.float32)
    for y in range(-2 * MARGIN, h):
        source = abs(y + MARGIN)
        if source >= h:
            source = 2 * (h - 1) - source
        at = source + row0
        last = ring[(y + 2 * MARGIN) % 7]
        calibrated_row(raw[source], at, colours[at % 2], scale, offset, step, last[MARGIN:-MARGIN])
        _continued(last)
        if y >= 0:
            rows = (
                ring[y % 7], ring[(y + 1) % 7], ring[(y + 2) % 7], ring[(y + 3) % 7], ring[(y + 4) % 7],
                ring[(y + 5) % 7], ring[(y + 6) % 7],
            )  # fmt: skip
            at = y + row0
            _cubic_row(rows, colours[at % 2], colours[1 - at % 2], beside, out[y])


@kernel
def calibrated_mosaic(
    raw: NDArray[np.float32],
    row0: int,
    colours: NDArray[np.int64],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    step: int,
    out: NDArray[np.float32],
) -> None:
    """`zemosaic.kernels.calibrate.calibrate`, each pixel in the lane of its own colour; arguments as in `calibrated_cubic`.

    out : (rows, w, 4) float32, out: the pixel's colour, 0 in the others, and 1
    """
    h, w = raw.shape
    row = np.empty(w, np.float32)
    for y in range(h):
        own = colours[(y + row0) % 2]
        calibrated_row(raw[y], y + row0, own, scale, offset, step, row)
        for x in range(w):
            out[y, x, 0] = out[y, x, 1] = out[y, x, 2] = 0.0
            out[y, x, own[x % 2]] = row[x]
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
