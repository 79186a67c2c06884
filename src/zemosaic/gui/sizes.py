"""Lengths on screens of any resolution."""

from __future__ import annotations

import re
import subprocess
import tkinter as tk
from contextlib import suppress

__all__ = ["follow_desktop", "px", "scale_of"]

USUAL = 96.0  # dpi of the screens that lengths are written for
POINT = 72.0  # of an inch
PATIENCE = 2.0  # s
XFT = re.compile(r"^Xft\.dpi:\s*([0-9.]+)", re.MULTILINE)


def scale_of(widget: tk.Misc) -> float:
    """Pixels of this screen for one at 96 dpi; 1 where the system says less (macOS counts in points of 72 dpi)."""
    return max(widget.winfo_fpixels("1i") / USUAL, 1.0)


def px(widget: tk.Misc, length: float) -> int:
    """Pixels of this screen for so many at 96 dpi."""
    return round(length * scale_of(widget))


def follow_desktop(root: tk.Tk) -> None:
    """On X: take the resolution that the desktop was set to (Xft.dpi), which Tk does not know of."""
    if root.tk.call("tk", "windowingsystem") != "x11":
        return
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(["xrdb", "-query"], capture_output=True, text=True, timeout=PATIENCE, check=False)
        if found := XFT.search(told.stdout):
            root.tk.call("tk", "scaling", max(float(found[1]), USUAL) / POINT)
