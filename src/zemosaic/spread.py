"""Work that can be done side by side, and who does it: threads of the caller, or the caller itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

__all__ = ["Spread", "one_by_one"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Results of `function` for each item, in the order of the items, as `map` and `Executor.map` give them."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]: ...


def one_by_one(function: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
    """In the caller's own thread."""
    return map(function, items)
