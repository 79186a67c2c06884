"""How deep the mosaic is, and where depth is missing: small maps in, figures out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, label
from scipy.spatial import ConvexHull

from zemosaic.report.values import FloatArray

__all__ = ["Spot", "gap", "limiting_magnitude", "middle_of", "thin_spot"]

Mask = NDArray[np.bool_]
NOISE = 5.0  # times the noise, of a star at the limit
FWHM_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
THIN = 0.5  # of the median depth


@dataclass(frozen=True)
class Spot:
    """Where something is missing: the middle of the largest circle in it."""

    x: float  # blocks, from the left
    y: float  # from the top
    share: float  # of the area with data


def limiting_magnitude(weight: FloatArray, zero_point: float, fwhm: float) -> FloatArray:
    """Magnitude of a star with S/N = 5, fitted by its profile on an empty sky; NaN where there is no weight.

    Its light has the noise sqrt(N / w), w the inverse variance of a pixel and N = 4 pi s^2 the pixels of equivalent noise of a
    Gaussian profile of width s (King 1983, PASP 95, 163); one pixel at least.

    weight : ADU^-2. fwhm : px of the mosaic
    """
    pixels = max(1.0, 4.0 * math.pi * (fwhm / FWHM_SIGMA) ** 2)
    known = np.where(weight > 0, weight, np.nan)
    return np.asarray(zero_point - 2.5 * np.log10(NOISE * np.sqrt(pixels / known)))


def middle_of(values: FloatArray, x: FloatArray, y: FloatArray) -> float:
    """Median of the values inside a polygon, in pixels of their array; NaN where it holds no data."""
    h, w = values.shape
    left, top = max(0, math.floor(np.min(x))), max(0, math.floor(np.min(y)))
    right, bottom = min(w, math.ceil(np.max(x)) + 1), min(h, math.ceil(np.max(y)) + 1)
    if left >= right or top >= bottom:
        return math.nan
    inside = _polygon(x - left, y - top, (bottom - top, right - left))
    some = values[top:bottom, left:right][inside]
    some = some[np.isfinite(some)]
    return float(np.median(some)) if some.size else math.nan


def gap(weight: FloatArray, radius: float) -> Spot | None:
    """The largest hole or notch in the mosaic that holds a circle of this radius (blocks); None: there is none.

    Looked for inside of the convex outline of what is covered.
    """
    covered = weight > 0
    ys, xs = np.nonzero(covered)
    if np.unique(xs).size < 2 or np.unique(ys).size < 2:
        return None
    points = np.column_stack([xs, ys])
    hull = points[ConvexHull(points).vertices].astype(float)
    return _largest(_polygon(hull[:, 0], hull[:, 1], weight.shape) & ~covered, radius, covered.sum())


def thin_spot(weight: FloatArray, radius: float) -> Spot | None:
    """The largest part with less than half of the median depth that holds a circle of this radius (blocks)."""
    covered = weight > 0
    if not covered.any():
        return None
    thin = covered & (weight < THIN * np.median(weight[covered]))
    return _largest(thin, radius, covered.sum())


def _largest(where: Mask, radius: float, area: int) -> Spot | None:
    distance = np.asarray(distance_transform_edt(np.pad(where, 1)))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(distance)), distance.shape)
    if distance[y, x] < max(radius, 1.0):
        return None
    parts, _ = label(where)
    return Spot(float(x), float(y), float(np.count_nonzero(parts == parts[y, x]) / area))


def _polygon(x: FloatArray, y: FloatArray, shape: tuple[int, ...]) -> Mask:
    image = Image.new("L", (shape[1], shape[0]), 0)
    ImageDraw.Draw(image).polygon(list(zip(x.tolist(), y.tolist())), fill=1, outline=1)
    return np.asarray(image) > 0
