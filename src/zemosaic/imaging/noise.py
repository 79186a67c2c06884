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
from zemosaic.kernels import noise as kernels

__all__ = ["colour_index", "cut_variance", "local_sigma", "noise_growth", "sky_noise"]

FloatArray = NDArray[np.float32]
TILE = 16  # pairs; the choice of faint places is made within tiles of this size
CUT = 4.0  # sigma; differences beyond it are hot pixels and stars. So wide that the steps of integers hardly move it
CUT_VARIANCE = 0.99893  # variance of a unit Gaussian cut at +-CUT
STEPS = 4
MANY_TILES = 64
ENOUGH_TILES = 200  # of a plane, at each turn: 50 000 pixels and more in quiet places, known to 0.3 % then
BLOCK = 256  # px, in which noise and level of the sky are compared; 0.8 % of the noise
FEWEST_BLOCKS = 6
QUIETEST = 0.25  # variance of a pixel over that of the frame, at least


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


def _quiet_pairs(plane: FloatArray, turn: int) -> tuple[FloatArray, float]:
    """Differences of horizontal neighbours in the fainter half of all places, and the share of zeros among their pixels.

    Whole tiles are looked at, what is left over at the far edges is dropped, a small plane is one tile. Of a plane with many
    tiles each turn takes others, every second or so few that they are enough.
    """
    h, w = plane.shape[0] - 2, (plane.shape[1] - 2) // 2  # pairs
    rows, columns = min(TILE, h), min(TILE, w)
    tiles = (h // rows) * (w // columns)
    step = max(2 if tiles >= MANY_TILES else 1, tiles // ENOUGH_TILES)
    first = turn * step // 2
    sums, left, right = (np.empty((len(range(first, tiles, step)), rows * columns), np.float32) for _ in range(3))
    kernels.pairs_in_tiles(plane, rows, columns, first, step, sums, left, right)
    middle = sums.shape[1] // 2
    median = np.partition(sums, middle, axis=1)[:, middle, None]
    quiet = (sums <= median) & (sums != 0)  # nothing but 0 around is the black border of a registered frame
    left, right = left[quiet], right[quiet]
    difference = left - right
    known = np.isfinite(difference)
    if not known.any():
        return difference[known], 0.0
    zeros = np.count_nonzero(left[known] == 0) + np.count_nonzero(right[known] == 0)
    return difference[known], zeros / (2 * np.count_nonzero(known))


def _clipped_sigma(differences: FloatArray) -> float:
    """Standard deviation of a Gaussian core: values beyond CUT sigma are left out, the loss is put back."""
    sigma = 1.4826 * float(np.median(np.abs(differences))) or math.sqrt(kernels.core_square(differences, np.inf))
    for _ in range(STEPS):
        sigma = math.sqrt(kernels.core_square(differences, CUT * sigma) / CUT_VARIANCE)
    return sigma


def _plane_noise(subplanes: list[FloatArray]) -> float:
    parts = [_quiet_pairs(turned, k) for plane in subplanes for k, turned in enumerate((plane, plane.T))]
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


def noise_growth(data: FloatArray, pattern: str | None) -> tuple[float, ...]:
    """Variance that a sky pixel gains with each ADU of its level, per channel; 0 where the frame does not tell.

    From the noise of blocks against their median levels, which differ by vignetting and gradient: photons give a straight line.

    data : (h, w) float32, ADU, straight from the sensor
    """
    index = colour_index(pattern)
    corners = [
        (y, x) for y in range(0, data.shape[0] - BLOCK + 1, BLOCK) for x in range(0, data.shape[1] - BLOCK + 1, BLOCK)
    ]
    growth = []
    for channel in range(int(index.max()) + 1):
        phases = [(int(y), int(x)) for y, x in np.argwhere(index == channel)]
        level, variance = np.zeros(len(corners)), np.zeros(len(corners))
        for k, (y0, x0) in enumerate(corners):
            block = data[y0 : y0 + BLOCK, x0 : x0 + BLOCK]
            parts = [np.ascontiguousarray(block[y::2, x::2]) for y, x in phases]
            level[k] = float(np.nanmean([np.nanmedian(part) for part in parts]))
            variance[k] = _plane_noise(parts) ** 2
        growth.append(_slope(level, variance))
    return tuple(growth)


def _slope(level: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
    """Of the line through the blocks, if it rises by more than twice its error; no line of photons falls below 0 at level 0."""
    good = np.isfinite(level) & (variance > 0)
    if np.count_nonzero(good) < FEWEST_BLOCKS:
        return 0.0
    x, y = level[good] - level[good].mean(), variance[good] - variance[good].mean()
    square = float(x @ x)
    if not square > 0:
        return 0.0
    slope = float(x @ y) / square
    error = math.sqrt(float(np.sum((y - slope * x) ** 2)) / (len(x) - 2) / square)
    most = float(variance[good].mean()) / max(float(level[good].mean()), 1e-9)
    return min(slope, most) if slope > 2.0 * error else 0.0


def local_sigma(
    mean: NDArray[np.float64] | FloatArray, sigma: float, growth: float, level: float
) -> NDArray[np.float64]:
    """ADU, noise of pixels where `mean` is expected, from that of the frame, `sigma` at its sky `level`."""
    square = sigma**2 + growth * (np.asarray(mean, np.float64) - level)
    return np.sqrt(np.maximum(square, QUIETEST * sigma**2))
