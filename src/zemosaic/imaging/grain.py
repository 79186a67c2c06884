"""Noise of a picture made even, for the eye only: thinly covered parts are shown with hardly more grain than the rest.

A local Wiener filter (Lee 1980, IEEE PAMI-2, 165) whose noise is what was measured on well covered pixels, scaled by the weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.robust import NORMAL_MAD
from zemosaic.kernels.blur import blur

__all__ = ["REACH", "WELL_COVERED", "bands", "blurred", "evened", "grains", "lifted", "sampled", "well_covered"]

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

WELL_COVERED = 0.3  # of the median weight; below, the noise is not typical
STAR_REACH = 4.0  # sigma; what stands out more does not colour the local mean of its neighbours
DOUBT = 3.0  # local power below so many times the noise power counts as noise: it is itself noisy
DARKEST = 3.0  # times the grain below the sky: nothing on the sky is darker, a single frame's pixels may be
POWER_RADIUS = 1.5  # px
BLUR_REACH = 3.0  # sigma of a Gaussian; what is farther away has no part in it
BAND_ROWS = 128
SAMPLE = 1_000_000  # px, from which medians and quantiles of large pictures are taken


@dataclass(frozen=True)
class _Filter:
    """How strongly an image is denoised."""

    radius: float  # px, Gaussian sigma of the local mean
    grain: float  # share of the typical noise that stays, so that the result does not look like plastic
    # times that the radius may double where coverage is thin, so that the local mean is as calm as elsewhere
    wider: int = 0
    level: bool = False  # draw the local mean to 0 instead, for colour: nebulae would end where coverage thins

    @property
    def reach(self) -> int:
        """px, from which a pixel is influenced."""
        return 2 * int(3 * self.radius * 2**self.wider + 1) + 6


LIGHT_FILTER = _Filter(radius=2.5, grain=0.4, wider=2)
COLOUR_FILTER = _Filter(radius=8.0, grain=0.1, level=True)
REACH = max(LIGHT_FILTER.reach, COLOUR_FILTER.reach)  # px, from which a pixel of the result is influenced


def well_covered(weight: FloatImage, covered: Mask) -> Mask:
    """Covered pixels of typical noise."""
    if not covered.any():
        return covered
    good: Mask = covered & (weight >= WELL_COVERED * np.median(weight[covered]))
    return good


def grains(values: FloatImage, weight: FloatImage, covered: Mask) -> tuple[float, ...]:
    """Sigma of the fine detail of the luminance, and of each channel's difference from it, on well covered pixels."""
    good, light = well_covered(weight, covered), values.mean(axis=0)
    found = [_grain(light, good, LIGHT_FILTER)]
    if len(values) > 1:
        found += [_grain(channel - light, good, COLOUR_FILTER) for channel in values]
    return tuple(found)


def _grain(image: FloatImage, good: Mask, how: _Filter) -> float:
    return NORMAL_MAD * float(np.median(np.abs(sampled(_detail(image, how.radius), good))))


def lifted(values: FloatImage, weight: FloatImage, covered: Mask, typical: float, noise: tuple[float, ...]) -> None:
    """Nothing is darker than the sky, in place; what is by more than its noise would be black, or the colour that it lacks.

    typical : weight of the pixels that have the `noise`, by channel
    """
    for band, _, _ in bands(len(weight), 0):
        deviation = np.sqrt(typical / np.where(covered[band], weight[band], typical)).astype(np.float32)
        for channel, sigma in zip(values, noise):
            np.maximum(channel[band], np.float32(-STAR_REACH * sigma) * deviation, out=channel[band])


def evened(values: FloatImage, weight: FloatImage, covered: Mask, typical: float, sigmas: Sequence[float]) -> None:
    """Filter luminance and colour differences in place.

    sigmas : as of `grains`, of pixels with the weight `typical`
    """
    light = values.mean(axis=0)
    smooth = _wiener(light, weight, covered, (typical, sigmas[0]), LIGHT_FILTER)
    if len(values) == 1:
        values[0] = smooth
        return
    for channel, sigma in zip(values, sigmas[1:]):
        channel -= light
        channel[:] = _wiener(channel, weight, covered, (typical, sigma), COLOUR_FILTER)
        channel += smooth


