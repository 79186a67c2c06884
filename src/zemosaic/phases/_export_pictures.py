"""Pictures with all pixels of the mosaic, developed in parts: TIFF of 16 bits, JPEG, tiles of a page to zoom into.

Memory: BAND rows of the picture in 16 bits and in 8 bits (10 bytes x BAND x the width), what the tiles keep (9 bytes), and 60
bytes a pixel of the part that is being developed. A JPEG is collected in a file of 4 bytes a pixel beside it, which is removed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from zemosaic.chunks import allocate, opened, sync_folder
from zemosaic.errors import OutputError
from zemosaic.imaging.grain import REACH
from zemosaic.imaging.stretch import Development, develop
from zemosaic.model import Mosaic
from zemosaic.phases._export_preview import Look, Pictures, profile_of, srgb
from zemosaic.phases._export_strips import Pixels, Progress

__all__ = ["BAND", "LONGEST_JPEG", "Band", "Developer", "JpegFile", "tiff_strips", "write_tiff"]

BAND = 512  # rows
COLUMNS = 2048  # of a part
PIECE, PIECES = 256, 72  # px, side of the pieces on which a large mosaic is measured; of these at most
STRIP_ROWS = 64  # of a TIFF
LONGEST_JPEG = 65_500  # px, which is what programs write; the format ends at 65 535
QUALITY = 92  # of a JPEG
BIG = 3_900_000_000  # bytes, beyond which a TIFF needs addresses of 64 bits

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Band:
    """Rows of a picture, from the north."""

    values: NDArray[np.uint16]  # (rows, width, channels)
    covered: NDArray[np.bool_]  # (rows, width)

    def eight_bit(self) -> Bytes:
        """The same in 8 bits: nearest multiples of 65535 / 255 = 257."""
        picture = np.empty(self.values.shape, np.uint8)
        for start in range(0, len(picture), STRIP_ROWS):
            rows = np.minimum(self.values[start : start + STRIP_ROWS], 65535 - 128)
            picture[start : start + STRIP_ROWS] = (rows + np.uint16(128)) // np.uint16(257)
        return picture


class Developer:
    """Develops a mosaic band by band, in the tone of its preview."""

    def __init__(self, mosaic: Mosaic, pictures: Pictures, look: Look) -> None:
        self._mosaic, self._style, self._look = mosaic, pictures.style, look
        self._data, self._weight = opened(mosaic.data), opened(mosaic.weight)
        self.channels, self.height, self.width = self._data.shape[0], mosaic.grid.height, mosaic.grid.width
        self._least = np.float32(np.min(look.weight[look.weight > 0], initial=np.inf))
        self._known = self._measured()

    def bands(self, progress: Progress) -> Iterator[Band]:
        """All of the picture, BAND rows at a time, the last one may have fewer."""
        for top in range(0, self.height, BAND):
            stop = self.height - top
            band = self._band(max(0, stop - BAND), stop)
            progress.check()
            yield band
            progress.add(len(band.values))

    def _band(self, start: int, stop: int) -> Band:
        """Rows of the mosaic, which count from the south, turned over."""
        values = np.zeros((stop - start, self.width, self.channels), np.uint16)
        covered = np.zeros(values.shape[:2], bool)
        first, last = max(0, start - REACH), min(self.height, stop + REACH)
        for left in range(0, self.width, COLUMNS):
            right = min(left + COLUMNS, self.width)
            outer_left, outer_right = max(0, left - REACH), min(self.width, right + REACH)
            data, weight = self._part((first, last), (outer_left, outer_right))
            inner = slice(start - first, stop - first), slice(left - outer_left, right - outer_left)
            covered[:, left:right] = (np.isfinite(data).all(axis=0) & (weight > 0))[inner][::-1]
            if self._known is not None and covered[:, left:right].any():
                develop(data, weight, self._style, self._known)
                values[:, left:right] = np.moveaxis(np.rint(data[:, *inner] * 65535), 0, -1)[::-1]
        return Band(values, covered)

    def _part(self, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """(channels, h, w) without the gradient, and the weight, as the preview has them."""
        y, x = self._mosaic.corner
        region = slice(y + rows[0], y + rows[1]), slice(x + columns[0], x + columns[1])
        data = np.asarray(self._data.read((slice(None), *region)), np.float32)
        weight = np.nan_to_num(self._weight.read((slice(None), *region))).mean(axis=0, dtype=np.float32)
        weight[(weight == 0) & np.isfinite(data).all(axis=0)] = self._least
        if self._look.gradient is not None:
            u, v = self._look.coordinates(*columns, 1), self._look.coordinates(*rows, 0)
            self._look.gradient.take_off(data, u, v)
        return data, weight

    def _measured(self) -> Development | None:
        """Noise and curve: those of the preview of a small mosaic, found on pieces of a large one."""
        if self._look.known is None or self._look.factor == 1:
            return self._look.known
        parts = [self._part(rows, columns) for rows, columns in self._pieces()]
        side = math.ceil(math.sqrt(len(parts)))
        data = np.full((self.channels, side * PIECE, side * PIECE), np.nan, np.float32)
        weight = np.zeros(data.shape[1:], np.float32)
        for k, (some, its) in enumerate(parts):
            y, x = PIECE * (k // side), PIECE * (k % side)
            data[:, y : y + its.shape[0], x : x + its.shape[1]] = some
            weight[y : y + its.shape[0], x : x + its.shape[1]] = its
        return develop(data, weight, self._style, tone=self._look.known.tone)

    def _pieces(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Rows and columns of pieces that lie evenly over what is covered."""
        factor, seen = self._look.factor, self._look.weight > 0
        share = dict[tuple[tuple[int, int], tuple[int, int]], float]()  # of each piece that is covered
        for top in range(0, self.height, PIECE):
            for left in range(0, self.width, PIECE):
                bottom, right = min(top + PIECE, self.height), min(left + PIECE, self.width)
                part = seen[top // factor : -(-bottom // factor), left // factor : -(-right // factor)]
                share[(top, bottom), (left, right)] = float(part.mean())
        found = [piece for piece, covered in share.items() if covered > 0.5]
        if not found:  # thin things only: those that hold most of them
            found = sorted(share, key=lambda piece: share[piece])[-PIECES:]
        return [found[int(k)] for k in np.linspace(0, len(found) - 1, min(len(found), PIECES))]


def write_tiff(path: Path, developer: Developer, strips: Iterator[bytes], alpha: bool, software: str) -> None:
    """A TIFF of 16 bits from its encoded strips, whole or absent; of 64-bit addresses when it may need them.

    Raises OutputError.
    """
    channels, temporary = developer.channels + alpha, path.with_name(f".{path.name}.part")
    shape = (developer.height, developer.width, channels) if channels > 1 else (developer.height, developer.width)
    big = 2 * math.prod(shape) > BIG
    try:
        with tifffile.TiffWriter(temporary, bigtiff=big) as file:
            file.write(
                strips,
                shape=shape,
                dtype=np.uint16,
                photometric="rgb" if developer.channels == 3 else "minisblack",
                planarconfig="contig" if channels > 1 else None,
                extrasamples=("unassalpha",) if alpha else (),
                rowsperstrip=STRIP_ROWS,
                compression="adobe_deflate",
                predictor=True,
                iccprofile=srgb() if developer.channels == 3 else None,
                software=software,
                metadata=None,
            )
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError.writing(path, error, 2 * math.prod(shape)) from error
    finally:
        with suppress(OSError):  # already renamed
            temporary.unlink(missing_ok=True)


def tiff_strips(band: Band, alpha: bool) -> Iterator[bytes]:
    """The strips of a band as they lie in the file: differences along the rows (TIFF 6.0, section 14), deflated."""
    for start in range(0, len(band.values), STRIP_ROWS):
        rows = band.values[start : start + STRIP_ROWS]
        if alpha:
            opaque = np.where(band.covered[start : start + STRIP_ROWS, :, None], np.uint16(65535), np.uint16(0))
            rows = np.concatenate([rows, opaque], axis=-1)
        steps = rows.copy()
        steps[:, 1:] -= rows[:, :-1]
        yield zlib.compress(steps.astype("<u2").tobytes(), 5)


class JpegFile:
    """A JPEG that takes its picture in bands; as large as the format allows, or a half, a quarter of it..."""

    def __init__(self, path: Path, developer: Developer) -> None:
        self._path, self._scratch = path, path.with_name(f".{path.name}.pixels")
        self.shrink = 1
        while max(developer.width, developer.height) > self.shrink * LONGEST_JPEG:
            self.shrink *= 2
        height, width = developer.height // self.shrink, developer.width // self.shrink
        self._row, self._grey = 0, developer.channels == 1
        shape = (
            height,
            width,
            1 if self._grey else 4,
        )  # Pillow takes pixels of four bytes as they lie there, without a copy
        try:
            allocate(self._scratch, math.prod(shape))
        except OSError as error:
            raise OutputError.writing(self._scratch, error, math.prod(shape)) from error
        self._pixels = np.memmap(self._scratch, np.uint8, "r+", shape=shape)

    def __enter__(self) -> JpegFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        del self._pixels
        with suppress(OSError):
            self._scratch.unlink(missing_ok=True)

    def add(self, picture: Bytes) -> None:
        """The next rows, (rows, width, channels)."""
        n = self.shrink
        h, w = len(picture) // n, picture.shape[1] // n
        if n > 1:
            cells = picture[: h * n, : w * n].reshape(h, n, w, n, -1)
            picture = np.rint(cells.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
        self._pixels[self._row : self._row + h, :, : picture.shape[2]] = picture
        self._row += h

    def finish(self) -> None:
        """Write the file, whole or absent. Raises OutputError."""
        height, width, _ = self._pixels.shape
        mode, temporary = ("L", "RGBX")[not self._grey], self._path.with_name(f".{self._path.name}.part")
        image = Image.frombuffer(mode, (width, height), self._pixels, "raw", mode, 0, 1)
        options: dict[str, Any] = {} if self._grey else profile_of(self._pixels)
        try:
            image.save(temporary, "JPEG", quality=QUALITY, subsampling=0, **options)
            temporary.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise OutputError.writing(self._path, error) from error
        finally:
            with suppress(OSError):  # already renamed
                temporary.unlink(missing_ok=True)
