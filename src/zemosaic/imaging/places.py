"""Places of stars: a Gaussian fitted to the raw pixels, with an amplitude of its own for each colour.

A windowed centroid of a luminance is drawn by up to 0.1 px towards the pixels of a red or blue star's own colour at
FWHM 2.2 px, since they lie 2 px apart; the fit has no such error, whatever the colour.

The noise of a pixel grows with its light: with equal weights the places of bright stars are 10 to 40 % worse than their photons
allow. The gain of the camera is not known here, so all of the sky's noise counts as that of photons: its variance
over its level is what one ADU more adds (too little where there is a pedestal, which still gives half of what there is to gain).
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
    """Least-squares places (n, 2) of stars, px, and their errors (n,) px per axis from the noise.

    Gauss-Newton; unknowns: place, and amplitude and sky of each colour. What runs away keeps its first guess, and is so wrong.

    raw : (h, w) float32, ADU
    colours : (2, 2) channel of the pixel at (y % 2, x % 2)
    sigma : (channels,) ADU, sky noise
    x, y : (n,) px, first guess
    fwhm : px, of all stars
    """
    iy, ix, inside = _squares(raw.shape, x, y, fwhm)
    channel = colours[iy % 2, ix % 2]
    one_of = channel[..., None] == np.arange(len(sigma))
    stamps = _Stamps(iy, ix, raw[iy, ix].astype(np.float64), inside, sigma[channel], one_of, fwhm / GAUSS)
    place, error = stamps.settled(x, y)
    lost = ~(np.hypot(place[:, 0] - x, place[:, 1] - y) <= FARTHEST)
    place[lost] = np.column_stack([x, y])[lost]
    error[lost] = FARTHEST
    return place, error


def places_in_colour(
    raw: NDArray[np.float32],
    own: NDArray[np.bool_],
    sigma: float,
    x: DoubleArray,
    y: DoubleArray,
    fwhm: float,
) -> tuple[DoubleArray, DoubleArray]:
    """Places (n, 2) of stars from the pixels of one colour alone, px, and the errors (n,) that the noise leaves them.

    own : (2, 2) bool, which pixels (y % 2, x % 2) have the colour; sigma : ADU, their sky noise. The rest as in `fit_places`;
    what runs away from its first guess is NaN.
    """
    iy, ix, inside = _squares(raw.shape, x, y, fwhm)
    one_of = np.ones((*iy.shape, 1), np.bool_)
    noise = np.full(iy.shape, sigma)
    used = inside & own[iy % 2, ix % 2]
    stamps = _Stamps(iy, ix, raw[iy, ix].astype(np.float64), used, noise, one_of, fwhm / GAUSS)
    place, error = stamps.settled(x, y)
    place[~(np.hypot(place[:, 0] - x, place[:, 1] - y) <= FARTHEST)] = np.nan
    return place, error


def _squares(
    shape: tuple[int, ...], x: DoubleArray, y: DoubleArray, fwhm: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Rows and columns (n, m) of the pixels around each star, clipped into the frame, and whether they are in it."""
    h, w = shape
    half = max(math.ceil(REACH * fwhm), 2)
    steps = np.arange(-half, half + 1)
    iy, ix = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    iy, ix = np.rint(y).astype(np.intp)[:, None] + iy, np.rint(x).astype(np.intp)[:, None] + ix
    inside = (iy >= 0) & (iy < h) & (ix >= 0) & (ix < w)
    return iy.clip(0, h - 1), ix.clip(0, w - 1), inside


@dataclass(frozen=True)
class _Stamps:
    """The pixels (n, m) around n stars, and what is fitted to them."""

    iy: NDArray[np.intp]
    ix: NDArray[np.intp]
    values: DoubleArray  # ADU
    used: NDArray[np.bool_]
    sigma: DoubleArray  # ADU, sky noise
    one_of: NDArray[np.bool_]  # (n, m, channels) the colour of each
    s: float  # px, width of the profile

    def settled(self, x: DoubleArray, y: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Places (n, 2) after a few steps from the first guess, and their errors (n,) px per axis."""
        px, py, sky_weight = x.copy(), y.copy(), self.used / self.sigma**2
        weight = sky_weight
        for _ in range(STEPS):
            design, residual, light = self.model(px, py, weight)
            step = np.clip(np.nan_to_num(_solve(design, residual, weight)[:, :2]), -LONGEST_STEP, LONGEST_STEP)
            px, py = px + step[:, 0], py + step[:, 1]
            weight = sky_weight / (1.0 + light)
        covariance = np.linalg.inv(_normal(self.model(px, py, weight)[0], weight))
        error = np.sqrt(0.5 * (covariance[:, 0, 0] + covariance[:, 1, 1]))
        return np.column_stack([px, py]), np.where(np.isfinite(error), error, FARTHEST)

    def model(
        self, px: DoubleArray, py: DoubleArray, weight: DoubleArray
    ) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """Derivatives (n, m, k) by place, amplitudes and skies, at the best amplitudes for a place.

        Also what these leave (n, m), and the light of the star over that of the sky (n, m).
        """
        dx, dy = self.ix - px[:, None], self.iy - py[:, None]
        profile = np.exp(-0.5 * (dx**2 + dy**2) / self.s**2)
        linear = np.concatenate([self.one_of * profile[..., None], self.one_of.astype(float)], axis=2)
        found = _solve(linear, self.values, weight)
        residual = self.values - np.einsum("nmk,nk->nm", linear, found)
        amplitude, sky = (np.einsum("nmc,nc->nm", self.one_of, part) for part in np.split(found, 2, axis=1))
        star = amplitude * profile
        slopes = (star / self.s**2)[..., None] * np.stack([dx, dy], axis=2)
        light = np.maximum(star, 0.0) / np.maximum(sky, self.sigma)  # a sky near 0 has lost its pedestal
        return np.concatenate([slopes, linear], axis=2), residual, np.nan_to_num(light)


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
