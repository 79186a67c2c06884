"""The mosaics of a run: one of each target and filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zemosaic.errors import InputError
from zemosaic.events import Note, TargetFailed, TargetStarted
from zemosaic.model import Frame, FrameState, LeftOut, Solution
from zemosaic.phases.assemble import Finished
from zemosaic.phases.plan import OutsideError, grown_grid, make_grid, reaching
from zemosaic.picture import OUTSIDE, Night, Picture, Room
from zemosaic.recipes import ANEW, layout, layout_told
from zemosaic.survey import MatchedPart, Survey, ledger_key, seen
from zemosaic.targets import Target
from zemosaic.written import Written

__all__ = ["Mosaics"]

Made = tuple[str, Written]  # a mosaic that is on the disk, with the name of its target and filter


class Mosaics(Survey):
    """One run: from what was found out about the frames to pictures."""

    def mosaics(self, targets: Sequence[Target], night: Night, output: Path) -> tuple[list[Made], list[str]]:
        """The mosaics of each target in a folder of its own, and why there is none of those that gave nothing to assemble."""
        made, failed = list[Made](), list[str]()
        self._outside = list[OutsideError]()
        self.tell_of_lines(targets)
        for number, target in enumerate(targets, 1):
            if len(targets) > 1:
                self.reporter.emit(TargetStarted(seen(target), number, len(targets)))
            parts = self.parts(target)
            some, none = self._of_one_target(parts, night, output / target.name, lone=len(targets) == len(parts) == 1)
            made += some
            failed += none
        if self._outside and not (made or failed):
            raise InputError("; ".join(map(str, self._outside)))
        return made, failed

    def _of_one_target(
        self, parts: Sequence[Target], night: Night, folder: Path, *, lone: bool
    ) -> tuple[list[Made], list[str]]:
        """Mosaics on one grid, a filter each; a failure ends the run where there is nothing else to make."""
        solutions = night.solved.solutions
        matched, failed = list[MatchedPart](), list[str]()
        for part in parts:
            try:
                matched.append(self.matched(part, night.measurements, solutions))
            except InputError as error:
                failed.append(self._failed(part, error, lone=lone))
        if not matched:
            return [], failed
        kept = [f for m in matched for f in m.part.frames if f.id in m.result.corrections]
        try:
            room = self._room(matched, kept, solutions)
        except OutsideError as error:
            self._outside.append(error)
            self._leave_outside(kept)
            return [], failed
        except InputError as error:
            return [], failed + [self._failed(m.part, error, lone=lone) for m in matched]
        made, inside = list[Made](), self._inside(matched, kept, room, solutions)
        if self.settings.crop_depth > 0.0 and len(inside) > 1:
            self.reporter.emit(
                Note(
                    "crop_depth cuts the mosaic of each filter by itself: they lie on one grid, but their borders differ"
                )
            )
        for each in inside:
            try:
                made.append((each.part.title, Picture(self, night, each, room).make(folder)))
            except InputError as error:
                failed.append(self._failed(each.part, error, lone=lone))
        return made, failed

    def _room(self, matched: Sequence[MatchedPart], frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> Room:
        """The pixels of all filters of a target: those of the mosaic that is there already, if they can be."""
        before = [self.ledger.get(ledger_key("made_from", m.part.key), Finished) for m in matched]
        wanted = layout(self.settings)
        for there in filter(None, before):
            grown = grown_grid(there.grid, frames, solutions, wanted)
            if grown is not None:
                room = Room(*grown)
                if wanted.size is not None and wanted.centre is None and room.has_moved(there.grid):
                    self.reporter.emit(Note(_moved(room)))
                return room
            self.reporter.emit(Note(ANEW))
            break
        grid = make_grid(frames, solutions, wanted)
        return Room(grid, grid)

    def _inside(
        self, matched: Sequence[MatchedPart], frames: Sequence[Frame], room: Room, solutions: Mapping[int, Solution]
    ) -> list[MatchedPart]:
        """The same without frames that have nothing in the window that the user wants; how much it leaves out is told."""
        grid = room.part
        for told in layout_told(self.settings, grid, frames, solutions):
            self.reporter.emit(Note(told))
        if not self.settings.output_size:
            return list(matched)
        kept = reaching(frames, solutions, room.canvas)  # what is there already of a larger one stays
        self._leave_outside([f for f in frames if f.id not in kept])
        inside = [
            replace(
                m, result=replace(m.result, corrections={i: c for i, c in m.result.corrections.items() if i in kept})
            )
            for m in matched
        ]
        return [m for m in inside if m.result.corrections]

    def _leave_outside(self, frames: Sequence[Frame]) -> None:
        self.leave_out(LeftOut(f.path, FrameState.OUTSIDE, OUTSIDE) for f in frames)

    def _failed(self, part: Target, error: InputError, *, lone: bool) -> str:
        if lone:
            raise error
        self.reporter.emit(TargetFailed(replace(seen(part), name=part.title), str(error)))
        return f"{part.title} ({error})"


def _moved(room: Room) -> str:
    canvas, part = room.canvas, room.part
    return (
        f"the middle of the subs has moved, and the window of output_size with it: {canvas.width} x {canvas.height} px are "
        f"kept, {part.width} x {part.height} are written; with output_center a window stays where it is"
    )
