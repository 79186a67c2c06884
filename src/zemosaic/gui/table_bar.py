"""The row above the table of frames: search, states, how many are shown, leave out and take back."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping
from tkinter import ttk

from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.frame_model import ALL
from zemosaic.gui.sizes import px
from zemosaic.gui.slices import Later
from zemosaic.gui.tips import Tip
from zemosaic.gui.words import Words

__all__ = ["TableBar"]

DELAY = 150  # ms after the last key


class TableBar(ttk.Frame):
    """What is looked for: `words` and `state`; `on_choice` is called when it has changed."""

    def __init__(self, parent: tk.Misc, tr: Words, choice: FrameChoice, on_choice: Callable[[], object]) -> None:
        super().__init__(parent)
        self._tr, self._on_choice = tr, on_choice
        self._keys = [ALL]  # of the states, as they are listed
        self._searching = Later(self, DELAY, on_choice)
        self.state_wanted = ALL
        self.words = tk.StringVar(self)
        self._label = ttk.Label(self)
        self.entry = ttk.Entry(self, textvariable=self.words, width=26)
        self.entry.bind("<Escape>", lambda _: self.words.set(""))
        self.words.trace_add("write", lambda *_: self._searching.start())
        self._tip = Tip(lambda: self._tr("gui.table.search.help"), self.entry, self._label)
        self.states = ttk.Combobox(self, state="readonly", width=24)
        self.states.bind("<<ComboboxSelected>>", lambda _: self._state_chosen())
        self._count = ttk.Label(self, style="Dim.TLabel")
        self._include = ttk.Button(self, command=lambda: choice.include(choice.selected))
        self._exclude = ttk.Button(self, command=lambda: choice.exclude(choice.selected))
        parts = (self._label, 0, 8), (self.entry, 0, 0), (self.states, 12, 12), (self._count, 0, 0)
        for column, (widget, before, after) in enumerate((*parts, (self._include, 12, 6), (self._exclude, 0, 0))):
            widget.grid(row=0, column=column, sticky="w", padx=(px(self, before), px(self, after)))
        self.columnconfigure(3, weight=1)

    def retranslate(self) -> None:
        self._label.configure(text=self._tr("gui.table.search"))
        self._include.configure(text=self._tr("gui.table.include"))
        self._exclude.configure(text=self._tr("gui.table.exclude"))

    def look_for(self, words: str, state: str) -> None:
        """Put in what is to be looked for; nobody is told."""
        self.words.set(words)
        self._searching.cancel()
        self.state_wanted = state
        self._show_state()

    def list_states(self, counts: Mapping[str, int | None]) -> None:
        """States to choose from and how many frames are in each; None: that is not told."""
        self._keys = list(counts)
        words = []
        for key, count in counts.items():
            text = self._tr(f"gui.table.state.{key}" if count is None or key == ALL else f"state.{key}")
            words.append(text if count is None else f"{text} ({count})")
        self.states.configure(values=words)
        if self.state_wanted not in self._keys:
            self.state_wanted = ALL
        self._show_state()

    def tell(self, shown: int, total: int, selected: int) -> None:
        self._count.configure(text=self._tr("gui.table.count", shown=shown, total=total, selected=selected))
        for button in (self._include, self._exclude):
            button.state(["!disabled" if selected else "disabled"])

    def _show_state(self) -> None:
        if self.state_wanted in self._keys:
            self.states.current(self._keys.index(self.state_wanted))

    def _state_chosen(self) -> None:
        self.state_wanted = self._keys[self.states.current()]
        self._on_choice()
