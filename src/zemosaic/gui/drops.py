"""Folders and files that are dropped onto the window, where tkinterdnd2 is installed."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["accept_drops"]

AS_TEXT = "set ::tcl_version [format %s $::tcl_version]"


def accept_drops(widget: tk.Misc, take: Callable[[Sequence[str]], None]) -> bool:
    """Call `take` with the paths that are dropped onto a widget or what it holds; False where the platform does not give it."""
    try:
        import tkinterdnd2
    except ImportError:
        return False
    try:
        if not widget.tk.call("package", "provide", "tkdnd"):
            widget.tk.eval(AS_TEXT)  # tkinterdnd2 0.7 breaks when a script has compared it, as a number, before
            tkinterdnd2.TkinterDnD._require(widget.winfo_toplevel())  # `require` since 0.7 only
    except (RuntimeError, tk.TclError):  # its library is for another machine
        return False

    def dropped(event: Any) -> str:
        take(widget.tk.splitlist(event.data))
        return str(event.action)  # what was done with them, for the file manager

    target: Any = widget  # the package gives every widget these methods
    target.drop_target_register(tkinterdnd2.DND_FILES)
    target.dnd_bind("<<Drop>>", dropped)
    return True
