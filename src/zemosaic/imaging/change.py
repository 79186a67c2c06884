"""By how much a part of a mosaic would change if it were made again with other corrections, in units of its noise.

Of each frame a cell of the mosaic has m = raw * s - o (`imaging.calibrate`), so that other corrections (s', o') and another
solution change the weighted mean over its frames by

    sky + gain * L + shift * G,   sky = < b (s'/s - 1) - (b' - b) >,   gain = < s'/s - 1 >,   shift = < displacement >,

b = o + level being the frame's sky in mosaic units, L the rms of the light in the cell and G that of its gradient. The noise
there is 1 / W of a pixel, and as the rejection has it 10 % of the light for seeing, a frame: sigma^2 = 1 / W + (0.1 L)^2 / N.
Counted is (|sky| + |gain| L + |shift| G) / sigma, and half the relative change of W, which is that of sigma.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.calibrate import STEP, Calibration, Feather, border_weight, calibration
from zemosaic.imaging.projection import grid_to_sky, sky_to_pixel
from zemosaic.kernels.reject import SEEING
from zemosaic.model import Correction, Grid, Solution

__all__ = ["CELL", "Change", "How", "Light", "Look", "light_of", "moved"]

CELL = 64  # px of the mosaic
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """How a frame is brought into a mosaic."""

    solution: Solution
    correction: Correction
    sigma: tuple[float, ...]  # ADU of a pixel, its colour's share counted
    shape: tuple[int, int]  # (h, w) px


@dataclass(frozen=True)
class Moved:
    """What another correction and another solution of a frame change, at n places of the mosaic; (n, channels)."""

    before: FloatArray  # weight
    after: FloatArray
    sky: FloatArray  # ADU of the mosaic where there is no light
    gain: FloatArray  # share of the light
    shift: FloatArray  # (2, n) px of the mosaic


def moved(before: Look, after: Look, grid: Grid, x: FloatArray, y: FloatArray, how: How) -> tuple[BoolArray, Moved]:
    """Which of the places (x, y) px of the mosaic lie on the frame, and what changes there."""
    height, width = before.shape
    place = grid_to_sky(grid, x, y)
    sx, sy = sky_to_pixel(before.solution, *place)
    inside = (sx >= 0) & (sx <= width - 1) & (sy >= 0) & (sy <= height - 1)
    sx, sy = sx[inside], sy[inside]
    now_x, now_y = sky_to_pixel(after.solution, place[0][inside], place[1][inside])
    at = np.rint(sy / STEP).astype(int), np.rint(sx / STEP).astype(int)
    was, will = how.lattices(before, grid), how.lattices(after, grid)
    edge = border_weight(sx, sy, how.feather.margins(width, height), before.shape)[:, None]
    gain = will.scale[at].astype(float) / was.scale[at] - 1.0
    sky = was.offset[at] * gain - (will.offset[at].astype(float) - was.offset[at])
    a, b, c, d = after.solution.cd
    dx, dy = now_x - sx, now_y - sy
    shift = np.stack([a * dx + b * dy, c * dx + d * dy]) / grid.scale
    return inside, Moved(was.weight[at] * edge, will.weight[at] * edge, sky, gain, shift)


@dataclass(frozen=True)
class How:
    """How frames are weighted."""

    feather: Feather
    equal: bool  # all alike

    def lattices(self, look: Look, grid: Grid) -> Calibration:
        level = (0.0,) * len(look.sigma)  # the offset is b itself
        return calibration(
            look.correction, look.solution, look.sigma, grid, look.shape, self.feather, self.equal, level
        )


@dataclass(frozen=True)
class Light:
    """What a region of a mosaic shows, per cell of CELL x CELL px and channel; (ny, nx, channels)."""

    light: FloatArray  # rms above the level, without the noise
    slope: FloatArray  # rms of the gradient, per px, without the noise
    weight: FloatArray  # mean inverse variance; 0 where nothing is
    frames: FloatArray  # (ny, nx, 1)


class Change:
    """Sums over the frames of a region (y0, y1, x0, x1) of a mosaic."""

    def __init__(self, grid: Grid, region: tuple[int, int, int, int], channels: int) -> None:
        y0, y1, x0, x1 = region
        self.grid = grid
        self.y = np.minimum(np.arange(y0, y1, CELL) + 0.5 * CELL, y1 - 1.0)
        self.x = np.minimum(np.arange(x0, x1, CELL) + 0.5 * CELL, x1 - 1.0)
        shape = len(self.y), len(self.x), channels
        self.before, self.after, self.sky, self.gain = (np.zeros(shape) for _ in range(4))
        self.shift = np.zeros((2, *shape))

    def add(self, before: Look, after: Look, how: How) -> None:
        """A frame, as it was and as it would be."""
        x, y = (axis.ravel() for axis in np.meshgrid(self.x, self.y))
        inside, change = moved(before, after, self.grid, x, y, how)
        here = inside.reshape(len(self.y), len(self.x))
        self.before[here] += change.before
        self.after[here] += change.after
        self.sky[here] += change.after * change.sky
        self.gain[here] += change.after * change.gain
        for total, part in zip(self.shift, change.shift):
            total[here] += change.after * part[:, None]

    def largest(self, light: Light) -> float:
        """The largest change in any cell and channel, sigma."""
        seen = (self.after > 0) & (light.weight > 0)
        if not seen.any():
            return 0.0
        total = np.where(seen, self.after, 1.0)
        shift = np.hypot(*self.shift) / total
        counted = np.abs(self.sky) / total + np.abs(self.gain) / total * light.light + shift * light.slope
        frames = np.maximum(light.frames, 1.0)
        noise = np.sqrt(1.0 / np.where(seen, light.weight, 1.0) + (SEEING * light.light) ** 2 / frames)
        depth = 0.5 * np.abs(self.after / np.where(self.before > 0, self.before, total) - 1.0)
        return float(np.max(np.maximum(counted / noise, depth), where=seen, initial=0.0))


def light_of(data: Float32Array, weight: Float32Array, count: NDArray[np.uint16], level: tuple[float, ...]) -> Light:
    """Rows of a mosaic, from the first row of a cell on, as cells.

    data, weight : (channels, h, w), NaN or 0 is no data; count : (h, w) frames; level : of the sky that stays, per channel
    """
    known = np.isfinite(data) & (weight > 0)
    light = np.where(known, data - np.array(level, np.float32)[:, None, None], np.float32(0.0))
    share = np.maximum(_cells(known), 1.0 / CELL**2)
    mean_weight = _cells(np.where(known, weight, 0.0)) / share
    variance = np.divide(1.0, mean_weight, out=np.zeros_like(mean_weight), where=mean_weight > 0)
    square = _cells(light * light) / share - variance
    slopes = np.zeros_like(square)
    for axis in (1, 2):
        both = np.diff(known.astype(np.int8), axis=axis) == 0
        step = np.where(both, np.diff(light, axis=axis), np.float32(0.0))
        padding = [(0, int(k == axis)) for k in range(3)]
        slopes = slopes + _cells(np.pad(step * step, padding)) / share
    # the noise of a step is that of two pixels
    slope = np.sqrt(np.maximum(slopes - 4.0 * variance, 0.0))
    frames = _cells(count[None]) / np.maximum(_cells(count[None] > 0), 1.0 / CELL**2)
    return Light(np.sqrt(np.maximum(square, 0.0)), slope, mean_weight, frames)


def _cells(plane: NDArray[np.generic]) -> FloatArray:
    """(ny, nx, channels) means over CELL x CELL px; what is missing of the last ones counts as 0."""
    channels, height, width = plane.shape
    padded = np.zeros((channels, -(-height // CELL) * CELL, -(-width // CELL) * CELL), np.float32)
    padded[:, :height, :width] = plane
    boxes = padded.reshape(channels, padded.shape[1] // CELL, CELL, padded.shape[2] // CELL, CELL)
    return np.moveaxis(boxes.mean(axis=(2, 4), dtype=np.float64), 0, -1)
