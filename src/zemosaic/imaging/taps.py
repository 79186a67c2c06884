"""Weights of the pixels around a position, for each way to interpolate: tables for `zemosaic.kernels.resample`.

All are six taps at offsets -2..3 from the pixel at or before the position, with zeros where a method has fewer, so that one
kernel does them all. Each row sums to 1: areas keep their light, and the noise of a mean over an area is that of the raw pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels.resample import PHASES

__all__ = ["METHODS", "taps"]

METHODS = ("lanczos3", "bicubic", "bilinear")
OFFSETS = np.arange(-2, 4)


def _lanczos3(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windowed sinc (Duchon 1979, J. Appl. Meteorol. 18, 1016), three pixels to either side."""
    return np.where(np.abs(t) < 3.0, np.sinc(t) * np.sinc(t / 3.0), 0.0)


def _bicubic(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution (Keys 1981, IEEE Trans. ASSP 29, 1153; a = -1/2), exact for parabolas."""
    a = np.abs(t)
    near, far = (1.5 * a - 2.5) * a * a + 1.0, ((-0.5 * a + 2.5) * a - 4.0) * a + 2.0
    return np.where(a < 1.0, near, np.where(a < 2.0, far, 0.0))


def _bilinear(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - np.abs(t), 0.0)


WEIGHTS = {"lanczos3": _lanczos3, "bicubic": _bicubic, "bilinear": _bilinear}


@cache
def taps(method: str) -> NDArray[np.float32]:
    """(PHASES + 1, 6) float32 of one of `METHODS`: weights along one axis for positions at 0..1 from a pixel."""
    weights = WEIGHTS[method]((np.arange(PHASES + 1) / PHASES)[:, None] - OFFSETS[None, :])
    table: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return table
