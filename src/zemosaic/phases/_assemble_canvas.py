"""Arrays of the mosaic on disk, written block by block while it is assembled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from zemosaic.model import Plan, Superblock

__all__ = ["Canvas", "create_canvas", "load", "store"]


@dataclass(frozen=True)
class Canvas:
    """Arrays of the mosaic on disk, each written block by block."""

    provisional: Path  # (channels, h, w) float32
    samples: Path  # (h, w) uint16
    data: Path
    weight: Path
    coverage: Path
    rejected: Path
    sides: Path | None  # (2, h, w) uint16, when asked for


def create_canvas(plan: Plan, folder: Path, maps: bool) -> Canvas:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.npy" for name in Canvas.__dataclass_fields__}
    canvas = Canvas(**paths) if maps else replace(Canvas(**paths), sides=None)
    plane = plan.grid.height, plan.grid.width
    for path in (canvas.provisional, canvas.data, canvas.weight):
        open_memmap(path, "w+", np.float32, (plan.channels, *plane))
    for path in (canvas.samples, canvas.coverage, canvas.rejected):
        open_memmap(path, "w+", np.uint16, plane)
    if canvas.sides is not None:
        open_memmap(canvas.sides, "w+", np.uint16, (2, *plane))
    for path in (canvas.provisional, canvas.data):
        _blank(path)
    return canvas


def _blank(path: Path) -> None:
    """No data everywhere: blocks that no frame touches are never visited."""
    array = open_memmap(path, "r+")
    for plane in array:
        for row in range(0, plane.shape[0], 256):
            plane[row : row + 256] = np.nan
    array.flush()


def store(path: Path, block: Superblock, values: NDArray[Any]) -> None:
    array = open_memmap(path, "r+")
    array[..., block.y0 : block.y1, block.x0 : block.x1] = values
    array.flush()


def load(path: Path, block: Superblock) -> NDArray[Any]:
    return np.array(open_memmap(path, "r")[..., block.y0 : block.y1, block.x0 : block.x1])
