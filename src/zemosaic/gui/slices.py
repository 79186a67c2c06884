"""Long work on the Tk thread, cut into slices so short that the window answers in between."""

from __future__ import annotations

import time
import tkinter as tk
from collections.abc import Callable, Iterator

__all__ = ["SLICE", "Later", "Sliced"]

SLICE = 0.012  # s
PAUSE = 1  # ms between two slices, in which events are served


class Later:
    """Something that is done when nobody has asked for it again for a while, and not at all when its widget is gone."""

    def __init__(self, widget: tk.Misc, delay: int, action: Callable[[], object]) -> None:
        self._widget, self._delay, self._action = widget, delay, action
        self._after = ""
        widget.bind("<Destroy>", self._gone, add=True)

    @property
    def waiting(self) -> bool:
        return bool(self._after)

    def start(self) -> None:
        """Wait `delay` ms from now."""
        self.cancel()
        self._after = self._widget.after(self._delay, self.now)

    def now(self) -> None:
        self.cancel()
        self._action()

    def cancel(self) -> None:
        if self._after:
            self._widget.after_cancel(self._after)
            self._after = ""

    def _gone(self, event: tk.Event[tk.Misc]) -> None:
        if event.widget is self._widget:
            self.cancel()


class Sliced:
    """One long job of a widget at a time; a new one takes the place of the old one, and the widget's end is its end.

    A job is an iterator; between its steps (at most some milliseconds each) it may be interrupted.

    Parameters
    ----------
    budget : s; a slice ends with the step in which it is over. 0: a step is a slice, for steps that make Tk draw much
    """

    def __init__(self, widget: tk.Misc, budget: float = SLICE) -> None:
        self._widget, self._budget = widget, budget
        self._after = ""
        self._steps: Iterator[object] = iter(())
        self._done: Callable[[], object] | None = None
        widget.bind("<Destroy>", self._gone, add=True)

    @property
    def busy(self) -> bool:
        return bool(self._after)

    def start(self, steps: Iterator[object], done: Callable[[], object] | None = None) -> None:
        """Begin with the first slice as soon as Tk is idle; `done` is called after the last step."""
        self.cancel()
        self._steps, self._done = steps, done
        self._after = self._widget.after(PAUSE, self._slice)

    def cancel(self) -> None:
        if self._after:
            self._widget.after_cancel(self._after)
            self._after = ""

    def finish(self) -> None:
        """Do what is left at once."""
        if self._after:
            self.cancel()
            for _ in self._steps:
                continue
            self._end()

    def _slice(self) -> None:
        self._after = ""
        until = time.perf_counter() + self._budget
        for _ in self._steps:
            if time.perf_counter() >= until:
                self._after = self._widget.after(PAUSE, self._slice)
                return
        self._end()

    def _end(self) -> None:
        if self._done is not None:
            self._done()

    def _gone(self, event: tk.Event[tk.Misc]) -> None:
        if event.widget is self._widget:
            self.cancel()
