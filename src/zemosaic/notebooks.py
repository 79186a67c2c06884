"""How a run looks in a notebook: a line for each phase, which moves on where it stands."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from zemosaic import events
from zemosaic.events import Event
from zemosaic.messages import Messages
from zemosaic.reporters import PlainLines

__all__ = ["MovingLines", "moving_line"]

LOOK_EVERY = 0.5  # s between two states of a line that moves on


class Line(Protocol):
    """One line of an output, which can say something else later."""

    def say(self, text: str) -> None: ...


class _CellLine:
    """A line in the output of the cell at work; a saved notebook has what it said last."""

    def __init__(self, text: str) -> None:
        display = importlib.import_module("IPython.display").display
        self._handle: Any = display(self._bundle(text), raw=True, display_id=True)

    def say(self, text: str) -> None:
        self._handle.update(self._bundle(text), raw=True)

    @staticmethod
    def _bundle(text: str) -> dict[str, str]:
        return {"text/plain": text}


def moving_line() -> Callable[[str], Line] | None:
    """What makes lines that move on, in the kernel of a notebook (Jupyter, VS Code, Colab); None elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return _CellLine if hasattr(shell, "kernel") else None


class MovingLines(PlainLines):
    """A line for each phase: what it does, how far it is, in the end what came of it; all else is printed below."""

    def __init__(self, stream: TextIO, messages: Messages, line: Callable[[str], Line]) -> None:
        super().__init__(stream, messages, None, every=LOOK_EVERY)
        self._new_line = line
        self._line: Line | None = None

    def _put(self, text: str, event: Event) -> None:
        if isinstance(event, events.PhaseStarted):
            self._line = self._new_line(text)
        elif self._line is not None and isinstance(event, events.PhaseProgress | events.PhaseFinished):
            self._line.say(text)
            if isinstance(event, events.PhaseFinished):
                self._line = None
        else:
            super()._put(text, event)
