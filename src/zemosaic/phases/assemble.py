"""assemble: two passes over the frames, frame-major inside each superblock, with the blot-back rejection between them.

1. provisional: every frame is corrected, resampled and added to a robust centre (`provisional_block`).
2. reject: the centre is blotted back onto each frame's raw pixels; those that the noise model cannot explain are written down
   (`reject_frame`).
3. final: the frames again, the rejected pixels filled from the model, one interpolation, inverse-variance mean (`final_block`).

Pixels do not depend on how the mosaic is cut into superblocks nor on the number of workers. Peak memory of a task: 72 bytes
per pixel of its superblock and channel, plus one frame in work (about 60 bytes per raw pixel).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from zemosaic.calibrated import read_calibrated
from zemosaic.events import PhaseProgress, Reporter
from zemosaic.execution import run_each
from zemosaic.imaging.calibrate import STEP, Calibration, Feather, calibration, clipping_bias
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.reject import outliers, tolerance
from zemosaic.imaging.sky import damaged_pixels
from zemosaic.imaging.streaks import find_streaks, streak_mask
from zemosaic.imaging.warp import LATTICE, Window, frame_nodes, window
from zemosaic.kernels import blot as raw_kernels
from zemosaic.kernels import resample as mosaic_kernels
from zemosaic.kernels.demosaic import bilinear
from zemosaic.model import Correction, Frame, FrameKind, Grid, Masters, Mosaic, Plan, Solution, Superblock

__all__ = ["Exposure", "Recipe", "assemble", "visits"]

BAYER_SHARE = (0.25, 0.5, 0.25)  # of the pixels, R G B
CLIPPED = 1e-3  # share of pixels at exactly 0 from which a frame counts as cut at 0
FEW = 2  # samples; the median of more is robust against one outlier
MEDIAN_VARIANCE = 1.57  # of a median over that of a mean, Gaussian noise
Float32Array = NDArray[np.float32]
Task = TypeVar("Task")


@dataclass(frozen=True)
class Recipe:
    """How the frames are combined."""

    feather: Feather
    level: tuple[float, ...]  # mosaic units per channel, the mean sky that the mosaic keeps
    equal_weights: bool = False
    reject: bool = True
    kappa_low: float = 4.0
    kappa_high: float = 4.0


@dataclass(frozen=True)
class Exposure:
    """All that the assembly needs to know of a frame."""

    frame: Frame
    solution: Solution
    correction: Correction
    sigma: tuple[float, ...]  # ADU per channel
    sky: tuple[float, ...]  # ADU per channel
    clipped: float  # share of raw pixels at exactly 0
    rejected: Path  # where its rejected pixels are written down
    masters: Masters | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.frame.height, self.frame.width

    @property
    def white_sigma(self) -> tuple[float, ...]:
        """Noise that a pixel of each colour would have if the light of all its pixels were spread over the whole sensor.

        A quarter of a Bayer sensor sees red: means over an area are twice as noisy as `sigma` would say.
        """
        if self.frame.kind is not FrameKind.BAYER:
            return self.sigma
        return tuple(s / math.sqrt(share) for s, share in zip(self.sigma, BAYER_SHARE))

    @property
    def colours(self) -> NDArray[np.int64]:
        """(2, 2) channel of each pixel of the colour filter array; zeros without one."""
        return cfa_colours(self.frame.bayer) if self.frame.bayer else np.zeros((2, 2), np.int64)


@dataclass(frozen=True)
class Canvas:
    """Arrays of the mosaic on disk, each written block by block."""

    provisional: Path  # (channels, h, w) float32
    samples: Path  # (h, w) uint16
    data: Path
    weight: Path
    coverage: Path
    rejected: Path


@dataclass(frozen=True)
class BlockTask:
    grid: Grid
    channels: int
    block: Superblock
    exposures: tuple[Exposure, ...]
    recipe: Recipe
    canvas: Canvas


@dataclass(frozen=True)
class FrameTask:
    grid: Grid
    exposure: Exposure
    recipe: Recipe
    canvas: Canvas


@dataclass(frozen=True)
class Rejected:
    """Rejected raw pixels of one frame: how many, and out of how many."""

    frame_id: int
    pixels: int
    streaks: int
    total: int


def assemble(
    plan: Plan,
    exposures: Mapping[int, Exposure],
    recipe: Recipe,
    folder: Path,
    executor: Executor,
    reporter: Reporter,
) -> tuple[Mosaic, tuple[Rejected, ...]]:
    """Assemble the mosaic of a plan into arrays under `folder`; also what was rejected, frame by frame."""
    canvas = _create_canvas(plan, folder)
    blocks = [
        BlockTask(plan.grid, plan.channels, b, tuple(exposures[i] for i in b.frames), recipe, canvas)
        for b in plan.superblocks
    ]
    frames = [FrameTask(plan.grid, exposures[i], recipe, canvas) for i in sorted(exposures)] if recipe.reject else []
    counter = _Counter(reporter, visits(plan, recipe))
    counter.run(executor, provisional_block, blocks)
    rejected = counter.run(executor, reject_frame, frames)
    used = counter.run(executor, final_block, blocks)
    canvas.provisional.unlink()
    canvas.samples.unlink()
    contributed = tuple(sorted(set().union(*used)))
    mosaic = Mosaic(plan.grid, canvas.data, canvas.weight, canvas.coverage, canvas.rejected, contributed)
    return mosaic, tuple(rejected)


def visits(plan: Plan, recipe: Recipe) -> int:
    """How often a frame is read: what the progress counts."""
    frames = {i for block in plan.superblocks for i in block.frames}
    return 2 * sum(len(block.frames) for block in plan.superblocks) + (len(frames) if recipe.reject else 0)


class _Counter:
    """Runs tasks and reports each that is done, in visits to frames, over all the passes."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total, self.done = reporter, total, 0

    def run(self, executor: Executor, function: Callable[[Task], Any], tasks: Sequence[Task]) -> list[Any]:
        results = []
        for task, result in zip(tasks, run_each(executor, function, tasks, cancelled=self.reporter.cancelled)):
            self.done += len(task.exposures) if isinstance(task, BlockTask) else 1
            self.reporter.emit(PhaseProgress("assemble", self.done, self.total))
            results.append(result)
        return results


