"""What a run has come to, and what stops a command, for programs: `--json`."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from zemosaic.events import (
    Event,
    FrameLeftOut,
    Made,
    ManyLeftOut,
    RunFinished,
    SeamsGraded,
    StrayTarget,
    TargetFailed,
    Vignetting,
    Warned,
)
from zemosaic.messages import Messages
from zemosaic.sentences import Sentences

__all__ = ["Account", "failed"]


class Account:
    """A listener that keeps what programs want to know."""

    def __init__(self, output: Path | None) -> None:
        self._words = Sentences(Messages("en"), None)
        self._told: dict[str, object] = {"output": str(output) if output else None, "mosaics": [], "seconds": None}
        self._left_out: list[dict[str, str]] = []
        self._warnings: list[str] = []
        self._seams: dict[str, str] = {}  # grade of each mosaic
        self.error: str | None = None  # what a person reads about it

    def emit(self, event: Event) -> None:
        match event:
            case FrameLeftOut(what):
                self._left_out.append({"file": str(what.path), "state": str(what.state), "reason": what.reason})
            case Warned(text):
                self._warnings.append(text)
            case ManyLeftOut() | StrayTarget() | TargetFailed() | Vignetting(unknown=True):
                self._warnings.append(self._words.line(event) or "")
            case SeamsGraded():
                self._seams[event.mosaic] = event.grade
            case RunFinished():
                self._told |= {"mosaics": [_plain(made) for made in event.mosaics], "seconds": round(event.seconds, 1)}

    def close(self) -> None:
        """Nothing is open."""

    def text(self, code: int) -> str:
        """The same as JSON."""
        return json.dumps(self.told(code), indent=1, ensure_ascii=False)

    def told(self, code: int) -> dict[str, object]:
        """Everything, with the exit code first."""
        rest = {
            "seams": list(self._seams.values()),
            "left_out": self._left_out,
            "warnings": self._warnings,
            "error": self.error,
        }
        return {"exit_code": code, **self._told, **rest}


def failed(command: str, code: int, error: str | None) -> str:
    """JSON in the place of what a command has to tell, where it has nothing to tell but why; that of a run has all keys."""
    if command != "run":
        return json.dumps({"exit_code": code, "error": error}, indent=1, ensure_ascii=False)
    account = Account(None)
    account.error = error
    return account.text(code)


def _plain(made: Made) -> dict[str, object]:
    return {field.name: _as_text(getattr(made, field.name)) for field in fields(made)}


def _as_text(value: object) -> object:
    if isinstance(value, tuple):
        return [_as_text(each) for each in value]
    return str(value) if isinstance(value, Path) else value
