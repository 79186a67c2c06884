"""Skies of a mosaic that are found a second time, while it is made: once, and kept in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    _used: _Found | None = field(default=None, init=False)  # what the assembly was given

    def __post_init__(self) -> None:
        self._there = self.ledger.get(self.name, _Found)  # what an earlier run found

    def known(self, key: str) -> Mapping[int, Correction] | None:
        there = self._there
        if there is None or there.key != key:
            return None
        self._used = there
        return there.corrections

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
        self._used = self._there = _Found(key, result.corrections, result.overlaps, result.frame_steps)
        self.ledger.put(self.name, self._used)
        return result.corrections

    def improved(self, matched: MatchResult) -> MatchResult:
        """What the final mosaic is made with."""
        used = self._used
        if used is None:
            return matched
        return replace(matched, corrections=used.corrections, overlaps=used.overlaps, frame_steps=used.frame_steps)
