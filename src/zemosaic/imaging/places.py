"""Places of stars: a Gaussian fitted to the raw pixels, with an amplitude of its own for each colour.

A windowed centroid of a luminance is drawn by up to 0.1 px towards the pixels of a red or blue star's own colour at
FWHM 2.2 px, since they lie 2 px apart; the fit has no such error, whatever the colour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.photometry import GAUSS

__all__ = ["fit_places", "places_in_colour"]

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
    stamps = _stamps(raw.shape, x, y, fwhm)
    channel = colours[stamps.iy % 2, stamps.ix % 2]
    weight = stamps.inside / sigma[channel] ** 2
    one_of = channel[..., None] == np.arange(len(sigma))
    px, py = _settled(raw, stamps, weight, one_of, x, y, fwhm)
    good = np.hypot(px - x, py - y) <= FARTHEST
    return np.where(good, px, x), np.where(good, py, y)


def places_in_colour(
    raw: NDArray[np.float32],
    own: NDArray[np.bool_],
    sigma: float,
    x: DoubleArray,
    y: DoubleArray,
    fwhm: float,
) -> tuple[DoubleArray, DoubleArray]:
    """Places (n, 2) of stars from the pixels of one colour alone, px, and the errors (n,) that the sky's noise leaves them.

    own : (2, 2) bool, which pixels (y % 2, x % 2) have the colour; sigma : ADU, their sky noise. The rest as in `fit_places`;
    what runs away from its first guess is NaN.
    """
    stamps = _stamps(raw.shape, x, y, fwhm)
    weight = (stamps.inside & own[stamps.iy % 2, stamps.ix % 2]) / sigma**2
    one_of = np.ones((*stamps.iy.shape, 1), np.bool_)
    px, py = _settled(raw, stamps, weight, one_of, x, y, fwhm)
    design, _ = _model(stamps.ix - px[:, None], stamps.iy - py[:, None], stamps.of(raw), weight, one_of, fwhm / GAUSS)
    covariance = np.linalg.inv(_normal(design, weight))
    error = np.sqrt(0.5 * (covariance[:, 0, 0] + covariance[:, 1, 1]))
    place = np.stack([px, py], axis=1)
    place[~(np.hypot(px - x, py - y) <= FARTHEST)] = np.nan
    return place, error


@dataclass(frozen=True)
class _Stamps:
    """Pixels (n, m) of the squares that are fitted, clipped into the frame."""

    iy: NDArray[np.intp]
    ix: NDArray[np.intp]
    inside: NDArray[np.bool_]

    def of(self, raw: NDArray[np.float32]) -> DoubleArray:
        return raw[self.iy, self.ix].astype(np.float64)


def _stamps(shape: tuple[int, ...], x: DoubleArray, y: DoubleArray, fwhm: float) -> _Stamps:
    h, w = shape
    half = max(math.ceil(REACH * fwhm), 2)
    steps = np.arange(-half, half + 1)
    iy, ix = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    iy, ix = np.rint(y).astype(np.intp)[:, None] + iy, np.rint(x).astype(np.intp)[:, None] + ix
    inside = (iy >= 0) & (iy < h) & (ix >= 0) & (ix < w)
    return _Stamps(iy.clip(0, h - 1), ix.clip(0, w - 1), inside)


def _settled(
    raw: NDArray[np.float32],
    stamps: _Stamps,
    weight: DoubleArray,
    one_of: NDArray[np.bool_],
    x: DoubleArray,
    y: DoubleArray,
    fwhm: float,
) -> tuple[DoubleArray, DoubleArray]:
    """Places after a few steps from the first guess."""
    values, px, py = stamps.of(raw), x.copy(), y.copy()
    for _ in range(STEPS):
        step = _step(stamps.ix - px[:, None], stamps.iy - py[:, None], values, weight, one_of, fwhm / GAUSS)
        px, py = px + step[:, 0], py + step[:, 1]
    return px, py


def _step(
    dx: DoubleArray, dy: DoubleArray, values: DoubleArray, weight: DoubleArray, one_of: NDArray[np.bool_], s: float
) -> DoubleArray:
    """(n, 2) px, how far to move each star: first the amplitudes at the present place, then all unknowns together."""
    design, residual = _model(dx, dy, values, weight, one_of, s)
    step = _solve(design, residual, weight)[:, :2]
    return np.clip(np.nan_to_num(step), -LONGEST_STEP, LONGEST_STEP)


def _model(
    dx: DoubleArray, dy: DoubleArray, values: DoubleArray, weight: DoubleArray, one_of: NDArray[np.bool_], s: float
) -> tuple[DoubleArray, DoubleArray]:
    """Derivatives (n, m, k) by place, amplitudes and skies at the best amplitudes here, and what these leave (n, m)."""
    profile = np.exp(-0.5 * (dx**2 + dy**2) / s**2)
    linear = np.concatenate([one_of * profile[..., None], one_of.astype(float)], axis=2)
    found = _solve(linear, values, weight)
    residual = values - np.einsum("nmk,nk->nm", linear, found)
    amplitude = np.einsum("nmc,nc->nm", one_of, found[:, : one_of.shape[2]])
    slopes = (amplitude * profile / s**2)[..., None] * np.stack([dx, dy], axis=2)
    return np.concatenate([slopes, linear], axis=2), residual


def _solve(design: DoubleArray, values: DoubleArray, weight: DoubleArray) -> DoubleArray:
    """(n, k) weighted least squares for each star: design (n, m, k), values and weight (n, m)."""
    right = np.einsum("nmk,nm->nk", design * weight[..., None], values)
    result: DoubleArray = np.linalg.solve(_normal(design, weight), right[..., None])[..., 0]
    return result


def _normal(design: DoubleArray, weight: DoubleArray) -> DoubleArray:
    """(n, k, k) normal matrices, with a ridge that keeps them solvable."""
    normal: DoubleArray = np.swapaxes(design * weight[..., None], 1, 2) @ design
    diagonal = np.einsum("nkk->nk", normal)
    diagonal += RIDGE * diagonal + 1e-30
    return normal
