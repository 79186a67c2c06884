"""Other programs: the file manager, the usual viewer, Siril."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

__all__ = ["find_siril", "open_with", "show_path"]

SIRIL = (
    r"C:\Program Files\Siril\bin\siril.exe",
    r"C:\Program Files\SiriL\bin\siril.exe",
    "/Applications/Siril.app/Contents/MacOS/Siril",
    "/Applications/Siril.app/Contents/MacOS/siril",
)


def find_siril() -> Path | None:
    """The program, where it is installed in one of the usual places."""
    found = shutil.which("siril")
    if found:
        return Path(found)
    return next((path for path in map(Path, SIRIL) if path.is_file()), None)


def show_path(path: Path) -> bool:
    """Show a file or a folder in what the system has for it; whether that could be begun."""
    if sys.platform == "win32":
        try:
            os.startfile(path)
        except OSError:
            return False
        return True
    return open_with("open" if sys.platform == "darwin" else "xdg-open", path)


def open_with(program: str | Path, path: Path) -> bool:
    """Begin a program with a file, and leave it to itself; whether that could be done."""
    try:
        process = subprocess.Popen(
            [str(program), str(path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except OSError:
        return False
    threading.Thread(target=process.wait, daemon=True).start()  # else it stays as a zombie when it has ended
    return True
