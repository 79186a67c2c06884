"""Distortion of a frame, pixels about the reference pixel in and out: a polynomial, then radial terms on top of it.

The radial terms are what a refinement finds for an instrument; the polynomial is what a user's header says (SIP, TPV or
anything else that is smooth), fitted once to the places that astropy gives. Both are SIP polynomials (Shupe et al. 2005,
ASP Conf. 347, 491), and so is, to 0.002 px, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zemosaic.model import Distortion, Polynomial

__all__ = ["as_sip", "bend", "exponents", "fit_terms", "gradient", "nodes", "order_of", "stretch", "typical", "unbend"]

FloatArray = NDArray[np.float64]
INVERSE_STEPS = 60  # a polynomial that stretches by 0.5, more than any header may, gains a digit in 3.3 steps
RADIAL_STEPS = 20
TOLERANCE = 1e-6  # px
NODES = 15  # along each side of a frame, on which distortions are fitted and compared
HIGHEST_ORDER = 9  # of SIP
SIP_ERROR = 0.002  # px
MOST_COMPARED = 200  # polynomials whose median is taken


def bend(distortion: Distortion, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Offsets from the reference pixel, px, as they would be without distortion."""
    if distortion.polynomial is not None:
        x, y = _displacement(distortion.polynomial, u, v)
        u, v = u + x, v + y
    rho2 = (u * u + v * v) / distortion.radius**2
    factor = 1.0 + rho2 * (distortion.k3 + rho2 * distortion.k5)
    return u * factor, v * factor


