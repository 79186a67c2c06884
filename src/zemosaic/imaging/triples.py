"""Fields with few stars: threes of image stars among those of the index quads.

A dozen stars of which some were not detected often hold no index quad that is complete, but nearly always three stars of
one. Threes are alike by chance a thousand times as often as quads, so the index is not looked up but read from one
end to the other, 2 to 6 s, against the threes of the image, and more stars must vouch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.quads import BEND, NEAR, Guess, QuadIndex, best_guesses, chosen_stars, searched
from zemosaic.kernels.quads import support
from zemosaic.kernels.triples import ACROSS, ALONG, CELL, FIRST_ACROSS, FIRST_ALONG, find_triples, triple_codes

__all__ = ["guesses_of_threes"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ROUNDS = (16, 24)  # image stars whose threes are looked for, until one is recognised
SMALLEST, LARGEST = 0.10, 0.90  # longest side of an image three in lengths of the frame
CENTROID = 1.2  # px, by which the ends of a side may be wrong; divided by its length the tolerance of the code
TOLERANCE = (0.0015, 0.006)  # of a code, least and most
VOUCHING = 3  # stars at least besides the three
CHUNK = 500_000  # quads
CAPACITY = 1_000_000  # hypotheses of a chunk: ten times as many as were seen
SIDES = 3  # longest sides that the four threes of a quad have at most


def guesses_of_threes(
    x: FloatArray,
    y: FloatArray,
    shape: tuple[int, int],
    index: QuadIndex,
    band_cells: IntArray,
    scales: tuple[float, float],
    parity: int = 0,
) -> Iterator[list[Guess]]:
    """Guesses, the best supported of each round first; parameters as for `zemosaic.imaging.quads.guesses`, which was before."""
    u, v = chosen_stars(x, y, shape)
    limits = np.radians(scales)
    before = searched(u, v, index, limits)
    done = 0
    for stars in ROUNDS:
        if done < min(stars, len(u)):
            triples, codes, tolerance, signs = _image_triples(u, v, done, min(stars, len(u)), float(max(shape)), parity)
            done = min(stars, len(u))
            tested = before + SIDES * searched(u[:done], v[:done], index, limits)
            yield _recognised(u, v, triples, codes, tolerance, signs, index, band_cells, limits, tested)


def _image_triples(
    x: FloatArray, y: FloatArray, done: int, stars: int, length: float, parity: int
) -> tuple[IntArray, FloatArray, FloatArray, IntArray]:
    """Threes of the first `stars` stars that are not among the first `done`, codes, tolerances and parities."""
    triples = np.array([t for t in combinations(range(stars), 3) if t[2] >= done], np.int64).reshape(-1, 3)
    codes = np.empty((len(triples), 2))
    triple_codes(x, y, triples, codes)
    side = np.hypot(x[triples[:, 0]] - x[triples[:, 1]], y[triples[:, 0]] - y[triples[:, 1]])
    use = (side > SMALLEST * length) & (side < LARGEST * length)
    triples, codes, tolerance = triples[use], codes[use], np.clip(CENTROID / side[use], *TOLERANCE)
    even = codes[:, 0] > 0.5 - tolerance  # which of A and B is nearer to C, is chance: both
    triples = np.concatenate([triples, triples[even][:, [1, 0, 2]]])
    codes = np.concatenate([codes, [1.0, 0.0] - codes[even]])
    tolerance = np.concatenate([tolerance, tolerance[even]])
    signs = [1, -1] if parity == 0 else [parity]
    every = np.concatenate([codes * [1.0, sign] for sign in signs])
    n = len(signs)
    return np.tile(triples, (n, 1)), every, np.tile(tolerance, n), np.repeat(signs, len(triples))


def _map(codes: FloatArray, tolerance: FloatArray) -> tuple[IntArray, IntArray]:
    """Image threes by cells of the map of codes: first entry of each cell, and the entries."""
    corners = [
        np.floor((codes[:, 0] + a * tolerance - FIRST_ALONG) / CELL).astype(np.int64) * ACROSS
        + np.floor((codes[:, 1] + b * tolerance - FIRST_ACROSS) / CELL).astype(np.int64)
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    key = np.unique(np.concatenate(corners) * len(codes) + np.tile(np.arange(len(codes)), 4))
    cell, entry = np.divmod(key, max(len(codes), 1))
    return np.searchsorted(cell, np.arange(ALONG * ACROSS + 1)), entry


def _recognised(
    x: FloatArray,
    y: FloatArray,
    triples: IntArray,
    codes: FloatArray,
    tolerance: FloatArray,
    signs: IntArray,
    index: QuadIndex,
    band_cells: IntArray,
    limits: FloatArray,
    tested: float,
) -> list[Guess]:
    start, entries = _map(codes, tolerance)
    found, parities = [np.empty((0, 9))], [np.empty(0, np.int64)]
    which, sky = np.empty(CAPACITY, np.int64), np.empty((CAPACITY, 3), np.uint32)
    for first in range(0, len(index.quads), CHUNK):
        part = slice(first, first + CHUNK)
        count = find_triples(codes, tolerance, start, entries, index.quads[part], index.codes[part], which, sky)
        order = np.argsort(sky[:count, 0])  # by place: the catalogue stays in the processor's cache, 1.8 times as fast
        image, parity, out = triples[which[order]], signs[which[order]], np.empty((count, 9))
        support(x, y, image, sky[order], parity, index.xyz, band_cells, index.cell_start, limits, NEAR, BEND, out)
        good = out[:, 0] >= VOUCHING
        found.append(out[good])
        parities.append(parity[good])
    return best_guesses(np.concatenate(found), np.concatenate(parities), tested)
