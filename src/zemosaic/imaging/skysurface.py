"""Smooth surfaces over a frame: polynomials of offsets (u, v) from its centre in units of its half-diagonal.

A surface is its coefficients, ascending by degree: c0 + c1 u + c2 v + c3 u^2 + c4 u v + c5 v^2 + c6 u^3 + ...; 3 make a plane.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

__all__ = [
    "BENT",
    "DEGREE",
    "PATTERN",
    "PLANE",
    "TERMS",
    "pattern_basis",
    "pattern_powers",
    "pattern_surface",
    "surface_at",
    "surface_basis",
]

FloatArray = NDArray[np.float64]

DEGREE = 6
EXPONENTS = tuple((d - j, j) for d in range(DEGREE + 1) for j in range(d + 1))
TERMS = len(EXPONENTS)
PLANE = 3
BENT = 6  # coefficients of a second-order surface
PATTERN = TERMS - PLANE  # surfaces that are no plane
ORDERS = EXPONENTS[PLANE:]  # of the Legendre polynomials in u and v


def _powers(base: FloatArray) -> list[FloatArray]:
    powers = [np.ones_like(base), base]
    for _ in range(2, DEGREE + 1):
        powers.append(powers[-1] * base)
    return powers


def surface_basis(u: FloatArray, v: FloatArray, terms: int = TERMS) -> FloatArray:
    """(..., terms): 1, u, v, u^2, u v, v^2, ..."""
    of_u, of_v = _powers(u), _powers(v)
    return np.stack([of_u[i] * of_v[j] for i, j in EXPONENTS[:terms]], axis=-1)


def surface_at(coefficients: Sequence[float], u: FloatArray, v: FloatArray) -> FloatArray:
    """The surface at (u, v), broadcast together, in the unit of its coefficients (up to `TERMS` of them)."""
    of_u, of_v = _powers(u), _powers(v)
    value = np.zeros(np.broadcast(u, v).shape)
    for power in range(DEGREE + 1):
        terms = [c * of_u[i] for (i, j), c in zip(EXPONENTS, coefficients) if j == power and c != 0.0]
        if terms:
            value += np.sum(terms, axis=0) * of_v[power]
    return value


def pattern_basis(u: FloatArray, v: FloatArray, half: tuple[float, float]) -> FloatArray:
    """(n, PATTERN): products of Legendre polynomials that are no plane, over |u| <= half[0], |v| <= half[1]."""
    x, y = legendre.legvander(u / half[0], DEGREE), legendre.legvander(v / half[1], DEGREE)
    return np.stack([x[:, i] * y[:, j] for i, j in ORDERS], axis=1)


def pattern_powers(coefficients: FloatArray, half: tuple[float, float]) -> FloatArray:
    """(DEGREE + 1, DEGREE + 1) coefficients of u^i v^j of the surface that is this sum of `pattern_basis`."""
    power = np.zeros((DEGREE + 1, DEGREE + 1))
    for (i, j), coefficient in zip(ORDERS, coefficients):
        x, y = legendre.leg2poly(np.eye(i + 1)[i]), legendre.leg2poly(np.eye(j + 1)[j])
        power[: i + 1, : j + 1] += coefficient * np.outer(x, y)
    exponents = np.arange(DEGREE + 1)
    scaled: FloatArray = power / np.outer(half[0] ** exponents, half[1] ** exponents)
    return scaled


def pattern_surface(coefficients: FloatArray, half: tuple[float, float]) -> FloatArray:
    """(TERMS,) coefficients of the surface that is this sum of `pattern_basis`."""
    powers = pattern_powers(coefficients, half)
    return np.array([powers[i, j] for i, j in EXPONENTS])
