"""Which frames are selected and which the user leaves out: one value that the table and the sky view share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["FrameChoice"]


class FrameChoice:
    """Selected and excluded files, by their paths; whoever listens is told of every change."""

    def __init__(self, excluded: Iterable[str] = ()) -> None:
        self._selected: frozenset[str] = frozenset()
        self._excluded = frozenset(excluded)
        self._listeners: list[Callable[[], object]] = []

    @property
    def selected(self) -> frozenset[str]:
        return self._selected

    @property
    def excluded(self) -> frozenset[str]:
        return self._excluded

    def listen(self, listener: Callable[[], object]) -> None:
        """Call this after every change, with nothing."""
        self._listeners.append(listener)

    def select(self, files: Iterable[str]) -> None:
        """Select these and no others."""
        self._become(frozenset(files), self._excluded)

    def exclude(self, files: Iterable[str]) -> None:
        """Leave these out too."""
        self._become(self._selected, self._excluded.union(files))

    def include(self, files: Iterable[str]) -> None:
        """Leave these out no longer."""
        self._become(self._selected, self._excluded.difference(files))

    def toggle(self, files: Iterable[str]) -> None:
        """Leave them all out; take them all back when they all were."""
        files = frozenset(files)
        if files <= self._excluded:
            self.include(files)
        else:
            self.exclude(files)

    def _become(self, selected: frozenset[str], excluded: frozenset[str]) -> None:
        if (selected, excluded) == (self._selected, self._excluded):
            return
        self._selected, self._excluded = selected, excluded
        for listener in self._listeners:
            listener()
