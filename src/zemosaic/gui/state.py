"""A run as the window knows it: what state it is in, what it has said, what it made. No widget.

idle -> running -> done | stopped | failed | crashed
        running -> pausing -> paused -> running;   running, pausing, paused -> stopping -> stopped
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from zemosaic import events
from zemosaic.events import BlockMade, Event, FrameLeftOut, Made, PhaseProgress, RunFinished, SeamsGraded
from zemosaic.gui.engine import Crashed, End, Failed, Finished, Held, Stopped
from zemosaic.gui.progress import Progress
from zemosaic.messages import Messages, sentence
from zemosaic.model import LeftOut
from zemosaic.sentences import SERIOUS, Sentences

__all__ = ["ENDS", "Line", "LogLines", "Run", "Status", "end_in_words"]

MOST_LINES = 20_000  # of the log that are kept; the file has all


class Status(StrEnum):
    """What a run is doing; the last four are ends."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSING = "pausing"  # tasks under way are being finished
    PAUSED = "paused"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    CRASHED = "crashed"


ENDS = frozenset({Status.DONE, Status.STOPPED, Status.FAILED, Status.CRASHED})
END_OF = {Finished: Status.DONE, Stopped: Status.STOPPED, Failed: Status.FAILED, Crashed: Status.CRASHED}


@dataclass
class Run:
    """Follows one run."""

    progress: Progress = field(default_factory=Progress)
    status: Status = Status.IDLE
    end: End | None = None
    made: tuple[Made, ...] = ()
    left_out: list[LeftOut] = field(default_factory=list)
    grades: dict[str, SeamsGraded] = field(default_factory=dict)  # of each mosaic
    said: list[Event] = field(default_factory=list)  # all but progress and blocks

    @property
    def at_work(self) -> bool:
        return self.status not in ENDS and self.status is not Status.IDLE

    def begin(self) -> None:
        self.status = Status.RUNNING

    def ask(self, status: Status) -> bool:
        """PAUSING, STOPPING or RUNNING, as the user asks; whether that can be asked now."""
        allowed = {
            Status.PAUSING: (Status.RUNNING,),
            Status.RUNNING: (Status.PAUSING, Status.PAUSED),
            Status.STOPPING: (Status.RUNNING, Status.PAUSING, Status.PAUSED),
        }
        if self.status not in allowed[status]:
            return False
        self.status = status
        return True

    def take(self, value: object) -> None:
        """Something that the engine said."""
        if isinstance(value, End):
            self.end, self.status = value, END_OF[type(value)]
            self.progress.hold(True)
        elif isinstance(value, Held):
            self.progress.hold(value.now)
            if value.now and self.status is Status.PAUSING:
                self.status = Status.PAUSED
        elif isinstance(value, Event):
            self.progress.take(value)
            self._note(value)

    def _note(self, event: Event) -> None:
        if isinstance(event, PhaseProgress | BlockMade):
            return
        if isinstance(event, FrameLeftOut):
            self.left_out.append(event.what)
        elif isinstance(event, SeamsGraded):
            self.grades[event.mosaic] = event
        elif isinstance(event, RunFinished):
            self.made = event.mosaics
        if len(self.said) < MOST_LINES:
            self.said.append(event)


@dataclass(frozen=True)
class Line:
    """A line of the log."""

    text: str
    level: str  # "note", "left_out", "warning"


class LogLines:
    """Events as lines in a language; frames that are left out are all named."""

    def __init__(self, language: str) -> None:
        self._words = Sentences(Messages(language), None)

    def lines(self, some: Sequence[Event]) -> list[Line]:
        found = []
        for event in some:
            text = self._words.line(event)
            if text is not None:
                found.append(Line(text, level_of(event)))
        return found


def level_of(event: Event) -> str:
    if isinstance(event, FrameLeftOut):
        return "left_out"
    if isinstance(event, events.Vignetting):
        return "warning" if event.unknown else "note"
    return "warning" if isinstance(event, SERIOUS) else "note"


def end_in_words(end: End, say: Messages) -> str:
    """What became of a run, and what to do."""
    match end:
        case Finished():
            return say("gui.end.done")
        case Stopped():
            return say("gui.end.stopped")
        case Failed(kind="memory"):
            return say("error.memory")
        case Failed(kind="unexpected"):
            return say("gui.end.unexpected", text=end.text, log=end.log or "")
        case Failed():
            return say(f"error.{end.kind}", text=sentence(end.text, say))
        case Crashed():
            return say(f"gui.end.crashed.{_cause(end.code)}", code=end.code)


def _cause(code: int | None) -> str:
    killed = getattr(signal, "SIGKILL", None)
    if killed is not None and code == -killed:
        return "killed"
    return "broken"
