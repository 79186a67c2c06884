"""Radial sensor response F (vignetting), one per instrument: F = 1 + r1 rho^2 + r2 rho^4, F(centre) = 1, achromatic.

rho is the distance to the frame's centre over its half-diagonal: 1 in the corners. Linear terms are left out on
purpose: on equatorial sets they are degenerate with the gains. A response derived from star fluxes, which are sums
over pixels, does not contain the pixel's solid angle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zemosaic.imaging.projection import pixel_area
from zemosaic.model import Solution

__all__ = [
    "RADIAL_TERMS",
    "frame_coordinates",
    "half_diagonal",
    "is_significant",
    "radial_powers",
    "response",
    "response_to_stars",
]

FloatArray = NDArray[np.float64]
RADIAL_TERMS = 2
SIGNIFICANT_CHI2 = 11.83  # 3 sigma of a chi^2 with two degrees of freedom


def half_diagonal(width: int, height: int) -> float:
    """Distance from the centre of a frame to its corner, px."""
    return 0.5 * math.hypot(width, height)


def frame_coordinates(x: ArrayLike, y: ArrayLike, width: int, height: int) -> tuple[FloatArray, FloatArray]:
    """(u, v): offset from the frame's centre over the half-diagonal."""
    radius = half_diagonal(width, height)
    u = (np.asarray(x, float) - 0.5 * (width - 1)) / radius
    v = (np.asarray(y, float) - 0.5 * (height - 1)) / radius
    return u, v


def radial_powers(rho2: ArrayLike) -> FloatArray:
    """(..., RADIAL_TERMS): rho^2, rho^4 of rho squared."""
    square = np.asarray(rho2, float)
    return np.stack([square ** (k + 1) for k in range(RADIAL_TERMS)], axis=-1)


def response(coefficients: Sequence[float], rho2: ArrayLike) -> FloatArray:
    """F at rho squared; no coefficients mean a flat response."""
    square = np.asarray(rho2, float)
    result = np.ones_like(square)
    for k, coefficient in enumerate(coefficients):
        result = result + coefficient * square ** (k + 1)
    return result


def response_to_stars(
    coefficients: Sequence[float], solution: Solution, x: ArrayLike, y: ArrayLike, width: int, height: int
) -> FloatArray:
    """What the flux of a star at (x, y) of a flat-fielded frame has been multiplied by.

    The smooth part of the flat that is left in the pixels, over their solid angle in units of that in the frame's centre:
    the flat holds it, and a star's flux is a sum over pixels.

    coefficients : of the smooth part.
    """
    u, v = frame_coordinates(x, y, width, height)
    centre = pixel_area(solution, 0.5 * (width - 1), 0.5 * (height - 1))
    return np.asarray(response(coefficients, u * u + v * v) * centre / pixel_area(solution, x, y))


def is_significant(coefficients: FloatArray, covariance: FloatArray) -> bool:
    """Whether the coefficients differ from a flat response by more than 3 sigma, and describe a sensor (F > 0.2)."""
    chi2 = float(coefficients @ np.linalg.solve(covariance, coefficients))
    lowest = float(response(coefficients.tolist(), np.linspace(0.0, 1.0, 21)).min())
    return chi2 > SIGNIFICANT_CHI2 and lowest > 0.2
