"""Keys: what is done most is one key away, and whatever has the keyboard answers Return."""

from __future__ import annotations

import sys
import tkinter as tk
from collections.abc import Callable, Mapping
from tkinter import ttk

__all__ = ["NAME", "answer_return", "bind_shortcuts"]

Action = Callable[[], object]
MODIFIER, NAME = ("Command", "⌘") if sys.platform == "darwin" else ("Control", "Ctrl")


def bind_shortcuts(root: tk.Tk, actions: Mapping[str, Action]) -> None:
    """Actions by a key with Control, on macOS with Command, wherever the keyboard is; "o", "Return", "1"."""
    for key, action in actions.items():
        root.bind(f"<{MODIFIER}-Key-{key}>", lambda _, action=action: _done(action))  # type: ignore[misc]


def _done(action: Action) -> str:
    action()
    return "break"


def answer_return(root: tk.Tk) -> None:
    """Return presses buttons, as space does, and opens choices; Control-A marks all that stands in a field."""
    for kind in ("TButton", "TCheckbutton", "TRadiobutton"):
        root.bind_class(kind, "<Return>", lambda event: event.widget.invoke())
        root.bind_class(kind, f"<{MODIFIER}-Return>", lambda _: None)  # which is a shortcut
    for key in ("Return", "space"):
        root.bind_class("TCombobox", f"<{key}>", _open_choices)
    root.bind_class("TEntry", "<Control-a>", _select_all)  # Tk moves to the start of the line


def _open_choices(event: tk.Event[tk.Misc]) -> None:
    if isinstance(event.widget, ttk.Combobox) and event.widget.instate(["!disabled"]):
        event.widget.tk.call("ttk::combobox::Post", event.widget)


def _select_all(event: tk.Event[tk.Misc]) -> str:
    if isinstance(event.widget, ttk.Entry):
        event.widget.select_range(0, "end")
        event.widget.icursor("end")
    return "break"
