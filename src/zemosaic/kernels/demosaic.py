"""Bilinear demosaicing of a colour filter array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["bilinear"]

GREEN = 1


@kernel
def bilinear(raw: NDArray[np.float32], colours: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Interpolate the three colours at every pixel from the nearest pixels of each, with equal weights.

    The frame is continued by reflection about its edge pixels, which keeps the phase of the filter array.

    raw : (h, w) float32, h >= 2, w >= 2
    colours : (2, 2) int64, channel at (y % 2, x % 2), green on one diagonal
    out : (h, w, n) float32, n >= 3; channels 0..2 are written
    """
    h, w = raw.shape
    for y in range(h):
        up = raw[y - 1 if y > 0 else 1]
        row = raw[y]
        down = raw[y + 1 if y < h - 1 else h - 2]
        for phase in range(2):
            own = colours[y % 2, phase]
            beside = colours[y % 2, 1 - phase]
            above = colours[1 - y % 2, phase]
            across = colours[1 - y % 2, 1 - phase]
            for x in range(phase, w, 2):
                left = x - 1 if x > 0 else 1
                right = x + 1 if x < w - 1 else w - 2
                out[y, x, own] = row[x]
                if own == GREEN:
                    out[y, x, beside] = np.float32(0.5) * (row[left] + row[right])
                    out[y, x, above] = np.float32(0.5) * (up[x] + down[x])
                else:
                    out[y, x, GREEN] = np.float32(0.25) * (row[left] + row[right] + up[x] + down[x])
                    out[y, x, across] = np.float32(0.25) * (up[left] + up[right] + down[left] + down[right])
