"""Satellites and aeroplanes: straight streaks in the residual of one frame.

The mask of outliers holds a streak's bright core; its wings, and streaks fainter than the threshold, stay below it pixel
by pixel and would add up to a visible line. They are found together: sums of the binned residual along all lines name
candidates, the mean profile across each says whether it is a streak and how wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels.radon import band_pixels, binned, line_sums, profile_sums

__all__ = ["Streak", "find_streaks", "streak_mask"]

Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BIN = 4  # px
LIMIT = 4.0  # sigma; brighter pixels count no more than this
ENOUGH = 6.0  # sigma of a line's score over the spread of all lines
SHORTEST = 24  # bins
SPARSE = 16  # every such line tells the spread
PROFILE = 12  # px on each side of the axis
CHUNK = 64  # px along the axis
MOST = 6  # streaks of one frame; more is a train of satellites or a cloud edge, and masked as far as this
KEEP = 0.12  # of a raw pixel's sigma: what may stay in the wings


@dataclass(frozen=True)
class Streak:
    """x sin(angle) + y cos(angle) = offset in frame pixels, with its half-width in px."""

    angle: float  # rad
    offset: float  # px
    half_width: float  # px
    amplitude: float  # sigma on the axis, mean along the streak


def find_streaks(score: Float32Array, mask: NDArray[np.bool_] | None = None) -> tuple[Streak, ...]:
    """Streaks in a residual (h, w) in units of its tolerance; NaN is no data, stars and hot pixels may be in it.

    mask : (h, w) pixels that are known for something else and must not line up to a streak
    """
    hidden = np.zeros(score.shape, bool) if mask is None else mask
    candidate = _strongest_line(score, hidden)
    found: list[Streak] = []
    while candidate is not None and len(found) < MOST:
        streak = _measured(score, hidden, *candidate)
        if streak is None:
            break
        if not found:
            hidden = hidden.copy()
        found.append(streak)
        hidden[_band(score.shape, streak.angle, streak.offset, streak.half_width + 2.0)] = True
        candidate = _strongest_line(score, hidden)
    return tuple(found)


def streak_mask(score: Float32Array, streaks: tuple[Streak, ...]) -> NDArray[np.bool_]:
    """(h, w) pixels of the streaks, along those stretches of each line where its light is there."""
    mask = np.zeros(score.shape, bool)
    for streak in streaks:
        ys, xs = _band(score.shape, streak.angle, streak.offset, streak.half_width)
        mask[ys, xs] |= _lit(score, streak, ys, xs)
    return mask


def _clipped(score: Float32Array, ys: IntArray, xs: IntArray, limit: float) -> Float32Array:
    return np.nan_to_num(np.clip(score[ys, xs], -limit, limit))


def _lit(score: Float32Array, streak: Streak, ys: IntArray, xs: IntArray) -> NDArray[np.bool_]:
    """Which pixels of a band lie on lit stretches; each stretch is widened by one chunk against its ragged ends."""
    along = xs * math.cos(streak.angle) - ys * math.sin(streak.angle)
    across = np.abs(xs * math.sin(streak.angle) + ys * math.cos(streak.angle) - streak.offset)
    chunk = np.floor((along - along.min()) / CHUNK).astype(int)
    core = across <= 2.0
    n = np.bincount(chunk[core], minlength=chunk.max() + 1)
    total = np.bincount(chunk[core], _clipped(score, ys[core], xs[core], 6.0), minlength=chunk.max() + 1)
    lit = total > np.maximum(3.0 * np.sqrt(n), 0.25 * streak.amplitude * n)
    wide = np.convolve(lit, [1, 1, 1], "same") > 0
    result: NDArray[np.bool_] = wide[chunk]
    return result


def _strongest_line(score: Float32Array, mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    """(angle, offset px) of the line with the largest score; None when it does not stand out."""
    small = np.empty((score.shape[0] // BIN, score.shape[1] // BIN), np.float32)
    binned(score, mask, LIMIT, small)
    small = np.clip(small - np.median(small), -3.0, 3.0)
    best, scores = (-np.inf, 0.0, 0.0), []
    for turned in (False, True):
        image = np.ascontiguousarray(small.T) if turned else small
        weight = _line_weights(*image.shape)
        for flipped in (False, True):
            total = _sums(image[:, ::-1] if flipped else image) * weight
            scores.append(total.ravel()[::SPARSE][weight.ravel()[::SPARSE] > 0])
            s, x = np.unravel_index(int(np.argmax(total)), total.shape)
            if total[s, x] > best[0]:
                best = (float(total[s, x]), *_line(int(s), int(x), image.shape, turned, flipped))
    every = np.concatenate(scores)
    spread = 1.4826 * float(np.median(np.abs(every - np.median(every)))) if every.size else 0.0
    if best[0] < ENOUGH * max(spread, 1e-6):
        return None
    _, angle, offset = best
    return angle, offset * BIN + 0.5 * (BIN - 1) * (math.sin(angle) + math.cos(angle))


def _line(s: int, x: int, shape: tuple[int, int], turned: bool, flipped: bool) -> tuple[float, float]:
    """(angle, offset in bins) of an element of the line sums of an image that was turned and flipped on the way."""
    rows = _rows(shape[0])
    length = math.hypot(rows - 1, s)
    along, across = (rows - 1) / length, -s / length  # column * along + row * across = offset
    offset = (x - rows) * along
    if flipped:
        along, offset = -along, offset - (shape[1] - 1) * along
    sine, cosine = (across, along) if turned else (along, across)
    return math.atan2(sine, cosine), offset


def _rows(height: int) -> int:
    return 1 << max(1, (height - 1).bit_length())


def _sums(image: Float32Array) -> Float32Array:
    rows = _rows(image.shape[0])
    out = np.empty((rows, image.shape[1] + rows), np.float32)
    line_sums(np.ascontiguousarray(image), np.empty_like(out), out)
    return out


@lru_cache(maxsize=4)
def _line_weights(height: int, width: int) -> Float32Array:
    """What makes the sum along each line unit noise; 0 for lines too short to tell."""
    count = _sums(np.ones((height, width), np.float32))
    return np.where(count > SHORTEST, 1.0 / np.sqrt(np.maximum(count, 1.0)), 0.0).astype(np.float32)


def _band(shape: tuple[int, ...], angle: float, offset: float, half_width: float) -> tuple[IntArray, IntArray]:
    """(ys, xs) of the pixels within `half_width` px of a line, row by row."""
    line = math.sin(angle), math.cos(angle), offset, half_width
    size = band_pixels(shape[1], *line, np.empty(0, np.int64), np.empty(0, np.int64), shape[0])
    ys, xs = np.empty(size, np.int64), np.empty(size, np.int64)
    band_pixels(shape[1], *line, ys, xs, shape[0])
    return ys, xs


def _sharpest(
    ys: IntArray, xs: IntArray, values: Float32Array, angle: float, turns: NDArray[np.float64]
) -> tuple[float, float]:
    """(angle, offset) of the line among those turned about the middle of the points that has the highest profile."""
    best, x, y = (-np.inf, angle, 0.0), float(xs.mean()), float(ys.mean())
    for turn in turns:
        a = angle + float(turn)
        shift = x * math.sin(a) + y * math.cos(a)
        profile, _ = _profile(ys, xs, values, a, shift, 3 * BIN)
        smooth = np.convolve(profile, np.ones(3) / 3, "same")
        peak = int(np.argmax(smooth))
        if smooth[peak] > best[0]:
            best = (float(smooth[peak]), a, shift + (peak - 3 * BIN))
    return best[1:]


def _measured(score: Float32Array, hidden: NDArray[np.bool_], angle: float, offset: float) -> Streak | None:
    """Turn and shift a candidate until its profile is sharpest, then read its width; None when nothing is there."""

    def around(angle: float, offset: float, reach: float) -> tuple[IntArray, IntArray, Float32Array]:
        ys, xs = _band(score.shape, angle, offset, reach)
        return ys, xs, np.where(hidden[ys, xs], np.float32(0.0), _clipped(score, ys, xs, LIMIT))

    ys, xs, values = around(angle, offset, 4.0 * BIN)
    # the sums know a line to about a bin at its ends
    turn = 2.0 / _rows(int(max(np.ptp(xs), np.ptp(ys))) // BIN)
    angle, _ = _sharpest(ys, xs, values, angle, np.linspace(-turn, turn, 11))
    angle, offset = _sharpest(ys, xs, values, angle, np.linspace(-0.15 * turn, 0.15 * turn, 7))
    ys, xs, values = around(angle, offset, PROFILE + 0.5)
    profile, sides = _profile(ys, xs, values, angle, offset, PROFILE)
    if min(sides[:3].min(), sides[-3:].min()) < 0.5 * sides[PROFILE]:
        return None  # along the border of the frame there is nothing to compare with
    error = 1.0 / math.sqrt(max(xs.size / (2 * PROFILE + 1), 1.0))
    amplitude = float(profile[PROFILE - 1 : PROFILE + 2].mean())
    base = float(np.median(np.concatenate([profile[:3], profile[-3:]])))
    if amplitude - base < max(0.35, 5.0 * error):
        return None
    lit = profile - base > max(KEEP, 2.5 * error)
    half = PROFILE
    for k in range(1, PROFILE + 1):
        if not (lit[PROFILE - k] or lit[PROFILE + k]):
            half = k
            break
    return Streak(angle, offset, half + 1.5, amplitude - base)


def _profile(
    ys: IntArray, xs: IntArray, values: Float32Array, angle: float, offset: float, reach: int
) -> tuple[NDArray[np.float64], IntArray]:
    """Mean of the values in 1 px bins of the distance from a line, -reach..reach, and how many they are."""
    total, count = np.zeros(2 * reach + 1), np.zeros(2 * reach + 1, np.int64)
    profile_sums(ys, xs, values, math.sin(angle), math.cos(angle), offset, total, count)
    return total / np.maximum(count, 1), count