def _create_canvas(plan: Plan, folder: Path) -> Canvas:
    folder.mkdir(parents=True, exist_ok=True)
    canvas = Canvas(*(folder / f"{name}.npy" for name in Canvas.__dataclass_fields__))
    plane = plan.grid.height, plan.grid.width
    for path in (canvas.provisional, canvas.data, canvas.weight):
        open_memmap(path, "w+", np.float32, (plan.channels, *plane))
    for path in (canvas.samples, canvas.coverage, canvas.rejected):
        open_memmap(path, "w+", np.uint16, plane)
    for path in (canvas.provisional, canvas.data):
        _blank(path)
    return canvas


def _blank(path: Path) -> None:
    """No data everywhere: blocks that no frame touches are never visited."""
    array = open_memmap(path, "r+")
    for plane in array:
        for row in range(0, plane.shape[0], 256):
            plane[row : row + 256] = np.nan
    array.flush()


def provisional_block(task: BlockTask) -> None:
    """Pass 1 over one superblock."""
    block = task.block
    plane = block.y1 - block.y0, block.x1 - block.x0
    buckets = np.zeros((*plane, mosaic_kernels.BUCKETS, 2 * task.channels), np.float32)
    samples = np.zeros(plane, np.uint16)
    for exposure in task.exposures:
        view = window(exposure.solution, exposure.shape, task.grid, (block.y0, block.y1, block.x0, block.x1))
        if view is None:
            continue
        lattices = _calibration(exposure, task)
        raw = read_calibrated(exposure.frame, exposure.masters, view.rows)
        hot = _mend_missing(raw, exposure)
        if task.recipe.reject:
            hot |= _lone_pixels(raw, exposure)
        if exposure.clipped > CLIPPED:
            _subtract(raw, exposure, [float(clipping_bias(m, s)) for m, s in zip(exposure.sky, exposure.sigma)])
        lanes = _lanes(_calibrated(raw, view.rows.start, exposure, lattices), exposure, hot, view.rows.start)
        mosaic_kernels.add_to_buckets(
            lanes, view.rows.start, exposure.frame.height, mosaic_kernels.LANCZOS_TABLE,
            view.nodes_x, view.nodes_y, view.node0, LATTICE, lattices.weight, STEP,
            task.recipe.feather.margins(exposure.frame.width, exposure.frame.height),
            (block.y0, block.x0), view.box, buckets, samples,
        )  # fmt: skip
    centre = np.empty((task.channels, *plane), np.float32)
    mosaic_kernels.bucket_centre(buckets, centre)
    _store(task.canvas.provisional, block, centre)
    _store(task.canvas.samples, block, samples)


