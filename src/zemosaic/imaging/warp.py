"""Mappings between frame and mosaic on lattices, and what of a frame a region of the mosaic needs.

Between nodes 32 px apart the mapping is interpolated bilinearly. With 1.5 px of cubic distortion in the corners its second
derivative is 7e-6 /px, so the error is 32^2 / 8 * 7e-6 < 0.002 px. Maps of much sky in few pixels bend more: there the nodes of
a frame stand closer (`step_of`). A map ends along a meridian: the mapping of a frame that lies across (`torn`) cannot
be interpolated from the frame to the mosaic, and from the mosaic to the frame only between nodes that the map has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.projection import angular_separation, grid_to_sky, pixel_to_sky, sky_to_grid, sky_to_pixel
from zemosaic.model import Grid, Solution

__all__ = [
    "LATTICE",
    "Window",
    "colours_apart",
    "extent",
    "footprint",
    "frame_nodes",
    "mosaic_nodes",
    "step_of",
    "torn",
    "window",
]

LATTICE = 32  # px between nodes, in the mosaic and in the frame, at most
FINEST = 4  # px, at least
TOLERANCE = 0.005  # px, error of the interpolation
NOWHERE = -1e6  # px
MOST_FRAMES = 2**17  # whose steps are kept; with fewer than a mosaic has each visit finds them again (5 ms)
PLACES = 7  # along each side of a frame, where it is measured
REACH = 8  # px of the frame that demosaicing and the interpolation need around a position, and 2 to spare
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """The part of a region that a frame covers, and the frame's rows that it takes."""

    box: tuple[int, int, int, int]  # y0, y1, x0, x1 in the mosaic, half open
    rows: slice  # of the frame, whole multiples of LATTICE or to its end
    nodes_x: FloatArray  # frame coordinates at the lattice nodes
    nodes_y: FloatArray
    node0: tuple[int, int]  # (row, column) of the first node, in units of `step`
    step: int = LATTICE  # px of the mosaic between nodes


