"""Mosaic to frame: the provisional mosaic resampled onto the raw pixels of a frame."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel
from zemosaic.kernels.resample import _lattice

__all__ = ["blot", "invalidate"]


@kernel
def _cubic(
    t: float,
    out: NDArray[np.float64],
) -> None:
    """Catmull-Rom weights of the four taps at -1..2 (Keys 1981, a = -1/2)."""
    out[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    out[1] = (1.5 * t - 2.5) * t * t + 1.0
    out[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    out[3] = (0.5 * t - 0.5) * t * t


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
    wx, wy = np.empty(4), np.empty(4)
    shift = np.zeros((3, 2))
    for n in range(apart.shape[0]):
        shift[2 * n] = apart[n]
    for y in range(out.shape[0]):
        j = y // step
        for x in range(out.shape[1]):
            i, c = x // step, colours[y % 2, x % 2]
            fy, fx = (y % step - shift[c, 1]) / step, (x % step - shift[c, 0]) / step
            mx = _lattice(nodes_x, j, i, fy, fx) - origin[1]
            my = _lattice(nodes_y, j, i, fy, fx) - origin[0]
            out[y, x] = np.nan
            spread[y, x] = 0.0
            samples[y, x] = 0
            if not (mx >= 1.0 and my >= 1.0 and mx < W - 2.0 and my < H - 2.0):
                continue
            ix, iy = int(math.floor(mx)), int(math.floor(my))
            _cubic(mx - ix, wx)
            _cubic(my - iy, wy)
            total = 0.0
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for ky in range(4):
                for kx in range(4):
                    value = mosaic[c, iy + ky - 1, ix + kx - 1]
                    total += wy[ky] * wx[kx] * value
                    if (ky == 1 or ky == 2) or (kx == 1 or kx == 2):
                        low, high = min(low, value), max(high, value)
            out[y, x] = total
            spread[y, x] = high - low
            samples[y, x] = count[int(my + 0.5), int(mx + 0.5)]


@kernel
def invalidate(
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    colours: NDArray[np.int64],
    filtered: bool,
    lanes: NDArray[np.float32],
) -> None:
    """Take left-out raw pixels off the validity (lane 3) of all pixels into which bilinear demosaicing spreads them.

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
                share = 1.0 if steps == 0 else (0.25 if green else 0.5) if steps == 1 else (0.0 if green else 0.25)
                lanes[y, x, 3] = max(lanes[y, x, 3] - np.float32(share), np.float32(0.0))
