"""What the frames of a sensor have in common: learnt during the rejection, used by the final pass, kept in the workspace."""

from __future__ import annotations

import hashlib
import io
import math
import re
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.chunks import opened, put_file, save
from zemosaic.imaging.sensor import LEAST_FRAMES, SensorSums, lasting, learn_sensor
from zemosaic.imaging.smear import MOST_FRAMES, smear_of
from zemosaic.model import FrameKind, Grid, Group
from zemosaic.phases._assemble_canvas import digest
from zemosaic.phases._assemble_frame import Exposure, Ingredient, marked
from zemosaic.tables import load_damaged

__all__ = [
    "Batch",
    "FinishedSensor",
    "SensorFound",
    "SensorMaps",
    "SensorTask",
    "batches",
    "by_sensor",
    "in_order",
    "kept_sensors",
    "known_sensor",
    "lasting_pixels",
    "learn_one",
    "remove_sums",
    "save_sums",
    "sensor_tasks",
    "with_lasting_pixels",
]

Float32Array = NDArray[np.float32]
BATCH = 8, 128  # frames, least and most; the sums of a batch are 16 bytes a pixel, written once and read once
BATCHES = 32  # of a sensor, while they stay within these limits
ROWS = 256  # of a sensor, in one file of its sums


@dataclass(frozen=True)
class FinishedSensor:
    """What a finished mosaic knew of a sensor."""

    name: str
    key: str  # of its map; "" where none was made
    hot: Path | None  # the list of its lasting pixels
    frames: tuple[str, ...]  # names of those that it was learnt from


@dataclass(frozen=True)
class Batch:
    """Frames that one task judges, all of one sensor, in order; their residuals are added up in `sums` where there is one."""

    sensor: str
    frames: tuple[int, ...]
    sums: Path | None
    number: int  # among those of its sensor: even ones are one half of its frames, odd ones the other

    @property
    def record(self) -> Path | None:
        return self.sums and self.sums.with_suffix(".json")


@dataclass(frozen=True)
class SensorTask:
    """A sensor whose frames have all been judged."""

    frames: tuple[int, ...]
    some: tuple[Exposure, ...]  # of the frames, evenly chosen: they tell how the field moved
    grid: Grid
    sums: tuple[Path, ...]  # of its batches, in their order
    path: Path  # of the map, .npz
    key: str  # hash of all that it is made from

    @property
    def name(self) -> str:
        """For people."""
        return self.some[0].frame.instrument


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


def in_order(exposures: Mapping[int, Exposure], panels: Sequence[Group]) -> list[int]:
    """Frames by panel, those of a panel by sensor: in a row they need the same part of the mosaic and the same map."""
    panel = {i: group.id for group in panels for i in group.frames}
    return sorted(exposures, key=lambda i: (panel.get(i, -1), sensor_name(exposures[i]), i))


def by_sensor(exposures: Mapping[int, Exposure], order: Iterable[int]) -> dict[str, list[int]]:
    """Frames of each sensor, in this order."""
    found = defaultdict[str, list[int]](list)
    for i in order:
        found[sensor_name(exposures[i])].append(i)
    return found


def _of_pixels(exposure: Exposure) -> bool:
    """Whether a pixel of the frame is a pixel of the sensor; debayered elsewhere, or in a stack, it is a mixture."""
    return exposure.frame.kind is not FrameKind.RGB and not exposure.frame.stack


