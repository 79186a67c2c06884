"""What a window is opened with: a value that whoever asks for one makes, and the window takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zemosaic.settings import Settings

__all__ = ["Opening"]


@dataclass(frozen=True)
class Opening:
    """What the window is filled in with."""

    inputs: tuple[Path, ...]
    output: Path | None
    settings: Settings
    kept: Settings  # the same without flags: those of the user's files
    notes: tuple[str, ...]  # a line for each thing to know about the settings
