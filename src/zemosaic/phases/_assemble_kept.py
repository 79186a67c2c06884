"""What of a finished mosaic stays when frames join or leave it and all corrections are found anew.

A block stays when its frames are the same, nothing of them was measured anew, the map of their sensor is the same, and it would
change by at most `LIMIT` of its noise (`imaging.change`). Only a finished mosaic is judged in this way, each block against the
corrections that it was really made with: so what ends a run changes nothing, and small changes do not add up.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from zemosaic.chunks import opened
from zemosaic.imaging.change import CELL, Change, How, Light, Look, light_of
from zemosaic.imaging.warp import footprint
from zemosaic.ledger import from_json
from zemosaic.model import Grid, Plan, Solution, Superblock
from zemosaic.phases._assemble_canvas import FINAL, PROVISIONAL, Canvas, block_name, fill_seconds, is_done, recorded
from zemosaic.phases._assemble_frame import Exposure, Ingredient, Recipe
from zemosaic.phases._assemble_sensor import FinishedSensor

__all__ = ["Fate", "Finished", "FinishedBlock", "Judge", "Kept", "Verdict"]

LIMIT = 0.05  # sigma
FRINGE = 4.0  # px: a frame that reaches no further into a block gives it nothing, its border has no weight


@dataclass(frozen=True)
class FinishedBlock:
    """A superblock that was made: its place, px from the tangent point, and the keys of its two passes."""

    y0: int
    y1: int
    x0: int
    x1: int
    first: str
    last: str


@dataclass(frozen=True)
class Finished:
    """What a mosaic was made from, for the run that goes on from it."""

    grid: Grid
    rows: tuple[int, ...]  # where the grid is cut into superblocks
    columns: tuple[int, ...]
    common: str  # hash of all that is the same for every block
    level: tuple[float, ...]  # ADU of the mosaic per channel, of the sky that stays
    frames: tuple[Ingredient, ...]
    blocks: tuple[FinishedBlock, ...]
    sensors: tuple[FinishedSensor, ...]
    rejected: Mapping[str, str]  # by the name of a frame: key of its rejected pixels
    seconds: float | None  # exposure that all frames had; None: they differed
    way: str = ""  # how corrections were found, in the words of whoever found them
    solved: int = 0  # frames of the run that found the sky that has been held since


class Fate(StrEnum):
    """What becomes of a block of the finished mosaic."""

    KEPT = "kept"
    FRAMES = "frames"  # one joined it, left it or was measured anew
    SENSOR = "sensor"  # the map of a sensor is learnt anew
    MOVED = "moved"  # corrections changed by more than LIMIT
    ABSENT = "absent"  # there is none there, or not on the disk any more


@dataclass(frozen=True)
class Kept:
    """A block as it lies on the disk, with the ids that its frames have now."""

    block: Superblock
    first: str
    last: str
    used: frozenset[int]


@dataclass(frozen=True)
class Verdict:
    """How many blocks there are of each fate, and the largest change of those that were judged by it."""

    blocks: Mapping[Fate, int]
    kept: float  # sigma, largest change of a block that stays
    moved: float  # sigma, largest change of one that does not; 0 where there is none


class Judge:
    """Compares the blocks of a plan with those of the finished mosaic."""

    def __init__(
        self,
        finished: Finished,
        plan: Plan,
        exposures: Mapping[int, Exposure],
        recipe: Recipe,
        canvas: Canvas,
        relearnt: Iterable[int],
    ) -> None:
        self.plan, self.exposures, self.recipe, self.canvas = plan, exposures, recipe, canvas
        self.relearnt = frozenset(relearnt)  # frames whose sensor's map is learnt anew
        self.named = {Ingredient.of(e).name: i for i, e in exposures.items()}
        self.there = {self._cell(b.y0, b.x0): b for b in self._blocks(finished)}
        self._fates: list[tuple[Fate, float]] = []

    def fill(self, seconds: float) -> None:
        """Exposures of what was made of frames of so many seconds each, now that others join."""
        for b in self.there.values():
            fill_seconds(self.canvas, Superblock(b.y0, b.y1, b.x0, b.x1, ()), seconds)

    def _blocks(self, finished: Finished) -> Iterable[FinishedBlock]:
        """Those of the finished mosaic on the grid of the plan, as far as each lies in one cell of its cut."""
        y, x = self.plan.grid.zero
        for b in finished.blocks:
            moved = replace(b, y0=b.y0 + y, y1=b.y1 + y, x0=b.x0 + x, x1=b.x1 + x)
            if self._cell(moved.y0, moved.x0) == self._cell(moved.y1 - 1, moved.x1 - 1):
                yield moved

    def _cell(self, y: int, x: int) -> tuple[int, int]:
        return bisect_right(self.plan.rows, y), bisect_right(self.plan.columns, x)

    def judge(self, block: Superblock) -> Kept | None:
        """The block as it is on the disk, if it can stay."""
        fate, change, kept = self._judged(block)
        self._fates.append((fate, change))
        return kept

    @property
    def verdict(self) -> Verdict:
        """Of all blocks that were judged."""
        count = {fate: sum(f is fate for f, _ in self._fates) for fate in Fate}
        largest = (max((c for f, c in self._fates if f is fate), default=0.0) for fate in (Fate.KEPT, Fate.MOVED))
        return Verdict(count, *largest)

    def _judged(self, block: Superblock) -> tuple[Fate, float, Kept | None]:
        there = self.there.get(self._cell(block.y0, block.x0))
        if there is None:
            return Fate.ABSENT, 0.0, None
        place = replace(block, y0=there.y0, y1=there.y1, x0=there.x0, x1=there.x1)
        made = self._made(there)
        if made is None or not self._whole(there, place):
            return Fate.ABSENT, 0.0, None
        members = self._members(block, made)
        if members is None:
            return Fate.FRAMES, 0.0, None
        if self.relearnt.intersection(members):
            return Fate.SENSOR, 0.0, None
        change = self._change(place, members)
        if not change <= LIMIT:
            return Fate.MOVED, change, None
        ids = {one.id: i for i, one in members.items()}
        used = recorded(self._record(FINAL, there), there.last) or set()
        kept = replace(place, frames=tuple(members))
        return Fate.KEPT, change, Kept(kept, there.first, there.last, frozenset(ids[i] for i in used if i in ids))

    def _record(self, kind: str, there: FinishedBlock) -> Path:
        return self.canvas.record_of(kind, block_name(there.y0, there.x0, there.y1, there.x1, self.plan.grid.zero))

    def _made(self, there: FinishedBlock) -> tuple[Ingredient, ...] | None:
        """What a block was really made from, as written down beside it."""
        path = self._record(FINAL, there)
        if recorded(path, there.last) is None:
            return None
        return from_json(tuple[Ingredient, ...], json.dumps(json.loads(path.read_bytes())["made"]))

    def _whole(self, there: FinishedBlock, place: Superblock) -> bool:
        return is_done(self._record(PROVISIONAL, there), there.first, self.canvas.first, place) and is_done(
            self._record(FINAL, there), there.last, self.canvas.last, place
        )

    def _members(self, block: Superblock, made: Sequence[Ingredient]) -> dict[int, Ingredient] | None:
        """The block's frames as they were, by their ids of now; None when one is new, gone or measured anew."""
        members = {}
        before = {one.name for one in made}
        here = set(block.frames)
        for one in made:
            now = self.named.get(one.name)
            if now is None or now not in here:
                if self._reach(one.solution, one.shape, block) > FRINGE:
                    return None
                continue
            if Ingredient.of(self.exposures[now]).measured != one.measured:
                return None
            members[now] = one
        for i in block.frames:
            exposure = self.exposures[i]
            new = Ingredient.of(exposure).name not in before
            if new and self._reach(exposure.solution, exposure.shape, block) > FRINGE:
                return None
        return dict(sorted(members.items()))

    def _reach(self, solution: Solution, shape: tuple[int, int], block: Superblock) -> float:
        """How far a frame's outline reaches into a block, px."""
        x, y = footprint(solution, shape, self.plan.grid)
        high = min(y.max(), block.y1) - max(y.min(), block.y0)
        wide = min(x.max(), block.x1) - max(x.min(), block.x0)
        return float(min(high, wide))

    def _change(self, place: Superblock, members: Mapping[int, Ingredient]) -> float:
        """By how many sigma the block would change, at most."""
        now = {i: Ingredient.of(self.exposures[i]) for i in members}
        if all((one.solution, one.correction) == (now[i].solution, now[i].correction) for i, one in members.items()):
            return 0.0
        change = Change(self.plan.grid, (place.y0, place.y1, place.x0, place.x1), self.plan.channels)
        for i, one in members.items():
            sigma = self.exposures[i].white_sigma
            before, after = (Look(each.solution, each.correction, sigma, each.shape) for each in (one, now[i]))
            change.add(before, after, How(self.recipe.feather, self.recipe.equal_weights))
        return change.largest(self._light(place))

    def _light(self, place: Superblock) -> Light:
        """The block's cells, read some rows at a time."""
        strips, step = [], 4 * CELL
        data, weight, count = (opened(p) for p in (self.canvas.data, self.canvas.weight, self.canvas.coverage))
        for y in range(place.y0, place.y1, step):
            part = slice(y, min(y + step, place.y1)), slice(place.x0, place.x1)
            planes = data.read((slice(None), *part)), weight.read((slice(None), *part))
            strips.append(light_of(*planes, count.read(part), self.recipe.level))
        fields = [np.concatenate([getattr(s, name) for s in strips]) for name in Light.__dataclass_fields__]
        return Light(*fields)
