"""One mosaic: planned, assembled and written, as far as it is not there already, made from exactly the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from zemosaic import __version__
from zemosaic.diskroom import check_room, made_folder, remove, room_for_samples
from zemosaic.errors import OutputError
from zemosaic.events import (
    Exported,
    Note,
    Outturn,
    Planned,
    SensorLearnt,
    Unchanged,
    Vignetting,
    Warned,
)
from zemosaic.execution import Workers, worker_count
from zemosaic.filters import may_show_lines
from zemosaic.forecast import ENOUGH_LOOKS, LOOK, MEGA, Pace, forecast, over_limit, widths
from zemosaic.imaging.cropping import CELL, deep_part
from zemosaic.imaging.lines import LineMix
from zemosaic.kernel_cache import is_compiled
from zemosaic.ledger import LEFT, WRITTEN, to_json
from zemosaic.leftovers import about, stamps_of
from zemosaic.model import FrameState, Grid, LeftOut, Masters, Measurement, Mosaic, Plan
from zemosaic.phases.assemble import (
    Assembly,
    DiskUse,
    Exposure,
    Finished,
    Recipe,
    Rejected,
    Result,
    Skies,
    common_hash,
)
from zemosaic.phases.export import Outputs, Provenance, export, has_exposure, renew_headers, rows_to_write, strips
from zemosaic.phases.match import MatchResult
from zemosaic.phases.plan import Cuts, grown_cuts, make_plan, reaching
from zemosaic.phases.solve import SolveResult
from zemosaic.quality import Matching
from zemosaic.recipes import (
    as_assembled,
    as_kept,
    assembly_recipe,
    held_matching,
    line_mixes,
    measured_alike,
    output_format,
    pictures,
    provenance,
    side_by_side,
    unlike_profiles,
    used_corrections,
)
from zemosaic.report import Source, write_report
from zemosaic.seams import SeamReport, seam_report, write_seams
from zemosaic.skies import SecondSkies
from zemosaic.stopwatch import PhaseTime
from zemosaic.survey import MatchedPart, Survey, ledger_key, no_lines, seams_graded
from zemosaic.workers import assemblers
from zemosaic.written import Written, earlier, other_cards, stamps, take_place

__all__ = ["OUTSIDE", "Night", "Picture", "Room"]

OUTSIDE = "it lies outside of the part of the sky that is in the picture (output_center, output_size, crop_depth)"
ALL_SKIES = "with so many new subs the skies of all are found anew, and so is the whole mosaic"
TOLD_AGAIN = 0.005  # of a pixel's noise, difference between two reports of the seams that is worth a line


@dataclass(frozen=True)
class Night:
    """What is known of all frames before they are divided by target."""

    measurements: Mapping[int, Measurement]
    masters: Mapping[int, Masters]
    solved: SolveResult
    memory: int  # bytes
    executor: Workers
    pace: Pace | None  # of measuring, in this run or an earlier one of the workspace; None when nobody knows


@dataclass(frozen=True)
class Room:
    """Where the mosaics of a target lie."""

    canvas: Grid  # their planes; grows with what is added
    part: Grid  # what is written: as large as the frames need

    @property
    def corner(self) -> tuple[int, int]:
        """(y, x) of the part in the canvas."""
        (y, x), (part_y, part_x) = self.canvas.zero, self.part.zero
        return y - part_y, x - part_x

    def has_moved(self, before: Grid) -> bool:
        """Whether the canvas had to grow although the part is no larger than what was there."""
        fits = self.part.width <= before.width and self.part.height <= before.height
        return fits and (self.canvas.width, self.canvas.height) != (before.width, before.height)


@dataclass(frozen=True)
class _Frozen:
    """The plan of a run that has begun."""

    key: str  # hash of what it was made from
    plan: Plan


class Picture:
    """The mosaic of one target and filter."""

    def __init__(self, survey: Survey, night: Night, matched: MatchedPart, room: Room) -> None:
        self._survey, self._night, self._room = survey, night, room
        self._part, self._groups, self._result = matched.part, matched.groups, matched.result
        self._settings, self._ledger, self._reporter = survey.settings, survey.ledger, survey.reporter
        self._outturn: tuple[Outturn, DiskUse] | None = None  # of an assembly that had something to do
        s = survey.settings
        # how corrections are found, as far as their own values do not tell
        self._way = f"{s.stacking_normalize_method} {s.sky_order} {s.stacking_weighting_method} {s.file_weights}"

    def make(self, folder: Path) -> Written:
        """Plan it, assemble it and write it into `folder`."""
        plan = self._planned()
        written = self._assembled_and_exported(plan, folder)
        report = self._ledger.get(self._key("made_seams"), SeamReport)
        if report is not None:
            frames, solutions = self._part.frames, self._night.solved.solutions
            write_seams(report, written.outputs.preview, written.grid, self._groups, frames, solutions)
        if self._settings.report:
            self._reported(plan, written)
        told = dict(written.told) | stamps_of(self._about(written.outputs))
        self._ledger.put(self._key(WRITTEN), replace(written, told=tuple(told.items())))
        return written

    def _about(self, outputs: Outputs) -> tuple[Path, ...]:
        """Files about the mosaic that this run writes."""
        seams = self._ledger.get(self._key("made_seams"), SeamReport) is not None
        return about(outputs, seams=seams, report=self._settings.report)

    def _reported(self, plan: Plan, written: Written) -> None:
        """Write the report; a mosaic that is on the disk needs none to be whole."""
        try:
            write_report(self._source(plan, written))
        except OutputError as error:
            self._reporter.emit(Warned(f"the mosaic is whole, but {error}"))

    def _source(self, plan: Plan, written: Written) -> Source:
        """What the report is made from: the frames of this mosaic, and the files that belong to none."""
        ids, several = {f.id for f in self._part.frames}, bool(self._part.name)
        rows = [
            row
            for row in self._ledger.rows()
            if row.frame is None or row.frame.id in ids or (several and not row.target)
        ]
        rejected = self._ledger.get(self._key("rejected"), tuple[Rejected, ...]) or ()
        errors, response = self._result.response_error, self._result.response
        phases = self._ledger.get(self._key("phases"), tuple[PhaseTime, ...])  # of the run that made the mosaic
        return Source(
            outputs=written.outputs,
            target=self._part.name,
            filter=self._part.filter,
            grid=written.grid,
            groups=plan.groups,
            rows=tuple(rows),
            matching=self._ledger.get(self._key("matching"), dict[int, Matching]) or {},
            placed=self._night.solved.residuals,
            rejected={each.frame_id: 100.0 * each.pixels / each.total for each in rejected},
            seams=self._ledger.get(self._key("made_seams"), SeamReport),
            phases=phases or tuple(self._survey.stopwatch.times),
            settings=self._settings,
            vignettes=tuple(
                i for i, e in errors.items() if not response[i] and Vignetting(i, math.nan, 100.0 * e).unknown
            ),
        )

    def _key(self, what: str) -> str:
        return ledger_key(what, self._part.key)

    @cached_property
    def _finished(self) -> Finished | None:
        """The mosaic as it was finished by an earlier run."""
        return self._ledger.get(self._key("made_from"), Finished)

    # ---- the plan

    def _planned(self) -> Plan:
        """The plan of a run that was begun, else a new one."""
        corrections, solutions = self._result.corrections, self._night.solved.solutions
        usable = [f for f in self._part.frames if f.id in corrections]
        kept = [replace(g, frames=tuple(i for i in g.frames if i in corrections)) for g in self._groups]
        panels, samples = tuple(g for g in kept if g.frames), side_by_side(self._settings)
        with self._survey.phase("plan", len(usable)) as outcome:
            about = (__version__, usable, [solutions[f.id] for f in usable], panels, samples)
            key = _hash((*about, self._room.canvas, self._settings.memory_limit))
            frozen = self._ledger.get(self._key("frozen_plan"), _Frozen)
            if frozen is None or frozen.key != key:  # memory that is free today moves no block of a plan that was begun
                workers = self._settings.assembly_process_workers or self._night.executor.workers
                if samples and self._settings.coadd_use_memmap:
                    scratch = Path(self._settings.coadd_memmap_dir or self._ledger.workspace)
                    samples = replace(samples, scratch=room_for_samples(scratch) // workers)
                grid, memory, cuts = self._room.canvas, self._night.memory, self._cuts()
                plan = make_plan(
                    usable, solutions, panels, grid, memory=memory, workers=workers, samples=samples, cuts=cuts
                )
                frozen = _Frozen(key, plan)
                self._ledger.put(self._key("frozen_plan"), frozen)
            outcome.append(_as_planned(frozen.plan, self._room.part))
        return frozen.plan

    def _cuts(self) -> Cuts | None:
        """Where the finished mosaic was cut into superblocks, if it lies on the same pixels."""
        before, grid = self._finished, self._room.canvas
        if before is None or not before.rows or before.grid.lattice != grid.lattice:
            return None
        return grown_cuts(before.grid, Cuts(before.rows, before.columns), grid)

    # ---- what decides its pixels

    def _exposures(self, matched: MatchResult) -> dict[int, Exposure]:
        """What the assembly needs to know of each frame."""
        folder, measurements = self._ledger.workspace / "rejected", self._night.measurements
        solutions = self._night.solved.solutions
        frames = [f for f in self._part.frames if f.id in matched.corrections]
        unlike = unlike_profiles(frames, measurements, solutions)
        return {
            f.id: Exposure(
                frame=f,
                solution=solutions[f.id],
                correction=matched.corrections[f.id],
                sigma=measurements[f.id].sigma,
                sky=measurements[f.id].sky,
                clipped=measurements[f.id].clipped,
                growth=measurements[f.id].growth,
                rejected=folder / measurements[f.id].path.name,
                measured=measurements[f.id].path,
                masters=self._night.masters.get(f.id),
                unlike=unlike[f.id],
                border=measurements[f.id].border,
            )
            for f in frames
        }

    def _lines(self) -> tuple[LineMix, ...]:
        """Emission lines that get a mosaic of their own: where the user wants them, and the filter passes them."""
        frames = self._part.frames
        if self._settings.dual_band == "off" or not any(map(may_show_lines, frames)):  # said before the first target
            return ()
        if not all(map(may_show_lines, frames)):
            self._reporter.emit(Warned(no_lines(frames)))
            return ()
        return line_mixes(frames, self._night.measurements, self._result.corrections, self._result.sky_level)

    def _alike(self, plan: Plan, recipe: Recipe, exposures: Mapping[int, Exposure]) -> Finished | None:
        """The finished mosaic if this one is to be made in the same way, so that parts of it can stay."""
        finished = self._finished
        if finished is None or finished.way != self._way or not measured_alike(finished, exposures):
            return None
        return finished if finished.common == common_hash(plan, replace(recipe, level=finished.level)) else None

    # ---- assembly and files

    def _assembled_and_exported(self, plan: Plan, folder: Path) -> Written:
        """The picture, unless it is there already, made from exactly the same."""
        matched, exposures = self._result, self._exposures(self._result)
        recipe = assembly_recipe(self._settings, matched.sky_level, max(e.unlike for e in exposures.values()))
        manifest = _hash((__version__, *_deciding(plan), plan.groups, tuple(exposures.values()), recipe))
        lines = self._lines()
        form = output_format(self._settings), pictures(self._settings), lines, self._settings.crop_depth
        manifest = _hash((manifest, *form, self._room.part))
        before = self._ledger.get(self._key(WRITTEN), Written)
        if before and before.manifest == manifest and before.stamps == stamps(before.outputs):
            return self._unchanged(before, exposures, plan, lines)
        check_room(self._ledger.workspace, self._planes, plan.disk, self._pictures_disk(plan.channels))
        finished, solved = self._alike(plan, recipe, exposures), len(exposures)
        seams = self._ledger.get(self._key("seams"), SeamReport)
        if finished is not None:
            matched, solved = held_matching(matched, finished, exposures, recipe, self._settings, self._groups)
            seams = self._graded_again(matched, seams)
            self._ledger.record_matched(matched.corrections)
            exposures = self._exposures(matched)
            recipe = replace(recipe, level=finished.level)
        skies = self._second_skies(matched) if recipe.reject and matched.basis else None
        if skies and finished:
            self._reporter.emit(Note(ALL_SKIES))
            finished = None  # no block is as it was
        mosaic, made_from = self._assembled(plan, exposures, recipe, finished, skies)
        if skies:
            matched = skies.improved(matched)
            seams = self._graded_again(matched, seams)
            made = {each.id for each in made_from.frames}  # others were lost on the way
            self._ledger.record_matched({i: c for i, c in matched.corrections.items() if i in made})
        self._ledger.put(self._key("made_seams"), seams)
        self._record_use(mosaic, exposures)
        if before:  # from here on its files may be overwritten by those of this run
            self._ledger.put(self._key(WRITTEN), replace(before, manifest=""))
        outputs, cards = self._exported(mosaic, plan, matched, lines, folder)
        self._ledger.put(self._key("made_from"), replace(made_from, way=self._way, solved=solved))
        self._ledger.put(self._key("phases"), tuple(self._survey.stopwatch.times))
        old = before or self._ledger.get(self._key(LEFT), Written)
        others = earlier(old, outputs) if old else ()
        written = Written(manifest, outputs, stamps(outputs), mosaic.frames, mosaic.grid, others, cards=cards)
        self._ledger.put(self._key(WRITTEN), written)
        if old:
            beside = take_place(old, written, self._about(outputs), self._reporter, anew=before is None)
            written = replace(written, beside=beside)
            self._ledger.put(self._key(WRITTEN), written)
            self._ledger.put(self._key(LEFT), None)
        if self._settings.coadd_cleanup_memmap:
            remove(self._planes, self._ledger.workspace)
        return written

    def _graded_again(self, matched: MatchResult, before: SeamReport | None) -> SeamReport | None:
        """The seams as other corrections leave them: those that a finished mosaic keeps, or of the second iteration."""
        night = self._night
        report = seam_report(self._part.frames, self._groups, matched, night.measurements, night.solved.solutions)
        if before is not None and report is not None and abs(report.visible - before.visible) > TOLD_AGAIN:
            self._reporter.emit(seams_graded(report, self._part.key))
        return report

    def _second_skies(self, matched: MatchResult) -> SecondSkies:
        """Who finds the skies of this mosaic once more, from what its provisional form leaves of the frames."""
        return SecondSkies(
            self._ledger,
            self._key("second_skies"),
            matched,
            self._part.frames,
            self._night.measurements,
            self._night.solved.solutions,
            self._groups,
            worker_count(self._settings.num_processing_workers),
            self._reporter,
        )

    @property
    def _planes(self) -> Path:
        """Where the planes of the mosaic lie."""
        return self._ledger.workspace / "mosaic" / self._part.key

    def _pictures_disk(self, channels: int) -> int:
        """Bytes of the large pictures of what is written."""
        return pictures(self._settings).disk(self._room.part, channels)

    def _unchanged(
        self, before: Written, exposures: Mapping[int, Exposure], plan: Plan, lines: tuple[LineMix, ...]
    ) -> Written:
        """Tell that there is nothing to do, but for what headers say, of other subs and other settings."""
        with self._survey.phase("assemble", 0) as outcome:
            if self._finished is not None:  # those that it was made with, whatever the equations say today
                self._ledger.record_matched(used_corrections(self._finished, exposures))
            self._ledger.record_used(before.used)
            outcome.append(Unchanged(len(before.used)))
        frames, solved = self._part.frames, self._night.solved
        cards = other_cards(before, provenance(self._settings, plan, frames, before.used, solved, self._result))
        if cards is None:
            return before
        used = [frame for frame in frames if frame.id in set(before.used)]
        form = output_format(self._settings)
        renew_headers(before.outputs, before.grid, plan.channels, used, cards, form, lines)
        self._reporter.emit(
            Note("the headers of the mosaic say now what has changed around it; its pixels are as they were")
        )
        return replace(before, stamps=stamps(before.outputs), cards=cards)

    def _assembled(
        self,
        plan: Plan,
        exposures: Mapping[int, Exposure],
        recipe: Recipe,
        finished: Finished | None,
        skies: Skies | None,
    ) -> tuple[Mosaic, Finished]:
        """The planes of the mosaic, as far as no earlier run has made them, and what they were made from."""
        sensors, scratch = self._ledger.workspace / "sensors" / self._part.key, self._settings.coadd_memmap_dir
        disk = Path(scratch) if scratch else None
        work = Assembly(plan, exposures, recipe, self._planes, sensors, scratch=disk, finished=finished, skies=skies)
        if work.verdict is not None:
            self._reporter.emit(as_kept(work.verdict))
        with (
            assemblers(self._settings, self._night.executor) as executor,
            self._survey.phase("assemble", work.visits, "visits") as outcome,
        ):
            result = self._run(work, executor)
            outcome.append(as_assembled(result))
        self._ledger.put(self._key("rejected"), result.rejected)
        for each in result.learnt:
            self._reporter.emit(SensorLearnt(each.name, len(each.frames), 100.0 * each.pattern, each.bad))
        lost = ((exposures[i].frame.path, why) for i, why in result.lost.items())
        self._survey.leave_out(LeftOut(path, FrameState.DAMAGED, why) for path, why in lost)
        return self._wanted(result.mosaic, exposures), work.finished()

    def _wanted(self, mosaic: Mosaic, exposures: Mapping[int, Exposure]) -> Mosaic:
        """The part of the planes that is written, and the frames that have something in it."""
        mosaic = replace(mosaic, grid=self._room.part, corner=self._room.corner)
        if self._settings.crop_depth > 0.0:
            mosaic = self._cropped(mosaic)
        elif not self._settings.output_size:
            return mosaic
        frames = [exposures[i].frame for i in mosaic.frames]
        there = reaching(frames, self._night.solved.solutions, mosaic.grid)
        return replace(mosaic, frames=tuple(i for i in mosaic.frames if i in there))

    def _cropped(self, mosaic: Mosaic) -> Mosaic:
        """The largest part that is as deep as the user wants."""
        grid, (top, left) = mosaic.grid, mosaic.corner
        part = deep_part(strips(mosaic.weight, mosaic, CELL), self._settings.crop_depth)
        if part is None:
            self._reporter.emit(
                Warned("crop_depth: no part of the mosaic is as deep everywhere, so nothing is cut off")
            )
            return mosaic
        y0, y1, x0, x1 = part
        self._reporter.emit(
            Note(f"crop_depth: of {grid.width} x {grid.height} px {x1 - x0} x {y1 - y0} are deep enough and written")
        )
        cut = replace(grid, width=x1 - x0, height=y1 - y0, x=grid.x - x0, y=grid.y - y0)
        return replace(mosaic, grid=cut, corner=(top + y0, left + x0))

    def _run(self, work: Assembly, executor: Workers) -> Result:
        """Assemble; what it will take is told before, what it took after, and the pace is kept for the next forecast."""
        width = widths(self._settings, work.plan, work.recipe, self._night.memory, executor.workers)
        workers, looks = min(executor.workers, width.others or executor.workers), work.looks
        known, compiled = self._ledger.get(LOOK, float), is_compiled("resample")
        besides = self._pictures_disk(work.plan.channels)
        before = forecast(work.plan, looks, workers, known, self._night.pace, compiled=compiled, besides=besides)
        if looks:
            self._reporter.emit(before)
            if said := over_limit(before, self._settings):
                self._reporter.emit(Warned(said))
        began = self._reporter.clock()
        result = work.run(executor, self._reporter, width)
        seconds = self._reporter.clock() - began
        if looks >= ENOUGH_LOOKS and seconds > result.compiling:
            self._ledger.put(LOOK, (seconds - result.compiling) * min(workers, len(work.plan.superblocks)) / looks)
        if looks:
            self._outturn = Outturn(executor.peak() / MEGA or math.nan, 0.0, seconds, before), work.disk
        return result

    def _record_use(self, mosaic: Mosaic, exposures: Mapping[int, Exposure]) -> None:
        """Record which frames are in the picture; why the others are not is said, where it was not said before."""
        self._ledger.record_used(mosaic.frames)
        used, said = set(mosaic.frames), {each.path for each in self._survey.left_out}
        idle = [e.frame for i, e in exposures.items() if i not in used and e.frame.path not in said]
        there = reaching(idle, self._night.solved.solutions, mosaic.grid)
        reason = "no pixel of it is in the mosaic: all were cropped, rejected, or have no weight"
        self._survey.leave_out(LeftOut(f.path, FrameState.OUTSIDE, reason if f.id in there else OUTSIDE) for f in idle)

    def _exported(
        self, mosaic: Mosaic, plan: Plan, matched: MatchResult, lines: tuple[LineMix, ...], folder: Path
    ) -> tuple[Outputs, Provenance]:
        frames, form, part = self._part.frames, output_format(self._settings), mosaic.grid
        made = provenance(self._settings, plan, frames, mosaic.frames, self._night.solved, matched)
        used = set(mosaic.frames)
        timed = has_exposure([f for f in frames if f.id in used])
        shown = pictures(self._settings)
        rows = rows_to_write(part.height, plan.channels, mosaic.sides is not None, form, len(lines), timed, shown)
        with self._survey.phase("export", rows, "rows") as outcome:
            folder = made_folder(folder)
            outputs = export(mosaic, frames, made, folder, self._reporter, self._part.filter, form, lines, shown)
            outcome.append(Exported(outputs.mosaic))
        if self._outturn is not None:
            outturn, disk = self._outturn
            disk.look(now=True, besides=sum(path.stat().st_size for path in outputs.and_tiles))
            self._reporter.emit(replace(outturn, disk=disk.most / MEGA))
        return outputs, made


def _hash(value: object) -> str:
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def _deciding(plan: Plan) -> tuple[object, ...]:
    """What of the plan decides pixels: superblocks only where they differ in how their samples are kept."""
    forms = {block.depth > 0 for block in plan.superblocks}
    return plan.grid, plan.lattice, plan.superblocks if len(forms) > 1 else sorted(forms)


def _as_planned(plan: Plan, grid: Grid) -> Planned:
    """What is told of a plan; `grid` is what will be written of its canvas."""
    return Planned(
        grid.width, grid.height, 3600.0 * grid.scale, len(plan.groups), len(plan.superblocks),
        plan.memory / MEGA, plan.disk / MEGA,
    )  # fmt: skip
