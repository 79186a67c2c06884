"""Arrays on disk in pieces that are whole or absent: the format of Zarr, version 2, which its packages 2 and 3 read.

An array is a folder: `.zarray` says what it is, and each chunk is a file "j.i" of its bytes behind their CRC-32 (numcodecs'
filter `crc32`). A chunk is written under another name, brought onto the disk, then renamed; its checksum is looked at whenever
it is read. The packages bring nothing onto the disk: so the format is theirs, and the hundred lines are ours.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from zemosaic.errors import OutputError

__all__ = [
    "Around",
    "Chunked",
    "DamagedError",
    "allocate",
    "create",
    "create_on",
    "opened",
    "put_file",
    "reserve",
    "save",
    "sync_folder",
]

HEADER = ".zarray"
ATTRIBUTES = ".zattrs"
Array = NDArray[Any]
Box = tuple[int, int, int, int]  # y0, y1, x0, x1, half open


class DamagedError(OutputError):
    """A chunk is absent or not what was written."""


@dataclass(frozen=True)
class Chunked:
    """An array in chunks of one shape; those at the far edges are filled up."""

    path: Path
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: float  # where no chunk was written

    def read(self, region: Sequence[slice] = (), *, complete: bool = False) -> Array:
        """A part of the array (all of it by default), `fill` where no chunk is.

        Raises DamagedError when a chunk is not what was written; when it is absent too if the region has to be `complete`.
        """
        bounds = self._bounds(region)
        out = np.empty([stop - start for start, stop in bounds], self.dtype)
        self._fill(out, bounds, complete)
        return out

    def read_into(self, out: Array) -> None:
        """The whole array, into one of its shape; what is there beside that is a chunk.

        Raises DamagedError when a chunk is absent, or not what was written.
        """
        self._fill(out, self._bounds(()), True)

    def _fill(self, out: Array, bounds: Sequence[tuple[int, int]], complete: bool) -> None:
        for place in self._places(bounds):
            data = self._load(place)
            if data is None and complete:
                raise DamagedError(
                    f"{self._file(place)} is absent: start the same command again, what is missing is made anew"
                )
            there, here = self._overlap(place, bounds)
            out[there] = self.fill if data is None else data[here]

    def write(self, origin: Sequence[int], values: Array) -> None:
        """Put values at `origin`; chunks that they fill only in part are `fill` elsewhere, whatever was there before.

        Raises OutputError when that cannot be done.
        """
        bounds = [(start, start + length) for start, length in zip(origin, values.shape, strict=True)]
        for place in self._places(bounds):
            there, here = self._overlap(place, bounds)
            chunk = np.ascontiguousarray(values[there], self.dtype)  # no copy of what lies in memory as on the disk
            if chunk.shape != self.chunks:
                chunk, part = np.full(self.chunks, self.fill, self.dtype), chunk
                chunk[here] = part
            data = chunk.data.cast("B")
            put_file(self._file(place), zlib.crc32(data).to_bytes(4, "little"), data)
        sync_folder(self.path)

    def clear(self, region: Sequence[slice] = ()) -> None:
        """Remove the chunks that a region touches: `fill` is there then."""
        for place in self._places(self._bounds(region)):
            self._file(place).unlink(missing_ok=True)

    def whole(self, region: Sequence[slice] = ()) -> bool:
        """Whether all chunks of a region are there and as they were written."""
        try:
            return all(self._load(place) is not None for place in self._places(self._bounds(region)))
        except DamagedError:
            return False

    def like(self, chunks: Sequence[int], dtype: DTypeLike) -> bool:
        """Whether chunks of the two are of one form."""
        return self.chunks == tuple(chunks) and self.dtype == np.dtype(dtype).newbyteorder("<")

    def _load(self, place: tuple[int, ...]) -> Array | None:
        file = self._file(place)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        wanted = 4 + math.prod(self.chunks) * self.dtype.itemsize
        if len(data) != wanted or zlib.crc32(memoryview(data)[4:]) != int.from_bytes(data[:4], "little"):
            raise DamagedError(f"{file} is damaged: start the same command again, what is missing is made anew")
        return np.frombuffer(data, self.dtype, offset=4).reshape(self.chunks)

    def _file(self, place: tuple[int, ...]) -> Path:
        return self.path / ".".join(map(str, place))

    def _bounds(self, region: Sequence[slice]) -> list[tuple[int, int]]:
        every = [*region, *[slice(None)] * (len(self.shape) - len(region))]
        found = [each.indices(length) for each, length in zip(every, self.shape, strict=True)]
        return [(start, max(start, stop)) for start, stop, _ in found]

    def _places(self, bounds: Sequence[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
        ranges = [range(start // n, -(-stop // n)) for (start, stop), n in zip(bounds, self.chunks, strict=True)]
        return product(*ranges)

    def _overlap(
        self, place: tuple[int, ...], bounds: Sequence[tuple[int, int]]
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """What a chunk and a region share: in the region, in the chunk."""
        there, here = [], []
        for k, n, (start, stop) in zip(place, self.chunks, bounds, strict=True):
            low, high = max(start, k * n), min(stop, (k + 1) * n)
            there.append(slice(low - start, high - start))
            here.append(slice(low - k * n, high - k * n))
        return tuple(there), tuple(here)


class Around:
    """The part of some planes that was read last, with what was read around it before while all of it fits `room` bytes.

    For frames in a row that lie on the same part of a mosaic: each chunk is read once, and what is in memory is one piece. Nobody
    may write to the arrays meanwhile.

    arrays : (..., H, W) each, planes of the same size in chunks of the same size
    """

    def __init__(self, arrays: Sequence[Chunked], room: int) -> None:
        self._arrays, self._room = arrays, room
        self._box: Box = (0, 0, 0, 0)
        self._parts: list[Array] = []

    def part(self, y0: int, y1: int, x0: int, x1: int) -> tuple[tuple[int, int], list[Array]]:
        """(y, x) where what is in memory begins, and of each array a piece that holds y0:y1, x0:x1 as far as there is any."""
        height, width = self._arrays[0].shape[-2:]
        y0, x0 = min(max(0, y0), height), min(max(0, x0), width)
        wanted = y0, max(y0, min(height, y1)), x0, max(x0, min(width, x1))
        if not self._parts or _hull(self._box, wanted) != self._box:
            self._load(wanted)
        return (self._box[0], self._box[2]), self._parts

    def _load(self, wanted: Box) -> None:
        height, width = self._arrays[0].shape[-2:]
        n, m = self._arrays[0].chunks[-2:]
        whole = (
            wanted[0] // n * n,
            min(height, -(-wanted[1] // n) * n),
            wanted[2] // m * m,
            min(width, -(-wanted[3] // m) * m),
        )
        both = _hull(self._box, whole)
        if self._parts and self._bytes(self._box) + self._bytes(both) <= self._room:
            self._grow(both)
            return
        self._parts = []  # what is there makes room first
        self._box = whole if self._bytes(whole) <= self._room else wanted
        self._parts = [array.read(_region(array, self._box)) for array in self._arrays]

    def _grow(self, box: Box) -> None:
        """Read what lies above, below and beside the part in memory."""
        old = self._box
        strips = [
            (box[0], old[0], box[2], box[3]),
            (old[1], box[1], box[2], box[3]),
            (old[0], old[1], box[2], old[2]),
            (old[0], old[1], old[3], box[3]),
        ]
        for k, array in enumerate(self._arrays):
            grown = np.empty((*array.shape[:-2], box[1] - box[0], box[3] - box[2]), array.dtype)
            grown[..., old[0] - box[0] : old[1] - box[0], old[2] - box[2] : old[3] - box[2]] = self._parts[k]
            for y0, y1, x0, x1 in strips:
                strip = array.read(_region(array, (y0, y1, x0, x1)))
                grown[..., y0 - box[0] : y1 - box[0], x0 - box[2] : x1 - box[2]] = strip
            self._parts[k] = grown
        self._box = box

    def _bytes(self, box: Box) -> int:
        return (
            sum(math.prod(a.shape[:-2]) * a.dtype.itemsize for a in self._arrays)
            * (box[1] - box[0])
            * (box[3] - box[2])
        )


def _hull(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), max(one[3], other[3])


def _region(array: Chunked, box: Box) -> tuple[slice, ...]:
    return (*[slice(None)] * (len(array.shape) - 2), slice(box[0], box[1]), slice(box[2], box[3]))


def create(path: Path, shape: Sequence[int], chunks: Sequence[int], dtype: DTypeLike, fill: float = 0.0) -> Chunked:
    """An array; chunks that lie there stay when they are of one just like it, and go otherwise."""
    array = Chunked(path, tuple(shape), tuple(chunks), np.dtype(dtype).newbyteorder("<"), fill)
    text = json.dumps(
        {
            "zarr_format": 2,
            "shape": list(array.shape),
            "chunks": list(array.chunks),
            "dtype": array.dtype.str,
            "compressor": None,
            "fill_value": "NaN" if fill != fill else fill if array.dtype.kind == "f" else int(fill),
            "order": "C",
            "filters": [{"id": "crc32"}],
        },
        indent=1,
    )
    header = path / HEADER
    if not header.is_file() or header.read_text() != text:
        path.mkdir(parents=True, exist_ok=True)
        for old in path.iterdir():
            old.unlink()
        put_file(header, text.encode())
    return array


def create_on(path: Path, lattice: str, origin: Sequence[int], *like: Any) -> Chunked:
    """`create` an array (`like` are its other arguments) in which the zero of a lattice without bounds lies at `origin`.

    Chunks of an array on the same lattice stay where they are on it, when the two differ by whole chunks: the array may grow
    to any side. Those of another lattice, and those beyond the new bounds, go.
    """
    shape, chunks, dtype = like[:3]
    staged = path.with_name(f"{path.name}.moving")
    if staged.is_dir() and not path.is_dir():  # ended between the two last steps
        staged.rename(path)
    about, found = {"lattice": lattice, "origin": list(origin)}, _about(path)
    if found.get("lattice") == lattice and opened(path).like(chunks, dtype):
        if found == about and opened(path).shape == tuple(shape):
            return create(path, *like)
        steps = [new - old for new, old in zip(origin, found["origin"], strict=True)]
        if all(step % n == 0 for step, n in zip(steps, chunks)):
            if _about(staged) != about:
                shutil.rmtree(staged, ignore_errors=True)
            staging = create(staged, *like)
            put_file(staged / ATTRIBUTES, json.dumps(about).encode())
            _move(path, staging, [step // n for step, n in zip(steps, chunks)])
            shutil.rmtree(path)
            staged.rename(path)
            return opened(path)
    for old in (staged, path):
        shutil.rmtree(old, ignore_errors=True)
    array = create(path, *like)
    put_file(path / ATTRIBUTES, json.dumps(about).encode())
    return array


def _about(path: Path) -> dict[str, Any]:
    """Where an array lies on which lattice; {} when there is none that can be read."""
    try:
        opened(path)
        about = json.loads((path / ATTRIBUTES).read_text())
        return about if isinstance(about, dict) else {}
    except (OSError, ValueError, DamagedError):
        return {}


def _move(path: Path, target: Chunked, steps: Sequence[int]) -> None:
    """Bring chunks into another array, so many chunks further along each axis."""
    most = [-(-length // n) for length, n in zip(target.shape, target.chunks)]
    for file in list(path.iterdir()):
        if not file.name[0].isdigit():
            continue
        place = [int(k) + step for k, step in zip(file.name.split("."), steps, strict=True)]
        if all(0 <= k < n for k, n in zip(place, most)):
            file.rename(target.path / ".".join(map(str, place)))
    sync_folder(target.path)


def opened(path: Path) -> Chunked:
    """An array that lies on the disk.

    Raises DamagedError when it does not, or is not one of ours.
    """
    try:
        about = json.loads((path / HEADER).read_text())
        fill = math.nan if about["fill_value"] == "NaN" else about["fill_value"]
        return Chunked(path, tuple(about["shape"]), tuple(about["chunks"]), np.dtype(about["dtype"]), fill)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path} is damaged ({error}): start the same command again, it is made anew") from error


def save(path: Path, values: Array, chunks: Sequence[int]) -> Chunked:
    """Write a whole array."""
    array = create(path, values.shape, chunks, values.dtype)
    array.write((0,) * values.ndim, values)
    return array


def put_file(path: Path, *data: bytes | memoryview) -> None:
    """Write a file of these pieces that is whole or absent, after a power cut too; `path.parent` exists.

    Raises OutputError with the reason of the system.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.writelines(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError.writing(path, error, sum(map(len, data))) from error


def allocate(path: Path, size: int) -> None:
    """A file of zeros for which there is room: what is mapped into memory and finds none later ends the process.

    Raises OSError; then there is no file.
    """
    try:
        with path.open("wb") as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def reserve(path: Path, size: int) -> None:
    """Room for samples on the disk, see `allocate`.

    Raises OutputError with the reason of the system.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        allocate(path, size)
    except OSError as error:
        raise OutputError(
            f"{path}: no room for {size / 2**30:.1f} GB ({error.strerror or error}); free some, name another folder "
            "(coadd_memmap_dir), or let the memory bound what lies side by side (auto_limit_frames_per_master_tile)"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames last; Windows and some network shares cannot, and need not."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
