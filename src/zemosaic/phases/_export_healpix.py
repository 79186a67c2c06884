"""The sky in HEALPix cells, as HiPS and MOC count them: which tiles a mosaic lies on, where their pixels look (extra `hips`).

Gorski et al. 2005, ApJ 622, 759 (HEALPix, by astropy-healpix); Fernique et al. 2017, HiPS 1.0, IVOA recommendation (tiles).
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.projection import grid_to_sky, sky_to_grid
from zemosaic.model import Grid

__all__ = ["SIDE", "deepest_order", "has_healpix", "joined", "pixel_side", "pixels_of", "places", "quarter", "tiles_of"]

SIDE_ORDER = 9
SIDE = 2**SIDE_ORDER  # px, of a tile
LEAST_ORDER, MOST_ORDER = 3, 29 - SIDE_ORDER  # of tiles; programs begin at 3, and cells end at 29
STEPS = 8  # along the side of a tile, at which it is looked where the mosaic is

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]


def has_healpix() -> bool:
    """Whether the library is there."""
    return importlib.util.find_spec("astropy_healpix") is not None


def deepest_order(grid: Grid) -> int:
    """The first order whose pixels are no larger than those of the mosaic."""
    return min(max(math.ceil(math.log2(pixel_side(0) / grid.scale) - 1e-9), LEAST_ORDER), MOST_ORDER)


def pixels_of(grid: Grid) -> tuple[float, float]:
    """Pixels of the tiles of all orders, about: those that show the mosaic, and all that these tiles have.

    A rectangle of area A and circumference U that lies anyhow on a lattice of squares of side t touches on average
    (A + 2 U t / pi + t^2) / t^2 of them (Santalo 1976, Integral Geometry, chapter 8).
    """
    order = deepest_order(grid)
    zoom = grid.scale / pixel_side(order)
    area, around = grid.width * grid.height * zoom**2, 2 * (grid.width + grid.height) * zoom
    return area * 4 / 3, area * 4 / 3 + around * SIDE * 4 / math.pi + (order + 1) * SIDE**2


def pixel_side(order: int) -> float:
    """Side of a pixel of the tiles of an order, deg: the square root of its area."""
    return math.ldexp(math.degrees(math.sqrt(math.pi / 3.0)), -order - SIDE_ORDER)


def tiles_of(grid: Grid, order: int) -> Cells:
    """Numbers (nested, ascending) of all tiles of an order on which the mosaic may lie, and some beside it."""
    from astropy import units as u
    from astropy_healpix import lonlat_to_healpix, neighbours

    step = max(1, int(SIDE * pixel_side(order) / grid.scale / STEPS))  # px of the mosaic
    x, y = (np.unique(np.append(np.arange(0, size, step), size - 1)) for size in (grid.width, grid.height))
    ra, dec = grid_to_sky(grid, *np.meshgrid(x, y))
    there = np.isfinite(ra)
    found = np.unique(lonlat_to_healpix(ra[there] * u.deg, dec[there] * u.deg, 2**order, order="nested"))
    with np.errstate(invalid="ignore"):  # a cell that has seven neighbours only
        around = np.unique(np.append(found, neighbours(found, 2**order, order="nested")))
    tiles: Cells = around[around >= 0]
    return tiles


def places(grid: Grid, order: int, tile: int) -> tuple[Floats, Floats]:
    """(SIDE, SIDE) each: where the pixels of a tile, as it is shown (first row on top), lie in the mosaic; NaN off the map."""
    from astropy_healpix import healpix_to_lonlat

    bits = _spread(np.arange(SIDE))
    cells = (tile << 2 * SIDE_ORDER) + bits[:, None] + 2 * bits[None, :]
    ra, dec = healpix_to_lonlat(cells, 2 ** (order + SIDE_ORDER), order="nested")
    return sky_to_grid(grid, ra.deg, dec.deg)


def quarter(child: int) -> tuple[slice, slice]:
    """Where the `child`-th of the four tiles below a tile lies in it, as it is shown."""
    half = SIDE // 2
    down, right = child & 1, child >> 1
    return slice(half * down, half * (down + 1)), slice(half * right, half * (right + 1))


def joined(order: int, tiles: Cells, cells: NDArray[np.bool_]) -> Cells:
    """Cells as the numbers of a MOC (NUNIQ: 4 * 4^order + cell), four that make one of a lower order as that one, ascending.

    tiles : (n,) of an order
    cells : (n, k, k) whether a part of a tile, as it is shown, is covered; k a power of 2
    """
    side = cells.shape[1]
    bits, deep = _spread(np.arange(side)), order + side.bit_length() - 1
    which, row, column = np.nonzero(cells)
    left = np.sort((tiles[which] << 2 * (deep - order)) + bits[row] + 2 * bits[column])
    out: list[Cells] = []
    for level in range(deep, -1, -1):
        parents, count = np.unique(left >> 2, return_counts=True)
        whole = parents[count == 4] if level else parents[:0]
        alone = left[~np.isin(left >> 2, whole)]
        out.append(4 * 4**level + alone)
        left = whole
    return np.sort(np.concatenate(out))


def _spread(numbers: Cells) -> Cells:
    """Each bit k of a number at the place 2 k."""
    out = np.zeros_like(numbers)
    for k in range(SIDE_ORDER):
        out |= (numbers >> k & 1) << 2 * k
    return out
