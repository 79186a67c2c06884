"""The tree of errors.

    ZeMosaicError
    ├── FrameError      this frame cannot be used: skip it, say why, go on
    └── MosaicError     the run cannot go on: stop, say why, keep what was done
        ├── SettingsError   a setting, a flag or a configuration file is wrong
        ├── InputError      the input as a whole gives nothing to work with
        ├── OutputError     the output cannot be written
        ├── WorkerError     a worker process died twice on the same task
        └── Cancelled       the user asked to stop

Every message says what, which file or setting, why, and what to do.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Cancelled",
    "FrameError",
    "InputError",
    "MosaicError",
    "OutputError",
    "SettingsError",
    "WorkerError",
    "ZeMosaicError",
]  # what is raised


class ZeMosaicError(Exception):
    """Root of everything that ZeMosaic raises on purpose."""


class FrameError(ZeMosaicError):
    """One frame cannot be used; the run goes on without it."""


class MosaicError(ZeMosaicError):
    """The run stops; what was done is kept."""


@dataclass(frozen=True)
class WrongSetting:
    """Why one setting cannot be what somebody wants it to be."""

    name: str  # as it was given
    kind: str  # in a word, as `zemosaic.settings_files.refused` has it; `unknown`: there is no such setting
    words: str  # with the name, what is expected and what was got


class SettingsError(MosaicError):
    """One or several settings are wrong; the message lists them all, and so does `wrong` where each is wrong by itself."""

    def __init__(self, message: str, wrong: Sequence[WrongSetting] = ()) -> None:
        super().__init__(message)
        self.wrong = tuple(wrong)


class InputError(MosaicError):
    """The input as a whole gives nothing to work with."""


class OutputError(MosaicError):
    """The output or the workspace cannot be written."""

    @classmethod
    def writing(cls, path: Path, reason: object, needed: int = 0) -> OutputError:
        """What a user reads when a file cannot be written: which, why, what it needs and what is free, what to do.

        reason : the system's error, or words
        needed : bytes of the file; 0 where nobody knows
        """
        why = [str((isinstance(reason, OSError) and reason.strerror) or reason)]
        why += [f"it needs {_size(needed)}"] if needed else []
        with suppress(OSError):  # the folder is gone
            why.append(f"{_size(shutil.disk_usage(path.parent).free)} are free")
        return cls(
            f"{path}: cannot be written ({'; '.join(why)}). Make room or choose another output folder, then start the same "
            "command again; it goes on from here"
        )


def _size(number: int) -> str:
    """Bytes for people."""
    return f"{number / 2**20:.1f} MB" if number >= 2**20 else f"{number / 2**10:.1f} kB"


class WorkerError(MosaicError):
    """A worker process died twice on the same task."""


class Cancelled(MosaicError):  # noqa: N818 - no error of anybody
    """The user asked to stop; the next run of the same command goes on."""
