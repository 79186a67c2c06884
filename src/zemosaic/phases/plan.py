"""plan: the grid, the panels, the superblocks; all that decides the result, before a pixel moves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.errors import InputError, SettingsError
from zemosaic.imaging.grouping import group_pointings, mean_direction, unit_vectors
from zemosaic.imaging.projection import angular_separation, grid_to_sky, pixel_scale, pixel_to_sky, sky_to_pixel
from zemosaic.imaging.warp import LATTICE, footprint
from zemosaic.model import Frame, Grid, Group, Plan, Solution, Superblock

__all__ = [
    "TASK_OVERHEAD",
    "Cuts",
    "SideBySide",
    "check_scale",
    "group_frames",
    "grown_cuts",
    "grown_grid",
    "make_grid",
    "make_plan",
    "natural_scale",
    "sample_bytes",
]

BYTES_PER_PIXEL = 9 * 2 * 4  # of a superblock, per channel: nine buckets, sum and weight, float32
TASK_OVERHEAD = 400 * 2**20  # bytes: interpreter with its libraries ~250 MB, one S50 frame in work ~120 MB
LARGEST_BLOCK = 4096 * 4096  # px; a larger one saves no reading worth having and makes progress lumpy
CHUNK = 256  # px, side of the squares in which planes lie on the disk
SMALLEST_BLOCK = CHUNK * CHUNK  # px
LEAST_JOINT = 512 * 512  # px; smaller blocks read a frame more than three times over (2.8 times at this size)
CELL = 64  # px of the mosaic on which the subs over a pixel are counted
LENIENT = 1.25  # headers may be wrong by so much (focal length of the catalogue, binning that they do not know)
COARSEST = 1.5  # times the frames' own pixel size: beyond, the interpolation leaves out pixels between its samples
SAME_SCALE = 0.02  # of the pixel size; frames that are finer or coarser by more get pixels of their own
WIDEST = 60.0  # degrees from the tangent point; beyond that a TAN projection stretches by 4
MOST_PIXELS = 4_000_000_000
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


def natural_scale(frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> float:
    """Pixel size at which no frame loses detail, arcsec: the finest median of the telescopes with a tenth of the frames each."""
    return _finest(frames, [pixel_scale(solutions[f.id]) for f in frames])


def _finest(frames: Sequence[Frame], sizes: Sequence[float]) -> float:
    """The finest median of the telescopes with a tenth of the frames each; NaN when that of one of them is NaN."""
    scales: dict[str, list[float]] = defaultdict(list)
    for f, size in zip(frames, sizes, strict=True):
        scales["stack" if f.stack else f.instrument].append(size)
    return float(np.min([np.median(each) for each in scales.values() if 10 * len(each) >= len(frames)]))


def check_scale(frames: Sequence[Frame], output_scale: float) -> None:
    """Refuse an `output_scale` that is too coarse as soon as headers tell so, with some room for headers that are wrong.

    Raises SettingsError.
    """
    if frames and output_scale > LENIENT * COARSEST * (natural := _finest(frames, [f.scale for f in frames])):
        raise _too_coarse(output_scale, natural)


def _too_coarse(output_scale: float, natural: float) -> SettingsError:
    return SettingsError(
        f"output_scale is {output_scale:g} arcsec/px, the frames have {natural:.2f}: expected at most "
        f"{COARSEST * natural:.2f}, since pixels are interpolated, not averaged; make the mosaic at its own scale "
        "and bin it afterwards"
    )


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
    disk = _whole_chunks(grid) * (3 * channels * 4 + 6) + sum(f.width * f.height // 16 for f in frames)
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


def make_grid(
    frames: Sequence[Frame], solutions: Mapping[int, Solution], output_scale: float, crop: float = 0.0
) -> Grid:
    """The pixels that all mosaics of these frames share.

    output_scale : arcsec/px; 0 is that of the frames (see `natural_scale`)
    crop : share of the frames' width and height that is left out on each side

    Raises InputError when the frames lie too far apart for one picture, SettingsError when `output_scale` is too coarse.
    """
    natural = natural_scale(frames, solutions)
    if output_scale > COARSEST * natural:
        raise _too_coarse(output_scale, natural)
    return _grid(frames, solutions, (output_scale or natural) / 3600.0, crop)


def grown_grid(
    before: Grid,
    frames: Sequence[Frame],
    solutions: Mapping[int, Solution],
    output_scale: float,
    crop: float = 0.0,
) -> tuple[Grid, Grid] | None:
    """The grid of a mosaic with room for these frames, and the part of it that they need, on the same pixels as before.

    It grows by whole chunks to the south and east, so that what was made stays as it is in its chunks, and never shrinks. None:
    the pixels have to be others, as `output_scale` or the frames' own size is, or frames lie too far from the tangent point.
    """
    scale = (output_scale or natural_scale(frames, solutions)) / 3600.0
    centres = np.array([(solutions[f.id].ra, solutions[f.id].dec) for f in frames])
    apart = angular_separation(centres[:, 0], centres[:, 1], before.ra, before.dec)
    if abs(scale / before.scale - 1.0) > SAME_SCALE or apart.max() > WIDEST:
        return None
    part = _around(before, frames, solutions, crop)
    below, left = (max(0, -(-(new - old) // CHUNK)) * CHUNK for new, old in zip(part.zero, before.zero))
    y, x = before.zero[0] + below, before.zero[1] + left
    height = max(before.height + below, part.height + y - part.zero[0])
    width = max(before.width + left, part.width + x - part.zero[1])
    return _placed(before, -x, -y, width, height), part


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
        px, py = footprint(solutions[f.id], (f.height, f.width), grid)
        j0, i0 = max(0, int(py.min()) // CELL - 1), max(0, int(px.min()) // CELL - 1)
        rows, columns = slice(j0, int(py.max()) // CELL + 2), slice(i0, int(px.max()) // CELL + 2)
        y, x = np.mgrid[rows, columns][:, : depths.shape[0] - j0, : depths.shape[1] - i0] * float(CELL) + 0.5 * CELL
        sx, sy = sky_to_pixel(solutions[f.id], *grid_to_sky(grid, x, y))
        # half the diagonal of a cell in pixels of the frame, and a tenth for its distortion
        reach = 0.78 * CELL * 3600.0 * grid.scale / pixel_scale(solutions[f.id])
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


def _grid(frames: Sequence[Frame], solutions: Mapping[int, Solution], scale: float, crop: float) -> Grid:
    """North up, large enough for every frame, tangent point at the mean of the frames' corners."""
    corners = [
        pixel_to_sky(solutions[f.id], [0, f.width - 1, f.width - 1, 0], [0, 0, f.height - 1, f.height - 1])
        for f in frames
    ]
    vectors = unit_vectors(np.concatenate([c[0] for c in corners]), np.concatenate([c[1] for c in corners]))
    ra, dec = mean_direction(vectors)
    spread = np.degrees(np.arccos(np.clip(vectors @ unit_vectors(np.array(ra), np.array(dec)), -1, 1)))
    if spread.max() > WIDEST:
        raise InputError(
            f"the frames lie up to {spread.max():.0f} degrees from their common centre, more than the {WIDEST:.0f} that "
            "one picture can show; leave targets and target_gap at their defaults, which make a mosaic of each target, or take "
            "away the frames that lie between two"
        )
    return _around(Grid(ra, dec, scale, 0, 0, 0.0, 0.0), frames, solutions, crop)


