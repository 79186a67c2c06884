"""Places of stars: Gauss-Newton steps of a Gaussian with an amplitude and a sky for each colour.

A pixel has one colour, so amplitude and sky of a colour are two unknowns that no other colour touches: they are eliminated
by hand, and what is left of the normal equations is 2 x 2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["fit_gaussians"]

FloatArray = NDArray[np.float64]


@kernel
def _amplitudes(
    value: FloatArray,
    weight: FloatArray,
    profile: FloatArray,
    channel: NDArray[np.int64],
    ridge: float,
    out: FloatArray,
) -> None:
    """Best amplitude and sky of each channel for a profile.

    out : (channels, 5) filled with amplitude, sky, and the elements pp, p1, 11 of the normal matrix
    """
    right = np.zeros((out.shape[0], 2))
    out[:] = 0.0
    for k in range(value.size):
        c, w, p = channel[k], weight[k], profile[k]
        out[c, 2] += w * p * p
        out[c, 3] += w * p
        out[c, 4] += w
        right[c, 0] += w * p * value[k]
        right[c, 1] += w * value[k]
    for c in range(out.shape[0]):
        out[c, 2] += ridge * out[c, 2] + 1e-30
        out[c, 4] += ridge * out[c, 4] + 1e-30
        det = out[c, 2] * out[c, 4] - out[c, 3] * out[c, 3]
        out[c, 0] = (out[c, 4] * right[c, 0] - out[c, 3] * right[c, 1]) / det
        out[c, 1] = (out[c, 2] * right[c, 1] - out[c, 3] * right[c, 0]) / det


@kernel
def _equations(
    dx: FloatArray,
    dy: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    profile: FloatArray,
    channel: NDArray[np.int64],
    found: FloatArray,
    s: float,
    ridge: float,
) -> tuple[float, float, float, float, float]:
    """Normal matrix (xx, xy, yy) and right side (x, y) of the place, without amplitudes and skies.

    found : (channels, 5) as `_amplitudes` gives it
    """
    cross = np.zeros((found.shape[0], 6))  # x p, x 1, y p, y 1; residual p, 1
    xx = xy = yy = rx = ry = 0.0
    for k in range(value.size):
        c, w, p = channel[k], weight[k], profile[k]
        residual = value[k] - found[c, 0] * p - found[c, 1]
        slope = found[c, 0] * p / (s * s)
        x, y = slope * dx[k], slope * dy[k]
        xx, xy, yy = xx + w * x * x, xy + w * x * y, yy + w * y * y
        rx, ry = rx + w * x * residual, ry + w * y * residual
        cross[c, 0] += w * x * p
        cross[c, 1] += w * x
        cross[c, 2] += w * y * p
        cross[c, 3] += w * y
        cross[c, 4] += w * p * residual
        cross[c, 5] += w * residual
    xx, yy = xx * (1.0 + ridge) + 1e-30, yy * (1.0 + ridge) + 1e-30
    for c in range(found.shape[0]):
        pp, p1, one = found[c, 2], found[c, 3], found[c, 4]
        det = pp * one - p1 * p1
        xp, x1, yp, y1 = cross[c, 0], cross[c, 1], cross[c, 2], cross[c, 3]
        ap, a1 = (one * xp - p1 * x1) / det, (pp * x1 - p1 * xp) / det
        bp, b1 = (one * yp - p1 * y1) / det, (pp * y1 - p1 * yp) / det
        xx, xy, yy = xx - ap * xp - a1 * x1, xy - ap * yp - a1 * y1, yy - bp * yp - b1 * y1
        rx, ry = rx - ap * cross[c, 4] - a1 * cross[c, 5], ry - bp * cross[c, 4] - b1 * cross[c, 5]
    return xx, xy, yy, rx, ry


@kernel
def _gather(
    raw: NDArray[np.float32],
    colours: NDArray[np.int64],
    x: float,
    y: float,
    half: int,
    px: FloatArray,
    py: FloatArray,
    value: FloatArray,
    channel: NDArray[np.int64],
) -> int:
    """Pixels of the square around a place that are in the frame and have a channel; how many they are."""
    n, row, column = 0, int(np.rint(y)), int(np.rint(x))
    for j in range(max(row - half, 0), min(row + half + 1, raw.shape[0])):
        for i in range(max(column - half, 0), min(column + half + 1, raw.shape[1])):
            c = colours[j % 2, i % 2]
            if c >= 0:
                px[n], py[n], value[n], channel[n] = i, j, raw[j, i], c
                n += 1
    return n


@kernel
def _step(right: float, other: float, own: float, cross: float, det: float, longest: float) -> float:
    """One coordinate of the solution of two equations, at most `longest`; 0 when there is none."""
    step = (own * right - cross * other) / det
    return 0.0 if math.isnan(step) else min(max(step, -longest), longest)


@kernel
def fit_gaussians(
    raw: NDArray[np.float32],
    colours: NDArray[np.int64],
    sigma: FloatArray,
    x: FloatArray,
    y: FloatArray,
    half: int,
    s: float,
    steps: int,
    longest: float,
    ridge: float,
    place: FloatArray,
    error: FloatArray,
) -> None:
    """Places of stars after some steps from a first guess, and their errors.

    raw : (h, w) float32, ADU; colours : (2, 2) channel of the pixel at (y % 2, x % 2), -1 for none
    sigma : (channels,) ADU, sky noise; x, y : (n,) px, first guess
    half : px, half the side of the squares; s : px, sigma of the profile; longest : px, step along an axis
    ridge : of the diagonal, keeps the equations solvable
    place : (n, 2) out, x and y, px; error : (n,) out, px per axis, not finite where there is nothing to fit
    """
    most = (2 * half + 1) ** 2
    px, py, dx, dy = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    value, weight, profile = np.empty(most), np.empty(most), np.empty(most)
    channel, found = np.empty(most, np.int64), np.empty((sigma.size, 5))
    for star in range(x.size):
        u, v = x[star], y[star]
        n = _gather(raw, colours, u, v, half, px, py, value, channel)
        for k in range(n):
            weight[k] = 1.0 / sigma[channel[k]] ** 2
        for round in range(steps + 1):
            for k in range(n):
                dx[k], dy[k] = px[k] - u, py[k] - v
                profile[k] = math.exp(-0.5 * (dx[k] * dx[k] + dy[k] * dy[k]) / (s * s))
            _amplitudes(value[:n], weight[:n], profile[:n], channel[:n], ridge, found)
            xx, xy, yy, rx, ry = _equations(
                dx[:n], dy[:n], value[:n], weight[:n], profile[:n], channel[:n], found, s, ridge
            )
            det = xx * yy - xy * xy
            if round == steps:
                error[star] = math.sqrt(0.5 * (xx + yy) / det)
                break
            u, v = u + _step(rx, ry, yy, xy, det, longest), v + _step(ry, rx, xx, xy, det, longest)
            for k in range(n):
                c = channel[k]
                light = max(found[c, 0] * profile[k], 0.0) / max(found[c, 1], sigma[c])
                weight[k] = 1.0 / (sigma[c] ** 2 * (1.0 + (light if light == light else 0.0)))
        place[star, 0], place[star, 1] = u, v
