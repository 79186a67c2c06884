"""The part of a mosaic that is deep enough: the largest rectangle of cells in which the weight is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels.rectangle import largest_rectangle

__all__ = ["CELL", "deep_part"]

CELL = 16  # px
LACKING = 0.05  # of the pixels of a cell that may have less: single ones that were rejected cut no picture in two


def deep_part(weight: Iterable[NDArray[np.float32]], share: float) -> tuple[int, int, int, int] | None:
    """Rows y0..y1 and columns x0..x1 px, half open, of the largest rectangle that is deep enough; None where there is none.

    weight : (channels, rows, w) inverse variance, strip by strip, each a multiple of CELL rows but the last; 0 or NaN is no data
    share : of the median weight that every channel has to have in all cells, but for LACKING of their pixels and in no whole line

    What is left of whole cells at the right and upper end is no part of it. The median is that of the medians of cells with data.
    """
    cells = [_cells(strip) for strip in weight if strip.shape[1] >= CELL]
    if not cells:
        return None
    low, middle = (np.concatenate([each[k] for each in cells], axis=1) for k in range(2))
    deep = np.ones(low.shape[1:], bool)
    for channel, typical in zip(low, middle):
        known = typical[typical > 0.0]
        if not known.size:
            return None
        deep &= channel >= max(share * float(np.median(known)), np.finfo(np.float32).tiny)
    y0, y1, x0, x1 = (CELL * int(each) for each in largest_rectangle(deep))
    return (y0, y1, x0, x1) if y1 > y0 else None


def _cells(strip: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(channels, ny, nx) of each whole cell of a strip: what its pixels reach but for LACKING of them, and their median.

    Every row and column of a cell reaches it with half of its pixels.
    """
    channels, height, width = strip.shape
    ny, nx = height // CELL, width // CELL
    whole = np.nan_to_num(strip[:, : ny * CELL, : nx * CELL]).reshape(channels, ny, CELL, nx, CELL)
    flat = np.moveaxis(whole, 2, 3).reshape(channels, ny, nx, CELL * CELL)
    least, half = int(LACKING * CELL * CELL), CELL * CELL // 2
    ordered = np.partition(flat, (least, half), axis=-1)
    # where the mosaic ends within a cell, few of its pixels may lack data, but a whole row or column of it
    across, down = (np.partition(whole, CELL // 2, axis=axis).take(CELL // 2, axis=axis) for axis in (4, 2))
    lines = np.minimum(across.min(axis=2), down.min(axis=3))
    return np.minimum(ordered[..., least], lines), ordered[..., half]