def kept_sensors(
    known: Sequence[FinishedSensor], exposures: Mapping[int, Exposure], folder: Path
) -> dict[str, FinishedSensor]:
    """What a finished mosaic learnt of sensors and holds for these frames too, by the sensor's name.

    It does while it was learnt from half of the sensor's frames at least, and its files are there.
    """
    before, kept = {each.name: each for each in known}, {}
    for name, frames in by_sensor(exposures, sorted(exposures)).items():
        sensor = before.get(name)
        if sensor is None or (sensor.hot is not None and not sensor.hot.is_file()):
            continue
        learnt = set(sensor.frames).intersection(Ingredient.of(exposures[i]).name for i in frames)
        teaches = len(frames) >= LEAST_FRAMES and _of_pixels(exposures[frames[0]])
        there = known_map(folder / f"{name}.npz", sensor.key) is not None if sensor.key else not teaches
        if there and 2 * len(learnt) >= len(frames):
            kept[name] = sensor
    return kept


def with_lasting_pixels(
    exposures: Mapping[int, Exposure], folder: Path, kept: Mapping[str, FinishedSensor]
) -> dict[int, Exposure]:
    """The exposures, each with the list of the pixels that are damaged in many frames of its sensor, written to `folder`.

    The file's name tells its content: what was made with another list does not count as done.
    """
    found = dict(exposures)
    for name, frames in by_sensor(exposures, sorted(exposures)).items():
        if name in kept:
            found |= {i: replace(exposures[i], hot=kept[name].hot) for i in frames}
            continue
        if not _of_pixels(exposures[frames[0]]):
            continue
        places = lasting([load_damaged(exposures[i].measured) for i in frames]).astype(np.uint32)
        path = folder / f"{name}.hot.{hashlib.sha256(places.tobytes()).hexdigest()[:8]}.npz"
        for old in folder.glob(f"{name}.hot.*.npz"):
            if old != path:
                old.unlink()
        if places.size:
            file = io.BytesIO()
            np.savez(file, places=places)
            put_file(path, file.getvalue())
            found |= {i: replace(exposures[i], hot=path) for i in frames}
    return found


