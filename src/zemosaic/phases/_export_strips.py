"""The mosaic's planes row by row, as they are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.chunks import opened
from zemosaic.errors import Cancelled
from zemosaic.events import PhaseProgress, Reporter
from zemosaic.model import Mosaic

__all__ = ["STRIP_BYTES", "Pixels", "Progress", "no_data_is_zero", "seconds", "strips"]

Pixels = NDArray[Any]

STRIP_BYTES = 12_000_000


def seconds(mosaic: Mosaic, exposure: float) -> Iterator[Pixels]:
    """Rows of the exposure in s: as it was added up, or the coverage times `exposure`, that of every frame."""
    if mosaic.seconds is not None:
        yield from strips(mosaic.seconds, mosaic)
        return
    for strip in strips(mosaic.coverage, mosaic):
        yield strip.astype(np.float32) * np.float32(exposure)


class Progress:
    """Counts the rows of all files, tells the reporter, and stops when the user asks."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total, self.done, self.item = reporter, total, 0, ""

    def counted(self, some: Iterable[Pixels]) -> Iterator[Pixels]:
        """The same row blocks, counted when they have been dealt with."""
        for strip in some:
            self.check()
            yield strip
            self.add(strip.shape[-2])

    def check(self) -> None:
        """Raises Cancelled when the user asked to stop."""
        if self.reporter.cancelled():
            raise Cancelled("while the mosaic was written; the same command takes over what was measured")

    def add(self, rows: int) -> None:
        """Count rows that have been dealt with."""
        self.done += rows
        self.reporter.emit(PhaseProgress("export", self.done, self.total, self.item))


def strips(path: Path, mosaic: Mosaic, multiple: int = 1) -> Iterator[Pixels]:
    """Row blocks of the mosaic's part of an array of shape (h, w) or (c, h, w), a multiple of `multiple` rows each but the last.

    A row of its chunks is read at least, so that no chunk is read more than twice.
    """
    array, (top, left) = opened(path), mosaic.corner
    height, width = mosaic.grid.height, mosaic.grid.width
    planes = len(array.shape) - 2
    rows = max(STRIP_BYTES // (4 * math.prod(array.shape[:planes]) * width), array.chunks[-2], multiple)
    rows = rows // multiple * multiple
    for start in range(0, height, rows):
        part = slice(top + start, top + min(start + rows, height)), slice(left, left + width)
        yield array.read((*[slice(None)] * planes, *part))


def no_data_is_zero(weight: Pixels) -> Pixels:
    return np.where(np.isfinite(weight), weight, weight.dtype.type(0))
