"""Skies of a mosaic that are found a second time, while it is made: once, and kept in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zemosaic.errors import Cancelled
from zemosaic.events import Reporter
from zemosaic.execution import open_threads
from zemosaic.ledger import Ledger
from zemosaic.model import Correction, Frame, Group, Measurement, Overlap, Solution
from zemosaic.phases.match import Left, MatchResult, second_skies

__all__ = ["SecondSkies"]


@dataclass(frozen=True)
class _Found:
    """What the ledger keeps."""

    key: str  # hash of what it was found from
    corrections: dict[int, Correction]
    overlaps: tuple[Overlap, ...]
    frame_steps: dict[int, float]


@dataclass
class SecondSkies:
    """Of one mosaic (`zemosaic.phases.assemble.Skies`)."""

    ledger: Ledger
    name: str  # under which the ledger keeps them
    matched: MatchResult  # what the provisional mosaic is made with
    frames: Sequence[Frame]
    measurements: Mapping[int, Measurement]
    solutions: Mapping[int, Solution]
    groups: Sequence[Group]
    workers: int
    reporter: Reporter

    def known(self, key: str) -> Mapping[int, Correction] | None:
        there = self._there
        return there.corrections if there is not None and there.key == key else None

    def found(self, key: str, left: Left) -> Mapping[int, Correction]:
        """Raises Cancelled when the user asked to stop."""

        def asked(frame: int) -> NDArray[np.float32]:
            if self.reporter.cancelled():
                raise Cancelled(
                    "stopped while skies were found a second time; the next run of the same command goes on"
                )
            return left(frame)

        with open_threads(self.workers) as spread:
            result = second_skies(
                self.matched, self.frames, self.measurements, self.solutions, self.groups, asked, spread
            )
        self.ledger.put(self.name, _Found(key, result.corrections, result.overlaps, result.frame_steps))
        del self._there
        return result.corrections

    def improved(self, matched: MatchResult) -> MatchResult:
        """What the final mosaic is made with."""
        there = self._there
        if there is None:
            return matched
        return replace(matched, corrections=there.corrections, overlaps=there.overlaps, frame_steps=there.frame_steps)

    @cached_property
    def _there(self) -> _Found | None:
        return self.ledger.get(self.name, _Found)
