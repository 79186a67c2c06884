"""Pack Tycho-2 into `src/zemosaic/data/`.

Source: the index files of Debian's packages `astrometry-data-tycho2-07-littleendian` and `-08-littleendian`
(apt-get install them first). Run from the root of the repository:

    python tools/build_catalogue.py [FOLDER OF THE INDEX FILES]

The result depends on nothing but the two files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from zemosaic.catalogue import BAND_CELLS, CELL_STEPS, STAR, cell_of

INDEXES = ("index-tycho2-07.littleendian.fits", "index-tycho2-08.littleendian.fits")
TARGET = Path(__file__).parents[1] / "src" / "zemosaic" / "data"
EXPECTED = 1_875_170


def table(hdus: fits.HDUList, column: str) -> bytes:
    """The bytes of the extension whose only column has this name: astrometry.net stores native arrays that way."""
    for hdu in hdus[1:]:
        if hdu.columns.names == [column]:
            return np.ascontiguousarray(hdu.data.field(0)).tobytes()
    raise SystemExit(f"{hdus.filename()}: no table {column}; is this a little-endian astrometry.net index?")


def read_index(path: Path) -> tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.float64]]:
    """Star positions as integers of the k-d tree, (n, 3), their range (min[3], max[3], scale), and VT magnitudes."""
    with fits.open(path) as hdus:
        packed = np.frombuffer(table(hdus, "kdtree_data_stars"), "<u4").reshape(-1, 3)
        limits = np.frombuffer(table(hdus, "kdtree_range_stars"), "<f8")
        magnitude = np.frombuffer(table(hdus, "MAG_VT"), ">f4").astype(np.float64)
    if len(packed) != len(magnitude):
        raise SystemExit(f"{path}: {len(packed)} stars but {len(magnitude)} magnitudes")
    return packed, limits, magnitude


def union(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Every star of the two indexes once: ra, dec (degrees), VT.

    Both trees quantise with the same range, so a star that is in both has the same three integers.
    """
    parts = [read_index(folder / name) for name in INDEXES]
    limits = parts[0][1]
    if not np.array_equal(limits, parts[1][1]):
        raise SystemExit("the two indexes quantise positions differently; stars in both cannot be recognised")
    packed = np.concatenate([part[0] for part in parts])
    packed, first = np.unique(packed, axis=0, return_index=True)
    magnitude = np.concatenate([part[2] for part in parts])[first]
    x, y, z = (limits[:3] + packed / limits[6]).T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y))), magnitude


def pack(
    ra: NDArray[np.float64], dec: NDArray[np.float64], vt: NDArray[np.float64]
) -> tuple[NDArray[np.void], NDArray[np.uint16]]:
    """Stars sorted by cell, then magnitude, and the number of stars per cell."""
    if not (np.isfinite(vt).all() and vt.min() >= 0.0 and vt.max() < 65.0):
        raise SystemExit("magnitudes outside 0..65 or not finite: these are not the files this tool was written for")
    cell, along, up = cell_of(ra, dec)
    order = np.lexsort((vt, cell))
    stars = np.empty(len(ra), STAR)
    stars["ra"] = np.floor(along[order] * CELL_STEPS)
    stars["dec"] = np.floor(up[order] * CELL_STEPS)
    stars["vt"] = np.rint(vt[order] * 1000.0)
    counts = np.bincount(cell, minlength=int(BAND_CELLS.sum()))
    return stars, counts.astype(np.uint16)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("/usr/share/astrometry")
    ra, dec, vt = union(folder)
    if len(ra) != EXPECTED:
        raise SystemExit(f"{len(ra)} stars, expected {EXPECTED}")
    stars, counts = pack(ra, dec, vt)
    TARGET.mkdir(exist_ok=True)
    # Three plain columns rather than a structured dtype: numpy maps either, and other tools read this one.
    np.save(TARGET / "tycho2_stars.npy", stars.view("<u2").reshape(-1, 3))
    np.save(TARGET / "tycho2_cells.npy", counts)
    print(f"{len(stars)} stars in {len(counts)} cells -> {TARGET}")


if __name__ == "__main__":
    main()
