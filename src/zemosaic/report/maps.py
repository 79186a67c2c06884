"""The maps of a mosaic in blocks, read from its files strip by strip.

Memory: a strip of STRIP_BYTES and the blocks, a million at most.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from zemosaic.fits import inspect, read_pixels
from zemosaic.imaging.display import block_mean
from zemosaic.report.values import FloatArray

__all__ = ["LONGEST", "blocks", "factor_of"]

LONGEST = 800  # blocks along the longer side
STRIP_BYTES = 24_000_000


def factor_of(width: int, height: int) -> int:
    """px of the mosaic that make a block."""
    return max(1, math.ceil(max(width, height) / LONGEST))


def blocks(path: Path, factor: int) -> FloatArray:
    """Block means of a map, of its green plane where it has three; NaN counts as 0, and row 0 is the upper one.

    Raises FrameError when the file cannot be read.
    """
    image = inspect(path)
    *planes, height, width = image.shape
    rows = max(1, STRIP_BYTES // (4 * math.prod(planes) * width) // factor) * factor
    parts = []
    for start in range(0, height, rows):
        strip = read_pixels(image, slice(start, min(start + rows, height)))
        plane = strip if strip.ndim == 2 else strip[len(strip) // 2]
        values = np.nan_to_num(np.asarray(plane, np.float32))
        parts.append(block_mean(values, np.ones_like(values), factor)[0])
    return np.concatenate(parts)[::-1].astype(np.float64)