def _around(lattice: Grid, frames: Sequence[Frame], solutions: Mapping[int, Solution], crop: float) -> Grid:
    """The part of a lattice of pixels that holds every frame."""
    outlines = [footprint(solutions[f.id], (f.height, f.width), lattice, crop) for f in frames]
    x, y = (np.concatenate([o[k] for o in outlines]) - zero for k, zero in enumerate((lattice.x, lattice.y)))
    left, bottom = math.floor(x.min()) - 1, math.floor(y.min()) - 1
    width, height = math.ceil(x.max()) + 2 - left, math.ceil(y.max()) + 2 - bottom
    return _placed(lattice, left, bottom, width, height)


def _placed(lattice: Grid, left: int, bottom: int, width: int, height: int) -> Grid:
    """A grid of pixels of a lattice, its first one (left, bottom) px from the tangent point."""
    if width * height > MOST_PIXELS:
        raise InputError(
            f"the mosaic would have {width} x {height} pixels of {lattice.scale * 3600:.2f} arcsec; leave targets and "
            "target_gap at their defaults, which make a mosaic of each target, or run parts of the field by themselves"
        )
    return replace(lattice, width=width, height=height, x=float(-left), y=float(-bottom))


def _superblocks(
    frames: Sequence[Frame], solutions: Mapping[int, Solution], grid: Grid, cuts: Cuts
) -> tuple[Superblock, ...]:
    """The rectangles between the cuts, as far as frames reach."""
    boxes = []
    for f in frames:
        x, y = footprint(solutions[f.id], (f.height, f.width), grid)
        boxes.append((y.min() - 1, y.max() + 1, x.min() - 1, x.max() + 1))
    extent = np.array(boxes)
    blocks = []
    for y0, y1 in zip(cuts.rows[:-1], cuts.rows[1:]):
        for x0, x1 in zip(cuts.columns[:-1], cuts.columns[1:]):
            touching = (extent[:, 0] < y1) & (extent[:, 1] >= y0) & (extent[:, 2] < x1) & (extent[:, 3] >= x0)
            if touching.any():
                low, high = np.floor(extent[touching].min(axis=0)), np.ceil(extent[touching].max(axis=0))
                members = tuple(frames[int(k)].id for k in np.flatnonzero(touching))
                blocks.append(
                    Superblock(
                        max(y0, int(low[0])),
                        min(y1, int(high[1]) + 1),
                        max(x0, int(low[2])),
                        min(x1, int(high[3]) + 1),
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
