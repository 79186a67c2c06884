"""The page of a run: how far it is, how long it will take, the mosaic as it grows, the log; pause, stop, resume."""

from __future__ import annotations

import math
import tkinter as tk
from collections.abc import Callable, Sequence
from tkinter import ttk

from zemosaic.gui.log_view import LogView
from zemosaic.gui.painter import Painter
from zemosaic.gui.picture_view import FittedView
from zemosaic.gui.pictures import Growing, Shown
from zemosaic.gui.progress import PHASES, PhaseView, Progress, TimeLeft
from zemosaic.gui.shades import shades
from zemosaic.gui.state import ENDS, Line, Run, Status
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Texts, Translator
from zemosaic.gui.usage import Usage

__all__ = ["RunPage", "left_in_words"]

LIVE_PAUSE = 1.0  # s between two pictures of the mosaic that grows
STEPS = 1000  # of a bar
COARSE = ((60.0, 5.0), (600.0, 30.0), (3600.0, 60.0), (math.inf, 300.0))  # below so many s: told in steps of so many


class RunPage(ttk.Frame):
    """Follows a `Run`; the window feeds it.

    on_order : called with "pause", "resume", "stop", "kill", "again" or "result", as the user asks
    """

    def __init__(self, parent: tk.Misc, tr: Translator, theme: Theme, on_order: Callable[[str], None]) -> None:
        super().__init__(parent, padding=theme.px(20))
        self._tr, self._theme, self._on_order = tr, theme, on_order
        self._texts = Texts(tr)
        self._status = Status.IDLE
        self.growing = Growing()
        self._painter: Painter[Shown | None] = Painter(LIVE_PAUSE)
        self._bars: dict[str, tuple[ttk.Label, ttk.Progressbar, ttk.Label]] = {}
        self._figures: dict[str, ttk.Label] = {}
        self._make_head()
        self._make_phases()
        self._make_picture()
        self.log = LogView(self, tr, theme)
        self.log.grid(row=2, column=0, columnspan=2, sticky="nsew", pady=(theme.px(12), 0))
        self.columnconfigure(1, weight=1)
        self.rowconfigure(1, weight=3)
        self.rowconfigure(2, weight=2, minsize=theme.px(120))
        self.retranslate()
        theme.on_change(lambda: self._colour_end(self._status))

    # ---- what the window asks

    def begin(self) -> None:
        """A new run."""
        self.growing = Growing()
        self._view.clear()
        self.log.replace([])
        self.end_text.configure(text="")
        self.end_text.grid_remove()

    def show(self, run: Run, usage: Usage) -> None:
        """Everything that moves."""
        progress = run.progress
        self._show_status(run.status)
        for name, view in progress.phases.items():
            if name in self._bars:
                self._show_phase(name, view)
        self._overall["value"] = STEPS if run.status is Status.DONE else round(STEPS * progress.share)
        self._left.configure(text=self._time_text(run))
        self._show_figures(progress, usage, ended=run.status in ENDS)

    def tell_end(self, text: str, lines: Sequence[Line] = ()) -> None:
        """What became of the run."""
        self.end_text.configure(text=text)
        self.end_text.grid()
        self.log.add(lines)

    def repaint(self) -> None:
        """A block has come, or the page has another size."""
        width, height = self._view.place
        growing = self.growing
        self._painter.ask(lambda: growing.paint(width, height))

    def fetch_picture(self) -> None:
        """Show a picture that is ready."""
        shown = self._painter.fetch()
        if shown is not None:
            self._view.show(shown)

    def retranslate(self) -> None:
        self._texts.retranslate()
        self.log.retranslate()
        for name, (label, _, _) in self._bars.items():
            label.configure(text=self._tr.messages.word("phase", name))
        self._view.say(self._tr("gui.run.nothing_yet"))
        self._show_status(self._status)

    def focus_first(self) -> None:
        self._pause.focus_set()

    # ---- building

    def _make_head(self) -> None:
        px = self._theme.px
        head = ttk.Frame(self)
        head.grid(row=0, column=0, columnspan=2, sticky="ew", pady=(0, px(12)))
        self._title = ttk.Label(head, style="Title.TLabel")
        self._title.grid(row=0, column=0, sticky="w")
        self._left = ttk.Label(head, style="Dim.TLabel")
        self._left.grid(row=0, column=1, sticky="w", padx=px(16), pady=(px(8), 0))
        buttons = ttk.Frame(head)
        buttons.grid(row=0, column=2, sticky="e")
        self._pause = ttk.Button(buttons, command=self._pause_or_resume)
        self._stop = ttk.Button(buttons, command=lambda: self._on_order("stop"))
        self._kill = ttk.Button(buttons, command=lambda: self._on_order("kill"))
        self._again = ttk.Button(buttons, command=lambda: self._on_order("again"), style="Accent.TButton")
        self._result = ttk.Button(buttons, command=lambda: self._on_order("result"), style="Accent.TButton")
        self._buttons = (self._pause, self._stop, self._kill, self._again, self._result)
        for button, key in (
            (self._stop, "stop"),
            (self._kill, "kill"),
            (self._again, "again"),
            (self._result, "result"),
        ):
            self._texts.bind(button, f"gui.run.{key}")
        self._overall = ttk.Progressbar(head, maximum=STEPS)
        self._overall.grid(row=1, column=0, columnspan=3, sticky="ew", pady=(px(8), 0))
        self.end_text = ttk.Label(head, justify="left")
        head.bind("<Configure>", lambda event: self.end_text.configure(wraplength=event.width))
        self.end_text.grid(row=2, column=0, columnspan=3, sticky="w", pady=(px(8), 0))
        self.end_text.grid_remove()
        head.columnconfigure(1, weight=1)

    def _make_phases(self) -> None:
        px = self._theme.px
        box = ttk.Frame(self, style="Card.TFrame", padding=px(14))
        box.grid(row=1, column=0, sticky="nsew", padx=(0, px(12)))
        for row, name in enumerate(PHASES):
            label, count = ttk.Label(box), ttk.Label(box, style="Caption.TLabel", anchor="e", width=11)
            bar = ttk.Progressbar(box, maximum=STEPS, length=px(90))
            label.grid(row=row, column=0, sticky="w", pady=px(2))
            bar.grid(row=row, column=1, sticky="ew", padx=px(8))
            count.grid(row=row, column=2, sticky="e")
            self._bars[name] = label, bar, count
        figures = ttk.Frame(box)
        figures.grid(row=len(PHASES), column=0, columnspan=3, sticky="ew", pady=(px(12), 0))
        for row, name in enumerate(("pace", "memory", "disk", "elapsed")):
            label, value = ttk.Label(figures, style="Dim.TLabel"), ttk.Label(figures)
            label.grid(row=row, column=0, sticky="w", pady=px(1))
            value.grid(row=row, column=1, sticky="w", padx=(px(12), 0))
            self._texts.bind(label, f"gui.run.{name}")
            self._figures[name] = value

    def _make_picture(self) -> None:
        frame = ttk.Frame(self, style="Card.TFrame", padding=self._theme.px(2))
        frame.grid(row=1, column=1, sticky="nsew")
        self._view = FittedView(frame, self.repaint)
        self._view.pack(fill="both", expand=True)

    # ---- what is shown

    def _show_status(self, status: Status) -> None:
        changed, self._status = status is not self._status, status
        self._title.configure(text=self._tr(f"gui.status.{status}"))
        self._pause.configure(text=self._tr("gui.run.resume" if status is Status.PAUSED else "gui.run.pause"))
        shown = {
            Status.IDLE: (),
            Status.RUNNING: (self._pause, self._stop),
            Status.PAUSING: (self._pause, self._stop),
            Status.PAUSED: (self._pause, self._stop),
            Status.STOPPING: (self._kill,),
            Status.DONE: (self._result,),
        }.get(status, (self._again,))
        if changed or not status:
            for button in self._buttons:
                button.pack_forget()
            for button in shown:
                button.pack(side="left", padx=(self._theme.px(8), 0))
            self._colour_end(status)
        self._pause.state(["disabled" if status is Status.PAUSING else "!disabled"])

    def _colour_end(self, status: Status) -> None:
        colours = shades(self)
        bad = status in (Status.FAILED, Status.CRASHED)
        self.end_text.configure(foreground=colours.wrong if bad else colours.text)

    def _show_phase(self, name: str, view: PhaseView) -> None:
        label, bar, count = self._bars[name]
        bar["value"] = round(STEPS * view.share)
        unit = self._tr.messages.word("unit", view.unit)
        text = ""
        if view.finished:
            text = self._tr.duration(view.seconds)
        elif view.at_work:
            text = f"{view.done} / {view.total}" if view.total else f"{view.done} {unit}" if view.done else ""
        count.configure(text=text)
        label.configure(style="Head.TLabel" if view.at_work else "TLabel" if view.finished else "Dim.TLabel")

    def _time_text(self, run: Run) -> str:
        if run.status in ENDS or run.status in (Status.IDLE, Status.STOPPING):
            return ""
        left = run.progress.left
        return self._tr("gui.run.left_unknown") if left is None else left_in_words(left, self._tr)

    def _show_figures(self, progress: Progress, usage: Usage, *, ended: bool) -> None:
        tr, current = self._tr, progress.current
        pace = progress.pace
        unit = tr.messages.word("unit", current.unit) if current else ""
        known = {
            "pace": tr("gui.run.pace_value", pace=pace, unit=unit) if pace == pace else "",
            "memory": tr.size(usage.memory) if usage.memory == usage.memory and not ended else "",
            "disk": tr("gui.run.disk_value", used=tr.size(usage.workspace), free=tr.size(usage.free))
            if usage.free == usage.free
            else "",
            "elapsed": tr.span(progress.elapsed) if progress.current else "",
        }
        for name, text in known.items():
            self._figures[name].configure(text=text or "—")

    def _pause_or_resume(self) -> None:
        self._on_order("resume" if self._status is Status.PAUSED else "pause")


def left_in_words(left: TimeLeft, tr: Translator) -> str:
    """A span of time, as exactly as it is known."""
    least, most = coarse(left.least), coarse(left.most)
    if most < 5.0:
        return tr("gui.run.left_soon")
    if least == most or least < 5.0:
        return tr("gui.run.left_about", most=tr.span(most))
    return tr("gui.run.left", least=tr.span(least), most=tr.span(most))


def coarse(seconds: float) -> float:
    """In steps that nobody takes for more than is known."""
    step = next(step for below, step in COARSE if seconds < below)
    return round(seconds / step) * step
