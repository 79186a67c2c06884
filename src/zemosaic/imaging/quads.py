"""Quads of catalogue stars over the whole sky, and the recognition of image quads among them.

The index holds quads in bands of size. For each band the sky is cut into cells as large as the band's quads and the
brightest stars of each cell are kept, so that a field has a similar number of them everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.imaging.matching import spread
from zemosaic.kernels.quads import bin_of_codes, emit_quads, find_codes, plane_codes, sky_codes, support

__all__ = [
    "BANDS",
    "BEND",
    "NEAR",
    "Band",
    "Guess",
    "QuadIndex",
    "best_guesses",
    "build_index",
    "chosen_stars",
    "guesses",
    "searched",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Band:
    """Quads of similar size."""

    shortest: float  # deg, of the longest side
    longest: float  # deg
    stars: int  # of each cell of sky
    per_fourth: int  # quads that share the brightest and the faintest star
    most: int  # quads of a brightest star


BANDS = (
    Band(0.12, 0.20, 3, 1, 3),
    Band(0.20, 0.33, 3, 1, 2),
    Band(0.33, 0.55, 3, 1, 3),
    Band(0.55, 0.90, 4, 1, 3),
    Band(0.90, 1.50, 4, 1, 4),
)
ROUNDS = (12, 18, 26, 36, 44)  # image stars whose quads are looked up, until one is recognised
STARS_PER_CELL = 12  # image stars, of a quarter of the field
CHECK_STARS = 48  # image stars that vouch for a guess
SMALLEST, LARGEST = 0.10, 0.65  # longest side of an image quad in lengths of the frame
CENTROID = 2.0  # px, by which the ends of a side may be wrong; divided by its length the tolerance of the code
TOLERANCE = (0.004, 0.012)  # of a code, least and most
NEAR, BEND = 4.0, 0.008  # px, and px per px from the quad: how close stars must come that vouch
VOUCHING = 2  # stars at least besides the quad
CAPACITY = 400_000  # pairs of quads a round
GUESSES = 150  # best ones of a round that are worth verifying
SAMPLES, RUN = 64, 64  # places of the index, and quads there, whose size stands for that of all


@dataclass(frozen=True)
class QuadIndex:
    """Quads of catalogue stars, ordered by code."""

    xyz: NDArray[np.float32]  # (n, 3) unit vectors of all stars, ordered by sky cell and there by declination
    cell_start: IntArray  # (cells + 1,) first star of each cell
    quads: NDArray[np.uint32]  # (q, 4) stars A, B, C, D
    codes: NDArray[np.uint16]  # (q, 4)
    bin_start: NDArray[np.int32]  # (bins + 1,) first quad of each bin of codes


@dataclass(frozen=True)
class Guess:
    """A similarity: at (x, y) px the frame shows (ra, dec); xi + i eta = multiplier * (u + i parity v)."""

    ra: float  # deg
    dec: float  # deg
    x: float  # px
    y: float  # px
    multiplier: complex  # deg/px
    parity: int
    matches: int  # stars that vouch, besides the quad
    tested: float  # hypotheses that were open to the search until this round


def build_index(ra: FloatArray, dec: FloatArray, vt: FloatArray, cell: IntArray, cells: int) -> QuadIndex:
    """The index of all quads; `cell` (n,) is the sky cell of each star, of `cells`."""
    order = np.lexsort((dec, cell))
    ra, dec, vt = ra[order], dec[order], vt[order]
    a, d = np.radians(ra), np.radians(dec)
    xyz = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)
    parts = [_band_quads(ra, dec, vt, xyz, band) for band in BANDS]
    quads = np.concatenate(parts)
    single = xyz.astype(np.float32)
    codes = np.empty(quads.shape, np.uint16)
    sky_codes(single, quads, codes)
    number = np.empty(len(quads), np.int64)
    bins = bin_of_codes(codes, number)
    by_bin = np.argsort(number, kind="stable")
    bin_start = np.concatenate([[0], np.cumsum(np.bincount(number, minlength=bins))]).astype(np.int32)
    cell_start = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=cells))])
    return QuadIndex(single, cell_start, quads[by_bin], codes[by_bin], bin_start)


def _band_quads(ra: FloatArray, dec: FloatArray, vt: FloatArray, xyz: FloatArray, band: Band) -> NDArray[np.uint32]:
    """(q, 4) quads of one band."""
    kept = _brightest_of_cells(ra, dec, vt, 0.5 * (band.shortest + band.longest), band.stars)
    places = np.ascontiguousarray(xyz[kept])
    longest = 2.0 * math.sin(math.radians(0.5 * band.longest))
    shortest = 2.0 * math.sin(math.radians(0.5 * band.shortest))
    pairs = cKDTree(places).query_pairs(longest, output_type="ndarray").astype(np.int32)
    pairs.sort(axis=1)  # the brighter star first: `kept` is ordered by brightness
    key = pairs[:, 0].astype(np.int64) * len(kept) + pairs[:, 1]
    key.sort()
    owner, fainter = np.divmod(key, len(kept))
    start = np.searchsorted(owner, np.arange(len(kept) + 1))
    out = np.empty((len(kept) * band.most, 4), np.int32)
    count = emit_quads(places, start, fainter, shortest, longest, band.per_fourth, band.most, out)
    return kept[out[:count]].astype(np.uint32)


def _brightest_of_cells(ra: FloatArray, dec: FloatArray, vt: FloatArray, size: float, quota: int) -> IntArray:
    """The `quota` brightest stars of each cell of sky of `size` degrees, brightest first."""
    row = np.floor((dec + 90.0) / size).astype(np.int64)
    columns = np.maximum(np.rint(360.0 * np.cos(np.radians((row + 0.5) * size - 90.0)) / size), 1).astype(np.int64)
    key = row * 2**32 + np.floor(np.mod(ra, 360.0) / 360.0 * columns).astype(np.int64)
    order = np.lexsort((vt, key))
    ordered = key[order]
    rank = np.arange(len(key)) - np.searchsorted(ordered, ordered)
    kept = order[rank < quota]
    return np.asarray(kept[np.argsort(vt[kept], kind="stable")])


def guesses(
    x: FloatArray,
    y: FloatArray,
    shape: tuple[int, int],
    index: QuadIndex,
    band_cells: IntArray,
    scales: tuple[float, float],
    parity: int = 0,
) -> Iterator[list[Guess]]:
    """Guesses, the best supported of each round first; rounds take in more and more image stars.

    Parameters
    ----------
    x, y : (n,) px, image stars, brightest first.
    shape : (h, w) px.
    band_cells : (180,) sky cells of each degree of declination, by which `index.cell_start` is counted.
    scales : deg/px, least and most.
    parity : sign of det(CD); 0 tries both.
    """
    u, v = chosen_stars(x, y, shape)
    limits = np.radians(scales)
    done = 0
    for stars in ROUNDS:
        if done < min(stars, len(u)):
            quads, codes, tolerance = _image_quads(u, v, done, min(stars, len(u)), float(max(shape)))
            done = min(stars, len(u))
            tested = searched(u[:done], v[:done], index, limits)
            yield _recognised(u, v, quads, codes, tolerance, index, band_cells, limits, parity, tested)


def chosen_stars(x: FloatArray, y: FloatArray, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """The image stars that are looked up and that vouch: the brightest of each quarter of the field, in turns."""
    check = spread(x, y, 0.5 * math.sqrt(shape[0] * shape[1]), STARS_PER_CELL)[:CHECK_STARS]
    return np.ascontiguousarray(x[check]), np.ascontiguousarray(y[check])


def searched(x: FloatArray, y: FloatArray, index: QuadIndex, limits: FloatArray) -> float:
    """Hypotheses that are open: sides of image quads, either way round and mirrored or not, on longest sides of index quads.

    `limits` are the least and the largest scale, rad/px: only sides that it lets fit count, by a sample of the index.
    """
    starts = np.linspace(0, max(len(index.quads) - RUN, 0), SAMPLES).astype(np.int64)
    ends = np.concatenate([index.quads[start : start + RUN, :2] for start in starts])
    sizes = np.sort(np.linalg.norm(index.xyz[ends[:, 0]] - index.xyz[ends[:, 1]], axis=1))
    i, j = np.triu_indices(len(x), 1)
    sides = np.hypot(x[i] - x[j], y[i] - y[j])
    fitting = np.searchsorted(sizes, sides * limits[1]) - np.searchsorted(sizes, sides * limits[0])
    return 4.0 * float(fitting.sum()) / max(len(sizes), 1) * len(index.quads)


def _image_quads(
    x: FloatArray, y: FloatArray, done: int, stars: int, length: float
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Quads of the first `stars` stars that are not among the first `done` ones, their codes and tolerances."""
    quads = np.array([q for q in combinations(range(stars), 4) if q[3] >= done], np.int64).reshape(-1, 4)
    codes = np.empty(quads.shape)
    plane_codes(x, y, quads, codes)
    side = np.hypot(x[quads[:, 0]] - x[quads[:, 1]], y[quads[:, 0]] - y[quads[:, 1]])
    use = (side > SMALLEST * length) & (side < LARGEST * length)
    return quads[use], codes[use], np.clip(CENTROID / side[use], *TOLERANCE)


