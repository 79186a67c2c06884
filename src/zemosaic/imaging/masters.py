"""Masters from darks, biases and flats, and what they say about single pixels: arrays in, arrays out.

Methods: mean with clipping about the median for each pixel (as in Newberry 1991, PASP 103, 122, and every reduction
package since); flats are scaled to a common level per colour of the filter array first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.noise import colour_index
from zemosaic.imaging.response import RADIAL_TERMS, frame_coordinates, radial_powers, response

__all__ = [
    "applied",
    "clipped_mean",
    "colour_medians",
    "dead_pixels",
    "full_level",
    "hot_pixels",
    "per_colour",
    "scaled_dark",
    "smooth_flat",
    "smooth_part",
]

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

CLIP = 4.0  # sigma about the median
FEWEST_TO_CLIP = 3
HOT_SIGMA = 8.0  # of the dark's own distribution, per phase of the 2 x 2 cell
MOST_HOT = 0.005  # of the pixels, the hottest: a mean of many darks knows its pixels to a fraction of their noise
DEAD = (0.5, 2.0)  # of the flat around the pixel
CELL = 32  # px, of the flat's surroundings
LEAST_SMOOTH = 0.1  # of the centre; what the fit gives less light is no smooth part
EXACT_ZERO = np.float32(1e-6)  # ADU


def clipped_mean(stack: FloatArray) -> FloatArray:
    """(h, w) mean over the first axis of (n, h, w) without outliers; plain for fewer than 3; NaN where one is NaN.

    Outliers lie more than CLIP standard deviations from the median. The deviation is 1.4826 times the median absolute
    one of the pixel, and at least that of the typical pixel of the stack: of five values it is a poor estimate.
    """
    if len(stack) < FEWEST_TO_CLIP:
        return np.asarray(stack.mean(axis=0, dtype=np.float64), np.float32)
    distance = np.abs(stack - np.median(stack, axis=0))
    own = 1.4826 * np.median(distance, axis=0)
    kept = distance <= CLIP * np.maximum(own, np.nanmedian(own))
    total = np.where(kept, stack, 0.0).sum(axis=0, dtype=np.float64)
    count = kept.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def colour_medians(image: FloatArray, pattern: str | None) -> tuple[float, ...]:
    """Median of the finite pixels of each colour."""
    index = colour_index(pattern)
    medians = []
    for channel in range(int(index.max()) + 1):
        values = np.concatenate([image[y::2, x::2].ravel() for y, x in np.argwhere(index == channel)])
        medians.append(float(np.median(values[np.isfinite(values)])))
    return tuple(medians)


def per_colour(image: FloatArray, pattern: str | None, levels: Sequence[float], row0: int = 0) -> FloatArray:
    """An image, or its rows from `row0` on, over the level of each colour."""
    index = colour_index(pattern)
    out = np.empty_like(image)
    for y in (0, 1):
        for x in (0, 1):
            out[y::2, x::2] = image[y::2, x::2] / np.float32(levels[int(index[(y + row0) % 2, x])])
    return out


def scaled_dark(dark: FloatArray, bias: FloatArray, factor: float) -> FloatArray:
    """What a dark would be after `factor` times its exposure: the dark current grows with time, the bias does not."""
    return bias + (dark - bias) * np.float32(factor)


def hot_pixels(dark: FloatArray) -> BoolArray:
    """(h, w) pixels of a dark that lie more than HOT_SIGMA above the others of their phase, at most MOST_HOT of all."""
    height = np.empty(dark.shape, np.float32)
    for y in (0, 1):
        for x in (0, 1):
            part = dark[y::2, x::2]
            middle = np.nanmedian(part)
            spread = 1.4826 * np.nanmedian(np.abs(part - middle))
            height[y::2, x::2] = (part - middle) / max(float(spread), 1e-6)
    height[~np.isfinite(height)] = np.inf
    most = int(MOST_HOT * dark.size)
    limit = HOT_SIGMA
    if np.count_nonzero(height > limit) > most:
        limit = float(np.partition(height, dark.size - most - 1, axis=None)[dark.size - most - 1])
    return np.asarray(height > limit)


def _cells(flat: FloatArray) -> FloatArray:
    """(ny, nx) medians of a flat without colours in squares of CELL px; the far edges join the last cell."""
    ny, nx = max(flat.shape[0] // CELL, 1), max(flat.shape[1] // CELL, 1)
    rows, columns = min(CELL, flat.shape[0]), min(CELL, flat.shape[1])
    tiles = flat[: ny * rows, : nx * columns].reshape(ny, rows, nx, columns).swapaxes(1, 2)
    return np.asarray(np.nanmedian(tiles.reshape(ny, nx, rows * columns), axis=2), np.float32)


def dead_pixels(flat: FloatArray) -> BoolArray:
    """(h, w) pixels of a flat without colours that see less than half, or more than twice, of what those around them see."""
    cells = _cells(flat)
    y = np.minimum(np.arange(flat.shape[0]) // CELL, cells.shape[0] - 1)
    x = np.minimum(np.arange(flat.shape[1]) // CELL, cells.shape[1] - 1)
    share = flat / np.maximum(cells, 1e-6)[y[:, None], x[None, :]]
    good: BoolArray = (share >= DEAD[0]) & (share <= DEAD[1])
    return ~good


def smooth_part(flat: FloatArray) -> tuple[float, tuple[float, ...]]:
    """Level in the centre, and coefficients of 1 + r1 rho^2 + r2 rho^4, of a flat without colours.

    No coefficients where such a curve would leave a corner with next to no light.
    """
    cells = _cells(flat)
    height, width = flat.shape
    y, x = np.mgrid[0 : cells.shape[0], 0 : cells.shape[1]].astype(float)
    step = (min(CELL, height), min(CELL, width))
    u, v = frame_coordinates((x + 0.5) * step[1] - 0.5, (y + 0.5) * step[0] - 0.5, width, height)
    good = np.isfinite(cells)
    rho2 = (u * u + v * v)[good]
    if rho2.size <= 4 * RADIAL_TERMS:
        return float(np.median(cells[good])), ()
    design = np.concatenate([np.ones((rho2.size, 1)), radial_powers(rho2)], axis=1)
    fit = np.linalg.lstsq(design, cells[good], rcond=None)[0]
    level, coefficients = float(fit[0]), tuple(float(c / fit[0]) for c in fit[1:])
    lowest = float(response(coefficients, np.linspace(0.0, 1.0, 21)).min())
    return (level, coefficients) if lowest > LEAST_SMOOTH else (level, ())


def smooth_flat(shape: tuple[int, int], coefficients: Sequence[float]) -> FloatArray:
    """(h, w) the smooth part of a flat, 1 in the centre."""
    height, width = shape
    u, v = frame_coordinates(np.arange(width), np.arange(height), width, height)
    return response(coefficients, u[None, :] ** 2 + v[:, None] ** 2).astype(np.float32)


def applied(raw: NDArray[Any], dark: FloatArray | None, flat: FloatArray | None) -> FloatArray:
    """(raw - dark) / flat, float32; NaN where one of them is. (h, w), or (3, h, w) of `raw`; None for none.

    After a subtraction no pixel is exactly 0, which elsewhere means that the firmware has cut it there.
    """
    out = np.array(raw, np.float32, order="C")
    if dark is not None:
        out -= dark
        out[out == 0] = EXACT_ZERO
    if flat is not None:
        out /= flat
    return out


def full_level(saturation: float, dark: FloatArray | None, flat: FloatArray | None) -> FloatArray | float:
    """What a raw pixel of `saturation` ADU becomes."""
    level: FloatArray | float = saturation
    if dark is not None:
        level = np.float32(saturation) - dark
    if flat is not None:
        level = level / flat
    return level
