"""How long the phases of a run take, and the memory that its processes on this machine hold meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zemosaic.processes import memory_of_tree

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
        began, peak = self._clock(), [memory_of_tree(os.getpid())]
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(over, peak), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        memory = max(peak[0], memory_of_tree(os.getpid())) / 2**20
        self.times.append(PhaseTime(name, self._clock() - began, items, memory))


def _watch(over: threading.Event, peak: list[float]) -> None:
    """Raise `peak` to what is held, until it is over."""
    while not over.wait(EVERY):
        peak[0] = max(peak[0], memory_of_tree(os.getpid()))
