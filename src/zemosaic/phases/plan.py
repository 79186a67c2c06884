"""plan: the grid, the panels, the superblocks; all that decides the result, before a pixel moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.errors import SettingsError
from zemosaic.imaging.grouping import group_pointings, mean_direction, unit_vectors
from zemosaic.imaging.projection import grid_to_sky, pixel_scale, sky_to_pixel
from zemosaic.imaging.warp import LATTICE, extent
from zemosaic.model import Frame, Grid, Group, Plan, Solution, Superblock
from zemosaic.phases._plan_grid import (
    CHUNK,
    Layout,
    OutsideError,
    check_scale,
    grown_grid,
    make_grid,
    natural_scale,
    reaching,
    share_inside,
    stays,
)

__all__ = [
    "TASK_OVERHEAD",
    "Cuts",
    "Layout",
    "OutsideError",
    "SideBySide",
    "check_scale",
    "group_frames",
    "grown_cuts",
    "grown_grid",
    "make_grid",
    "make_plan",
    "natural_scale",
    "reaching",
    "sample_bytes",
    "share_inside",
    "stays",
]

BYTES_PER_PIXEL = 9 * 2 * 4  # of a superblock, per channel: nine buckets, sum and weight, float32
TASK_OVERHEAD = 400 * 2**20  # bytes: interpreter with its libraries ~250 MB, one S50 frame in work ~120 MB
LARGEST_BLOCK = 4096 * 4096  # px; a larger one saves no reading worth having and makes progress lumpy
SMALLEST_BLOCK = CHUNK * CHUNK  # px
LEAST_JOINT = 512 * 512  # px; smaller blocks read a frame more than three times over (2.8 times at this size)
CELL = 64  # px of the mosaic on which the subs over a pixel are counted
AUTOMATIC_PANEL = 0.4  # of the frames' shorter side


@dataclass(frozen=True)
class Cuts:
    """Where a grid is cut into superblocks, px, both ends included."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def largest(self) -> int:
        """px of the largest block."""
        return int(np.diff(self.rows).max() * np.diff(self.columns).max())


@dataclass(frozen=True)
class SideBySide:
    """Which superblocks hold all samples of a pixel side by side; the others hold running means."""

    most: int = 0  # frames over a pixel; 0: as many as fit the memory
    everywhere: bool = False  # blocks are cut as small as it takes
    needed: bool = False  # the result cannot do without
    scratch: int = 0  # bytes on the disk that a worker may use where the memory is too small for all


def sample_bytes(depth: int, channels: int) -> int:
    """Bytes a pixel of a superblock with room for so many samples: value and variance per channel and the weight, float32.

    Besides: the centre, or the sums of the final pass.
    """
    return depth * (2 * channels + 1) * 4 + 3 * channels * 4 + 8


def group_frames(
    frames: Sequence[Frame], solutions: Mapping[int, Solution], threshold: float = 0.0
) -> tuple[Group, ...]:
    """Panels: frames whose centres lie within `threshold` degrees (0 = 0.4 of the median shorter side) of each other."""
    ra = np.array([solutions[f.id].ra for f in frames])
    dec = np.array([solutions[f.id].dec for f in frames])
    if threshold <= 0.0:
        sides = [min(f.width, f.height) * pixel_scale(solutions[f.id]) / 3600.0 for f in frames]
        threshold = AUTOMATIC_PANEL * float(np.median(sides))
    labels = group_pointings(ra, dec, threshold)
    groups = []
    for label in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == label)
        centre = mean_direction(unit_vectors(ra[members], dec[members]))
        groups.append(Group(label, *centre, tuple(frames[int(k)].id for k in members)))
    return tuple(groups)


