"""Which detections on many frames are the same star.

Every frame is matched against one growing list of reference stars (friends-of-friends would chain neighbours together in
the Milky Way). The list is a set of k-d trees of doubling sizes (Bentley & Saxe 1980, J. Algorithms 1, 301), so that
adding a frame does not cost a new tree of everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

__all__ = ["chord", "link_stars", "unit_vectors"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CANDIDATES = 3  # nearest references looked at per tree; two of equal brightness are ambiguous already
BRIGHTNESS_RATIO = 6.0  # detections that differ by more, after the frame's own transparency, are not the same star
MIN_SHARED = 5  # pairs from which the frame's transparency is taken


def link_stars(
    ra: Sequence[ArrayLike], dec: Sequence[ArrayLike], brightness: Sequence[ArrayLike], tolerance: float
) -> list[IntArray]:
    """Give the detections of many frames the numbers of common stars.

    Parameters
    ----------
    ra, dec : per frame (n,) deg
        Sky positions of the detections. NaN positions are not linked.
    brightness : per frame (n,)
        Flux on any scale (the frames may differ by a factor); NaN or <= 0 is unknown and then not compared.
    tolerance : float
        Largest distance between a detection and the first detection of its star, arcsec.

    Returns
    -------
    list of (n,) int64
        Star number per detection, counted from 0 in order of first appearance (a star may have a single detection).
        -1 where two stars, or two detections of the frame, compete within the tolerance at similar brightness.
    """
    references = _References(chord(tolerance))
    return [references.link(unit_vectors(a, d), _log(b)) for a, d, b in zip(ra, dec, brightness, strict=True)]


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> FloatArray:
    """(n, 3) unit vectors of sky positions in degrees."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def chord(arcsec: float) -> float:
    """Distance between unit vectors that are `arcsec` apart."""
    return float(2.0 * np.sin(np.radians(arcsec / 3600.0) / 2.0))


def _log(brightness: ArrayLike) -> FloatArray:
    values = np.asarray(brightness, float)
    return np.log(np.where(values > 0, values, np.nan))


class _References:
    """The growing list: positions in k-d trees of doubling sizes, brightness on the scale of the first frame."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._trees: list[tuple[cKDTree, IntArray]] = []
        self._room = np.empty(1024)  # brightness of the stars, doubled when full: a copy a frame would be quadratic
        self._count = 0

    @property
    def _brightness(self) -> FloatArray:
        return self._room[: self._count]

    def link(self, xyz: FloatArray, brightness: FloatArray) -> IntArray:
        """Star numbers of one frame's detections; those that match nothing become new stars."""
        ids = np.full(len(xyz), -1, np.int64)
        known = np.flatnonzero(np.isfinite(xyz).all(axis=1))
        detection, star = self._pairs(xyz[known])
        detection = known[detection]
        shift = self._transparency(detection, star, brightness)
        alike = _alike(brightness[detection] - shift, self._brightness[star])
        detection, star = detection[alike], star[alike]
        claims = np.bincount(detection, minlength=len(xyz))
        _, place, claimed = np.unique(star, return_inverse=True, return_counts=True)
        clear = (claims[detection] == 1) & (claimed[place] == 1)
        ids[detection[clear]] = star[clear]
        new = known[claims[known] == 0]
        new = new[~self._crowded(xyz[new], brightness[new])]
        ids[new] = self._add(xyz[new], brightness[new] - shift)
        return ids

    def _pairs(self, xyz: FloatArray) -> tuple[IntArray, IntArray]:
        """Pairs (detection, star) within the tolerance."""
        detections, stars = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for tree, numbers in self._trees:
            _, index = tree.query(xyz, k=CANDIDATES, distance_upper_bound=self._limit)
            row, column = np.nonzero(index < len(numbers))
            detections.append(row)
            stars.append(numbers[index[row, column]])
        return np.concatenate(detections), np.concatenate(stars)

    def _transparency(self, detection: IntArray, star: IntArray, brightness: FloatArray) -> float:
        """Median log ratio of the frame's brightness to the references'; 0 when too few are shared."""
        ratio = brightness[detection] - self._brightness[star]
        ratio = ratio[np.isfinite(ratio)]
        return float(np.median(ratio)) if len(ratio) >= MIN_SHARED else 0.0

    def _crowded(self, xyz: FloatArray, brightness: FloatArray) -> NDArray[np.bool_]:
        """Which of the new detections have another new one of similar brightness within the tolerance."""
        crowded = np.zeros(len(xyz), bool)
        if len(xyz) > 1:
            pairs = cKDTree(xyz).query_pairs(self._limit, output_type="ndarray")
            pairs = pairs[_alike(brightness[pairs[:, 0]], brightness[pairs[:, 1]])]
            crowded[pairs.ravel()] = True
        return crowded

    def _add(self, xyz: FloatArray, brightness: FloatArray) -> IntArray:
        new = np.arange(self._count, self._count + len(xyz))
        while self._count + len(xyz) > len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._count += len(xyz)
        self._room[new] = brightness
        points, numbers = xyz, new
        while self._trees and len(points) and len(self._trees[-1][1]) <= 2 * len(points):
            tree, older = self._trees.pop()
            points, numbers = np.concatenate([tree.data, points]), np.concatenate([older, numbers])
        if len(points):
            self._trees.append((cKDTree(points), numbers))
        return new


def _alike(first: FloatArray, second: FloatArray) -> NDArray[np.bool_]:
    """Whether two log brightnesses can be the same star's; unknown ones can."""
    alike: NDArray[np.bool_] = ~(np.abs(first - second) > np.log(BRIGHTNESS_RATIO))
    return alike
