"""Places of stars: a Gaussian fitted to the raw pixels, with an amplitude of its own for each colour.

A windowed centroid of a luminance is drawn by up to 0.1 px towards the pixels of a red or blue star's own colour at
FWHM 2.2 px, since they lie 2 px apart; the fit has no such error, whatever the colour.

The noise of a pixel grows with its light: with equal weights the places of bright stars are 10 to 40 % worse than their photons
allow. The gain of the camera is not known here, so all of the sky's noise counts as that of photons: its variance
over its level is what one ADU more adds (too little where there is a pedestal, which still gives half of what there is to gain).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.photometry import GAUSS
from zemosaic.kernels import places as kernels

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
    place, error = _fitted(raw, colours, sigma, x, y, fwhm)
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
    place, error = _fitted(raw, np.where(own, 0, -1), np.array([sigma]), x, y, fwhm)
    place[~(np.hypot(place[:, 0] - x, place[:, 1] - y) <= FARTHEST)] = np.nan
    return place, error


def _fitted(
    raw: NDArray[np.float32],
    colours: NDArray[np.int64],
    sigma: DoubleArray,
    x: DoubleArray,
    y: DoubleArray,
    fwhm: float,
) -> tuple[DoubleArray, DoubleArray]:
    place, error = np.empty((len(x), 2)), np.empty(len(x))
    half = max(math.ceil(REACH * fwhm), 2)
    kernels.fit_gaussians(raw, colours, sigma, x, y, half, fwhm / GAUSS, STEPS, LONGEST_STEP, RIDGE, place, error)
    return place, np.where(np.isfinite(error), error, FARTHEST)
