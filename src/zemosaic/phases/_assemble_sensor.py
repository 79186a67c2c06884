"""What the frames of a sensor have in common: learnt during the rejection, used by the final pass, kept in the workspace."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from zemosaic.imaging.sensor import LEAST_FRAMES, SensorSums, learn_sensor
from zemosaic.model import FrameKind
from zemosaic.phases._assemble_frame import Exposure

__all__ = ["Batch", "SensorFound", "SensorTotals", "batches", "corrected", "learn_one", "save_sums", "with_maps"]

Float32Array = NDArray[np.float32]
LARGEST_BATCH = 8  # frames; the sums of a batch are 16 bytes a pixel, written once and read once


@dataclass(frozen=True)
class Batch:
    """Frames that one task judges, all of one sensor, in order; their residuals are added up in `sums` where there is one."""

    sensor: str
    frames: tuple[int, ...]
    sums: Path | None
    number: int  # among those of its sensor: even ones are one half of its frames, odd ones the other


@dataclass(frozen=True)
class SensorTask:
    """A sensor whose frames have all been judged."""

    name: str  # for people
    frames: tuple[int, ...]
    halves: tuple[Path, Path]  # sums over the frames of each half
    period: int  # 2 with a colour filter array, 1 without
    path: Path  # of the map, .npz


@dataclass(frozen=True)
class SensorFound:
    """What was learnt of one sensor."""

    name: str
    frames: tuple[int, ...]
    pattern: float  # rms of the fixed pattern over the noise of a frame; 0 when none was found
    bad: int  # pixels that are left out of every frame
    path: Path


def sensor_name(exposure: Exposure) -> str:
    """The same for all frames whose pixels have the same offsets: a file name that a user can read.

    Camera with binning and size, gain, offset, exposure, and the masters that were applied.
    """
    frame = exposure.frame
    said = {"gain": frame.gain, "offset": frame.offset, "exposure": frame.exposure}
    words = [frame.instrument, *(f"{what} {value:g}" for what, value in said.items() if not math.isnan(value))]
    if exposure.masters is not None:
        words.append("calibrated")
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", " ".join(words)).strip("_.")
    identity = repr((words, frame.bayer, frame.height, frame.width, exposure.masters and exposure.masters.key))
    return f"{readable[:100]}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def batches(exposures: Mapping[int, Exposure], folder: Path) -> tuple[Batch, ...]:
    """All frames in the batches in which they are judged: by sensor, each sensor's in the order of frames.

    They follow from the frames alone, not from the number of workers, and so do the sums. Of too few frames, of
    frames debayered elsewhere and of stacks, whose pixels are mixtures, nothing is learnt: each is judged by itself.
    """
    by_sensor = defaultdict[str, list[int]](list)
    for i in sorted(exposures):
        by_sensor[sensor_name(exposures[i])].append(i)
    found = []
    for name, frames in by_sensor.items():
        mixed = any(exposures[i].frame.kind is FrameKind.RGB or exposures[i].frame.stack for i in frames)
        if len(frames) < LEAST_FRAMES or mixed:
            found += [Batch(name, (i,), None, k) for k, i in enumerate(frames)]
            continue
        parts = max(2, -(-len(frames) // LARGEST_BATCH))
        cuts = [round(len(frames) * k / parts) for k in range(parts + 1)]
        for k, (start, stop) in enumerate(zip(cuts[:-1], cuts[1:])):
            found.append(Batch(name, tuple(frames[start:stop]), folder / f"{name}.{k}.npy", k))
    return tuple(found)


def save_sums(path: Path, sums: SensorSums) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, sums.planes)


class SensorTotals:
    """The sums of the batches, added up as they come, in their order; on disk, 32 bytes a pixel and sensor."""

    def __init__(self, exposures: Mapping[int, Exposure], folder: Path) -> None:
        self._exposures, self._folder = exposures, folder
        self._frames = defaultdict[str, list[int]](list)

    def add(self, batch: Batch) -> None:
        """Take over the sums of a batch."""
        if batch.sums is None:
            return
        self._frames[batch.sensor] += batch.frames
        total = self._halves(batch.sensor)[batch.number % 2]
        if batch.number < 2:
            batch.sums.replace(total)
            return
        sums = open_memmap(total, "r+")
        for plane, more in zip(sums, open_memmap(batch.sums, "r")):
            plane += more
        sums.flush()
        batch.sums.unlink()

    def _halves(self, sensor: str) -> tuple[Path, Path]:
        return self._folder / f"{sensor}.even.npy", self._folder / f"{sensor}.odd.npy"

    def tasks(self) -> list[SensorTask]:
        """The sensors, each ready to be learnt."""
        found = []
        for name, frames in self._frames.items():
            frame = self._exposures[frames[0]].frame
            period = 2 if frame.kind is FrameKind.BAYER else 1
            path = self._folder / f"{name}.npz"
            found.append(SensorTask(frame.instrument, tuple(frames), self._halves(name), period, path))
        return found


def learn_one(task: SensorTask) -> SensorFound:
    """Make the map of a sensor from its sums, which are removed.

    Peak memory: 110 bytes a pixel of the sensor.
    """
    even, odd = (SensorSums(np.load(half)) for half in task.halves)
    learnt = learn_sensor(even, odd, task.period)
    temporary = task.path.with_suffix(".partial.npz")
    # half floats hold an offset to 0.05 %
    np.savez(temporary, offset=learnt.offset.astype(np.float16), bad=np.flatnonzero(learnt.bad).astype(np.uint32))
    temporary.replace(task.path)
    for half in task.halves:
        half.unlink()
    return SensorFound(task.name, task.frames, learnt.pattern, int(np.count_nonzero(learnt.bad)), task.path)


def with_maps(exposures: Mapping[int, Exposure], found: Sequence[SensorFound]) -> dict[int, Exposure]:
    """The exposures, each with the map of its sensor where there is one."""
    path_of = {i: each.path for each in found for i in each.frames}
    return {i: replace(e, sensor=path_of.get(i)) for i, e in exposures.items()}


def corrected(raw: Float32Array, exposure: Exposure, rows: slice) -> NDArray[np.bool_]:
    """Take the fixed pattern off rows of a frame, in place; (rows, w) which pixels of them are to be left out."""
    bad = np.zeros(raw.shape[-2:], bool)
    if exposure.sensor is None:
        return bad
    with np.load(exposure.sensor) as table:
        raw -= table["offset"][rows]
        places = table["bad"].astype(np.int64)
    first, last = rows.start * exposure.frame.width, rows.stop * exposure.frame.width
    bad.ravel()[places[(places >= first) & (places < last)] - first] = True
    return bad
