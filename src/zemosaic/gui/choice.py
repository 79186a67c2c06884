"""Which frames are selected and which the user leaves out: one value that the table and the sky view share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

__all__ = ["FrameChoice"]


class FrameChoice:
    """Selected and excluded files, by their paths; whoever listens is told of every change.

    Files are excluded one by one, or by a pattern that somebody wrote: these cannot be taken back here.

    on_refused : called with the files that were to be taken back and that a pattern keeps out
    """

    def __init__(
        self, excluded: Iterable[str] = (), on_refused: Callable[[frozenset[str]], object] | None = None
    ) -> None:
        self._selected: frozenset[str] = frozenset()
        self._own, self._on_refused = frozenset(excluded), on_refused
        self._rules: dict[str, str] = {}
        self._excluded = self._own
        self._listeners: list[Callable[[], object]] = []

    @property
    def selected(self) -> frozenset[str]:
        return self._selected

    @property
    def excluded(self) -> frozenset[str]:
        """All of them, by a pattern or one by one."""
        return self._excluded

    @property
    def own(self) -> frozenset[str]:
        """Those that were excluded one by one."""
        return self._own

    @property
    def rules(self) -> Mapping[str, str]:
        """The pattern that excludes a file, by the file."""
        return self._rules

    def listen(self, listener: Callable[[], object]) -> None:
        """Call this after every change, with nothing."""
        self._listeners.append(listener)

    def select(self, files: Iterable[str]) -> None:
        """Select these and no others."""
        self._become(frozenset(files), self._own)

    def exclude(self, files: Iterable[str]) -> None:
        """Leave these out too."""
        self._become(self._selected, self._own.union(frozenset(files).difference(self._rules)))

    def include(self, files: Iterable[str]) -> None:
        """Leave these out no longer, as far as no pattern says so."""
        files = frozenset(files)
        self._become(self._selected, self._own - files)
        refused = files.intersection(self._rules)
        if refused and self._on_refused is not None:
            self._on_refused(refused)

    def rule(self, rules: Mapping[str, str]) -> None:
        """Leave these out, as a pattern says, and no others of those that patterns said before."""
        self._rules = dict(rules)
        self._become(self._selected, self._own)

    def toggle(self, files: Iterable[str]) -> None:
        """Leave them all out; take them all back when they all were."""
        files = frozenset(files)
        if files <= self._excluded:
            self.include(files)
        else:
            self.exclude(files)

    def _become(self, selected: frozenset[str], own: frozenset[str]) -> None:
        excluded, before = own.union(self._rules), (self._selected, self._excluded)
        self._own = own
        if (selected, excluded) == before:
            return
        self._selected, self._excluded = selected, excluded
        for listener in self._listeners:
            listener()
