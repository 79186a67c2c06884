"""Sums over the star measurements for the gains: one pass each, nothing kept per measurement but what is asked for."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["LINEAR", "LOG", "WIDE", "gain_residuals", "gain_sums", "gain_weights"]

FloatArray = NDArray[np.float64]
SmallArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

WIDE, LOG, LINEAR = 0, 1, 2  # forms of a residual
LEAST_SHAPE = 0.05  # of the response
LEAST_LIGHT = 0.05  # of the expected flux, for its logarithm to tell anything


@kernel
def _shape(square: float, coefficients: FloatArray, k: int) -> float:
    shape, power = 1.0, 1.0
    for t in range(coefficients.shape[1]):
        power *= square
        shape += coefficients[k, t] * power
    return max(shape, LEAST_SHAPE)


@kernel
def gain_residuals(
    frame: IntArray,
    star: IntArray,
    flux: FloatArray,
    error: FloatArray,
    rho2: FloatArray,
    instrument: IntArray,
    ln_gain: FloatArray,
    ln_star: FloatArray,
    coefficients: FloatArray,
    form: int,
    least_snr: float,
    residual: SmallArray,
    variance: SmallArray,
    model: SmallArray,
) -> None:
    """Relative residuals, their variance from measurement, and expected fluxes of the measurements (n, channels).

    instrument : (frames,). coefficients : (instruments, terms) of the response.
    form : WIDE (logarithms of what is measured well, whatever is expected), LOG or LINEAR.
    residual, variance, model : out; residual 0 and variance infinite where the expected S/N is below `least_snr` or no data.
    """
    for i in range(len(frame)):
        f, s = frame[i], star[i]
        shape = _shape(rho2[i], coefficients, instrument[f])
        for c in range(flux.shape[1]):
            value, sigma = flux[i, c], error[i, c]
            expected = math.exp(ln_gain[f, c] + ln_star[s, c]) * shape
            model[i, c] = expected
            residual[i, c], variance[i, c] = 0.0, np.inf
            usable = np.isfinite(value) and sigma > 0.0
            if form == WIDE:
                usable = usable and value > least_snr * sigma
            elif form == LOG:
                usable = usable and value > LEAST_LIGHT * expected
            if not usable:
                continue
            relative = sigma / (value if form == WIDE else expected)
            if relative * least_snr <= 1.0:
                residual[i, c] = value / expected - 1.0 if form == LINEAR else math.log(value / expected)
                variance[i, c] = relative * relative


@kernel
def gain_weights(
    frame: IntArray,
    instrument: IntArray,
    residual: SmallArray,
    variance: SmallArray,
    model: SmallArray,
    photon: FloatArray,
    floor: float,
    cut: float,
    weight: SmallArray,
) -> None:
    """Inverse variances with photons and floor, times Tukey's biweight beyond `cut` sigma; 0 where the variance is infinite.

    photon : (instruments, channels) ADU. residual, variance, model, weight (out) : (n, channels).
    """
    for i in range(len(frame)):
        k = instrument[frame[i]]
        for c in range(residual.shape[1]):
            weight[i, c] = 0.0
            if variance[i, c] < np.inf:
                total = variance[i, c] + photon[k, c] / model[i, c] + floor * floor
                t = abs(residual[i, c]) / (math.sqrt(total) * cut)
                if t < 1.0:
                    weight[i, c] = (1.0 - t * t) ** 2 / total


@kernel
def gain_sums(
    frame: IntArray,
    star: IntArray,
    pair: NDArray[np.int32],
    rho2: FloatArray,
    instrument: IntArray,
    coefficients: FloatArray,
    start: IntArray,
    residual: SmallArray,
    weight: SmallArray,
    of_frame: FloatArray,
    normal: FloatArray,
    right: FloatArray,
    of_star: FloatArray,
    of_pair: FloatArray,
    cross: FloatArray,
) -> None:
    """Add up the normal equations of ln a, ln S and the response.

    frame : (n,) ascending, start : (frames + 1,) first measurement of each. pair : (n,) of instrument and star.
    of_frame : (frames, channels, 2 + terms) weight, weight * residual, weight * slopes. normal : (instruments, terms, terms),
    right : (instruments, terms). of_star : (stars, channels, 2) weight, weight * residual. of_pair : (pairs, channels, terms)
    weight * slopes; all zero on entry. cross : out, weights by frame, then channel, then as they come.
    """
    channels, terms = weight.shape[1], coefficients.shape[1]
    slope = np.empty(terms)
    for i in range(len(frame)):
        f, s, p = frame[i], star[i], pair[i]
        k = instrument[f]
        power, shape = 1.0, _shape(rho2[i], coefficients, k)
        for t in range(terms):
            power *= rho2[i]
            slope[t] = power / shape
        total, pull = 0.0, 0.0
        place, count = channels * start[f] + i - start[f], start[f + 1] - start[f]
        for c in range(channels):
            w = weight[i, c]
            wr = w * residual[i, c]
            total, pull = total + w, pull + wr
            of_frame[f, c, 0] += w
            of_frame[f, c, 1] += wr
            of_star[s, c, 0] += w
            of_star[s, c, 1] += wr
            cross[place + c * count] = w
            for t in range(terms):
                of_frame[f, c, 2 + t] += w * slope[t]
                of_pair[p, c, t] += w * slope[t]
        for t in range(terms):
            right[k, t] += pull * slope[t]
            for u in range(terms):
                normal[k, t, u] += total * slope[t] * slope[u]
