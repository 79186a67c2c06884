"""The phases on one page: scan, measure, solve, match, plan, assemble, export."""

from __future__ import annotations

import hashlib
import math
import shutil
import statistics
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
    Unchanged,
    Warned,
)
from zemosaic.execution import memory_budget, open_executor, worker_count
from zemosaic.imaging.calibrate import Feather
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
from zemosaic.phases.export import Outputs, Provenance, export
from zemosaic.phases.match import MatchResult, match
from zemosaic.phases.measure import measure
from zemosaic.phases.plan import TASK_OVERHEAD, group_frames, make_plan
from zemosaic.phases.scan import scan
from zemosaic.phases.solve import SolveResult, solve
from zemosaic.settings import Settings
from zemosaic.solvers.external import External, find_external
from zemosaic.wcs import solution_header

__all__ = ["make_mosaic"]

MANY_LEFT_OUT = 0.2  # of the lights; above that the user is warned
LEAST_PER_WORKER = TASK_OVERHEAD + 2**27  # bytes; more workers than that would break memory_limit
SPARE_DISK = 200 * 2**20  # bytes


def make_mosaic(inputs: Sequence[Path], output: Path, settings: Settings, reporter: Reporter) -> Outputs:
    """Make one mosaic of the lights in `inputs` and write it, its companions and its preview into `output`.

    Inputs are only read. What is known about each frame is kept in a ledger under `output`, so that the same command goes
    on where an earlier run stopped.

    Raises
    ------
    MosaicError
        The run cannot go on: the input gives nothing to work with, the output cannot be written, a worker died
        twice on the same task, or the user asked to stop.
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
            groups = group_frames(
                [f for f in frames if f.id in solved.solutions], solved.solutions, settings.cluster_panel_threshold
            )
            matched = run.match(frames, measurements, solved.solutions, groups)
            plan = run.plan(frames, solved.solutions, groups, matched, memory, executor.workers)
            exposures = run.exposures(frames, measurements, solved, matched, masters)
            outputs, used = run.assemble_and_export(plan, frames, exposures, solved, matched, output, executor)
    reporter.emit(RunFinished(outputs.mosaic, outputs.preview, used, len(run.left_out), time.monotonic() - began))
    return outputs


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
            outcome.append(Measured(len(new), len(frames) - len(new), _median(m.fwhm for m in known.values())))
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
                Solved(len(result.solutions), len(usable), _median(result.residuals.values()), result.catalogue_rms)
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

    def match(
        self,
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
            self.ledger.put("overlaps", result.overlaps)
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
            self.ledger.put("plan", plan)
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

    def exposures(
        self,
        frames: Sequence[Frame],
        measurements: Mapping[int, Measurement],
        solved: SolveResult,
        matched: MatchResult,
        masters: Mapping[int, Masters],
    ) -> dict[int, Exposure]:
        """What the assembly needs to know of each frame."""
        folder = self.ledger.workspace / "rejected"
        return {
            f.id: Exposure(
                frame=f,
                solution=solved.solutions[f.id],
                correction=matched.corrections[f.id],
                sigma=measurements[f.id].sigma,
                sky=measurements[f.id].sky,
                clipped=measurements[f.id].clipped,
                rejected=folder / f"{f.id}.npz",
                masters=masters.get(f.id),
            )
            for f in frames
            if f.id in matched.corrections
        }

    def assemble_and_export(
        self,
        plan: Plan,
        frames: Sequence[Frame],
        exposures: Mapping[int, Exposure],
        solved: SolveResult,
        matched: MatchResult,
        output: Path,
        executor: Executor,
    ) -> tuple[Outputs, int]:
        """The picture, unless it is there already, made from exactly the same."""
        recipe = _recipe(self.settings, matched.sky_level)
        # not the superblocks: they follow the memory that is free today, and no pixel depends on them
        made_from = (__version__, plan.grid, plan.lattice, plan.groups, tuple(exposures.values()), recipe)
        manifest = hashlib.sha256(to_json(made_from).encode()).hexdigest()
        before = self.ledger.get("finished", _Finished)
        if before and before.manifest == manifest and before.stamps == _stamps(before.outputs):
            with self.phase("assemble", 0) as outcome:
                self.ledger.record_used(before.used)
                outcome.append(Unchanged(len(before.used)))
            return before.outputs, len(before.used)
        mosaic = self._assembled(manifest, plan, exposures, recipe, executor)
        self.ledger.record_used(mosaic.frames)
        kept = set(mosaic.frames)
        reason = "no pixel of it is in the mosaic: all were cropped, rejected, or have no weight"
        self.leave_out(LeftOut(e.frame.path, FrameState.OUTSIDE, reason) for i, e in exposures.items() if i not in kept)
        provenance = self._provenance(plan, frames, mosaic.frames, solved, matched)
        if before:  # from here on its files may be overwritten by those of this run
            self.ledger.put("finished", replace(before, manifest=""))
        with self.phase("export", 4 * plan.grid.height, "rows") as outcome:
            outputs = export(mosaic, frames, provenance, output, self.reporter)
            outcome.append(Exported(outputs.mosaic))
        self.ledger.put("finished", _Finished(manifest, outputs, _stamps(outputs), mosaic.frames))
        self.ledger.put("assembled", _Assembled("", mosaic))
        shutil.rmtree(self.ledger.workspace / "mosaic")
        return outputs, len(mosaic.frames)

    def _assembled(
        self, manifest: str, plan: Plan, exposures: Mapping[int, Exposure], recipe: Recipe, executor: Executor
    ) -> Mosaic:
        """The planes of the mosaic; those of an earlier run that could not save them, when made from exactly the same."""
        before = self.ledger.get("assembled", _Assembled)
        if before and before.manifest == manifest and before.mosaic.data.is_file():
            return before.mosaic
        if before:
            self.ledger.put("assembled", replace(before, manifest=""))
        with self.phase("assemble", visits(plan, recipe), "visits") as outcome:
            folder = self.ledger.workspace / "mosaic"
            mosaic, rejected = assemble(plan, exposures, recipe, folder, executor, self.reporter)
            total = sum(r.total for r in rejected)
            share = sum(r.pixels for r in rejected) / total if total else 0.0
            outcome.append(Assembled(len(mosaic.frames), 100.0 * share, sum(r.streaks > 0 for r in rejected)))
        self.ledger.put("assembled", _Assembled(manifest, mosaic))
        return mosaic

    def _provenance(
        self, plan: Plan, frames: Sequence[Frame], used: Sequence[int], solved: SolveResult, matched: MatchResult
    ) -> Provenance:
        s = self.settings
        kept = set(used)
        digests = "".join(f.digest for f in frames if f.id in kept)
        solutions = [solved.solutions[i] for i in used]
        return Provenance(
            groups=len(plan.groups),
            listed=len(frames),
            normalization=s.stacking_normalize_method,
            weighting=s.stacking_weighting_method,
            rejection=s.stacking_rejection_algorithm,
            kappa_low=s.stacking_kappa_low,
            kappa_high=s.stacking_kappa_high,
            combine="mean",
            assembly=s.final_assembly_method,
            radial_weight=s.apply_radial_weight,
            zero_point=matched.zero_point,
            zero_point_scatter=matched.zero_point_scatter,
            version=__version__,
            input_hash=hashlib.sha256(digests.encode()).hexdigest()[:32],
            solvers=tuple(Counter(each.solver for each in solutions).most_common()),
            astrometric_rms=_median(each.rms for each in solutions),
        )


def _recipe(settings: Settings, level: tuple[float, ...]) -> Recipe:
    feather = Feather(
        taper=float(settings.edge_taper),
        crop=settings.master_tile_crop_percent / 100.0 if settings.apply_master_tile_crop else 0.0,
        radial_fraction=settings.radial_feather_fraction if settings.apply_radial_weight else 0.0,
        radial_power=settings.radial_shape_power,
        radial_floor=settings.min_radial_weight_floor,
    )
    return Recipe(
        feather,
        level,
        equal_weights=settings.stacking_weighting_method == "none",
        reject=settings.stacking_rejection_algorithm != "none",
        kappa_low=settings.stacking_kappa_low,
        kappa_high=settings.stacking_kappa_high,
    )


def _worst_overlap(matched: MatchResult) -> float:
    """The largest difference between two panels, in units of what noise explains; NaN when none overlap."""
    return max((abs(d) / e for o in matched.overlaps for d, e in zip(o.difference, o.error) if e > 0), default=math.nan)


def _median(values: Iterable[float]) -> float:
    """Median of the known values; NaN when none is known."""
    known = [value for value in values if value == value]
    return statistics.median(known) if known else math.nan


def _planned(plan: Plan) -> Planned:
    grid, mega = plan.grid, 2.0**20
    return Planned(
        grid.width, grid.height, 3600.0 * grid.scale, len(plan.groups), len(plan.superblocks),
        plan.memory / mega, plan.disk / mega,
    )  # fmt: skip
