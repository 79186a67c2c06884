"""Sky meshes made ready for the sky fit: stars masked the same way in every frame, cells binned, placed on the sky.

The star mask lives on the sky: a cell that a star of the common list touches is dropped in every frame that sees it,
whatever that frame's seeing, so that all frames average the same light. (A median would not: how much of a faint
star a median keeps depends on the seeing, which bends the background in the Milky Way.) Light of stars that are not masked is
taken off the cells (`starlight`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.projection import pixel_area, pixel_to_sky, sky_to_pixel, tan_project
from zemosaic.imaging.response import frame_coordinates, response
from zemosaic.kernels.skyfit import cover_cells, mesh_sums
from zemosaic.model import Solution

__all__ = [
    "MaskStars",
    "SkyCells",
    "bin_factor",
    "common_stars",
    "covered_area",
    "frame_cells",
    "join",
    "mask_radius",
    "mean_places",
    "only_frames",
    "star_mask",
    "thinned",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# of all frames together, up to which they are not binned: 12 Seestar frames, 100 of 420 x 560 px. Where frames are few and small,
# the nebula between the nodes bends the sky more than the noise of the cells does: 24 frames of 420 x 560 px 1.9 % against 0.2
FEW_CELLS = 100_000
MAX_CELLS = 800_000  # of all frames together after binning; the fit takes about 800 bytes each
LARGEST_BIN = 24  # 384 px: a Seestar frame keeps 15 cells for its plane
TOGETHER = 500  # frames whose squares are counted at once
MAX_MASKED = 0.4  # share of the sky that the star mask may take


@dataclass(frozen=True)
class MaskStars:
    """Stars of the common list, brightest first."""

    ra: FloatArray  # (n,) deg
    dec: FloatArray  # (n,) deg
    radius: FloatArray  # (n,) deg


@dataclass(frozen=True)
class SkyCells:
    """Surviving cells of one or all frames."""

    frame: IntArray  # (n,) index of the frame
    x: FloatArray  # (n,) deg, standard coordinates on a common tangent plane
    y: FloatArray  # (n,) deg
    u: FloatArray  # (n,) offset from the frame's centre over the half-diagonal
    v: FloatArray  # (n,)
    omega: FloatArray  # (n,) solid angle of a pixel, relative to a common reference
    value: FloatArray  # (n, channels) ADU, mean over the cell / F; NaN is no data
    variance: FloatArray  # (n, channels) ADU^2

    def __len__(self) -> int:
        return len(self.x)


def mask_radius(snr: FloatArray, fwhm: FloatArray, saturated: BoolArray) -> FloatArray:
    """Radius beyond which a star no longer shows in a cell's mean differently in good and bad seeing, in units of `fwhm`."""
    growth = 1.5 + np.log10(np.maximum(snr, 5.0) / 5.0) + 2.0 * saturated
    radius: FloatArray = np.clip(growth, 1.5, 7.0) * fwhm
    return radius


def mean_places(star: IntArray, place: FloatArray, size: int) -> FloatArray:
    """(size, 3) mean unit vectors of the detections of each star; zeros without detections."""
    total = np.stack([np.bincount(star, column, size) for column in place.T], axis=1)
    mean: FloatArray = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return mean


def common_stars(
    star: IntArray, place: FloatArray, radius: FloatArray, snr: FloatArray, lone_snr: float
) -> tuple[MaskStars, IntArray]:
    """The list of stars to be masked from the detections of all frames: those that two frames list, or one clearly.

    Also (n,) which star of the list each detection is, -1 = none.

    star : (n,) number, -1 = not linked (blends); place : (n, 3) unit vectors; radius : (n,) deg; snr : (n,)
    lone_snr : from which a single detection counts; below it may be noise or a hot pixel.
    """
    single = star < 0
    # unlinked ones get numbers by their place (10 arcsec), so that many frames' detections of a blend count once
    square = np.unique(np.floor(place[single] / 5e-5).astype(np.int64), axis=0, return_inverse=True)[1].ravel()
    star = star.copy()
    star[single] = int(star.max(initial=-1)) + 1 + square
    n = int(star.max(initial=-1)) + 1
    largest, brightest = np.zeros(n), np.zeros(n)
    np.maximum.at(largest, star, radius)
    np.maximum.at(brightest, star, snr)
    count = np.bincount(star, minlength=n)
    order = np.flatnonzero((count > 0) & ((count > 1) | (brightest > lone_snr)))
    order = order[np.argsort(-brightest[order], kind="stable")]
    x, y, z = mean_places(star, place, n)[order].T
    ra, dec = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
    listed = np.full(n + 1, -1)
    listed[order] = np.arange(len(order))
    return MaskStars(ra, dec, largest[order]), listed[star]


