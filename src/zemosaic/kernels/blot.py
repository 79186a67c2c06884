"""Mosaic to frame: the provisional mosaic resampled onto the raw pixels of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels._simd import four_by_four
from zemosaic.kernels.demosaic import CLOSE, NEAR
from zemosaic.kernels.resample import PHASES, REST, SHIFT, row_ends

__all__ = ["blot", "invalidate"]


def _cubic_table() -> NDArray[np.float32]:
    """Catmull-Rom weights of the four taps at -1..2 (Keys 1981, a = -1/2) at PHASES positions, one after the other."""
    t = np.arange(PHASES + 1) / PHASES
    weights = [
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    return np.stack(weights, axis=1).astype(np.float32).ravel()


CUBIC_TABLE = _cubic_table()


@kernel
def blot(
    mosaic: NDArray[np.float32],
    count: NDArray[np.uint16],
    origin: tuple[int, int],
    nodes_x: NDArray[np.float64],
    nodes_y: NDArray[np.float64],
    step: int,
    colours: NDArray[np.int64],
    apart: NDArray[np.float64],
    out: NDArray[np.float32],
    spread: NDArray[np.float32],
    samples: NDArray[np.uint16],
) -> None:
    """The mosaic at the centres of a frame's pixels, each in the pixel's own colour.

    mosaic : (channels, H, W) float32, a region of the mosaic whose pixel (0, 0) is `origin` (y, x); NaN is no data
    count : (H, W) uint16, samples in each pixel of the region
    nodes_x, nodes_y : float64, mosaic coordinates of the frame's pixels at multiples of `step`
    colours : (2, 2) int64, channel of each pixel of the colour filter array
    apart : (2, 2) float64, where the light of red and of blue falls, x, y px from green; (0, 2): where green does
    out : (h, w) float32, out: mosaic units, NaN where any of the 4 x 4 taps is missing
    spread : (h, w) float32, out: largest minus smallest of the inner 2 x 2 taps and their neighbours along the axes
    samples : (h, w) uint16, out: count at the nearest mosaic pixel
    """
    H, W = mosaic.shape[1], mosaic.shape[2]
    shift = np.zeros((3, 2))
    for n in range(apart.shape[0]):
        shift[2 * n] = apart[n]
    flat, found, inverse = mosaic.ravel(), np.empty(2, np.float32), 1.0 / step
    last_x, last_y = W - 2.0 - 1.0 / PHASES, H - 2.0 - 1.0 / PHASES
    for cy in range((out.shape[0] + step - 1) // step):
        for cx in range((out.shape[1] + step - 1) // step):
            for y in range(cy * step, min((cy + 1) * step, out.shape[0])):
                for phase in range(2):
                    c = colours[y % 2, phase]
                    down, across = y - cy * step - shift[c, 1], cx * step + shift[c, 0]
                    left_x, left_y, right_x, right_y = row_ends(nodes_x, nodes_y, cy, cx, down / step)
                    for x in range(cx * step + (cx * step + phase) % 2, min((cx + 1) * step, out.shape[1]), 2):
                        share = (x - across) * inverse
                        mx = left_x + (right_x - left_x) * share - origin[1]
                        my = left_y + (right_y - left_y) * share - origin[0]
                        if not (mx >= 1.0 and my >= 1.0 and mx < last_x and my < last_y):
                            out[y, x], spread[y, x], samples[y, x] = np.nan, 0.0, 0
                            continue
                        column, row = int(mx * PHASES + 0.5), int(my * PHASES + 0.5)
                        four_by_four(
                            flat, (c * H + (row >> SHIFT) - 1) * W + (column >> SHIFT) - 1, W,
                            CUBIC_TABLE, 4 * (column & REST), CUBIC_TABLE, 4 * (row & REST), found, 0,
                        )  # fmt: skip
                        out[y, x], spread[y, x] = found[0], found[1]
                        samples[y, x] = count[int(my + 0.5), int(mx + 0.5)]


@kernel
def invalidate(
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    colours: NDArray[np.int64],
    filtered: bool,
    lanes: NDArray[np.float32],
) -> None:
    """Take left-out raw pixels off the validity (lane 3) of all pixels into which demosaicing spreads them.

    As `zemosaic.kernels.demosaic.calibrated_cubic` does; its lobes farther out, 1/16 at most, do not count.

    ys, xs : (n,) int64; filtered : True for a colour filter array; lanes : (h, w, 4) float32, lane 3 in and out, >= 0
    """
    h, w = lanes.shape[0], lanes.shape[1]
    for k in range(ys.size):
        reach = 1 if filtered else 0
        green = colours[ys[k] % 2, xs[k] % 2] == 1
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                y, x = ys[k] + dy, xs[k] + dx
                if y < 0 or x < 0 or y >= h or x >= w:
                    continue
                steps = abs(dy) + abs(dx)
                share = (
                    1.0 if steps == 0 else (CLOSE if green else NEAR) if steps == 1 else (0.0 if green else NEAR * NEAR)
                )
                lanes[y, x, 3] = max(lanes[y, x, 3] - np.float32(share), np.float32(0.0))
