"""Noise of one raw sky pixel, from differences of neighbours of the same colour.

Differences are blind to gradients and nebula. Stars are kept out by looking only at pairs of pixels whose ten
neighbours are together fainter than in half of the places near by: those neighbours say nothing about the pair's own
noise, so the choice does not bias it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from zemosaic.imaging.demosaic import cfa_colours

__all__ = ["colour_index", "cut_variance", "sky_noise"]

FloatArray = NDArray[np.float32]
TILE = 16  # pairs; the choice of faint places is made within tiles of this size
CUT = 4.0  # sigma; differences beyond it are hot pixels and stars. So wide that the steps of integers hardly move it
CUT_VARIANCE = 0.99893  # variance of a unit Gaussian cut at +-CUT
STEPS = 4


def colour_index(pattern: str | None) -> NDArray[np.int64]:
    """(2, 2) channel of the pixel at (y % 2, x % 2); all 0 without a colour filter array."""
    return cfa_colours(pattern) if pattern else np.zeros((2, 2), np.int64)


def cut_variance(share: float) -> float:
    """Variance of a unit Gaussian cut at 0, max(0, x), of which `share` lies at 0 (censored normal distribution)."""
    if share <= 0.0:
        return 1.0
    z = -float(ndtri(share))
    phi = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    mean = z * (1 - share) + phi
    return float((z * z + 1) * (1 - share) + z * phi - mean * mean)


def _tiles(values: FloatArray) -> FloatArray:
    """(n, TILE * TILE): whole tiles of an array; what is left over at the far edges is dropped, a small array is one tile."""
    h, w = values.shape
    ty, tx = min(TILE, h), min(TILE, w)
    whole = values[: h // ty * ty, : w // tx * tx]
    return whole.reshape(h // ty, ty, w // tx, tx).swapaxes(1, 2).reshape(-1, ty * tx)


def _quiet_pairs(plane: FloatArray) -> tuple[FloatArray, float]:
    """Differences of horizontal neighbours in the fainter half of all places, and the share of zeros among their pixels."""
    first, second = plane[1:-1, 1:-2:2], plane[1:-1, 2:-1:2]
    around = plane[:-2, 1:-2:2] + plane[:-2, 2:-1:2] + plane[2:, 1:-2:2] + plane[2:, 2:-1:2]
    for rows in (slice(None, -2), slice(1, -1), slice(2, None)):
        around = around + plane[rows, 0:-3:2] + plane[rows, 3::2]
    sums = _tiles(around)
    middle = sums.shape[1] // 2
    median = np.partition(sums, middle, axis=1)[:, middle, None]
    quiet = (sums <= median) & (sums != 0)  # nothing but 0 around is the black border of a registered frame
    left, right = _tiles(first)[quiet], _tiles(second)[quiet]
    known = np.isfinite(left - right)
    left, right = left[known], right[known]
    if left.size == 0:
        return left, 0.0
    return left - right, float(np.mean(left == 0) + np.mean(right == 0)) / 2


def _clipped_sigma(differences: FloatArray) -> float:
    """Standard deviation of a Gaussian core: values beyond CUT sigma are left out, the loss is put back."""
    values = np.abs(differences.astype(np.float64))
    sigma = 1.4826 * float(np.median(values)) or float(np.sqrt(np.mean(values**2)))
    for _ in range(STEPS):
        kept = values[values <= CUT * sigma]
        sigma = float(np.sqrt(np.mean(kept**2) / CUT_VARIANCE))
    return sigma


def _plane_noise(subplanes: list[FloatArray]) -> float:
    parts = [_quiet_pairs(turned) for plane in subplanes for turned in (plane, plane.T)]
    differences = np.concatenate([part[0] for part in parts])
    if differences.size == 0:
        return 0.0
    share = sum(part[0].size * part[1] for part in parts) / differences.size
    return _clipped_sigma(differences) / math.sqrt(2 * cut_variance(share))


def sky_noise(data: FloatArray, pattern: str | None) -> tuple[float, ...]:
    """Standard deviation of one raw sky pixel, ADU, per channel; 0 where there is no information.

    Frames cut at 0 give the noise before the cut. The neighbours lie 2 px apart, with or without a colour filter array.

    data : (h, w) or (3, h, w) float32, ADU; at least 8 x 8 px; NaN is no data
    pattern : of the colour filter array; None for mono and for three planes
    """
    planes = data if data.ndim == 3 else data[None]
    index = colour_index(pattern)
    sigma = []
    for plane in planes:
        for channel in range(int(index.max()) + 1):
            phases = [(int(y), int(x)) for y, x in np.argwhere(index == channel)]
            sigma.append(_plane_noise([plane[y::2, x::2] for y, x in phases]))
    return tuple(sigma)
