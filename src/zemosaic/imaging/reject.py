"""Which raw pixels of a frame the model cannot explain.

A raw pixel is compared with the provisional mosaic blotted back onto the frame. What is tolerated comes from a noise model, never
from the spread of a handful of samples: the sky noise, the noise of the provisional mosaic, what grows with the light (photon
noise and seeing, read off this frame's own residuals as a function of the light) and what grows with its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, generate_binary_structure, maximum_filter

__all__ = ["Rejection", "noise_curve", "outliers", "tolerance"]

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
GRADIENT = 0.35  # share of the local spread of the model that seeing and the blur of the model may explain
LIGHT = 0.10  # least share of the light itself
CURVE_EDGES = np.geomspace(2.0, 2000.0, 22)  # light over sky noise
ENOUGH = 200  # pixels in a bin of the noise curve
SEED_GROWTH = 8.0  # sigma; a pixel this far out takes its eight neighbours with it


@dataclass(frozen=True)
class Rejection:
    """Raw pixels left out of a frame."""

    mask: BoolArray  # (h, w)
    low: int  # pixels below the tolerance
    high: int  # pixels above the tolerance


def noise_curve(residual: Float32Array, light: Float32Array, sigma: float) -> Float32Array:
    """Variance of the residuals as a function of the light, at each pixel, ADU^2; at least sigma^2.

    The robust variance (1.4826 MAD)^2 is taken in logarithmic bins of the light over the sky noise and made
    non-decreasing; bins with less than 200 pixels continue the slope of the last good one (variance ~ light^2).
    """
    ratio = light / sigma
    place = np.digitize(ratio, CURVE_EDGES)
    variances = np.full(CURVE_EDGES.size + 1, np.nan)
    variances[0] = sigma**2
    order = np.argsort(place, axis=None, kind="stable")
    bounds = np.searchsorted(place.ravel()[order], np.arange(CURVE_EDGES.size + 2))
    flat = residual.ravel()
    for b in range(1, CURVE_EDGES.size + 1):
        values = flat[order[bounds[b] : bounds[b + 1]]]
        if values.size >= ENOUGH:
            variances[b] = (1.4826 * np.median(np.abs(values))) ** 2
    centres = np.concatenate([[1.0], np.sqrt(CURVE_EDGES[:-1] * CURVE_EDGES[1:]), [CURVE_EDGES[-1] * 1.2]])
    good = np.flatnonzero(np.isfinite(variances))
    last = good[-1]
    grown = np.interp(centres, centres[good], np.maximum.accumulate(variances[good]))
    grown[last + 1 :] = grown[last] * (centres[last + 1 :] / centres[last]) ** 2
    curve: Float32Array = np.interp(ratio, centres, grown).astype(np.float32)
    return curve


def tolerance(
    residual: Float32Array, light: Float32Array, spread: Float32Array, sigma: float, model_share: Float32Array | float
) -> Float32Array:
    """One sigma of what the model tolerates at each pixel of one colour, ADU.

    residual, light (model minus sky), spread (of the model around the pixel) : same shape, ADU
    model_share : variance of the provisional mosaic over that of this frame
    """
    light = np.maximum(light, 0.0)
    noise = sigma**2 * model_share
    # what the spread of the model owes to its own noise is no gradient: 2 sigma of it are taken off
    gradient = np.maximum(spread - 2.0 * np.sqrt(noise) - 0.5 * sigma, 0.0)
    variance = noise_curve(residual, light, sigma) + noise + (LIGHT * light) ** 2 + (GRADIENT * gradient) ** 2
    sigmas: Float32Array = np.sqrt(variance)
    return sigmas


def outliers(score: Float32Array, kappa_low: float, kappa_high: float) -> Rejection:
    """Pixels whose residual, in units of the tolerance, is out of bounds, and what belongs to them.

    score : (h, w) float32; NaN (no model there) is never rejected. Neighbours within 2 px go with a rejected pixel when they
    are out by half as much themselves, and all eight neighbours of a pixel beyond 8 sigma.
    """
    high, low = score > kappa_high, score < -kappa_low
    seeds = high | low
    full = generate_binary_structure(2, 2)
    weak = (score > 0.5 * kappa_high) | (score < -0.5 * kappa_low)
    mask = binary_dilation(seeds, full, iterations=2, mask=weak | seeds)
    strong = np.abs(np.nan_to_num(score)) > SEED_GROWTH
    mask |= maximum_filter(strong & mask, footprint=full)
    return Rejection(mask, int(low.sum()), int(high.sum()))
