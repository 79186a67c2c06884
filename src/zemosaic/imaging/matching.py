"""Which part of the sky is this? Pairs of image stars against pairs of catalogue stars.

Both star lists are thinned to the brightest of every quarter of a field, so that the same stars are likely to be in
both whatever the density of the sky. An image pair and a catalogue pair of about the same length fix a similarity
(two orders, two parities); a kernel counts how many other image stars it brings near a catalogue star. The best
hypothesis of each image pair goes to `zemosaic.imaging.verification`, which decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from zemosaic.imaging.projection import tan_deproject, tan_project
from zemosaic.kernels.patterns import best_similarity
from zemosaic.model import Solution

__all__ = ["Hypothesis", "Search", "from_plane", "hypotheses", "spread", "to_plane", "to_solution"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PAIR_STARS = 18  # image stars that form pairs
PAIR_STARS_PER_CELL = 7
CHECK_STARS_PER_CELL = 18  # image stars that are checked; more than of the catalogue: some detections are not stars
CATALOGUE_STARS_PER_CELL = 14  # a field has four cells
SHORTEST_PAIR = 0.25  # of the diagonal: a shorter base magnifies the error of its ends by more than 4
TOLERANCE = 5.0  # px: centroids, distortion of 1.5 px in the corners, magnified by the base
FEWEST_MATCHES = 3  # besides the pair; fewer cannot be verified


@dataclass(frozen=True)
class Search:
    """What is known before a search: where, how large, how turned."""

    radius: float  # px, how far the frame's centre may lie from the plane's origin
    scale_tolerance: float  # relative, about 1 plane unit a px
    parity: int = 0  # sign of det(CD); 0 is unknown
    turn: float = 0.0  # rad, angle of the image's x axis, from xi towards eta
    turn_tolerance: float = math.pi  # rad


@dataclass(frozen=True)
class Hypothesis:
    """A similarity from the frame (px from its centre) to the plane: z -> centre + multiplier * z or conj(z)."""

    centre: complex  # plane units
    multiplier: complex
    parity: int  # sign of det(CD); -1 applies conj
    matches: int  # stars besides the pair
    tested: int  # hypotheses checked so far in this search


def to_plane(ra: ArrayLike, dec: ArrayLike, ra0: float, dec0: float) -> tuple[FloatArray, FloatArray]:
    """Stereographic coordinates, degrees: conformal, so that a frame degrees away from the origin keeps its shape.

    Within 2.2 degrees of the origin a TAN plane would stretch by 0.15 % in one direction, 3 px over a frame.
    """
    xi, eta = tan_project(ra, dec, ra0, dec0)
    r = np.radians(np.hypot(xi, eta))
    factor = np.where(r > 1e-12, 2.0 * np.tan(0.5 * np.arctan(r)) / np.where(r > 1e-12, r, 1.0), 1.0)
    return xi * factor, eta * factor


def from_plane(x: ArrayLike, y: ArrayLike, ra0: float, dec0: float) -> tuple[FloatArray, FloatArray]:
    """Sky positions of stereographic coordinates in degrees."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    r = np.radians(np.hypot(x, y))
    factor = np.where(r > 1e-12, np.tan(2.0 * np.arctan(0.5 * r)) / np.where(r > 1e-12, r, 1.0), 1.0)
    return tan_deproject(x * factor, y * factor, ra0, dec0)


def spread(x: FloatArray, y: FloatArray, cell: float, quota: int) -> IntArray:
    """Indices of the `quota` first (brightest) stars of each square cell, by rank in the cell, then as given."""
    column = np.floor(x / cell).astype(np.int64)
    row = np.floor(y / cell).astype(np.int64)
    key = (row - row.min(initial=0)) * (np.ptp(column) + 1 if len(x) else 1) + column - column.min(initial=0)
    order = np.argsort(key, kind="stable")
    first = np.searchsorted(key[order], key[order])
    rank = np.empty(len(x), np.int64)
    rank[order] = np.arange(len(x)) - first
    by_rank = np.argsort(rank, kind="stable")
    return by_rank[rank[by_rank] < quota]


def _near_map(x: FloatArray, y: FloatArray, reach: float) -> NDArray[np.uint8]:
    """Map of the plane with 1 in the cell of `TOLERANCE` px of every catalogue star and its eight neighbours."""
    half = math.ceil(reach / TOLERANCE) + 2
    near = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    i = np.floor(x / TOLERANCE + 0.5).astype(np.int64) + half
    j = np.floor(y / TOLERANCE + 0.5).astype(np.int64) + half
    inside = (i > 0) & (j > 0) & (i < 2 * half) & (j < 2 * half)
    for step_j in (-1, 0, 1):
        for step_i in (-1, 0, 1):
            near[j[inside] + step_j, i[inside] + step_i] = 1
    return near


