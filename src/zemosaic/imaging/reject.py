"""Which raw pixels of a frame the model cannot explain.

A raw pixel is compared with the provisional mosaic blotted back onto the frame. What is tolerated comes from a noise model, never
from the spread of a handful of samples: the sky noise, the noise of the provisional mosaic, what grows with the light (photon
noise and seeing, read off this frame's own residuals as a function of the light) and what grows with its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.calibrate import clipping_bias
from zemosaic.imaging.noise import QUIETEST
from zemosaic.kernels import reject as kernels

__all__ = ["Judged", "Rejection", "judge", "noise_curve", "outliers", "too_dark", "uncut"]

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
ENOUGH = 200  # pixels in a bin of the noise curve
MOST = 8192  # pixels whose median is taken: known to 1.3 % then
SEED_GROWTH = 8.0  # sigma; a pixel this far out takes its eight neighbours with it
GROWTH = 2  # px, how far from an outlier its weaker neighbours go
NEAR = 2  # px, within which the pixel farthest out says whether a rejected one was too dark


@dataclass(frozen=True)
class Rejection:
    """Raw pixels left out of a frame."""

    mask: BoolArray  # (h, w)
    low: int  # pixels below the tolerance
    high: int  # pixels above the tolerance


@dataclass(frozen=True)
class Judged:
    """The residual of one plane of a frame, arrays (h, w); NaN where there is no model or no data."""

    expected: Float32Array  # ADU, what the model lets the pixel show
    tolerated: Float32Array  # ADU, one sigma of the difference
    score: Float32Array  # the difference over that


@cache
def _cut_table() -> Float32Array:
    """What cutting at 0 adds to a pixel of unit noise whose mean is -CUT_Z to CUT_Z."""
    means = np.linspace(-kernels.CUT_Z, kernels.CUT_Z, 2 * int(kernels.CUT_Z) * kernels.CUT_STEPS + 1)
    return clipping_bias(means.astype(np.float32), 1.0)


def noise_curve(residuals: Sequence[Float32Array], sigma: float) -> Float32Array:
    """Variance of the residuals as a function of the light, ADU^2; at least sigma^2.

    The robust variance (1.4826 MAD)^2 in bins of the light over the sky noise is made non-decreasing; bins with less than 200
    pixels continue the slope of the last good one (variance ~ light^2).

    residuals : BINS arrays of absolute residuals, ADU
    Returns (BINS + 1, 2) float32, as `zemosaic.kernels.reject.score_pixels` takes it.
    """
    light = np.concatenate([[1.0], kernels.MIDDLES])
    variances = np.full(light.size, np.nan)
    variances[0] = sigma**2
    for b, values in enumerate(residuals, start=1):
        if values.size >= ENOUGH:
            variances[b] = (1.4826 * np.median(values)) ** 2
    good = np.flatnonzero(np.isfinite(variances))
    last = good[-1]
    grown = np.interp(light, light[good], np.maximum.accumulate(variances[good]))
    grown[last + 1 :] = grown[last] * (light[last + 1 :] / light[last]) ** 2
    slope = np.append(np.diff(grown) / np.diff(light), 0.0)
    return np.column_stack([grown - slope * light, slope]).astype(np.float32)


def judge(
    raw: Float32Array,
    model: Float32Array,
    spread: Float32Array,
    samples: NDArray[np.uint16],
    colours: NDArray[np.int64],
    sky: Sequence[float],
    sigma: Sequence[float],
    cut: bool,
    unlike: float = 0.0,
) -> Judged:
    """Residual of each raw pixel in units of what is tolerated there.

    Parameters
    ----------
    raw, model, spread : (h, w) float32, ADU; of the model, its spread around each pixel. NaN is no data.
    samples : (h, w) uint16, frames behind the model.
    colours : (2, 2) channel of the pixel at (y % 2, x % 2).
    sky, sigma : ADU per channel.
    cut : whether the firmware has cut the frame at 0.
    unlike : share of the light that may differ besides, since the stars of the model have the profile of other telescopes.
    """
    levels, noise = np.asarray(sky, np.float32), np.asarray(sigma, np.float32)
    table = _cut_table() if cut else np.empty(0, np.float32)
    light = np.zeros((noise.size, kernels.BINS), np.int64)
    kernels.count_light(model, colours, levels, noise, table, light)
    values, count = np.empty((*light.shape, MOST), np.float32), np.zeros_like(light)
    stride = np.maximum(-(-light // MOST), 1)
    kernels.gather_residuals(raw, model, colours, levels, noise, table, stride, values, count)
    residuals = [[values[c, b, : count[c, b]] for b in range(kernels.BINS)] for c in range(noise.size)]
    curve = np.stack([noise_curve(r, float(s)) for r, s in zip(residuals, sigma, strict=True)])
    judged = Judged(*(np.empty(model.shape, np.float32) for _ in range(3)))
    kernels.score_pixels(
        raw, model, spread, samples, colours, levels, noise, table, curve, unlike,
        judged.expected, judged.tolerated, judged.score,
    )  # fmt: skip
    return judged


def uncut(
    raw: Float32Array,
    model: Float32Array,
    colours: NDArray[np.int64],
    sky: Sequence[float],
    sigma: Sequence[float],
    growth: Sequence[float],
) -> None:
    """Take off what cutting at 0 added to the pixels of a plane, in place; arguments as in `judge`, and:

    growth : ADU per channel, of the variance with the level; () for none
    """
    levels, noise = np.asarray(sky, np.float32), np.asarray(sigma, np.float32)
    grown = np.asarray(growth or (0.0,) * len(noise), np.float32)
    kernels.take_off_cut(raw, model, colours, levels, noise, grown, QUIETEST, _cut_table())


def outliers(score: Float32Array, kappa_low: float, kappa_high: float) -> Rejection:
    """Pixels whose residual, in units of the tolerance, is out of bounds, and what belongs to them.

    score : (h, w) float32; NaN (no model there) is never rejected. Neighbours within 2 px go with a rejected pixel when they
    are out by half as much themselves, and all eight neighbours of a pixel beyond 8 sigma.
    """
    mask, counts = np.zeros(score.shape, np.bool_), np.zeros(2, np.int64)
    kernels.grow(score, kappa_low, kappa_high, SEED_GROWTH, GROWTH, mask, counts)
    return Rejection(mask, int(counts[0]), int(counts[1]))


def too_dark(score: Float32Array, mask: BoolArray, places: NDArray[np.int64]) -> BoolArray:
    """(n,) whether rejected pixels, flat `places`, belong to a dark outlier: what lies farthest out within 2 px says so."""
    dark = np.empty(places.size, np.bool_)
    kernels.is_dark(score, mask, places, NEAR, dark)
    return dark
