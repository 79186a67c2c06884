"""The phases on one page: scan, measure, solve, match, plan, assemble, export (the first ones in `survey`)."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from zemosaic import __version__
from zemosaic.catalogue import load_catalogue
from zemosaic.cluster import open_cluster
from zemosaic.errors import InputError, OutputError
from zemosaic.events import (
    Assembled,
    BlocksKept,
    Exported,
    Made,
    Note,
    Outturn,
    Planned,
    Reporter,
    RunFinished,
    SensorLearnt,
    TargetFailed,
    TargetStarted,
    Unchanged,
    Warned,
)
from zemosaic.execution import Workers, memory_budget, open_executor, worker_count
from zemosaic.filters import may_show_lines
from zemosaic.forecast import ENOUGH_LOOKS, Pace, forecast, widths
from zemosaic.imaging.lines import LineMix
from zemosaic.ledger import Ledger, to_json
from zemosaic.model import Frame, FrameState, Grid, Group, LeftOut, Masters, Measurement, Mosaic, Plan, Solution
from zemosaic.phases.assemble import Assembly, Exposure, Fate, Finished, Recipe, Result, Verdict, common_hash
from zemosaic.phases.export import Outputs, export, has_exposure, rows_to_write
from zemosaic.phases.match import MatchResult
from zemosaic.phases.plan import TASK_OVERHEAD, Cuts, grown_cuts, grown_grid, make_grid, make_plan
from zemosaic.phases.solve import SolveResult
from zemosaic.quality import FrameQuality, frame_table
from zemosaic.recipes import (
    assembly_recipe,
    crop,
    held_matching,
    line_mixes,
    measured_alike,
    output_format,
    provenance,
    side_by_side,
    unlike_profiles,
    used_corrections,
)
from zemosaic.seams import SeamReport, write_seams
from zemosaic.settings import Settings
from zemosaic.survey import PACE, MatchedPart, Survey, ledger_key, no_lines, seen
from zemosaic.targets import Target

__all__ = ["inspect_frames", "make_mosaic"]

LEAST_PER_WORKER = TASK_OVERHEAD + 2**27  # bytes; more workers than that would break memory_limit
LOOK = "pace of assembling"  # what the ledger calls the seconds of a worker for a look
SPARE_DISK = 200 * 2**20  # bytes


def make_mosaic(inputs: Sequence[Path], output: Path, settings: Settings, reporter: Reporter) -> tuple[Outputs, ...]:
    """Make a mosaic of each target in `inputs` and write it, its companions and its preview into `output`.

    One target: the files lie in `output`; several: each in a folder of its own there. Several filters of a target: a
    mosaic each, all on the same pixels, with the filter in the names of the files. Inputs are only read. What is known
    about each frame is kept in a ledger under `output`, so that the same command goes on where an earlier run stopped.

    Raises
    ------
    MosaicError
        The run cannot go on: the input gives nothing to work with, the output cannot be written, a worker died
        twice on the same task, or the user asked to stop. When one of several targets fails, those that do not are
        finished first.
    """
    began = time.monotonic()
    with Ledger(output) as ledger:
        run = _Run(ledger, settings, reporter)
        side_by_side(settings)  # what cannot be combined is told before hours of work
        external = run.external()
        frames, calibration = run.scan(inputs, output)
        with _workers(settings, ledger.workspace) as executor:
            memory = _memory(settings, executor)
            masters = run.calibrate(frames, calibration, executor)
            measurements = run.measure(frames, masters, executor)
            solved = run.solve(frames, measurements, external, executor)
            night = _Night(measurements, masters, solved, memory, executor, ledger.get(PACE, Pace))
            targets = run.targets(frames, solved.solutions)
            if len(targets) == 1:  # then it has the unsolved ones too
                targets = (replace(targets[0], frames=frames),)
            made, failed = run.mosaics(targets, night, output)
    files = tuple(each.outputs for each in made)
    told = tuple(Made(each.name, each.outputs.mosaic, each.outputs.preview, each.used) for each in made)
    if made:
        reporter.emit(RunFinished(told, len(run.left_out), time.monotonic() - began))
    if failed:
        raise InputError(f"no mosaic of {len(failed)} of {len(failed) + len(made)} targets: {'; '.join(failed)}")
    return files


def inspect_frames(
    inputs: Sequence[Path], output: Path, settings: Settings, reporter: Reporter
) -> tuple[FrameQuality, ...]:
    """All files of the input with what a run finds out about them, without a mosaic: scanned, measured, solved, matched.

    Inputs are only read. What was measured is kept in the ledger under `output`, where a later run takes it over.

    Raises
    ------
    MosaicError
        As `make_mosaic`; frames that cannot be solved or matched are no error here.
    """
    with Ledger(output) as ledger:
        survey = Survey(ledger, settings, reporter)
        external = survey.external()
        frames, calibration = survey.scan(inputs, output)
        with _workers(settings, ledger.workspace) as executor:
            masters = survey.calibrate(frames, calibration, executor)
            measurements = survey.measure(frames, masters, executor)
            try:
                solutions = survey.solve(frames, measurements, external, executor).solutions
                targets = survey.targets(frames, solutions)
            except InputError as error:  # the table says why
                reporter.emit(Warned(str(error)))
                solutions, targets = {}, ()
        matching = survey.matching(targets, measurements, solutions)
        equal = settings.stacking_weighting_method == "none"
        return frame_table(ledger.rows(), matching, load_catalogue(), equal_weights=equal)


def _workers(settings: Settings, workspace: Path) -> Workers:
    """Processes on this machine, or those of the cluster that the user names."""
    if settings.scheduler:
        return open_cluster(settings.scheduler, workspace.resolve())
    memory = memory_budget(settings.memory_limit)
    workers = min(worker_count(settings.num_processing_workers, memory), max(1, memory // LEAST_PER_WORKER))
    return open_executor(workers)


def _memory(settings: Settings, executor: Workers) -> int:
    """Bytes that all tasks together may use."""
    if settings.memory_limit == 0 and executor.memory:
        return executor.memory
    return memory_budget(settings.memory_limit)


@dataclass(frozen=True)
class _Night:
    """What is known of all frames before they are divided by target."""

    measurements: Mapping[int, Measurement]
    masters: Mapping[int, Masters]
    solved: SolveResult
    memory: int  # bytes
    executor: Workers
    pace: Pace | None  # of measuring, in this run or an earlier one of the workspace; None when nobody knows


@dataclass(frozen=True)
class _Made:
    """A mosaic that is on the disk."""

    name: str  # of its target and filter
    outputs: Outputs
    used: int  # frames


@dataclass(frozen=True)
class _Room:
    """Where the mosaics of a target lie."""

    canvas: Grid  # their planes; grows with what is added
    part: Grid  # what is written: as large as the frames need

    @property
    def corner(self) -> tuple[int, int]:
        """(y, x) of the part in the canvas."""
        (y, x), (part_y, part_x) = self.canvas.zero, self.part.zero
        return y - part_y, x - part_x


@dataclass(frozen=True)
class _Frozen:
    """The plan of a run that has begun."""

    key: str  # hash of what it was made from
    plan: Plan


@dataclass(frozen=True)
class _Finished:
    """What the ledger keeps of a finished mosaic: made from exactly this, it need not be made again."""

    manifest: str  # hash; "" when its files may no longer be those
    outputs: Outputs
    stamps: tuple[tuple[int, int], ...]  # size and modification time of each file
    used: tuple[int, ...]


def _stamps(outputs: Outputs) -> tuple[tuple[int, int], ...]:
    """Size and modification time of each file; (0, 0) for one that is gone."""
    stats = [path.stat() if path.is_file() else None for path in outputs.files]
    return tuple((stat.st_size, stat.st_mtime_ns) if stat else (0, 0) for stat in stats)


class _Run(Survey):
    """One run: from what was found out about the frames to pictures."""

    def mosaics(self, targets: Sequence[Target], night: _Night, output: Path) -> tuple[list[_Made], list[str]]:
        """The mosaics of each target in a folder of its own, and why there is none of those that gave nothing to assemble."""
        made, failed = list[_Made](), list[str]()
        self.tell_of_lines(targets)
        for number, target in enumerate(targets, 1):
            if len(targets) > 1:
                self.reporter.emit(TargetStarted(seen(target), number, len(targets)))
            parts = self.parts(target)
            some, none = self.of_one_target(parts, night, output / target.name, lone=len(targets) == len(parts) == 1)
            made += some
            failed += none
        return made, failed

    def of_one_target(
        self, parts: Sequence[Target], night: _Night, folder: Path, *, lone: bool
    ) -> tuple[list[_Made], list[str]]:
        """Mosaics on one grid, a filter each; a failure ends the run where there is nothing else to make."""
        made, failed = list[_Made](), list[str]()
        matched = list[MatchedPart]()
        for part in parts:
            try:
                matched.append(self.matched(part, night.measurements, night.solved.solutions))
            except InputError as error:
                failed.append(self._failed(part, error, lone=lone))
        if not matched:
            return made, failed
        kept = [f for m in matched for f in m.part.frames if f.id in m.result.corrections]
        try:
            room = self.room(matched, kept, night.solved.solutions)
        except InputError as error:
            return made, failed + [self._failed(m.part, error, lone=lone) for m in matched]
        for each in matched:
            made.append(self.mosaic(each, room, night, folder))
        return made, failed

    def room(self, matched: Sequence[MatchedPart], frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> _Room:
        """The pixels of all filters of a target: those of the mosaic that is there already, if they can be."""
        before = [self.ledger.get(ledger_key("made_from", m.part.key), Finished) for m in matched]
        scale, cut = self.settings.output_scale, crop(self.settings)
        for there in filter(None, before):
            grown = grown_grid(there.grid, frames, solutions, scale, cut)
            if grown is not None:
                return _Room(*grown)
            self.reporter.emit(Note("the pixels have another size now: the mosaic is laid out and made anew"))
            break
        grid = make_grid(frames, solutions, scale, cut)
        return _Room(grid, grid)

    def _failed(self, part: Target, error: InputError, *, lone: bool) -> str:
        if lone:
            raise error
        self.reporter.emit(TargetFailed(replace(seen(part), name=part.title), str(error)))
        return f"{part.title} ({error})"

    def mosaic(self, matched: MatchedPart, room: _Room, night: _Night, folder: Path) -> _Made:
        """One mosaic: planned, assembled, written."""
        part, result = matched.part, matched.result
        before = self.ledger.get(ledger_key("made_from", part.key), Finished)
        plan = self.plan(part, night.solved.solutions, matched.groups, result, room.canvas, night, before)
        outputs, used = self.assemble_and_export(part, plan, room, night, result, folder, before)
        report = self.ledger.get(ledger_key("seams", part.key), SeamReport)
        if report is not None:
            write_seams(report, outputs.mosaic, room.part, matched.groups, part.frames, night.solved.solutions)
        return _Made(part.title, outputs, used)

    def plan(
        self,
        part: Target,
        solutions: Mapping[int, Solution],
        groups: Sequence[Group],
        matched: MatchResult,
        grid: Grid,
        night: _Night,
        before: Finished | None,
    ) -> Plan:
        usable = [f for f in part.frames if f.id in matched.corrections]
        kept = [replace(g, frames=tuple(i for i in g.frames if i in matched.corrections)) for g in groups]
        panels, samples = tuple(g for g in kept if g.frames), side_by_side(self.settings)
        with self.phase("plan", len(usable)) as outcome:
            about = (__version__, usable, [solutions[f.id] for f in usable], panels, samples)
            key = _hash((*about, grid, self.settings.memory_limit))
            frozen = self.ledger.get(ledger_key("frozen_plan", part.key), _Frozen)
            if frozen is None or frozen.key != key:  # memory that is free today moves no block of a plan that was begun
                workers = self.settings.assembly_process_workers or night.executor.workers
                if samples and self.settings.coadd_use_memmap:
                    samples = replace(samples, scratch=self._room() // workers)
                there = before is not None and before.rows and before.grid.lattice == grid.lattice
                cuts = grown_cuts(before.grid, Cuts(before.rows, before.columns), grid) if before and there else None
                plan = make_plan(
                    usable, solutions, panels, grid, memory=night.memory, workers=workers, samples=samples, cuts=cuts
                )
                frozen = _Frozen(key, plan)
                self.ledger.put(ledger_key("frozen_plan", part.key), frozen)
            plan = frozen.plan
            outcome.append(_planned(plan))
        return plan

    def _room(self) -> int:
        """Bytes on the disk that samples may take: half of what is free where they are to lie."""
        folder = Path(self.settings.coadd_memmap_dir or self.ledger.workspace)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(folder).free // 2
        except OSError as error:
            raise OutputError(
                f"coadd_memmap_dir: cannot use {folder} ({error.strerror}); choose another folder"
            ) from error

    def _check_disk(self, plan: Plan, name: str) -> None:
        """Whether there is room for what an assembly of the mosaic `name` will add to the disk."""
        planes = (self.ledger.workspace / "mosaic" / name).rglob("*")
        free = shutil.disk_usage(self.ledger.workspace).free + sum(p.stat().st_size for p in planes if p.is_file())
        # the workspace and the exported files hold the same planes once each
        needed = 2 * plan.disk + SPARE_DISK
        if free < needed:
            raise OutputError(
                f"{self.ledger.workspace.parent}: the mosaic needs {needed / 2**30:.1f} GB of disk, {free / 2**30:.1f} GB "
                "are free; make room, or choose another output folder"
            )

    def exposures(self, frames: Sequence[Frame], night: _Night, matched: MatchResult) -> dict[int, Exposure]:
        """What the assembly needs to know of each frame."""
        folder = self.ledger.workspace / "rejected"
        unlike = unlike_profiles(
            [f for f in frames if f.id in matched.corrections], night.measurements, night.solved.solutions
        )
        return {
            f.id: Exposure(
                frame=f,
                solution=night.solved.solutions[f.id],
                correction=matched.corrections[f.id],
                sigma=night.measurements[f.id].sigma,
                sky=night.measurements[f.id].sky,
                clipped=night.measurements[f.id].clipped,
                growth=night.measurements[f.id].growth,
                rejected=folder / night.measurements[f.id].path.name,
                measured=night.measurements[f.id].path,
                masters=night.masters.get(f.id),
                unlike=unlike[f.id],
                border=night.measurements[f.id].border,
            )
            for f in frames
            if f.id in matched.corrections
        }

    def assemble_and_export(
        self,
        part: Target,
        plan: Plan,
        room: _Room,
        night: _Night,
        matched: MatchResult,
        folder: Path,
        finished: Finished | None,
    ) -> tuple[Outputs, int]:
        """The picture, unless it is there already, made from exactly the same."""
        name, frames = part.key, part.frames
        exposures = self.exposures(frames, night, matched)
        recipe = assembly_recipe(self.settings, matched.sky_level, max(e.unlike for e in exposures.values()))
        manifest = _hash((__version__, *_deciding(plan), plan.groups, tuple(exposures.values()), recipe))
        form = output_format(self.settings)
        lines = self._lines(part, night, matched)
        files = _hash((manifest, form, lines))
        before = self.ledger.get(ledger_key("finished", name), _Finished)
        if before and before.manifest == files and before.stamps == _stamps(before.outputs):
            with self.phase("assemble", 0) as outcome:
                if finished is not None:  # those that it was made with, whatever the equations say today
                    self.ledger.record_matched(used_corrections(finished, exposures))
                self.ledger.record_used(before.used)
                outcome.append(Unchanged(len(before.used)))
            return before.outputs, len(before.used)
        self._check_disk(plan, name)
        finished, solved = self._alike(finished, plan, recipe, exposures), len(exposures)
        if finished is not None:
            matched, solved = held_matching(matched, finished, exposures, recipe, self.settings)
            self.ledger.record_matched(matched.corrections)
            exposures = self.exposures(frames, night, matched)
            recipe = replace(recipe, level=finished.level)
        mosaic, made_from = self._assembled(name, plan, exposures, recipe, night, finished)
        mosaic = replace(mosaic, grid=room.part, corner=room.corner)
        self.ledger.record_used(mosaic.frames)
        kept = {*mosaic.frames, *self._lost(exposures)}
        reason = "no pixel of it is in the mosaic: all were cropped, rejected, or have no weight"
        self.leave_out(LeftOut(e.frame.path, FrameState.OUTSIDE, reason) for i, e in exposures.items() if i not in kept)
        made = provenance(self.settings, plan, frames, mosaic.frames, night.solved, matched)
        if before:  # from here on its files may be overwritten by those of this run
            self.ledger.put(ledger_key("finished", name), replace(before, manifest=""))
        timed = has_exposure([exposures[i].frame for i in mosaic.frames])
        rows = rows_to_write(room.part.height, plan.channels, mosaic.sides is not None, form, len(lines), timed)
        with self.phase("export", rows, "rows") as outcome:
            outputs = export(mosaic, frames, made, _made_folder(folder), self.reporter, part.filter, form, lines)
            outcome.append(Exported(outputs.mosaic))
        self.ledger.put(ledger_key("made_from", name), replace(made_from, way=self._way, solved=solved))
        self.ledger.put(ledger_key("finished", name), _Finished(files, outputs, _stamps(outputs), mosaic.frames))
        if self.settings.coadd_cleanup_memmap:
            _remove(self.ledger.workspace / "mosaic" / name, self.ledger.workspace)
        return outputs, len(mosaic.frames)

    def _alike(
        self, finished: Finished | None, plan: Plan, recipe: Recipe, exposures: Mapping[int, Exposure]
    ) -> Finished | None:
        """The finished mosaic if this one is to be made in the same way, so that parts of it can stay."""
        if finished is None or finished.way != self._way or not measured_alike(finished, exposures):
            return None
        return finished if finished.common == common_hash(plan, replace(recipe, level=finished.level)) else None

    @property
    def _way(self) -> str:
        """How corrections are found, as far as their own values do not tell."""
        s = self.settings
        return f"{s.stacking_normalize_method} {s.sky_order} {s.stacking_weighting_method} {s.file_weights}"

    def _lines(self, part: Target, night: _Night, matched: MatchResult) -> tuple[LineMix, ...]:
        """Emission lines that get a mosaic of their own: where the user wants them, and the filter passes them."""
        if self.settings.dual_band == "off":
            return ()
        if not any(map(may_show_lines, part.frames)):  # said before the first target
            return ()
        if not all(map(may_show_lines, part.frames)):
            self.reporter.emit(Warned(no_lines(part.frames)))
            return ()
        return line_mixes(part.frames, night.measurements, matched.corrections, matched.sky_level)

    def _lost(self, exposures: Mapping[int, Exposure]) -> set[int]:
        """Frames that are left out already."""
        paths = {each.path for each in self.left_out}
        return {i for i, e in exposures.items() if e.frame.path in paths}

    def _assembled(
        self,
        name: str,
        plan: Plan,
        exposures: Mapping[int, Exposure],
        recipe: Recipe,
        night: _Night,
        finished: Finished | None,
    ) -> tuple[Mosaic, Finished]:
        """The planes of the mosaic, as far as no earlier run has made them, and what they were made from."""
        workspace, scratch = self.ledger.workspace, self.settings.coadd_memmap_dir
        folders = workspace / "mosaic" / name, workspace / "sensors" / name
        work = Assembly(
            plan, exposures, recipe, *folders, scratch=Path(scratch) if scratch else None, finished=finished
        )
        if work.verdict is not None:
            self.reporter.emit(_blocks_kept(work.verdict))
        with self._assemblers(night) as executor, self.phase("assemble", work.visits, "visits") as outcome:
            result = self._run(work, night, executor)
            outcome.append(_assembled(result))
        for each in result.learnt:
            self.reporter.emit(SensorLearnt(each.name, len(each.frames), 100.0 * each.pattern, each.bad))
        self.leave_out(LeftOut(exposures[i].frame.path, FrameState.DAMAGED, why) for i, why in result.lost.items())
        return result.mosaic, work.finished()

    @contextmanager
    def _assemblers(self, night: _Night) -> Iterator[Workers]:
        """The workers of the assembly: those of the other phases, or more where the user wants more."""
        wanted = self.settings.assembly_process_workers
        if wanted <= night.executor.workers or self.settings.scheduler:
            yield night.executor
            return
        with open_executor(wanted) as executor:
            yield executor

    def _run(self, work: Assembly, night: _Night, executor: Workers) -> Result:
        """Assemble; what it will take is told before, what it took after, and the pace is kept for the next forecast."""
        width = widths(self.settings, work.plan, work.recipe, night.memory, executor.workers)
        workers, looks = min(executor.workers, width.others or executor.workers), work.looks
        before = forecast(work.plan, looks, workers, self.ledger.get(LOOK, float), night.pace)
        if looks:
            self.reporter.emit(before)
        began = time.monotonic()
        result = work.run(executor, self.reporter, width)
        seconds = time.monotonic() - began
        if looks >= ENOUGH_LOOKS:
            self.ledger.put(LOOK, seconds * min(workers, len(work.plan.superblocks)) / looks)
        if looks:
            mega = 2.0**20
            self.reporter.emit(Outturn(executor.peak() / mega or math.nan, 2 * work.disk / mega, seconds, before))
        return result


def _remove(folder: Path, top: Path) -> None:
    """A folder with all in it, and those above it, below `top`, that are empty then."""
    shutil.rmtree(folder)
    for parent in folder.parents:
        if parent == top or any(parent.iterdir()):
            return
        parent.rmdir()


def _assembled(result: Result) -> Assembled:
    total = sum(r.total for r in result.rejected)
    share = sum(r.pixels for r in result.rejected) / total if total else 0.0
    return Assembled(len(result.mosaic.frames), 100.0 * share, sum(r.streaks > 0 for r in result.rejected))


def _blocks_kept(verdict: Verdict) -> BlocksKept:
    b = verdict.blocks
    return BlocksKept(
        b[Fate.KEPT], sum(b.values()), b[Fate.FRAMES], b[Fate.MOVED], b[Fate.SENSOR], b[Fate.ABSENT],
        max(verdict.kept, verdict.moved),
    )  # fmt: skip


def _hash(value: object) -> str:
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def _deciding(plan: Plan) -> tuple[object, ...]:
    """What of the plan decides pixels: superblocks only where they differ in how their samples are kept."""
    forms = {block.depth > 0 for block in plan.superblocks}
    return plan.grid, plan.lattice, plan.superblocks if len(forms) > 1 else sorted(forms)


def _made_folder(folder: Path) -> Path:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def _planned(plan: Plan) -> Planned:
    grid, mega = plan.grid, 2.0**20
    return Planned(
        grid.width, grid.height, 3600.0 * grid.scale, len(plan.groups), len(plan.superblocks),
        plan.memory / mega, plan.disk / mega,
    )  # fmt: skip
