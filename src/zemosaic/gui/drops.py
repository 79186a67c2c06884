"""Folders and files that are dropped onto the window, where tkinterdnd2 is installed."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["accept_drops"]


def accept_drops(widget: tk.Misc, take: Callable[[Sequence[str]], None]) -> bool:
    """Call `take` with the paths that are dropped onto a widget; False where the platform does not give it."""
    try:
        import tkinterdnd2
    except ImportError:
        return False
    try:
        tkinterdnd2.TkinterDnD._require(widget.winfo_toplevel())
    except (RuntimeError, tk.TclError):  # its library is for another machine
        return False
    target: Any = widget  # the package gives every widget these methods
    target.drop_target_register(tkinterdnd2.DND_FILES)
    target.dnd_bind("<<Drop>>", lambda event: take(widget.tk.splitlist(event.data)))
    return True
