"""Panels: frames that point at the same place. Targets: frames whose footprints lie near each other."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

__all__ = ["central", "connected_footprints", "diagonals", "group_pointings", "mean_direction", "unit_vectors"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ROUNDS = 10
FIRST_ASKED = 200  # footprints
SPREAD = np.linspace(0.0, 1.0, 9)  # places along and across a footprint between which distances are taken


def unit_vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    """(n, 3) directions of sky positions in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def mean_direction(vectors: FloatArray) -> tuple[float, float]:
    """(ra, dec), degrees, of the mean of (n, 3) directions."""
    x, y, z = vectors.mean(axis=0)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def central(ra: float, dec: float, pointings: Mapping[int, tuple[float, float]]) -> int:
    """Which of some pointings {number: (ra, dec)}, at least one, is nearest to a place, degrees."""
    there = (
        unit_vectors(*np.array(list(pointings.values()), float).T) @ unit_vectors(np.array([ra]), np.array([dec]))[0]
    )
    return list(pointings)[int(np.argmax(there))]


def group_pointings(ra: FloatArray, dec: FloatArray, threshold: float) -> NDArray[np.int64]:
    """Group of each pointing: leader clustering, then each pointing goes to the nearest group centre.

    ra, dec : (n,) degrees; threshold : degrees from the centre of a group within which a pointing belongs to it.
    Unlike single linkage it cannot chain dithered panels that overlap into one. Groups are numbered in the order of their first
    member; the work grows as n log n.
    """
    vectors = unit_vectors(np.asarray(ra, float), np.asarray(dec, float))
    tree, free, leaders = cKDTree(vectors), np.ones(len(vectors), bool), list[int]()
    for k in range(len(vectors)):
        if free[k]:
            leaders.append(k)
            free[tree.query_ball_point(vectors[k], _chord(threshold))] = False
    middle = vectors[leaders]
    labels = np.asarray(cKDTree(middle).query(vectors)[1], np.int64)
    for _ in range(ROUNDS):
        sums = np.stack([np.bincount(labels, axis, len(middle)) for axis in vectors.T], axis=1)
        size = np.linalg.norm(sums, axis=1, keepdims=True)
        middle = np.where(size > 0.0, sums / np.maximum(size, 1e-300), middle)
        new = np.asarray(cKDTree(middle).query(vectors)[1], np.int64)
        if np.array_equal(new, labels):
            break
        labels = new
    return _in_order(labels)


def diagonals(corners: FloatArray) -> FloatArray:
    """(n,) degrees, of footprints given by the directions of their corners, (n, 4, 3) in their order along the border."""
    return np.asarray(_angle(np.linalg.norm(corners[:, 0] - corners[:, 2], axis=1)))


def connected_footprints(corners: FloatArray, gap: float) -> IntArray:
    """Number of the connected part of the sky that each footprint belongs to: what lies within `gap` of it belongs to it too.

    corners : (n, 4, 3) directions of the corners, in their order along the border; gap : degrees of sky between two footprints.
    Parts are numbered in the order of their first member. Distances are taken between 9 x 9 places of each footprint: one of
    d degrees between sides of s degrees may come out too large by s^2 / (512 d), and a gap below s / 8 is taken as that.

    Footprints whose centres share a small cell of the sky are near each other whatever their angle, so are cells with near
    centres; only between the parts that come out of this are footprints compared. The work grows as n log n.
    """
    centres, inner, outer = _discs(corners)
    gap = max(
        gap, float(_angle(np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)).max()) / (len(SPREAD) - 1)
    )
    sure = _chord(gap + 2.0 * float(inner.min()))  # at any angle footprints with so near centres are
    cell, first = _cells(centres, sure / math.sqrt(3.0))
    near = cKDTree(centres[first]).query_pairs(sure, output_type="ndarray")
    part = _parts(len(first), near)
    a, b = _doubtful(centres, cell, first, part, gap + 2.0 * float(outer.max()))
    members = np.split(np.argsort(cell, kind="stable"), np.cumsum(np.bincount(cell))[:-1])
    joined = [
        (i, j)
        for i, j, cells_i, cells_j in _by_parts(part, a, b)
        if _near(corners[_together(members, cells_i)], corners[_together(members, cells_j)], gap)
    ]
    whole = _parts(int(part.max()) + 1, np.array(joined, np.int64).reshape(-1, 2))
    return _in_order(whole[part[cell]])


