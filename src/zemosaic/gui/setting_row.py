"""One setting in the form: its label, the editor that fits its kind, unit and limits, reset, and what is wrong with it."""

from __future__ import annotations

import math
import tkinter as tk
from collections.abc import Callable
from tkinter import filedialog, ttk

from zemosaic.declaration import Declared
from zemosaic.gui.setting_words import as_text, choice_words, help_text, limits_text
from zemosaic.gui.sizes import px
from zemosaic.gui.tips import Tip
from zemosaic.gui.words import Words

__all__ = ["SettingRow"]

LABEL, EDITOR, REST = 262, 240, 190  # px at 96 dpi: least widths
LEAST = 12  # characters of an editor, so that all are as wide as their column
FILES = ("astap_executable_path",)  # paths that are files
ALL_FILES = "*.*"


class SettingRow(ttk.Frame):
    """The widgets of one setting; what is typed lies in `variable`, as text.

    Parameters
    ----------
    reset : called when the default is asked for
    """

    def __init__(
        self, parent: tk.Misc, about: Declared, variable: tk.StringVar, tr: Words, reset: Callable[[], None]
    ) -> None:
        super().__init__(parent)
        self.about, self.variable, self._tr = about, variable, tr
        self._marked: tuple[str, bool] | None = None  # what is shown of it
        for column, least in enumerate((LABEL, EDITOR, REST)):
            self.columnconfigure(column, minsize=px(self, least), weight=column == 2)
        self._label = ttk.Label(self, wraplength=px(self, LABEL - 20), justify="left")
        self._label.grid(row=0, column=0, sticky="w", padx=(px(self, 12), px(self, 8)), pady=px(self, 4))
        box = ttk.Frame(self)
        box.grid(row=0, column=1, sticky="ew", pady=px(self, 4))
        box.columnconfigure(0, weight=1)
        self.editor = self._make_editor(box)
        self.editor.grid(row=0, column=0, sticky="ew")
        self._browse: ttk.Button | None = None
        if about.unit == "path":
            self._browse = ttk.Button(box, text="…", width=2, style="Quiet.TButton", command=self._choose)
            self._browse.grid(row=0, column=1, padx=(px(self, 4), 0))
        self._limits = ttk.Label(self, style="Dim.TLabel", wraplength=px(self, REST), justify="left")
        self._limits.grid(row=0, column=2, sticky="w", padx=px(self, 12))
        self.reset = ttk.Button(self, text="↺", width=2, style="Quiet.TButton", command=reset)
        self.reset.grid(row=0, column=3, padx=(0, px(self, 12)))
        self._wrong = ttk.Label(self, style="Wrong.TLabel", wraplength=px(self, EDITOR + REST), justify="left")
        self.tip = Tip(lambda: help_text(about, self._tr), self._label, self.editor)
        self._reset_tip = Tip(lambda: self._tr("gui.settings.reset.help"), self.reset)
        self.retranslate()

    def _make_editor(self, box: ttk.Frame) -> ttk.Widget:
        about = self.about
        if about.kind is bool:
            return ttk.Checkbutton(box, variable=self.variable, onvalue="1", offvalue="0", style="Switch.TCheckbutton")
        if about.choices:
            combo = ttk.Combobox(box, state="readonly", width=LEAST)
            combo.bind("<<ComboboxSelected>>", lambda _: self.variable.set(about.choices[combo.current()]))
            return combo
        if about.kind is int and about.limits is not None:
            least, most = about.limits
            first = -1 if math.isinf(least) else int(0 if about.zero else least)
            return ttk.Spinbox(box, width=LEAST, textvariable=self.variable, from_=first, to=int(most), increment=1)
        show = "•" if about.name.endswith("_key") else ""
        return ttk.Entry(box, width=LEAST, textvariable=self.variable, show=show)

    def follow_variable(self) -> None:
        """Show the choice that the variable holds."""
        if isinstance(self.editor, ttk.Combobox):
            chosen = self.variable.get()
            if chosen in self.about.choices:
                self.editor.current(self.about.choices.index(chosen))

    def mark(self, wrong: str, *, changed: bool) -> None:
        """Show what is wrong ("" for nothing), and whether the value differs from the default."""
        if (wrong, changed) == self._marked:
            return
        self._marked = wrong, changed
        self.editor.state(["invalid" if wrong else "!invalid"])
        if wrong:
            self._wrong.configure(text=wrong)
            self._wrong.grid(row=1, column=1, columnspan=2, sticky="w", pady=(0, px(self, 4)))
        else:
            self._wrong.grid_remove()
        self._label.configure(style="Changed.TLabel" if changed else "TLabel")
        self.reset.state(["!disabled" if changed else "disabled"])

    def retranslate(self) -> None:
        about, tr = self.about, self._tr
        self._label.configure(text=tr(f"setting.{about.name}"))
        self._limits.configure(text=limits_text(about, tr))
        if isinstance(self.editor, ttk.Combobox):
            self.editor.configure(values=choice_words(about, tr))
            self.follow_variable()

    def _choose(self) -> None:
        """Let the user pick the path; several folders are parted by ; where the setting takes them."""
        title = self._tr(f"setting.{self.about.name}")
        if self.about.name in FILES:
            chosen = filedialog.askopenfilename(parent=self, title=title)
        else:
            chosen = filedialog.askdirectory(parent=self, title=title, mustexist=True)
        if chosen:
            self.variable.set(as_text(chosen))
