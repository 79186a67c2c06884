"""The preview's tone: from linear mosaic to 8-bit picture. For the eye only: no number is ever read back from it.

The steps, each on covered pixels only:

1. the sky level and noise of each channel on the same sky pixels, found from the low side of the histogram, so that
   stars and nebulae do not enter; taking it off makes the sky neutral;
2. the white balance: the median star is white (raw colour filter arrays see more green);
3. a local Wiener filter that evens the noise out, so that thinly covered edges and coloured grain do not catch the eye;
4. one curve for all channels, a mixture of the midtones transfer function and an arcsinh, applied so that the colour
   of bright stars and galaxy cores survives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zemosaic.imaging.display import BACKGROUND, midtones
from zemosaic.kernels.blur import blur

__all__ = ["BACKGROUND", "Tone", "autostretch", "measure_tone"]

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

NORMAL_MAD = 1.4826  # sigma over median absolute deviation of a normal distribution
SKY_ROUNDS = 30  # the level moves by less than 1e-3 sigma long before
SKY_REACH = 1.5  # sigma on either side of the sky level that count as sky
WELL_COVERED = 0.3  # of the median weight; below, the noise is not typical
BLACK_POINTS = (5.0, 10.0)  # sigma below the sky: least and most
CLIPPED = 0.001  # share of the samples that may fall below the black point
STAR_DETECTION = 10.0  # sigma
STAR_RADIUS = 3.0  # px; at 1.2 bilinear demosaicing, which blurs green less, makes stars 12 % too green (real S50 subs)
STARS_NEEDED = 10  # for a white balance; fewer decide nothing
SATURATED_SHARE = 0.05  # of the stars, the brightest: their colour may be clipped
BALANCE_LIMIT = 3.0
STAR_REACH = 4.0  # sigma; what stands out more does not colour the local mean of its neighbours
DOUBT = 3.0  # local power below so many times the noise power counts as noise: it is itself noisy
DARKEST = 3.0  # times the grain below the sky: nothing on the sky is darker, a single frame's pixels may be
POWER_RADIUS = 1.5  # px
BLUR_REACH = 3.0  # sigma of a Gaussian; what is farther away has no part in it
ARCSINH_SHARE = 0.35  # of the curve; at 0 the core of M 94 is a white disc, at 0.5 faint nebulae stay dim
WHITE = 0.9999  # quantile of the luminance that is shown white
KNEE = 0.85  # display value of the brightest channel above which colours give way to white
COLOUR_KEPT = 0.7  # 1 keeps the ratios of the channels, 0 stretches each channel by itself
BAND_ROWS = 128
SAMPLE = 1_000_000  # px, from which medians and quantiles of large pictures are taken


@dataclass(frozen=True)
class _Filter:
    """How strongly an image is denoised."""

    radius: float  # px, Gaussian sigma of the local mean
    grain: float  # share of the typical noise that stays, so that the result does not look like plastic
    wider: int = (
        0  # times that the radius may double where coverage is thin, so that the local mean is as calm as elsewhere
    )
    level: bool = False  # draw the local mean to 0 instead, for colour: nebulae would end where coverage thins

    @property
    def reach(self) -> int:
        """px, from which a pixel is influenced."""
        return 2 * int(3 * self.radius * 2**self.wider + 1) + 6


LIGHT_FILTER = _Filter(radius=2.5, grain=0.4, wider=2)
COLOUR_FILTER = _Filter(radius=8.0, grain=0.1, level=True)


@dataclass(frozen=True)
class Tone:
    """What the curve needs, measured on a mosaic.

    A channel is brought to (data - sky) * balance; `noise` is the sigma of a typical sky pixel after that.
    """

    sky: tuple[float, ...]  # ADU per channel
    noise: tuple[float, ...]  # ADU per channel, balanced
    balance: tuple[float, ...]  # factor per channel, mean 1


def measure_tone(data: FloatImage, weight: FloatImage) -> Tone:
    """Sky, noise and white balance of a mosaic.

    Parameters
    ----------
    data : (channels, h, w) float32, ADU; NaN is no data
    weight : (h, w) float32, inverse variance; 0 is no data
    """
    sky_mask = _sky_pixels(data, weight)
    sky = tuple(float(np.median(channel[sky_mask])) if sky_mask.any() else 0.0 for channel in data)
    balance = _white_balance(data, sky, weight) if len(data) > 1 else (1.0,)
    good = _well_covered(weight, np.isfinite(data).all(axis=0) & (weight > 0))
    noise = tuple(_spread_below(c[good], s) * b for c, s, b in zip(data, sky, balance))
    return Tone(sky=sky, noise=noise, balance=balance)


def autostretch(
    data: FloatImage, weight: FloatImage, background: float = BACKGROUND, *, overwrite: bool = False
) -> NDArray[np.uint8]:
    """A picture of a linear mosaic with a neutral dark sky; rows in the order of `data`.

    Parameters
    ----------
    data : (channels, h, w) float32, ADU, 1 or 3 channels; NaN is no data
    weight : (h, w) float32, inverse variance, any constant factor; 0 is no data
    background : display level of the sky, 0..1
    overwrite : use the memory of `data` for work; about 40 bytes a pixel are needed at the peak, 50 without

    Returns
    -------
    (h, w, 3) uint8, or (h, w) for one channel. No data is black; a mosaic without any structure or noise is flat
    at the background level.
    """
    covered = np.isfinite(data).all(axis=0) & (weight > 0)
    shape = (*covered.shape, 3) if len(data) == 3 else covered.shape
    if not covered.any():
        return np.zeros(shape, np.uint8)
    tone = measure_tone(data, weight)
    values = data if overwrite else data.astype(np.float32)
    for channel, sky, balance in zip(values, tone.sky, tone.balance):
        channel -= np.float32(sky)
        channel *= np.float32(balance)
        channel[~covered] = 0
    if max(tone.noise) > 0:
        _lift_wild_pixels(values, weight, covered, tone.noise)
        _even_noise(values, weight, covered)
    _apply_curve(values, weight, covered, background)
    picture = np.empty((*covered.shape, len(values)), np.uint8)
    for c, channel in enumerate(values):
        picture[..., c] = np.where(covered, np.rint(np.clip(channel, 0, 1) * 255), 0)
    return picture.reshape(shape)


def _well_covered(weight: FloatImage, covered: Mask) -> Mask:
    """Covered pixels of typical noise."""
    if not covered.any():
        return covered
    good: Mask = covered & (weight >= WELL_COVERED * np.median(weight[covered]))
    return good


def _sky_pixels(data: FloatImage, weight: FloatImage) -> Mask:
    """Pixels within SKY_REACH sigma of the lowest crowd of the histogram of the summed channels.

    Starts below the median and climbs: a symmetric window about a point on the rising flank has its median above it,
    so that the level rests on the first mode, also when nebulosity fills most of the picture.
    """
    covered = np.isfinite(data).all(axis=0) & (weight > 0)
    if not covered.any():
        return covered
    good = _well_covered(weight, covered)
    light = data.sum(axis=0, dtype=np.float32)
    values = np.sort(light[good])
    level = float(values[len(values) // 4])
    sigma = 0.0
    for _ in range(SKY_ROUNDS):
        below = level - values[: np.searchsorted(values, level, "right")]
        sigma = NORMAL_MAD * float(np.median(below))
        start, stop = np.searchsorted(values, [level - SKY_REACH * sigma, level + SKY_REACH * sigma], "left")
        if stop <= start:
            break
        level = float(np.median(values[start:stop]))
    near: Mask = good & (np.abs(light - np.float32(level)) <= SKY_REACH * sigma)
    return near if near.any() else good


def _spread_below(values: FloatImage, level: float) -> float:
    """Sigma of the values below a level: stars and nebulae are all above it."""
    below = level - values[values < level]
    return NORMAL_MAD * float(np.median(below)) if below.size else 0.0


def _white_balance(data: FloatImage, sky: tuple[float, ...], weight: FloatImage) -> tuple[float, ...]:
    """Factors that make the median star grey; ones when there are too few stars.

    Stars are peaks of the difference of two Gaussians, which removes nebulae of any colour.
    """
    covered = np.isfinite(data).all(axis=0) & (weight > 0)
    points = np.zeros(covered.shape, np.float32)
    for channel, level in zip(data, sky):
        points += _small_scale(np.where(covered, channel - np.float32(level), np.float32(0)))
    peak = (points == ndimage.maximum_filter(points, size=7)) & covered
    sigma = NORMAL_MAD * float(np.median(np.abs(points[covered]))) if covered.any() else 0.0
    rows, columns = np.nonzero(peak & (points > STAR_DETECTION * sigma)) if sigma > 0 else (np.array([]), np.array([]))
    if len(rows) < STARS_NEEDED:
        return (1.0,) * len(data)
    order = np.argsort(-points[rows, columns])[int(SATURATED_SHARE * len(rows)) :]
    rows, columns = rows[order], columns[order]
    share = []
    for channel, level in zip(data, sky):
        detail = _small_scale(np.where(covered, channel - np.float32(level), np.float32(0)))
        share.append(float(np.median(detail[rows, columns] / points[rows, columns])))
    factors = 1.0 / np.clip(share, 1e-3, None)
    factors = np.clip(factors / np.median(factors), 1 / BALANCE_LIMIT, BALANCE_LIMIT)
    return tuple(float(f) for f in factors / factors.mean())


def _small_scale(image: FloatImage) -> FloatImage:
    fine = _blurred(image, STAR_RADIUS)
    fine -= _blurred(image, 3 * STAR_RADIUS)
    return fine


def _lift_wild_pixels(values: FloatImage, weight: FloatImage, covered: Mask, noise: tuple[float, ...]) -> None:
    """Nothing is darker than the sky; what is by more than its noise would be black, or the colour that it lacks."""
    typical = float(np.median(_sample(weight, covered)))
    for band, _, _ in _bands(len(weight), 0):
        deviation = np.sqrt(typical / np.where(covered[band], weight[band], typical)).astype(np.float32)
        for channel, sigma in zip(values, noise):
            np.maximum(channel[band], np.float32(-STAR_REACH * sigma) * deviation, out=channel[band])


def _even_noise(values: FloatImage, weight: FloatImage, covered: Mask) -> None:
    """Filter luminance and colour differences in place (see `_wiener`)."""
    light = values.mean(axis=0)
    smooth = _wiener(light, weight, covered, LIGHT_FILTER)
    if len(values) == 1:
        values[0] = smooth
        return
    for channel in values:
        channel -= light
        channel[:] = _wiener(channel, weight, covered, COLOUR_FILTER)
        channel += smooth


def _wiener(image: FloatImage, weight: FloatImage, covered: Mask, how: _Filter) -> FloatImage:
    """Local mean plus as much of the detail as is not noise (Lee 1980, IEEE PAMI-2, 165).

    The noise is that of the well covered pixels, scaled by the weight. No data has no part in the mean.
    """
    detail = _sample(_detail(image, how.radius), _well_covered(weight, covered))
    sigma = NORMAL_MAD * float(np.median(np.abs(detail)))
    if sigma == 0:
        return image.copy()
    typical = float(np.median(_sample(weight, covered)))
    result = np.empty_like(image)
    for inner, outer, core in _bands(len(image), how.reach):
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
    power = _blurred(detail * detail, POWER_RADIUS)
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
    mean = _blurred(np.where(mask, image, np.float32(0)), radius)
    mean /= np.maximum(_blurred(mask.astype(np.float32), radius), np.float32(0.1))
    return mean


def _signal_share(power: FloatImage, noise: FloatImage) -> FloatImage:
    """Wiener's factor, 1 - noise power / power; may be below 0."""
    share = 1 - DOUBT * noise * noise / np.maximum(power, np.finfo(np.float32).tiny)
    return share.astype(np.float32, copy=False)


