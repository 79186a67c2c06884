"""Raw pixels to mosaic units: the model D = F (a S Omega + B) turned round, on a coarse lattice of frame pixels.

F, B and the pixel area are smooth: on a 16 px lattice with bilinear interpolation their error is below
1e-4, in a frame of 640 x 480 too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from zemosaic.imaging.cloud import cloud_shape
from zemosaic.imaging.projection import grid_area, pixel_area, pixel_to_sky
from zemosaic.imaging.skysurface import surface_at
from zemosaic.model import Correction, Grid, Solution

__all__ = [
    "STEP",
    "Calibration",
    "Feather",
    "border_rise",
    "border_weight",
    "calibration",
    "clipping_bias",
    "response_at",
]

STEP = 16  # px between lattice nodes
AREAS = 9  # places along each side of a frame where the area of the mosaic's pixels is found
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Feather:
    """How the weight falls towards the border of a frame."""

    taper: float = 80.0  # px, see `border_rise`
    crop: float = 0.0  # share of the width and height left out on each side
    radial_fraction: float = 0.0  # of the half-diagonal, where the radial weight reaches its floor; 0 = none
    radial_power: float = 2.0
    radial_floor: float = 0.0

    def margins(self, width: int, height: int) -> NDArray[np.float64]:
        """(margin x, margin y, taper) px; the innermost 3.5 px of the border are out of reach of the interpolation."""
        return np.array([3.5 + self.crop * width, 3.5 + self.crop * height, max(self.taper, 1.0)])


@dataclass(frozen=True)
class Calibration:
    """Lattices (p, q, channels): mosaic = raw * scale - offset; weight and variance of a sample in mosaic units."""

    scale: Float32Array
    offset: Float32Array
    weight: Float32Array
    variance: Float32Array


def border_rise(distance: NDArray[np.floating[Any]], taper: float) -> NDArray[np.floating[Any]]:
    """Weight of a frame at distances (px) from where it begins: from 0 to 1 within `taper` px, steep first, level at its end.

    1 - (1 - t)^2: where all frames of a panel end, a weight that lingers near 0 (the smooth step 3 t^2 - 2 t^3) costs twice the
    noise, and what fades is as faint.
    """
    left = 1.0 - np.clip(distance / taper, 0.0, 1.0)
    return np.asarray(1.0 - left * left)


def border_weight(
    x: NDArray[np.float64], y: NDArray[np.float64], margins: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Rise of a frame's weight from its border at places (x, y) px of it; margins as `Feather` has them, shape (h, w)."""
    across, down = (
        border_rise(np.minimum(at, length - 1 - at) - margin, float(margins[2]))
        for at, margin, length in ((x, margins[0], shape[1]), (y, margins[1], shape[0]))
    )
    return np.asarray(across * down)


def response_at(correction: Correction, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """F at offsets (u, v) from the frame's centre in units of the correction's radius."""
    rho2 = u * u + v * v
    result = np.zeros_like(rho2)
    for coefficient in reversed(correction.response):
        result = (result + coefficient) * rho2
    return 1.0 + result


def calibration(
    correction: Correction,
    solution: Solution,
    sigma: tuple[float, ...],
    grid: Grid,
    shape: tuple[int, int],
    feather: Feather,
    equal_weights: bool,
    level: tuple[float, ...],
) -> Calibration:
    """The lattices of one frame of `shape` (h, w) pixels.

    level : mosaic units per channel, the mean sky that the mosaic keeps. It is added as a constant, not through the model:
        times Omega it would bend by 0.5 % in the corners of a field with 1.5 px of distortion.
    """
    height, width = shape
    y, x = (axis.astype(float) for axis in np.ogrid[0 : height + STEP : STEP, 0 : width + STEP : STEP])
    u, v = (x - 0.5 * (width - 1)) / correction.radius, (y - 0.5 * (height - 1)) / correction.radius
    response = response_at(correction, u, v)[..., None]
    centre = np.full_like(x, 0.5 * (width - 1)), np.full_like(y, 0.5 * (height - 1))
    area = (pixel_area(solution, *(centre if correction.flat_fielded else (x, y))) / grid.scale**2)[..., None]
    gain = np.asarray(correction.gain) * cloud_shape(np.array(correction.cloud), u, v)[..., None]
    sky = np.stack([surface_at(c, u, v) for c in correction.sky], axis=-1)
    scale = 1.0 / (response * gain * area)
    # a frame coarser than the mosaic repeats its noise over several pixels; of a finer one not every pixel is used. Mosaic pixels
    # show less sky towards the edge of most maps
    own = _mosaic_area(solution, grid, shape, x, y)[..., None]
    variance = (np.asarray(sigma) * scale) ** 2 * np.maximum(area / own, 1.0)
    quality = correction.weight * _radial(feather, np.hypot(u, v))[..., None]
    weight = quality * (np.ones_like(variance) if equal_weights else 1.0 / variance)
    offset = sky / (gain * area) + correction.pedestal * scale - np.asarray(level)
    return Calibration(*(np.ascontiguousarray(a, np.float32) for a in (scale, offset, weight, variance)))


def _mosaic_area(
    solution: Solution, grid: Grid, shape: tuple[int, int], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solid angle of the mosaic's pixels, scale^2, where the pixels (x, y), a row and a column, of a frame fall.

    Bilinear between AREAS x AREAS places of the frame, since projections cost time; 1 where the map has none.
    """
    py, px = (np.linspace(0.0, side - 1.0, AREAS) for side in shape)
    area = grid_area(grid, *pixel_to_sky(solution, *np.meshgrid(px, py)))
    across, down = (
        np.maximum(1.0 - np.abs(np.clip(at.ravel(), 0.0, places[-1])[:, None] - places) / places[1], 0.0)
        for at, places in ((x, px), (y, py))
    )
    result: NDArray[np.float64] = down @ np.where(np.isfinite(area), area, 1.0) @ across.T
    return result


def _radial(feather: Feather, rho: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power of a cosine that is 1 in the centre and reaches the floor at the given fraction of the half-diagonal."""
    if feather.radial_fraction <= 0.0:
        return np.ones_like(rho)
    falling: NDArray[np.float64] = (
        np.cos(0.5 * np.pi * np.minimum(rho / feather.radial_fraction, 1.0)) ** feather.radial_power
    )
    return np.maximum(falling, feather.radial_floor)


def clipping_bias(mean: NDArray[np.float32] | float, sigma: float | NDArray[np.float64]) -> NDArray[np.float32]:
    """E[max(0, x)] - mean for Gaussian x: what cutting a frame at 0 adds to a pixel.

    The integral of the normal distribution's tail: sigma (phi(z) - z Phi(-z)) with z = mean / sigma.
    """
    z = np.asarray(mean, np.float64) / sigma
    bias = sigma * (np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) - z * ndtr(-z))
    result: NDArray[np.float32] = bias.astype(np.float32)
    return result
