"""Residuals of one frame added to the sums of its sensor."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["add_residuals"]


@kernel
def add_residuals(
    raw: NDArray[np.float32],
    expected: NDArray[np.float32],
    tolerated: NDArray[np.float32],
    spread: NDArray[np.float32],
    samples: NDArray[np.uint16],
    skipped: NDArray[np.bool_],
    sigma: NDArray[np.float32],
    limits: tuple[int, float, float, float],
    out: NDArray[np.float32],
) -> None:
    """Add what the pixels of a frame differ from the model by, where the model is calm.

    raw, expected, tolerated, spread : (h, w) float32, ADU: the frame, the model of it, one sigma of their difference (NaN:
        no model), and how much the model varies around the pixel
    samples : (h, w) uint16, frames behind the model; skipped : (h, w) bool, pixels that say nothing of the sensor
    sigma : (2, 2) float32, ADU, noise of a sky pixel at (y % 2, x % 2)
    limits : (least samples, variance of the model times samples over that of a frame, spread in sigma from which a model is
        not calm any more, sigmas at which a residual is cut)
    out : (4, h, w) float32, in and out: sums of 1, 1 / t^2, z / t, z^2 with t = tolerated and z = residual / t, cut
    """
    h, w = raw.shape
    least, noise, calm, cut = limits
    for y in range(h):
        for x in range(w):
            t, n = tolerated[y, x], samples[y, x]
            if n < least or skipped[y, x] or not t > 0.0:
                continue
            if not spread[y, x] <= sigma[y % 2, x % 2] * (calm + 2.0 * math.sqrt(noise / n)):
                continue
            z = (raw[y, x] - expected[y, x]) / t
            if not np.isfinite(z):
                continue
            z = min(max(z, -cut), cut)
            out[0, y, x] += 1.0
            out[1, y, x] += 1.0 / (t * t)
            out[2, y, x] += z / t
            out[3, y, x] += z * z