def _wiener(
    image: FloatImage, weight: FloatImage, covered: Mask, known: tuple[float, float], how: _Filter
) -> FloatImage:
    """Local mean plus as much of the detail as is not noise; no data has no part in the mean.

    known : a weight, and the sigma of the detail of pixels that have it
    """
    typical, sigma = known
    if sigma == 0:
        return image.copy()
    result = np.empty_like(image)
    for inner, outer, core in bands(len(image), how.reach):
        seen = covered[outer]
        noise = np.sqrt(typical / np.where(seen, weight[outer], np.inf)).astype(np.float32)
        noise[~seen] = np.inf
        result[inner] = _denoised(image[outer], sigma * noise, seen, sigma, how)[core]
    return result


def _denoised(image: FloatImage, noise: FloatImage, covered: Mask, sigma: float, how: _Filter) -> FloatImage:
    """Local mean of the calm pixels, and the detail that stands out of the noise or is no more than the grain.

    Where the noise is above the typical `sigma`, so is that of the local mean: it is held to the typical one, so that the
    eye finds no border where the number of frames changes. Detail of colour needs more evidence there by as much, and no
    luminance falls far below the sky: single pixels of a single frame would be red, blue and black specks.
    """
    calm = covered & (np.abs(_detail(image, how.radius)) <= STAR_REACH * noise)
    mean = _mean_of(image, calm, how.radius)
    for k in range(how.wider):  # the noise of the mean goes with 1 / radius
        share = np.clip(2 - 2 ** (k + 1) * sigma / noise, 0, 1)
        mean += share * (_mean_of(image, calm, how.radius * 2 ** (k + 1)) - mean)
    detail = image - mean
    power = blurred(detail * detail, POWER_RADIUS)
    if how.level:
        mean *= np.clip(_signal_share(mean * mean, noise / np.float32(how.radius)), np.minimum(1, sigma / noise), 1)
        power /= np.maximum(1, noise / sigma)
    detail *= np.clip(_signal_share(power, noise), np.minimum(1, how.grain * sigma / noise), 1)
    if not how.level:
        np.maximum(detail, -np.maximum(mean, 0) - np.float32(DARKEST * how.grain * sigma), out=detail)
    mean += detail
    return mean


def _mean_of(image: FloatImage, mask: Mask, radius: float) -> FloatImage:
    """Gaussian mean of the masked pixels."""
    mean = blurred(np.where(mask, image, np.float32(0)), radius)
    mean /= np.maximum(blurred(mask.astype(np.float32), radius), np.float32(0.1))
    return mean


def _signal_share(power: FloatImage, noise: FloatImage) -> FloatImage:
    """Wiener's factor, 1 - noise power / power; may be below 0."""
    share = 1 - DOUBT * noise * noise / np.maximum(power, np.finfo(np.float32).tiny)
    return share.astype(np.float32, copy=False)


def blurred(image: FloatImage, radius: float) -> FloatImage:
    """Gaussian mean, sigma `radius` in px."""
    steps = np.arange(int(BLUR_REACH * radius + 0.5) + 1)
    weights = np.exp(-0.5 * np.square(steps / radius))
    out = np.empty(image.shape, np.float32)
    weights /= weights[0] + 2.0 * weights[1:].sum()
    blur(np.ascontiguousarray(image, np.float32), weights.astype(np.float32), out)
    return out


def _detail(image: FloatImage, radius: float) -> FloatImage:
    smooth = blurred(image, radius)
    np.subtract(image, smooth, out=smooth)
    return smooth


def bands(height: int, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Bands of rows that keep temporaries small: the band, the band with its margins, the band inside that."""
    for start in range(0, height, BAND_ROWS):
        stop = min(start + BAND_ROWS, height)
        first, last = max(0, start - margin), min(height, stop + margin)
        yield slice(start, stop), slice(first, last), slice(start - first, stop - first)


def sampled(image: FloatImage, mask: Mask) -> FloatImage:
    """Masked pixels, from a regular subset of a large image."""
    step = math.ceil(math.sqrt(image.size / SAMPLE))
    chosen: FloatImage = image[::step, ::step][mask[::step, ::step]]
    return chosen if chosen.size else image[mask]
