"""The mosaics of a run: one of each target and filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from zemosaic.errors import InputError
from zemosaic.events import Note, TargetFailed, TargetStarted
from zemosaic.model import Frame, Solution
from zemosaic.phases.assemble import Finished
from zemosaic.phases.plan import grown_grid, make_grid
from zemosaic.picture import Night, Picture, Room, Written
from zemosaic.recipes import crop
from zemosaic.survey import MatchedPart, Survey, ledger_key, seen
from zemosaic.targets import Target

__all__ = ["Mosaics"]

Made = tuple[str, Written]  # a mosaic that is on the disk, with the name of its target and filter


class Mosaics(Survey):
    """One run: from what was found out about the frames to pictures."""

    def mosaics(self, targets: Sequence[Target], night: Night, output: Path) -> tuple[list[Made], list[str]]:
        """The mosaics of each target in a folder of its own, and why there is none of those that gave nothing to assemble."""
        made, failed = list[Made](), list[str]()
        self.tell_of_lines(targets)
        for number, target in enumerate(targets, 1):
            if len(targets) > 1:
                self.reporter.emit(TargetStarted(seen(target), number, len(targets)))
            parts = self.parts(target)
            some, none = self._of_one_target(parts, night, output / target.name, lone=len(targets) == len(parts) == 1)
            made += some
            failed += none
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
        except InputError as error:
            return [], failed + [self._failed(m.part, error, lone=lone) for m in matched]
        made = list[Made]()
        for each in matched:
            try:
                made.append((each.part.title, Picture(self, night, each, room).make(folder)))
            except InputError as error:
                failed.append(self._failed(each.part, error, lone=lone))
        return made, failed

    def _room(self, matched: Sequence[MatchedPart], frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> Room:
        """The pixels of all filters of a target: those of the mosaic that is there already, if they can be."""
        before = [self.ledger.get(ledger_key("made_from", m.part.key), Finished) for m in matched]
        scale, cut = self.settings.output_scale, crop(self.settings)
        for there in filter(None, before):
            grown = grown_grid(there.grid, frames, solutions, scale, cut)
            if grown is not None:
                return Room(*grown)
            self.reporter.emit(Note("the pixels have another size now: the mosaic is laid out and made anew"))
            break
        grid = make_grid(frames, solutions, scale, cut)
        return Room(grid, grid)

    def _failed(self, part: Target, error: InputError, *, lone: bool) -> str:
        if lone:
            raise error
        self.reporter.emit(TargetFailed(replace(seen(part), name=part.title), str(error)))
        return f"{part.title} ({error})"