def _blurred(image: FloatImage, radius: float) -> FloatImage:
    steps = np.arange(int(BLUR_REACH * radius + 0.5) + 1)
    weights = np.exp(-0.5 * np.square(steps / radius))
    blurred = np.empty(image.shape, np.float32)
    weights /= weights[0] + 2.0 * weights[1:].sum()
    blur(np.ascontiguousarray(image, np.float32), weights.astype(np.float32), blurred)
    return blurred


def _detail(image: FloatImage, radius: float) -> FloatImage:
    smooth = _blurred(image, radius)
    np.subtract(image, smooth, out=smooth)
    return smooth


def _bands(height: int, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Bands of rows that keep temporaries small: the band, the band with its margins, the band inside that."""
    for start in range(0, height, BAND_ROWS):
        stop = min(start + BAND_ROWS, height)
        first, last = max(0, start - margin), min(height, stop + margin)
        yield slice(start, stop), slice(first, last), slice(start - first, stop - first)


def _sample(image: FloatImage, mask: Mask) -> FloatImage:
    """Masked pixels, from a regular subset of a large image."""
    step = math.ceil(math.sqrt(image.size / SAMPLE))
    chosen: FloatImage = image[::step, ::step][mask[::step, ::step]]
    return chosen if chosen.size else image[mask]


def _apply_curve(values: FloatImage, weight: FloatImage, covered: Mask, background: float) -> None:
    """From sky-subtracted, balanced values to display values 0..1, in place."""
    sampled_weight = _sample(weight, covered)
    good = sampled_weight >= WELL_COVERED * np.median(sampled_weight)
    sampled = np.stack([_sample(channel, covered) for channel in values])
    noise = max(_spread_below(channel[good], 0.0) for channel in sampled)
    lowest = -float(np.quantile(sampled, CLIPPED, axis=1).min())
    black = float(np.clip(lowest, BLACK_POINTS[0] * noise, BLACK_POINTS[1] * noise)) or 1.0
    white = max(float(np.quantile(sampled.mean(axis=0), WHITE)) + black, 2 * black / background)
    for band, _, _ in _bands(values.shape[1], 0):
        _colour(values[:, band], black, white, background)


def _colour(values: FloatImage, black: float, white: float, background: float) -> None:
    """The curve of the luminance, with the channels' ratios mostly kept, in place."""
    values += np.float32(black)
    light = np.maximum(values.mean(axis=0), np.float32(1e-3 * black))
    display = _curve(light, black, white, background)
    for channel in values:
        own = _curve(np.maximum(channel, 0), black, white, background)
        channel *= COLOUR_KEPT * display / light
        channel += (1 - COLOUR_KEPT) * own
    _into_gamut(values, display)


def _curve(x: FloatImage, sky: float, white: float, background: float) -> FloatImage:
    """Display values 0..1 of x / white, the sky at the background level.

    Weighted mean of the midtones transfer function (faint light) and of an arcsinh (Lupton et al. 2004, PASP 116, 133), which
    leaves structure in the cores of galaxies where the first alone has run into white.
    """
    part = np.clip(x / np.float32(white), 0, 1)
    level = sky / white
    result = midtones(part, float(midtones(np.array([level], np.float32), background)[0]))
    softening = _arcsinh_softening(level, background)
    result *= np.float32(1 - ARCSINH_SHARE)
    result += np.arcsinh(part * np.float32(softening)) * np.float32(ARCSINH_SHARE / np.arcsinh(softening))
    return result


def _arcsinh_softening(level: float, background: float) -> float:
    """k with asinh(k level) / asinh(k) = background; the left side grows with k."""
    low, high = 1e-3, 1e9
    for _ in range(60):
        k = float(np.sqrt(low * high))
        if np.arcsinh(k * level) < background * np.arcsinh(k):
            low = k
        else:
            high = k
    return low


def _into_gamut(values: FloatImage, display: FloatImage) -> None:
    """Bring colours that are too bright for the screen towards white at the same luminance, softly, in place."""
    highest = values.max(axis=0)
    room = np.float32(1 - KNEE)
    above = np.maximum(highest - np.float32(KNEE), 0)
    allowed = np.where(above > 0, 1 - room * np.exp(-above / room), highest)
    shrink = np.clip((allowed - display) / np.maximum(highest - display, np.float32(1e-6)), 0, 1)
    for channel in values:
        channel -= display
        channel *= shrink
        channel += display
