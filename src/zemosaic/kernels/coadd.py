"""All samples of a pixel side by side: their robust location, and their weighted median.

A frame arrives as a box of the mosaic, resampled: (h, w, 2 * channels + 2) float32 with a value and a variance per channel, the
weight that the channels share, and the validity. Samples lie as (depth, H, W, 2 * channels + 1): the k-th of a pixel in plane k.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels.drops import halves
from zemosaic.kernels.reject import SEEING
from zemosaic.kernels.sampling import (
    PLANES,
    along_row,
    at_nodes,
    cells_of,
    four_times,
    lattice,
    row_ends,
    see,
    see_drops,
)

__all__ = [
    "KAPPA_SIGMA",
    "LINEAR_FIT",
    "MEAN",
    "WINSORIZED",
    "add_to_samples",
    "count_rejected",
    "locate",
    "resample_box",
    "weighted_median",
]

MEAN, KAPPA_SIGMA, WINSORIZED, LINEAR_FIT = range(4)  # the methods of `locate`
HUBER = 1.5  # sigma; beyond, a sample pulls no harder (95 % efficient for Gaussian noise at 1.345, 96 % at 1.5)
MOST_ROUNDS = 12
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]


@kernel
def resample_box(
    image: Float32Array,
    row0: int,
    height: int,
    table: Float32Array,
    red: tuple[int, int],
    nodes_x: FloatArray,
    nodes_y: FloatArray,
    node0: tuple[int, int],
    step: int,
    weights: Float32Array,
    variances: Float32Array,
    wstep: int,
    margins: FloatArray,
    apart: FloatArray,
    equal: bool,
    box: tuple[int, int, int, int],
    out: Float32Array,
) -> None:
    """One interpolation of a frame onto a box (y0, y1, x0, x1) of the mosaic; arguments as in `resample.add_to_sums`, and:

    equal : whether `weights` are the same for all noise, else they hold the inverse variance
    out : (y1 - y0, x1 - x0, 2 * channels + 2) float32, out: values, variances, weight (0: the frame says nothing), validity
    """
    channels, width = weights.shape[2], image.shape[1]
    flat, shape, tables = image.ravel(), (height, width), (table.ravel(), four_times(table))
    lanes, taper = np.empty(4 * step, np.float32), np.empty(step)
    parts, strength, drops = halves(table), np.ones(3 * step, np.float32), red[0] < PLANES
    node_weights, weight = at_nodes(weights, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    node_variances, variance = at_nodes(variances, wstep, nodes_x, nodes_y), np.empty((channels, 2), np.float32)
    out[:, :, 2 * channels] = 0.0
    cells = cells_of(shape, nodes_x, nodes_y, node0, step, margins, box)
    for n in range(len(cells)):
        j, i, wholly = cells[n, 0], cells[n, 1], cells[n, 2] == 1
        top, left = (j + node0[0]) * step, (i + node0[1]) * step
        span = max(box[2] - left, 0), min(box[3] - left, step)
        for y in range(max(box[0], top), min(box[1], top + step)):
            share = (y - top) / step
            ends = row_ends(nodes_x, nodes_y, j, i, share)
            if drops:
                see_drops(
                    flat,
                    shape,
                    row0,
                    tables,
                    parts,
                    red,
                    ends,
                    span,
                    step,
                    margins,
                    wholly,
                    apart,
                    lanes,
                    strength,
                    taper,
                )
            else:
                see(flat, shape, row0, tables, ends, span, step, margins, wholly, apart, lanes, taper)
            along_row(node_weights, j, i, share, weight)
            along_row(node_variances, j, i, share, variance)
            for k in range(span[0], span[1]):
                if taper[k] > 0.0:
                    seen, along = out[y - box[0], left + k - box[2]], np.float32(k / step)
                    _put(lanes, 4 * k, taper[k], weight, variance, along, equal, seen)
                    if drops:
                        _thin(strength[3 * k : 3 * k + channels], taper[k], weight, along, equal, seen)


@kernel
def _put(
    lanes: Float32Array,
    first: int,
    taper: float,
    weight: Float32Array,
    variance: Float32Array,
    along: Any,
    equal: bool,
    seen: Float32Array,
) -> None:
    """One pixel of a box from its four lanes."""
    channels = weight.shape[0]
    for c in range(channels):
        seen[c] = lanes[first + c]
        seen[channels + c] = variance[c, 0] + variance[c, 1] * along
    valid = lanes[first + 3]
    shared = weight[0, 0] + weight[0, 1] * along
    if not equal:
        shared *= seen[channels]
    seen[2 * channels] = shared * np.float32(taper) * min(max(valid, np.float32(0.0)), np.float32(1.0))
    seen[2 * channels + 1] = valid


@kernel
def _thin(
    strength: Float32Array, taper: float, weight: Float32Array, along: Any, equal: bool, seen: Float32Array
) -> None:
    """Let each colour of a pixel of a box count by its strength; 0 is no data.

    The shared weight over the variance is what each counts: with equal weights the inverse strength stands for the variance.
    """
    channels = strength.size
    shared = weight[0, 0] + weight[0, 1] * along
    if not equal:
        shared *= seen[channels]
    seen[2 * channels] = shared * np.float32(taper)
    for c in range(channels):
        if strength[c] > 0.0:
            seen[channels + c] = (np.float32(1.0) if equal else seen[channels + c]) / strength[c]
        else:
            seen[c] = np.nan


@kernel
def add_to_samples(
    seen: Float32Array,
    box: tuple[int, int, int, int],
    origin: tuple[int, int],
    least: float,
    samples: Float32Array,
    count: NDArray[np.uint16],
) -> None:
    """Put a box of a frame beside the samples of a region whose pixel (0, 0) is `origin` (y, x) of the mosaic.

    seen : as `resample_box` gives it; samples of a validity of `least` or less are left out
    samples : (depth, H, W, 2 * channels + 1) float32, out; count : (H, W) uint16, out: samples so far, beyond `depth` too
    """
    last = seen.shape[2] - 1
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            here = seen[y - box[0], x - box[2]]
            if not (here[last - 1] > 0.0 and here[last] > least):
                continue
            Y, X = y - origin[0], x - origin[1]
            k = count[Y, X]
            count[Y, X] += 1
            if k < samples.shape[0]:
                for i in range(last):
                    samples[k, Y, X, i] = here[i]


@kernel
def _sort(x: FloatArray, s: FloatArray, w: FloatArray, n: int) -> None:
    """Order the first n samples by value, by insertion; their variances and weights go along."""
    for i in range(1, n):
        a, b, c, j = x[i], s[i], w[i], i
        while j > 0 and x[j - 1] > a:
            x[j], s[j], w[j] = x[j - 1], s[j - 1], w[j - 1]
            j -= 1
        x[j], s[j], w[j] = a, b, c


@kernel
def _scale(variance: float, centre: float, level: float, share: float) -> float:
    """Sigma of a sample about the centre: its noise, and what seeing may do to the light, a share of it."""
    light = share * max(centre - level, 0.0)
    return math.sqrt(variance + light * light)


@kernel
def _inside(deviation: float, scale: float, low: float, high: float) -> bool:
    return -low * scale <= deviation <= high * scale


@kernel
def _kappa_sigma(
    x: FloatArray, v: FloatArray, w: FloatArray, n: int, level: float, share: float, low: float, high: float,
    start: float,
) -> float:  # fmt: skip
    """Weighted mean of the samples within kappa sigma of it, from the median on until nothing changes."""
    centre, before = start, -1
    for _ in range(MOST_ROUNDS):
        total = weight = 0.0
        kept = 0
        for i in range(n):
            if _inside(x[i] - centre, _scale(v[i], centre, level, share), low, high):
                total, weight, kept = total + w[i] * x[i], weight + w[i], kept + 1
        if kept == 0:
            return start
        centre = total / weight
        if kept == before:
            break
        before = kept
    return centre


@kernel
def _winsorized(
    x: FloatArray,
    v: FloatArray,
    w: FloatArray,
    n: int,
    level: float,
    share: float,
    low: float,
    high: float,
    start: float,
    limits: tuple[float, float],
) -> float:
    """Weighted mean of winsorised samples, those beyond kappa sigma of it left out."""
    first, last = int(limits[0] * n), n - 1 - int(limits[1] * n)
    centre = start
    for _ in range(MOST_ROUNDS):
        total = weight = 0.0
        for i in range(n):
            scale = _scale(v[i], centre, level, share)
            if _inside(x[i] - centre, scale, low, high):
                value = min(max(x[i], x[first]), x[last])
                value = min(max(value, centre - HUBER * scale), centre + HUBER * scale)
                total, weight = total + w[i] * value, weight + w[i]
        if weight == 0.0:
            return start
        before, centre = centre, total / weight
        if abs(centre - before) <= 1e-4 * math.sqrt(v[0]):
            break
    return centre


@kernel
def _linear_fit(
    x: FloatArray,
    v: FloatArray,
    w: FloatArray,
    n: int,
    level: float,
    share: float,
    low: float,
    high: float,
    start: float,
    ranges: FloatArray,
    kept: FloatArray,
    rest: FloatArray,
) -> float:
    """Weighted mean of the samples that lie within kappa sigma of a straight line through them in their order.

    The line rises no faster than ordered Gaussian samples do, so that an outlier among three cannot bend it towards itself; it
    goes through the median of what the slope leaves. kept, rest : (n,) float64, scratch
    """
    m = n
    for i in range(n):
        kept[i] = i
    for _ in range(MOST_ROUNDS):
        middle = 0.5 * (m - 1)
        mean = sxy = sxx = square = 0.0
        for j in range(m):
            i = int(kept[j])
            mean += x[i] / m
            square += _scale(v[i], start, level, share) ** 2 / m
        for j in range(m):
            sxy += (j - middle) * (x[int(kept[j])] - mean)
            sxx += (j - middle) * (j - middle)
        slope = 0.0 if m < 2 else min(sxy / sxx, ranges[m] * math.sqrt(square) / (m - 1))
        for j in range(m):
            value, k = x[int(kept[j])] - slope * (j - middle), j
            while k > 0 and rest[k - 1] > value:
                rest[k] = rest[k - 1]
                k -= 1
            rest[k] = value
        line = rest[m // 2] if m % 2 == 1 else 0.5 * (rest[m // 2 - 1] + rest[m // 2])
        good, total, weight = 0, 0.0, 0.0
        for j in range(m):
            i = int(kept[j])
            if _inside(x[i] - line - slope * (j - middle), _scale(v[i], start, level, share), low, high):
                kept[good] = i
                good, total, weight = good + 1, total + w[i] * x[i], weight + w[i]
        if good == 0:
            return start
        if good == m:
            return total / weight
        m = good
    return total / weight


@kernel
def _gather(
    samples: Float32Array,
    n: int,
    y: int,
    x: int,
    channel: int,
    equal: bool,
    share: float,
    values: FloatArray,
    variances: FloatArray,
    weights: FloatArray,
) -> Any:
    """The finite samples of one pixel and channel, in the order of their values; how many there are."""
    channels, kept = (samples.shape[3] - 1) // 2, 0
    for k in range(n):
        value, variance = samples[k, y, x, channel], samples[k, y, x, channels + channel]
        if value == value:
            weight = samples[k, y, x, 2 * channels]
            values[kept], variances[kept] = value, share * variance
            weights[kept] = weight if equal else weight / variance
            kept += 1
    _sort(values, variances, weights, kept)
    return kept


@kernel
def locate(
    samples: Float32Array,
    count: NDArray[np.uint16],
    method: int,
    kappas: tuple[float, float],
    limits: tuple[float, float],
    equal: bool,
    level: FloatArray,
    unlike: float,
    shares: FloatArray,
    ranges: FloatArray,
    out: Float32Array,
) -> None:
    """Robust location of the samples of each pixel and channel.

    method : MEAN, KAPPA_SIGMA, WINSORIZED or LINEAR_FIT; kappas : (low, high) sigma
    limits : (low, high) fractions of the samples that WINSORIZED replaces by their next neighbour before anything else
    level, shares : (channels,) float64, the sky that stays, mosaic units; variance of a sample over the one that lies with it
    unlike : added to the share of the light that seeing may explain: telescopes whose stars have other profiles
    ranges : (depth + 1,) float64, expected largest minus smallest of n samples of unit Gaussian noise
    out : (channels, H, W) float32, NaN where there is no sample
    """
    depth, light = samples.shape[0], SEEING + unlike
    x, v, w = np.empty(depth), np.empty(depth), np.empty(depth)
    kept, rest = np.empty(depth), np.empty(depth)
    for Y in range(count.shape[0]):
        for X in range(count.shape[1]):
            for c in range(out.shape[0]):
                n = _gather(samples, min(count[Y, X], depth), Y, X, c, equal, shares[c], x, v, w)
                if n == 0:
                    out[c, Y, X] = np.nan
                    continue
                start = x[n // 2] if n % 2 == 1 else 0.5 * (x[n // 2 - 1] + x[n // 2])
                if method == KAPPA_SIGMA:
                    out[c, Y, X] = _kappa_sigma(x, v, w, n, level[c], light, kappas[0], kappas[1], start)
                elif method == WINSORIZED:
                    out[c, Y, X] = _winsorized(x, v, w, n, level[c], light, kappas[0], kappas[1], start, limits)
                elif method == LINEAR_FIT:
                    out[c, Y, X] = _linear_fit(
                        x, v, w, n, level[c], light, kappas[0], kappas[1], start, ranges, kept, rest
                    )
                else:
                    out[c, Y, X] = np.sum(w[:n] * x[:n]) / np.sum(w[:n])


@kernel
def weighted_median(
    samples: Float32Array,
    count: NDArray[np.uint16],
    equal: bool,
    out: Float32Array,
) -> None:
    """Where half of the weight of the samples lies on either side; between two samples when that is so between them.

    out : (channels, H, W) float32, NaN where there is no sample
    """
    depth = samples.shape[0]
    x, v, w = np.empty(depth), np.empty(depth), np.empty(depth)
    for Y in range(count.shape[0]):
        for X in range(count.shape[1]):
            for c in range(out.shape[0]):
                n = _gather(samples, min(count[Y, X], depth), Y, X, c, equal, 1.0, x, v, w)
                if n == 0:
                    out[c, Y, X] = np.nan
                    continue
                half, below, i = 0.5 * np.sum(w[:n]), 0.0, 0
                while i < n - 1 and below + w[i] < half * (1.0 - 1e-9):
                    below += w[i]
                    i += 1
                level = x[i]
                if i < n - 1 and below + w[i] <= half * (1.0 + 1e-9):
                    level = 0.5 * (x[i] + x[i + 1])
                out[c, Y, X] = level


@kernel
def count_rejected(
    signs: NDArray[np.int8],
    row0: int,
    nodes_x: FloatArray,
    nodes_y: FloatArray,
    node0: tuple[int, int],
    step: int,
    origin: tuple[int, int],
    box: tuple[int, int, int, int],
    counts: NDArray[np.uint16],
) -> None:
    """Count at each pixel of a box the frames whose nearest raw pixel was rejected.

    signs : (rows, w) int8, of the frame's rows from `row0` on: -1 too dark, 1 too bright, 0 kept
    counts : (2, H, W) uint16, out: too dark, too bright, of a region whose pixel (0, 0) is `origin`
    """
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            j, i = y // step - node0[0], x // step - node0[1]
            fy, fx = (y % step) / step, (x % step) / step
            sx = int(math.floor(lattice(nodes_x, j, i, fy, fx) + 0.5))
            sy = int(math.floor(lattice(nodes_y, j, i, fy, fx) + 0.5)) - row0
            if sx < 0 or sy < 0 or sx >= signs.shape[1] or sy >= signs.shape[0] or signs[sy, sx] == 0:
                continue
            counts[0 if signs[sy, sx] < 0 else 1, y - origin[0], x - origin[1]] += 1
