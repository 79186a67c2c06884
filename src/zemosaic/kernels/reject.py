"""Raw pixels against the model of them: how far out each is, and what belongs to an outlier.

A pixel's light is what the model has above the sky, in units of the sky noise. It falls into half octaves from 2 on (2 to 3, 3 to
4, 4 to 6, ...), which are the upper bits of a float32; between their middles (2.5, 3.5, 5, ...), bits as well, the variance that
goes with the light is interpolated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = [
    "BINS",
    "CUT_STEPS",
    "CUT_Z",
    "MIDDLES",
    "SEEING",
    "count_light",
    "gather_residuals",
    "grow",
    "is_dark",
    "score_pixels",
    "take_off_cut",
]

BINS = 21  # the last has no upper end
MIDDLES = np.array([(2.5, 3.5)[b % 2] * 2.0 ** (b // 2) for b in range(BINS)])
BRIGHTEST = np.float32(MIDDLES[-1])
HALF_OCTAVE, QUARTER_OCTAVE, FIRST = 22, 21, 256  # shifts of a float32's bits; what 2.0 gives after the first
CUT_Z, CUT_STEPS = 8.0, 64  # the table of what cutting at 0 adds runs over +- CUT_Z sigma, so many steps a sigma
FEW = 2  # samples; the median of more is robust against one outlier
MEDIAN_VARIANCE = np.float32(1.57)  # of a median over that of a mean, Gaussian noise
GRADIENT = np.float32(0.35)  # share of the local spread of the model that seeing and the blur of the model may explain
SEEING = 0.10  # share of the light that seeing explains: what is tolerated of it at least
LIGHT = np.float32(SEEING)
Float32Array = NDArray[np.float32]


@kernel
def _expected(model: Any, sigma: Any, cut: Float32Array) -> Any:
    """What a raw pixel of this model shows: more where the frame was cut at 0."""
    if cut.size == 0 or model != model:
        return model
    place = min(
        max((model / sigma + np.float32(CUT_Z)) * np.float32(CUT_STEPS), np.float32(0.0)), np.float32(cut.size - 1)
    )
    k = min(int(place), cut.size - 2)
    return model + sigma * (cut[k] + (cut[k + 1] - cut[k]) * (place - np.float32(k)))


@kernel
def _bin(light: Any) -> Any:
    """Half octave of the light over the sky noise, 2 or more."""
    return min((np.float32(light).view(np.int32) >> HALF_OCTAVE) - FIRST, BINS - 1)


@kernel
def count_light(
    model: Float32Array,
    colours: NDArray[np.int64],
    sky: Float32Array,
    sigma: Float32Array,
    cut: Float32Array,
    out: NDArray[np.int64],
) -> None:
    """How many pixels of each channel lie in each bin of the light.

    model : (h, w) float32, ADU; NaN is no model; colours : (2, 2) channels
    sky, sigma : (channels,) float32, ADU; cut : table of what cutting at 0 adds, in sigma, or empty
    out : (channels, BINS), zero on entry
    """
    for y in range(model.shape[0]):
        for x in range(model.shape[1]):
            c = colours[y % 2, x % 2]
            light = (_expected(model[y, x], sigma[c], cut) - sky[c]) / sigma[c]
            if light >= np.float32(2.0):
                out[c, _bin(light)] += 1


@kernel
def gather_residuals(
    raw: Float32Array,
    model: Float32Array,
    colours: NDArray[np.int64],
    sky: Float32Array,
    sigma: Float32Array,
    cut: Float32Array,
    stride: NDArray[np.int64],
    values: Float32Array,
    count: NDArray[np.int64],
) -> None:
    """Absolute residuals of every `stride`-th pixel of each bin of the light; arguments as in `count_light`, and:

    raw : (h, w) float32, ADU; NaN is no data
    stride, count : (channels, BINS); count, out: of the values, zero on entry
    values : (channels, BINS, most) float32, out
    """
    seen = np.zeros_like(count)
    for y in range(model.shape[0]):
        for x in range(model.shape[1]):
            c = colours[y % 2, x % 2]
            expected = _expected(model[y, x], sigma[c], cut)
            light = (expected - sky[c]) / sigma[c]
            if light >= np.float32(2.0):
                b = _bin(light)
                seen[c, b] += 1
                residual = raw[y, x] - expected
                if seen[c, b] % stride[c, b] == 0 and count[c, b] < values.shape[2] and residual == residual:
                    values[c, b, count[c, b]] = abs(residual)
                    count[c, b] += 1


@kernel
def score_pixels(
    raw: Float32Array,
    model: Float32Array,
    spread: Float32Array,
    samples: NDArray[np.uint16],
    colours: NDArray[np.int64],
    sky: Float32Array,
    sigma: Float32Array,
    cut: Float32Array,
    curve: Float32Array,
    unlike: float,
    expected: Float32Array,
    tolerated: Float32Array,
    score: Float32Array,
) -> None:
    """Residual of each raw pixel in units of what is tolerated there; arguments as in `count_light`, and:

    raw, spread : (h, w) float32, ADU; samples : (h, w) uint16, frames behind the model
    curve : (channels, BINS + 1, 2) float32: variance, ADU^2, at light l of 1 to MIDDLES[-1] in section s: [s, 0] + [s, 1] l;
        section 0 ends at MIDDLES[0]
    unlike : added to the shares of the light and of its spread: stars of another profile than the model's
    expected, tolerated, score : (h, w) float32, out: what the pixel should show and one sigma of the difference, ADU, and the
        difference over that; NaN where there is no model or no data
    """
    zero, one = np.float32(0.0), np.float32(1.0)
    of_light, of_gradient = (LIGHT + np.float32(unlike)) ** 2, (GRADIENT + np.float32(unlike)) ** 2
    for y in range(model.shape[0]):
        for x in range(model.shape[1]):
            c = colours[y % 2, x % 2]
            value = _expected(model[y, x], sigma[c], cut)
            residual, light = raw[y, x] - value, max(value - sky[c], zero)
            if residual != residual:
                expected[y, x] = tolerated[y, x] = score[y, x] = np.nan
                continue
            ratio = min(max(light / sigma[c], one), BRIGHTEST)
            section: Any = max((((np.float32(ratio).view(np.int32) >> QUARTER_OCTAVE) + 1) >> 1) - FIRST, 0)
            noise = sigma[c] * sigma[c] * MEDIAN_VARIANCE / np.float32(max(samples[y, x], 1))
            # what the spread of the model owes to its own noise is no gradient: 2 sigma of it are taken off
            gradient = max(spread[y, x] - np.float32(2.0) * math.sqrt(noise) - np.float32(0.5) * sigma[c], zero)
            variance = curve[c, section, 0] + curve[c, section, 1] * ratio
            variance += noise + of_light * light * light + of_gradient * gradient * gradient
            tolerance = math.sqrt(variance)
            # of two samples the centre is the mean: what lies below it is the frame that the outlier of the other pulled up
            few = samples[y, x] <= FEW and residual < zero
            expected[y, x], tolerated[y, x] = value, tolerance
            score[y, x] = zero if few else residual / tolerance


@kernel
def take_off_cut(
    raw: Float32Array,
    model: Float32Array,
    colours: NDArray[np.int64],
    sky: Float32Array,
    sigma: Float32Array,
    growth: Float32Array,
    quietest: float,
    cut: Float32Array,
) -> None:
    """Take off what cutting at 0 added to each pixel; arguments as in `count_light`, and:

    raw : (h, w) float32, ADU, in and out; where there is no model the sky's level stands for it
    growth : (channels,) float32, ADU, of the variance with the level; the variance is at least `quietest` of sigma^2
    """
    for y in range(raw.shape[0]):
        for x in range(raw.shape[1]):
            c = colours[y % 2, x % 2]
            mean = model[y, x] if np.isfinite(model[y, x]) else sky[c]
            square = sigma[c] * sigma[c]
            noise = np.float32(math.sqrt(max(square + growth[c] * (mean - sky[c]), np.float32(quietest) * square)))
            raw[y, x] -= _expected(mean, noise, cut) - mean


@kernel
def grow(
    score: Float32Array,
    low: float,
    high: float,
    strong: float,
    steps: int,
    mask: NDArray[np.bool_],
    counts: NDArray[np.int64],
) -> None:
    """Mark pixels out of bounds and what belongs to them.

    Pixels beyond -low or high; neighbours within `steps` px that are out by half as much and connected to them; all eight
    neighbours of a marked pixel that is beyond `strong`.

    score : (h, w) float32; NaN belongs to nothing. mask : (h, w) out, False on entry; counts : (2,) out: too low, too high
    """
    h, w = score.shape
    counts[:] = 0
    for y in range(h):
        for x in range(w):
            counts[0] += score[y, x] < -low
            counts[1] += score[y, x] > high
    places, n = np.empty((2 * steps + 1) ** 2 * (counts[0] + counts[1]), np.int64), 0
    for y in range(h):
        for x in range(w):
            if score[y, x] < -low or score[y, x] > high:
                mask[y, x] = True
                places[n] = y * w + x
                n += 1
    first = 0
    for _ in range(steps):
        last = n
        for k in range(first, last):
            y, x = places[k] // w, places[k] % w
            for j in range(max(y - 1, 0), min(y + 2, h)):
                for i in range(max(x - 1, 0), min(x + 2, w)):
                    weak = score[j, i] > 0.5 * high or score[j, i] < -0.5 * low
                    if weak and not mask[j, i]:
                        mask[j, i] = True
                        places[n] = j * w + i
                        n += 1
        first = last
    for k in range(n):
        y, x = places[k] // w, places[k] % w
        if abs(score[y, x]) > strong:
            mask[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True


@kernel
def is_dark(
    score: Float32Array, mask: NDArray[np.bool_], places: NDArray[np.int64], reach: int, out: NDArray[np.bool_]
) -> None:
    """Whether, of the marked pixels within `reach` px of each place, the one farthest out is too low.

    score : (h, w) float32, NaN is 0; mask : (h, w); places, out : (n,), flat places
    """
    h, w = score.shape
    for k in range(places.size):
        y, x = places[k] // w, places[k] % w
        lowest = highest = np.float32(0.0)
        for j in range(max(y - reach, 0), min(y + reach + 1, h)):
            for i in range(max(x - reach, 0), min(x + reach + 1, w)):
                if mask[j, i] and score[j, i] < lowest:
                    lowest = score[j, i]
                elif mask[j, i] and score[j, i] > highest:
                    highest = score[j, i]
        out[k] = -lowest > highest
