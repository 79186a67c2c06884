"""The first page: which subs, where to, and the button."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from pathlib import Path
from tkinter import filedialog, ttk

from zemosaic.gui.drops import accept_drops
from zemosaic.gui.headers import Fact
from zemosaic.gui.keys import NAME
from zemosaic.gui.shades import shades
from zemosaic.gui.theme import Theme
from zemosaic.gui.tips import Tip
from zemosaic.gui.translator import Texts, Translator

__all__ = ["StartPage"]

FITS = ("*.fit", "*.fits", "*.fts", "*.fit.gz", "*.fits.gz", "*.fits.fz", "*.FIT", "*.FITS")


class StartPage(ttk.Frame):
    """Two inputs and one button.

    on_change : called when a folder was chosen, added or taken away
    on_start : called with whether to begin anew
    """

    def __init__(
        self,
        parent: tk.Misc,
        tr: Translator,
        theme: Theme,
        on_change: Callable[[], None],
        on_start: Callable[[bool], None],
    ) -> None:
        super().__init__(parent, padding=theme.px(24))
        self._tr, self._theme, self._on_change, self._on_start = tr, theme, on_change, on_start
        self._texts = Texts(tr)
        self.output = tk.StringVar(self)
        self.typed = tk.StringVar(self)
        self.fresh = tk.BooleanVar(self, False)
        self._facts: list[ttk.Label] = []
        self._forecast: list[ttk.Label] = []
        self._make_head()
        self._make_inputs()
        self._make_output()
        self._make_facts()
        self._make_button()
        self.columnconfigure(0, weight=3, uniform="half")
        self.columnconfigure(1, weight=2, uniform="half")
        self.rowconfigure(1, weight=1)
        self.tell("")

    # ---- what the window asks

    @property
    def inputs(self) -> tuple[Path, ...]:
        return tuple(Path(self._list.set(each, "path")) for each in self._list.get_children())

    @property
    def output_folder(self) -> Path | None:
        text = self.output.get().strip()
        return Path(text).expanduser() if text else None

    def set_folders(self, inputs: Sequence[str | Path], output: str | Path) -> None:
        """Fill in; nobody is told."""
        self._list.delete(*self._list.get_children())
        for each in inputs:
            self._insert(str(each))
        self.output.set(str(output))
        self._watch_list()

    def add_inputs(self, paths: Sequence[str]) -> None:
        there = {str(path) for path in self.inputs}
        for path in dict.fromkeys(str(Path(each).expanduser()) for each in paths if each.strip()):
            if path not in there:
                self._insert(path)
        if self.inputs and not self.output.get().strip():  # a proposal, for all to see and change
            first = self.inputs[0]
            self.output.set(str(first.with_name(self._tr("gui.start.proposed", name=first.stem))))
        self._watch_list()
        self._on_change()

    def show_facts(self, lights: Sequence[Fact], forecast: Sequence[Fact]) -> None:
        self._fill(self._facts_box, self._facts, lights)
        self._fill(self._forecast_box, self._forecast, forecast)
        for head, facts in ((self._facts_head, lights), (self._forecast_head, forecast)):
            head.grid() if facts else head.grid_remove()

    def tell(self, text: str, *, bad: bool = False, busy: bool = False) -> None:
        """The line that says what is being looked at, or what is wrong."""
        self._message.configure(text=text, style="Wrong.TLabel" if bad else "Dim.TLabel")
        self._message.grid() if text else self._message.grid_remove()
        if busy:
            self._bar.grid()
            self._bar.start(20)
        else:
            self._bar.stop()
            self._bar.grid_remove()

    def allow_start(self, allowed: bool, why: str = "") -> None:
        """Whether the button can be pressed, and what is still missing."""
        self._start.state(["!disabled" if allowed else "disabled"])
        self._why.configure(text=why)

    def allow_fresh(self, allowed: bool) -> None:
        """Whether there is anything to begin anew."""
        if allowed:
            self._fresh_box.grid()
        else:
            self.fresh.set(False)
            self._fresh_box.grid_remove()

    def go(self) -> None:
        """Press the button, where it can be pressed."""
        self._start.invoke()

    def retranslate(self) -> None:
        self._texts.retranslate()

    def focus_first(self) -> None:
        (self._start if self._start.instate(["!disabled"]) else self.entry).focus_set()

    # ---- building

    def _make_head(self) -> None:
        head = ttk.Frame(self)
        head.grid(row=0, column=0, columnspan=2, sticky="ew", pady=(0, self._theme.px(12)))
        title, text = ttk.Label(head, style="Title.TLabel"), ttk.Label(head, style="Dim.TLabel")
        title.pack(anchor="w")
        text.pack(anchor="w")
        self._texts.bind(title, "gui.start.title")
        self._texts.bind(text, "gui.start.text")

    def _make_inputs(self) -> None:
        px = self._theme.px
        box = ttk.Frame(self, style="Card.TFrame", padding=px(16))
        box.grid(row=1, column=0, sticky="nsew", padx=(0, px(12)))
        label = ttk.Label(box, style="Head.TLabel")
        label.grid(row=0, column=0, columnspan=2, sticky="w")
        self._texts.bind(label, "gui.start.inputs")
        self._list = ttk.Treeview(box, columns=("path",), show="", selectmode="extended", height=3)
        self._list.grid(row=1, column=0, sticky="nsew", pady=px(8))
        self._list.bind("<Delete>", lambda _: self._remove())
        self._list.bind("<<TreeviewSelect>>", lambda _: self._watch_list())
        self._empty = ttk.Label(self._list, style="Dim.TLabel", anchor="center", justify="center")
        drops = accept_drops(self, self.add_inputs)  # anywhere on the page but where the output is chosen
        self._texts.bind(self._empty, "gui.start.drop" if drops else "gui.start.empty")
        buttons = ttk.Frame(box)
        buttons.grid(row=1, column=1, rowspan=2, sticky="n", padx=(px(12), 0), pady=px(8))
        self._folder = ttk.Button(buttons, command=self.choose_folder)
        files, self._remove_button = (
            ttk.Button(buttons, command=self._choose_files),
            ttk.Button(buttons, command=self._remove),
        )
        for button, key in ((self._folder, "add_folder"), (files, "add_files"), (self._remove_button, "remove")):
            button.pack(fill="x", pady=(0, px(6)))
            self._texts.bind(button, f"gui.start.{key}")
        self.entry = ttk.Entry(box, textvariable=self.typed)
        self.entry.grid(row=2, column=0, sticky="ew")
        self.entry.bind("<Return>", lambda _: self._add_typed())
        hint = ttk.Label(box, style="Caption.TLabel")
        hint.grid(row=3, column=0, columnspan=2, sticky="w", pady=(px(2), 0))
        self._texts.bind(hint, "gui.start.type")
        box.columnconfigure(0, weight=1)
        box.rowconfigure(1, weight=1)

    def _make_output(self) -> None:
        px = self._theme.px
        box = ttk.Frame(self, style="Card.TFrame", padding=px(16))
        box.grid(row=2, column=0, sticky="ew", padx=(0, px(12)), pady=(px(12), 0))
        label = ttk.Label(box, style="Head.TLabel")
        label.grid(row=0, column=0, columnspan=2, sticky="w")
        self._texts.bind(label, "gui.start.output")
        self.output_entry = ttk.Entry(box, textvariable=self.output)
        self.output_entry.grid(row=1, column=0, sticky="ew", pady=(px(8), 0))
        for event in ("<Return>", "<FocusOut>"):
            self.output_entry.bind(event, lambda _: self._on_change())
        browse = ttk.Button(box, command=self._choose_output)
        browse.grid(row=1, column=1, padx=(px(12), 0), pady=(px(8), 0))
        self._texts.bind(browse, "gui.start.browse")
        self._fresh_box = ttk.Checkbutton(box, variable=self.fresh)
        self._fresh_box.grid(row=2, column=0, columnspan=2, sticky="w", pady=(px(8), 0))
        self._texts.bind(self._fresh_box, "gui.start.fresh")
        self._fresh_box.grid_remove()
        box.columnconfigure(0, weight=1)
        accept_drops(box, self._take_output)

    def _make_facts(self) -> None:
        px = self._theme.px
        card = ttk.Frame(self, style="Card.TFrame", padding=px(16))
        card.grid(row=1, column=1, rowspan=2, sticky="nsew")
        self._message = ttk.Label(card, wraplength=px(380), justify="left")
        self._message.grid(row=0, column=0, sticky="ew")
        self._bar = ttk.Progressbar(card, mode="indeterminate")
        self._bar.grid(row=1, column=0, sticky="ew", pady=px(6))
        self._facts_head, self._forecast_head = (
            ttk.Label(card, style="Head.TLabel"),
            ttk.Label(card, style="Head.TLabel"),
        )
        self._facts_box, self._forecast_box = ttk.Frame(card), ttk.Frame(card)
        parts = ((self._facts_head, 4), (self._facts_box, 4), (self._forecast_head, 14), (self._forecast_box, 4))
        for row, (widget, above) in enumerate(parts, 2):
            widget.grid(row=row, column=0, sticky="ew", pady=(px(above), 0))
        self._texts.bind(self._facts_head, "gui.start.found")
        self._texts.bind(self._forecast_head, "gui.start.forecast")
        for head, box in ((self._facts_head, self._facts_box), (self._forecast_head, self._forecast_box)):
            head.grid_remove()
            box.columnconfigure(0, minsize=px(130))
        card.columnconfigure(0, weight=1)

    def _make_button(self) -> None:
        px = self._theme.px
        row = ttk.Frame(self)
        row.grid(row=3, column=0, columnspan=2, sticky="ew", pady=(px(16), 0))
        self._start = ttk.Button(row, style="Big.Accent.TButton", command=lambda: self._on_start(self.fresh.get()))
        self._start.pack(side="left")
        self._texts.bind(self._start, "gui.start.go")
        self._tip = Tip(lambda: self._tr("gui.start.keys", key=NAME), self._start, self._folder)
        self._why = ttk.Label(row, style="Dim.TLabel", wraplength=px(560), justify="left")
        self._why.pack(side="left", padx=px(16))

    def _fill(self, box: ttk.Frame, labels: list[ttk.Label], facts: Sequence[Fact]) -> None:
        for label in labels:
            label.destroy()
        labels.clear()
        for row, fact in enumerate(facts):
            name = ttk.Label(box, text=self._tr(fact.key), style="Dim.TLabel")
            value = ttk.Label(box, text=fact.value, wraplength=self._theme.px(216), justify="left")
            if fact.bad:
                value.configure(foreground=shades(self).wrong)
            name.grid(row=row, column=0, sticky="nw", pady=self._theme.px(2))
            value.grid(row=row, column=1, sticky="nw", padx=(self._theme.px(12), 0), pady=self._theme.px(2))
            labels += [name, value]

    # ---- what happens

    def _insert(self, path: str) -> None:
        self._list.insert("", "end", values=(path,))

    def _watch_list(self) -> None:
        self._remove_button.state(["!disabled" if self._list.selection() else "disabled"])
        if self._list.get_children():
            self._empty.place_forget()
        else:
            self._empty.place(relx=0.5, rely=0.5, anchor="center")

    def _remove(self) -> None:
        self._list.delete(*self._list.selection())
        self._watch_list()
        self._on_change()

    def _add_typed(self) -> None:
        self.add_inputs([self.typed.get()])
        self.typed.set("")

    def _last_folder(self) -> str:
        inputs = self.inputs
        return str(inputs[-1].parent) if inputs else str(Path.home())

    def choose_folder(self) -> None:
        folder = filedialog.askdirectory(
            parent=self, title=self._tr("gui.start.inputs"), initialdir=self._last_folder(), mustexist=True
        )
        if folder:
            self.add_inputs([folder])

    def _choose_files(self) -> None:
        files = filedialog.askopenfilenames(
            parent=self,
            title=self._tr("gui.start.inputs"),
            initialdir=self._last_folder(),
            filetypes=[("FITS", FITS), ("*", "*")],
        )
        if files:
            self.add_inputs(list(files))

    def _take_output(self, paths: Sequence[str]) -> None:
        """What was dropped where the output is chosen; a file stands for its folder."""
        if paths:
            first = Path(paths[0])
            self.output.set(str(first.parent if first.is_file() else first))
            self._on_change()

    def _choose_output(self) -> None:
        start = self.output_folder or Path(self._last_folder())
        folder = filedialog.askdirectory(parent=self, title=self._tr("gui.start.output"), initialdir=str(start))
        if folder:
            self.output.set(folder)
            self._on_change()
