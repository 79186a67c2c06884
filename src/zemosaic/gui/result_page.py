"""The last page: the mosaic with zoom and stretch, its coverage and weight, its seams, and what was left out."""

from __future__ import annotations

import json
import tkinter as tk
from collections.abc import Callable, Sequence
from pathlib import Path
from tkinter import ttk
from typing import TYPE_CHECKING

from zemosaic.events import Made
from zemosaic.gui.desktop import find_siril, open_with, show_path
from zemosaic.gui.engine import Result
from zemosaic.gui.painter import Painter
from zemosaic.gui.picture_view import ZoomedView
from zemosaic.gui.pictures import KINDS, Shown, Still, View
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Texts, Translator
from zemosaic.messages import sentence
from zemosaic.model import LeftOut
from zemosaic.names import base_name, beside

if TYPE_CHECKING:
    from zemosaic.imaging.display import Look

__all__ = ["ResultPage"]

SLIDERS = {
    "black": (-1.0, 8.0, 3.0),
    "midtones": (0.04, 0.45, 0.14),
    "saturation": (0.0, 3.0, 1.4),
}  # from, to, default
LIST = 110  # px at 96 dpi, least height of the list of what was left out
A_TICK = 100  # rows of the table that are filled in at once
PAUSE = 20  # ms
SIZE_PAUSE = 60  # ms between two looks whether a picture is there


