"""A frame that scrolls up and down, by bar, wheel and keys."""

from __future__ import annotations

import tkinter as tk
from tkinter import ttk

from zemosaic.gui.shades import shades
from zemosaic.gui.sizes import px

__all__ = ["Scrolled"]

STEP = 40  # px at 96 dpi for one notch of the wheel


class Scrolled(ttk.Frame):
    """What is packed into `inside` scrolls. Widgets get the wheel by `wheel(widget)`, which keeps it from changing values."""

    def __init__(self, parent: tk.Misc) -> None:
        super().__init__(parent)
        self.canvas = tk.Canvas(self, highlightthickness=0, borderwidth=0, takefocus=False)
        bar = ttk.Scrollbar(self, orient="vertical", command=self.canvas.yview, takefocus=False)
        self.canvas.configure(yscrollcommand=bar.set, yscrollincrement=px(self, STEP))
        self.canvas.grid(row=0, column=0, sticky="nsew")
        bar.grid(row=0, column=1, sticky="ns")
        self.columnconfigure(0, weight=1)
        self.rowconfigure(0, weight=1)
        self.inside = ttk.Frame(self.canvas)
        window = self.canvas.create_window(0, 0, window=self.inside, anchor="nw")
        self.inside.bind("<Configure>", lambda _: self.canvas.configure(scrollregion=self.canvas.bbox("all")))
        self.canvas.bind("<Configure>", lambda event: self.canvas.itemconfigure(window, width=event.width))
        self._tag = f"Scrolled{self.winfo_id()}"
        for event, lines in (("<Button-4>", -1), ("<Button-5>", 1)):
            self.bind_class(self._tag, event, lambda _, lines=lines: self._scroll(lines))  # type: ignore[misc]
        self.bind_class(self._tag, "<MouseWheel>", lambda event: self._scroll(-1 if event.delta > 0 else 1))
        self.wheel(self.canvas)
        self.wheel(self.inside)
        self._colour()
        self.bind("<<ThemeChanged>>", lambda _: self._colour(), add=True)

    def wheel(self, widget: tk.Misc) -> None:
        """Let the wheel over this widget scroll, before whatever its class does with it."""
        widget.bindtags((self._tag, *widget.bindtags()))

    def show(self, widget: tk.Widget, *, top: bool = False) -> None:
        """Bring a widget inside into view, at the top when asked; it has to have its place already."""
        whole = max(self.inside.winfo_height(), 1)
        y = widget.winfo_rooty() - self.inside.winfo_rooty()
        first, last = (edge * whole for edge in self.canvas.yview())
        if top or y < first:
            self.canvas.yview_moveto(y / whole)
        elif y + widget.winfo_height() > last:
            self.canvas.yview_moveto((y + widget.winfo_height() - (last - first)) / whole)

    def _scroll(self, lines: int) -> str:
        if self.inside.winfo_height() > self.canvas.winfo_height():
            self.canvas.yview_scroll(lines, "units")
        return "break"

    def _colour(self) -> None:
        self.canvas.configure(background=shades(self).ground)
