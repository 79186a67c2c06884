"""Raw pixels to mosaic units, or back: a scale and an offset that are smooth over the frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["calibrate", "calibrated_row"]


@kernel
def calibrated_row(
    raw: NDArray[np.float32],
    y: int,
    colours: NDArray[np.int64],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    step: int,
    out: NDArray[np.float32],
) -> None:
    """Row y of a frame in mosaic units: out = raw * scale - offset, both on a lattice of `step` px over the whole frame.

    raw, out : (w,) float32; colours : (2,) channels in this row; scale, offset : (p, q, channels) float32
    """
    j, width = y // step, raw.shape[0]
    fy = np.float32((y % step) / step)
    for phase in range(2):
        c = colours[phase]
        for i in range((width + step - 1) // step):
            first, last = i * step, min(width, (i + 1) * step)
            s = scale[j, i, c] + (scale[j + 1, i, c] - scale[j, i, c]) * fy
            o = offset[j, i, c] + (offset[j + 1, i, c] - offset[j, i, c]) * fy
            ds = (scale[j, i + 1, c] + (scale[j + 1, i + 1, c] - scale[j, i + 1, c]) * fy - s) / np.float32(step)
            do = (offset[j, i + 1, c] + (offset[j + 1, i + 1, c] - offset[j, i + 1, c]) * fy - o) / np.float32(step)
            for x in range(first + (phase + first) % 2, last, 2):
                along = np.float32(x - first)
                out[x] = raw[x] * (s + ds * along) - (o + do * along)


@kernel
def calibrate(
    raw: NDArray[np.float32],
    row0: int,
    colours: NDArray[np.int64],
    scale: NDArray[np.float32],
    offset: NDArray[np.float32],
    step: int,
    out: NDArray[np.float32],
) -> None:
    """Raw ADU to mosaic units: out = raw * scale - offset, both on a lattice of `step` px over the whole frame.

    raw, out : (rows, w) float32, the frame's rows from `row0` on; colours : (2, 2) int64
    scale, offset : (p, q, channels) float32
    """
    for y in range(raw.shape[0]):
        calibrated_row(raw[y], y + row0, colours[(y + row0) % 2], scale, offset, step, out[y])
