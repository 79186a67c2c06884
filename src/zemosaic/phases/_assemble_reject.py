"""The pass between the two over the blocks: which raw pixels of a frame the provisional mosaic cannot explain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from zemosaic.calibrated import read_calibrated
from zemosaic.imaging.calibrate import STEP, Calibration
from zemosaic.imaging.reject import Judged, judge, outliers, too_dark
from zemosaic.imaging.sensor import SensorSums
from zemosaic.imaging.streaks import find_streaks, streak_mask
from zemosaic.imaging.warp import LATTICE, colours_apart, frame_nodes
from zemosaic.kernels.blot import blot
from zemosaic.kernels.calibrate import calibrate
from zemosaic.model import FrameKind, Grid
from zemosaic.phases._assemble_canvas import Canvas
from zemosaic.phases._assemble_frame import CLIPPED, Exposure, Recipe, lattices_of, lone_pixels, mend_missing
from zemosaic.phases._assemble_sensor import save_sums

__all__ = ["RejectTask", "Rejected", "blotted", "load_rejected", "reject_frames"]

AGREED = 2.5  # sigma of a residual; hot pixels that dither have left out of the model are far beyond
STARLIGHT = 3.0  # sky noise, light of the model from which a pixel may be a star's
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class RejectTask:
    grid: Grid
    exposures: tuple[Exposure, ...]  # of one sensor
    recipe: Recipe
    canvas: Canvas
    sums: Path | None  # where what they have in common is added up


@dataclass(frozen=True)
class Rejected:
    """Rejected raw pixels of one frame: how many, and out of how many."""

    frame_id: int
    pixels: int
    streaks: int
    total: int


def reject_frames(task: RejectTask) -> tuple[Rejected, ...]:
    """Write down the raw pixels of each frame that the model cannot explain, and add up the residuals of their sensor."""
    sums = SensorSums.empty(task.exposures[0].shape) if task.sums else None
    rejected = tuple(_reject_frame(task, exposure, sums) for exposure in task.exposures)
    if task.sums and sums:
        save_sums(task.sums, sums)
    return rejected


def _reject_frame(task: RejectTask, exposure: Exposure, sums: SensorSums | None) -> Rejected:
    """Blot the provisional mosaic back onto one frame and write down the raw pixels that it cannot explain."""
    if exposure.frame.stack:  # who made it has rejected, and its noise is none that the model of a raw pixel knows
        return _nothing_rejected(exposure)
    raw = read_calibrated(exposure.frame, exposure.masters)
    planes = raw[None] if raw.ndim == 2 else raw
    colours = [exposure.colours] if raw.ndim == 2 else [np.full((2, 2), c, np.int64) for c in range(3)]
    lattices = lattices_of(exposure, task.grid, task.recipe)
    missing, lone = mend_missing(raw, exposure, slice(None)), lone_pixels(raw, exposure)
    mask = missing | lone
    models, streaks, worst, trails = [], 0, np.zeros(mask.shape, np.float32), np.zeros(mask.shape, bool)
    for plane, cfa in zip(planes, colours):
        model, spread, samples = blotted(exposure, task.grid, task.canvas, lattices, cfa)
        cut = exposure.clipped > CLIPPED
        judged = judge(plane, model, spread, samples, cfa, exposure.sky, exposure.sigma, cut)
        score = judged.score
        lines = find_streaks(score, mask)  # hot pixels must not line up to a streak
        streaks = max(streaks, len(lines))
        trails |= streak_mask(score, lines)
        mask[_stars_among(lone, judged, exposure, cfa)] = False
        mask |= outliers(score, task.recipe.kappa_low, task.recipe.kappa_high).mask | trails
        if sums:
            sigma = np.asarray(exposure.sigma)[cfa]
            sums.add_frame(plane, judged.expected, judged.tolerated, spread, samples, missing | trails, sigma)
        models.append(model)
        worst = score if len(planes) == 1 else np.where(np.abs(np.nan_to_num(score)) > np.abs(worst), score, worst)
    places = np.flatnonzero(mask)
    fill = np.stack([m.ravel()[places] for m in models])
    _save_rejected(exposure.rejected, places, fill, too_dark(worst, mask, places) & ~trails.ravel()[places])
    return Rejected(exposure.frame.id, places.size, streaks, mask.size)


def _nothing_rejected(exposure: Exposure) -> Rejected:
    planes = 3 if exposure.frame.kind is FrameKind.RGB else 1
    empty = np.zeros(0, np.intp)
    _save_rejected(exposure.rejected, empty, np.zeros((planes, 0), np.float32), empty.astype(bool))
    return Rejected(exposure.frame.id, 0, 0, exposure.frame.width * exposure.frame.height)


def _stars_among(
    lone: NDArray[np.bool_], judged: Judged, exposure: Exposure, colours: NDArray[np.int64]
) -> tuple[NDArray[np.intp], ...]:
    """Lone pixels whose light all frames agree on, the cores of sharp stars, as indices."""
    ys, xs = np.nonzero(lone)
    sky, sigma = (np.asarray(each)[colours[ys % 2, xs % 2]] for each in (exposure.sky, exposure.sigma))
    agreed = (judged.expected[ys, xs] > sky + STARLIGHT * sigma) & (np.abs(judged.score[ys, xs]) < AGREED)
    return ys[agreed], xs[agreed]


def blotted(
    exposure: Exposure, grid: Grid, canvas: Canvas, lattices: Calibration, colours: NDArray[np.int64]
) -> tuple[Float32Array, Float32Array, NDArray[np.uint16]]:
    """Model of the frame's raw pixels, its spread around each (both ADU), and the samples behind it."""
    shape = exposure.shape
    nodes_x, nodes_y = frame_nodes(exposure.solution, shape, grid)
    provisional = open_memmap(canvas.provisional, "r")
    y0, x0 = max(0, int(nodes_y.min()) - 4), max(0, int(nodes_x.min()) - 4)
    y1, x1 = int(nodes_y.max()) + 5, int(nodes_x.max()) + 5
    region = np.array(provisional[:, y0:y1, x0:x1])
    count = np.array(open_memmap(canvas.samples, "r")[y0:y1, x0:x1])
    model, spread = np.empty(shape, np.float32), np.empty(shape, np.float32)
    samples = np.empty(shape, np.uint16)
    apart = colours_apart(exposure.solution)
    blot(region, count, (y0, x0), nodes_x, nodes_y, LATTICE, colours, apart, model, spread, samples)
    # back to raw ADU: raw = (mosaic + offset) / scale
    inverse = (1.0 / lattices.scale).astype(np.float32)
    zero = np.zeros_like(inverse)
    calibrate(spread, 0, colours, inverse, zero, STEP, spread)
    calibrate(model, 0, colours, inverse, -lattices.offset * inverse, STEP, model)
    return model, spread, samples


def _save_rejected(path: Path, places: NDArray[np.intp], fill: Float32Array, dark: NDArray[np.bool_]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, places=places.astype(np.uint32), fill=fill, dark=dark)
    temporary.replace(path)


def load_rejected(path: Path) -> tuple[NDArray[np.int64], Float32Array, NDArray[np.bool_]]:
    """Flat places of the rejected pixels, (planes, n) the model there in raw ADU, and which of them were too dark."""
    with np.load(path) as table:
        return table["places"].astype(np.int64), table["fill"], table["dark"]
