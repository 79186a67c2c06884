"""The pictures' tone: from linear mosaic to display values. For the eye only: no number is ever read back from it.

The steps, each on covered pixels only:

1. the sky level and noise of each channel on the same sky pixels, found from the low side of the histogram, so that
   stars and nebulae do not enter; taking it off makes the sky neutral;
2. the white balance: the median star is white (raw colour filter arrays see more green);
3. a filter that evens the noise out (`imaging.grain`), so that thinly covered edges and coloured grain do not catch the eye;
4. a curve, a mixture of the midtones transfer function and an arcsinh: one for all channels, applied so that the colour of bright
   stars and galaxy cores survives, or one for each channel, which pales them (`Style`).

A picture that is too large for the memory is developed in parts with what was measured on pieces of it (`develop`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zemosaic.imaging.display import BACKGROUND, midtones
from zemosaic.imaging.grain import WELL_COVERED, bands, blurred, evened, grains, lifted, sampled, well_covered
from zemosaic.imaging.robust import NORMAL_MAD

__all__ = [
    "AS_USUAL",
    "BACKGROUND",
    "Development",
    "Style",
    "Tone",
    "autostretch",
    "develop",
    "eight_bit",
    "measure_tone",
]

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

SKY_ROUNDS = 30  # the level moves by less than 1e-3 sigma long before
SKY_REACH = 1.5  # sigma on either side of the sky level that count as sky
BLACK_POINTS = (5.0, 10.0)  # sigma below the sky: least and most
CLIPPED = 0.001  # share of the samples that may fall below the black point
STAR_DETECTION = 10.0  # sigma
STAR_RADIUS = 3.0  # px; at 1.2 bilinear demosaicing, which blurs green less, makes stars 12 % too green (real S50 subs)
STARS_NEEDED = 10  # for a white balance; fewer decide nothing
SATURATED_SHARE = 0.05  # of the stars, the brightest: their colour may be clipped
BALANCE_LIMIT = 3.0
ARCSINH_SHARE = 0.35  # of the curve; at 0 the core of M 94 is a white disc, at 0.5 faint nebulae stay dim
WHITE = 0.9999  # quantile of the luminance that is shown white
KNEE = 0.85  # display value of the brightest channel above which colours give way to white
COLOUR_KEPT = 0.7  # 1 keeps the ratios of the channels, 0 stretches each channel by itself


@dataclass(frozen=True)
class Style:
    """What may be chosen of the tone."""

    # one curve for all channels, which keeps colours; else each has its own, from its own highlights
    linked: bool = True
    star_white: bool = True  # the median star is white; else the channels are as the sensor has them
    background: float = BACKGROUND  # display level of the sky, 0..1


AS_USUAL = Style()


@dataclass(frozen=True)
class Tone:
    """What the curve needs, measured on a mosaic.

    A channel is brought to (data - sky) * balance; `noise` is the sigma of a typical sky pixel after that.
    """

    sky: tuple[float, ...]  # ADU per channel
    noise: tuple[float, ...]  # ADU per channel, balanced
    balance: tuple[float, ...]  # factor per channel, mean 1


@dataclass(frozen=True)
class Development:
    """All that is measured on a mosaic to develop it, or parts of it. Of black and white there is one for each curve."""

    tone: Tone
    typical: float  # weight of the pixels that have the tone's noise
    grain: tuple[float, ...]  # see `grain.grains`; empty: there is no noise
    black: tuple[float, ...]  # ADU below the sky, balanced
    white: tuple[float, ...]  # ADU above black


def measure_tone(data: FloatImage, weight: FloatImage, style: Style = AS_USUAL) -> Tone:
    """Sky, noise and white balance of a mosaic.

    Parameters
    ----------
    data : (channels, h, w) float32, ADU; NaN is no data
    weight : (h, w) float32, inverse variance; 0 is no data
    """
    sky_mask = _sky_pixels(data, weight)
    sky = tuple(float(np.median(channel[sky_mask])) if sky_mask.any() else 0.0 for channel in data)
    balance = _white_balance(data, sky, weight) if len(data) > 1 and style.star_white else (1.0,) * len(data)
    return _with_noise(Tone(sky, (), balance), data, weight)


def _with_noise(tone: Tone, data: FloatImage, weight: FloatImage) -> Tone:
    good = well_covered(weight, np.isfinite(data).all(axis=0) & (weight > 0))
    return replace(tone, noise=tuple(_spread_below(c[good], s) * b for c, s, b in zip(data, tone.sky, tone.balance)))


def autostretch(
    data: FloatImage, weight: FloatImage, background: float = BACKGROUND, *, overwrite: bool = False
) -> NDArray[np.uint8]:
    """A picture of a linear mosaic with a neutral dark sky, as usual; rows in the order of `data`.

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
    values = data if overwrite else data.astype(np.float32)
    develop(values, weight, Style(background=background))
    return eight_bit(values)