def _catalogue_pairs(x: FloatArray, y: FloatArray, shortest: float, longest: float) -> tuple[IntArray, FloatArray]:
    """Pairs of catalogue stars (n, 2) with lengths between two limits, and their lengths, shortest first."""
    if len(x) < 2:
        return np.empty((0, 2), np.int64), np.empty(0)
    pairs = cKDTree(np.column_stack([x, y])).query_pairs(longest, output_type="ndarray").astype(np.int64)
    length = np.hypot(x[pairs[:, 0]] - x[pairs[:, 1]], y[pairs[:, 0]] - y[pairs[:, 1]])
    order = np.argsort(length)
    order = order[np.searchsorted(length[order], shortest) :]
    return pairs[order], length[order]


def _image_pairs(x: FloatArray, y: FloatArray, n: int, shortest: float) -> list[tuple[int, int]]:
    """Pairs among the first n stars, brightest pairs first."""
    pairs = [(i, j) for j in range(min(n, len(x))) for i in range(j)]
    pairs = [(i, j) for i, j in pairs if math.hypot(x[i] - x[j], y[i] - y[j]) >= shortest]
    return sorted(pairs, key=lambda pair: pair[0] + pair[1])


def hypotheses(
    x: FloatArray, y: FloatArray, shape: tuple[int, int], cat_x: FloatArray, cat_y: FloatArray, search: Search
) -> Iterator[Hypothesis]:
    """Similarities worth verifying, as they are found; the caller stops when one holds.

    Parameters
    ----------
    x, y : (n,) px, image stars, brightest first.
    shape : (h, w) px.
    cat_x, cat_y : (m,) plane coordinates in units of the expected pixel, catalogue stars, brightest first.
    """
    height, width = shape
    cell, diagonal = 0.5 * math.sqrt(width * height), math.hypot(width, height)
    pair_stars = spread(x, y, cell, PAIR_STARS_PER_CELL)[:PAIR_STARS]
    rest = spread(x, y, cell, CHECK_STARS_PER_CELL)
    chosen = np.concatenate([pair_stars, rest[~np.isin(rest, pair_stars)]])
    u, v = x[chosen] - 0.5 * (width - 1), y[chosen] - 0.5 * (height - 1)

    kept = spread(cat_x, cat_y, cell, CATALOGUE_STARS_PER_CELL)
    cat_x, cat_y = np.ascontiguousarray(cat_x[kept]), np.ascontiguousarray(cat_y[kept])
    near = _near_map(cat_x, cat_y, search.radius + 0.5 * diagonal * (1.0 + search.scale_tolerance))
    low, high = 1.0 - search.scale_tolerance, 1.0 + search.scale_tolerance
    pairs, length = _catalogue_pairs(cat_x, cat_y, SHORTEST_PAIR * diagonal * low, diagonal * high)
    first, second = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])

    out = np.empty(6)
    tested = 0
    for a, b in _image_pairs(u, v, len(pair_stars), SHORTEST_PAIR * diagonal):
        base = math.hypot(u[a] - u[b], v[a] - v[b])
        start, stop = np.searchsorted(length, [base * low, base * high])
        tested += best_similarity(
            u, v, a, b, cat_x, cat_y, first[start:stop], second[start:stop], near, TOLERANCE,
            search.radius, search.parity, search.turn, search.turn_tolerance, out,
        )  # fmt: skip
        if out[0] >= FEWEST_MATCHES:
            yield Hypothesis(complex(out[3], out[4]), complex(out[1], out[2]), int(out[5]), int(out[0]), tested)


def to_solution(hypothesis: Hypothesis, shape: tuple[int, int], ra0: float, dec0: float, unit: float) -> Solution:
    """The TAN solution of a similarity on the plane about (ra0, dec0) whose unit is `unit` degrees."""
    step = 100.0  # px: the plane is conformal, its scale and turn are taken where the frame lies
    arm = hypothesis.multiplier * step
    points = np.array([0.0, arm, 1j * hypothesis.parity * arm]) + hypothesis.centre
    ra, dec = from_plane(points.real * unit, points.imag * unit, ra0, dec0)
    xi, eta = tan_project(ra[1:], dec[1:], float(ra[0]), float(dec[0]))
    cd = (float(xi[0]) / step, float(xi[1]) / step, float(eta[0]) / step, float(eta[1]) / step)
    height, width = shape
    return Solution(ra=float(ra[0]), dec=float(dec[0]), x=0.5 * (width - 1), y=0.5 * (height - 1), cd=cd)
