"""How much of a sensor's own pattern lies in the mosaic that its frames are compared with.

Where the field moves little, or along a line, the model of a pixel is made of its neighbours along that line: a warm pixel draws
a streak into the mosaic, and all the pixels that pass under the streak look too dark by as much. The mean residual is then
f - D f with the pattern f and the autocorrelation D of the motion: how often another frame of the sensor put a pixel so many
pixels away upon the same place of the sky, over how many of its frames see that place (other sensors make it less). What of
f equals D f cannot be told from the sky, and anything else that the mosaic holds too much of (the trail of a satellite) looks
like it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from zemosaic.imaging.projection import pixel_to_sky, sky_to_grid
from zemosaic.model import Grid, Solution

__all__ = ["MOST_FRAMES", "Smear", "motion_of", "smear_of"]

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

NODE = 64  # px between the places of the sensor whose motion is looked at
TILE = 2 * NODE  # px; the motion is that of its nodes on average, so that field rotation blurs it
REACH = 64  # px; what is farther away is spread thin
SIZE = TILE + 2 * REACH  # px, of the transforms
MOST_FRAMES = 200  # of a sensor, whose places are looked at; more are represented by these
LOOKED = 32  # of these, whose models are looked at
STEP = 8.0  # px, for derivatives
PLAIN = 0.05  # rms of D f over that of f: below, the mosaic is as good as independent of a pixel
# what bilinear debayering makes of a single pixel: green, and red or blue
GREEN = np.array([[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]])
OTHER = np.array([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])


def smear_of(
    solutions: Sequence[Solution],
    share: float,
    shape: tuple[int, int],
    grid: Grid,
    colours: NDArray[np.int64],
) -> Smear:
    """D all over a sensor of `shape` (h, w).

    solutions : of its frames, or of `MOST_FRAMES` of them, evenly chosen
    share : all its frames over those
    """
    h, w = shape
    rows, columns = -(-h // TILE), -(-w // TILE)
    y, x = (np.minimum((np.arange(2 * n) + 0.5) * NODE, last - 0.5 * NODE) for n, last in ((rows, h), (columns, w)))
    node_y, node_x = (each.ravel() for each in np.meshgrid(y, x, indexing="ij"))
    places, inverse = _places(solutions, grid, node_x, node_y)
    margins = [(-x0, w - 1 - x0, -y0, h - 1 - y0) for x0, y0 in zip(node_x, node_y)]
    nodes = [motion_of(places[:, k], inverse[:, k], margins[k], share) for k in range(node_x.size)]
    motion = np.stack(nodes).reshape(rows, 2, columns, 2, 2 * REACH + 1, 2 * REACH + 1).mean(axis=(1, 3))
    return Smear(motion, colours)


def _places(solutions: Sequence[Solution], grid: Grid, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places (frames, nodes, 2) of pixels of the sensor in the mosaic, and (frames, nodes, 2, 2) what turns steps there back."""
    places, inverse = [], []
    for solution in solutions:
        here, right, up = (
            np.stack(sky_to_grid(grid, *pixel_to_sky(solution, x + dx, y + dy)), axis=-1)
            for dx, dy in ((0.0, 0.0), (STEP, 0.0), (0.0, STEP))
        )
        places.append(here)
        inverse.append(np.linalg.inv(np.stack([right - here, up - here], axis=-1) / STEP))
    return np.stack(places), np.stack(inverse)


def motion_of(
    places: FloatArray,
    inverse: FloatArray,
    margins: tuple[float, float, float, float],
    share: float,
) -> Float32Array:
    """D at one place of the sensor, (2 REACH + 1, 2 REACH + 1), in the middle no displacement.

    places : (frames, 2) x and y in the mosaic
    inverse : (frames, 2, 2) mosaic pixels to pixels of the sensor, around there
    margins : px from there to the borders of the sensor: x low, x high, y low, y high
    share : frames of the sensor over those in `places`, when these are a selection
    """
    side = 2 * REACH + 3
    chosen = np.linspace(0, len(places) - 1, min(LOOKED, len(places))).astype(int)
    step = np.einsum("jab,ijb->ija", inverse, places[chosen, None] - places[None])
    low, high = np.array([margins[0], margins[2]]), np.array([margins[1], margins[3]])
    inside = ((step >= low) & (step <= high)).all(axis=2)
    weight = np.where(inside, np.where(chosen[:, None] == np.arange(len(places)), 1.0, share), 0.0)
    weight /= weight.sum(axis=1, keepdims=True)
    near = inside & (np.abs(step).max(axis=2) < REACH)
    x, y = step[near].T + REACH + 1.0
    ix, iy = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - ix, y - iy
    out = np.zeros(side * side)
    for dy, wy in ((0, 1.0 - fy), (1, fy)):
        for dx, wx in ((0, 1.0 - fx), (1, fx)):
            out += np.bincount((iy + dy) * side + ix + dx, wx * wy * weight[near], out.size)
    motion: Float32Array = (out.reshape(side, side)[1:-1, 1:-1] / chosen.size).astype(np.float32)
    return motion


@dataclass(frozen=True)
class Smear:
    """D all over a sensor."""

    motion: Float32Array  # (rows, columns, 2 REACH + 1, 2 REACH + 1) of each tile of TILE px
    colours: NDArray[np.int64]  # (2, 2) channel of each pixel of the colour filter array; zeros without one

    @property
    def plain(self) -> bool:
        """Whether the field moved so well that the mosaic is as good as independent of each pixel."""
        others = self.motion.astype(np.float64)
        others[..., REACH, REACH] = 0.0
        return float(np.sqrt((others**2).sum(axis=(2, 3)).mean())) < PLAIN

    def __call__(self, pattern: Float32Array) -> Float32Array:
        """D f: what a pattern (h, w) puts into the model of each pixel, in the pixel's own colour."""
        rows, columns = self.motion.shape[:2]
        h, w = pattern.shape
        padded = np.pad(pattern, ((REACH, rows * TILE - h + REACH), (REACH, columns * TILE - w + REACH)))
        out = np.zeros((rows * TILE, columns * TILE), np.float32)
        for row in range(rows):
            for column in range(columns):
                y, x = row * TILE, column * TILE
                tile = self._tile(padded[y : y + SIZE, x : x + SIZE], self.motion[row, column])
                out[y : y + TILE, x : x + TILE] = tile
        return out[:h, :w]

    def _tile(self, window: Float32Array, motion: Float32Array) -> Float32Array:
        """One tile from its surroundings (SIZE, SIZE)."""
        out = np.zeros((TILE, TILE), np.float32)
        for channel in np.unique(self.colours):
            own = np.tile(self.colours == channel, (SIZE // 2, SIZE // 2))
            kernel = np.zeros((SIZE, SIZE), np.float32)
            spread = _debayered(int(np.count_nonzero(self.colours == channel)))
            for (j, i), share in np.ndenumerate(spread):
                kernel[j : j + 2 * REACH + 1, i : i + 2 * REACH + 1] += share * motion[::-1, ::-1]
            kernel = np.roll(kernel, (-REACH - 1, -REACH - 1), (0, 1))
            product = fft.rfft2(np.where(own, window, np.float32(0.0))) * fft.rfft2(kernel)
            inner = np.s_[REACH : REACH + TILE, REACH : REACH + TILE]
            out = np.where(own[inner], fft.irfft2(product, (SIZE, SIZE))[inner], out)
        return out


def _debayered(phases: int) -> FloatArray:
    """(3, 3) what becomes of a single pixel of a colour that has so many of the four phases of the colour filter array."""
    return {1: OTHER, 2: GREEN, 4: np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])}[phases]