def _recognised(
    x: FloatArray,
    y: FloatArray,
    quads: IntArray,
    codes: FloatArray,
    tolerance: FloatArray,
    index: QuadIndex,
    band_cells: IntArray,
    limits: FloatArray,
    parity: int,
    tested: float,
) -> list[Guess]:
    found, signs = [np.empty((0, 9))], [np.empty(0, np.int64)]
    pairs = np.empty((CAPACITY, 2), np.int64)
    for sign in (1, -1) if parity == 0 else (parity,):
        count = find_codes(codes, tolerance, sign, index.bin_start, index.codes, pairs)
        image, sky, out = quads[pairs[:count, 0]], index.quads[pairs[:count, 1]], np.empty((count, 9))
        turned = np.full(count, sign, np.int64)
        support(x, y, image, sky, turned, index.xyz, band_cells, index.cell_start, limits, NEAR, BEND, out)
        good = out[:, 0] >= VOUCHING
        found.append(out[good])
        signs.append(turned[good])
    return best_guesses(np.concatenate(found), np.concatenate(signs), tested)


def best_guesses(found: FloatArray, parity: IntArray, tested: float) -> list[Guess]:
    """The best supported ones of what `support` found (n, 9) and their parities (n,): those of the most surprising matches."""
    best = np.argsort(-found[:, 8], kind="stable")[:GUESSES]
    return [_guess(found[i], int(parity[i]), tested) for i in best]


def _guess(row: FloatArray, parity: int, tested: float) -> Guess:
    re, im, x, y, vx, vy, vz = (float(value) for value in row[1:8])
    return Guess(
        ra=math.degrees(math.atan2(vy, vx)) % 360.0 % 360.0,
        dec=math.degrees(math.atan2(vz, math.hypot(vx, vy))),
        x=x,
        y=y,
        multiplier=complex(math.degrees(re), math.degrees(im)),
        parity=parity,
        matches=int(row[0]),
        tested=tested,
    )
