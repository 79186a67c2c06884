"""The only FITS writer: through a temporary file in the same folder, so that a file is whole or absent."""

from __future__ import annotations

import math
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from zemosaic.checksum import add, encode, sum_of
from zemosaic.chunks import sync_folder
from zemosaic.errors import OutputError
from zemosaic.fits import padded

__all__ = ["Scaling", "pack", "renew_header", "write_fits"]

Array = NDArray[Any]
WRITABLE = {"uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "float32": -32, "float64": -64}
BLANK = -32768  # stored value that stands for no data
LARGEST_STORED = 32767
STRUCTURE = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "NAXIS4",
    "EXTEND", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "BLANK",
)  # fmt: skip


@dataclass(frozen=True)
class Scaling:
    """Physical values in 16 bits: stored * scale + zero; no data is BLANK."""

    zero: float
    scale: float

    @classmethod
    def of_range(cls, least: float, most: float) -> Scaling:
        """The finest steps that hold `least` to `most`."""
        scale = (most - least) / (2 * LARGEST_STORED) or 1.0
        return cls(least + LARGEST_STORED * scale, scale)

    def stored(self, values: Array) -> Array:
        """int16, within half a step; NaN becomes BLANK."""
        steps = np.rint((np.asarray(values, np.float64) - self.zero) / self.scale)
        clipped = np.clip(steps, -LARGEST_STORED, LARGEST_STORED)
        return np.where(np.isfinite(clipped), clipped, BLANK).astype(np.int16)


def write_fits(
    path: Path,
    header: fits.Header,
    shape: tuple[int, ...],
    strips: Iterable[Array],
    dtype: DTypeLike = np.float32,
    *,
    scaling: Scaling | None = None,
    interleaved: bool = False,
) -> None:
    """Write an image from row blocks, with checksums, and put it in its place in one step.

    Parameters
    ----------
    header
        Cards of the image; those of its structure (BITPIX, NAXISn, BZERO ...) are set here.
    shape
        (h, w) or (c, h, w); the file has NAXIS1 = w.
    strips
        Row blocks from the first row to the last, (n, w) or (c, n, w), any n; converted to `dtype` one by one.
    dtype
        uint8, int16, uint16, int32, float32 or float64.
    scaling
        Write 16-bit integers that stand for the physical values in `strips`; `dtype` does not count then.
    interleaved
        The colours of a pixel side by side: NAXIS1 = c, NAXIS2 = w, NAXIS3 = h. `shape` and `strips` stay as above.

    Raises
    ------
    OutputError
        The file cannot be written; nothing is left behind, and an older file of that name is still there.
    """
    temporary = path.with_name(f".{path.name}.part")
    kind = np.dtype(np.int16 if scaling else dtype)
    stored = (shape[1], shape[2], shape[0]) if interleaved else shape
    prepared = _image_header(header, stored, kind, scaling)
    blocks = strips if scaling is None else map(scaling.stored, strips)
    if interleaved:  # one plane whose rows are `c` times as long
        blocks = (np.moveaxis(block, 0, -1).reshape(block.shape[1], -1) for block in blocks)
    rows = (shape[1], shape[2] * shape[0]) if interleaved else shape
    try:
        with _writing(path):
            file = temporary.open("wb")
        with file:
            _write_image(path, file, prepared, rows, blocks, kind)
        with _writing(path):
            temporary.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):  # already renamed, or the folder is gone: the first error is the one to show
            temporary.unlink(missing_ok=True)


def renew_header(path: Path, header: fits.Header) -> None:
    """Give an image that `write_fits` or `pack` has written other cards; the pixels stay as they are on the disk.

    A packed one is unpacked and packed again. Raises OutputError; the older file is still there then.
    """
    if path.suffix == ".fz":
        plain = path.with_suffix("")
        _unpack(path, plain)
        renew_header(plain, header)
        pack(plain, path)
        return
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _writing(path, path.stat().st_size):
            with fits.open(path, memmap=True) as hdus:
                old, start = hdus[0].header, hdus[0].fileinfo()["datLoc"]
            out = fits.Header([card for card in old.cards if card.keyword in STRUCTURE])
            with path.open("rb") as source, temporary.open("wb") as file:
                source.seek(start)
                file.write(_with_sums(_with_cards(out, header), int(old["DATASUM"])))
                shutil.copyfileobj(source, file, 2**20)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):  # already renamed: the first error is the one to show
            temporary.unlink(missing_ok=True)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without astropy's remark that it writes long keywords as HIERARCH cards, as they were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        yield


@contextmanager
def _writing(path: Path, needed: int = 0) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError.writing(path, error, needed) from error


