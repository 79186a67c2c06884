"""The star catalogue as a database of ASTAP, so that ASTAP runs where nobody has installed one of its own.

One file per area of the sky, `NAME_RRSS.1476` or `NAME_RRSS.290`: RR is the ring of declination from the south pole, SS
the area in the ring from right ascension 0, both from 1. A file is a header of 110 bytes and records of 5 bytes, the
brightest stars first: RA in 24 bits, then the two low bytes of the declination in 24 bits (two's complement), all little
endian. What stars share, the high byte of the declination and the magnitude in steps of 0.1, comes in a record of its
own before them, marked by an RA of FF FF FF.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.catalogue import Catalogue, CatalogueStars
from zemosaic.errors import OutputError

__all__ = ["LAYOUTS", "Layout", "write_astap_database"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.uint8]

HEADER_BYTES = 110
RECORD_BYTES = 5
RA_STEPS = 2**24 - 1  # in 360 degrees; the largest value marks a record that is no star
DEC_STEPS = 2**23 - 1  # in 90 degrees
TEXT = b"Tycho-2, VT magnitudes, J2000 without proper motion, written by ZeMosaic"


@dataclass(frozen=True)
class Layout:
    """How a kind of database cuts the sky."""

    name: str  # of the files, one that every version of ASTAP looks for by itself
    suffix: str
    edges: FloatArray  # (rings + 1,) deg, declinations between the rings, from -90 to 90
    cells: IntArray  # (rings,) areas in each ring

    def area(self, ra: FloatArray, dec: FloatArray) -> tuple[IntArray, IntArray]:
        """Ring and area in the ring, both from 0, of positions in degrees."""
        ring = np.clip(np.searchsorted(self.edges, dec, side="right") - 1, 0, len(self.cells) - 1)
        cell = np.minimum((self.cells[ring] * (ra / 360.0)).astype(np.int64), self.cells[ring] - 1)
        return ring, cell

    def file(self, ring: int, cell: int) -> str:
        return f"{self.name}_{ring + 1:02d}{cell + 1:02d}{self.suffix}"


def _layout_1476() -> Layout:
    half = [1, 3, 9, 15, 21, 27, 33, 38, 43, 48, 52, 56, 60, 63, 65, 67, 68, 69]
    between = -90.0 + (180.0 / 35.0) * (np.arange(35) + 0.5)  # the caps are half as high as the rings
    return Layout("h18", ".1476", np.concatenate([[-90.0], between, [90.0]]), np.array(half + half[::-1]))


def _layout_290() -> Layout:
    half = [1, 4, 8, 12, 16, 20, 24, 28, 32]
    south = -np.degrees(np.arcsin(1.0 - np.arange(1, 18, 2) ** 2 / 289.0))
    return Layout("g18", ".290", np.concatenate([[-90.0], south, -south[-2::-1], [90.0]]), np.array(half + half[::-1]))


LAYOUTS = {"1476": _layout_1476(), "290": _layout_290()}


def write_astap_database(catalogue: Catalogue, folder: Path, layout: Layout) -> int:
    """Write the whole catalogue into `folder` (made when absent) and return the number of stars.

    Files of the same names are replaced, others are left alone. Positions are rounded to 0.04" at most.

    Raises
    ------
    OutputError
        The folder or a file cannot be written.
    """
    stars = catalogue.cone(0.0, 90.0, 180.0)
    ring, cell = layout.area(stars.ra, stars.dec)
    area = np.concatenate([[0], np.cumsum(layout.cells)])[ring] + cell
    records, start = _records(stars, area, int(layout.cells.sum()))
    header = TEXT.ljust(HEADER_BYTES - 2) + bytes([0, RECORD_BYTES])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [layout.file(r, c) for r, cells in enumerate(layout.cells) for c in range(cells)]
        for name, first, last in zip(names, start[:-1], start[1:], strict=True):
            (folder / name).write_bytes(header + records[first:last].tobytes())
    except OSError as error:
        raise OutputError(f"{folder}: the star database cannot be written ({error.strerror or error})") from error
    return len(stars)


def _records(stars: CatalogueStars, area: IntArray, areas: int) -> tuple[ByteArray, IntArray]:
    """(n, 5) records of all areas, stars and markers, and where those of each area begin; (areas + 1,)."""
    ra = np.minimum(np.rint(stars.ra * (RA_STEPS / 360.0)).astype(np.int64), RA_STEPS - 1)
    dec = np.rint(stars.dec * (DEC_STEPS / 90.0)).astype(np.int64)
    high, magnitude = dec >> 16, np.rint(stars.vt * 10.0).astype(np.int64)
    order = np.lexsort((high, magnitude, area))
    area, ra, dec, high, magnitude = (column[order] for column in (area, ra, dec, high, magnitude))
    shared = np.stack([area, magnitude, high])
    begins = np.concatenate([[True], (shared[:, 1:] != shared[:, :-1]).any(axis=0)])
    place = np.arange(len(ra)) + np.cumsum(begins)  # of the stars; a marker is the record before
    records = np.empty((len(ra) + np.count_nonzero(begins), RECORD_BYTES), np.uint8)
    columns = (ra, ra >> 8, ra >> 16, dec, dec >> 8)
    records[place] = np.stack([column & 0xFF for column in columns], axis=1)
    records[place[begins] - 1, :3] = 0xFF
    records[place[begins] - 1, 3] = high[begins] + 128
    records[place[begins] - 1, 4] = magnitude[begins] + 16
    per_area = np.bincount(area, minlength=areas) + np.bincount(area[begins], minlength=areas)
    return records, np.concatenate([[0], np.cumsum(per_area)])
