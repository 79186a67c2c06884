"""What the window remembers from one day to the next, in a file of its own beside the user's settings."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from zemosaic import settings_files

__all__ = ["FILE_NAME", "THEMES", "Remembered", "load", "save"]

FILE_NAME = "window.json"
THEMES = ("system", "light", "dark")
PRIVATE = 0o600


@dataclass(frozen=True)
class Remembered:
    """All of it; what is not known yet has the value of a first start."""

    geometry: str = ""  # as Tk writes it, "1280x720+10+10"
    theme: str = "system"
    language: str = ""  # "": that of the system
    inputs: tuple[str, ...] = ()
    output: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)  # those that differ from the user's files


def path() -> Path:
    return settings_files.user_file().with_name(FILE_NAME)


def load() -> Remembered:
    """What is in the file, as far as it can be used: a window opens whatever lies there."""
    found: object = None
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path().read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        return Remembered()
    inputs, settings = found.get("inputs"), found.get("settings")
    theme = found.get("theme")
    return Remembered(
        geometry=_text(found.get("geometry")),
        theme=theme if theme in THEMES else "system",
        language=_text(found.get("language")),
        inputs=tuple(filter(None, map(_text, inputs))) if isinstance(inputs, list) else (),
        output=_text(found.get("output")),
        settings=settings if isinstance(settings, dict) else {},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def save(what: Remembered) -> None:
    """Write the file, whole or not at all, for nobody else to read: a key may be among the settings.

    Raises OSError.
    """
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(asdict(what), stream, indent=2, ensure_ascii=False)
    temporary.replace(file)
