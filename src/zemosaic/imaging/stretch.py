"""The preview's tone: from linear mosaic to 8-bit picture. For the eye only: no number is ever read back from it.

The steps, each on covered pixels only:

1. the sky level and noise of each channel on the same sky pixels, found from the low side of the histogram, so that
   stars and nebulae do not enter; taking it off makes the sky neutral;
2. the white balance: the median star is white (raw colour filter arrays see more green);
3. a local Wiener filter that evens the noise out, so that thinly covered edges and coloured grain do not catch the eye;
4. one curve for all channels: the midtones transfer function up to the midtones, arcsinh above it, applied so that
   the colour of bright stars and galaxy cores survives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["BACKGROUND", "Tone", "autostretch", "block_mean", "measure_tone", "midtones"]

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

BACKGROUND = 0.14  # display level of the sky, 0..1
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
SOFT_RADIUS = 2.5  # px, Gaussian sigma of the local mean of the luminance
SOFT_RADIUS_COLOUR = 8.0  # px, of the colour differences
STAR_REACH = 8.0  # sigma; what stands out more does not colour the local mean of its neighbours
DOUBT = 3.0  # local power below so many times the noise power counts as noise: it is itself noisy
GRAIN = 0.4  # share of the typical noise that stays visible
COLOUR_GRAIN = 0.1
COLOUR_KEPT = 0.7  # 1 keeps the ratios of the channels, 0 stretches each channel by itself


@dataclass(frozen=True)
class Tone:
    """What the curve needs, measured on a mosaic.

    A channel is brought to (data - sky) * balance; `noise` is the sigma of a typical sky pixel after that.
    """

    sky: tuple[float, ...]  # ADU per channel
    noise: tuple[float, ...]  # ADU per channel, balanced
    balance: tuple[float, ...]  # factor per channel, mean 1


def block_mean(data: FloatImage, weight: FloatImage, factor: int) -> tuple[FloatImage, FloatImage]:
    """Weighted mean of blocks of factor x factor pixels; blocks at the right and upper end may be smaller.

    Parameters
    ----------
    data : (h, w) float32; NaN is no data
    weight : (h, w) float32, inverse variance; not finite or <= 0 is no data
    factor : side of a block, px

    Returns
    -------
    data, weight : (ceil(h / factor), ceil(w / factor)) float32; NaN and weight 0 where a block has no data
    """
    good = np.isfinite(data) & np.isfinite(weight) & (weight > 0)
    w = np.where(good, weight, np.float32(0))
    if factor == 1:
        return np.where(good, data, np.float32(np.nan)), w
    rows, columns = np.arange(0, data.shape[0], factor), np.arange(0, data.shape[1], factor)

    def block_sum(values: FloatImage) -> NDArray[np.float64]:
        narrow = np.add.reduceat(values, columns, axis=1, dtype=np.float64)
        return np.asarray(np.add.reduceat(narrow, rows, axis=0))

    total = block_sum(w)
    flux = block_sum(np.where(good, data, np.float32(0)) * w)
    mean = np.divide(flux, total, out=np.full_like(total, np.nan), where=total > 0)
    return mean.astype(np.float32), total.astype(np.float32)


def midtones(x: FloatImage, balance: float) -> FloatImage:
    """Midtones transfer function: 0 -> 0, balance -> 1/2, 1 -> 1.

    PixInsight reference, HistogramTransformation: MTF(x; m) = (m - 1) x / ((2 m - 1) x - m).
    MTF(x; m) = t is solved by m = MTF(x; t), which is how the ScreenTransferFunction places the sky.
    """
    result: FloatImage = ((balance - 1) * x / ((2 * balance - 1) * x - balance)).astype(np.float32)
    return result


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
    noise = tuple(_low_side_sigma(c, s, weight) * b for c, s, b in zip(data, sky, balance))
    return Tone(sky=sky, noise=noise, balance=balance)


def autostretch(data: FloatImage, weight: FloatImage, background: float = BACKGROUND) -> NDArray[np.uint8]:
    """A picture of a linear mosaic with a neutral dark sky; rows in the order of `data`.

    Parameters
    ----------
    data : (channels, h, w) float32, ADU, 1 or 3 channels; NaN is no data
    weight : (h, w) float32, inverse variance, any constant factor; 0 is no data
    background : display level of the sky, 0..1

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
    values = np.empty_like(data, dtype=np.float32)
    for out, channel, sky, balance in zip(values, data, tone.sky, tone.balance):
        out[:] = np.where(covered, (channel - np.float32(sky)) * np.float32(balance), np.float32(0))
    if max(tone.noise) > 0:
        _even_noise(values, weight, covered)
    _apply_curve(values, weight, covered, background)
    picture = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    picture[:, ~covered] = 0
    return np.ascontiguousarray(np.moveaxis(picture, 0, -1)) if len(data) == 3 else picture[0]


