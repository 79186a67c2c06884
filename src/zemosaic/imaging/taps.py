"""Weights of the pixels around a position, for each way to resample: tables for `zemosaic.kernels.resample`.

All are six taps at offsets -2..3 from the pixel at or before the position, with zeros where a method has fewer, so that one
kernel does them all. Rows of an interpolation sum to 1, rows of drops to 1 on average: areas keep their light, and the noise of a
mean over an area is that of the raw pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels.resample import PHASES

__all__ = ["METHODS", "drops", "taps"]

METHODS = ("lanczos3", "bicubic", "bilinear")
OFFSETS = np.arange(-2, 4)
REACH = 2.0  # px, within which six taps hold every pixel
FAINT = 0.03  # along one axis, of the weight of a drop: what pixels have beyond it


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


def drops(pixfrac: float, size: float, pitch: int) -> NDArray[np.float32]:
    """(PHASES + 1, 6) float32: what a mosaic pixel takes of the drops of raw pixels around it, along one axis.

    The drop of a raw pixel is a square of `pixfrac` px, and counts by its overlap with the mosaic's pixel, taken along the
    frame's own axes (Fruchter & Hook 2002, PASP 114, 144). Where no drop falls, the nearest pixels of the colour on either
    side, at most `pitch` px away, fill in with a thousandth of the weight: drops of any size leave no holes.

    pixfrac : px of the frame; size : px of the frame, side of a mosaic pixel; pitch : px between pixels of one colour
    """
    t = np.abs((np.arange(PHASES + 1) / PHASES)[:, None] - OFFSETS[None, :])
    size = min(size, 2.0 * REACH - pixfrac)
    overlap = np.clip(0.5 * (pixfrac + size) - t, 0.0, min(pixfrac, size)) / (pixfrac * size)
    weights = overlap + FAINT * np.maximum(1.0 - t / pitch, 0.0) / pitch
    table: NDArray[np.float32] = (weights / (1.0 + FAINT)).astype(np.float32)
    return table