def footprint(
    solution: Solution, shape: tuple[int, int], grid: Grid, crop: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Outline of a frame of `shape` (h, w) in mosaic pixels: (x, y) of 32 points along each side.

    crop : share of the width and height that is left out on each side
    """
    return sky_to_grid(grid, *pixel_to_sky(solution, *_outline(shape, crop)))


def _outline(shape: tuple[int, int], crop: float) -> tuple[FloatArray, FloatArray]:
    height, width = shape
    t = np.linspace(0.0, 1.0, 33)[:-1]
    u = np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)])
    v = np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t])
    return (crop + (1.0 - 2.0 * crop) * u) * (width - 1), (crop + (1.0 - 2.0 * crop) * v) * (height - 1)


def extent(solution: Solution, shape: tuple[int, int], grid: Grid, crop: float = 0.0) -> FloatArray:
    """Least and largest x, least and largest y of a frame in mosaic pixels; NaN where the map does not have all of it.

    A frame across the end of the map reaches from one side of it to the other.
    """
    x, y = footprint(solution, shape, grid, crop)
    if torn(solution, shape, grid):
        far_x, far_y = _along_the_end(solution, shape, grid)
        x, y = np.append(x, far_x), np.append(y, far_y)
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return np.full(4, np.nan)
        x, y = x[known], y[known]
    return np.array([x.min(), x.max(), y.min(), y.max()])


def _along_the_end(solution: Solution, shape: tuple[int, int], grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Mosaic pixels of both sides of the meridian that ends the map, and of the poles, as far as they lie on a frame."""
    dec, east = np.meshgrid(np.linspace(-90.0, 90.0, 1441), np.array([-180.0 + 1e-9, -90.0, 0.0, 90.0, 180.0 - 1e-9]))
    wanted = (np.abs(east) > 90.0) | (np.abs(dec) == 90.0)
    ra, dec = grid.ra + east[wanted], dec[wanted]
    sx, sy = sky_to_pixel(solution, ra, dec)
    height, width = shape
    on = (sx >= 0.0) & (sx <= width - 1.0) & (sy >= 0.0) & (sy <= height - 1.0)
    return sky_to_grid(grid, ra[on], dec[on])


@lru_cache(MOST_FRAMES)
def torn(solution: Solution, shape: tuple[int, int], grid: Grid) -> bool:
    """Whether the map ends within a frame: the middle of two neighbours on its outline does not lie between them on the sky."""
    if grid.projection == "TAN":
        return False
    height, width = shape
    x, y = footprint(solution, shape, grid)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return True
    between = 0.5 * (x + np.roll(x, -1)), 0.5 * (y + np.roll(y, -1))
    back_x, back_y = sky_to_pixel(solution, *grid_to_sky(grid, *between))
    t, v = _outline(shape, 0.0)
    off = np.hypot(back_x - 0.5 * (t + np.roll(t, -1)), back_y - 0.5 * (v + np.roll(v, -1)))
    return not bool((off < max(height, width) / 16.0).all())  # twice as far as they stand apart


@lru_cache(MOST_FRAMES)
def step_of(solution: Solution, shape: tuple[int, int], grid: Grid) -> int:
    """px between the nodes of a frame, in the mosaic and in the frame.

    LATTICE, or as much less as brings the error of the interpolation, measured at some places, below TOLERANCE (px of the
    frame; it goes with the square of the step), and FINEST at least. A TAN map of a TAN frame bends by its scale times the
    tangent of the distance.
    """
    if grid.projection == "TAN":
        distance = math.radians(float(angular_separation(solution.ra, solution.dec, grid.ra, grid.dec)))
        if 0.5 * LATTICE**2 * math.radians(grid.scale) * math.tan(min(distance, 1.5)) < TOLERANCE:
            return LATTICE
    error = _error(solution, shape, grid)
    step = LATTICE
    while step > FINEST and not error * (step / LATTICE) ** 2 <= TOLERANCE:
        step //= 2
    return step


def _error(solution: Solution, shape: tuple[int, int], grid: Grid) -> float:
    """px of the frame, in the middle between nodes LATTICE px apart: from the mosaic to the frame, and the other way."""
    height, width = shape
    places = np.meshgrid(np.linspace(0.0, width - 1.0, PLACES), np.linspace(0.0, height - 1.0, PLACES))
    x, y = (each.ravel()[:, None] for each in places)
    right, up = 0.5 * LATTICE * np.array([[-1, 1, -1, 1]]), 0.5 * LATTICE * np.array([[-1, -1, 1, 1]])
    mx, my = sky_to_grid(grid, *pixel_to_sky(solution, x, y))
    there = sky_to_pixel(solution, *grid_to_sky(grid, mx + right, my + up))
    forth = np.hypot(there[0].mean(axis=1) - x[:, 0], there[1].mean(axis=1) - y[:, 0])
    nodes_x, nodes_y = sky_to_grid(grid, *pixel_to_sky(solution, x + right, y + up))
    middle = sky_to_pixel(solution, *grid_to_sky(grid, nodes_x.mean(axis=1), nodes_y.mean(axis=1)))
    back = np.hypot(middle[0] - x[:, 0], middle[1] - y[:, 0])
    both = np.concatenate([forth, back])
    return float(np.max(both[np.isfinite(both)], initial=0.0))


def colours_apart(solution: Solution) -> FloatArray:
    """(2, 2) where the light of red and of blue falls, x, y px from green; (0, 2) where green does."""
    red_and_blue = [solution.shift[c] for c in (0, 2)] if solution.shift else []
    return np.array(red_and_blue, np.float64).reshape(-1, 2)


def mosaic_nodes(
    solution: Solution, grid: Grid, box: tuple[int, int, int, int], step: int = LATTICE
) -> tuple[FloatArray, FloatArray, tuple[int, int]]:
    """Frame coordinates at the lattice nodes that enclose a box of the mosaic, and the first node."""
    y0, y1, x0, x1 = box
    j0, i0 = y0 // step, x0 // step
    j1, i1 = (y1 - 1) // step + 2, (x1 - 1) // step + 2
    y, x = np.mgrid[j0:j1, i0:i1].astype(float) * step
    ra, dec = grid_to_sky(grid, x, y)
    sx, sy = sky_to_pixel(solution, ra, dec)
    return np.ascontiguousarray(sx), np.ascontiguousarray(sy), (j0, i0)


def frame_nodes(solution: Solution, shape: tuple[int, int], grid: Grid) -> tuple[FloatArray, FloatArray, int]:
    """Mosaic coordinates (x, y) of the frame's pixels at multiples of a step, and this step, px.

    A frame that is torn lies nowhere: between nodes on either side of the tear there is nothing to interpolate.
    """
    height, width = shape
    step = step_of(solution, shape, grid)
    y, x = np.mgrid[0 : height + step : step, 0 : width + step : step].astype(float)
    if torn(solution, shape, grid):
        return np.full_like(x, NOWHERE), np.full_like(y, NOWHERE), step
    mx, my = sky_to_grid(grid, *pixel_to_sky(solution, x, y))
    return np.ascontiguousarray(mx), np.ascontiguousarray(my), step


def window(solution: Solution, shape: tuple[int, int], grid: Grid, block: tuple[int, int, int, int]) -> Window | None:
    """What a frame of `shape` (h, w) gives to a block (y0, y1, x0, x1); None when it does not touch it."""
    height, width = shape
    reach = extent(solution, shape, grid)
    if not np.isfinite(reach).all():
        return None
    y0, y1 = max(block[0], int(reach[2]) - 1), min(block[1], int(reach[3]) + 3)
    x0, x1 = max(block[2], int(reach[0]) - 1), min(block[3], int(reach[1]) + 3)
    if y0 >= y1 or x0 >= x1:
        return None
    step = step_of(solution, shape, grid)
    nodes_x, nodes_y, node0 = mosaic_nodes(solution, grid, (y0, y1, x0, x1), step)
    off = ~(np.isfinite(nodes_x) & np.isfinite(nodes_y))
    # between two nodes lies a cell of the lattice, in frame pixels as large as the frame is finer than the mosaic
    steps = [np.abs(np.diff(nodes, axis=axis)) for nodes in (nodes_x, nodes_y) for axis in (0, 1)]
    cell = max(float(np.max(each, where=np.isfinite(each), initial=0.0)) for each in steps)
    nodes_x[off] = nodes_y[off] = NOWHERE
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
    return Window((y0, y1, x0, x1), slice(first, last), nodes_x, nodes_y, node0, step)
