"""Arrays on disk in pieces that are whole or absent: the format of Zarr, version 2, which its packages 2 and 3 read.

An array is a folder: `.zarray` says what it is, and each chunk is a file "j.i" of its bytes behind their CRC-32 (numcodecs'
filter `crc32`). A chunk is written under another name, brought onto the disk, then renamed; its checksum is looked at whenever
it is read. The packages bring nothing onto the disk: so the format is theirs, and the hundred lines are ours.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from zemosaic.errors import OutputError

__all__ = ["Chunked", "DamagedError", "Kept", "create", "opened", "put_file", "reserve", "save", "sync_folder"]

HEADER = ".zarray"
Array = NDArray[Any]


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

    def read(self, region: Sequence[slice] = (), *, complete: bool = False, kept: Kept | None = None) -> Array:
        """A part of the array (all of it by default), `fill` where no chunk is.

        kept : chunks in memory, for parts that overlap and arrays that nobody writes meanwhile.

        Raises DamagedError when a chunk is not what was written; when it is absent too if the region has to be `complete`.
        """
        bounds = self._bounds(region)
        out = np.empty([stop - start for start, stop in bounds], self.dtype)
        for place in self._places(bounds):
            data = self._load(place) if kept is None else kept.chunk(self, place)
            if data is None and complete:
                raise DamagedError(
                    f"{self._file(place)} is absent: start the same command again, what is missing is made anew"
                )
            there, here = self._overlap(place, bounds)
            out[there] = self.fill if data is None else data[here]
        return out

    def write(self, origin: Sequence[int], values: Array) -> None:
        """Put values at `origin`; chunks that they fill only in part are `fill` elsewhere, whatever was there before.

        Raises OutputError when that cannot be done.
        """
        bounds = [(start, start + length) for start, length in zip(origin, values.shape, strict=True)]
        for place in self._places(bounds):
            chunk = np.full(self.chunks, self.fill, self.dtype)
            there, here = self._overlap(place, bounds)
            chunk[here] = values[there]
            data = chunk.tobytes()
            put_file(self._file(place), zlib.crc32(data).to_bytes(4, "little") + data)
        sync_folder(self.path)

    def whole(self, region: Sequence[slice] = ()) -> bool:
        """Whether all chunks of a region are there and as they were written."""
        try:
            return all(self._load(place) is not None for place in self._places(self._bounds(region)))
        except DamagedError:
            return False

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


class Kept:
    """The chunks that were read last, as many as fit into `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._chunks: OrderedDict[Path, Array | None] = OrderedDict()

    def chunk(self, array: Chunked, place: tuple[int, ...]) -> Array | None:
        """A chunk, None where none was written; read from the disk if it is not here."""
        file = array._file(place)
        if file in self._chunks:
            self._chunks.move_to_end(file)
            return self._chunks[file]
        found = self._chunks[file] = array._load(place)
        self._bytes += 0 if found is None else found.nbytes
        while self._bytes > self._most and len(self._chunks) > 1:
            _, oldest = self._chunks.popitem(last=False)
            self._bytes -= 0 if oldest is None else oldest.nbytes
        return found


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


def put_file(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent, after a power cut too; `path.parent` exists.

    Raises OutputError with the reason of the system.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}): make room, then start the same command again; it goes on "
            "from here"
        ) from error


def reserve(path: Path, size: int) -> None:
    """A file of zeros for which there is room: what is mapped into memory and finds none later ends the process.

    Raises OutputError with the reason of the system.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
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
