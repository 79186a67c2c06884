"""A smooth gradient of the sky, found on a picture of the whole mosaic, to be taken off pictures, never off the linear product.

What moonlight and town leave in every sub alike stays in the mosaic: no overlap tells of it. A surface of second order through
the sky of cells follows it; so does a nebula that fills the picture, which is why this is for the eye alone, and asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.robust import NORMAL_MAD

__all__ = ["Gradient", "fit_gradient"]

FloatImage = NDArray[np.float32]
FloatArray = NDArray[np.float64]

CELLS = 24  # along the longer side
TERMS = 6  # of a surface of second order
FEWEST_CELLS = 3 * TERMS
ROUNDS = 8
CLIP_PIXELS, CLIP_CELLS = 2.0, 2.5  # sigma above the middle, beyond which it is a star, or a nebula


@dataclass(frozen=True)
class Gradient:
    """Surfaces over a mosaic, in ADU about their mean; coordinates run from -1 to 1 over its width and height."""

    terms: tuple[tuple[float, ...], ...]  # a channel each: 1, u, v, u u, u v, v v

    def take_off(self, data: FloatImage, u: FloatArray, v: FloatArray) -> None:
        """Subtract it in place. data : (channels, h, w); u, v : (w,), (h,) coordinates of its columns and rows."""
        for channel, terms in zip(data, self.terms):
            a, b, c, d, e, f = np.array(terms, np.float32)
            across, down = u.astype(np.float32)[None], v.astype(np.float32)[:, None]
            channel -= (a + b * across + d * across**2) + down * (c + e * across + f * down)


def fit_gradient(data: FloatImage, weight: FloatImage) -> Gradient:
    """The surface of the sky under (channels, h, w) ADU, NaN where there is no data; flat where too little sky is seen."""
    channels, height, width = data.shape
    side = max(1, -(-max(height, width) // CELLS))
    covered = np.isfinite(data).all(axis=0) & (weight > 0)
    places, levels = list[tuple[float, float]](), list[list[float]]()
    for top in range(0, height, side):
        for left in range(0, width, side):
            part = slice(top, top + side), slice(left, left + side)
            seen = covered[part]
            if 2 * np.count_nonzero(seen) >= side * side:
                middle = (min(left + side, width) + left - 1) / 2, (min(top + side, height) + top - 1) / 2
                places.append((2 * middle[0] / max(width - 1, 1) - 1, 2 * middle[1] / max(height - 1, 1) - 1))
                levels.append([_sky(channel[part][seen]) for channel in data])
    if len(places) < FEWEST_CELLS:
        return Gradient(((0.0,) * TERMS,) * channels)
    u, v = np.array(places).T
    terms = np.column_stack([np.ones_like(u), u, v, u * u, u * v, v * v])
    return Gradient(tuple(_surface(terms, np.array(level)) for level in zip(*levels)))


def _sky(values: FloatImage) -> float:
    """Median of what is not above it by more than noise."""
    some = np.asarray(values, np.float64)
    for _ in range(ROUNDS):
        level = float(np.median(some))
        below = level - some[some < level]
        sigma = NORMAL_MAD * float(np.median(below)) if below.size else 0.0
        kept = some[some <= level + CLIP_PIXELS * sigma]
        if kept.size in (0, some.size):
            break
        some = kept
    return float(np.median(some))


def _surface(terms: FloatArray, levels: FloatArray) -> tuple[float, ...]:
    """Coefficients of the surface through the cells that no nebula lifts, less its mean over all cells."""
    good = np.ones(levels.size, bool)
    for _ in range(ROUNDS):
        found = np.linalg.lstsq(terms[good], levels[good])[0]
        off = levels - terms @ found
        sigma = NORMAL_MAD * float(np.median(np.abs(off[good])))
        now = (off <= CLIP_CELLS * sigma + 1e-9) & (off >= -2 * CLIP_CELLS * sigma - 1e-9)
        if now.sum() < FEWEST_CELLS or np.array_equal(now, good):
            break
        good = now
    found[0] -= float(np.mean(terms @ found))
    return tuple(found.tolist())