def pack(path: Path, packed: Path) -> None:
    """Tile-compress a file without loss and remove it: RICE for integers, GZIP_2 for floats (FITS standard 4.0, section 10).

    Memory: the packed image and one copy of it. Raises OutputError; then the file that was to be packed is still there.
    """
    temporary = packed.with_name(f".{packed.name}.part")
    try:
        with _writing(packed), _quietly(), fits.open(path, memmap=True, do_not_scale_image_data=True) as hdus:
            hdu = hdus[0]
            kind = "GZIP_2" if hdu.header["BITPIX"] < 0 else "RICE_1"
            image = fits.CompImageHDU(
                hdu.data, hdu.header, compression_type=kind, quantize_level=0.0, do_not_scale_image_data=True
            )
            _keep_scaling(image.header, hdu.header)
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(temporary, overwrite=True, checksum=True)
            temporary.replace(packed)
        path.unlink()
        sync_folder(path.parent)
    finally:
        with suppress(OSError):  # already renamed: the first error is the one to show
            temporary.unlink(missing_ok=True)


def _unpack(packed: Path, path: Path) -> None:
    """The file that was packed."""
    with _writing(path), _quietly(), fits.open(packed, memmap=False, do_not_scale_image_data=True) as hdus:
        header = hdus[1].header.copy()
        image = fits.PrimaryHDU(hdus[1].data, header, do_not_scale_image_data=True)
        _keep_scaling(image.header, header)
        image.writeto(path, overwrite=True, checksum=True)


def _keep_scaling(header: fits.Header, given: fits.Header) -> None:
    """Cards that astropy drops although the data are the stored integers."""
    for key in ("BSCALE", "BZERO"):
        if key in given:
            header[key] = given[key]


def _image_header(
    header: fits.Header, shape: tuple[int, ...], dtype: np.dtype[Any], scaling: Scaling | None
) -> fits.Header:
    if len(shape) not in (2, 3) or dtype.name not in WRITABLE:
        raise ValueError(f"cannot write an image of shape {shape} and type {dtype}")
    out = fits.Header()
    out["SIMPLE"] = (True, "conforms to the FITS standard")
    out["BITPIX"] = (WRITABLE[dtype.name], "bits per value, negative for floats")
    out["NAXIS"] = (len(shape), "number of axes")
    for i, length in enumerate(reversed(shape), 1):
        out[f"NAXIS{i}"] = length
    if dtype == np.uint16:
        out["BSCALE"] = (1, "physical = stored * BSCALE + BZERO")
        out["BZERO"] = (32768, "16-bit unsigned data")
    if scaling is not None:
        out["BSCALE"] = (scaling.scale, "physical = stored * BSCALE + BZERO")
        out["BZERO"] = scaling.zero
        out["BLANK"] = (BLANK, "no data")
    return _with_cards(out, header)


def _with_cards(structure: fits.Header, header: fits.Header) -> fits.Header:
    """The cards of an image after those of its structure, and places for the sums."""
    skipped = {*STRUCTURE, "CHECKSUM", "DATASUM", "END"}
    for card in header.cards:
        if card.keyword not in skipped:
            structure.append(card, end=True)
    structure["CHECKSUM"] = ("0" * 16, "of the HDU")
    structure["DATASUM"] = (" " * 10, "of the data")
    return structure


def _with_sums(header: fits.Header, total: int) -> bytes:
    """The header as it lies on the disk; `total` is the sum of the data."""
    header["DATASUM"] = str(total)
    header["CHECKSUM"] = encode(add(total, sum_of(header.tostring().encode("ascii"), 0)))
    return bytes(header.tostring().encode("ascii"))


def _write_image(
    path: Path,
    file: BinaryIO,
    header: fits.Header,
    shape: tuple[int, ...],
    strips: Iterable[Array],
    dtype: np.dtype[Any],
) -> None:
    """Header place-holder, data, then the header with its sums."""
    offset = len(header.tostring())
    size = offset + padded(math.prod(shape) * dtype.itemsize)
    with _writing(path, size):
        file.truncate(size)
    total, row = 0, 0
    for strip in strips:
        block = _stored(strip, dtype)
        planes, height, width = (1, *shape) if len(shape) == 2 else shape
        block = block.reshape(planes, -1, width)
        for plane in range(planes):
            at = (plane * height + row) * width * dtype.itemsize
            data = block[plane].tobytes()
            total = add(total, sum_of(data, at))
            with _writing(path, size):
                file.seek(offset + at)
                file.write(data)
        row += block.shape[1]
    if row != shape[-2]:
        raise ValueError(f"{path}: {row} rows were given, {shape[-2]} expected")
    with _writing(path, size):
        file.seek(0)
        file.write(_with_sums(header, total))
        file.flush()
        os.fsync(file.fileno())


def _stored(strip: Array, dtype: np.dtype[Any]) -> Array:
    """A strip as it lies on disk: big-endian, unsigned 16 bit shifted by 32768."""
    if dtype == np.uint16:
        return (np.asarray(strip, np.uint16) ^ np.uint16(0x8000)).view(np.int16).astype(">i2")
    return np.ascontiguousarray(strip, dtype.newbyteorder(">"))