def reject_frame(task: FrameTask) -> Rejected:
    """Blot the provisional mosaic back onto one frame and write down the raw pixels that it cannot explain."""
    exposure = task.exposure
    raw = read_calibrated(exposure.frame, exposure.masters)
    planes = raw[None] if raw.ndim == 2 else raw
    colours = [exposure.colours] if raw.ndim == 2 else [np.full((2, 2), c, np.int64) for c in range(3)]
    lattices = _calibration(exposure, task)
    mask = _mend_missing(raw, exposure) | _lone_pixels(raw, exposure)
    models, streaks = [], 0
    for plane, cfa in zip(planes, colours):
        model, spread, samples = _blotted(task, lattices, cfa)
        score = _score(plane, model, spread, samples, cfa, exposure)
        lines = find_streaks(np.where(mask, 0.0, score))  # hot pixels must not line up to a streak
        streaks = max(streaks, len(lines))
        mask |= outliers(score, task.recipe.kappa_low, task.recipe.kappa_high).mask | streak_mask(score, lines)
        models.append(model)
    places = np.flatnonzero(mask)
    fill = np.stack([m.ravel()[places] for m in models])
    _save_rejected(exposure.rejected, places, fill)
    return Rejected(exposure.frame.id, places.size, streaks, mask.size)


def final_block(task: BlockTask) -> set[int]:
    """Pass 2 over one superblock; the ids of the frames that gave it at least one pixel."""
    block = task.block
    plane = block.y1 - block.y0, block.x1 - block.x0
    sums = np.zeros((*plane, 3 * task.channels), np.float32)
    count, rejected = np.zeros(plane, np.uint16), np.zeros(plane, np.uint16)
    contributed = set()
    for exposure in task.exposures:
        view = window(exposure.solution, exposure.shape, task.grid, (block.y0, block.y1, block.x0, block.x1))
        if view is None:
            continue
        before = int(count.sum(dtype=np.int64))
        lattices = _calibration(exposure, task)
        raw, mask = _mended(task, exposure, view, lattices)
        lanes = _lanes(_calibrated(raw, view.rows.start, exposure, lattices), exposure, mask, view.rows.start)
        mosaic_kernels.add_to_sums(
            lanes, view.rows.start, exposure.frame.height, mosaic_kernels.LANCZOS_TABLE,
            view.nodes_x, view.nodes_y, view.node0, LATTICE, lattices.weight, lattices.variance, STEP,
            task.recipe.feather.margins(exposure.frame.width, exposure.frame.height),
            (block.y0, block.x0), view.box, sums, count, rejected,
        )  # fmt: skip
        if int(count.sum(dtype=np.int64)) > before:
            contributed.add(exposure.frame.id)
    _store_mean(task, sums, count, rejected)
    return contributed


