"""The row above the sky view: zoom, what the pointer does, what it selects, targets, leave out and take back."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from functools import partial
from tkinter import ttk

from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.sizes import px
from zemosaic.gui.words import Words

__all__ = ["SkyBar"]

CLOSER = 1.5625  # two notches of the wheel


class SkyBar(ttk.Frame):
    """Buttons of the sky view.

    on_fit : called with the target that is to be seen whole, "" for all
    on_zoom : called with a factor
    on_mode : called when the pointer is to do something else
    """

    def __init__(
        self,
        parent: tk.Misc,
        tr: Words,
        choice: FrameChoice,
        *,
        on_fit: Callable[[str], None],
        on_zoom: Callable[[float], None],
        on_mode: Callable[[], None],
    ) -> None:
        super().__init__(parent)
        self._tr, self._on_fit = tr, on_fit
        self._names: list[str] = []  # of targets
        self.mode, self.unit = tk.StringVar(self, "move"), tk.StringVar(self, "frames")
        self.texts: dict[ttk.Label | ttk.Button | ttk.Radiobutton, str] = {}
        self._put(ttk.Button(self, command=lambda: on_fit("")), "gui.sky.fit", 0)
        self._put(ttk.Button(self, text="+", width=2, command=partial(on_zoom, CLOSER)))
        self._put(ttk.Button(self, text="−", width=2, command=partial(on_zoom, 1 / CLOSER)))
        for mode, gap in (("move", 16), ("lasso", 4)):
            button = ttk.Radiobutton(self, variable=self.mode, value=mode, command=on_mode, style="Toggle.TButton")
            self._put(button, f"gui.sky.{mode}", gap)
        self._put(ttk.Label(self), "gui.sky.select", 16)
        for unit in ("frames", "panels"):
            self._put(ttk.Radiobutton(self, variable=self.unit, value=unit), f"gui.sky.{unit}", 8)
        self.targets = ttk.Combobox(self, state="readonly", width=18)
        self.targets.bind("<<ComboboxSelected>>", lambda _: self._target_chosen())
        at = self.grid_size()[0]
        self.targets.grid(row=0, column=at, padx=(px(self, 16), 0))
        self.columnconfigure(at + 1, weight=1, minsize=1)
        self.include = ttk.Button(self, command=lambda: choice.include(choice.selected))
        self.exclude = ttk.Button(self, command=lambda: choice.exclude(choice.selected))
        self._put(self.include, "gui.table.include", 12, at + 2)
        self._put(self.exclude, "gui.table.exclude", 6, at + 3)

    def _put(
        self, widget: ttk.Label | ttk.Button | ttk.Radiobutton, key: str = "", gap: int = 4, column: int | None = None
    ) -> None:
        widget.grid(row=0, column=self.grid_size()[0] if column is None else column, padx=(px(self, gap), 0))
        if key:
            self.texts[widget] = key

    def retranslate(self) -> None:
        for widget, key in self.texts.items():
            widget.configure(text=self._tr(key))
        self.show_targets(self._names)

    def show_targets(self, names: Sequence[str]) -> None:
        """To choose from, where there are several."""
        self._names = list(names)
        self.targets.configure(values=[self._tr("gui.sky.all_targets"), *names])
        if len(names) > 1:
            self.targets.grid()
            if self.targets.current() < 1:
                self.targets.current(0)
        else:
            self.targets.grid_remove()

    def allow_choice(self, allowed: bool) -> None:
        """Whether there is anything to leave out or to take back."""
        for button in (self.include, self.exclude):
            button.state(["!disabled" if allowed else "disabled"])

    def _target_chosen(self) -> None:
        at = self.targets.current()
        self._on_fit(self._names[at - 1] if at > 0 else "")
