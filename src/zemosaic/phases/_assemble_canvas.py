"""What an assembly keeps on the disk: the planes of the mosaic, which parts of them are done, and running sums half-way.

All of it is whole or absent. A part counts as done when its record says of what it was made, in a hash, and all of its chunks
are as they were written: so whatever ended a run, the next one finds what is missing and makes that only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.chunks import DamagedError, create_on, opened, put_file, save
from zemosaic.ledger import to_json
from zemosaic.model import Grid, Plan, Superblock

__all__ = [
    "Canvas",
    "Checkpoint",
    "block_name",
    "clear",
    "create_canvas",
    "digest",
    "fill_seconds",
    "is_done",
    "load",
    "record",
    "recorded",
    "region",
    "store",
]

PIECE = 2**20  # numbers of running sums in one file: 4 MB, and as much memory to write or read it
PROVISIONAL, FINAL = "provisional", "final"  # the two passes over a block
PATIENCE = 8.0  # checkpoints take at most this part of the time
Array = NDArray[Any]


def block_name(y0: int, x0: int, y1: int, x1: int, zero: tuple[int, int]) -> str:
    """A block's place from the tangent point, (y, x) `zero`: the same on every grid with these pixels."""
    y, x = zero
    return f"{y0 - y}_{x0 - x}_{y1 - y}_{x1 - x}"


@dataclass(frozen=True)
class Canvas:
    """Arrays of the mosaic on disk (`zemosaic.chunks`), each written block by block."""

    provisional: Path  # (channels, h, w) float32
    samples: Path  # (h, w) uint16
    data: Path
    weight: Path
    coverage: Path
    rejected: Path
    sides: Path | None  # (2, h, w) uint16, when asked for
    seconds: Path | None = None  # (h, w) float32, of exposure, where frames differ in it

    @property
    def done(self) -> Path:
        """Folder of the records of what is done."""
        return self.data.parent / "done"

    def record_of(self, kind: str, block: str) -> Path:
        """Where it is written down that a pass (PROVISIONAL or FINAL) over a block, given its name, is done."""
        return self.done / f"{kind}_{block}.json"

    def checkpoint_of(self, kind: str, block: str) -> Path:
        """Where the running sums of the pass are kept."""
        return self.data.parent / "checkpoints" / f"{kind}_{block}"

    @property
    def first(self) -> tuple[Path, ...]:
        """Planes of the provisional mosaic."""
        return self.provisional, self.samples

    @property
    def last(self) -> tuple[Path, ...]:
        """Planes of the final mosaic."""
        return self.data, self.weight, self.coverage, self.rejected, *filter(None, (self.sides, self.seconds))


def create_canvas(plan: Plan, folder: Path, maps: bool, times: bool = False) -> Canvas:
    """The arrays of a plan, empty, or as an earlier run left them, on a smaller grid perhaps.

    maps : of rejected pixels, times : of the exposure, are kept
    """
    paths = {name: folder / name for name in Canvas.__dataclass_fields__}
    canvas = replace(
        Canvas(**paths), sides=paths["sides"] if maps else None, seconds=paths["seconds"] if times else None
    )
    canvas.done.mkdir(parents=True, exist_ok=True)
    grid, plane, chunk = plan.grid, (plan.grid.height, plan.grid.width), (plan.chunk, plan.chunk)
    lattice = digest(grid.lattice)
    for path, fill in ((canvas.provisional, np.nan), (canvas.data, np.nan), (canvas.weight, 0.0)):
        create_on(path, lattice, (0, *grid.zero), (plan.channels, *plane), (plan.channels, *chunk), np.float32, fill)
    for path in (canvas.samples, canvas.coverage, canvas.rejected):
        create_on(path, lattice, grid.zero, plane, chunk, np.uint16)
    if canvas.sides is not None:
        create_on(canvas.sides, lattice, (0, *grid.zero), (2, *plane), (2, *chunk), np.uint16)
    if canvas.seconds is not None:
        create_on(canvas.seconds, lattice, grid.zero, plane, chunk, np.float32)
    elif paths["seconds"].is_dir():  # parts of it would be of another mosaic when it is wanted again
        shutil.rmtree(paths["seconds"])
    return canvas