def _store_mean(task: BlockTask, sums: Float32Array, count: NDArray[np.uint16], rejected: NDArray[np.uint16]) -> None:
    """Mean and formal inverse variance; where every sample was rejected the provisional value stays, with weight 0."""
    total = np.moveaxis(sums.reshape(*count.shape, task.channels, 3), 2, 0)
    weight = total[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        data = np.where(weight > 0, total[..., 0] / weight, _load(task.canvas.provisional, task.block))
        inverse_variance = np.where(weight > 0, weight**2 / total[..., 2], 0.0)
    _store(task.canvas.data, task.block, data.astype(np.float32))
    _store(task.canvas.weight, task.block, inverse_variance.astype(np.float32))
    _store(task.canvas.coverage, task.block, count)
    _store(task.canvas.rejected, task.block, rejected)


def _mended(
    task: BlockTask, exposure: Exposure, view: Window, lattices: Calibration
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """The frame's rows with the rejected pixels filled from the model, and which they are."""
    raw = read_calibrated(exposure.frame, exposure.masters, view.rows)
    mask = _mend_missing(raw, exposure)
    if exposure.clipped > CLIPPED:
        model, _, _ = _blotted(FrameTask(task.grid, exposure, task.recipe, task.canvas), lattices, exposure.colours)
        _unclip(raw, model[view.rows], exposure)
    if task.recipe.reject:
        places, fill = _load_rejected(exposure.rejected)
        first, last = view.rows.start * exposure.frame.width, view.rows.stop * exposure.frame.width
        here = (places >= first) & (places < last)
        rejected = np.zeros_like(mask)
        rejected.ravel()[places[here] - first] = True
        _fill(raw, rejected, fill[:, here], exposure)
        mask |= rejected
    return raw, mask


def _mend_missing(raw: Float32Array, exposure: Exposure) -> NDArray[np.bool_]:
    """Pixels that are not finite in any plane; the frame's sky takes their place, so that NaN spreads nowhere."""
    missing = ~np.isfinite(raw if raw.ndim == 2 else raw.sum(axis=0))
    if missing.any():
        planes = 1 if raw.ndim == 2 else raw.shape[0]
        _fill(raw, missing, np.full((planes, int(missing.sum())), np.nan, np.float32), exposure)
    return missing


def _fill(raw: Float32Array, mask: NDArray[np.bool_], fill: Float32Array, exposure: Exposure) -> None:
    """Put the model into the rejected pixels; where there is none, the frame's sky."""
    if raw.ndim == 3:
        sky = np.asarray(exposure.sky, np.float32)[:, None]
        raw[:, mask] = np.where(np.isfinite(fill), fill, sky)
        return
    ys, xs = np.nonzero(mask)
    sky = np.asarray(exposure.sky, np.float32)[exposure.colours[ys % 2, xs % 2]]
    raw[mask] = np.where(np.isfinite(fill[0]), fill[0], sky)


def _unclip(raw: Float32Array, model: Float32Array, exposure: Exposure) -> None:
    """Take off what cutting at 0 added, pixel by pixel, using the model's light; the sky's where there is no model."""
    for dy in range(2):
        for dx in range(2):
            c = int(exposure.colours[dy, dx])
            mean = np.where(np.isfinite(model[dy::2, dx::2]), model[dy::2, dx::2], exposure.sky[c])
            raw[..., dy::2, dx::2] -= clipping_bias(mean, exposure.sigma[c])


def _subtract(raw: Float32Array, exposure: Exposure, levels: Sequence[float]) -> None:
    if raw.ndim == 3:
        raw -= np.asarray(levels, np.float32)[:, None, None]
        return
    for dy in range(2):
        for dx in range(2):
            raw[dy::2, dx::2] -= levels[int(exposure.colours[dy, dx])]


def _blotted(
    task: FrameTask, lattices: Calibration, colours: NDArray[np.int64]
) -> tuple[Float32Array, Float32Array, NDArray[np.uint16]]:
    """Model of the frame's raw pixels, its spread around each (both ADU), and the samples behind it."""
    shape = task.exposure.shape
    nodes_x, nodes_y = frame_nodes(task.exposure.solution, shape, task.grid)
    provisional = open_memmap(task.canvas.provisional, "r")
    y0, x0 = max(0, int(nodes_y.min()) - 4), max(0, int(nodes_x.min()) - 4)
    y1, x1 = int(nodes_y.max()) + 5, int(nodes_x.max()) + 5
    region = np.array(provisional[:, y0:y1, x0:x1])
    count = np.array(open_memmap(task.canvas.samples, "r")[y0:y1, x0:x1])
    model, spread = np.empty(shape, np.float32), np.empty(shape, np.float32)
    samples = np.empty(shape, np.uint16)
    raw_kernels.blot(region, count, (y0, x0), nodes_x, nodes_y, LATTICE, colours, model, spread, samples)
    # back to raw ADU: raw = (mosaic + offset) / scale
    inverse = (1.0 / lattices.scale).astype(np.float32)
    zero = np.zeros_like(inverse)
    raw_kernels.calibrate(spread, 0, colours, inverse, zero, STEP, spread)
    raw_kernels.calibrate(model, 0, colours, inverse, -lattices.offset * inverse, STEP, model)
    return model, spread, samples


def _score(
    plane: Float32Array,
    model: Float32Array,
    spread: Float32Array,
    samples: NDArray[np.uint16],
    colours: NDArray[np.int64],
    exposure: Exposure,
) -> Float32Array:
    """Residual of each raw pixel in units of what is tolerated there; NaN where there is no model."""
    score = np.full(plane.shape, np.nan, np.float32)
    for c in np.unique(colours):
        of_colour = np.tile(colours == c, (plane.shape[0] // 2 + 1, plane.shape[1] // 2 + 1))
        here = of_colour[: plane.shape[0], : plane.shape[1]] & np.isfinite(model) & np.isfinite(plane)
        value, expected = plane[here], model[here]
        if exposure.clipped > CLIPPED:
            expected = expected + clipping_bias(expected, exposure.sigma[c])
        residual = value - expected
        share = MEDIAN_VARIANCE / np.maximum(samples[here], 1).astype(np.float32)
        light = expected - np.float32(exposure.sky[c])
        scaled = residual / tolerance(residual, light, spread[here], exposure.sigma[c], share)
        # of two samples the centre is the mean: what lies below it is the frame that the outlier of the other pulled up
        score[here] = np.where((samples[here] <= FEW) & (scaled < 0), 0.0, scaled)
    return score


def _lone_pixels(raw: Float32Array, exposure: Exposure) -> NDArray[np.bool_]:
    """Hot and dead pixels that can be told from stars on the frame alone; none in frames debayered elsewhere."""
    if exposure.frame.kind is FrameKind.RGB:
        return np.zeros(raw.shape[-2:], bool)
    return damaged_pixels(raw, exposure.frame.bayer, exposure.sigma)


def _calibration(exposure: Exposure, task: BlockTask | FrameTask) -> Calibration:
    return calibration(
        exposure.correction,
        exposure.solution,
        exposure.white_sigma,
        task.grid,
        exposure.shape,
        task.recipe.feather,
        task.recipe.equal_weights,
        task.recipe.level,
    )


def _calibrated(raw: Float32Array, row0: int, exposure: Exposure, lattices: Calibration) -> Float32Array:
    """Raw rows in mosaic units, same shape."""
    out = np.empty_like(raw)
    if raw.ndim == 2:
        raw_kernels.calibrate(raw, row0, exposure.colours, lattices.scale, lattices.offset, STEP, out)
        return out
    for c in range(3):
        colours = np.full((2, 2), c, np.int64)
        raw_kernels.calibrate(raw[c], row0, colours, lattices.scale, lattices.offset, STEP, out[c])
    return out


def _lanes(values: Float32Array, exposure: Exposure, mask: NDArray[np.bool_], row0: int) -> Float32Array:
    """(rows, w, 4): colours of each pixel and its validity."""
    height, width = values.shape[-2:]
    lanes = np.empty((height, width, 4), np.float32)
    filtered = exposure.frame.kind is FrameKind.BAYER
    if filtered:
        bilinear(values, np.roll(exposure.colours, -(row0 % 2), axis=0), lanes)
    elif values.ndim == 3:
        lanes[..., :3] = np.moveaxis(values, 0, -1)
    else:
        lanes[..., :3] = values[..., None]
    lanes[..., 3] = 1.0
    ys, xs = np.nonzero(mask)
    raw_kernels.invalidate(ys, xs, exposure.colours, filtered, lanes)
    return lanes


def _save_rejected(path: Path, places: NDArray[np.intp], fill: Float32Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial.npz")
    np.savez(temporary, places=places.astype(np.uint32), fill=fill)
    temporary.replace(path)


def _load_rejected(path: Path) -> tuple[NDArray[np.int64], Float32Array]:
    """Flat places of the rejected pixels, and (planes, n) the model there in raw ADU."""
    with np.load(path) as table:
        return table["places"].astype(np.int64), table["fill"]


def _store(path: Path, block: Superblock, values: NDArray[Any]) -> None:
    array = open_memmap(path, "r+")
    array[..., block.y0 : block.y1, block.x0 : block.x1] = values
    array.flush()


def _load(path: Path, block: Superblock) -> NDArray[Any]:
    return np.array(open_memmap(path, "r")[..., block.y0 : block.y1, block.x0 : block.x1])