def covered_area(
    outlines: Sequence[tuple[Solution, tuple[int, int]]], plane: tuple[float, float], side: float
) -> float:
    """Square degrees that frames (solution, (width, height)) cover together, counted in squares of `side` degrees.

    Between its corners, a frame is taken for a bilinear patch of the plane.
    """
    s, t = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, 24), np.linspace(0, 1, 36)))
    share = np.stack([(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t])
    corners = np.array([pixel_to_sky(at, [0, w, 0, w], [0, 0, h, h]) for at, (w, h) in outlines])  # (frames, 2, 4)
    x, y = tan_project(corners[:, 0], corners[:, 1], *plane)
    squares, waiting, more = np.zeros(0, np.int64), list[IntArray](), 0
    for first in range(0, len(x), TOGETHER):
        part = slice(first, first + TOGETHER)
        column, row = (np.floor(axis[part] @ share / side).astype(np.int64) for axis in (x, y))
        waiting.append(_distinct((row * 2**32 + column).ravel()))
        more += len(waiting[-1])
        # after every batch, the work would grow as the square of the frames
        if more > len(squares) or first + TOGETHER >= len(x):
            squares, waiting, more = _distinct(np.concatenate([squares, *waiting])), [], 0
    return len(squares) * side * side


def _distinct(values: IntArray) -> IntArray:
    """The different ones, rising; `numpy.unique` (2.4) puts them into a hash table: 0.38 s for 430 000, 0.02 s here."""
    ordered = np.sort(values)
    different: IntArray = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return different


def thinned(stars: MaskStars, covered: float, cell: float) -> MaskStars:
    """The first stars whose circles, grown by half a cell, take at most `MAX_MASKED` of `covered` square degrees.

    In the Milky Way a mask of every star would leave no sky; the others are then part of the sky, the same in all frames.
    """
    taken = np.cumsum((2.0 * stars.radius + cell) ** 2)
    keep = int(np.searchsorted(taken, -np.log(1.0 - MAX_MASKED) * covered))
    return MaskStars(stars.ra[:keep], stars.dec[:keep], stars.radius[:keep])


def star_mask(stars: MaskStars, solution: Solution, scale: float, shape: tuple[int, int], cell: int) -> BoolArray:
    """(ny, nx) cells of a mesh of `shape` that a star touches; scale in deg/px."""
    x, y = sky_to_pixel(solution, stars.ra, stars.dec)
    masked = np.zeros(shape, bool)
    cover_cells(x + 0.5, y + 0.5, stars.radius / scale, cell, masked)  # cell k begins half a pixel before k * cell
    return masked


def bin_factor(cells: int) -> int:
    """How many cells to a side are averaged, for so many cells in all frames together: 1 for few, more for very many frames."""
    if cells <= FEW_CELLS:
        return 1
    return min(max(2, int(np.ceil(np.sqrt(cells / MAX_CELLS)))), LARGEST_BIN)


def frame_cells(
    index: int,
    mean: NDArray[np.float32],
    masked: BoolArray,
    cell: int,
    solution: Solution,
    size: tuple[int, int],
    coefficients: tuple[float, ...],
    sigma: FloatArray,
    plane: tuple[float, float],
    reference_area: float,
    bins: int,
    flat_fielded: bool = False,
) -> SkyCells:
    """The surviving cells of one frame.

    Parameters
    ----------
    mean : (ny, nx, channels) ADU, NaN is no data; masked : (ny, nx); cell : px.
    size : (width, height) px of the frame.
    coefficients : of the sensor response.
    sigma : (channels,) ADU, noise of the mean of one whole cell.
    plane : tangent point (ra, dec) of the common plane, degrees.
    reference_area : square degrees of a pixel with omega = 1.
    bins : cells to a side that are averaged.
    flat_fielded : by a user's flat, which holds the solid angle of the pixels: all have that of the frame's centre.
    """
    width, height = size
    sums = np.zeros((*(-(-n // bins) for n in masked.shape), 3 + mean.shape[2]))
    mesh_sums(mean, masked, cell, width, height, np.asarray(coefficients, float), bins, sums)
    count, *columns = sums[sums[..., 0] > 0].T
    x, y, *values = (column / count for column in columns)
    value = np.stack(values, axis=1)
    u, v = frame_coordinates(x, y, width, height)
    shape = response(coefficients, u * u + v * v)[:, None]
    plane_x, plane_y = tan_project(*pixel_to_sky(solution, x, y), *plane)
    at = (np.full_like(x, 0.5 * (width - 1)), np.full_like(y, 0.5 * (height - 1))) if flat_fielded else (x, y)
    omega = pixel_area(solution, *at) / reference_area
    variance = (np.asarray(sigma) / shape) ** 2 / count[:, None]
    return SkyCells(np.full(len(x), index), plane_x, plane_y, u, v, omega, value, variance)


def join(parts: list[SkyCells]) -> SkyCells:
    """The cells of several frames as one table."""
    names = ("frame", "x", "y", "u", "v", "omega", "value", "variance")
    return SkyCells(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def only_frames(cells: SkyCells, kept: BoolArray) -> SkyCells:
    """The cells of the frames that are `kept` (frames,), numbered anew."""
    here, number = kept[cells.frame], np.cumsum(kept) - 1
    some = SkyCells(*(getattr(cells, each.name)[here] for each in fields(cells)))
    return replace(some, frame=number[some.frame])
