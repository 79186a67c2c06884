"""Places of stars: a Gaussian fitted to the raw pixels, with an amplitude of its own for each colour.

A windowed centroid of a luminance is drawn by up to 0.1 px towards the pixels of a red or blue star's own colour at
FWHM 2.2 px, since they lie 2 px apart; the fit has no such error, whatever the colour.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.photometry import GAUSS

__all__ = ["fit_places"]

DoubleArray = NDArray[np.float64]

REACH = 1.25  # of the FWHM, half the side of the square that is fitted
STEPS = 5
LONGEST_STEP = 0.5  # px
FARTHEST = 1.0  # px from the first guess; beyond it the guess is kept
RIDGE = 1e-6  # of the diagonal: a colour without pixels in the square keeps the equations solvable


def fit_places(
    raw: NDArray[np.float32],
    colours: NDArray[np.int64],
    sigma: DoubleArray,
    x: DoubleArray,
    y: DoubleArray,
    fwhm: float,
) -> tuple[DoubleArray, DoubleArray]:
    """Least-squares places of stars (Gauss-Newton; unknowns: place, and amplitude and sky of each colour).

    raw : (h, w) float32, ADU
    colours : (2, 2) channel of the pixel at (y % 2, x % 2)
    sigma : (channels,) ADU, sky noise, gives the weights
    x, y : (n,) px, first guess
    fwhm : px, of all stars
    """
    h, w = raw.shape
    half = max(math.ceil(REACH * fwhm), 2)
    steps = np.arange(-half, half + 1)
    iy, ix = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    iy, ix = np.rint(y).astype(int)[:, None] + iy, np.rint(x).astype(int)[:, None] + ix
    inside = (iy >= 0) & (iy < h) & (ix >= 0) & (ix < w)
    iy, ix = iy.clip(0, h - 1), ix.clip(0, w - 1)
    channel = colours[iy % 2, ix % 2]
    values = raw[iy, ix].astype(np.float64)
    weight = inside / sigma[channel] ** 2
    one_of = channel[..., None] == np.arange(len(sigma))
    px, py = x.copy(), y.copy()
    for _ in range(STEPS):
        step = _step(ix - px[:, None], iy - py[:, None], values, weight, one_of, fwhm / GAUSS)
        px, py = px + step[:, 0], py + step[:, 1]
    good = np.hypot(px - x, py - y) <= FARTHEST
    return np.where(good, px, x), np.where(good, py, y)


def _step(
    dx: DoubleArray, dy: DoubleArray, values: DoubleArray, weight: DoubleArray, one_of: NDArray[np.bool_], s: float
) -> DoubleArray:
    """(n, 2) px, how far to move each star: first the amplitudes at the present place, then all unknowns together."""
    profile = np.exp(-0.5 * (dx**2 + dy**2) / s**2)
    linear = np.concatenate([one_of * profile[..., None], one_of.astype(float)], axis=2)
    found = _solve(linear, values, weight)
    residual = values - np.einsum("nmk,nk->nm", linear, found)
    amplitude = np.einsum("nmc,nc->nm", one_of, found[:, : one_of.shape[2]])
    slopes = (amplitude * profile / s**2)[..., None] * np.stack([dx, dy], axis=2)
    step = _solve(np.concatenate([slopes, linear], axis=2), residual, weight)[:, :2]
    return np.clip(np.nan_to_num(step), -LONGEST_STEP, LONGEST_STEP)


def _solve(design: DoubleArray, values: DoubleArray, weight: DoubleArray) -> DoubleArray:
    """(n, k) weighted least squares for each star: design (n, m, k), values and weight (n, m)."""
    scaled = design * weight[..., None]
    normal = np.swapaxes(scaled, 1, 2) @ design
    right = np.einsum("nmk,nm->nk", scaled, values)
    diagonal = np.einsum("nkk->nk", normal)
    diagonal += RIDGE * diagonal + 1e-30
    result: DoubleArray = np.linalg.solve(normal, right[..., None])[..., 0]
    return result
