"""Panels: frames that point at the same place."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["group_pointings", "mean_direction", "unit_vectors"]

FloatArray = NDArray[np.float64]
ROUNDS = 10


def unit_vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    """(n, 3) directions of sky positions in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def mean_direction(vectors: FloatArray) -> tuple[float, float]:
    """(ra, dec), degrees, of the mean of (n, 3) directions."""
    x, y, z = vectors.mean(axis=0)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def group_pointings(ra: FloatArray, dec: FloatArray, threshold: float) -> NDArray[np.int64]:
    """Group of each pointing: leader clustering, then each pointing goes to the nearest group centre.

    ra, dec : (n,) degrees; threshold : degrees from the centre of a group within which a pointing belongs to it.
    Unlike single linkage it cannot chain dithered panels that overlap into one. Groups are numbered in the order of their first
    member; the work is n times the number of groups.
    """
    vectors = unit_vectors(np.asarray(ra, float), np.asarray(dec, float))
    least = math.cos(math.radians(threshold))
    centres: list[FloatArray] = []
    for vector in vectors:
        if not centres or np.max(np.asarray(centres) @ vector) < least:
            centres.append(vector)
    middle = np.asarray(centres)
    labels = np.argmax(vectors @ middle.T, axis=1)
    for _ in range(ROUNDS):
        for k in range(len(middle)):
            if np.any(labels == k):
                mean = vectors[labels == k].mean(axis=0)
                middle[k] = mean / np.linalg.norm(mean)
        new = np.argmax(vectors @ middle.T, axis=1)
        if np.array_equal(new, labels):
            break
        labels = new
    _, first, renamed = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[renamed].astype(np.int64)
