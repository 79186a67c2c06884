"""The log of a run: levels, search, copy."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Sequence
from tkinter import ttk

from zemosaic.gui.shades import shades
from zemosaic.gui.state import Line
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Texts, Translator

__all__ = ["LogView"]

LEVELS = {"all": ("note", "left_out", "warning"), "left_out": ("left_out", "warning"), "warnings": ("warning",)}
A_TICK = 60  # lines that are shown at once, at most: Tk takes about 0.1 ms for one
END = 0.999  # of all that is there
PAUSE = 30  # ms between two such


class LogView(ttk.Frame):
    """Lines, the newest at the end; those of a lower level can be hidden."""

    def __init__(self, parent: tk.Misc, tr: Translator, theme: Theme) -> None:
        super().__init__(parent)
        self._tr, self._theme, self._texts = tr, theme, Texts(tr)
        self._lines: list[Line] = []
        self._shown = 0  # of these
        self._waiting = ""
        self._level = "all"
        self._at_end = True  # the newest line is seen
        self._make(theme)
        self.retranslate()
        theme.on_change(self._colour)
        self._colour()

    def add(self, lines: Sequence[Line]) -> None:
        self._lines += lines
        self._show_more()

    def replace(self, lines: Sequence[Line]) -> None:
        """All of them, in another language perhaps."""
        self._lines = list(lines)
        self._again()

    def retranslate(self) -> None:
        self._texts.retranslate()
        names = [self._tr(f"gui.log.{level}") for level in LEVELS]
        self._levels.configure(values=names)
        self._levels.current(list(LEVELS).index(self._level))

    @property
    def text(self) -> str:
        """What is shown."""
        return self._text.get("1.0", "end-1c")

    # ---- building

    def _make(self, theme: Theme) -> None:
        px = theme.px
        row = ttk.Frame(self)
        row.pack(fill="x")
        title = ttk.Label(row, style="Head.TLabel")
        title.pack(side="left")
        self._texts.bind(title, "gui.log.title")
        self._levels = ttk.Combobox(row, state="readonly", width=22)
        self._levels.pack(side="left", padx=px(12))
        self._levels.bind("<<ComboboxSelected>>", lambda _: self._choose_level())
        label = ttk.Label(row)
        label.pack(side="left")
        self._texts.bind(label, "gui.log.search")
        self.search = tk.StringVar(self)
        self.search_entry = ttk.Entry(row, textvariable=self.search, width=20)
        self.search_entry.pack(side="left", padx=px(8))
        self.search_entry.bind("<Return>", lambda _: self._next())
        self.search_entry.bind("<Escape>", lambda _: self.search.set(""))
        self.search.trace_add("write", lambda *_: self._mark())
        self._found = ttk.Label(row, style="Dim.TLabel")
        self._found.pack(side="left")
        copy = ttk.Button(row, command=self.copy, style="Quiet.TButton")
        copy.pack(side="right")
        self._texts.bind(copy, "gui.log.copy")
        body = ttk.Frame(self)
        body.pack(fill="both", expand=True, pady=(px(6), 0))
        self._text = tk.Text(
            body, height=6, wrap="word", state="disabled", relief="flat", borderwidth=0, padx=px(8), pady=px(6),
            highlightthickness=1, font="TkFixedFont", cursor="arrow", takefocus=True,
        )  # fmt: skip
        bar = ttk.Scrollbar(body, command=self._text.yview, takefocus=False)
        self._text.configure(yscrollcommand=lambda first, last: self._scrolled(bar, first, last))
        self._text.bind("<Configure>", lambda _: self._resized())
        bar.pack(side="right", fill="y")
        self._text.pack(side="left", fill="both", expand=True)

    def _colour(self) -> None:
        colours = shades(self)
        self._text.configure(
            background=colours.ground, foreground=colours.text, highlightbackground=colours.line,
            highlightcolor=colours.accent, selectbackground=colours.accent, insertbackground=colours.text,
        )  # fmt: skip
        self._text.tag_configure("warning", foreground=colours.wrong)
        self._text.tag_configure("left_out", foreground=colours.dim)
        self._text.tag_configure("found", background=colours.accent, foreground=colours.ground)

    # ---- what happens

    def _scrolled(self, bar: ttk.Scrollbar, first: float, last: float) -> None:
        bar.set(first, last)
        self._at_end = float(last) > END

    def _resized(self) -> None:
        """Stay at the end: Tk keeps the upper line, and tells of another place only afterwards."""
        if self._at_end:
            self._text.see("end")

    def copy(self) -> None:
        """What is selected, else all that is shown."""
        selected = self._text.tag_ranges("sel")
        text = self._text.get(*selected) if selected else self.text
        self.clipboard_clear()
        self.clipboard_append(text)

    def _choose_level(self) -> None:
        self._level = list(LEVELS)[self._levels.current()]
        self._again()

    def _again(self) -> None:
        self._shown = 0
        self._text.configure(state="normal")
        self._text.delete("1.0", "end")
        self._text.configure(state="disabled")
        self._show_more()

    def _show_more(self) -> None:
        """A few lines now, the rest a moment later."""
        if self._waiting:
            self.after_cancel(self._waiting)
            self._waiting = ""
        at_end = self._at_end
        wanted = LEVELS[self._level]
        some = self._lines[self._shown : self._shown + A_TICK]
        self._shown += len(some)
        self._text.configure(state="normal")
        for line in some:
            if line.level in wanted:
                self._text.insert("end", f"{line.text}\n", line.level)
        self._text.configure(state="disabled")
        if at_end:
            self._text.see("end")
        if self._shown < len(self._lines):
            self._waiting = self.after(PAUSE, self._show_more)
        elif self.search.get():
            self._mark()

    def _mark(self) -> None:
        needle = self.search.get()
        self._text.tag_remove("found", "1.0", "end")
        count, place = 0, "1.0"
        length = tk.IntVar(self)
        while needle and count < 1000:
            place = self._text.search(needle, place, "end", nocase=True, count=length)
            if not place:
                break
            end = f"{place}+{length.get()}c"
            self._text.tag_add("found", place, end)
            count, place = count + 1, end
        self._found.configure(text=self._tr("gui.log.hits", count=count) if needle else "")
        if count:
            self._text.see("found.first")

    def _next(self) -> None:
        """Go on to the next place after the middle of what is seen."""
        found = self._text.tag_nextrange("found", f"{self._text.index('@0,0')}+1line") or self._text.tag_nextrange(
            "found", "1.0"
        )
        if found:
            self._text.yview(found[0])
