"""What is known of all frames before any mosaic is planned: scan, calibrate, measure, solve, targets, match.

`zemosaic run` goes on from here to pictures (`pipeline`), `zemosaic inspect` shows what was found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from zemosaic.errors import InputError, OutputError
from zemosaic.events import (
    Calibrated,
    FiltersFound,
    FrameLeftOut,
    ManyLeftOut,
    Matched,
    Measured,
    Note,
    Outcome,
    PhaseFinished,
    PhaseStarted,
    Reporter,
    Scanned,
    SeamsGraded,
    Solved,
    StrayTarget,
    TargetSeen,
    TargetsFound,
    Timed,
    Unchanged,
    Warned,
)
from zemosaic.execution import open_threads, worker_count
from zemosaic.filters import by_filter, is_dual_band, may_show_lines
from zemosaic.forecast import pace
from zemosaic.ledger import Ledger
from zemosaic.model import CalibrationFrame, Frame, Group, LeftOut, Masters, Measurement, Solution
from zemosaic.names import end_of
from zemosaic.patterns import patterns
from zemosaic.phases.calibrate import calibrate
from zemosaic.phases.match import Limits, MatchResult, match
from zemosaic.phases.measure import measure, trailed
from zemosaic.phases.plan import group_frames
from zemosaic.phases.scan import ScanResult, scan
from zemosaic.phases.solve import SolveResult, solve
from zemosaic.quality import Matching
from zemosaic.recipes import median, weighted_by_hand
from zemosaic.seams import SeamReport, seam_report
from zemosaic.settings import Settings
from zemosaic.solvers.external import External, find_external
from zemosaic.stopwatch import Stopwatch
from zemosaic.taken_over import Done, Heard, forget_done, forget_solved, keep_solved, solve_key, solved_before
from zemosaic.targets import Target, find_targets, in_words, is_stray, target_gap, with_unplaced
from zemosaic.wcs import solution_header

__all__ = ["PACE", "MatchedPart", "Survey", "ledger_key", "no_lines", "seen"]

PACE = "pace of measuring"  # what the ledger calls it
WCS_NAME = 60  # bytes of a sub's name in that of its .wcs file


@dataclass(frozen=True)
class MatchedPart:
    """A mosaic to be made, and the corrections of its frames."""

    part: Target
    groups: tuple[Group, ...]
    result: MatchResult


class Survey:
    """The phases that look at all frames, and the ledger's view of each."""

    def __init__(self, ledger: Ledger, settings: Settings, reporter: Reporter) -> None:
        self.ledger, self.settings, self.heard = ledger, settings, Heard(reporter)
        self.reporter = Timed(self.heard)
        self.left_out: list[LeftOut] = []
        self.stopwatch = Stopwatch(self.reporter.clock)

    @contextmanager
    def phase(self, name: str, items: int, unit: str = "frames") -> Iterator[list[Outcome]]:
        """Tell when a phase begins and ends; its outcome goes into the list."""
        self.reporter.emit(PhaseStarted(name, items, unit))
        outcome = list[Outcome]()
        with self.stopwatch.phase(name, items):
            yield outcome
        seconds = self.stopwatch.times[-1].seconds
        self.ledger.record_phase(name, seconds, items)
        self.reporter.emit(PhaseFinished(name, seconds, outcome[0]))

    def leave_out(self, some: Iterable[LeftOut]) -> None:
        """Record frames that will not be in the picture and say why."""
        for each in some:
            self.left_out.append(each)
            self.ledger.record_left_out([each])
            self.reporter.emit(FrameLeftOut(each))

    def scan(self, inputs: Sequence[Path], output: Path) -> ScanResult:
        """The files of the input; the ledger is not told yet."""
        folders = [Path(each.strip()) for each in self.settings.calibration_folder.split(";") if each.strip()]
        with self.phase("scan", 0, "files") as outcome:
            unwanted = patterns(self.settings.exclude_files)
            found = scan(inputs, output, self.reporter, folders, self.settings.stacks == "use", unwanted)
            if found.idle:
                some = "; ".join(found.idle[:5]) + (f" and {len(found.idle) - 5} more" if len(found.idle) > 5 else "")
                self.reporter.emit(Warned(f"exclude_files: no file of the input has a name like {some}"))
            exposure = sum(f.exposure for f in found.frames if f.exposure == f.exposure)
            others = len(found.left_out) + len(found.calibration)
            outcome.append(Scanned(len(found.frames), exposure / 60.0, others))
        return found

    def begin(self, found: ScanResult) -> None:
        """From here on the ledger speaks of this run."""
        forget_done(self.ledger)
        self.heard.forget()  # what each run is told before it is told by each
        self.ledger.record_scan([*found.frames, *found.excluded], ())  # what was measured on these stays for later
        self.leave_out(found.left_out)

    def tell_again(self, done: Done) -> None:
        """What the last run has come to, where there is nothing to do."""
        for each in done.left_out:
            self.reporter.emit(FrameLeftOut(each))
        for made in done.made:
            with self.phase("assemble", 0) as outcome:
                outcome.append(Unchanged(made.used))
        done.told.again(self.reporter)

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
        """Measure the frames that no earlier run has measured, or not with these masters; those that are no use are left out."""
        keys = {f.id: masters[f.id].key if f.id in masters else "" for f in frames}
        known = {i: m for i, m in self.ledger.measured(frames).items() if m.masters == keys[i]}
        new = [f for f in frames if f.id not in known]
        folder = self.ledger.workspace / "frames"
        with self.phase("measure", len(new)) as outcome:
            began, ends = self.reporter.clock(), list[float]()
            for result in measure(new, folder, executor, self.reporter, masters):
                ends.append(self.reporter.clock() - began)
                if isinstance(result, LeftOut):
                    self.leave_out([result])
                else:
                    self.ledger.record_measured(result)
                    known[result.frame_id] = result
            outcome.append(Measured(len(new), len(frames) - len(new), median(m.fwhm for m in known.values())))
        found = pace(ends, getattr(executor, "workers", 1))
        if found is not None:
            self.ledger.put(PACE, found)
        shaken = {f.id: trailed(f, known[f.id], self.settings.max_elongation) for f in frames if f.id in known}
        self.leave_out(each for each in shaken.values() if each is not None)
        known = {i: m for i, m in known.items() if shaken[i] is None}
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
        """Where the frames point: taken over from an earlier run when nothing that decides it has changed."""
        usable = [f for f in frames if f.id in measurements]
        key = solve_key(usable, measurements, self.settings, external)
        before = solved_before(self.ledger, key)
        with self.phase("solve", 0 if before else len(usable)) as outcome:
            if before is None:
                forget_solved(self.ledger)
                result = solve(
                    usable,
                    tuple(measurements.values()),
                    method=self.settings.solver_method,
                    search_radius=self.settings.astap_default_search_radius,
                    external=external,
                    executor=executor,
                    reporter=self.reporter,
                )
            else:
                result = before
                told = (
                    f"solutions of {len(result.solutions)} frames taken over: nothing that they depend on has changed"
                )
                self.reporter.emit(Note(told))
            self.leave_out(result.left_out)
            self.ledger.record_solved(result.solutions)
            self._write_solutions(usable, result.solutions, taken_over=before is not None)
            if before is None:
                keep_solved(self.ledger, key, result, external)
            outcome.append(
                Solved(len(result.solutions), len(usable), median(result.residuals.values()), result.catalogue_rms)
            )
        if not result.solutions:
            raise InputError(
                f"none of the {len(frames)} lights has a position on the sky, so there is nothing to assemble; "
                "the log says for each what was tried"
            )
        return result

    def _write_solutions(self, frames: Sequence[Frame], solutions: Mapping[int, Solution], *, taken_over: bool) -> None:
        """The solution of each frame as a header of cards, one a line, for other programs; those taken over lie there."""
        folder = self.ledger.workspace / "wcs"
        files = {f.id: folder / f"{f.id:05d}_{end_of(f.path.name, WCS_NAME)}.wcs" for f in frames if f.id in solutions}
        if taken_over and all(path.is_file() for path in files.values()):
            return
        try:
            folder.mkdir(exist_ok=True)
            for old in folder.glob("*.wcs"):
                old.unlink()
            for f in frames:
                if f.id in solutions:
                    header = solution_header(solutions[f.id], f.width, f.height)
                    header.totextfile(files[f.id])
        except OSError as error:
            raise OutputError.writing(folder / "*.wcs", error) from error

    def targets(self, frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> tuple[Target, ...]:
        """The targets that become mosaics of their own, all on one canvas if the user wants that, and their unsolved frames."""
        usable = [f for f in frames if f.id in solutions]
        gap = 360.0 if self.settings.targets == "one" else target_gap(usable, solutions, self.settings.target_gap)
        found = find_targets(usable, solutions, gap)
        if len(found) > 1 and self.settings.targets == "error":
            raise InputError(in_words(found, gap))
        if len(found) > 1:
            self.reporter.emit(TargetsFound(gap, tuple(seen(target) for target in found)))
            for target in found:
                if is_stray(target, found):
                    self.reporter.emit(StrayTarget(seen(target), len(usable)))
        found = with_unplaced(found, frames, solutions, gap)
        self.ledger.record_targets({f.id: target.name for target in found for f in target.frames})
        return found

    def parts(self, target: Target) -> list[Target]:
        """A target once, or once for each filter."""
        split = by_filter(target.frames)
        if self.settings.filters == "together" or len(split) == 1:
            return [target]
        parts = [replace(target, frames=members, filter=label) for label, members in split]
        self.reporter.emit(FiltersFound(tuple((part.filter, len(part.frames)) for part in parts)))
        return parts

    def tell_of_lines(self, targets: Sequence[Target]) -> None:
        """Say once which targets get no mosaics of emission lines: a warning only where none of them does."""
        if self.settings.dual_band == "off":
            return
        without = [t for t in targets if not any(map(may_show_lines, t.frames))]
        if without and len(without) == len(targets):
            self.reporter.emit(Warned(no_lines([f for t in targets for f in t.frames])))
        elif without:
            names = ", ".join(t.title for t in without)
            self.reporter.emit(Note(f"dual_band: no H-alpha and OIII of {names}, taken without a dual-band filter"))

    def matched(
        self, part: Target, measurements: Mapping[int, Measurement], solutions: Mapping[int, Solution]
    ) -> MatchedPart:
        """Panels and corrections of the frames of one mosaic."""
        usable = [f for f in part.frames if f.id in solutions]
        if not usable:
            raise InputError(f"none of the {len(part.frames)} lights has a position on the sky; the log says why")
        groups = group_frames(usable, solutions, self.settings.cluster_panel_threshold)
        return MatchedPart(part, groups, self.match(part.key, part.frames, measurements, solutions, groups))

    def matching(
        self, targets: Iterable[Target], measurements: Mapping[int, Measurement], solutions: Mapping[int, Solution]
    ) -> dict[int, Matching]:
        """What matching finds out about the frames, by id; a mosaic that cannot be matched is named."""
        found = dict[int, Matching]()
        for part in (part for target in targets for part in self.parts(target)):
            try:
                self.matched(part, measurements, solutions)
            except InputError as error:
                self.reporter.emit(Warned(str(error)))
            found.update(self.ledger.get(ledger_key("matching", part.key), dict[int, Matching]) or {})
        return found

    def match(
        self,
        name: str,
        frames: Sequence[Frame],
        measurements: Mapping[int, Measurement],
        solutions: Mapping[int, Solution],
        groups: Sequence[Group],
    ) -> MatchResult:
        usable = [f for f in frames if f.id in solutions]
        self.ledger.put(ledger_key("matching", name), None)
        threads = open_threads(worker_count(self.settings.num_processing_workers))
        with self.phase("match", len(usable)) as outcome, threads as spread:
            result = match(
                usable,
                tuple(measurements.values()),
                solutions,
                groups,
                normalize=self.settings.stacking_normalize_method,
                sky_order=self.settings.sky_order,
                weighting=self.settings.stacking_weighting_method,
                limits=Limits(self.settings.min_transparency, self.settings.max_unevenness),
                reporter=self.reporter,
                spread=spread,
            )
            result, idle = weighted_by_hand(result, usable, self.settings)
            for pattern in idle:
                self.reporter.emit(Warned(f"file_weights: no sub of this mosaic has a name like {pattern}"))
            self.leave_out(result.left_out)
            self.ledger.record_matched(result.corrections)
            self.ledger.put(ledger_key("overlaps", name), result.overlaps)
            self.ledger.put(ledger_key("matching", name), _matching(result, groups))
            outcome.append(Matched(len(result.corrections), _worst_overlap(result)))
        report = seam_report(usable, groups, result, measurements, solutions)
        self.ledger.put(ledger_key("seams", name), report)
        if report is not None:
            self.reporter.emit(seams_graded(report, name))
        if not result.corrections:
            raise InputError("every frame was left out while brightness and sky were matched; the log says why")
        self._warn_of_losses(name.replace("/", " "), frames, len(result.corrections))
        return result

    def warn_of_unplaced(self, frames: Sequence[Frame], targets: Sequence[Target]) -> None:
        """Count losses over all lights of the run where nobody knows to which target some of them belong."""
        known = {f.id for target in targets for f in target.frames}
        if targets and len(known) < len(frames):
            lost = {each.path for each in self.left_out}
            self._warn_of_losses("", frames, sum(f.path not in lost for f in frames))

    def _warn_of_losses(self, title: str, frames: Sequence[Frame], kept: int) -> None:
        if len(frames) - kept > 0.01 * self.settings.many_left_out * len(frames):
            lights = {f.path for f in frames}
            states = Counter(each.state.value for each in self.left_out if each.path in lights)
            self.reporter.emit(ManyLeftOut(len(frames) - kept, len(frames), tuple(states.most_common()), title))


def seen(target: Target) -> TargetSeen:
    return TargetSeen(target.name, len(target.frames), target.ra, target.dec)


def seams_graded(report: SeamReport, name: str) -> SeamsGraded:
    """What is told of a report of the mosaic `name`."""
    worst = report.seams[0]
    told = report.grade, report.visible, worst.first, worst.second, len(report.seams), report.residual
    return SeamsGraded(*told, report.frames, worst.sets, name)


def ledger_key(what: str, name: str) -> str:
    """Under which the ledger keeps something of a mosaic."""
    return f"{what}/{name}" if name else what


def _matching(matched: MatchResult, groups: Sequence[Group]) -> dict[int, Matching]:
    """What goes into the table of frames, by frame id."""
    panel = {i: group.id for group in groups for i in group.frames}
    return {i: Matching(panel[i], matched.gain_residual_mmag[i], n) for i, n in matched.common_stars.items()}


def _worst_overlap(matched: MatchResult) -> float:
    """The largest difference between two panels, in units of what noise explains; NaN when none overlap."""
    return max((abs(d) / e for o in matched.overlaps for d, e in zip(o.difference, o.error) if e > 0), default=math.nan)


def no_lines(frames: Sequence[Frame]) -> str:
    """Why there is no mosaic of emission lines of these frames."""
    other = sorted({f.filter for f in frames if f.filter and not is_dual_band(f.filter)})
    what = f"subs through {', '.join(other)}" if other else "mono subs"
    return f"dual_band: no H-alpha and OIII of {what}; they are found in colour subs through a dual-band filter only"
