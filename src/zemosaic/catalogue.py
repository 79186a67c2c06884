"""The star catalogue that travels with the package: Tycho-2, packed into sky cells (see `data/README.md`).

The sky is cut into bands of 1 degree of declination from the south pole, each band into cells of equal width in right
ascension, at most 1 degree wide on the sky. A star is 6 bytes: its place in the cell in steps of 1/65536 of the cell's
height and width (<= 0.03" of error on each axis) and its magnitude in mmag. Cells lie one after another, stars of a
cell brightest first, so that a cone reads one or two runs of bytes per band.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.projection import angular_separation

__all__ = [
    "BAND_CELLS",
    "CELL_STEPS",
    "DATA",
    "DIGESTS",
    "STAR",
    "Catalogue",
    "CatalogueStars",
    "cell_of",
    "load_catalogue",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BANDS = 180
CELL_STEPS = 65536
STAR = np.dtype([("ra", "<u2"), ("dec", "<u2"), ("vt", "<u2")])
DATA = Path(__file__).parent / "data"
DIGESTS = {  # SHA-256 of the files
    "tycho2_stars.npy": "a366b20b849747d3caa545b06a6306e834d4b6b5c5a1b77dfe056027bf880d76",
    "tycho2_cells.npy": "a18c0639e9ea8cb48fbcae968b6b4a4ec46f4e812caa94b750c008a1c632d1c2",
}


def _band_cells() -> IntArray:
    """Number of cells in each band: the edge nearer to the equator is cut into cells of at most 1 degree."""
    edge = np.minimum(np.abs(np.arange(BANDS) - 90), np.abs(np.arange(1, BANDS + 1) - 90))
    return np.ceil(360.0 * np.cos(np.radians(edge))).astype(np.int64)


BAND_CELLS = _band_cells()
BAND_START = np.concatenate([[0], np.cumsum(BAND_CELLS)])  # first cell of each band


def cell_of(ra: FloatArray, dec: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Cell of each position (degrees) and its place in it, 0 <= place < 1 along right ascension and declination."""
    up = np.clip(np.asarray(dec, float) + 90.0, 0.0, np.nextafter(BANDS, 0.0))
    band = np.floor(up).astype(np.int64)
    along = np.mod(np.asarray(ra, float), 360.0) / 360.0 * BAND_CELLS[band]
    column = np.minimum(np.floor(along).astype(np.int64), BAND_CELLS[band] - 1)
    return BAND_START[band] + column, np.clip(along - column, 0.0, np.nextafter(1.0, 0.0)), up - band


@dataclass(frozen=True)
class CatalogueStars:
    """Stars of a region, brightest first."""

    ra: FloatArray  # (n,) deg ICRS, epoch J2000, without proper motion
    dec: FloatArray  # (n,) deg
    vt: FloatArray  # (n,) mag, Tycho V

    def __len__(self) -> int:
        return len(self.ra)


class Catalogue:
    """Stars in sky cells.

    Parameters
    ----------
    stars : (n,) array of `STAR`, may be a memory map: only the cells that are asked for are read.
    counts : (cells,) number of stars per cell.
    """

    def __init__(self, stars: NDArray[np.void], counts: NDArray[np.uint16]) -> None:
        self._stars = stars
        self._start = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        if len(counts) != BAND_START[-1] or self._start[-1] != len(stars):
            raise ValueError(f"star catalogue: {len(counts)} cells and {len(stars)} stars do not belong together")

    def __len__(self) -> int:
        return len(self._stars)

    def cone(self, ra: float, dec: float, radius_deg: float, faintest: float | None = None) -> CatalogueStars:
        """Stars within `radius_deg` of a position, brightest first; none fainter than VT = `faintest`."""
        parts = [self._decode(band, first, last) for band, first, last in _runs(ra, dec, radius_deg)]
        alpha, delta, vt = (np.concatenate(column) for column in zip(*parts))
        keep = angular_separation(alpha, delta, ra, dec) <= radius_deg
        if faintest is not None:
            keep &= vt <= faintest
        order = np.flatnonzero(keep)
        order = order[np.argsort(vt[order], kind="stable")]
        return CatalogueStars(ra=alpha[order], dec=delta[order], vt=vt[order])

    def brighter_than(self, vt: float) -> CatalogueStars:
        """All stars of the sky up to VT = `vt`, brightest first."""
        magnitude = np.asarray(self._stars["vt"])
        index = np.flatnonzero(magnitude <= round(1000.0 * vt))
        index = index[np.argsort(magnitude[index], kind="stable")]
        cell = np.searchsorted(self._start, index, side="right") - 1
        band = np.searchsorted(BAND_START, cell, side="right") - 1
        rows = np.asarray(self._stars[index])
        alpha = (cell - BAND_START[band] + (rows["ra"] + 0.5) / CELL_STEPS) * (360.0 / BAND_CELLS[band])
        return CatalogueStars(alpha, band - 90.0 + (rows["dec"] + 0.5) / CELL_STEPS, rows["vt"] / 1000.0)

    def _decode(self, band: int, first: int, last: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Stars of the cells first..last (included) of a band."""
        bounds = self._start[BAND_START[band] + first : BAND_START[band] + last + 2]
        rows = np.asarray(self._stars[bounds[0] : bounds[-1]])
        column = np.repeat(np.arange(first, last + 1), np.diff(bounds))
        alpha = (column + (rows["ra"] + 0.5) / CELL_STEPS) * (360.0 / BAND_CELLS[band])
        delta = band - 90.0 + (rows["dec"] + 0.5) / CELL_STEPS
        return alpha, delta, rows["vt"] / 1000.0


def _runs(ra: float, dec: float, radius: float) -> Iterator[tuple[int, int, int]]:
    """Runs of cells (band, first, last) that cover a cone."""
    lowest = min(max(math.floor(dec - radius + 90.0), 0), BANDS - 1)
    highest = min(max(math.floor(dec + radius + 90.0), 0), BANDS - 1)
    half = 180.0
    if abs(dec) + radius < 90.0:
        half = math.degrees(math.asin(math.sin(math.radians(radius)) / math.cos(math.radians(dec))))
    for band in range(lowest, highest + 1):
        n = int(BAND_CELLS[band])
        first = math.floor((ra - half) / 360.0 * n)
        last = math.floor((ra + half) / 360.0 * n)
        if last - first + 1 >= n:
            yield band, 0, n - 1
        elif first // n == last // n:
            yield band, first % n, last % n
        else:
            yield band, first % n, n - 1
            yield band, 0, last % n


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """The packaged Tycho-2 catalogue; the file is mapped, not read."""
    stars = np.load(DATA / "tycho2_stars.npy", mmap_mode="r")
    return Catalogue(stars.view(STAR).reshape(-1), np.load(DATA / "tycho2_cells.npy"))
