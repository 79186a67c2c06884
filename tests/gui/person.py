"""Somebody at mouse and keyboard (xdotool), who looks at the window and waits for what should happen."""

from __future__ import annotations

import subprocess
import time
import tkinter as tk
from collections.abc import Callable, Iterator
from tkinter import ttk

from zemosaic.gui.window import Window
from zemosaic.settings import Settings

__all__ = ["FAST", "Open", "Person"]

FAST = Settings(num_processing_workers=1, memory_limit=2.0)
Open = Callable[..., Window]


class Person:
    """Acts on the screen that a window is on; the window is served meanwhile."""

    def __init__(self, root: tk.Tk) -> None:
        self.root = root

    def until(self, happened: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait for something; TimeoutError when it does not come."""
        limit = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > limit:
                raise TimeoutError(f"waited {seconds:g} s in vain; on the screen: {self.read()}")
            self.root.update()
            time.sleep(0.005)

    def wait(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > limit, seconds + 5.0)

    def click(self, widget: tk.Misc, x: float = 0.5, y: float = 0.5) -> None:
        """On a place of a widget, 0..1 of its width and height."""
        self.until(widget.winfo_viewable)
        places = ["", place_of(widget)]
        while places[-2] != places[-1]:  # it may be on its way to another place
            self.wait(0.05)
            places.append(place_of(widget))
        across = widget.winfo_rootx() + int(x * widget.winfo_width())
        down = widget.winfo_rooty() + int(y * widget.winfo_height())
        self._do("mousemove", str(across), str(down), "click", "1")

    def type(self, text: str) -> None:
        self._do("type", "--delay", "4", text)

    def press(self, *keys: str) -> None:
        self._do("key", *keys)

    def when_asked(self, act: Callable[[], object]) -> None:
        """Do something as soon as the window asks a question, while it waits for the answer; again when that was in vain."""
        asking = self.root.grab_current()
        answers = [] if asking is None else [each for each in self.all(asking) if isinstance(each, ttk.Button)]
        if asking is not None and answers and all(each.winfo_viewable() for each in answers):
            act()
            self.root.after(3000, lambda: asking.winfo_exists() and self.when_asked(act))
        else:
            self.root.after(50, lambda: self.when_asked(act))

    def read(self) -> list[str]:
        """All texts that can be seen."""
        return [text for widget in self.all() if widget.winfo_viewable() for text in texts_of(widget)]

    def all(self, parent: tk.Misc | None = None) -> Iterator[tk.Misc]:
        top = parent or self.root
        yield top
        for child in top.winfo_children():
            yield from self.all(child)

    def button(self, text: str) -> tk.Misc:
        """The button that says so and can be seen."""
        for widget in self.all():
            kinds = ttk.Button | ttk.Radiobutton | ttk.Checkbutton
            if isinstance(widget, kinds) and widget.winfo_viewable() and str(widget.cget("text")) == text:
                return widget
        raise LookupError(f"no button says {text!r}; on the screen: {self.read()}")

    def _do(self, *what: str) -> None:
        process = subprocess.Popen(["xdotool", *what])
        self.until(lambda: process.poll() is not None)
        if process.returncode:
            raise RuntimeError(f"xdotool {what} failed")
        self.root.update()


def place_of(widget: tk.Misc) -> str:
    return f"{widget.winfo_geometry()} at {widget.winfo_rootx()}, {widget.winfo_rooty()}"


def texts_of(widget: tk.Misc) -> list[str]:
    if isinstance(widget, ttk.Combobox | ttk.Entry):
        return [widget.get()]
    if isinstance(widget, ttk.Treeview):
        columns = widget.cget("columns")
        heads = [widget.heading(column, "text") for column in columns] if "headings" in str(widget.cget("show")) else []
        rows = [
            value for row in widget.get_children() for value in (widget.item(row, "text"), *widget.item(row, "values"))
        ]
        return [str(text) for text in (*heads, *rows) if str(text)]
    if isinstance(widget, tk.Text):
        return widget.get("1.0", "end-1c").splitlines()
    if isinstance(widget, tk.Canvas):
        return [widget.itemcget(item, "text") for item in widget.find_all() if widget.type(item) == "text"]
    if isinstance(widget, ttk.Label | ttk.Button | ttk.Radiobutton | ttk.Checkbutton):
        return [str(widget.cget("text"))] if str(widget.cget("text")) else []
    return []
