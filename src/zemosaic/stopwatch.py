"""How long the phases of a run take, and the memory that its processes on this machine hold meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

__all__ = ["PhaseTime", "Stopwatch"]

EVERY = 0.5  # s between two looks, which cost some milliseconds each


@dataclass(frozen=True)
class PhaseTime:
    name: str
    seconds: float
    items: int
    memory: float  # MB, the most that was seen in all processes together, each by itself; NaN when unknown


class Stopwatch:
    """Keeps the time and the memory of each phase of a run, in their order; `clock` may stand while the run pauses."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.times: list[PhaseTime] = []

    @contextmanager
    def phase(self, name: str, items: int) -> Iterator[None]:
        """Measures what is done inside; a phase that is left by an error is not kept."""
        began, peak = self._clock(), [_resident()]
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(over, peak), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        memory = max(peak[0], _resident()) / 2**20
        self.times.append(PhaseTime(name, self._clock() - began, items, memory))


def _watch(over: threading.Event, peak: list[int]) -> None:
    """Raise `peak` to what is held, until it is over."""
    while not over.wait(EVERY):
        peak[0] = max(peak[0], _resident())


def _resident() -> int:
    """Bytes of this process and of all that it has started; of this one alone where the system does not list the others."""
    me = psutil.Process()
    try:
        started = me.children(recursive=True)
    except (psutil.Error, OSError):  # a table of processes that changes while it is read, or that a container hides
        started = []
    return sum(map(_held, (me, *started)))


def _held(process: psutil.Process) -> int:
    """Resident bytes; 0 of a process that has just ended, or of which the system does not tell."""
    try:
        return int(process.memory_info().rss)
    except (psutil.Error, OSError):
        return 0
