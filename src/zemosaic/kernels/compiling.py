"""How long compiling took: what a computer does once is no measure of how fast it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from numba.core.event import install_timer

__all__ = ["Timed"]

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Timed(Generic[Task, Result]):
    """A function of a task; beside its result the seconds that kernels took to compile meanwhile, 0.0 where all were known."""

    function: Callable[[Task], Result]

    @property
    def __name__(self) -> str:
        return self.function.__name__

    def __call__(self, task: Task) -> tuple[Result, float]:
        seconds: list[float] = []
        with install_timer("numba:compile", seconds.append):
            result = self.function(task)
        return result, sum(seconds)
