"""A mosaic on a screen, at once: small, and with a tone that the user turns (black point, midtones, saturation).

For the eye only, and fast: the preview that is written beside a mosaic takes more trouble (`imaging.stretch`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.robust import NORMAL_MAD

__all__ = ["BACKGROUND", "Level", "Look", "block_mean", "levels", "midtones", "shown", "shown_map"]

FloatImage = NDArray[np.float32]
Picture = NDArray[np.uint8]

BACKGROUND = 0.14  # display level of the sky, 0..1
SAMPLE = 300_000  # px, from which levels are taken
BRIGHT = 12.0  # sigma above the sky: stars, whose median is shown white
FEWEST_BRIGHT = 30  # px
BALANCE_LIMIT = 3.0
WHITE = 0.9995  # quantile that is shown white
RAMP = np.array(  # from few to many, of maps: dark blue, green, yellow
    [[22, 30, 70], [34, 84, 130], [38, 134, 128], [96, 180, 92], [206, 202, 74], [252, 246, 190]], np.float32
)


@dataclass(frozen=True)
class Level:
    """What the tone of a channel starts from."""

    sky: float  # ADU
    balance: float  # factor that makes the median star grey
    noise: float  # ADU, of a pixel of the sky, balanced
    white: float  # ADU above the sky, balanced


@dataclass(frozen=True)
class Look:
    """What the user may turn."""

    black: float = 3.0  # sigma below the sky that are shown black
    midtones: float = BACKGROUND  # display level of the sky, 0..1
    saturation: float = 1.4  # 0 is grey, 1 as it is


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


def levels(data: FloatImage) -> tuple[Level, ...]:
    """Levels of the channels of (channels, h, w); NaN is no data. Without any data all are (0, 1, 0, 1)."""
    good: NDArray[np.bool_] = np.all(np.isfinite(data), axis=0)
    step = max(1, int(np.sqrt(good.sum() / SAMPLE)))
    values = data[:, ::step, ::step][:, good[::step, ::step]].astype(np.float64)
    if not values.size:
        return (Level(0.0, 1.0, 0.0, 1.0),) * len(data)
    sky = _sky(values)
    above = values - sky[:, None]
    noise = np.array([_spread_below(channel) for channel in above])
    balance = _balance(above, noise)
    white = max(float(np.quantile((above * balance[:, None]).mean(axis=0), WHITE)), 1e-6)
    return tuple(Level(float(s), float(b), float(n * b), white) for s, b, n in zip(sky, balance, noise))


def _sky(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(channels,) the level of the lower half's crowd: nebulae and stars are above it."""
    level = np.quantile(values, 0.25, axis=1)
    for _ in range(6):
        spread = np.array([_spread_below(channel - start) for channel, start in zip(values, level)])
        near = np.abs(values - level[:, None]) <= 1.5 * spread[:, None] + 1e-9
        level = np.array(
            [np.median(channel[mask]) if mask.any() else old for channel, mask, old in zip(values, near, level)]
        )
    return level


def _spread_below(above: NDArray[np.float64]) -> float:
    """Sigma of the values below 0."""
    below = -above[above < 0]
    return NORMAL_MAD * float(np.median(below)) if below.size else 0.0


def _balance(above: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """(channels,) factors that make the median bright pixel grey, mean 1."""
    one = np.ones(len(above))
    light = above.mean(axis=0)
    bright = light > BRIGHT * max(float(noise.mean()), 1e-9)
    if len(above) == 1 or bright.sum() < FEWEST_BRIGHT:
        return one
    share = np.median(above[:, bright] / light[bright], axis=1)
    factors = np.clip(1.0 / np.clip(share, 1e-3, None), 1 / BALANCE_LIMIT, BALANCE_LIMIT)
    return np.asarray(factors / factors.mean())


def shown(data: FloatImage, tone: tuple[Level, ...], look: Look) -> Picture:
    """(h, w, 3) of (channels, h, w), north up: rows of a mosaic begin in the south. No data is black."""
    noise = float(np.mean([level.noise for level in tone]))
    black = look.black * noise
    white = tone[0].white + black
    at_sky = min(max(black / white, 1e-6), 0.999)
    bend = float(midtones(np.array([at_sky], np.float32), min(max(look.midtones, 0.01), 0.9))[0])
    planes = []
    for channel, level in zip(data, tone):
        value = (channel[::-1] - np.float32(level.sky)) * np.float32(level.balance) + np.float32(black)
        planes.append(midtones(np.clip(np.nan_to_num(value, nan=0.0) / np.float32(white), 0, 1), bend))
    if len(planes) == 1:
        planes *= 3
    light = (planes[0] + planes[1] + planes[2]) / np.float32(3)
    result = np.empty((*light.shape, 3), np.uint8)
    for c, plane in enumerate(planes):
        result[..., c] = np.clip(light + np.float32(look.saturation) * (plane - light), 0, 1) * np.float32(255)
    result[~np.all(np.isfinite(data[:, ::-1]), axis=0)] = 0
    return result


def shown_map(values: FloatImage) -> Picture:
    """(h, w, 3) of a map (h, w) in false colours, north up; black where there is nothing (0, NaN)."""
    there: NDArray[np.bool_] = np.isfinite(values) & (values > 0)
    top = float(np.quantile(values[there], 0.995)) if there.any() else 1.0
    place = np.clip(np.where(there, values, 0) / np.float32(top or 1.0), 0, 1) * np.float32(len(RAMP) - 1)
    low = np.minimum(place.astype(np.intp), len(RAMP) - 2)
    part = (place - low)[..., None]
    result: Picture = (RAMP[low] * (1 - part) + RAMP[low + 1] * part).astype(np.uint8)
    result[~there] = 0
    return result[::-1]