def unbend(distortion: Distortion, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverse of `bend`."""
    u, v = _without_radial(distortion, u, v)
    if distortion.polynomial is None:
        return u, v
    a, b = u, v
    for _ in range(INVERSE_STEPS):
        x, y = _displacement(distortion.polynomial, a, b)
        moved = np.abs(u - x - a) + np.abs(v - y - b)
        a, b = u - x, v - y
        if not np.any(moved > TOLERANCE):
            break
    return a, b


def _without_radial(distortion: Distortion, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverse of the radial part by Newton steps on the radius."""
    if distortion.k3 == 0.0 and distortion.k5 == 0.0:
        return u, v
    target = np.hypot(u, v) / distortion.radius
    rho = target.copy()
    for _ in range(RADIAL_STEPS):
        rho2 = rho * rho
        value = rho * (1.0 + rho2 * (distortion.k3 + rho2 * distortion.k5)) - target
        slope = 1.0 + rho2 * (3.0 * distortion.k3 + 5.0 * rho2 * distortion.k5)
        step = value / np.where(np.abs(slope) > 0.1, slope, 0.1)
        rho = rho - step
        if not np.any(np.abs(step) * distortion.radius > TOLERANCE):
            break
    factor = np.where(target > 0, rho / np.where(target > 0, target, 1.0), 1.0)
    return u * factor, v * factor


def stretch(distortion: Distortion, u: FloatArray, v: FloatArray) -> FloatArray:
    """Area of a bent pixel over that of the pixel: determinant of the derivative of `bend`."""
    area = np.ones(np.broadcast(u, v).shape)
    if distortion.polynomial is not None:
        (xx, xy), (yx, yy) = gradient(distortion.polynomial, u, v)
        area = (1.0 + xx) * (1.0 + yy) - xy * yx
        x, y = _displacement(distortion.polynomial, u, v)
        u, v = u + x, v + y
    rho2 = (u * u + v * v) / distortion.radius**2
    radial = 1.0 + rho2 * (3.0 * distortion.k3 + 5.0 * rho2 * distortion.k5)
    tangential = 1.0 + rho2 * (distortion.k3 + rho2 * distortion.k5)
    result: FloatArray = area * radial * tangential
    return result


def exponents(order: int, lowest: int = 2) -> list[tuple[int, int]]:
    """(i, j) of the terms p^i q^j in their order: (2, 0), (1, 1), (0, 2), (3, 0), ..."""
    return [(n - j, j) for n in range(lowest, order + 1) for j in range(n + 1)]


def order_of(count: int) -> int:
    """Order of a polynomial of `count` terms from order 2."""
    return next(n for n in range(1, count + 2) if (n + 1) * (n + 2) // 2 - 3 >= count)


def _scaled(polynomial: Polynomial, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    a, b = polynomial.reach
    return np.clip(np.asarray(u, float) / a, -1.0, 1.0), np.clip(np.asarray(v, float) / b, -1.0, 1.0)


def _displacement(polynomial: Polynomial, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    p, q = _scaled(polynomial, u, v)
    x, y = np.zeros(np.broadcast(p, q).shape), np.zeros(np.broadcast(p, q).shape)
    for cx, cy, term in _with_terms(polynomial, p, q):
        x += cx * term
        y += cy * term
    return x, y


def _with_terms(polynomial: Polynomial, p: FloatArray, q: FloatArray) -> Iterator[tuple[float, float, FloatArray]]:
    order = order_of(len(polynomial.x))
    of_p, of_q = _powers(p, order), _powers(q, order)
    for cx, cy, (i, j) in zip(polynomial.x, polynomial.y, exponents(order), strict=True):
        yield cx, cy, of_p[i] * of_q[j]


def _powers(base: FloatArray, order: int) -> list[FloatArray]:
    powers = [np.ones_like(base)]
    for _ in range(order):
        powers.append(powers[-1] * base)
    return powers


def gradient(
    polynomial: Polynomial, u: FloatArray, v: FloatArray
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Derivatives of the displacement: (dx/du, dx/dv), (dy/du, dy/dv); beyond the reach those of the nearest place."""
    p, q = _scaled(polynomial, u, v)
    order = order_of(len(polynomial.x))
    of_p, of_q = _powers(p, order), _powers(q, order)
    a, b = polynomial.reach
    result = np.zeros((2, 2, *np.broadcast(p, q).shape))
    for cx, cy, (i, j) in zip(polynomial.x, polynomial.y, exponents(order), strict=True):
        along_p = i * of_p[max(i - 1, 0)] * of_q[j] / a
        along_q = j * of_p[i] * of_q[max(j - 1, 0)] / b
        result[0] += cx * np.stack([along_p, along_q])
        result[1] += cy * np.stack([along_p, along_q])
    return (result[0, 0], result[0, 1]), (result[1, 0], result[1, 1])


def nodes() -> tuple[FloatArray, FloatArray]:
    """(p, q) of a square lattice in -1..1, denser towards its border, where polynomials go astray (Chebyshev)."""
    along = -np.cos(np.linspace(0.0, np.pi, NODES))
    p, q = np.meshgrid(along, along)
    return p.ravel(), q.ravel()


def fit_terms(p: FloatArray, q: FloatArray, values: ArrayLike, order: int, lowest: int = 0) -> tuple[FloatArray, float]:
    """Least squares of a polynomial with the terms 1, p, q, p^2, ... or those from order `lowest` on.

    Parameters
    ----------
    values : (n, m)

    Returns
    -------
    (terms, m) coefficients, and the largest residual.
    """
    of_p, of_q = _powers(p, order), _powers(q, order)
    design = np.stack([of_p[i] * of_q[j] for i, j in exponents(order, lowest)], axis=1)
    terms = np.linalg.lstsq(design, np.asarray(values), rcond=None)[0]
    return terms, float(np.abs(design @ terms - values).max())


def as_sip(distortion: Distortion, reach: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """Coefficients A and B of SIP, (order + 1, order + 1), [i, j] of u^i v^j; good to 0.002 px within `reach`."""
    p, q = nodes()
    u, v = p * reach[0], q * reach[1]
    moved = np.stack(bend(distortion, u, v), axis=1) - np.stack([u, v], axis=1)
    for order in range(2, HIGHEST_ORDER + 1):
        terms, worst = fit_terms(p, q, moved, order, lowest=2)
        if worst < SIP_ERROR:
            break
    a, b = np.zeros((order + 1, order + 1)), np.zeros((order + 1, order + 1))
    for (i, j), (x, y) in zip(exponents(order), terms, strict=True):
        unit = reach[0] ** i * reach[1] ** j
        a[i, j], b[i, j] = x / unit, y / unit
    return a, b


def typical(polynomials: Sequence[Polynomial]) -> Polynomial:
    """What several frames of one instrument and size say, in one: the median at every place of the frame.

    What a linear matrix can take up is left out of the comparison: headers differ in what they call linear.
    """
    first = polynomials[0]
    if all(other == first for other in polynomials):
        return first
    some = [polynomials[i] for i in np.unique(np.linspace(0, len(polynomials) - 1, MOST_COMPARED).astype(int))]
    p, q = nodes()
    reach = first.reach
    plane = np.stack([np.ones_like(p), p, q], axis=1)
    said = np.stack([np.stack(_displacement(each, p * reach[0], q * reach[1]), axis=1) for each in some])
    flat = said - plane @ np.linalg.lstsq(plane, np.concatenate(list(said), axis=1), rcond=None)[0].reshape(
        3, len(some), 2
    ).transpose(1, 0, 2)
    order = max(order_of(len(each.x)) for each in some)
    terms, _ = fit_terms(p, q, np.median(flat, axis=0), order)
    return replace(first, x=tuple(map(float, terms[3:, 0])), y=tuple(map(float, terms[3:, 1])))
