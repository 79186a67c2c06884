"""From the sky between the stars: background, steps between panels, noise against the optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from zemosaic.score.scene import BOX, Scene, boxes_of, pixels_of

__all__ = ["CELL", "Residual", "SkyScore", "background", "judge_sky", "panel_step", "residual_of"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
CELL = 96  # px, of the background
STAR_LIGHT = 0.5  # of the noise of a pixel: where true starlight is brighter, the pixel is masked
# degree of a polynomial over the whole mosaic that is no step, for so many panels at most and for more: half a wave of it is
# a panel long or longer
FEW_PANELS, BEND = 4, (2, 3)
WINDOW = 15  # boxes, whose median is taken off before noise and artefacts are judged: 120 px


@dataclass(frozen=True)
class Residual:
    """One channel of the mosaic at transparency 1 minus the truth, and what to judge it by."""

    sky: F32  # (h, w) ADU; NaN near stars and where there is no data
    rough: F32  # (h, w) ADU, the same without its smooth part
    best: F32  # (h, w) ADU, noise of a pixel if the mosaic were ideal and its pixels independent
    sigma: F32  # (h, w) ADU, noise that the pixels have, from the spread in cells of `CELL`
    nebula_p99: float  # ADU, 99th percentile of the true nebula where there is data


@dataclass(frozen=True)
class SkyScore:
    """Of one channel."""

    background_rms: float  # % of the nebula's 99th percentile, constant off
    background_max: float
    untilted_rms: float  # %, a plane off as well
    step: float  # largest difference between neighbouring panels over the noise of a pixel
    efficiency: float  # optimal over measured variance in boxes of 8 x 8


def residual_of(scene: Scene, channel: int, scale: float, fwhm: float) -> Residual:
    """Mosaic minus truth, with the scale and the profile that the stars gave."""
    nebula, stars = scene.nebula[channel], scene.starlight(channel, fwhm)
    data = scene.data[channel] / np.float32(scale)
    covered = np.isfinite(data)
    information = np.maximum(scene.depth.information[channel], 1e-12)
    best = pixels_of((BOX / np.sqrt(information)).astype(np.float32), scene.shape)
    sky = data - nebula - stars
    sky[(stars > STAR_LIGHT * best) | (scene.frames < 1)] = np.nan
    rough = sky - pixels_of(_local_median(boxes_of(sky)).astype(np.float32), scene.shape)
    return Residual(sky, rough, best, _spread(rough, best), float(np.percentile(nebula[covered], 99)))


def _local_median(boxes: F64) -> F64:
    """Median of the boxes in a window that are not NaN, a strip of rows at a time."""
    half = WINDOW // 2
    padded = np.pad(boxes, half, constant_values=np.nan)
    out = np.full(boxes.shape, np.nan)
    for row in range(boxes.shape[0]):
        windows = sliding_window_view(padded[row : row + WINDOW], (WINDOW, WINDOW))[0].reshape(boxes.shape[1], -1)
        ordered = np.sort(windows, axis=1)  # NaN last
        count = np.isfinite(windows).sum(axis=1)
        each = np.arange(len(count))
        out[row] = 0.5 * (ordered[each, np.maximum(count - 1, 0) // 2] + ordered[each, count // 2])
    return out


def _spread(rough: F32, best: F32) -> F32:
    """Noise of the pixels: `best` times a factor per cell, 1.48 MAD."""
    relative = np.abs(rough / best)
    rows, columns = (max(n // CELL, 1) for n in rough.shape)
    whole = float(np.nanmedian(relative))
    factors = np.full((rows, columns), whole)
    for j in range(rows):
        for i in range(columns):
            cell = relative[j * CELL : (j + 1) * CELL, i * CELL : (i + 1) * CELL]
            good = cell[np.isfinite(cell)]
            if good.size >= CELL:
                factors[j, i] = np.median(good)
    return np.asarray(1.4826 * best * pixels_of(factors.astype(np.float32), rough.shape, CELL), np.float32)


def judge_sky(scene: Scene, residual: Residual) -> SkyScore:
    """Background, steps and noise of one channel."""
    rms, largest, untilted = background(boxes_of(residual.sky, CELL), residual.nebula_p99)
    level = boxes_of(residual.sky)
    seen = scene.frames[BOX // 2 :: BOX, BOX // 2 :: BOX][: level.shape[0], : level.shape[1]]
    noise = float(np.nanmedian(residual.sigma[np.isfinite(residual.sky)]))
    step = panel_step(level, scene.depth.frames, seen) / noise
    return SkyScore(rms, largest, untilted, step, _efficiency(scene, residual))


def background(cells: F64, nebula_p99: float) -> tuple[float, float, float]:
    """rms, largest and rms without a plane, in % of the nebula's 99th percentile, of the means in cells of `CELL`.

    One constant per connected part of the mosaic is taken off. cells : (rows, columns) ADU; NaN is no data.
    """
    parts, n_parts = ndimage.label(np.isfinite(cells), structure=np.ones((3, 3)))
    level, flat = np.full(cells.shape, np.nan), np.full(cells.shape, np.nan)
    y, x = np.mgrid[0 : cells.shape[0], 0 : cells.shape[1]].astype(np.float64)
    for part in range(1, n_parts + 1):
        here = parts == part
        level[here] = cells[here] - np.mean(cells[here])
        plane = np.column_stack([np.ones(here.sum()), x[here], y[here]])
        flat[here] = cells[here] - plane @ np.linalg.lstsq(plane, cells[here], rcond=None)[0]
    percent = 100.0 / nebula_p99 if nebula_p99 > 0.0 else float("nan")
    good = parts > 0
    rms, untilted = (percent * float(np.sqrt(np.mean(values[good] ** 2))) for values in (level, flat))
    return rms, percent * float(np.abs(level[good]).max()), untilted


def panel_step(level: F64, frames: NDArray[np.int32], seen: NDArray[np.int32]) -> float:
    """ADU: largest difference between the levels of two panels that share boxes.

    The residual of the boxes is regressed on each panel's share of the subs and a polynomial of second or third degree. With
    a plane in its place a bend without an edge anywhere would count as steps, since each panel has another mean.

    level : (rows, columns) ADU, residual; NaN is no data. frames : (panels, rows, columns) subs of each panel. seen : (rows,
    columns) subs, whose number is the weight.
    """
    total = frames.sum(axis=0)
    used = np.isfinite(level) & (total > 0)
    share = frames[:, used] / total[used]
    weight = np.sqrt(seen[used])
    y, x = np.nonzero(used)
    x, y = (2.0 * at / max(n - 1, 1) - 1.0 for at, n in ((x, level.shape[1]), (y, level.shape[0])))
    degree = BEND[len(frames) > FEW_PANELS]
    smooth = np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i) if i + j > 0])
    design = np.concatenate([share, smooth]) * weight
    value = level[used] - np.median(level[used])
    levels = np.linalg.lstsq(design.T, value * weight, rcond=None)[0][: len(frames)]
    pairs = [
        abs(levels[p] - levels[q])
        for p in range(len(frames))
        for q in range(p)
        if np.any((frames[p] > 0) & (frames[q] > 0))
    ]
    return float(max(pairs, default=0.0))


def _efficiency(scene: Scene, residual: Residual) -> float:
    """Optimal over measured variance (MAD) of the means of 8 x 8 px, smooth part off, away from stars and trails."""
    clear = np.where(scene.near_trail, np.nan, residual.sky)
    boxes = boxes_of(clear, share=1.0)
    boxes -= _local_median(boxes)
    best = residual.best[BOX // 2 :: BOX, BOX // 2 :: BOX][: boxes.shape[0], : boxes.shape[1]] / BOX
    return float(1.0 / (1.4826 * np.nanmedian(np.abs(boxes / best))) ** 2)
