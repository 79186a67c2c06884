"""Mappings between frame and mosaic on lattices, and what of a frame a region of the mosaic needs.

Between nodes 32 px apart the mapping is interpolated bilinearly. With 1.5 px of cubic distortion in the corners its second
derivative is 7e-6 /px, so the error is 32^2 / 8 * 7e-6 < 0.002 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.projection import grid_to_sky, pixel_to_sky, sky_to_grid, sky_to_pixel
from zemosaic.model import Grid, Solution

__all__ = ["LATTICE", "Window", "colours_apart", "footprint", "frame_nodes", "mosaic_nodes", "window"]

LATTICE = 32  # px between nodes, in the mosaic and in the frame
REACH = 8  # px of the frame that demosaicing and the interpolation need around a position, and 2 to spare
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """The part of a region that a frame covers, and the frame's rows that it takes."""

    box: tuple[int, int, int, int]  # y0, y1, x0, x1 in the mosaic, half open
    rows: slice  # of the frame, whole multiples of LATTICE or to its end
    nodes_x: FloatArray  # frame coordinates at the lattice nodes
    nodes_y: FloatArray
    node0: tuple[int, int]  # (row, column) of the first node, in units of LATTICE mosaic pixels


def footprint(
    solution: Solution, shape: tuple[int, int], grid: Grid, crop: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Outline of a frame of `shape` (h, w) in mosaic pixels: (x, y) of 32 points along each side.

    crop : share of the width and height that is left out on each side
    """
    height, width = shape
    t = np.linspace(0.0, 1.0, 33)[:-1]
    u = np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)])
    v = np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t])
    x, y = (crop + (1.0 - 2.0 * crop) * u) * (width - 1), (crop + (1.0 - 2.0 * crop) * v) * (height - 1)
    return sky_to_grid(grid, *pixel_to_sky(solution, x, y))


def colours_apart(solution: Solution) -> FloatArray:
    """(2, 2) where the light of red and of blue falls, x, y px from green; (0, 2) where green does."""
    red_and_blue = [solution.shift[c] for c in (0, 2)] if solution.shift else []
    return np.array(red_and_blue, np.float64).reshape(-1, 2)


def mosaic_nodes(
    solution: Solution, grid: Grid, box: tuple[int, int, int, int]
) -> tuple[FloatArray, FloatArray, tuple[int, int]]:
    """Frame coordinates at the lattice nodes that enclose a box of the mosaic, and the first node."""
    y0, y1, x0, x1 = box
    j0, i0 = y0 // LATTICE, x0 // LATTICE
    j1, i1 = (y1 - 1) // LATTICE + 2, (x1 - 1) // LATTICE + 2
    y, x = np.mgrid[j0:j1, i0:i1].astype(float) * LATTICE
    sx, sy = sky_to_pixel(solution, *grid_to_sky(grid, x, y))
    return np.ascontiguousarray(sx), np.ascontiguousarray(sy), (j0, i0)


def frame_nodes(solution: Solution, shape: tuple[int, int], grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Mosaic coordinates (x, y) of the frame's pixels at multiples of LATTICE."""
    height, width = shape
    y, x = np.mgrid[0 : height + LATTICE : LATTICE, 0 : width + LATTICE : LATTICE].astype(float)
    mx, my = sky_to_grid(grid, *pixel_to_sky(solution, x, y))
    return np.ascontiguousarray(mx), np.ascontiguousarray(my)


def window(solution: Solution, shape: tuple[int, int], grid: Grid, block: tuple[int, int, int, int]) -> Window | None:
    """What a frame of `shape` (h, w) gives to a block (y0, y1, x0, x1); None when it does not touch it."""
    height, width = shape
    px, py = footprint(solution, shape, grid)
    if not np.all(np.isfinite(px)):
        return None
    y0, y1 = max(block[0], int(py.min()) - 1), min(block[1], int(py.max()) + 3)
    x0, x1 = max(block[2], int(px.min()) - 1), min(block[3], int(px.max()) + 3)
    if y0 >= y1 or x0 >= x1:
        return None
    nodes_x, nodes_y, node0 = mosaic_nodes(solution, grid, (y0, y1, x0, x1))
    # between two nodes lies a cell of the lattice, in frame pixels as large as the frame is finer than the mosaic
    cell = max(float(np.abs(np.diff(nodes, axis=axis)).max()) for nodes in (nodes_x, nodes_y) for axis in (0, 1))
    inside = (nodes_x > -2 * cell) & (nodes_x < width + 2 * cell)
    if not inside.any():
        return None
    # all four nodes around a pixel that the frame sees are among these, and bracket it
    first = max(0, int(nodes_y[inside].min()) - REACH)
    last = min(height, int(nodes_y[inside].max()) + REACH)
    # whole cells of the mesh on which damaged pixels are judged, so that what is read does not change what is found
    first, last = first // LATTICE * LATTICE, min(height, -(-last // LATTICE) * LATTICE)
    if last - first < 2 * REACH:  # nothing of the frame, or less than one interpolation needs
        return None
    return Window((y0, y1, x0, x1), slice(first, last), nodes_x, nodes_y, node0)