def _angle(chord: FloatArray) -> FloatArray:
    """Degrees between directions whose ends are `chord` apart."""
    return np.asarray(np.degrees(2.0 * np.arcsin(np.minimum(0.5 * chord, 1.0))))


def _chord(degrees: float) -> float:
    return 2.0 * math.sin(0.5 * math.radians(min(degrees, 180.0)))


def _discs(corners: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centre of each footprint, (n, 3), and the radii in degrees of the discs within and around it."""
    middle = corners.sum(axis=1)
    centres = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    edge = np.cross(corners, np.roll(corners, -1, axis=1))
    edge /= np.maximum(np.linalg.norm(edge, axis=2, keepdims=True), 1e-300)
    inner = np.degrees(np.arcsin(np.minimum(np.abs(np.einsum("nkd,nd->nk", edge, centres)), 1.0))).min(axis=1)
    outer = _angle(np.linalg.norm(corners - centres[:, None], axis=2)).max(axis=1)
    return centres, inner, outer


def _cells(centres: FloatArray, size: float) -> tuple[IntArray, IntArray]:
    """Cubic cell of each centre, numbered from 0, and a member of each cell."""
    place = np.floor(centres / max(size, 1e-9)).astype(np.int64)
    _, first, cell = np.unique(place, axis=0, return_index=True, return_inverse=True)
    return cell.reshape(-1).astype(np.int64), first.astype(np.int64)


def _parts(n: int, pairs: IntArray) -> IntArray:
    """Connected part of each of n things."""
    links = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _doubtful(
    centres: FloatArray, cell: IntArray, first: IntArray, part: IntArray, reach: float
) -> tuple[IntArray, IntArray]:
    """Pairs of cells of different parts that hold footprints whose discs around them may lie within the gap."""
    heads = centres[first]
    wide = np.zeros(len(first))
    np.maximum.at(wide, cell, np.linalg.norm(centres - heads[cell], axis=1))
    few = np.flatnonzero(part != np.argmax(np.bincount(part)))  # every such pair has a cell outside of the largest part
    found = cKDTree(heads).query_ball_point(heads[few], _chord(reach) + 2.0 * float(wide.max()))
    a = np.repeat(few, [len(each) for each in found])
    b = np.array([k for each in found for k in each], np.int64)
    other = part[a] != part[b]
    return a[other], b[other]


def _by_parts(part: IntArray, a: IntArray, b: IntArray) -> list[tuple[int, int, IntArray, IntArray]]:
    """For each pair of parts the cells of the one and of the other that are to be compared."""
    low, high = np.where(part[a] < part[b], (a, b), (b, a))
    names, which = np.unique(np.stack([part[low], part[high]], axis=1), axis=0, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(which.reshape(-1), minlength=len(names)))
    runs = np.split(order, ends[:-1]) if len(names) else []
    return [(int(i), int(j), np.unique(low[run]), np.unique(high[run])) for (i, j), run in zip(names, runs)]


def _together(members: list[IntArray], cells: IntArray) -> IntArray:
    return np.concatenate([members[int(k)] for k in cells])


def _near(one: FloatArray, other: FloatArray, gap: float) -> bool:
    """Whether any of these footprints lies within `gap` of any of those; of many the closest are asked first."""
    if max(len(one), len(other)) > FIRST_ASKED and _near(_closest(one, other), _closest(other, one), gap):
        return True
    distance, _ = cKDTree(_places(one)).query(_places(other), distance_upper_bound=_chord(gap) * (1.0 + 1e-12))
    return bool(np.isfinite(distance).any())


def _closest(some: FloatArray, others: FloatArray) -> FloatArray:
    """Some footprints whose first corners lie nearest to those of the others."""
    order = np.argsort(cKDTree(others[:, 0]).query(some[:, 0])[0], kind="stable")
    return np.asarray(some[order[:FIRST_ASKED]])


def _places(corners: FloatArray) -> FloatArray:
    """(81 n, 3) directions spread over footprints, their borders included."""
    s, t = np.meshgrid(SPREAD, SPREAD)
    share = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t]).reshape(4, -1)
    places = np.einsum("nkd,km->nmd", corners, share).reshape(-1, 3)
    return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True))


def _in_order(labels: IntArray) -> IntArray:
    """The same parts, numbered in the order of their first member."""
    _, first, renamed = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[renamed.reshape(-1)].astype(np.int64)
