"""The two passes over a superblock, frame by frame: the robust centre, and the mean of what is left after the rejection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.calibrated import read_calibrated
from zemosaic.imaging.calibrate import STEP, Calibration, clipping_bias
from zemosaic.imaging.warp import LATTICE, Window, window
from zemosaic.kernels import resample as mosaic_kernels
from zemosaic.model import Grid, Superblock
from zemosaic.phases._assemble_canvas import Canvas, load, store
from zemosaic.phases._assemble_frame import (
    CLIPPED,
    Exposure,
    Recipe,
    fill_pixels,
    lanes,
    lattices_of,
    lone_pixels,
    mend_missing,
    subtract,
    unclip,
)
from zemosaic.phases._assemble_reject import FrameTask, blotted, load_rejected

__all__ = ["BlockTask", "final_block", "provisional_block"]

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class BlockTask:
    grid: Grid
    channels: int
    block: Superblock
    exposures: tuple[Exposure, ...]
    recipe: Recipe
    canvas: Canvas


def provisional_block(task: BlockTask) -> None:
    """Pass 1 over one superblock."""
    block = task.block
    plane = block.y1 - block.y0, block.x1 - block.x0
    buckets = np.zeros((mosaic_kernels.BUCKETS, *plane, 2 * task.channels), np.float32)
    samples = np.zeros(plane, np.uint16)
    for exposure in task.exposures:
        view = window(exposure.solution, exposure.shape, task.grid, (block.y0, block.y1, block.x0, block.x1))
        if view is None:
            continue
        lattices = lattices_of(exposure, task.grid, task.recipe)
        raw = read_calibrated(exposure.frame, exposure.masters, view.rows)
        hot = mend_missing(raw, exposure)
        if task.recipe.reject:
            hot |= lone_pixels(raw, exposure)
        if exposure.clipped > CLIPPED:
            subtract(raw, exposure, [float(clipping_bias(m, s)) for m, s in zip(exposure.sky, exposure.sigma)])
        image = lanes(raw, view.rows.start, exposure, lattices, hot)
        mosaic_kernels.add_to_buckets(
            image, view.rows.start, exposure.frame.height, mosaic_kernels.LANCZOS_TABLE,
            view.nodes_x, view.nodes_y, view.node0, LATTICE, lattices.weight, STEP,
            task.recipe.feather.margins(exposure.frame.width, exposure.frame.height),
            (block.y0, block.x0), view.box, buckets, samples,
        )  # fmt: skip
    centre = np.empty((task.channels, *plane), np.float32)
    mosaic_kernels.bucket_centre(buckets, centre)
    store(task.canvas.provisional, block, centre)
    store(task.canvas.samples, block, samples)


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
        lattices = lattices_of(exposure, task.grid, task.recipe)
        raw, mask = _mended(task, exposure, view, lattices)
        image = lanes(raw, view.rows.start, exposure, lattices, mask)
        mosaic_kernels.add_to_sums(
            image, view.rows.start, exposure.frame.height, mosaic_kernels.LANCZOS_TABLE,
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
        data = np.where(weight > 0, total[..., 0] / weight, load(task.canvas.provisional, task.block))
        inverse_variance = np.where(weight > 0, weight**2 / total[..., 2], 0.0)
    store(task.canvas.data, task.block, data.astype(np.float32))
    store(task.canvas.weight, task.block, inverse_variance.astype(np.float32))
    store(task.canvas.coverage, task.block, count)
    store(task.canvas.rejected, task.block, rejected)


def _mended(
    task: BlockTask, exposure: Exposure, view: Window, lattices: Calibration
) -> tuple[Float32Array, NDArray[np.bool_]]:
    """The frame's rows with the rejected pixels filled from the model, and which they are."""
    raw = read_calibrated(exposure.frame, exposure.masters, view.rows)
    mask = mend_missing(raw, exposure)
    if exposure.clipped > CLIPPED:
        model, _, _ = blotted(FrameTask(task.grid, exposure, task.recipe, task.canvas), lattices, exposure.colours)
        unclip(raw, model[view.rows], exposure)
    if task.recipe.reject:
        places, fill = load_rejected(exposure.rejected)
        first, last = view.rows.start * exposure.frame.width, view.rows.stop * exposure.frame.width
        here = (places >= first) & (places < last)
        rejected = np.zeros_like(mask)
        rejected.ravel()[places[here] - first] = True
        fill_pixels(raw, rejected, fill[:, here], exposure)
        mask |= rejected
    return raw, mask
