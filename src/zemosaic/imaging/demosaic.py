"""Colours of a raw mosaic: which pixel has which, three planes, and a luminance that treats all pixels alike."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels import demosaic as kernels

__all__ = ["BAYER_SHARE", "BILINEAR_VARIANCE", "LUMINANCE_SIGMA", "bilinear", "cfa_colours", "luminance"]

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
CHANNEL = {"R": 0, "G": 1, "B": 2}
BAYER_SHARE = (0.25, 0.5, 0.25)  # of the pixels, R G B
LUMINANCE_SIGMA = math.sqrt(0.5)  # px per axis, blur of the luminance

# Variance of the sum of a bilinear plane over a wide aperture, per px of the aperture and per variance of a raw pixel:
# a raw pixel of red or blue enters four pixels' worth of sum, of green two; there is one in four and one in two.
BILINEAR_VARIANCE = (4.0, 2.0, 4.0)


def cfa_colours(pattern: str) -> NDArray[np.int64]:
    """(2, 2) channel (0 R, 1 G, 2 B) of the pixel at (y % 2, x % 2) of a pattern such as "GRBG".

    Raises ValueError when it is no Bayer pattern: one red, one blue, two green pixels on a diagonal.
    """
    name = pattern.upper()
    if name not in PATTERNS:
        raise ValueError(f"colour filter array {pattern!r} is not a Bayer pattern: expected {', '.join(PATTERNS)}")
    return np.array([CHANNEL[letter] for letter in name], np.int64).reshape(2, 2)


def bilinear(raw: NDArray[np.float32], pattern: str) -> NDArray[np.float32]:
    """(h, w, 3) float32: the three colours of a raw mosaic (h, w) at every pixel; linear in the data."""
    out = np.empty((*raw.shape, 3), np.float32)
    kernels.bilinear(np.ascontiguousarray(raw, np.float32), cfa_colours(pattern), out)
    return out


def luminance(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) float32: (R + 2 G + B) / 4 at every pixel of a raw mosaic (h, w).

    [1 2 1] x [1 2 1] / 16 gives each of the four pixels of the pattern the same weight at every place, so that no star
    is drawn towards a colour's pixels; the frame is reflected about its edge pixels.
    """
    smooth = np.empty(raw.shape, np.float32)
    kernels.luminance(np.ascontiguousarray(raw, np.float32), smooth)
    return smooth
