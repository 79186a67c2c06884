"""A question that has to be answered, in the window's own language and look."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Sequence
from dataclasses import dataclass
from tkinter import ttk

from zemosaic.gui.sizes import px

__all__ = ["Choice", "ask"]

WIDTH = 420  # px at 96 dpi


@dataclass(frozen=True)
class Choice:
    value: str
    text: str
    accent: bool = False  # the one that Return takes


def ask(parent: tk.Misc, title: str, text: str, choices: Sequence[Choice]) -> str:
    """Show a question and wait; the value of the choice, "" for Escape and for a closed window."""
    top = parent.winfo_toplevel()
    window = tk.Toplevel(top)
    window.withdraw()
    window.title(title)
    window.transient(top)
    window.resizable(False, False)
    answer = tk.StringVar(window, "")
    body = ttk.Frame(window, padding=px(top, 20))
    body.pack(fill="both", expand=True)
    ttk.Label(body, text=title, style="Head.TLabel").pack(anchor="w")
    ttk.Label(body, text=text, wraplength=px(top, WIDTH)).pack(anchor="w", pady=px(top, 12))
    row = ttk.Frame(body)
    row.pack(anchor="e")
    first: tk.Misc = window

    def done(value: str) -> None:
        answer.set(value)
        window.destroy()

    for choice in choices:
        button = ttk.Button(row, text=choice.text, command=lambda value=choice.value: done(value))  # type: ignore[misc]
        button.pack(side="left", padx=(px(top, 8), 0))
        if choice.accent:
            button.configure(style="Accent.TButton")
            first = button
    window.bind("<Escape>", lambda _: done(""))
    window.protocol("WM_DELETE_WINDOW", lambda: done(""))
    window.update_idletasks()
    x = top.winfo_rootx() + (top.winfo_width() - window.winfo_reqwidth()) // 2
    y = top.winfo_rooty() + (top.winfo_height() - window.winfo_reqheight()) // 3
    window.geometry(f"+{max(x, 0)}+{max(y, 0)}")
    window.deiconify()
    window.wait_visibility()
    window.grab_set()
    first.focus_force()
    top.wait_window(window)
    return answer.get()
