"""The two passes over a superblock, frame by frame: the robust centre, and the mean of what is left after the rejection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.chunks import Around, reserve
from zemosaic.imaging.calibrate import STEP, Calibration, clipping_bias
from zemosaic.imaging.coadd import location, median, median_variance
from zemosaic.imaging.demosaic import BAYER_SHARE
from zemosaic.imaging.projection import grid_area, pixel_scale
from zemosaic.imaging.taps import drops as dropped
from zemosaic.imaging.taps import taps
from zemosaic.imaging.warp import Window, colours_apart, window
from zemosaic.kernels import coadd as sample_kernels
from zemosaic.kernels import resample as mosaic_kernels
from zemosaic.model import FrameKind, Grid, Superblock
from zemosaic.phases._assemble_canvas import FINAL, PROVISIONAL, Canvas, Checkpoint, block_name, load, record, store
from zemosaic.phases._assemble_disk import SAMPLES
from zemosaic.phases._assemble_frame import (
    CLIPPED,
    Exposure,
    Ingredient,
    Lost,
    LostFrameError,
    Recipe,
    by_chance,
    fill_from_neighbours,
    fill_pixels,
    lanes,
    lattices_of,
    lone_pixels,
    mend_missing,
    read_rows,
    subtract,
    taper_border,
    unclip,
)
from zemosaic.phases._assemble_reject import KEPT, around, blotted, load_rejected
from zemosaic.phases._assemble_sensor import SensorMaps, lasting_pixels

__all__ = ["ENOUGH", "BlockTask", "final_block", "first_record", "last_record", "provisional_block"]

LEAST_VALID = 0.02  # share of its raw pixels that a sample of the final mean must have kept, as `add_to_sums` has it
BAND = 64  # rows of the mosaic resampled at a time: what lies between the kernels stays in the cache
# Samples that a pixel of the provisional mosaic takes, five in each bucket. The median of their means has 0.19 of a sub's noise,
# which adds 2 % to that of a residual; one more costs as much time as one of the final mean.
ENOUGH = 45
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class BlockTask:
    grid: Grid
    channels: int
    block: Superblock
    exposures: tuple[Exposure, ...]
    recipe: Recipe
    canvas: Canvas
    key: str = ""  # hash of what the block is made from in this pass
    checkpoint: float = math.inf  # s between two checkpoints of running sums
    scratch: Path | None = None  # folder for samples that do not fit the memory

    @property
    def name(self) -> str:
        """The same when the grid grows."""
        b = self.block
        return block_name(b.y0, b.x0, b.y1, b.x1, self.grid.zero)

    @property
    def plane(self) -> tuple[int, int]:
        return self.block.y1 - self.block.y0, self.block.x1 - self.block.x0

    @property
    def origin(self) -> tuple[int, int]:
        return self.block.y0, self.block.x0


@dataclass(frozen=True)
class Prepared:
    """What a frame says about a block: colours and validity of its rows, and what brings them there."""

    exposure: Exposure
    view: Window
    lattices: Calibration
    image: Float32Array  # (rows, w, 4)
    table: Float32Array  # weights of the pixels around a place
    red: tuple[int, int]  # place of red in a colour filter array, see `kernels.resample.add_to_sums`
    mask: NDArray[np.bool_]  # raw pixels that are left out

    @property
    def apart(self) -> NDArray[np.float64]:
        """Where the light of red and of blue falls, px from green."""
        return colours_apart(self.exposure.solution)


def provisional_block(task: BlockTask) -> set[int] | Lost:
    """Pass 1 over one superblock."""
    if not task.block.depth:
        task = replace(task, exposures=tuple(by_chance(task.exposures)))
    try:
        centre, samples = _side_by_side(task) if task.block.depth else _running(task)
    except LostFrameError as lost:
        return Lost(lost.frame_id, lost.reason)
    finally:
        _remove_scratch(task)
    store(task.canvas.provisional, task.block, centre)
    store(task.canvas.samples, task.block, samples)
    record(first_record(task), task.key, ())
    _first_checkpoint(task).drop()
    return set()


def first_record(task: BlockTask) -> Path:
    return task.canvas.record_of(PROVISIONAL, task.name)


def last_record(task: BlockTask) -> Path:
    return task.canvas.record_of(FINAL, task.name)


def _first_checkpoint(task: BlockTask) -> Checkpoint:
    return Checkpoint(task.canvas.checkpoint_of(PROVISIONAL, task.name), task.key, task.checkpoint)


def _running(task: BlockTask) -> tuple[Float32Array, NDArray[np.uint16]]:
    """Median of nine interleaved running means, and the samples behind it: any number of frames in constant memory.

    A pixel takes its first ENOUGH samples; the order in which the frames come has nothing to do with time (see `by_chance`).
    """
    buckets = np.zeros((mosaic_kernels.BUCKETS, *task.plane, 2 * task.channels), np.float32)
    samples = np.zeros(task.plane, np.uint16)
    checkpoint = _first_checkpoint(task)
    begun, _ = checkpoint.restore((buckets, samples))
    for done, each in _visited(task, _plain, begun):
        mosaic_kernels.add_to_buckets(
            each.image, each.view.rows.start, each.exposure.frame.height, each.table,
            each.view.nodes_x, each.view.nodes_y, each.view.node0, each.view.step, each.lattices.weight, STEP,
            _margins(task, each), each.apart, task.origin, each.view.box, buckets, samples, ENOUGH,
        )  # fmt: skip
        checkpoint.keep((buckets, samples), done, ())
    centre = np.empty((task.channels, *task.plane), np.float32)
    mosaic_kernels.bucket_centre(buckets, centre)
    return centre, samples


def _side_by_side(task: BlockTask) -> tuple[Float32Array, NDArray[np.uint16]]:
    """Location of all samples of each pixel by the named rejection, and how many there are."""
    samples, count = _no_samples(task), np.zeros(task.plane, np.uint16)
    checkpoint = _first_checkpoint(task)
    begun, _ = checkpoint.restore((samples, count))
    for done, each in _visited(task, _plain, begun):
        _add_samples(task, each, 0.5, samples, count)
        checkpoint.keep((samples, count), done, ())
    _check_depth(task, count)
    recipe = task.recipe
    shares = BAYER_SHARE if any(e.frame.bayer for e in task.exposures) else (1.0,) * task.channels
    centre = location(
        samples, count, recipe.rejection, kappas=(recipe.kappa_low, recipe.kappa_high), limits=recipe.winsor,
        equal=recipe.equal_weights, level=recipe.level, unlike=recipe.unlike, shares=shares,
    )  # fmt: skip
    return centre, count


@dataclass(frozen=True)
class _Sums:
    """What the final pass adds up over one superblock."""

    sums: Float32Array  # (h, w, 3 * channels)
    count: NDArray[np.uint16]  # (h, w)
    rejected: NDArray[np.uint16]  # (h, w)
    sides: NDArray[np.uint16] | None  # (2, h, w), when asked for
    beside: Float32Array | None  # (depth, h, w, 2 * channels + 1), for the median
    found: NDArray[np.uint16] | None  # (h, w), samples of these
    seconds: Float32Array | None  # (h, w) of exposure, where frames differ in it

    @classmethod
    def empty(cls, task: BlockTask) -> _Sums:
        plane, median = task.plane, task.recipe.combine == "median"
        return cls(
            np.zeros((*plane, 3 * task.channels), np.float32),
            np.zeros(plane, np.uint16),
            np.zeros(plane, np.uint16),
            np.zeros((2, *plane), np.uint16) if task.canvas.sides else None,
            _no_samples(task) if median else None,
            np.zeros(plane, np.uint16) if median else None,
            np.zeros(plane, np.float32) if task.canvas.seconds else None,
        )

    @property
    def arrays(self) -> list[NDArray[Any]]:
        return [each for each in vars(self).values() if each is not None]


def final_block(task: BlockTask) -> set[int] | Lost:
    """Pass 2 over one superblock; the ids of the frames that gave it at least one pixel."""
    try:
        return _final_block(task)
    except LostFrameError as lost:
        return Lost(lost.frame_id, lost.reason)
    finally:
        _remove_scratch(task)


def _final_block(task: BlockTask) -> set[int]:
    total = _Sums.empty(task)
    checkpoint = Checkpoint(task.canvas.checkpoint_of(FINAL, task.name), task.key, task.checkpoint)
    begun, contributed = checkpoint.restore(total.arrays)
    mended = partial(_mended, around(task.canvas, min(KEPT, total.sums.nbytes)), SensorMaps())
    for done, each in _visited(task, mended, begun, task.recipe.drops):
        seen = _add_final(task, each, total)
        if seen:
            contributed.add(each.exposure.frame.id)
        checkpoint.keep(total.arrays, done, contributed)
    middle = None
    if total.beside is not None and total.found is not None:
        _check_depth(task, total.found)
        # colours of drops count each by itself, with equal weights too, see `kernels.coadd.resample_box`
        middle = median(total.beside, total.found, task.recipe.equal_weights and not task.recipe.drops)
    _store_final(task, total.sums, total.count, middle)
    store(task.canvas.coverage, task.block, total.count)
    store(task.canvas.rejected, task.block, total.rejected)
    if total.sides is not None and task.canvas.sides is not None:
        store(task.canvas.sides, task.block, total.sides)
    if total.seconds is not None and task.canvas.seconds is not None:
        store(task.canvas.seconds, task.block, total.seconds)
    record(last_record(task), task.key, contributed, [Ingredient.of(each) for each in task.exposures])
    checkpoint.drop()
    return contributed


def _add_final(task: BlockTask, each: Prepared, total: _Sums) -> int:
    """Add a frame; the number of pixels to which it gives something."""
    view, lattices = each.view, each.lattices
    (y0, y1, x0, x1), (top, left) = view.box, task.origin
    here = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    before = None if total.seconds is None else total.count[here].copy()
    seen = mosaic_kernels.add_to_sums(
        each.image, view.rows.start, each.exposure.frame.height, each.table, each.red,
        view.nodes_x, view.nodes_y, view.node0, view.step, lattices.weight, lattices.variance, STEP,
        _margins(task, each), each.apart, task.origin, view.box, total.sums, total.count, total.rejected,
    )  # fmt: skip
    if total.beside is not None and total.found is not None:
        _add_samples(task, each, LEAST_VALID, total.beside, total.found)
    if total.sides is not None:
        _count_sides(task, each, total.sides)
    if total.seconds is not None and before is not None:
        total.seconds[here] += (total.count[here] - before) * np.float32(each.exposure.seconds)
    return seen


def _visited(
    task: BlockTask,
    read: Callable[[BlockTask, Exposure, Window, Calibration], tuple[Float32Array, NDArray[np.bool_]]],
    begun: int,
    drops: bool = False,
) -> Iterator[tuple[int, Prepared]]:
    """The frames that reach into the block, in their order, and how many of its frames are dealt with after each.

    read : gives the raw rows and what is left out of them; begun : frames that an earlier run dealt with
    drops : take each colour from its own raw pixels
    """
    block = task.block
    for done, exposure in enumerate(task.exposures[begun:], begun + 1):
        view = window(exposure.solution, exposure.shape, task.grid, (block.y0, block.y1, block.x0, block.x1))
        if view is None:
            continue
        lattices = lattices_of(exposure, task.grid, task.recipe)
        raw, mask = read(task, exposure, view, lattices)
        image = lanes(raw, view.rows.start, exposure, lattices, mask, drops)
        taper_border(image, exposure, view.rows, task.recipe.feather.taper, drops)
        yield done, Prepared(exposure, view, lattices, image, *_weights(task, exposure, drops), mask)


def _weights(task: BlockTask, exposure: Exposure, drops: bool) -> tuple[Float32Array, tuple[int, int]]:
    """`Prepared.table` and `Prepared.red`; what is drizzled is compared with a mosaic that is interpolated."""
    recipe = task.recipe
    if not drops:
        return taps("lanczos3" if recipe.drops else recipe.resampling), (mosaic_kernels.PLANES, mosaic_kernels.PLANES)
    area = float(grid_area(task.grid, exposure.solution.ra, exposure.solution.dec))
    area = area if math.isfinite(area) else 1.0  # at the end of an atlas, as `calibration` has it
    size = 3600.0 * task.grid.scale * math.sqrt(area) / pixel_scale(exposure.solution)
    if exposure.frame.kind is not FrameKind.BAYER:
        return dropped(recipe.pixfrac, size, 1), (-1, -1)
    y, x = np.argwhere(exposure.colours == 0)[0]
    return dropped(recipe.pixfrac, size, 2), (int(y), int(x))


def _margins(task: BlockTask, each: Prepared) -> NDArray[np.float64]:
    return task.recipe.feather.margins(each.exposure.frame.width, each.exposure.frame.height)


def _no_samples(task: BlockTask) -> Float32Array:
    """Room for the samples of a block, in memory or in a file."""
    shape = task.block.depth, *task.plane, 2 * task.channels + 1
    if not task.block.mapped:
        return np.zeros(shape, np.float32)
    file = _scratch_file(task)
    reserve(file, 4 * math.prod(shape))
    return np.memmap(file, np.float32, "r+", shape=shape)


def _scratch_file(task: BlockTask) -> Path:
    folder = task.scratch or task.canvas.data.parent / "scratch"
    return folder / f"zemosaic_{task.key[:12]}_{task.name}{SAMPLES}"


def _remove_scratch(task: BlockTask) -> None:
    if task.block.mapped:
        _scratch_file(task).unlink(missing_ok=True)


def _add_samples(
    task: BlockTask, each: Prepared, least: float, samples: Float32Array, count: NDArray[np.uint16]
) -> None:
    """Resample a frame, some rows of the mosaic at a time, and put it beside the others."""
    y0, y1, x0, x1 = each.view.box
    seen = np.empty((min(BAND, y1 - y0), x1 - x0, 2 * task.channels + 2), np.float32)
    for top in range(y0, y1, BAND):
        box = top, min(top + BAND, y1), x0, x1
        sample_kernels.resample_box(
            each.image, each.view.rows.start, each.exposure.frame.height, each.table, each.red,
            each.view.nodes_x, each.view.nodes_y, each.view.node0, each.view.step, each.lattices.weight, each.lattices.variance,
            STEP, _margins(task, each), each.apart, task.recipe.equal_weights, box, seen,
        )  # fmt: skip
        sample_kernels.add_to_samples(seen, box, task.origin, least, samples, count)


def _check_depth(task: BlockTask, count: NDArray[np.uint16]) -> None:
    if task.block.depth and int(count.max(initial=0)) > task.block.depth:
        raise ValueError(f"{count.max()} samples of a pixel in {task.block}, planned for {task.block.depth}")


def _count_sides(task: BlockTask, each: Prepared, sides: NDArray[np.uint16]) -> None:
    """Where the frame's raw pixels were rejected, by side."""
    places, _, dark = load_rejected(each.exposure.rejected)
    signs = np.zeros(each.exposure.shape, np.int8)
    signs.ravel()[places] = np.where(dark, -1, 1)
    sample_kernels.count_rejected(
        signs,
        0,
        each.view.nodes_x,
        each.view.nodes_y,
        each.view.node0,
        each.view.step,
        task.origin,
        each.view.box,
        sides,
    )