def _well_covered(weight: FloatImage, covered: Mask) -> Mask:
    return covered & (weight >= WELL_COVERED * np.median(weight[covered]))


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


def _low_side_sigma(channel: FloatImage, level: float, weight: FloatImage) -> float:
    """Sigma of the pixels below a level: stars and nebulae are all above it."""
    covered = np.isfinite(channel) & (weight > 0)
    below = level - channel[covered & (channel < level)]
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
    fine: FloatImage = ndimage.gaussian_filter(image, STAR_RADIUS)
    fine -= ndimage.gaussian_filter(image, 3 * STAR_RADIUS)
    return fine


def _even_noise(values: FloatImage, weight: FloatImage, covered: Mask) -> None:
    """Filter luminance and colour differences in place (see `_wiener`)."""
    light = values.mean(axis=0)
    smooth = _wiener(light, weight, covered, SOFT_RADIUS, GRAIN)
    if len(values) == 1:
        values[0] = smooth
        return
    for channel in values:
        channel -= light
        channel[:] = _wiener(channel, weight, covered, SOFT_RADIUS_COLOUR, COLOUR_GRAIN)
        channel += smooth


def _wiener(image: FloatImage, weight: FloatImage, covered: Mask, radius: float, grain: float) -> FloatImage:
    """Local mean plus as much of the detail as is not noise (Lee 1980, IEEE PAMI-2, 165).

    The noise is that of the well covered pixels, scaled by the weight; `grain` of the typical noise stays, so that
    the result does not look like plastic. No data counts as sky.
    """
    well = _well_covered(weight, covered)
    typical = float(np.median(weight[covered]))
    detail = image - ndimage.gaussian_filter(image, radius)
    sigma = NORMAL_MAD * float(np.median(np.abs(detail[well])))
    if sigma == 0:
        return image
    noise = np.where(covered, sigma * np.sqrt(typical / np.where(covered, weight, 1)), np.inf).astype(np.float32)
    reach = np.where(covered, np.float32(STAR_REACH) * noise, np.float32(0))
    mean = ndimage.gaussian_filter(np.clip(image, -reach, reach), radius)
    detail = image - mean
    power = ndimage.gaussian_filter(detail * detail, 1.5)
    keep = 1 - DOUBT * noise * noise / np.maximum(power, np.finfo(np.float32).tiny)
    keep = np.clip(keep, np.minimum(1, grain * sigma / noise), 1)
    result: FloatImage = mean + keep * detail
    return result


def _apply_curve(values: FloatImage, weight: FloatImage, covered: Mask, background: float) -> None:
    """From sky-subtracted, balanced values to display values 0..1, in place."""
    noise = max(_low_side_sigma(channel, 0.0, np.where(covered, weight, np.float32(0))) for channel in values)
    lowest = -min(float(np.quantile(channel[covered], CLIPPED)) for channel in values)
    black = float(np.clip(lowest, BLACK_POINTS[0] * noise, BLACK_POINTS[1] * noise)) or 1.0
    light = np.maximum(values.mean(axis=0) + np.float32(black), np.float32(1e-3 * black))
    white = max(float(np.quantile(light[covered], 0.9999)), 3 * black)
    display = _curve(light, black, white, background)
    ratio = display / light
    for channel in values:
        own = _curve(np.maximum(channel + np.float32(black), 0), black, white, background)
        channel += np.float32(black)
        channel *= ratio
        channel *= COLOUR_KEPT
        channel += (1 - COLOUR_KEPT) * own
    _into_gamut(values, display)


def _curve(x: FloatImage, sky: float, white: float, background: float) -> FloatImage:
    """Display values 0..1 of x / white, the sky at the background level.

    Mean of the midtones transfer function (faint light) and of an arcsinh (Lupton et al. 2004, PASP 116, 133), which
    leaves structure in the cores of galaxies where the first alone has run into white.
    """
    part = np.clip(x / np.float32(white), 0, 1)
    level = sky / white
    result = midtones(part, float(midtones(np.array([level], np.float32), background)[0]))
    softening = _arcsinh_softening(level, background)
    result += np.arcsinh(part * np.float32(softening)) / np.float32(np.arcsinh(softening))
    result *= np.float32(0.5)
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
    """Bring colours brighter than the screen back towards white at the same luminance, in place."""
    highest = values.max(axis=0)
    room = np.maximum(highest - display, np.float32(1e-6))
    shrink = np.clip((1 - display) / room, 0, 1)
    for channel in values:
        channel -= display
        channel *= shrink
        channel += display
