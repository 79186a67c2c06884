"""Fluxes of stars in apertures that follow the FWHM, on the planes of a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from zemosaic.imaging.demosaic import BAYER_SHARE, BILINEAR_VARIANCE, LUMINANCE_SIGMA, cfa_colours
from zemosaic.kernels import stars as kernels
from zemosaic.kernels.demosaic import bilinear

__all__ = ["GAUSS", "PIXEL_SIGMA", "Band", "bands", "fluxes"]

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]

GAUSS = math.sqrt(8 * math.log(2))  # FWHM / sigma
PIXEL_SIGMA = math.sqrt(1 / 12)  # px per axis; apertures see an image of flat squares
ANNULUS = (2.0, 3.5)  # inner and outer radius over the FWHM
ANNULUS_CLIP = 3.0
ANNULUS_ROUNDS = 3
ANNULUS_PIXELS = 12.0  # at least so wide (outer radius, px): the sky is known better than the aperture's sum
# Blur of a bilinear plane, px per axis: red and blue are spread by [1 2 1] / 4 along both axes, green by a cross.
BILINEAR_SIGMA = (math.sqrt(0.5), 0.5, math.sqrt(0.5))
# A frame that was debayered bilinearly: noise of a wide sum over the noise of its mean pixel (0.5625, 0.625 of a raw one).
DEBAYERED_VARIANCE = (4.0 / 0.5625, 2.0 / 0.625, 4.0 / 0.5625)


@dataclass(frozen=True)
class Band:
    """An image in which fluxes are measured."""

    image: FloatArray  # (h, w) ADU
    blur: float  # px, sigma per axis by which it is wider than the frame
    variance: float  # ADU^2 per px, of a sum over a wide aperture


def bands(data: FloatArray, light: FloatArray, pattern: str | None, sigma: tuple[float, ...]) -> list[Band]:
    """The luminance and the channels."""
    square = np.square(sigma)
    if data.ndim == 3:
        square = square * DEBAYERED_VARIANCE
        channels = [Band(np.ascontiguousarray(plane), 0.0, v) for plane, v in zip(data, square)]
        return [Band(light, LUMINANCE_SIGMA, float(square.sum()) / 9), *channels]
    if pattern is None:
        return [Band(light, LUMINANCE_SIGMA, float(square[0])), Band(data, 0.0, float(square[0]))]
    planes = np.empty((3, *data.shape), np.float32)
    bilinear(data, cfa_colours(pattern), planes.transpose(1, 2, 0))
    variance = square * BILINEAR_VARIANCE
    mean = float(square @ BAYER_SHARE)  # each raw pixel enters a wide sum of the luminance once
    channels = [Band(*band) for band in zip(planes, BILINEAR_SIGMA, variance)]
    return [Band(light, LUMINANCE_SIGMA, mean), *channels]


def _annulus_sky(image: FloatArray, x: DoubleArray, y: DoubleArray, fwhm: float) -> tuple[DoubleArray, int]:
    """Clipped mean around each star, ADU, and the number of pixels. A mean, since that of a frame cut at 0 is no median."""
    inner, outer = ANNULUS[0] * fwhm, max(ANNULUS[1] * fwhm, ANNULUS_PIXELS)
    steps = np.arange(-math.ceil(outer), math.ceil(outer) + 1)
    distance = np.hypot(steps[:, None], steps[None, :])
    dy, dx = np.nonzero((distance >= inner) & (distance <= outer))
    sky = np.empty(len(x))
    kernels.ring_means(image, x, y, steps[dy], steps[dx], ANNULUS_CLIP, ANNULUS_ROUNDS, sky)
    return sky, dy.size


def _covered(shape: tuple[int, ...], x: DoubleArray, y: DoubleArray, radius: float) -> DoubleArray:
    """Area of circles inside the frame, px: all of it but near the edges, whose corners and sides a small frame has as well."""
    reach = math.ceil(radius + 1.0)
    size = 2 * reach + 1
    places, cut = [], np.zeros(len(x), np.bool_)
    for place, length in ((x, shape[1]), (y, shape[0])):
        far = place > length - 1 - reach
        cut |= far | (place < reach)
        moved = np.where(far, place - (length - size), np.minimum(place, reach))
        places.append(moved if length > size else place)
    covered = np.full(len(x), math.pi * radius**2)
    if cut.any():
        ones = np.ones([min(length, size) for length in shape], np.float32)
        covered[cut] = sep.sum_circle(ones, places[0][cut], places[1][cut], radius, subpix=0)[0]
    return covered


def fluxes(band: Band, x: DoubleArray, y: DoubleArray, fwhm: float, aperture: float) -> tuple[DoubleArray, float]:
    """Flux in an aperture whose radius is `aperture` times the FWHM in this band, ADU, and its noise from the sky.

    The blur softens the edge of the aperture as the raw pixels see it: the mean square of their weights is that of an
    area smaller by E|t1 - t2| / 2 = sigma / sqrt(pi) all round, t1 and t2 two draws from the blur.
    """
    blur = math.hypot(band.blur, PIXEL_SIGMA)
    width = math.hypot(fwhm, GAUSS * blur)
    radius = aperture * width
    area = math.pi * radius**2
    seen = area * (1 - 2 * blur / (math.sqrt(math.pi) * radius))
    sky, n_sky = _annulus_sky(band.image, x, y, width)
    total = sep.sum_circle(band.image, x, y, radius, subpix=0)[0]
    return total - sky * _covered(band.image.shape, x, y, radius), math.sqrt(band.variance * (seen + area**2 / n_sky))