def fill_seconds(canvas: Canvas, block: Superblock, seconds: float) -> None:
    """The exposure of a block of a mosaic whose frames were all of so many seconds, where it was not kept."""
    if canvas.seconds is None or opened(canvas.seconds).whole(region(block, 2)):
        return
    coverage = opened(canvas.coverage)
    if coverage.whole(region(block, 2)):
        count = coverage.read(region(block, 2)).astype(np.float32)
        store(canvas.seconds, block, count * np.float32(seconds))


def region(block: Superblock, planes: int) -> tuple[slice, ...]:
    """Where a block lies in an array of so many dimensions."""
    return (*[slice(None)] * (planes - 2), slice(block.y0, block.y1), slice(block.x0, block.x1))


def store(path: Path, block: Superblock, values: Array) -> None:
    opened(path).write((*[0] * (values.ndim - 2), block.y0, block.x0), values)


def clear(canvas: Canvas, done: Path, grid: Grid) -> None:
    """Remove the chunks of a block that is no more, given its record: no block that is lies on them."""
    kind, *place = done.stem.split("_")
    zero = grid.zero * 2
    y0, x0, y1, x1 = (max(int(k) + z, 0) for k, z in zip(place, zero, strict=True))
    block = Superblock(y0, y1, x0, x1, ())
    for path in canvas.first if kind == PROVISIONAL else canvas.last:
        array = opened(path)
        array.clear(region(block, len(array.shape)))


def load(path: Path, block: Superblock) -> Array:
    """A block that is known to be done."""
    array = opened(path)
    return array.read(region(block, len(array.shape)), complete=True)


def digest(*parts: object) -> str:
    """A hash of values that JSON knows."""
    return hashlib.sha256(to_json(parts).encode()).hexdigest()


def record(path: Path, key: str, used: Iterable[int], made: Sequence[object] = ()) -> None:
    """Write down that something is done: `key` says of what it was made, and `made` does so in full."""
    put_file(path, to_json({"key": key, "used": sorted(used), "made": made}).encode())


def recorded(path: Path, key: str) -> set[int] | None:
    """What was written down for that key; None when nothing was, or for another one."""
    try:
        found = json.loads(path.read_bytes())
        return set(found["used"]) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_done(path: Path, key: str, arrays: Iterable[Path], block: Superblock) -> bool:
    """Whether a block was recorded as done for that key and all its chunks are as they were written."""
    if recorded(path, key) is None:
        return False
    found = [opened(each) for each in arrays]
    return all(array.whole(region(block, len(array.shape))) for array in found)


class Checkpoint:
    """Running sums of a block, kept about every `every` seconds: a run that was ended goes on from there.

    Writing is spread so that it takes an eighth of the time at most. In the folder lie the arrays of one state, and a record that
    names it; the next state is complete before the record changes.
    """

    def __init__(self, folder: Path, key: str, every: float) -> None:
        self.folder, self.key, self.every = folder, key, every
        self._began, self._cost = time.monotonic(), 0.0

    def restore(self, arrays: Sequence[Array]) -> tuple[int, set[int]]:
        """Fill the arrays as they were kept; how many frames they hold, and the ids of those that gave something."""
        for path in sorted(self.folder.glob("*.json"), key=lambda each: -int(each.stem)):
            used = recorded(path, self.key)
            frames = int(path.stem)
            kept = [self.folder / f"{frames}_{k}" for k in range(len(arrays))]
            if used is None or not all(each.is_dir() for each in kept):
                continue
            try:
                for each, array in zip(kept, arrays, strict=True):
                    opened(each).read_into(array.reshape(-1))
            except DamagedError:
                for array in arrays:
                    array[...] = 0
                continue
            return frames, used
        return 0, set()

    def keep(self, arrays: Sequence[Array], frames: int, used: Iterable[int]) -> None:
        """Keep the arrays when it is time: they hold the first `frames` frames."""
        now = time.monotonic()
        if now - self._began < max(self.every, PATIENCE * self._cost):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        before = list(self.folder.iterdir())
        for k, array in enumerate(arrays):
            save(self.folder / f"{frames}_{k}", array.ravel(), (PIECE,))
        record(self.folder / f"{frames}.json", self.key, used)
        for old in before:
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
        self._began = time.monotonic()
        self._cost = self._began - now

    def drop(self) -> None:
        """Nothing is needed any more: what the sums led to is on the disk."""
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
