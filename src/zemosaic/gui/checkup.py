"""Whether the window can be opened here: `zemosaic doctor`."""

from __future__ import annotations

import importlib.util
import sys

from zemosaic.doctor import ABSENT, OK, Finding, version_of
from zemosaic.gui.launch import PACKAGES

__all__ = ["window_found"]


def window_found() -> Finding:
    """Opens a window that is never shown, and closes it."""
    python = {"python": sys.executable}
    try:
        import tkinter
    except ImportError:
        return Finding("window", ABSENT, "tkinter", python)
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            return Finding("window", ABSENT, "package", {**python, "name": name})
    try:
        root = tkinter.Tk()
        root.withdraw()
        screen = f"{root.winfo_screenwidth()} x {root.winfo_screenheight()}"
        root.destroy()
    except tkinter.TclError as error:
        return Finding("window", ABSENT, "screen", {"reason": str(error)})
    versions = {"tk": tkinter.TkVersion, "theme": version_of("sv-ttk") or "?"}
    return Finding("window", OK, "good", {**versions, "screen": screen})
