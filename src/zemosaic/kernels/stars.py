"""Stars: the background taken off, the radius that holds half of their light, the sky in a ring around them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["half_light_radii", "ring_means", "subtract_coarse"]

RINGS = 64  # in which the light of a star is added up
SOME = 4  # every such pixel of a ring gives the first bounds
SPLIT = 5  # most parts of a pixel along each axis, each in its ring; wide rings need fewer
CORE = 0.6  # of the reach, within which half of a star's light is found; beyond, a pixel is one part but at the edge


@kernel
def half_light_radii(
    image: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    reach: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Radius of the circle about each place that holds half of what a circle of radius `reach` holds.

    image : (h, w) float32, sky taken off; x, y, reach, out : (n,) px. NaN where there is no light, or no pixel.
    """
    rings = np.empty(RINGS)
    for star in range(x.size):
        rings[:] = 0.0
        width, far = reach[star] / RINGS, reach[star] + 1.0
        parts, inverse = min(max(int(math.ceil(0.6 / width)), 1), SPLIT), 1.0 / width
        for j in range(max(int(y[star] - far), 0), min(int(y[star] + far) + 2, image.shape[0])):
            for i in range(max(int(x[star] - far), 0), min(int(x[star] + far) + 2, image.shape[1])):
                away = math.sqrt((i - x[star]) ** 2 + (j - y[star]) ** 2)
                if away > reach[star] + 0.71:
                    continue
                if CORE * reach[star] < away < reach[star] - 0.71:
                    rings[int(away * inverse)] += image[j, i]
                    continue
                light, start, step = image[j, i] / (parts * parts), 0.5 / parts - 0.5, 1.0 / parts
                for b in range(parts):
                    dy = j - y[star] + start + b * step
                    for a in range(parts):
                        dx = i - x[star] + start + a * step
                        ring = int(math.sqrt(dx * dx + dy * dy) * inverse)
                        if ring < RINGS:
                            rings[ring] += light
        half, inside = 0.5 * rings.sum(), 0.0
        out[star] = np.nan
        if half > 0.0:
            for ring in range(RINGS):
                if inside + rings[ring] >= half:
                    out[star] = width * (ring + (half - inside) / rings[ring])
                    break
                inside += rings[ring]


@kernel
def _smallest(values: NDArray[np.float64], n: int, k: int) -> Any:
    """The k-th smallest (from 0) of the first n values, which are put on their sides of it (Hoare 1961, CACM 4, 321)."""
    low, high = 0, n - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@kernel
def _median(values: NDArray[np.float64], n: int) -> Any:
    """Median of the first n values, which lose their order."""
    upper = _smallest(values, n, n // 2)
    if n % 2 == 1:
        return upper
    lower = values[0]
    for k in range(1, n // 2):
        lower = max(lower, values[k])
    return 0.5 * (lower + upper)


@kernel
def ring_means(
    image: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    dy: NDArray[np.int64],
    dx: NDArray[np.int64],
    clip: float,
    rounds: int,
    out: NDArray[np.float64],
) -> None:
    """Clipped mean of the pixels at offsets (dy, dx) from the pixel nearest to each place.

    The first bounds are `clip` times 1.4826 MAD about the median of some of the pixels, those of `rounds` - 1 more the standard
    deviation of what was kept about its mean. Places beyond the image stand for the nearest pixel of it.

    image : (h, w) float32, without NaN; x, y, out : (n,); dy, dx : (m,)
    """
    values, scratch = np.empty(dy.size), np.empty(dy.size)
    for star in range(x.size):
        row, column = int(np.rint(y[star])), int(np.rint(x[star]))
        for k in range(dy.size):
            j = min(max(row + dy[k], 0), image.shape[0] - 1)
            values[k] = image[j, min(max(column + dx[k], 0), image.shape[1] - 1)]
        some = (dy.size + SOME - 1) // SOME
        scratch[:some] = values[::SOME]
        middle = _median(scratch, some)
        for k in range(some):
            scratch[k] = abs(values[SOME * k] - middle)
        spread = 1.4826 * _median(scratch, some)
        for _ in range(rounds):
            total = square = count = 0.0
            bound = clip * spread
            for k in range(values.size):  # without a branch, so that the compiler takes several at once
                away = values[k] - middle
                kept = 1.0 if abs(away) <= bound else 0.0
                total += kept * away
                square += kept * away * away
                count += kept
            mean = total / max(count, 1.0)
            middle, spread = middle + mean, math.sqrt(max(square / max(count, 1.0) - mean * mean, 0.0))
        out[star] = middle


@kernel
def subtract_coarse(image: NDArray[np.float32], coarse: NDArray[np.float32]) -> None:
    """Take off what is known at every second pixel along both axes, interpolated bilinearly; beyond the last it stays the same.

    image : (h, w) float32, in and out; coarse : (ceil(h / 2), ceil(w / 2)) float32
    """
    h, w = image.shape
    row = np.empty(coarse.shape[1] + 1, np.float32)
    half = np.float32(0.5)
    for y in range(h):
        below = min((y + 1) // 2, coarse.shape[0] - 1)
        for i in range(coarse.shape[1]):
            row[i] = half * (coarse[y // 2, i] + coarse[below, i])
        row[-1] = row[-2]
        for i in range(w // 2):
            image[y, 2 * i] -= row[i]
            image[y, 2 * i + 1] -= half * (row[i] + row[i + 1])
        if w % 2 == 1:
            image[y, w - 1] -= row[w // 2]
