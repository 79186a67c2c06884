"""The engine in a process of its own: what it says comes as values over a pipe, what it is told goes the other way.

Nothing here knows a widget. The window asks `Engine.news` a few times a second and never waits.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from zemosaic.events import Made
from zemosaic.model import LeftOut
from zemosaic.settings import Settings

__all__ = ["Crashed", "Engine", "Failed", "Finished", "Held", "Job", "Order", "Result", "Stopped"]

Order = str
PAUSE, RESUME, STOP = "pause", "resume", "stop"  # what the engine can be told
PATIENCE = 5.0  # s for a process that was asked to end by itself


@dataclass(frozen=True)
class Job:
    """A run that is wanted."""

    inputs: tuple[Path, ...]
    output: Path
    settings: Settings
    notes: tuple[str, ...] = ()
    fresh: bool = False


@dataclass(frozen=True)
class Result:
    """What a run has made, and where."""

    output: Path
    made: tuple[Made, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Held:
    """The run pauses, or goes on."""

    now: bool


@dataclass(frozen=True)
class Finished:
    """The end: it was done."""

    result: Any


@dataclass(frozen=True)
class Stopped:
    """The end: as the user asked."""


@dataclass(frozen=True)
class Failed:
    """The end: an error, told in English by the engine."""

    kind: str  # of the error: its class, "memory" or "unexpected"
    text: str
    log: Path | None = None


@dataclass(frozen=True)
class Crashed:
    """The end, and the engine said nothing: it was killed, or broke."""

    code: int | None  # of the process; negative: the signal that ended it


End = Finished | Stopped | Failed | Crashed


class Engine:
    """A function at work in a spawned process: `work(argument, pipe)`, which sends events and then an `End` into the pipe."""

    def __init__(self, work: Callable[[Any, Connection], None], argument: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        self._news: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._process = context.Process(target=work, args=(argument, self._theirs), name="zemosaic-engine")
        self._unwanted = threading.Event()
        self.end: End | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def news(self, seconds: float) -> list[object]:
        """What has arrived, as much as can be taken in so many seconds; the last value of all is an `End`."""
        until, found = time.monotonic() + seconds, list[object]()
        with contextlib.suppress(queue.Empty):
            while time.monotonic() < until:
                value = self._news.get_nowait()
                found.append(value)
                if isinstance(value, End):
                    self.end = value
                    break
        return found

    def tell(self, order: Order) -> None:
        """Pause, resume or stop; an engine that has gone is told nothing."""
        with contextlib.suppress(OSError, ValueError):
            self._pipe.send(order)

    def kill(self) -> None:
        """End it at once, with its workers, which follow it; what it kept on the disk stays."""
        self._unwanted.set()
        if self._process.pid is not None:
            self._process.kill()

    def close(self, seconds: float = PATIENCE) -> None:
        """Wait until it has gone, and end it after so many seconds."""
        self._listener.join(seconds)
        if self._listener.is_alive():
            self.kill()
            self._listener.join()

    def _listen(self) -> None:
        """Starts the process (which takes a moment) and passes on what it says, until it has said its last and has gone."""
        self._process.start()
        self._theirs.close()
        if self._unwanted.is_set():
            self._process.kill()
        end: End | None = None
        with contextlib.suppress(EOFError, OSError):
            while end is None:
                value = self._pipe.recv()
                if isinstance(value, End):
                    end = value
                else:
                    self._news.put(value)
        self._process.join(PATIENCE if end else None)
        self._news.put(end or Crashed(self._process.exitcode))
        self._pipe.close()