def _store_final(task: BlockTask, sums: Float32Array, count: NDArray[np.uint16], middle: Float32Array | None) -> None:
    """Mean (or the median given) and formal inverse variance; where every sample was rejected the provisional value stays."""
    total = np.moveaxis(sums.reshape(*count.shape, task.channels, 3), 2, 0)
    weight = total[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = total[..., 0] / weight if middle is None else middle
        data = np.where(weight > 0, value, load(task.canvas.provisional, task.block))
        inverse_variance = np.where(weight > 0, weight**2 / total[..., 2], 0.0)
    if middle is not None:
        inverse_variance /= median_variance(count)
    store(task.canvas.data, task.block, data.astype(np.float32))
    store(task.canvas.weight, task.block, inverse_variance.astype(np.float32))


def _plain(
    task: BlockTask, exposure: Exposure, view: Window, lattices: Calibration
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """The frame's rows as they are, what its own pixels tell to be damaged left out."""
    del lattices
    raw = read_rows(exposure, view.rows)
    missing = mend_missing(raw, exposure, view.rows)
    hot = np.zeros_like(missing)
    if task.recipe.reject:
        hot = (lone_pixels(exposure, view.rows) | lasting_pixels(exposure, view.rows)) & ~missing
        fill_from_neighbours(raw, hot, exposure)
    if exposure.clipped > CLIPPED:
        subtract(raw, exposure, [float(clipping_bias(m, s)) for m, s in zip(exposure.sky, exposure.sigma)])
    return raw, missing | hot


def _mended(
    kept: Around, maps: SensorMaps, task: BlockTask, exposure: Exposure, view: Window, lattices: Calibration
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """The frame's rows with the rejected pixels filled from the model, and which they are."""
    raw = read_rows(exposure, view.rows)
    mask = mend_missing(raw, exposure, view.rows) | maps.correct(raw, exposure, view.rows)
    if exposure.clipped > CLIPPED:
        model, _, _ = blotted(exposure, task.grid, lattices, exposure.colours, kept, view.rows)
        unclip(raw, model, exposure)
    if task.recipe.reject:
        places, fill, _ = load_rejected(exposure.rejected)
        first, last = view.rows.start * exposure.frame.width, view.rows.stop * exposure.frame.width
        here = (places >= first) & (places < last)
        rejected = np.zeros_like(mask)
        rejected.ravel()[places[here] - first] = True
        fill_pixels(raw, rejected, fill[:, here], exposure)
        mask |= rejected
    return raw, mask
