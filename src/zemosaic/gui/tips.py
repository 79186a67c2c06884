"""Help that appears where the pointer rests, or on F1 where the keyboard is."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable

from zemosaic.gui.shades import shades
from zemosaic.gui.sizes import px

__all__ = ["Tip"]

DELAY = 500  # ms
WIDTH = 440  # px at 96 dpi
GAP = 6  # px


class Tip:
    """A help text for some widgets that belong together; the text is asked for when it is shown, one at a time."""

    _open: Tip | None = None  # the one on the screen

    def __init__(self, text: Callable[[], str], *widgets: tk.Widget) -> None:
        self._text = text
        self._waiting: tuple[tk.Widget, str] | None = None  # the widget under the pointer, and what Tk calls the delay
        self._window: tk.Toplevel | None = None
        for widget in widgets:
            widget.bind("<Enter>", self._wait, add=True)
            for leaving in ("<Leave>", "<ButtonPress>", "<Key>", "<FocusOut>"):
                widget.bind(leaving, self._hide, add=True)
            widget.bind("<Destroy>", self._gone, add=True)
            widget.bind("<F1>", self._show_now, add=True)

    @property
    def shown(self) -> str:
        """The text on the screen; "" while there is none."""
        return "" if self._window is None else str(self._window.winfo_children()[0].cget("text"))

    def _wait(self, event: tk.Event[tk.Widget]) -> None:
        self._hide()
        widget = event.widget
        self._waiting = widget, widget.after(DELAY, lambda: self._show(widget))

    def _show_now(self, event: tk.Event[tk.Widget]) -> None:
        self._hide()
        self._show(event.widget)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            widget, after = self._waiting
            widget.after_cancel(after)
            self._waiting = None

    def _hide(self, _: tk.Event[tk.Widget] | None = None) -> None:
        self._stop_waiting()
        if self._window is not None:
            self._window.destroy()
            self._window = None

    def _gone(self, _: tk.Event[tk.Widget]) -> None:
        """The window goes with the widget that it belongs to."""
        self._stop_waiting()
        self._window = None

    def _show(self, widget: tk.Widget) -> None:
        self._waiting = None
        text = self._text()
        if Tip._open is not None:
            Tip._open._hide()
        if not text or not widget.winfo_viewable():
            return
        colours = shades(widget)
        window = self._window = tk.Toplevel(widget, background=colours.line)
        window.withdraw()
        window.overrideredirect(True)
        label = tk.Label(
            window,
            text=text,
            justify="left",
            wraplength=px(widget, WIDTH),
            background=colours.ground,
            foreground=colours.text,
            padx=px(widget, 10),
            pady=px(widget, 8),
        )
        label.pack(padx=1, pady=1)
        window.update_idletasks()
        width, height = window.winfo_reqwidth(), window.winfo_reqheight()
        x = min(widget.winfo_rootx(), widget.winfo_screenwidth() - width - GAP)
        y = widget.winfo_rooty() + widget.winfo_height() + GAP
        if y + height > widget.winfo_screenheight():
            y = widget.winfo_rooty() - height - GAP
        window.geometry(f"+{max(x, 0)}+{max(y, 0)}")
        window.deiconify()
        window.lift()
        Tip._open = self