class ResultPage(ttk.Frame):
    """Shows a `Result`; `on_trouble` is called with what went wrong, in words."""

    def __init__(self, parent: tk.Misc, tr: Translator, theme: Theme, on_trouble: Callable[[str], None]) -> None:
        super().__init__(parent, padding=theme.px(20))
        self._tr, self._theme, self._on_trouble = tr, theme, on_trouble
        self._texts = Texts(tr)
        self._result: Result | None = None
        self._still: Still | None = None
        self._painter: Painter[tuple[Still, Shown]] = Painter()
        self._measurer: Painter[tuple[Still, tuple[int, int]]] = Painter()
        self._filling = ""
        self.kind = tk.StringVar(self, "mosaic")
        self.values = {name: tk.DoubleVar(self, default) for name, (_, _, default) in SLIDERS.items()}
        self._make_head()
        self._make_side()
        self._view = ZoomedView(self, self._paint)
        self._view.grid(row=1, column=0, sticky="nsew")
        self._make_table()
        self.columnconfigure(0, weight=1)
        self.rowconfigure(1, weight=3)
        self.rowconfigure(2, weight=1, minsize=theme.px(LIST))
        self.retranslate()
        self._look_for_pictures()

    # ---- what the window asks

    def show(self, result: Result) -> None:
        self._result = result
        names = [made.name or base_name(made.preview) for made in result.made]
        self._chooser.configure(values=names)
        if len(names) > 1:
            self._chooser.grid()
        else:
            self._chooser.grid_remove()
        self._fill_table(result.left_out)
        if result.made:
            self._chooser.current(0)
            self._choose()
        else:
            self._still = None
            self._view.forget()
            self._say_facts()

    def retranslate(self) -> None:
        self._texts.retranslate()
        self._view.say(self._tr("gui.result.nothing"))
        for column in ("file", "state", "reason"):
            self._table.heading(column, text=self._tr(f"gui.result.{column}"), anchor="w")
        if self._result is not None:
            self._fill_table(self._result.left_out)
        self._say_facts()

    def focus_first(self) -> None:
        self._view.focus_set()

    # ---- building

    def _make_head(self) -> None:
        px = self._theme.px
        head = ttk.Frame(self)
        head.grid(row=0, column=0, columnspan=2, sticky="ew", pady=(0, px(10)))
        title = ttk.Label(head, style="Title.TLabel")
        title.grid(row=0, column=0, sticky="w")
        self._texts.bind(title, "gui.result.title")
        self._chooser = ttk.Combobox(head, state="readonly", width=28)
        self._chooser.grid(row=0, column=1, padx=px(16))
        self._chooser.bind("<<ComboboxSelected>>", lambda _: self._choose())
        self._chooser.grid_remove()
        buttons = ttk.Frame(head)
        buttons.grid(row=0, column=3, sticky="e")
        self._open: dict[str, ttk.Button] = {}
        for name, command in (
            ("folder", self._open_folder), ("report", self._open_report), ("zoom", self._open_zoom),
            ("log", self._open_log), ("viewer", self._open_viewer), ("siril", self._open_siril),
        ):  # fmt: skip
            button = self._open[name] = ttk.Button(buttons, command=command)
            button.pack(side="left", padx=(px(6), 0))
            self._texts.bind(button, f"gui.result.open_{name}")
        self._offer_zoom(there=False)
        self._facts = ttk.Label(head, style="Dim.TLabel", justify="left")
        head.bind("<Configure>", lambda event: self._facts.configure(wraplength=event.width))
        self._facts.grid(row=1, column=0, columnspan=4, sticky="w", pady=(px(4), 0))
        head.columnconfigure(2, weight=1)

    def _make_side(self) -> None:
        px = self._theme.px
        side = ttk.Frame(self, style="Card.TFrame", padding=px(14))
        side.grid(row=1, column=1, sticky="ns", padx=(px(12), 0))
        for kind in KINDS:
            choice = ttk.Radiobutton(side, value=kind, variable=self.kind, command=self._paint)
            choice.pack(anchor="w")
            self._texts.bind(choice, f"gui.result.{kind}")
        for name, (least, most, _) in SLIDERS.items():
            label = ttk.Label(side)
            label.pack(anchor="w", pady=(px(12), 0))
            self._texts.bind(label, f"gui.result.{name}")
            slider = ttk.Scale(
                side, from_=least, to=most, variable=self.values[name], length=px(170), command=lambda _: self._paint()
            )
            slider.pack(fill="x")
        reset = ttk.Button(side, command=self._reset_look)
        reset.pack(fill="x", pady=(px(12), px(12)))
        self._texts.bind(reset, "gui.result.auto")
        zooms = ttk.Frame(side)
        zooms.pack(fill="x")
        fit, whole = ttk.Button(zooms, command=lambda: self._view.fit()), ttk.Button(zooms, text="1:1")
        whole.configure(command=lambda: self._view.zoom_to(1.0))
        for button, gap in ((fit, 0), (whole, px(6))):
            button.pack(side="left", expand=True, fill="x", padx=(gap, 0))
        self._texts.bind(fit, "gui.result.fit")
        note = ttk.Label(side, style="Caption.TLabel", wraplength=px(170), justify="left")
        note.pack(anchor="w", pady=(px(12), 0))
        self._texts.bind(note, "gui.result.display_only")

    def _make_table(self) -> None:
        px = self._theme.px
        box = ttk.Frame(self)
        box.grid(row=2, column=0, columnspan=2, sticky="nsew", pady=(px(12), 0))
        self._left_out = ttk.Label(box, style="Head.TLabel")
        self._left_out.pack(anchor="w")
        rows = self._rows = ttk.Frame(box)
        rows.pack(fill="both", expand=True, pady=(px(6), 0))
        self._table = ttk.Treeview(rows, columns=("file", "state", "reason"), show="headings", height=3)
        for column, width, stretch in (("file", 300, False), ("state", 150, False), ("reason", 500, True)):
            self._table.column(column, width=px(width), stretch=stretch)
        bar = ttk.Scrollbar(rows, command=self._table.yview, takefocus=False)
        self._table.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self._table.pack(side="left", fill="both", expand=True)

    # ---- pictures

    def _choose(self) -> None:
        if self._result is None:
            return
        still = self._still = Still(self._result.made[self._chooser.current()])
        self._view.forget()
        self._view.say(self._tr("gui.result.reading"))
        self._measurer.ask(lambda: (still, still.size()))
        self._say_facts()

    def _look_for_pictures(self) -> None:
        """Fetch what the threads have made."""
        measured, painted = self._measurer.fetch(), self._painter.fetch()
        if measured is not None and measured[0] is self._still:
            self._view.take(measured[1])
        if painted is not None and painted[0] is self._still:
            self._view.show(painted[1])
        for failure in filter(None, (self._measurer.failure(), self._painter.failure())):
            self._on_trouble(sentence(failure, self._tr))
        self.after(SIZE_PAUSE, self._look_for_pictures)

    def _paint(self) -> None:
        still = self._still
        if still is None or not self._view.sized:
            return
        view = self._wanted()
        self._painter.ask(lambda: (still, still.paint(view)))

    def _wanted(self) -> View:
        width, height = self._view.place
        return View(self.kind.get(), self._view.x, self._view.y, self._view.zoom, width, height, self._look())

    def _look(self) -> Look:
        from zemosaic.imaging.display import Look

        return Look(**{name: value.get() for name, value in self.values.items()})

    def _reset_look(self) -> None:
        for name, (_, _, default) in SLIDERS.items():
            self.values[name].set(default)
        self._paint()

    # ---- words

    def _say_facts(self) -> None:
        tr, still, result = self._tr, self._still, self._result
        if still is None or result is None:
            self._facts.configure(text="")
            for button in self._open.values():
                button.state(["disabled"])
            return
        parts = [tr("gui.result.used", used=still.made.used, file=still.made.mosaic.name)]
        grade = grade_of(still.made)
        if grade:
            parts.append(tr("gui.result.grade", grade=grade, word=tr(f"grade.{grade}")))
        self._facts.configure(text="   ·   ".join(parts))
        for button in self._open.values():
            button.state(["!disabled"])
        report, zoom = still.made.report, still.made.zoom
        self._offer_zoom(there=zoom is not None and zoom.is_file())
        self._open["report"].state(["!disabled" if report is not None and report.is_file() else "disabled"])
        self._open["siril"].state(["!disabled" if find_siril() else "disabled"])

    def _offer_zoom(self, *, there: bool) -> None:
        """The page to zoom into is made on request only: its button comes with it."""
        button = self._open["zoom"]
        if there:
            button.pack(side="left", padx=(self._theme.px(6), 0), after=self._open["report"])
        else:
            button.pack_forget()

    def _fill_table(self, left_out: Sequence[LeftOut]) -> None:
        if self._filling:
            self.after_cancel(self._filling)
        self._table.delete(*self._table.get_children())
        key = "gui.result.left_out" if left_out else "gui.result.all_used"
        self._left_out.configure(text=self._tr(key, count=len(left_out)))
        if left_out:
            self._rows.pack(fill="both", expand=True, pady=(self._theme.px(6), 0))
        else:  # the mosaic has the place
            self._rows.pack_forget()
        self.rowconfigure(2, weight=1 if left_out else 0, minsize=self._theme.px(LIST) if left_out else 0)
        self._fill_more(list(left_out))

    def _fill_more(self, rest: list[LeftOut]) -> None:
        for each in rest[:A_TICK]:
            state = self._tr.messages.word("state", each.state)
            self._table.insert("", "end", values=(each.path.name, state, sentence(each.reason, self._tr)))
        self._filling = self.after(PAUSE, lambda: self._fill_more(rest[A_TICK:])) if rest[A_TICK:] else ""

    # ---- other programs

    def _open_folder(self) -> None:
        if self._still is not None:
            self._begin(self._still.made.mosaic.parent)

    def _open_report(self) -> None:
        if self._still is not None and self._still.made.report is not None:
            self._begin(self._still.made.report)

    def _open_zoom(self) -> None:
        if self._still is not None and self._still.made.zoom is not None:
            self._begin(self._still.made.zoom)

    def _open_log(self) -> None:
        if self._result is not None:
            self._begin(self._result.output / "zemosaic_worker.log")

    def _open_viewer(self) -> None:
        if self._still is not None:
            self._begin(self._still.made.preview)

    def _open_siril(self) -> None:
        siril = find_siril()
        if self._still is not None and siril is not None and not open_with(siril, self._still.made.mosaic):
            self._on_trouble(self._tr("gui.result.cannot_start", program=siril))

    def _begin(self, path: Path) -> None:
        if not show_path(path):
            self._on_trouble(self._tr("gui.result.cannot_open", path=path))


def seams_of(made: Made) -> Path:
    """The map of the seams; it is there where panels overlap."""
    return beside(made.preview, "seams.png")


def grade_of(made: Made) -> str:
    """The seams' grade, "" where there are none."""
    try:
        found = json.loads(seams_of(made).with_suffix(".json").read_text(encoding="utf-8"))
        return str(found["grade"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
