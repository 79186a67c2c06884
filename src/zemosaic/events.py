"""What the engine says while it works: frozen events and the protocol of who listens.

The engine knows no terminal and no widget; the edges (cli, gui) turn events into the user's language.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zemosaic.model import LeftOut

__all__ = [
    "Event",
    "FrameLeftOut",
    "Note",
    "PhaseFinished",
    "PhaseProgress",
    "PhaseStarted",
    "Reporter",
    "RunFinished",
    "Silent",
    "Warned",
]


@dataclass(frozen=True)
class PhaseStarted:
    phase: str  # scan, measure, solve, match, plan, assemble, export
    total: int  # items; 0 when unknown
    unit: str = "frames"


@dataclass(frozen=True)
class PhaseProgress:
    phase: str
    done: int
    total: int
    item: str = ""  # what was just finished, for people


@dataclass(frozen=True)
class PhaseFinished:
    phase: str
    seconds: float
    summary: str  # one English sentence with the figures that matter


@dataclass(frozen=True)
class FrameLeftOut:
    what: LeftOut


@dataclass(frozen=True)
class Note:
    """Something worth a line in the log."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Something the user should act on; the run goes on."""

    text: str


@dataclass(frozen=True)
class RunFinished:
    mosaic: Path
    preview: Path
    used: int
    left_out: int
    seconds: float


Event = PhaseStarted | PhaseProgress | PhaseFinished | FrameLeftOut | Note | Warned | RunFinished


class Reporter(Protocol):
    """Who listens. Called from the thread that runs the pipeline."""

    def emit(self, event: Event) -> None: ...

    def cancelled(self) -> bool:
        """True when the user asked to stop; asked between tasks."""
        ...


class Silent:
    """A reporter that says nothing."""

    def emit(self, event: Event) -> None:
        del event

    def cancelled(self) -> bool:
        return False
