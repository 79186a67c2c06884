"""HiPS: the mosaic as a pyramid of tiles on the sky, which Aladin, ESASky and Stellarium open (IVOA HiPS 1.0; extra `hips`).

Tiles of 512 x 512 px lie at `Norder<order>/Dir<...>/Npix<number>`; `properties` says what they are, `Moc.fits` where sky is.
A tile of the deepest order is sampled from the mosaic, bilinearly; four of them make one of the order above. Memory: 4 MB for
each order, and the part of the mosaic on which a tile lies. Pictures are collected in a file of 4 bytes a pixel beside the mosaic
first, which is removed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from zemosaic.chunks import allocate, opened, put_file
from zemosaic.errors import OutputError
from zemosaic.imaging.projection import grid_to_sky
from zemosaic.model import Grid, Mosaic
from zemosaic.phases._export_healpix import SIDE, deepest_order, joined, pixel_side, places, quarter, tiles_of
from zemosaic.phases._export_strips import Progress

__all__ = ["MARK", "About", "Collected", "Planes", "own_tiles", "write_hips"]

MARK = "properties"  # the file that says what a HiPS is
MOC = "Moc.fits"
ENDINGS = {"png": "png", "jpeg": "jpg", "fits": "fits"}
QUALITY = 90  # of a JPEG
CELLS = 16  # along a side of a tile, in which it is said where there is sky
SOME = 16  # px, of a tile of FITS every so many-th is looked at for its range
CUT = (0.5, 99.5)  # per cent of the pixels between which programs show FITS tiles at first

Bytes = NDArray[np.uint8]
Values = NDArray[np.float32]


@dataclass(frozen=True)
class About:
    """What `properties` say of a HiPS besides its tiles."""

    title: str
    name: str  # of the mosaic's files
    version: str  # of the program
    digest: str  # of the inputs (hex)


class Source(Protocol):
    """Where the pixels of tiles come from."""

    grid: Grid

    def sampled(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Values:
        """(planes, SIDE, SIDE) at places of the mosaic, NaN where there are none."""


def own_tiles(folder: Path) -> Iterator[Path]:
    """What an earlier run has put into the folder of a HiPS, `properties` first."""
    yield from (path for path in (folder / MARK, folder / MOC) if path.is_file())
    tiles = folder.glob("Norder*/Dir*/Npix*.*")
    yield from (path for path in tiles if re.fullmatch(r"Npix\d+\.(png|jpg|fits)", path.name))


class Planes:
    """The mosaic itself."""

    def __init__(self, mosaic: Mosaic) -> None:
        self.grid, self._corner, self._data = mosaic.grid, mosaic.corner, opened(mosaic.data)

    def sampled(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Values:
        (top, left), (rows, columns) = self._corner, _window(self.grid, x, y)
        there = slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)
        part = self._data.read((slice(None), *there))
        return _between(part, x - columns.start, y - rows.start)


class Collected:
    """The developed picture, which comes in bands from the north: colours and whether there is sky, a byte each."""

    def __init__(self, path: Path, grid: Grid) -> None:
        self.grid, self._path, self._shape = grid, path, (grid.height, grid.width, 4)
        try:
            allocate(path, math.prod(self._shape))
            self._file = path.open("r+b")
        except OSError as error:
            raise OutputError.writing(path, error, math.prod(self._shape)) from error

    def __enter__(self) -> Collected:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._file.close()
            self._path.unlink(missing_ok=True)

    def add(self, picture: Bytes, covered: NDArray[np.bool_]) -> None:
        """The next rows: (rows, width, 3) or (rows, width, 1), and (rows, width)."""
        rows = np.empty((*covered.shape, 4), np.uint8)
        rows[..., :3] = np.where(covered[..., None], picture, np.uint8(0))
        rows[..., 3] = np.where(covered, np.uint8(255), np.uint8(0))
        try:
            self._file.write(rows.data)
            self._file.flush()
        except OSError as error:
            raise OutputError.writing(self._path, error, math.prod(self._shape)) from error

    def sampled(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Values:
        """Colours times their opacity, and the opacity, all up to 255."""
        y = self.grid.height - 1.0 - y
        rows, columns = _window(self.grid, x, y)
        pixels = np.memmap(
            self._path, np.uint8, "r", shape=self._shape
        )  # anew each time: what was read before is let go
        part = np.moveaxis(pixels[rows, columns], -1, 0)
        return _between(part, x - columns.start, y - rows.start)


def _window(grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[slice, slice]:
    """Rows and columns of the mosaic between which places lie, as far as they lie in it; places outside become NaN."""
    outside = ~((x > -0.5) & (x < grid.width - 0.5) & (y > -0.5) & (y < grid.height - 0.5))
    x[outside] = y[outside] = np.nan
    if outside.all():
        return slice(0, 0), slice(0, 0)
    np.clip(x, 0, grid.width - 1, out=x)  # the outer half of the pixels at the border
    np.clip(y, 0, grid.height - 1, out=y)
    ends = (int(np.nanmin(y)), int(np.nanmax(y)) + 2), (int(np.nanmin(x)), int(np.nanmax(x)) + 2)
    (top, bottom), (left, right) = ends
    return slice(top, min(bottom, grid.height)), slice(left, min(right, grid.width))


def _between(part: NDArray[np.generic], x: NDArray[np.float64], y: NDArray[np.float64]) -> Values:
    """(planes, *x.shape) of (planes, h, w), bilinear; NaN where a place or a pixel beside it has none."""
    out = np.full((len(part), *x.shape), np.nan, np.float32)
    inside = np.isfinite(x)
    if inside.any():
        where = np.stack([y[inside], x[inside]])
        for plane, values in zip(part, out, strict=True):
            values[inside] = ndimage.map_coordinates(plane, where, np.float32, order=1, mode="nearest", prefilter=False)
    return out


def write_hips(folders: Sequence[Path], source: Source, kind: str, about: Sequence[About], progress: Progress) -> None:
    """Write a HiPS of `kind` ("png", "jpeg", "fits"): of pictures one, of FITS one for each plane of the source.

    `properties` are removed first and written last: while they are there, all of it is there.

    Raises
    ------
    OutputError
        A file cannot be written.
    Cancelled
        The user asked to stop.
    """
    _Pyramid(folders, source, kind, progress).write(about)


class _Pyramid:
    def __init__(self, folders: Sequence[Path], source: Source, kind: str, progress: Progress) -> None:
        self._folders, self._source, self._kind, self._progress = folders, source, kind, progress
        self._order = deepest_order(source.grid)
        self._tiles = tiles_of(source.grid, self._order)
        self._made, self._folders_made = 0, set[Path]()
        self._seen = list[tuple[int, NDArray[np.bool_]]]()  # tiles of the deepest order, and where they have sky
        self._values = list[Values]()  # some of those that FITS tiles have, (planes, n)

    def write(self, about: Sequence[About]) -> None:
        for folder in self._folders:
            try:
                folder.mkdir(exist_ok=True)
                for old in [*own_tiles(folder)]:
                    old.unlink()
            except OSError as error:
                raise OutputError.writing(folder, error) from error
        for base in range(12):
            self._tile(0, base)
        moc, share = self._moc()
        for plane, (folder, each) in enumerate(zip(self._folders, about, strict=True)):
            put_file(folder / MOC, moc)
            text = "".join(f"{key:20} = {value}\n" for key, value in self._properties(each, plane, share))
            put_file(folder / MARK, text.encode("utf-8"))

    def _tile(self, order: int, tile: int) -> Values | None:
        """Write a tile with all below it; the tile at half its size, None where there is no sky."""
        shift = 2 * (self._order - order)
        first, stop = np.searchsorted(self._tiles, (tile << shift, (tile + 1) << shift))
        if first == stop:
            return None
        pixels = self._deepest(tile) if order == self._order else self._of_four(order, tile)
        if pixels is None:
            return None
        for plane, folder in enumerate(self._folders):
            self._put(folder, order, tile, pixels if self._kind != "fits" else pixels[plane : plane + 1])
        return self._half(pixels)

    def _deepest(self, tile: int) -> Values | None:
        """A tile from the mosaic."""
        self._progress.check()
        pixels = self._source.sampled(*places(self._source.grid, self._order, tile))
        self._count()
        if self._kind != "fits":
            pixels = np.nan_to_num(pixels, copy=False)
        seen = np.isfinite(pixels) if self._kind == "fits" else pixels[3:] > 0
        if not seen.any():
            return None
        step = SIDE // CELLS
        cells = np.asarray(seen.reshape(-1, CELLS, step, CELLS, step).any(axis=(0, 2, 4)), np.bool_)
        self._seen.append((tile, cells))
        if self._kind == "fits":
            self._values.append(pixels[:, ::SOME, ::SOME].reshape(len(pixels), -1))
        return pixels

    def _of_four(self, order: int, tile: int) -> Values | None:
        """A tile from those of the order below."""
        pixels: Values | None = None
        for child in range(4):
            half = self._tile(order + 1, 4 * tile + child)
            if half is None:
                continue
            if pixels is None:
                nothing = np.nan if self._kind == "fits" else 0.0
                pixels = np.full((len(half), SIDE, SIDE), nothing, np.float32)
            pixels[:, *quarter(child)] = half
        return pixels

    def _half(self, pixels: Values) -> Values:
        """Means of 2 x 2 px, of those that have a value."""
        cells = pixels.reshape(len(pixels), SIDE // 2, 2, SIDE // 2, 2)
        if self._kind != "fits":
            mean: Values = cells.mean(axis=(2, 4), dtype=np.float32)
            return mean
        known = np.isfinite(cells)
        total, count = np.where(known, cells, np.float32(0)).sum(axis=(2, 4)), known.sum(axis=(2, 4))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)

    def _count(self) -> None:
        """Tell how far it is: the tiles of the deepest order stand for as many rows as the mosaic has."""
        height, before, self._made = self._source.grid.height, self._made, self._made + 1
        rows = height * self._made // len(self._tiles) - height * before // len(self._tiles)
        if rows:
            self._progress.add(rows)

    def _put(self, folder: Path, order: int, tile: int, pixels: Values) -> None:
        path = folder / f"Norder{order}" / f"Dir{tile // 10000 * 10000}" / f"Npix{tile}.{ENDINGS[self._kind]}"
        if path.parent not in self._folders_made:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError.writing(path.parent, error) from error
            self._folders_made.add(path.parent)
        put_file(path, _as_fits(pixels[0], order, tile) if self._kind == "fits" else _as_picture(pixels, self._kind))

    def _moc(self) -> tuple[bytes, float]:
        """Where there is sky, as a file, and what share of the whole sky that is."""
        tiles = np.array([tile for tile, _ in self._seen], np.int64)
        cells = np.array([seen for _, seen in self._seen], bool).reshape(-1, CELLS, CELLS)
        order = self._order + CELLS.bit_length() - 1
        column = fits.Column("UNIQ", "K", array=joined(self._order, tiles, cells))
        table = fits.BinTableHDU.from_columns([column])
        table.header.update(PIXTYPE="HEALPIX", ORDERING="NUNIQ", COORDSYS="C", MOCORDER=order)
        return _bytes(fits.HDUList([fits.PrimaryHDU(), table])), int(cells.sum()) / (12 * 4**order)

    def _properties(self, about: About, plane: int, share: float) -> Iterator[tuple[str, object]]:
        grid, now = self._source.grid, f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}"
        ra, dec = map(float, grid_to_sky(grid, 0.5 * (grid.width - 1), 0.5 * (grid.height - 1)))
        if not math.isfinite(ra):  # the middle of a crop of a map of the whole sky
            ra, dec = grid.ra, grid.dec
        yield "creator_did", "ivo://zemosaic/" + re.sub(r"[^A-Za-z0-9/._-]", "_", f"{about.name}/{about.digest}")
        yield "obs_title", " ".join(about.title.split())
        yield "obs_regime", "Optical"
        yield "dataproduct_type", "image"
        if self._kind != "fits":
            yield "dataproduct_subtype", "color"
        yield "hips_version", "1.4"
        yield "hips_builder", f"ZeMosaic {about.version}"
        yield "hips_creation_date", now
        yield "hips_release_date", now
        yield "hips_status", "private master clonableOnce"
        yield "hips_frame", "equatorial"
        yield "hips_order", self._order
        yield "hips_order_min", 0
        yield "hips_tile_width", SIDE
        yield "hips_tile_format", self._kind
        yield "hips_pixel_scale", f"{pixel_side(self._order):.7g}"
        yield "s_pixel_scale", f"{grid.scale:.7g}"
        yield "hips_initial_ra", f"{ra:.6f}"
        yield "hips_initial_dec", f"{dec:.6f}"
        yield "hips_initial_fov", f"{min(180.0, max(grid.width, grid.height) * grid.scale):.6g}"
        yield "moc_sky_fraction", f"{share:.6g}"
        if self._kind == "fits" and self._values:
            values = np.concatenate([each[plane] for each in self._values])
            values = values[np.isfinite(values)]
            if values.size:
                yield "hips_pixel_bitpix", -32
                yield "hips_pixel_cut", " ".join(f"{cut:.6g}" for cut in np.percentile(values, CUT))


def _as_picture(pixels: Values, kind: str) -> bytes:
    """A tile from colours times opacity and opacity: JPEG knows no opacity and is black where there is no sky."""
    colours, opacity, file = np.moveaxis(pixels[:3], 0, -1), pixels[3], BytesIO()
    if kind == "jpeg":
        Image.fromarray(np.rint(colours).astype(np.uint8)).save(file, "JPEG", quality=QUALITY, subsampling=0)
        return file.getvalue()
    image = np.empty((*opacity.shape, 4), np.uint8)
    scaled = colours * (255.0 / np.maximum(opacity, 1.0))[..., None]
    image[..., :3] = np.rint(np.minimum(scaled, 255.0))
    image[..., 3] = np.rint(opacity)
    Image.fromarray(image).save(file, "PNG", compress_level=4)  # a third of the time of 6, 8 % more
    return file.getvalue()


def _as_fits(values: Values, order: int, tile: int) -> bytes:
    """A tile in the unit of the mosaic; FITS rows begin at the bottom."""
    hdu = fits.PrimaryHDU(np.ascontiguousarray(values[::-1]))
    hdu.header["BUNIT"] = ("adu", "of a raw frame, per pixel of the mosaic")
    hdu.header["COORDSYS"] = ("C", "HEALPix, equatorial")
    hdu.header["ORDERING"] = "NESTED"
    hdu.header["ORDER"] = (order, "of the tile")
    hdu.header["NPIX"] = (tile, "number of the tile")
    return _bytes(fits.HDUList([hdu]))


def _bytes(files: fits.HDUList) -> bytes:
    out = BytesIO()
    files.writeto(out)
    return out.getvalue()
