"""plan: the grid, the panels, the superblocks; all that decides the result, before a pixel moves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from zemosaic.errors import InputError, SettingsError
from zemosaic.imaging.grouping import group_pointings, mean_direction, unit_vectors
from zemosaic.imaging.projection import pixel_scale, pixel_to_sky
from zemosaic.imaging.warp import LATTICE, footprint
from zemosaic.model import Frame, Grid, Group, Plan, Solution, Superblock

__all__ = ["TASK_OVERHEAD", "group_frames", "make_grid", "make_plan", "natural_scale"]

BYTES_PER_PIXEL = 9 * 2 * 4  # of a superblock, per channel: nine buckets, sum and weight, float32
TASK_OVERHEAD = 400 * 2**20  # bytes: interpreter with its libraries ~250 MB, one S50 frame in work ~120 MB
LARGEST_BLOCK = 4096 * 4096  # px; a larger one saves no reading worth having and makes progress lumpy
SMALLEST_BLOCK = 256 * 256  # px
COARSEST = 1.5  # times the frames' own pixel size: beyond, the interpolation leaves out pixels between its samples
WIDEST = 60.0  # degrees from the tangent point; beyond that a TAN projection stretches by 4
MOST_PIXELS = 4_000_000_000
AUTOMATIC_PANEL = 0.4  # of the frames' shorter side


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
    scales: dict[str, list[float]] = defaultdict(list)
    for f in frames:
        scales[f.instrument].append(pixel_scale(solutions[f.id]))
    return min(float(np.median(each)) for each in scales.values() if 10 * len(each) >= len(frames))


def make_plan(
    frames: Sequence[Frame],
    solutions: Mapping[int, Solution],
    groups: tuple[Group, ...],
    grid: Grid,
    *,
    memory: int,
    workers: int,
) -> Plan:
    """Lay out the mosaic on its grid.

    memory : bytes for all workers together; a task needs `Plan.memory` = overhead + 72 bytes a pixel and channel
    """
    channels = frames[0].channels
    largest = max(memory // workers - TASK_OVERHEAD, 2**20) // (BYTES_PER_PIXEL * channels)
    blocks = _superblocks(frames, solutions, grid, _pieces(grid, min(largest, LARGEST_BLOCK), workers))
    area = max((b.y1 - b.y0) * (b.x1 - b.x0) for b in blocks)
    disk = grid.width * grid.height * (3 * channels * 4 + 6) + sum(f.width * f.height // 16 for f in frames)
    return Plan(grid, channels, groups, blocks, LATTICE, TASK_OVERHEAD + area * BYTES_PER_PIXEL * channels, disk)


def make_grid(frames: Sequence[Frame], solutions: Mapping[int, Solution], output_scale: float) -> Grid:
    """The pixels that all mosaics of these frames share.

    output_scale : arcsec/px; 0 is that of the frames (see `natural_scale`)

    Raises InputError when the frames lie too far apart for one picture, SettingsError when `output_scale` is too coarse.
    """
    natural = natural_scale(frames, solutions)
    if output_scale > COARSEST * natural:
        raise SettingsError(
            f"output_scale is {output_scale:g} arcsec/px, the frames have {natural:.2f}: expected at most "
            f"{COARSEST * natural:.2f}, since pixels are interpolated, not averaged; make the mosaic at its own scale "
            "and bin it afterwards"
        )
    return _grid(frames, solutions, (output_scale or natural) / 3600.0)


def _grid(frames: Sequence[Frame], solutions: Mapping[int, Solution], scale: float) -> Grid:
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
            "one picture can show; sort them into one input folder per target and run each by itself"
        )
    unplaced = Grid(ra, dec, scale, 0, 0, 0.0, 0.0)
    outlines = [footprint(solutions[f.id], (f.height, f.width), unplaced) for f in frames]
    x, y = np.concatenate([o[0] for o in outlines]), np.concatenate([o[1] for o in outlines])
    left, bottom = math.floor(x.min()) - 1, math.floor(y.min()) - 1
    width, height = math.ceil(x.max()) + 2 - left, math.ceil(y.max()) + 2 - bottom
    if width * height > MOST_PIXELS:
        raise InputError(
            f"the mosaic would have {width} x {height} pixels; sort the frames into one input folder per target "
            f"(now {scale * 3600:.2f} arcsec/px)"
        )
    return Grid(ra, dec, scale, width, height, float(-left), float(-bottom))


def _superblocks(
    frames: Sequence[Frame], solutions: Mapping[int, Solution], grid: Grid, pieces: tuple[int, int]
) -> tuple[Superblock, ...]:
    """Near-equal rectangles, `pieces` (rows, columns) of them, as far as frames reach."""
    boxes = []
    for f in frames:
        x, y = footprint(solutions[f.id], (f.height, f.width), grid)
        boxes.append((y.min() - 1, y.max() + 1, x.min() - 1, x.max() + 1))
    extent = np.array(boxes)
    blocks = []
    rows, columns = _cuts(grid.height, pieces[0]), _cuts(grid.width, pieces[1])
    for y0, y1 in zip(rows[:-1], rows[1:]):
        for x0, x1 in zip(columns[:-1], columns[1:]):
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


def _cuts(length: int, pieces: int) -> list[int]:
    return [round(length * k / pieces) for k in range(pieces + 1)]


def _pieces(grid: Grid, largest: int, workers: int) -> tuple[int, int]:
    """Into how many (rows, columns) the grid is cut: blocks of at most `largest` px, one for each worker at least.

    Of all such cuts the one with the shortest borders: every frame that a border crosses is read and prepared once more.
    """
    area = grid.height * grid.width
    wanted = max(math.ceil(area / max(largest, SMALLEST_BLOCK)), min(workers, area // SMALLEST_BLOCK), 1)
    cuts = [(math.ceil(wanted / columns), columns) for columns in range(1, wanted + 1)]
    return min(cuts, key=lambda cut: (cut[0] - 1) * grid.width + (cut[1] - 1) * grid.height)