def eight_bit(values: FloatImage) -> NDArray[np.uint8]:
    """(h, w, 3) or (h, w) of display values (channels, h, w)."""
    picture = np.empty((*values.shape[1:], len(values)), np.uint8)
    for c, channel in enumerate(values):
        picture[..., c] = np.rint(channel * 255)
    return picture if len(values) == 3 else picture[..., 0]


def develop(
    data: FloatImage,
    weight: FloatImage,
    style: Style = AS_USUAL,
    known: Development | None = None,
    tone: Tone | None = None,
) -> Development | None:
    """Turn a linear mosaic into display values 0..1 in place; no data is 0.

    Parameters
    ----------
    data : (channels, h, w) float32, ADU, 1 or 3 channels; NaN is no data
    weight : (h, w) float32, inverse variance, any constant factor; 0 is no data
    known
        What was measured before: `data` are a part of that mosaic. What is nearer than `grain.REACH` to a border that is none of
        the mosaic's is not right yet.
    tone
        Of the same mosaic in another size, for sky and balance; the noise is measured anyway.

    Returns
    -------
    What was measured, or `known`; None where there is no data.
    """
    covered = np.isfinite(data).all(axis=0) & (weight > 0)
    if not covered.any():
        data[:] = 0
        return known
    found = known.tone if known else _with_noise(tone, data, weight) if tone else measure_tone(data, weight, style)
    for channel, sky, balance in zip(data, found.sky, found.balance):
        channel -= np.float32(sky)
        channel *= np.float32(balance)
        channel[~covered] = 0
    typical = known.typical if known else float(np.median(sampled(weight, covered)))
    grain = known.grain if known else ()
    if max(found.noise) > 0:
        lifted(data, weight, covered, typical, found.noise)
        grain = grain or grains(data, weight, covered)
        evened(data, weight, covered, typical, grain)
    if known is None:
        black, white = _ends(data, weight, covered, style)
        known = Development(found, typical, grain, black, white)
    _apply_curves(data, known, style)
    for channel in data:
        np.clip(channel, 0, 1, out=channel)
        channel[~covered] = 0
    return known


def _sky_pixels(data: FloatImage, weight: FloatImage) -> Mask:
    """Pixels within SKY_REACH sigma of the lowest crowd of the histogram of the summed channels.

    Starts below the median and climbs: a symmetric window about a point on the rising flank has its median above it,
    so that the level rests on the first mode, also when nebulosity fills most of the picture.
    """
    covered = np.isfinite(data).all(axis=0) & (weight > 0)
    if not covered.any():
        return covered
    good = well_covered(weight, covered)
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
    fine = blurred(image, STAR_RADIUS)
    fine -= blurred(image, 3 * STAR_RADIUS)
    return fine


def _ends(
    values: FloatImage, weight: FloatImage, covered: Mask, style: Style
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Black and white of the curves: of one for all channels, or of one each."""
    sampled_weight = sampled(weight, covered)
    good = sampled_weight >= WELL_COVERED * np.median(sampled_weight)
    some = np.stack([sampled(channel, covered) for channel in values])
    parts = [some] if style.linked else [some[c : c + 1] for c in range(len(some))]
    noise = max(
        _spread_below(channel[good], 0.0) for channel in some
    )  # of one alone, stars would have the colour of the calmest
    black, white = list[float](), list[float]()
    for part in parts:
        lowest = -float(np.quantile(part, CLIPPED, axis=1).min())
        black.append(float(np.clip(lowest, BLACK_POINTS[0] * noise, BLACK_POINTS[1] * noise)) or 1.0)
        highest = float(np.quantile(part.mean(axis=0), WHITE))
        white.append(max(highest + black[-1], 2 * black[-1] / style.background))
    return tuple(black), tuple(white)


def _apply_curves(values: FloatImage, known: Development, style: Style) -> None:
    """From sky-subtracted, balanced values to display values 0..1, in place."""
    for band, _, _ in bands(values.shape[1], 0):
        if style.linked:
            _colour(values[:, band], known.black[0], known.white[0], style.background)
            continue
        for channel, black, white in zip(values[:, band], known.black, known.white):
            channel[:] = _curve(np.maximum(channel + np.float32(black), 0), black, white, style.background)


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
