"""The sky of a frame in cells, what a model leaves of it there, and the damaged pixels that must not enter it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from zemosaic.imaging.noise import colour_index, local_sigma
from zemosaic.kernels import sky as kernels
from zemosaic.model import SkyMesh

__all__ = ["CELL", "CUT_SHARE", "damaged_pixels", "left_mesh", "repaired", "sky_level", "sky_mesh", "uncut_mean"]

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

CELL = 16  # px
LEVEL_CELL = 32  # px; a median of 256 pixels of a phase, 8 % of sigma
DAMAGED_SIGMA = 5.0
# Mean of a pixel's neighbours, without the brightest, over the pixel itself, above the sky: 0.36 for a white star of FWHM
# 2.0 px centred on it, 0.14 when it is a red pixel and the star has half the green and a fifth of the blue; a damaged
# pixel, or one of two side by side, has 0 within 0.08 at 5 sigma.
DAMAGED_CONTRAST = 0.12
CUT_SHARE = 1e-4  # of pixels at 0, from which a frame counts as cut: 3.7 sigma, the mean is off by 2e-5 sigma
CLIP = 3.0
STARRY = 3.0  # sky noise, spread of a model around pixels that starlight or seeing may differ in
LEAST_LEFT = 0.5  # share of the pixels of a colour that a cell needs


def _levels(raw: FloatArray) -> FloatArray:
    """(2, 2, ny, nx) median of each phase of the filter array in cells of LEVEL_CELL px; the far edges join the last cell."""
    half = LEVEL_CELL // 2
    ny, nx = max(raw.shape[0] // LEVEL_CELL, 1), max(raw.shape[1] // LEVEL_CELL, 1)
    out = np.empty((2, 2, ny, nx), np.float32)
    for y in (0, 1):
        for x in (0, 1):
            tiles = raw[y::2, x::2][: ny * half, : nx * half]
            rows, columns = min(half, tiles.shape[0]), min(half, tiles.shape[1])
            cells = tiles.reshape(ny, rows, nx, columns).swapaxes(1, 2).reshape(ny, nx, rows * columns)
            out[y, x] = np.partition(cells, rows * columns // 2, axis=2)[:, :, rows * columns // 2]
    return out


def damaged_pixels(raw: FloatArray, pattern: str | None, sigma: tuple[float, ...]) -> BoolArray:
    """(h, w) bool: single hot and dead pixels and cosmic hits of one pixel.

    raw : (h, w) float32, ADU, straight from the sensor (not debayered)
    sigma : ADU, noise of one sky pixel per channel
    """
    out = np.empty(raw.shape, np.bool_)
    limit = (DAMAGED_SIGMA * np.array(sigma))[colour_index(pattern)].astype(np.float32)
    kernels.find_damaged(np.ascontiguousarray(raw), _levels(raw), LEVEL_CELL, limit, DAMAGED_CONTRAST, out)
    return out


def repaired(raw: FloatArray, pattern: str | None, damaged: BoolArray) -> FloatArray:
    """A copy of a frame with its damaged pixels replaced by the mean of the four nearest good ones of their colour."""
    step = 2 if pattern else 1
    out = raw.copy()
    y, x = np.divmod(np.flatnonzero(damaged), raw.shape[1])  # five times as fast as `nonzero` of two dimensions
    total, count = np.zeros(len(y)), np.zeros(len(y))
    for dy, dx in ((-step, 0), (step, 0), (0, -step), (0, step)):
        inside = (y + dy >= 0) & (y + dy < raw.shape[0]) & (x + dx >= 0) & (x + dx < raw.shape[1])
        ny, nx = np.where(inside, y + dy, y), np.where(inside, x + dx, x)
        good = ~damaged[ny, nx]
        total += np.where(good, raw[ny, nx], 0.0)
        count += good
    out[y, x] = np.where(count > 0, total / np.maximum(count, 1), raw[y, x])
    return out


def uncut_mean(mean: ArrayLike, sigma: ArrayLike) -> NDArray[np.float64]:
    """mu of a Gaussian whose values below 0 were set to 0, from the mean m that is left.

    Solves m = mu Phi(mu / s) + s phi(mu / s) by Newton's method from above, where it converges without a bound; below
    mu = -3 s nothing is left to invert, and that is returned. NaN stays NaN.
    """
    s = np.asarray(sigma, float)
    m = np.asarray(mean, float) / s
    z = np.maximum(m, 0.0)
    for _ in range(12):
        value = z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        z = np.maximum(z - (value - m) / ndtr(z), -3.0)
    return np.asarray(s * z)


def sky_mesh(
    data: FloatArray,
    pattern: str | None,
    damaged: BoolArray | None,
    sigma: tuple[float, ...],
    cut: float,
    growth: tuple[float, ...] = (),
) -> SkyMesh:
    """Mean of the raw pixels of each colour in cells of CELL px; stars are in, damaged pixels are not.

    data : (h, w) or (3, h, w) float32, ADU
    damaged : (h, w) bool, left out; None for none
    sigma : ADU, noise of one sky pixel per channel
    cut : share of pixels that are exactly 0; above CUT_SHARE the means are those of the sky before it was cut at 0
    growth : ADU, of the variance with the level, per channel; () for none
    """
    planes = data if data.ndim == 3 else data[None]
    h, w = planes.shape[1:]
    index = colour_index(pattern)
    bad = np.zeros((h, w), np.bool_) if damaged is None else damaged
    parts = []
    for plane in planes:
        total = np.zeros((-(-h // CELL), -(-w // CELL), int(index.max()) + 1))
        count = np.zeros(total.shape, np.int64)
        kernels.cell_sums(np.ascontiguousarray(plane), bad, index, CELL, total, count)
        parts.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    mean = np.concatenate(parts, axis=2)
    if cut > CUT_SHARE and min(sigma) > 0:
        mean = _uncut(mean, sigma, growth or (0.0,) * len(sigma))
    return SkyMesh(mean=mean.astype(np.float32), cell=CELL)


def left_mesh(
    raw: FloatArray,
    model: FloatArray,
    spread: FloatArray,
    skipped: BoolArray,
    colours: NDArray[np.int64],
    sigma: NDArray[np.float64],
    channels: int,
) -> FloatArray:
    """(ny, nx, channels) mean of what a model leaves of a plane's pixels in cells of CELL px, ADU.

    NaN where less than half of the pixels of a colour count, and in channels that the plane does not have.

    raw, model : (h, w) float32, ADU; NaN is no data. spread : (h, w) ADU, of the model around each pixel.
    skipped : (h, w) bool, left out besides
    colours : (2, 2) channel of the pixel at (y % 2, x % 2); sigma : (2, 2) ADU, noise of the sky there
    """
    h, w = raw.shape
    out = skipped.copy()
    rows, columns = (np.zeros((-(-n // CELL), 2), np.int64) for n in (h, w))  # of each parity, in the cells of a side
    for side, n in ((rows, h), (columns, w)):
        np.add.at(side, (np.arange(n) // CELL, np.arange(n) % 2), 1)
    pixels = np.zeros((len(rows), len(columns), channels), np.int64)
    for y in (0, 1):
        for x in (0, 1):
            out[y::2, x::2] |= ~(spread[y::2, x::2] < STARRY * sigma[y, x])
            pixels[..., colours[y, x]] += np.outer(rows[:, y], columns[:, x])
    total, count = np.zeros(pixels.shape), np.zeros_like(pixels)
    kernels.cell_sums(raw - model, out, colours, CELL, total, count)
    return np.where(count > LEAST_LEFT * pixels, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _uncut(mean: NDArray[np.float64], sigma: tuple[float, ...], growth: tuple[float, ...]) -> NDArray[np.float64]:
    """Cells (ny, nx, channels) before they were cut at 0, with the noise that each has at its own level."""
    out = uncut_mean(mean, sigma)
    levels = sky_level(SkyMesh(out.astype(np.float32), CELL))
    for c, (s, g, level) in enumerate(zip(sigma, growth, levels)):
        if g > 0:
            out[..., c] = uncut_mean(mean[..., c], local_sigma(out[..., c], s, g, level))
    return out


def sky_level(mesh: SkyMesh) -> tuple[float, ...]:
    """Sky of the whole frame per channel, ADU: median of the cells after those with stars were clipped; NaN without data."""
    levels = []
    for channel in range(mesh.mean.shape[2]):
        cells = mesh.mean[..., channel]
        cells = cells[np.isfinite(cells)]
        for _ in range(5):
            if cells.size == 0:
                break
            middle = np.median(cells)
            spread = 1.4826 * np.median(np.abs(cells - middle))
            cells = cells[np.abs(cells - middle) <= CLIP * spread]
        levels.append(float(np.median(cells)) if cells.size else float("nan"))
    return tuple(levels)