def batches(
    exposures: Mapping[int, Exposure], panels: Sequence[Group], folder: Path, kept: Mapping[str, FinishedSensor]
) -> tuple[Batch, ...]:
    """All frames in the batches in which they are judged: by sensor, each sensor's by panel.

    They follow from the frames and panels alone, not from the number of workers, and so do the sums. Of too few frames, of
    frames debayered elsewhere and of stacks, whose pixels are mixtures, nothing is learnt: each is judged by itself.
    Of sensors whose map is `kept` nothing is added up.
    """
    found = []
    for name, frames in by_sensor(exposures, in_order(exposures, panels)).items():
        if len(frames) < LEAST_FRAMES or not _of_pixels(exposures[frames[0]]):
            found += [Batch(name, (i,), None, k) for k, i in enumerate(frames)]
            continue
        size = min(max(-(-len(frames) // BATCHES), BATCH[0]), BATCH[1])
        parts = max(2, -(-len(frames) // size))
        cuts = [round(len(frames) * k / parts) for k in range(parts + 1)]
        for k, (start, stop) in enumerate(zip(cuts[:-1], cuts[1:])):
            sums = None if name in kept else folder / f"{name}.{k}.sums"
            found.append(Batch(name, tuple(frames[start:stop]), sums, k))
    return tuple(found)


def save_sums(path: Path, sums: SensorSums) -> None:
    height, width = sums.planes.shape[1:]
    save(path, sums.planes, (1, min(ROWS, height), width))


def sensor_tasks(
    exposures: Mapping[int, Exposure],
    grid: Grid,
    parts: Sequence[Batch],
    keys: Mapping[Batch, str],
    folder: Path,
    kept: Mapping[str, FinishedSensor],
) -> tuple[SensorTask, ...]:
    """The sensors of which something is learnt, from the sums of their batches, or was by the finished mosaic."""
    learnable = defaultdict[str, list[Batch]](list)
    for batch in parts:
        if batch.sums is not None:
            learnable[batch.sensor].append(batch)
    tasks = []
    for name, members in learnable.items():
        frames = tuple(i for batch in members for i in batch.frames)
        chosen = np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).astype(int)
        some = tuple(exposures[frames[int(k)]] for k in chosen)
        sums = tuple(batch.sums for batch in members if batch.sums is not None)
        key = digest([keys[batch] for batch in members])
        tasks.append(SensorTask(frames, some, grid, sums, folder / f"{name}.npz", key))
    for name, ids in by_sensor(exposures, sorted(exposures)).items():
        if name in kept and kept[name].key:
            some = (exposures[ids[0]],)
            tasks.append(SensorTask(tuple(ids), some, grid, (), folder / f"{name}.npz", kept[name].key))
    return tuple(tasks)


def learn_one(task: SensorTask) -> SensorFound:
    """Make the map of a sensor from the sums of its batches, which are removed.

    Peak memory: 130 bytes a pixel of the sensor.
    """
    halves: list[SensorSums | None] = [None, None]
    for k, path in enumerate(task.sums):
        planes = opened(path).read(complete=True)
        half = halves[k % 2]
        if half is None:
            halves[k % 2] = SensorSums(planes)
        else:
            half.planes += planes
    even, odd = halves
    if even is None or odd is None:
        raise ValueError(f"{len(task.sums)} batches of {task.name}: expected two or more")
    first = task.some[0]
    share = len(task.frames) / len(task.some)
    smear = smear_of([e.solution for e in task.some], share, first.shape, task.grid, first.colours)
    period = 2 if first.frame.kind is FrameKind.BAYER else 1
    learnt = learn_sensor(even, odd, period, None if smear.plain else smear)
    file = io.BytesIO()
    # half floats hold an offset to 0.05 %
    np.savez(
        file, offset=learnt.offset.astype(np.float16), bad=np.flatnonzero(learnt.bad).astype(np.uint32),
        pattern=learnt.pattern, key=np.array(task.key),
    )  # fmt: skip
    put_file(task.path, file.getvalue())
    for path in task.sums:
        remove_sums(path)
    return SensorFound(task.name, task.frames, learnt.pattern, int(np.count_nonzero(learnt.bad)), task.path)


def remove_sums(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.with_suffix(".json").unlink(missing_ok=True)


def known_sensor(task: SensorTask) -> SensorFound | None:
    """What an earlier run learnt from exactly the same."""
    found = known_map(task.path, task.key)
    return None if found is None else SensorFound(task.name, task.frames, *found, task.path)


def known_map(path: Path, key: str) -> tuple[float, int] | None:
    """Of a map that is there, whole, and has this key: its pattern and the number of its bad pixels."""
    try:
        with path.open("rb") as file, np.load(file) as table:
            if str(table["key"]) != key:
                return None
            for name in ("offset", "bad"):  # the checksums of the archive are looked at
                table[name]
            return float(table["pattern"]), table["bad"].size
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


class SensorMaps:
    """What was learnt of sensors, the last one in memory: frames in a row are of one sensor."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._offset, self._bad = np.empty((0, 0), np.float32), np.empty(0, np.int64)

    def correct(self, raw: Float32Array, exposure: Exposure, rows: slice) -> NDArray[np.bool_]:
        """Take the fixed pattern off rows of a frame, in place; (rows, w) which pixels of them are to be left out."""
        if exposure.sensor is None:
            return np.zeros(raw.shape[-2:], bool)
        if exposure.sensor != self._path:
            with np.load(exposure.sensor) as table:
                self._offset, self._bad = table["offset"].astype(np.float32), table["bad"].astype(np.int64)
            self._path = exposure.sensor
        raw -= self._offset[rows]
        return marked(self._bad, exposure, rows)


def lasting_pixels(exposure: Exposure, rows: slice) -> NDArray[np.bool_]:
    """(rows, w) pixels that are damaged in many frames of the sensor, whether this one shows it or not."""
    if exposure.hot is None:
        return marked(np.zeros(0, np.int64), exposure, rows)
    with np.load(exposure.hot) as table:
        return marked(table["places"].astype(np.int64), exposure, rows)
