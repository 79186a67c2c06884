"""The pass between the two over the blocks: which raw pixels of a frame the provisional mosaic cannot explain."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.chunks import Around, DamagedError, opened, put_file
from zemosaic.imaging.calibrate import STEP, Calibration
from zemosaic.imaging.reject import Judged, judge, outliers, too_dark, uncut
from zemosaic.imaging.sensor import SensorSums
from zemosaic.imaging.sky import left_mesh
from zemosaic.imaging.streaks import find_streaks, streak_mask
from zemosaic.imaging.warp import colours_apart, frame_nodes
from zemosaic.kernels.blot import blot
from zemosaic.model import FrameKind, Grid
from zemosaic.phases._assemble_canvas import Canvas, record
from zemosaic.phases._assemble_frame import (
    CLIPPED,
    Exposure,
    Lost,
    LostFrameError,
    Recipe,
    lattices_of,
    lone_pixels,
    mend_missing,
    places_of,
    read_rows,
)
from zemosaic.phases._assemble_sensor import save_sums

__all__ = [
    "KEPT",
    "RejectTask",
    "Rejected",
    "around",
    "blotted",
    "known_rejected",
    "load_left",
    "load_rejected",
    "reject_frames",
]

AGREED = 2.5  # sigma of a residual; hot pixels that dither have left out of the model are far beyond
KEPT = 160 * 2**20  # bytes of the provisional mosaic around the frames of a panel; one field of an S50 takes 60 MB
ALL = "places", "fill", "dark", "key", "streaks", "total", "left"  # that is written down about a frame
MOST = 6e4  # that a half float holds
STARLIGHT = 3.0  # sky noise, light of the model from which a pixel may be a star's
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class RejectTask:
    grid: Grid
    exposures: tuple[Exposure, ...]  # of one sensor
    recipe: Recipe
    canvas: Canvas
    sums: Path | None  # where what they have in common is added up
    keys: tuple[str, ...] = ()  # of each frame: hash of what its rejected pixels are found from
    key: str = ""  # of the sums
    room: int = KEPT  # bytes that chunks of the provisional mosaic may take

    def key_of(self, exposure: Exposure) -> str:
        return self.keys[[e.frame.id for e in self.exposures].index(exposure.frame.id)]


@dataclass(frozen=True)
class Rejected:
    """Rejected raw pixels of one frame: how many, and out of how many."""

    frame_id: int
    pixels: int
    streaks: int
    total: int


def reject_frames(task: RejectTask) -> tuple[Rejected, ...] | Lost:
    """Write down the raw pixels of each frame that the model cannot explain, and add up the residuals of their sensor."""
    sums, kept = SensorSums.empty(task.exposures[0].shape) if task.sums else None, around(task.canvas, task.room)
    try:
        rejected = tuple(_reject_frame(task, exposure, sums, kept) for exposure in task.exposures)
    except LostFrameError as lost:
        return Lost(lost.frame_id, lost.reason)
    if task.sums and sums:
        save_sums(task.sums, sums)
        record(task.sums.with_suffix(".json"), task.key, ())
    return rejected


def _reject_frame(task: RejectTask, exposure: Exposure, sums: SensorSums | None, kept: Around) -> Rejected:
    """Blot the provisional mosaic back onto one frame and write down the raw pixels that it cannot explain."""
    if exposure.frame.stack:  # who made it has rejected, and its noise is none that the model of a raw pixel knows
        return _nothing_rejected(task, exposure)
    raw = read_rows(exposure)
    planes = raw[None] if raw.ndim == 2 else raw
    colours = [exposure.colours] if raw.ndim == 2 else [np.full((2, 2), c, np.int64) for c in range(3)]
    lattices = lattices_of(exposure, task.grid, task.recipe)
    missing, lone = mend_missing(raw, exposure, slice(None)), lone_pixels(exposure, slice(None))
    mask = missing | lone
    models, left, streaks = list[Float32Array](), list[Float32Array](), 0
    worst, trails = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, bool)
    for plane, cfa in zip(planes, colours):
        model, spread, samples = blotted(exposure, task.grid, lattices, cfa, kept)
        cut = exposure.clipped > CLIPPED
        judged = judge(plane, model, spread, samples, cfa, exposure.sky, exposure.sigma, cut, exposure.unlike)
        score = judged.score
        lines = find_streaks(score, mask)  # hot pixels must not line up to a streak
        streaks = max(streaks, len(lines))
        trails |= streak_mask(score, lines)
        mask[_stars_among(lone, judged, exposure, cfa)] = False
        mask |= outliers(score, task.recipe.kappa_low, task.recipe.kappa_high).mask | trails
        sigma = np.asarray(exposure.sigma)[cfa]
        if sums:
            sums.add_frame(plane, judged.expected, judged.tolerated, spread, samples, missing | trails, sigma)
        if cut:  # a mean of cut pixels says less than the sky does
            plane = plane.copy()
            uncut(plane, model, cfa, exposure.sky, exposure.sigma, exposure.growth)
        left.append(left_mesh(plane, model, spread, mask, cfa, sigma, len(exposure.sigma)))
        models.append(model)
        worst = score if len(planes) == 1 else np.where(np.abs(np.nan_to_num(score)) > np.abs(worst), score, worst)
    places = np.flatnonzero(mask)
    fill = np.stack([m.ravel()[places] for m in models])
    found = Rejected(exposure.frame.id, places.size, streaks, mask.size)
    dark = too_dark(worst, mask, places) & ~trails.ravel()[places]
    _save_rejected(task, exposure, found, places, fill, dark, np.fmax.reduce(left))  # each plane knows its own channels
    return found


def _nothing_rejected(task: RejectTask, exposure: Exposure) -> Rejected:
    planes = 3 if exposure.frame.kind is FrameKind.RGB else 1
    empty = np.zeros(0, np.intp)
    found = Rejected(exposure.frame.id, 0, 0, exposure.frame.width * exposure.frame.height)
    none = np.zeros((0, 0, len(exposure.sigma)), np.float32)
    _save_rejected(task, exposure, found, empty, np.zeros((planes, 0), np.float32), empty.astype(bool), none)
    return found


def _stars_among(
    lone: NDArray[np.bool_], judged: Judged, exposure: Exposure, colours: NDArray[np.int64]
) -> tuple[NDArray[np.intp], ...]:
    """Lone pixels whose light all frames agree on, the cores of sharp stars, as indices."""
    ys, xs = places_of(lone)
    sky, sigma = (np.asarray(each)[colours[ys % 2, xs % 2]] for each in (exposure.sky, exposure.sigma))
    agreed = (judged.expected[ys, xs] > sky + STARLIGHT * sigma) & (np.abs(judged.score[ys, xs]) < AGREED)
    return ys[agreed], xs[agreed]


def around(canvas: Canvas, room: int) -> Around:
    """The provisional mosaic and the samples behind it, for frames in a row."""
    return Around([opened(canvas.provisional), opened(canvas.samples)], room)


def blotted(
    exposure: Exposure,
    grid: Grid,
    lattices: Calibration,
    colours: NDArray[np.int64],
    kept: Around,
    rows: slice = slice(None),
) -> tuple[Float32Array, Float32Array, NDArray[np.uint16]]:
    """Model of the frame's raw pixels, its spread around each (both ADU), and the samples behind it.

    kept : as `around` gives it
    rows : those of the frame that are wanted, from a multiple of `imaging.warp.LATTICE` on
    """
    first, last, _ = rows.indices(exposure.frame.height)
    shape = last - first, exposure.frame.width
    *nodes, step = frame_nodes(exposure.solution, exposure.shape, grid)
    nodes_x, nodes_y = (each[first // step : -(-last // step) + 1] for each in nodes)
    ends = (int(nodes_y.min()) - 4, int(nodes_y.max()) + 5), (int(nodes_x.min()) - 4, int(nodes_x.max()) + 5)
    origin, (region, count) = kept.part(*ends[0], *ends[1])
    model, spread = np.empty(shape, np.float32), np.empty(shape, np.float32)
    samples = np.empty(shape, np.uint16)
    apart = colours_apart(exposure.solution)
    # back to raw ADU: raw = (mosaic + offset) / scale
    inverse = (1.0 / lattices.scale[first // STEP :]).astype(np.float32)
    offset = -lattices.offset[first // STEP :] * inverse
    blot(
        region, count, origin, nodes_x, nodes_y, step, colours, apart, inverse, offset, STEP,
        model, spread, samples,
    )  # fmt: skip
    return model, spread, samples


def _save_rejected(
    task: RejectTask,
    exposure: Exposure,
    found: Rejected,
    places: NDArray[np.intp],
    fill: Float32Array,
    dark: NDArray[np.bool_],
    left: Float32Array,
) -> None:
    path, file, flat, key = exposure.rejected, io.BytesIO(), places.astype(np.uint32), task.key_of(exposure)
    np.savez(
        file, places=flat, fill=fill, dark=dark, key=np.array(key), streaks=found.streaks, total=found.total,
        left=np.clip(left, -MOST, MOST).astype(np.float16),  # to 0.05 %
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    put_file(path, file.getvalue())


def _read_rejected(path: Path, names: Sequence[str] = ALL) -> dict[str, NDArray[Any]]:
    """What was written down about a frame; DamagedError when it is not there as it was written (a zip has checksums)."""
    try:
        with path.open("rb") as file, np.load(file) as table:
            return {name: table[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DamagedError(f"{path} is damaged ({error}): start the same command again, it is made anew") from error


def load_rejected(path: Path) -> tuple[NDArray[np.int64], Float32Array, NDArray[np.bool_]]:
    """Flat places of the rejected pixels, (planes, n) the model there in raw ADU, and which of them were too dark."""
    table = _read_rejected(path)
    return table["places"].astype(np.int64), table["fill"], table["dark"]


def load_left(path: Path, key: str) -> Float32Array:
    """(ny, nx, channels) what the provisional mosaic left of a frame (`imaging.sky.left_mesh`); (0, 0, channels) of a stack.

    Raises DamagedError when it is not there, or was found from something else than `key` says.
    """
    table = _read_rejected(path, ("left", "key"))
    if str(table["key"]) != key:
        raise DamagedError(f"{path} is of another run: start the same command again, it is made anew")
    return table["left"].astype(np.float32)


def known_rejected(exposure: Exposure, key: str) -> Rejected | None:
    """What an earlier run found on this frame, from exactly the same."""
    try:
        table = _read_rejected(exposure.rejected)
    except DamagedError:
        return None
    if str(table["key"]) != key:
        return None
    return Rejected(exposure.frame.id, table["places"].size, int(table["streaks"]), int(table["total"]))
