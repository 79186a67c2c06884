"""Small pictures of what lies on the disk: parts of a mosaic while it grows, and files that are finished.

Memory: a row of chunks, or STRIP pixels of each plane, and the small picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.chunks import opened
from zemosaic.events import BlockMade
from zemosaic.fits import inspect, read_pixels
from zemosaic.imaging.display import block_mean

__all__ = ["Box", "Glance", "glance_at_block", "glance_at_file", "shrink_factor"]

STRIP = 3_000_000  # px
FloatImage = NDArray[np.float32]
Box = tuple[int, int, int, int]  # y0, y1, x0, x1, half open


@dataclass(frozen=True)
class Glance:
    """A picture of a part of a mosaic, each of its pixels the mean of factor x factor px."""

    data: FloatImage  # (channels, h, w); NaN is no data
    factor: int
    top: int  # row of the small picture of the whole at which this part begins
    left: int
    height: int  # of the small picture of the whole
    width: int


def shrink_factor(height: int, width: int, longest: int) -> int:
    """By which a picture is shrunk, for its longer side to be `longest` px at most."""
    return max(1, math.ceil(max(height, width) / longest))


def glance_at_block(made: BlockMade, longest: int) -> Glance:
    """A block that was made, as it is in a picture of the whole mosaic of at most `longest` px.

    Raises DamagedError when its planes are not as they were written (any more).
    """
    factor = shrink_factor(made.height, made.width, longest)
    array = opened(made.path)
    y0, x0 = made.y0 // factor * factor, made.x0 // factor * factor
    step = max(factor, array.chunks[-2] // factor * factor)
    parts = [
        _small(array.read((slice(None), slice(y, min(y + step, made.y1)), slice(x0, made.x1))), factor)
        for y in range(y0, made.y1, step)
    ]
    whole = -(-made.height // factor), -(-made.width // factor)
    return Glance(np.concatenate(parts, axis=1), factor, y0 // factor, x0 // factor, *whole)


def glance_at_file(path: Path, longest: int, box: Box | None = None, *, empty: bool = False) -> Glance:
    """A FITS file of (h, w) or (3, h, w), or a part of it, as a picture of at most `longest` px.

    empty : 0 is no data (maps; mosaics with `no_data` = `zero`)

    Raises FrameError when it cannot be read.
    """
    image = inspect(path)
    height, width = image.shape[-2:]
    y0, y1, x0, x1 = box or (0, height, 0, width)
    factor = shrink_factor(y1 - y0, x1 - x0, longest)
    y0, x0 = y0 // factor * factor, x0 // factor * factor
    whole_at_once = image.packed or image.tiled  # unpacked from the start each time
    step = y1 - y0 if whole_at_once else max(factor, STRIP // width // factor * factor)
    parts = []
    for y in range(y0, y1, step):
        strip = np.asarray(read_pixels(image, slice(y, min(y + step, y1))), np.float32)[..., x0:x1]
        strip = strip if strip.ndim == 3 else strip[None]
        parts.append(_small(np.where(strip == 0, np.float32(np.nan), strip) if empty else strip, factor))
    whole = -(-height // factor), -(-width // factor)
    return Glance(np.concatenate(parts, axis=1), factor, y0 // factor, x0 // factor, *whole)


def _small(data: FloatImage, factor: int) -> FloatImage:
    weight = np.ones(data.shape[1:], np.float32)
    return np.stack([block_mean(np.ascontiguousarray(plane, np.float32), weight, factor)[0] for plane in data])
