"""Weights of sightings from their residuals: the scatter of each frame, and what is left of outliers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MEDIAN_NORM", "NORMAL_MAD", "robust_weight", "scatter_of_frames"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NORMAL_MAD = 1.4826  # sigma over median absolute deviation of a normal distribution
MEDIAN_NORM = 1.1774  # median length of a two-dimensional unit Gaussian
HUBER, TUKEY = 2.0, 6.0  # sigma
MIN_FOR_SCATTER = 8  # sightings from which a frame's own scatter is taken


def scatter_of_frames(norm: FloatArray, frame: IntArray, frames: int) -> FloatArray:
    """(f,) factor on the expected errors, at least 1, from the residuals of each frame."""
    heard = np.isfinite(norm)
    overall = max(1.0, float(np.median(norm[heard])) / MEDIAN_NORM) if heard.any() else 1.0
    norm, frame = norm[heard], frame[heard]
    ordered = norm[np.lexsort((norm, frame))]
    count = np.bincount(frame, minlength=frames)
    enough = count >= MIN_FOR_SCATTER
    middle = (np.cumsum(count) - count)[enough] + count[enough] // 2
    scatter = np.full(frames, overall)
    scatter[enough] = np.maximum(1.0, ordered[middle] / MEDIAN_NORM)
    return scatter


def robust_weight(norm: FloatArray, strict: bool) -> FloatArray:
    """Weight of residuals in sigma: Tukey's biweight (outliers get 0) or Huber's; NaN (cannot be judged) gets 1."""
    norm = np.nan_to_num(norm)
    if strict:
        return np.asarray(np.clip(1.0 - (norm / TUKEY) ** 2, 0.0, None) ** 2)
    return np.asarray(HUBER / np.maximum(norm, HUBER))
