"""Programs of others: where they are found, and how they are run.

Never through a shell, always in a folder of ours, with a time limit after which the whole process tree is ended. Names
of the user's files never reach a program: it is given files that we wrote, by names that we chose.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zemosaic.errors import FrameError, SettingsError

__all__ = ["Finished", "Trace", "find_program", "run_program", "scratch_folder", "traces"]

WINDOWS = sys.platform == "win32"
OUTPUT_KEPT = 20_000  # characters of what a program said

Trace = tuple[str, int, int]  # name, bytes and modification time in ns of a file


@dataclass(frozen=True)
class Finished:
    """A program that came to its end by itself."""

    code: int
    output: str  # the end of what it said, both streams
    seconds: float


def find_program(setting: str, names: Sequence[str], places: Sequence[Path]) -> Path | None:
    """A program from its setting, else from the PATH, else from the usual places; None when there is none.

    Raises
    ------
    SettingsError
        The setting names something that is no program and no folder with one.
    """
    endings = ("", ".exe") if WINDOWS else ("",)
    if setting:
        given = Path(setting).expanduser()
        inside = [given / f"{name}{ending}" for name in names for ending in endings]
        found = next((path.absolute() for path in (given, *inside) if _runs(path)), None)
        if found is None:
            raise SettingsError(
                f"{given} is no program and holds no {' or '.join(names)}: correct the setting or empty it"
            )
        return found
    for name in names:
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path).absolute()
    return next(
        (path for place in places for name in names for ending in endings if _runs(path := place / f"{name}{ending}")),
        None,
    )


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def traces(paths: Iterable[Path]) -> tuple[Trace, ...]:
    """By which it shows that files have been replaced, added or removed; those that cannot be looked at are left out."""
    found = []
    for path in sorted(set(paths)):
        with suppress(OSError):
            stat = path.stat()
            found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` (made when absent) that is removed with all that a program left in it."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="solver-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder).absolute()


def run_program(arguments: Sequence[str | Path], folder: Path, timeout: float) -> Finished:
    """Run a program in `folder` and wait for its end, at most `timeout` seconds.

    Raises
    ------
    FrameError
        It could not be started, or it was ended because its time was up.
    """
    name = Path(arguments[0]).name
    began = time.monotonic()
    with (folder / "output.txt").open("w+b") as output:
        try:
            process = _start([str(argument) for argument in arguments], folder, output.fileno())
        except OSError as error:
            raise FrameError(f"{name} cannot be started ({error.strerror or error}).") from error
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise FrameError(f"{name} found nothing in {timeout:g} s and was stopped.") from None
        finally:
            if process.poll() is None:
                _end_tree(process)
        output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT_KEPT))
        said = output.read().decode(errors="replace")
    return Finished(code, said, time.monotonic() - began)


def _start(arguments: list[str], folder: Path, output: int) -> subprocess.Popen[bytes]:
    """In a process group of its own, so that all its children can be ended with it; without a window."""
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return subprocess.Popen(
        arguments,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=not WINDOWS,
        creationflags=flags,
    )


def _end_tree(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
