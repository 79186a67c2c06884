"""Satellites and aeroplanes: straight streaks in the residual of one frame.

The mask of outliers holds a streak's bright core; its wings, and streaks fainter than the threshold, stay below it pixel
by pixel and would add up to a visible line. They are found together: a Hough transform of the binned residual names
candidate lines, the mean profile across each line says whether it is a streak and how wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels.hough import accumulate

__all__ = ["Streak", "find_streaks", "streak_mask"]

Float32Array = NDArray[np.float32]
BIN = 4  # px
ANGLES = 720
ENOUGH = 6.0  # sigma of a line's score over the spread of all lines
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


def find_streaks(score: Float32Array) -> tuple[Streak, ...]:
    """Streaks in a residual (h, w) in units of its tolerance; NaN is no data, stars and hot pixels may be in it."""
    clipped = np.nan_to_num(np.clip(score, -4.0, 4.0))
    found: list[Streak] = []
    for _ in range(MOST):
        candidate = _strongest_line(clipped)
        if candidate is None:
            break
        streak = _measured(clipped, *candidate)
        if streak is None:
            break
        found.append(streak)
        clipped[_band(clipped.shape, streak.angle, streak.offset, streak.half_width + 2.0)] = 0.0
    return tuple(found)


def streak_mask(score: Float32Array, streaks: tuple[Streak, ...]) -> NDArray[np.bool_]:
    """(h, w) pixels of the streaks, along those stretches of each line where its light is there."""
    mask = np.zeros(score.shape, bool)
    clipped = np.nan_to_num(np.clip(score, -6.0, 6.0))
    for streak in streaks:
        ys, xs = np.nonzero(_band(score.shape, streak.angle, streak.offset, streak.half_width))
        mask[ys, xs] |= _lit(clipped, streak, ys, xs)
    return mask


def _lit(clipped: Float32Array, streak: Streak, ys: NDArray[np.intp], xs: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which pixels of a band lie on lit stretches; each stretch is widened by one chunk against its ragged ends."""
    along = xs * math.cos(streak.angle) - ys * math.sin(streak.angle)
    across = np.abs(xs * math.sin(streak.angle) + ys * math.cos(streak.angle) - streak.offset)
    chunk = np.floor((along - along.min()) / CHUNK).astype(int)
    core = across <= 2.0
    n = np.bincount(chunk[core], minlength=chunk.max() + 1)
    total = np.bincount(chunk[core], clipped[ys[core], xs[core]], minlength=chunk.max() + 1)
    lit = total > np.maximum(3.0 * np.sqrt(n), 0.25 * streak.amplitude * n)
    wide = np.convolve(lit, [1, 1, 1], "same") > 0
    result: NDArray[np.bool_] = wide[chunk]
    return result


def _strongest_line(clipped: Float32Array) -> tuple[float, float] | None:
    """(angle, offset px) of the line with the largest score; None when it does not stand out."""
    height, width = (n // BIN * BIN for n in clipped.shape)
    binned = clipped[:height, :width].reshape(height // BIN, BIN, width // BIN, BIN).mean(axis=(1, 3)) * BIN
    binned = np.clip(binned - np.median(binned), -3.0, 3.0)
    count = _line_lengths(binned.shape[0], binned.shape[1])
    reach = count.shape[1] // 2
    angles = np.arange(ANGLES) * math.pi / ANGLES
    total = np.zeros_like(count)
    ys, xs = np.nonzero(np.abs(binned) > 1.0)  # a line is made of these; two thirds of the plane need no visit
    accumulate(ys, xs, binned[ys, xs].astype(np.float32), np.sin(angles), np.cos(angles), reach, total)
    score = np.where(count > 24, total / np.sqrt(np.maximum(count, 1.0)), 0.0)
    spread = 1.4826 * float(np.median(np.abs(score[count > 24] - np.median(score[count > 24]))))
    a, o = np.unravel_index(int(np.argmax(score)), score.shape)
    if score[a, o] < ENOUGH * max(spread, 1e-6):
        return None
    return float(angles[a]), (float(o) - reach) * BIN + 0.5 * (BIN - 1) * (math.sin(angles[a]) + math.cos(angles[a]))


@lru_cache(maxsize=4)
def _line_lengths(height: int, width: int) -> Float32Array:
    """(ANGLES, 2 * reach + 1) number of binned pixels on each line of the Hough plane."""
    angles = np.arange(ANGLES) * math.pi / ANGLES
    reach = int(math.hypot(height, width)) + 2
    ys, xs = (a.ravel() for a in np.indices((height, width)))
    count = np.zeros((ANGLES, 2 * reach + 1), np.float32)
    accumulate(ys, xs, np.ones(ys.size, np.float32), np.sin(angles), np.cos(angles), reach, count)
    return count


def _band(shape: tuple[int, ...], angle: float, offset: float, half_width: float) -> NDArray[np.bool_]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    band: NDArray[np.bool_] = np.abs(x * math.sin(angle) + y * math.cos(angle) - offset) <= half_width
    return band


def _measured(clipped: Float32Array, angle: float, offset: float) -> Streak | None:
    """Turn and shift a candidate until its profile is sharpest, then read its width; None when nothing is there."""
    ys, xs = np.nonzero(_band(clipped.shape, angle, offset, 4.0 * BIN))
    values = clipped[ys, xs]
    best = (-np.inf, angle, offset)
    for turn in np.linspace(-1.0, 1.0, 21) * 1.5 * math.pi / ANGLES:
        # turn about the middle of the line inside the frame, not about the origin
        middle_x, middle_y = xs.mean(), ys.mean()
        a = angle + turn
        shift = middle_x * math.sin(a) + middle_y * math.cos(a)
        across = xs * math.sin(a) + ys * math.cos(a) - shift
        profile = _profile(across, values, 3 * BIN)
        smooth = np.convolve(profile, np.ones(3) / 3, "same")
        peak = int(np.argmax(smooth))
        if smooth[peak] > best[0]:
            best = (float(smooth[peak]), a, shift + (peak - 3 * BIN))
    _, angle, offset = best
    ys, xs = np.nonzero(_band(clipped.shape, angle, offset, PROFILE + 0.5))
    across = xs * math.sin(angle) + ys * math.cos(angle) - offset
    profile = _profile(across, clipped[ys, xs], PROFILE)
    sides = np.bincount(np.rint(across).astype(int) + PROFILE, minlength=2 * PROFILE + 1)
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


def _profile(across: NDArray[np.float64], values: Float32Array, reach: int) -> NDArray[np.float64]:
    """Mean of the values in 1 px bins of the distance, -reach..reach."""
    place = np.rint(across).astype(int) + reach
    inside = (place >= 0) & (place <= 2 * reach)
    n = np.bincount(place[inside], minlength=2 * reach + 1)
    total = np.bincount(place[inside], values[inside], minlength=2 * reach + 1)
    mean: NDArray[np.float64] = total / np.maximum(n, 1)
    return mean
