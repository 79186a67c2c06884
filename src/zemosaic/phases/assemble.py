"""assemble: three passes over the frames, frame-major inside each superblock; the one in the middle is the blot-back rejection.

1. provisional: frames are corrected, resampled and added to a robust centre, until a pixel has enough (`provisional_block`).
2. reject: the centre is blotted back onto each frame's raw pixels; those that the noise model cannot explain are written down
   (`reject_frames`), and what the frames of a sensor have in common is learnt (`learn_one`). From what is left of the sky in
   cells, skies are found a second time (`Skies`).
3. final: the frames again, with these skies and without the pattern of their sensor, the rejected pixels filled from the model,
   one interpolation, inverse-variance mean (`final_block`).

Pixels do not depend on how the mosaic is cut into superblocks nor on the number of workers. Peak memory of a task: 72 bytes
per pixel of its superblock and channel, plus one frame in work (about 60 bytes per raw pixel; 84 in the rejection, where chunks
of the provisional mosaic take the room of the superblock, 160 MB at most).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from zemosaic import __version__
from zemosaic.chunks import DamagedError, opened
from zemosaic.errors import InputError
from zemosaic.events import BlockMade, PhaseProgress, Reporter
from zemosaic.execution import run_each
from zemosaic.kernels.compiling import Timed
from zemosaic.kernels.resample import BUCKETS
from zemosaic.model import Correction, Frame, Mosaic, Plan, Superblock
from zemosaic.phases._assemble_blocks import (
    ENOUGH,
    BlockTask,
    final_block,
    first_record,
    last_record,
    provisional_block,
)
from zemosaic.phases._assemble_canvas import clear, create_canvas, digest, is_done, recorded
from zemosaic.phases._assemble_disk import DiskUse
from zemosaic.phases._assemble_frame import Exposure, Ingredient, Lost, Recipe
from zemosaic.phases._assemble_kept import Fate, Finished, FinishedBlock, Judge, Kept, Verdict
from zemosaic.phases._assemble_reject import KEPT, Rejected, RejectTask, known_rejected, load_left, reject_frames
from zemosaic.phases._assemble_sensor import (
    Batch,
    FinishedSensor,
    SensorFound,
    batches,
    by_sensor,
    in_order,
    kept_sensors,
    known_sensor,
    learn_one,
    remove_sums,
    sensor_tasks,
    with_lasting_pixels,
)

__all__ = [
    "Assembly",
    "DiskUse",
    "Exposure",
    "Fate",
    "Finished",
    "Ingredient",
    "Recipe",
    "Rejected",
    "Result",
    "SensorFound",
    "Skies",
    "Verdict",
    "Widths",
    "assembly_looks",
    "common_hash",
]

CHECKPOINT = 45.0  # s; running sums are kept so often, so that what a sudden end costs stays below two minutes
# Time of a visit over that of measuring a frame, S50 subs: in the provisional pass (to read and debayer, then to add), in the
# rejection, in the final pass
PREPARED, ADDED, JUDGED, LAST = 0.15, 0.35, 0.9, 0.4
PIXEL, LEARNT = 1.5e-6, 7.0  # a pixel of a pass, from sums to planes on the disk; a sensor
MOST_DAMAGED = 3  # times that chunks may be found damaged in one run; more often the disk is no good

Float32Array = NDArray[np.float32]
Task = TypeVar("Task")


@dataclass(frozen=True)
class Widths:
    """How many tasks may run at once; None: as many as there are workers."""

    first: int | None = None  # of the provisional pass
    others: int | None = None


@dataclass(frozen=True)
class Result:
    """A mosaic whose planes are complete."""

    mosaic: Mosaic
    rejected: tuple[Rejected, ...]  # frame by frame
    learnt: tuple[SensorFound, ...]  # of each sensor
    lost: Mapping[int, str]  # frames that could not be read any more, and why
    compiling: float = 0.0  # s that went by while workers compiled kernels that this computer did not know yet


class Skies(Protocol):
    """Who finds the skies of frames a second time."""

    def known(self, key: str) -> Mapping[int, Correction] | None:
        """Corrections that were found from exactly this, by frame id; None: not yet."""

    def found(self, key: str, left: Callable[[int], Float32Array]) -> Mapping[int, Correction]:
        """Corrections with the skies that `left` tells: what the provisional mosaic leaves of each frame (`load_left`)."""


class Assembly:
    """The assembly of a plan into arrays under `folder`, as far as earlier runs have not done it.

    Every part has a key, a hash of all that it is made from: a block of the provisional mosaic of its frames, the rejected
    pixels of a frame of the blocks that it lies on, a block of the final mosaic of the first and of its frames' rejected
    pixels. What is on the disk under that key, and whole, is not made again. Blocks of the mosaic that was `finished` before
    keep the keys that they have, where they can stay (`_assemble_kept`).
    """

    def __init__(
        self,
        plan: Plan,
        exposures: Mapping[int, Exposure],
        recipe: Recipe,
        folder: Path,
        sensors: Path,
        checkpoint: float | None = None,
        scratch: Path | None = None,
        finished: Finished | None = None,
        skies: Skies | None = None,
    ) -> None:
        self.plan, self.recipe, self.sensors, self.skies = plan, recipe, sensors, skies if recipe.reject else None
        self.checkpoint = CHECKPOINT if checkpoint is None else checkpoint  # s between two of running sums
        self.scratch = scratch
        sensors.mkdir(parents=True, exist_ok=True)
        self.seconds = {e.seconds for e in exposures.values()}
        self.canvas = create_canvas(plan, folder, recipe.maps and recipe.reject, len(self.seconds) > 1)
        self._before = finished if finished and finished.common == common_hash(plan, recipe) else None
        self._take(exposures)
        rejected = {e.rejected.parent for e in exposures.values()}
        self.disk, self._compiling = DiskUse((folder, sensors, *sorted(rejected)), scratch), 0.0

    def _take(self, exposures: Mapping[int, Exposure]) -> None:
        """Plan what is to be done with these frames."""
        known = self._before.sensors if self._before and self.recipe.reject else ()
        self.known = kept_sensors(known, exposures, self.sensors)
        self.exposures = dict(exposures)
        if self.recipe.reject:
            self.exposures = with_lasting_pixels(exposures, self.sensors, self.known)
        kept = self._kept()
        hashes = {i: digest(e) for i, e in self.exposures.items()}
        self.first, on, order = [], defaultdict[int, list[str]](list), in_order(self.exposures, self.plan.groups)
        for block in self.plan.superblocks:
            there = kept.get(block)
            touching = set(block.frames)
            members = there.block if there else replace(block, frames=tuple(i for i in order if i in touching))
            key = there.first if there else digest(self._common, members, [hashes[i] for i in members.frames])
            self.first.append(self._block(members, key))
            for i in members.frames:
                on[i].append(key)
        self.keys = {i: digest(hashes[i], on[i]) for i in sorted(self.exposures)} | self._unjudged(kept)
        self.batches = batches(self.exposures, self.plan.groups, self.sensors, self.known) if self.recipe.reject else ()
        keys = {b: digest([self.keys[i] for i in b.frames]) for b in self.batches}
        self.judged = {b: self._judging(b, keys[b]) for b in self.batches}
        self.learnt = sensor_tasks(self.exposures, self.plan.grid, self.batches, keys, self.sensors, self.known)
        maps = {i: (task.path, task.key) for task in self.learnt for i in task.frames}
        last = {there.block: there.last for there in kept.values()}
        self.second = digest(self.keys) if self.skies else ""  # what the skies of all are found a second time from
        self.last = [
            self._block(
                t.block,
                last.get(t.block) or digest(t.key, [(self.keys[i], maps.get(i)) for i in t.block.frames], self.second),
                maps,
            )
            for t in self.first
        ]
        self.used = {there.last: there.used for there in kept.values()}  # ids of now; those on the disk are older
        self._forget_others()
        self._find_missing()

    def _present(self, block: Superblock) -> tuple[int, ...]:
        return tuple(i for i in block.frames if i in self.exposures)

    def _kept(self) -> dict[Superblock, Kept]:
        """Blocks of the plan that stay as they are in the finished mosaic."""
        self.verdict: Verdict | None = None
        if self._before is None:
            return {}
        sensors = by_sensor(self.exposures, sorted(self.exposures)) if self.recipe.reject else {}
        relearnt = [i for name, frames in sensors.items() if name not in self.known for i in frames]
        judge = Judge(self._before, self.plan, self.exposures, self.recipe, self.canvas, relearnt)
        if self._before.seconds is not None:
            judge.fill(self._before.seconds)
        found = {b: judge.judge(replace(b, frames=self._present(b))) for b in self.plan.superblocks}
        self.verdict = judge.verdict
        return {block: there for block, there in found.items() if there is not None}

    def _unjudged(self, kept: Mapping[Superblock, Kept]) -> dict[int, str]:
        """Keys of the rejected pixels of frames that lie on blocks that stay, and on no other."""
        if self._before is None:
            return {}
        redone = {i for b in self.plan.superblocks if b not in kept for i in b.frames}
        staying = {i for there in kept.values() for i in there.block.frames} - redone
        known = {i: self._before.rejected.get(Ingredient.of(self.exposures[i]).name) for i in staying}
        return {i: key for i, key in known.items() if key is not None}

    @property
    def _common(self) -> tuple[object, ...]:
        return __version__, self.plan.grid, self.plan.lattice, self.plan.channels, self.recipe

    def _block(self, block: Superblock, key: str, maps: Mapping[int, tuple[Path, str]] | None = None) -> BlockTask:
        exposures = [self.exposures[i] for i in block.frames]
        if maps:
            exposures = [replace(e, sensor=maps[e.frame.id][0]) if e.frame.id in maps else e for e in exposures]
        plan = self.plan
        return BlockTask(
            plan.grid, plan.channels, block, tuple(exposures), self.recipe, self.canvas, key, self.checkpoint,
            self.scratch,
        )  # fmt: skip

    def _judging(self, batch: Batch, key: str) -> RejectTask:
        exposures = tuple(self.exposures[i] for i in batch.frames)
        keys = tuple(self.keys[i] for i in batch.frames)
        largest = max((b.y1 - b.y0) * (b.x1 - b.x0) for b in self.plan.superblocks)
        room = min(KEPT, largest * self.plan.channels * BUCKETS * 8)  # at most what the sums of a block had
        return RejectTask(self.plan.grid, exposures, self.recipe, self.canvas, batch.sums, keys, key, room)

    def _forget_others(self) -> None:
        """Records of anything else go before a chunk is written: they would vouch for what is no longer there.

        So do the chunks of blocks that are no more: nothing that is to be made covers all of them.
        """
        keys = {first_record(t).name: t.key for t in self.first} | {last_record(t).name: t.key for t in self.last}
        for path in self.canvas.done.iterdir():
            if path.name not in keys:
                clear(self.canvas, path, self.plan.grid)
            if path.name not in keys or recorded(path, keys[path.name]) is None:
                path.unlink()

    def _find_missing(self) -> None:
        """The tasks of the passes that are to be run."""
        self.last_missing = [t for t in self.last if not is_done(last_record(t), t.key, self.canvas.last, t.block)]
        needed = {i for t in self.last_missing for i in t.block.frames}
        unlearnt = [t for t in self.learnt if needed.intersection(t.frames) and known_sensor(t) is None]
        wanted = {path for t in unlearnt for path in t.sums}
        self.sensors_missing = unlearnt
        if self.skies and self.skies.known(self.second) is None:
            needed |= set(self.exposures)
        found = [self._missing(b, t, needed, wanted) for b, t in self.judged.items()]
        self.frames_missing = [task for task in found if task is not None]
        for batch in self.batches:
            if batch.sums is not None and batch.sums not in wanted:
                remove_sums(batch.sums)
        needed |= {e.frame.id for t in self.frames_missing for e in t.exposures}
        own = {t.name for t in self.last_missing}
        self.first_missing = [
            t
            for t in self.first
            if (t.name in own or needed.intersection(t.block.frames))
            and not is_done(first_record(t), t.key, self.canvas.first, t.block)
        ]

    def _missing(self, batch: Batch, task: RejectTask, needed: set[int], wanted: set[Path]) -> RejectTask | None:
        """The frames of a batch that are to be judged: their rejected pixels, or the sums over all, are needed and not there."""
        if batch.sums in wanted and not (
            batch.record and batch.sums and recorded(batch.record, task.key) is not None and opened(batch.sums).whole()
        ):
            return task
        pairs = list(zip(task.exposures, task.keys))
        missing = [(e, key) for e, key in pairs if e.frame.id in needed and known_rejected(e, key) is None]
        if not missing:
            return None
        if batch.sums in wanted:
            return task
        exposures, keys = zip(*missing)
        return replace(task, sums=None, exposures=exposures, keys=keys)

    @property
    def visits(self) -> int:
        """How often a frame will be read: what the progress counts."""
        blocks = sum(len(task.exposures) for task in (*self.first_missing, *self.last_missing))
        return blocks + sum(len(task.exposures) for task in self.frames_missing)

    @property
    def looks(self) -> float:
        """The work that is to be done, in units of what it takes to measure a frame: what the time is forecast from."""
        first = _first_look(self.plan, [e.frame for e in self.exposures.values()])
        visits = (
            sum(len(t.exposures) * (LAST if t.block.depth else first) for t in self.first_missing)
            + sum(len(t.exposures) * JUDGED for t in self.frames_missing)
            + sum(len(t.exposures) * LAST for t in self.last_missing)
        )
        pixels = sum(math.prod(t.plane) for t in (*self.first_missing, *self.last_missing))
        return visits + PIXEL * pixels + LEARNT * len(self.sensors_missing)

    def run(self, executor: Executor, reporter: Reporter, widths: Widths = Widths()) -> Result:
        """Do what is to be done; frames that cannot be read any more are left out.

        Raises
        ------
        InputError
            Most of the frames are gone.
        OutputError
            The workspace cannot be written.
        """
        lost: dict[int, str] = {}
        damaged = 0
        for made in self._there():
            reporter.emit(made)
        while True:
            try:
                gone = self._passes(executor, reporter, widths)
            except DamagedError:
                damaged += 1
                if damaged > MOST_DAMAGED:
                    raise
                self._take(self.exposures)
                continue
            if not gone:
                return self._result(lost)
            lost |= gone
            kept = {i: e for i, e in self.exposures.items() if i not in lost}
            self._check_losses(len(lost), len(kept))
            self._take(kept)

    def _passes(self, executor: Executor, reporter: Reporter, widths: Widths) -> dict[int, str]:
        """The three passes; frames that were lost on the way, with the reason, as soon as a pass has met any."""
        counter = _Counter(reporter, self.visits, self.disk)
        passes: list[tuple[Callable[[Any], Any], Callable[[], Sequence[Any]], int | None]] = [
            (provisional_block, lambda: self.first_missing, widths.first),
            (reject_frames, lambda: self.frames_missing, widths.others),
            (learn_one, lambda: self.sensors_missing, widths.others),
            (final_block, self._last_tasks, widths.others),
        ]
        for function, planned, width in passes:
            tasks = planned()
            results = counter.run(executor, function, tasks, width)
            self._compiling += counter.compiling
            lost = {each.frame_id: each.reason for each in results if isinstance(each, Lost)}
            if lost:
                return lost | self._also_gone()
        return {}

    def _last_tasks(self) -> list[BlockTask]:
        """The final pass, with the skies of the second iteration."""
        if self.skies and self.skies.known(self.second) is None:
            self.skies.found(self.second, self._left)
        last = self._corrected()
        return [
            replace(t, exposures=tuple(replace(e, correction=last[e.frame.id].correction) for e in t.exposures))
            for t in self.last_missing
        ]

    def _left(self, frame: int) -> Float32Array:
        """What the provisional mosaic leaves of a frame, nothing of one that is gone (`load_left`)."""
        there = self.exposures.get(frame)
        if there is None:
            return np.empty((0, 0, self.plan.channels), np.float32)
        return load_left(there.rejected, self.keys[frame])

    def _corrected(self) -> dict[int, Exposure]:
        """The exposures as they go into the final mosaic."""
        better = (self.skies.known(self.second) if self.skies else None) or {}
        return {i: replace(e, correction=better.get(i, e.correction)) for i, e in self.exposures.items()}

    def _there(self) -> list[BlockMade]:
        """Blocks that earlier runs made."""
        first = [t for t in self.first if t not in self.first_missing and recorded(first_record(t), t.key) is not None]
        last = [t for t in self.last if t not in self.last_missing]
        return [_made(task, final=False) for task in first] + [_made(task, final=True) for task in last]

    def _also_gone(self) -> dict[int, str]:
        """Where one file is gone, others may be: a folder was moved, a disk was unplugged."""
        return {i: f"{e.frame.path}: the file is gone" for i, e in self.exposures.items() if not e.frame.path.is_file()}

    def _check_losses(self, lost: int, kept: int) -> None:
        if lost > kept:
            example = next(iter(self.exposures.values())).frame.path.parent
            raise InputError(
                f"{lost} of {lost + kept} subs can no longer be read ({example}): was the disk unplugged, or the "
                "folder moved? Bring it back and start the same command again; what was done is kept"
            )

    def _result(self, lost: Mapping[int, str]) -> Result:
        used = set[int]()
        for task in self.last:
            here = self.used.get(task.key)
            used |= (recorded(last_record(task), task.key) or set()) if here is None else here
        rejected = [known_rejected(self.exposures[i], self.keys[i]) for i in sorted(used)] if self.recipe.reject else []
        learnt = [known_sensor(task) for task in self.learnt]
        canvas = self.canvas
        mosaic = Mosaic(
            self.plan.grid,
            canvas.data,
            canvas.weight,
            canvas.coverage,
            canvas.rejected,
            tuple(sorted(used)),
            canvas.sides,
            seconds=canvas.seconds,
        )
        found = tuple(filter(None, learnt))
        return Result(mosaic, tuple(filter(None, rejected)), found, dict(lost), self._compiling)

    def finished(self) -> Finished:
        """What the mosaic was made from, when it is done."""
        y, x = self.plan.grid.zero
        blocks = tuple(
            FinishedBlock(f.block.y0 - y, f.block.y1 - y, f.block.x0 - x, f.block.x1 - x, f.key, n.key)
            for f, n in zip(self.first, self.last, strict=True)
        )
        made = {i: Ingredient.of(e) for i, e in self._corrected().items()}
        keys = {task.path.stem: task.key for task in self.learnt}
        sensors = [
            self.known.get(name)
            or FinishedSensor(name, keys.get(name, ""), self.exposures[ids[0]].hot, tuple(made[i].name for i in ids))
            for name, ids in (by_sensor(self.exposures, sorted(self.exposures)) if self.recipe.reject else {}).items()
        ]
        plan = self.plan
        return Finished(
            plan.grid, plan.rows, plan.columns, common_hash(plan, self.recipe), self.recipe.level, tuple(made.values()),
            blocks, tuple(sensors), {made[i].name: key for i, key in self.keys.items()},
            None if self.canvas.seconds else min(self.seconds),
        )  # fmt: skip


def _first_look(plan: Plan, frames: Sequence[Frame]) -> float:
    """Time of a visit in the provisional pass over that of measuring the frame."""
    depth = sum(f.height * f.width for f in frames) / (plan.grid.height * plan.grid.width)
    return PREPARED + ADDED * min(1.0, ENOUGH / max(depth, 1.0))  # beyond ENOUGH samples there is nothing to add


def assembly_looks(plan: Plan, frames: Sequence[Frame], *, reject: bool) -> float:
    """`Assembly.looks` of a whole assembly, before anything of it is known but the plan."""
    first = _first_look(plan, frames)
    blocks = [(len(b.frames), LAST if b.depth else first, (b.y1 - b.y0) * (b.x1 - b.x0)) for b in plan.superblocks]
    passes = 2 if reject else 1
    visits = sum(n * ((look if reject else 0.0) + LAST) for n, look, _ in blocks) + (
        len(frames) * JUDGED if reject else 0.0
    )
    return visits + passes * PIXEL * sum(area for _, _, area in blocks)


def common_hash(plan: Plan, recipe: Recipe) -> str:
    """Of all that every block of a mosaic has in common, wherever the grid ends and whatever telescopes joined elsewhere."""
    recipe, forms = replace(recipe, unlike=0.0), sorted({block.depth > 0 for block in plan.superblocks})
    return digest(__version__, plan.grid.lattice, plan.lattice, plan.channels, plan.chunk, recipe, forms)


def _made(task: BlockTask, *, final: bool) -> BlockMade:
    grid, block = task.grid, task.block
    path = task.canvas.data if final else task.canvas.provisional
    return BlockMade(path, grid.height, grid.width, block.y0, block.y1, block.x0, block.x1, final)


class _Counter:
    """Runs tasks and reports each that is done, in visits to frames, over all the passes."""

    def __init__(self, reporter: Reporter, total: int, disk: DiskUse) -> None:
        self.reporter, self.total, self.done, self.disk = reporter, total, 0, disk
        self.compiling = 0.0  # s, in the last pass

    def run(
        self, executor: Executor, function: Callable[[Task], Any], tasks: Sequence[Task], width: int | None
    ) -> list[Any]:
        results, self.compiling = [], 0.0
        done = run_each(executor, Timed(function), tasks, in_flight=width, cancelled=self.reporter.cancelled)
        for task, (result, compiling) in zip(tasks, done):
            self.done += len(getattr(task, "exposures", ()))
            self.reporter.emit(PhaseProgress("assemble", self.done, self.total))
            if isinstance(task, BlockTask) and not isinstance(result, Lost):
                self.reporter.emit(_made(task, final=function is final_block))
            self.compiling += compiling / min(getattr(executor, "workers", 1), len(tasks))  # all of them do so at once
            results.append(result)
            self.disk.look()
        self.disk.look(now=True)
        return results