def make_plan(
    frames: Sequence[Frame],
    solutions: Mapping[int, Solution],
    groups: tuple[Group, ...],
    grid: Grid,
    *,
    memory: int,
    workers: int,
    samples: SideBySide | None = None,
    cuts: Cuts | None = None,
) -> Plan:
    """Lay out the mosaic on its grid.

    memory : bytes for all workers together; a task needs `Plan.memory` = overhead + 72 bytes a pixel and channel, or what
        `sample_bytes` says
    samples : where samples lie side by side; None: nowhere
    cuts : where the grid is to be cut, if the memory allows (`grown_cuts`)

    Raises SettingsError when the memory is too small for the samples that have to lie side by side.
    """
    channels = frames[0].channels
    budget = max(memory // workers - TASK_OVERHEAD, 2**20)
    largest = min(budget // (BYTES_PER_PIXEL * channels), LARGEST_BLOCK)
    if cuts is not None and cuts.largest > max(largest, SMALLEST_BLOCK):
        cuts = None
    if samples is None:
        cuts = cuts or _cut(grid, _pieces(grid, largest, workers))
        blocks = _superblocks(frames, solutions, grid, cuts)
    else:
        cuts, blocks = _with_samples(frames, solutions, grid, samples, budget, largest, workers, cuts)
    needed = max(_in_memory(b, channels) for b in blocks)
    disk = _whole_chunks(grid) * (3 * channels * 4 + 6) + sum(f.width * f.height // 11 for f in frames)
    disk += workers * max(_area(b) * sample_bytes(b.depth, channels) if b.mapped else 0 for b in blocks)
    disk += 16 * max(f.width * f.height for f in frames) * min(-(-len(frames) // 8), 32)  # sums of a sensor
    return Plan(grid, channels, groups, blocks, LATTICE, TASK_OVERHEAD + needed, disk, CHUNK, cuts.rows, cuts.columns)


def _with_samples(
    frames: Sequence[Frame],
    solutions: Mapping[int, Solution],
    grid: Grid,
    samples: SideBySide,
    budget: int,
    largest: int,
    workers: int,
    cuts: Cuts | None,
) -> tuple[Cuts, tuple[Superblock, ...]]:
    """Where the grid is cut, at `cuts` if that goes, and the blocks, each with room for its samples where they fit."""
    channels, depths = frames[0].channels, _depths(frames, solutions, grid)

    def blocks(cuts: Cuts) -> tuple[Superblock, ...]:
        deep = (_deepened(b, depths) for b in _superblocks(frames, solutions, grid, cuts))
        return tuple(_chosen(b, samples, budget, channels) for b in deep)

    if cuts is not None:
        with suppress(SettingsError):  # more frames than blocks as large as these have room for
            kept = blocks(cuts)
            if any(b.depth for b in kept):  # those of a mosaic of running means have room for no samples at all
                return cuts, kept
    fitting = budget // sample_bytes(int(depths.max()), channels)
    least = SMALLEST_BLOCK if (samples.everywhere or samples.needed) and not samples.scratch else LEAST_JOINT
    cuts = _cut(grid, _pieces(grid, min(largest, max(fitting, least)), workers))
    return cuts, blocks(cuts)


def grown_cuts(before: Grid, cuts: Cuts, grid: Grid) -> Cuts:
    """The cuts of a grid that grew, the old ones among them."""
    below, left = (new - old for new, old in zip(grid.zero, before.zero))
    return Cuts(
        _more_cuts(cuts.rows, before.height, below, grid.height),
        _more_cuts(cuts.columns, before.width, left, grid.width),
    )


def _more_cuts(cuts: Sequence[int], length: int, ahead: int, now: int) -> tuple[int, ...]:
    """Cuts of a side that has become longer, by `ahead` px before its beginning: the new parts in pieces like the old ones."""
    largest = max(-(-int(np.diff(cuts).max()) // CHUNK), 1) * CHUNK
    end = min(-(-length // CHUNK) * CHUNK + ahead, now)  # chunks at the old end hold new pixels too
    old = [cut + ahead for cut in cuts[:-1]] + [end]
    first = _cuts(ahead, -(-ahead // largest)) if ahead else []
    last = [end + cut for cut in _cuts(now - end, -(-(now - end) // largest))] if now > end else []
    return tuple(sorted({*first, *old, *last}))


def _whole_chunks(grid: Grid) -> int:
    """Pixels of the grid filled up to whole chunks, as they lie on the disk."""
    return -(-grid.height // CHUNK) * -(-grid.width // CHUNK) * CHUNK * CHUNK


def _area(block: Superblock) -> int:
    return (block.y1 - block.y0) * (block.x1 - block.x0)


def _in_memory(block: Superblock, channels: int) -> int:
    """Bytes that a task needs for its block."""
    if block.depth == 0:
        return _area(block) * BYTES_PER_PIXEL * channels
    return _area(block) * sample_bytes(0 if block.mapped else block.depth, channels)


def _depths(frames: Sequence[Frame], solutions: Mapping[int, Solution], grid: Grid) -> NDArray[np.int64]:
    """Upper bound of the frames over any pixel of each cell of CELL x CELL px."""
    depths = np.zeros((-(-grid.height // CELL), -(-grid.width // CELL)), np.int64)
    for f in frames:
        x0, x1, y0, y1 = (int(each) // CELL for each in extent(solutions[f.id], (f.height, f.width), grid))
        rows = slice(max(0, y0 - 1), max(0, min(y1 + 2, depths.shape[0])))
        columns = slice(max(0, x0 - 1), max(0, min(x1 + 2, depths.shape[1])))
        y, x = np.mgrid[rows, columns] * float(CELL) + 0.5 * CELL
        sx, sy = sky_to_pixel(solutions[f.id], *grid_to_sky(grid, x, y))
        # half the diagonal of a cell in pixels of the frame, and a tenth for its distortion; maps may crowd the sky by half
        reach = (0.78 if grid.projection == "TAN" else 1.2) * CELL * 3600.0 * grid.scale / pixel_scale(solutions[f.id])
        inside = (sx > -reach) & (sx < f.width + reach) & (sy > -reach) & (sy < f.height + reach)
        depths[rows, columns] += inside
    return depths


def _deepened(block: Superblock, depths: NDArray[np.int64]) -> Superblock:
    cells = depths[block.y0 // CELL : -(-block.y1 // CELL), block.x0 // CELL : -(-block.x1 // CELL)]
    return replace(block, depth=max(1, min(len(block.frames), int(cells.max()))))


def _chosen(block: Superblock, samples: SideBySide, budget: int, channels: int) -> Superblock:
    """The block with room for its samples when that fits, else without."""
    few = samples.most == 0 or block.depth <= samples.most
    if few and _area(block) * sample_bytes(block.depth, channels) <= budget:
        return block
    if (
        few
        and (samples.needed or samples.everywhere)
        and _area(block) * sample_bytes(block.depth, channels) <= samples.scratch
    ):
        return replace(block, mapped=True)
    if samples.needed or (few and samples.everywhere):
        limit = f"max_raw_per_master_tile is {samples.most}" if not few else f"a worker has {budget / 2**20:.0f} MB"
        raise SettingsError(
            f"up to {block.depth} subs overlap and all their samples have to lie side by side, but {limit}: raise it or "
            "memory_limit, take fewer workers (assembly_process_workers), make room on the disk (coadd_use_memmap), or choose "
            "stacking_final_combine_method = mean and auto_limit_frames_per_master_tile = true"
        )
    return replace(block, depth=0)


def _superblocks(
    frames: Sequence[Frame], solutions: Mapping[int, Solution], grid: Grid, cuts: Cuts
) -> tuple[Superblock, ...]:
    """The rectangles between the cuts, as far as frames reach."""
    reach = np.array([extent(solutions[f.id], (f.height, f.width), grid) for f in frames]) + [-1.0, 1.0, -1.0, 1.0]
    blocks = []
    for y0, y1 in zip(cuts.rows[:-1], cuts.rows[1:]):
        for x0, x1 in zip(cuts.columns[:-1], cuts.columns[1:]):
            touching = (reach[:, 2] < y1) & (reach[:, 3] >= y0) & (reach[:, 0] < x1) & (reach[:, 1] >= x0)
            if touching.any():
                low, high = np.floor(reach[touching].min(axis=0)), np.ceil(reach[touching].max(axis=0))
                members = tuple(frames[int(k)].id for k in np.flatnonzero(touching))
                blocks.append(
                    Superblock(
                        max(y0, int(low[2])),
                        min(y1, int(high[3]) + 1),
                        max(x0, int(low[0])),
                        min(x1, int(high[1]) + 1),
                        members,
                    )
                )
    return tuple(blocks)


def _cut(grid: Grid, pieces: tuple[int, int]) -> Cuts:
    """Near-equal rectangles, `pieces` (rows, columns) of them."""
    return Cuts(tuple(_cuts(grid.height, pieces[0])), tuple(_cuts(grid.width, pieces[1])))


def _cuts(length: int, pieces: int) -> list[int]:
    """Where a side of the grid is cut: at multiples of CHUNK, so that every chunk belongs to one superblock."""
    chunks = -(-length // CHUNK)
    return sorted({min(round(chunks * k / pieces) * CHUNK, length) for k in range(pieces + 1)})


def _pieces(grid: Grid, largest: int, workers: int) -> tuple[int, int]:
    """Into how many (rows, columns) the grid is cut: blocks of at most `largest` px, one for each worker at least.

    Of all such cuts the one with the shortest borders: every frame that a border crosses is read and prepared once more.
    """
    area = grid.height * grid.width
    wanted = max(math.ceil(area / max(largest, SMALLEST_BLOCK)), min(workers, area // SMALLEST_BLOCK), 1)
    most = max(largest, SMALLEST_BLOCK)
    while True:  # blocks that end at multiples of CHUNK are larger than their share
        cuts = [(math.ceil(wanted / columns), columns) for columns in range(1, wanted + 1)]
        fitting = [cut for cut in cuts if _block_area(grid, cut) <= most]
        if fitting:
            return min(fitting, key=lambda cut: (cut[0] - 1) * grid.width + (cut[1] - 1) * grid.height)
        wanted += 1


def _block_area(grid: Grid, pieces: tuple[int, int]) -> int:
    return _cut(grid, pieces).largest
