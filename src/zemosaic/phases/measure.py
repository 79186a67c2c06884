"""Measure: decode each frame once and keep its stars, its sky in cells, its noise.

One task a frame; peak memory of a task at most 75 bytes a pixel (S50: 155 MB): the frame, its repaired copy,
luminance, background and three colours twice as float32, and what sep holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.calibrated import calibrated, full_levels
from zemosaic.errors import FrameError
from zemosaic.events import PhaseProgress, Reporter
from zemosaic.execution import run_each
from zemosaic.fits import read_raw
from zemosaic.imaging.noise import noise_growth, sky_noise
from zemosaic.imaging.panels import area_noise, inside_distance
from zemosaic.imaging.sky import CUT_SHARE, damaged_pixels, repaired, sky_level, sky_mesh
from zemosaic.imaging.stars import StarsFound, measure_stars
from zemosaic.model import Frame, FrameKind, FrameState, LeftOut, Masters, Measurement
from zemosaic.tables import border_file, save_border, save_measurement

__all__ = ["MeasureTask", "measure", "measure_one", "trailed"]

SMALLEST = 32  # px per side; the sky cells and the search for stars need that much
ENOUGH_STARS = 8  # for the elongation to say something about the frame


@dataclass(frozen=True)
class MeasureTask:
    frame: Frame
    path: Path  # .npz to write
    masters: Masters | None = None


def measure(
    frames: Sequence[Frame],
    folder: Path,
    executor: Executor,
    reporter: Reporter,
    masters: Mapping[int, Masters] | None = None,
) -> Iterator[Measurement | LeftOut]:
    """Measure frames in parallel; results in the order of the frames, stars and meshes in `folder`.

    masters : by frame id, of the frames that are calibrated.
    """
    given = masters or {}
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [MeasureTask(frame, path, given.get(frame.id)) for frame, path in zip(frames, _files(frames, folder))]
    results = run_each(executor, measure_one, tasks, cancelled=reporter.cancelled)
    for done, (frame, result) in enumerate(zip(frames, results), start=1):
        reporter.emit(PhaseProgress("measure", done, len(frames), frame.path.name))
        yield result


def _files(frames: Sequence[Frame], folder: Path) -> list[Path]:
    """A file is named by what is in the frame, so that it stays the frame's when others join and the order changes.

    Frames that begin alike share a digest: they, and one whose name is taken, go by their place in the order.
    """
    alike = Counter(frame.digest for frame in frames)
    named = [folder / f"{frame.digest}.npz" for frame in frames]
    free = [alike[frame.digest] == 1 and not path.exists() for frame, path in zip(frames, named)]
    return [path if own else folder / f"{frame.id}.npz" for frame, path, own in zip(frames, named, free)]


def measure_one(task: MeasureTask) -> Measurement | LeftOut:
    """Read a frame, measure it, write its stars and mesh."""
    frame = task.frame
    try:
        data = read_raw(frame)
    except FrameError as error:
        return LeftOut(frame.path, FrameState.DAMAGED, str(error))
    if min(frame.width, frame.height) < SMALLEST:
        reason = f"the frame has {frame.width} x {frame.height} px, at least {SMALLEST} x {SMALLEST} are needed"
        return LeftOut(frame.path, FrameState.UNSUPPORTED, reason)
    if frame.stack:
        pixels = calibrated(data, None)
        return _measured(task, pixels, 0.0, _border(task.path, pixels))
    subtracted = task.masters is not None and task.masters.dark is not None
    clipped = 0.0 if subtracted else float(np.mean(data == 0))
    return _measured(task, calibrated(data, task.masters), clipped)


def trailed(frame: Frame, measurement: Measurement, longest: float) -> LeftOut | None:
    """The reason why a frame whose stars are more than `longest` times as long as wide is no use; None when it is."""
    if measurement.n_stars < ENOUGH_STARS or not measurement.elongation > longest:
        return None
    reason = (
        f"the stars are {measurement.elongation:.1f} times as long as wide, at most {longest:g} is used: "
        "the telescope moved or was shaken during the exposure"
    )
    return LeftOut(frame.path, FrameState.TRAILED, reason)


def _border(measurement: Path, data: NDArray[np.float32]) -> Path | None:
    """Put NaN where a stack has no data, and keep beside its measurement how far each pixel is from there."""
    distance = inside_distance(data)
    if distance is None:
        return None
    data[..., distance == 0] = np.nan
    save_border(border_file(measurement), distance)
    return border_file(measurement)


def _measured(
    task: MeasureTask, data: NDArray[np.float32], clipped: float, border: Path | None = None
) -> Measurement | LeftOut:
    frame = task.frame
    pattern = frame.bayer if frame.kind is FrameKind.BAYER else None
    data[~np.isfinite(data)] = np.nan
    sigma = sky_noise(data, pattern)
    if min(sigma) == 0:
        reason = f"the pixels show no noise (sigma {_listed(sigma)} ADU per colour): an empty or made-up image"
        return LeftOut(frame.path, FrameState.DAMAGED, reason)
    if frame.stack:
        sigma = area_noise(data, sigma)
    damaged = _damaged(frame, data, pattern, sigma)
    growth = noise_growth(data, pattern) if clipped > CUT_SHARE and data.ndim == 2 else ()
    mesh = sky_mesh(data, pattern, damaged, sigma, clipped, growth)
    sky = sky_level(mesh)
    found = _stars(task, pattern, data, damaged, sigma)
    holes = np.isnan(data if data.ndim == 2 else data.sum(axis=0))
    save_measurement(task.path, found.stars, mesh, damaged & ~holes)
    return Measurement(
        frame_id=frame.id,
        path=task.path,
        sky=sky,
        sigma=sigma,
        fwhm=found.fwhm,
        elongation=found.elongation,
        n_stars=len(found.stars),
        clipped=clipped,
        masters=task.masters.key if task.masters else "",
        flat=() if frame.stack else task.masters.response if task.masters else None,
        shift=found.shift,
        border=border,
        growth=growth,
    )


def _damaged(
    frame: Frame, data: NDArray[np.float32], pattern: str | None, sigma: tuple[float, ...]
) -> NDArray[np.bool_]:
    """(h, w) bool: no data, and in frames straight from the sensor single hot and dead pixels."""
    if data.ndim == 3:
        return np.asarray(np.isnan(data).any(axis=0))
    if frame.stack:
        return np.isnan(data)
    return damaged_pixels(data, pattern, sigma) | np.isnan(data)


def _stars(
    task: MeasureTask,
    pattern: str | None,
    data: NDArray[np.float32],
    damaged: NDArray[np.bool_],
    sigma: tuple[float, ...],
) -> StarsFound:
    """Stars of the frame with its damaged pixels replaced, and what has no data at all filled with sky."""
    clean = data if data.ndim == 3 else repaired(data, pattern, damaged)
    holes = np.isnan(clean)
    if holes.any():
        clean[holes] = np.nanmedian(clean)
    return measure_stars(clean, pattern, sigma, full_levels(task.frame, task.masters), damaged)


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
