"""The phases on one page: scan, measure, solve, match, plan, assemble, export."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from zemosaic import __version__
from zemosaic.errors import InputError, OutputError
from zemosaic.events import (
    Assembled,
    Calibrated,
    Exported,
    FrameLeftOut,
    Made,
    ManyLeftOut,
    Matched,
    Measured,
    Outcome,
    PhaseFinished,
    PhaseStarted,
    Planned,
    Reporter,
    RunFinished,
    Scanned,
    Solved,
    StrayTarget,
    TargetFailed,
    TargetSeen,
    TargetsFound,
    TargetStarted,
    Unchanged,
    Warned,
)
from zemosaic.execution import WorkerPool, memory_budget, open_executor, worker_count
from zemosaic.ledger import Ledger, to_json
from zemosaic.model import (
    CalibrationFrame,
    Frame,
    FrameState,
    Group,
    LeftOut,
    Masters,
    Measurement,
    Mosaic,
    Plan,
    Solution,
)
from zemosaic.phases.assemble import Exposure, Recipe, assemble, visits
from zemosaic.phases.calibrate import calibrate
from zemosaic.phases.export import Outputs, export
from zemosaic.phases.match import MatchResult, match
from zemosaic.phases.measure import measure
from zemosaic.phases.plan import TASK_OVERHEAD, group_frames, make_plan
from zemosaic.phases.scan import scan
from zemosaic.phases.solve import SolveResult, solve
from zemosaic.recipes import assembly_recipe, median, provenance
from zemosaic.settings import Settings
from zemosaic.solvers.external import External, find_external
from zemosaic.targets import Target, find_targets, in_words, is_stray, target_gap
from zemosaic.wcs import solution_header

__all__ = ["make_mosaic"]

MANY_LEFT_OUT = 0.2  # of the lights; above that the user is warned
LEAST_PER_WORKER = TASK_OVERHEAD + 2**27  # bytes; more workers than that would break memory_limit
SPARE_DISK = 200 * 2**20  # bytes


def make_mosaic(inputs: Sequence[Path], output: Path, settings: Settings, reporter: Reporter) -> tuple[Outputs, ...]:
    """Make a mosaic of each target in `inputs` and write it, its companions and its preview into `output`.

    One target: the files lie in `output`; several: each in a folder of its own there. Inputs are only read. What is known
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
        external = run.external()
        frames, calibration = run.scan(inputs, output)
        memory = memory_budget(settings.memory_limit)
        workers = min(worker_count(settings.num_processing_workers, memory), max(1, memory // LEAST_PER_WORKER))
        with open_executor(workers) as executor:
            masters = run.calibrate(frames, calibration, executor)
            measurements = run.measure(frames, masters, executor)
            solved = run.solve(frames, measurements, external, executor)
            night = _Night(measurements, masters, solved, memory, executor)
            targets = run.targets(frames, solved.solutions)
            if len(targets) == 1:
                made = [run.mosaic(frames, "", night, output)]
                failed = list[str]()
            else:
                made, failed = run.mosaics(targets, night, output)
    files = tuple(each.outputs for each in made)
    told = tuple(Made(each.name, each.outputs.mosaic, each.outputs.preview, each.used) for each in made)
    if made:
        reporter.emit(RunFinished(told, len(run.left_out), time.monotonic() - began))
    if failed:
        raise InputError(f"no mosaic of {len(failed)} of {len(targets)} targets: {'; '.join(failed)}")
    return files


@dataclass(frozen=True)
class _Night:
    """What is known of all frames before they are divided by target."""

    measurements: Mapping[int, Measurement]
    masters: Mapping[int, Masters]
    solved: SolveResult
    memory: int  # bytes
    executor: WorkerPool


@dataclass(frozen=True)
class _Made:
    """A mosaic that is on the disk."""

    name: str  # of its target
    outputs: Outputs
    used: int  # frames


@dataclass(frozen=True)
class _Finished:
    """What the ledger keeps of a finished mosaic: made from exactly this, it need not be made again."""

    manifest: str  # hash; "" when its files may no longer be those
    outputs: Outputs
    stamps: tuple[tuple[int, int], ...]  # size and modification time of each file
    used: tuple[int, ...]


@dataclass(frozen=True)
class _Assembled:
    """Planes that are complete and not yet saved."""

    manifest: str  # hash; "" when there are none
    mosaic: Mosaic


def _stamps(outputs: Outputs) -> tuple[tuple[int, int], ...]:
    """Size and modification time of each file; (0, 0) for one that is gone."""
    stats = [path.stat() if path.is_file() else None for path in vars(outputs).values()]
    return tuple((stat.st_size, stat.st_mtime_ns) if stat else (0, 0) for stat in stats)


class _Run:
    """One run: what its phases share, and the ledger's view of each."""

    def __init__(self, ledger: Ledger, settings: Settings, reporter: Reporter) -> None:
        self.ledger, self.settings, self.reporter = ledger, settings, reporter
        self.left_out: list[LeftOut] = []

    @contextmanager
    def phase(self, name: str, items: int, unit: str = "frames") -> Iterator[list[Outcome]]:
        """Tell when a phase begins and ends; its outcome goes into the list."""
        self.reporter.emit(PhaseStarted(name, items, unit))
        began, outcome = time.monotonic(), list[Outcome]()
        yield outcome
        seconds = time.monotonic() - began
        self.ledger.record_phase(name, seconds, items)
        self.reporter.emit(PhaseFinished(name, seconds, outcome[0]))

    def leave_out(self, some: Iterable[LeftOut]) -> None:
        """Record frames that will not be in the picture and say why."""
        for each in some:
            self.left_out.append(each)
            self.ledger.record_left_out([each])
            self.reporter.emit(FrameLeftOut(each))

    def scan(self, inputs: Sequence[Path], output: Path) -> tuple[tuple[Frame, ...], tuple[CalibrationFrame, ...]]:
        folders = [Path(each.strip()) for each in self.settings.calibration_folder.split(";") if each.strip()]
        with self.phase("scan", 0, "files") as outcome:
            found = scan(inputs, output, self.reporter, folders)
            self.ledger.record_scan(found.frames, ())
            self.leave_out(found.left_out)
            exposure = sum(f.exposure for f in found.frames if f.exposure == f.exposure)
            others = len(found.left_out) + len(found.calibration)
            outcome.append(Scanned(len(found.frames), exposure / 60.0, others))
        return found.frames, found.calibration

    def calibrate(
        self, frames: Sequence[Frame], calibration: Sequence[CalibrationFrame], executor: Executor
    ) -> dict[int, Masters]:
        """Masters of the user's darks, flats and biases, by frame id; without such files there is nothing to do."""
        if not calibration:
            return {}
        with self.phase("calibrate", len(calibration), "files") as outcome:
            result = calibrate(frames, calibration, self.ledger.workspace / "masters", executor, self.reporter)
            self.ledger.record_left_out(result.used)
            self.leave_out(result.left_out)
            files = {path for m in result.masters.values() for path in (m.dark, m.flat) if path is not None}
            lights = len(result.masters)
            outcome.append(Calibrated(len(files), lights, len(frames) - lights, len(result.left_out)))
        return result.masters

    def measure(
        self, frames: Sequence[Frame], masters: Mapping[int, Masters], executor: Executor
    ) -> dict[int, Measurement]:
        """Measure the frames that no earlier run has measured, or not with these masters."""
        keys = {f.id: masters[f.id].key if f.id in masters else "" for f in frames}
        known = {i: m for i, m in self.ledger.measured(frames).items() if m.masters == keys[i]}
        new = [f for f in frames if f.id not in known]
        folder = self.ledger.workspace / "frames"
        with self.phase("measure", len(new)) as outcome:
            for result in measure(new, folder, executor, self.reporter, masters):
                if isinstance(result, LeftOut):
                    self.leave_out([result])
                else:
                    self.ledger.record_measured(result)
                    known[result.frame_id] = result
            outcome.append(Measured(len(new), len(frames) - len(new), median(m.fwhm for m in known.values())))
        return known

    def external(self) -> External:
        """Programs of others that plate solving may call; what was asked for and is missing stops the run here."""
        external, warnings = find_external(self.settings, self.ledger.workspace / "solvers")
        for warning in warnings:
            self.reporter.emit(Warned(warning))
        return external

    def solve(
        self,
        frames: Sequence[Frame],
        measurements: Mapping[int, Measurement],
        external: External,
        executor: Executor,
    ) -> SolveResult:
        usable = [f for f in frames if f.id in measurements]
        with self.phase("solve", len(usable)) as outcome:
            result = solve(
                usable,
                tuple(measurements.values()),
                method=self.settings.solver_method,
                search_radius=self.settings.astap_default_search_radius,
                external=external,
                executor=executor,
                reporter=self.reporter,
            )
            self.leave_out(result.left_out)
            self.ledger.record_solved(result.solutions)
            self._write_solutions(usable, result.solutions)
            outcome.append(
                Solved(len(result.solutions), len(usable), median(result.residuals.values()), result.catalogue_rms)
            )
        if not result.solutions:
            raise InputError(
                f"none of the {len(frames)} lights has a position on the sky, so there is nothing to assemble; "
                "the log says for each what was tried"
            )
        return result

    def _write_solutions(self, frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> None:
        """The solution of each frame as a header of cards, one a line, for other programs."""
        folder = self.ledger.workspace / "wcs"
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.wcs"):
            old.unlink()
        for f in frames:
            if f.id in solutions:
                header = solution_header(solutions[f.id], f.width, f.height)
                header.totextfile(folder / f"{f.id:05d}_{f.path.name}.wcs")

    def targets(self, frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> tuple[Target, ...]:
        """The targets that become mosaics of their own: all on one canvas if the user wants that."""
        usable = [f for f in frames if f.id in solutions]
        gap = 360.0 if self.settings.targets == "one" else target_gap(usable, solutions, self.settings.target_gap)
        found = find_targets(usable, solutions, gap)
        if len(found) > 1 and self.settings.targets == "error":
            raise InputError(in_words(found, gap))
        self.ledger.record_targets({f.id: target.name for target in found for f in target.frames})
        if len(found) > 1:
            self.reporter.emit(TargetsFound(gap, tuple(_seen(target) for target in found)))
            for target in found:
                if is_stray(target, found):
                    self.reporter.emit(StrayTarget(_seen(target), len(usable)))
        return found

    def mosaics(self, targets: Sequence[Target], night: _Night, output: Path) -> tuple[list[_Made], list[str]]:
        """A mosaic of each target in a folder of its own, and why there is none of those that gave nothing to assemble."""
        made, failed = [], []
        for number, target in enumerate(targets, 1):
            self.reporter.emit(TargetStarted(_seen(target), number, len(targets)))
            try:
                made.append(self.mosaic(target.frames, target.name, night, output / target.name))
            except InputError as error:
                self.reporter.emit(TargetFailed(_seen(target), str(error)))
                failed.append(f"{target.name} ({error})")
        return made, failed

    def mosaic(self, frames: Sequence[Frame], name: str, night: _Night, folder: Path) -> _Made:
        """The mosaic of one target: matched, planned, assembled, written."""
        solutions = night.solved.solutions
        groups = group_frames(
            [f for f in frames if f.id in solutions], solutions, self.settings.cluster_panel_threshold
        )
        matched = self.match(name, frames, night.measurements, solutions, groups)
        plan = self.plan(name, frames, solutions, groups, matched, night.memory, night.executor.workers)
        exposures = self.exposures(frames, night, matched)
        outputs, used = self.assemble_and_export(name, plan, frames, exposures, night, matched, folder)
        return _Made(name, outputs, used)

    def match(
        self,
        name: str,
        frames: Sequence[Frame],
        measurements: Mapping[int, Measurement],
        solutions: Mapping[int, Solution],
        groups: Sequence[Group],
    ) -> MatchResult:
        usable = [f for f in frames if f.id in solutions]
        with self.phase("match", len(usable)) as outcome:
            result = match(
                usable,
                tuple(measurements.values()),
                solutions,
                groups,
                normalize=self.settings.stacking_normalize_method,
                weighting=self.settings.stacking_weighting_method,
                reporter=self.reporter,
            )
            self.leave_out(result.left_out)
            self.ledger.record_matched(result.corrections)
            self.ledger.put(_key("overlaps", name), result.overlaps)
            outcome.append(Matched(len(result.corrections), _worst_overlap(result)))
        if not result.corrections:
            raise InputError("every frame was left out while brightness and sky were matched; the log says why")
        self._warn_of_losses(frames, len(result.corrections))
        return result

    def _warn_of_losses(self, frames: Sequence[Frame], kept: int) -> None:
        if len(frames) - kept > MANY_LEFT_OUT * len(frames):
            lights = {f.path for f in frames}
            states = Counter(each.state.value for each in self.left_out if each.path in lights)
            self.reporter.emit(ManyLeftOut(len(frames) - kept, len(frames), tuple(states.most_common())))

    def plan(
        self,
        name: str,
        frames: Sequence[Frame],
        solutions: Mapping[int, Solution],
        groups: Sequence[Group],
        matched: MatchResult,
        memory: int,
        workers: int,
    ) -> Plan:
        usable = [f for f in frames if f.id in matched.corrections]
        kept = [replace(g, frames=tuple(i for i in g.frames if i in matched.corrections)) for g in groups]
        with self.phase("plan", len(usable)) as outcome:
            plan = make_plan(
                usable,
                solutions,
                tuple(g for g in kept if g.frames),
                output_scale=self.settings.output_scale,
                memory=memory,
                workers=workers,
            )
            self.ledger.put(_key("plan", name), plan)
            outcome.append(_planned(plan))
        self._check_disk(plan)
        return plan

    def _check_disk(self, plan: Plan) -> None:
        free = shutil.disk_usage(self.ledger.workspace).free
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
        return {
            f.id: Exposure(
                frame=f,
                solution=night.solved.solutions[f.id],
                correction=matched.corrections[f.id],
                sigma=night.measurements[f.id].sigma,
                sky=night.measurements[f.id].sky,
                clipped=night.measurements[f.id].clipped,
                rejected=folder / f"{f.id}.npz",
                masters=night.masters.get(f.id),
            )
            for f in frames
            if f.id in matched.corrections
        }

    def assemble_and_export(
        self,
        name: str,
        plan: Plan,
        frames: Sequence[Frame],
        exposures: Mapping[int, Exposure],
        night: _Night,
        matched: MatchResult,
        folder: Path,
    ) -> tuple[Outputs, int]:
        """The picture, unless it is there already, made from exactly the same."""
        recipe = assembly_recipe(self.settings, matched.sky_level)
        # not the superblocks: they follow the memory that is free today, and no pixel depends on them
        made_from = (__version__, plan.grid, plan.lattice, plan.groups, tuple(exposures.values()), recipe)
        manifest = hashlib.sha256(to_json(made_from).encode()).hexdigest()
        before = self.ledger.get(_key("finished", name), _Finished)
        if before and before.manifest == manifest and before.stamps == _stamps(before.outputs):
            with self.phase("assemble", 0) as outcome:
                self.ledger.record_used(before.used)
                outcome.append(Unchanged(len(before.used)))
            return before.outputs, len(before.used)
        mosaic = self._assembled(name, manifest, plan, exposures, recipe, night.executor)
        self.ledger.record_used(mosaic.frames)
        kept = set(mosaic.frames)
        reason = "no pixel of it is in the mosaic: all were cropped, rejected, or have no weight"
        self.leave_out(LeftOut(e.frame.path, FrameState.OUTSIDE, reason) for i, e in exposures.items() if i not in kept)
        told = provenance(self.settings, plan, frames, mosaic.frames, night.solved, matched)
        if before:  # from here on its files may be overwritten by those of this run
            self.ledger.put(_key("finished", name), replace(before, manifest=""))
        with self.phase("export", 4 * plan.grid.height, "rows") as outcome:
            outputs = export(mosaic, frames, told, _made_folder(folder), self.reporter)
            outcome.append(Exported(outputs.mosaic))
        self.ledger.put(_key("finished", name), _Finished(manifest, outputs, _stamps(outputs), mosaic.frames))
        self.ledger.put(_key("assembled", name), _Assembled("", mosaic))
        shutil.rmtree(self.ledger.workspace / "mosaic" / name)
        return outputs, len(mosaic.frames)

    def _assembled(
        self,
        name: str,
        manifest: str,
        plan: Plan,
        exposures: Mapping[int, Exposure],
        recipe: Recipe,
        executor: Executor,
    ) -> Mosaic:
        """The planes of the mosaic; those of an earlier run that could not save them, when made from exactly the same."""
        before = self.ledger.get(_key("assembled", name), _Assembled)
        if before and before.manifest == manifest and before.mosaic.data.is_file():
            return before.mosaic
        if before:
            self.ledger.put(_key("assembled", name), replace(before, manifest=""))
        with self.phase("assemble", visits(plan, recipe), "visits") as outcome:
            folder = self.ledger.workspace / "mosaic" / name
            mosaic, rejected = assemble(plan, exposures, recipe, folder, executor, self.reporter)
            total = sum(r.total for r in rejected)
            share = sum(r.pixels for r in rejected) / total if total else 0.0
            outcome.append(Assembled(len(mosaic.frames), 100.0 * share, sum(r.streaks > 0 for r in rejected)))
        self.ledger.put(_key("assembled", name), _Assembled(manifest, mosaic))
        return mosaic


def _seen(target: Target) -> TargetSeen:
    return TargetSeen(target.name, len(target.frames), target.ra, target.dec)


def _key(what: str, name: str) -> str:
    """Under which the ledger keeps something of a target."""
    return f"{what}/{name}" if name else what


def _made_folder(folder: Path) -> Path:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def _worst_overlap(matched: MatchResult) -> float:
    """The largest difference between two panels, in units of what noise explains; NaN when none overlap."""
    return max((abs(d) / e for o in matched.overlaps for d, e in zip(o.difference, o.error) if e > 0), default=math.nan)


def _planned(plan: Plan) -> Planned:
    grid, mega = plan.grid, 2.0**20
    return Planned(
        grid.width, grid.height, 3600.0 * grid.scale, len(plan.groups), len(plan.superblocks),
        plan.memory / mega, plan.disk / mega,
    )  # fmt: skip
