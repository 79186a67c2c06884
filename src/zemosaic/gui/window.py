"""The window: pages behind a bar, and between them and the engine whatever one says to the other."""

from __future__ import annotations

import sys
import tkinter as tk
import traceback
from functools import partial
from tkinter import ttk
from types import TracebackType

from zemosaic.events import BlockMade, Event
from zemosaic.gui import dialog, remembered
from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.engine import PAUSE, RESUME, STOP, Engine, Job, Result
from zemosaic.gui.frames import Frames, exclusion, parted, ruled_out
from zemosaic.gui.inquiry import Inquiry
from zemosaic.gui.keys import answer_return, bind_shortcuts
from zemosaic.gui.mnemonics import answer_alt, underline
from zemosaic.gui.opening import Opening
from zemosaic.gui.placement import place
from zemosaic.gui.progress import Progress, TimeLeft
from zemosaic.gui.remembered import Remembered
from zemosaic.gui.result_page import ResultPage
from zemosaic.gui.run_page import RunPage
from zemosaic.gui.settings_form import SettingsForm
from zemosaic.gui.sidebar import SideBar
from zemosaic.gui.sky_page import SkyPage
from zemosaic.gui.slices import Sliced
from zemosaic.gui.start_page import StartPage
from zemosaic.gui.state import LogLines, Run, Status, end_in_words
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Translator, system_language
from zemosaic.gui.usage import Usage, UsageWatch
from zemosaic.gui.work import Question, make
from zemosaic.ledger import WORKSPACE
from zemosaic.messages import sentence
from zemosaic.settings import Settings

__all__ = ["Window"]

TICK = 50  # ms between two looks at what the engine said
SLICE = 0.010  # s of a look, at most
SHOW_EVERY = 4  # ticks between two times that figures are written anew
PAGES = ("start", "sky", "settings", "run", "result")
NOTICE = 15_000  # ms that it is shown
NAMED = 3  # patterns in a line
RESTLESS = 400  # ms without a change before headers are looked at


class Window:
    """All of it."""

    def __init__(self, root: tk.Tk, theme: Theme, opening: Opening) -> None:
        self.root, self.theme = root, theme
        self._opening, self._memory = opening, remembered.load()
        self.tr = Translator(self._language())
        self._engine: Engine | None = None
        self._usage: UsageWatch | None = None
        self._inquiry = Inquiry()
        self._run = Run()
        self._log = LogLines(self.tr.language)
        self._ticks, self._due, self._fading = 0, "", ""
        self._shown: Result | None = None
        self._asked: Settings | None = None  # of the look at headers
        self._frames: Frames | None = None  # that are on the sky
        root.title("ZeMosaic")
        root.report_callback_exception = self._on_error
        theme.use(self._memory.theme)
        self._make()
        place(root, self._memory.geometry)
        self._fill()
        answer_return(root)
        answer_alt(root, self._in_sight)
        pages = {str(number): partial(self.show_page, page) for number, page in enumerate(PAGES, 1)}
        bind_shortcuts(root, pages | {"Return": self.start.go, "o": self._open, "f": self._find})
        root.protocol("WM_DELETE_WINDOW", self.close)
        root.after(TICK, self._tick)

    def run(self) -> None:
        self.root.mainloop()

    # ---- building

    def _language(self) -> str:
        given, kept = self._opening.settings.language, self._opening.kept.language
        if given != kept:  # a flag says so
            return given
        return self._memory.language or (
            kept if "language" in self._opening.kept.model_fields_set else system_language()
        )

    def _make(self) -> None:
        self.bar = SideBar(self.root, self.tr, self.theme, PAGES, on_page=self.show_page, on_language=self.use_language)
        self.bar.pack(side="left", fill="y")
        ttk.Separator(self.root, orient="vertical").pack(side="left", fill="y")
        body = ttk.Frame(self.root)
        body.pack(side="left", fill="both", expand=True)
        self._notice = ttk.Label(body, style="Wrong.TLabel", padding=self.theme.px(8), wraplength=self.theme.px(900))
        self.start = StartPage(body, self.tr, self.theme, self._folders_changed, self._start_run)
        self.running = RunPage(body, self.tr, self.theme, self._order)
        self.result = ResultPage(body, self.tr, self.theme, self.tell_trouble)
        values = self._first_values()
        self._rules, files = parted(str(values["exclude_files"]))  # patterns stand in the form, single files on the sky
        self.choice = FrameChoice(files, self._tell_rules)
        self._ruling = Sliced(body)
        self.sky = SkyPage(body, self.tr, self.theme, self.choice)
        self.form = SettingsForm(
            body,
            self.tr,
            values=values | {"exclude_files": self._rules},
            on_change=self._setting_changed,
            hidden=("language",),
        )
        self.pages: dict[str, StartPage | SkyPage | SettingsForm | RunPage | ResultPage] = {
            "start": self.start,
            "sky": self.sky,
            "settings": self.form,
            "run": self.running,
            "result": self.result,
        }
        self.show_page("start")

    def _first_values(self) -> dict[str, object]:
        """Settings from the files, then what was remembered, then the flags."""
        given, kept = _values(self._opening.settings), _values(self._opening.kept)
        flags = {name: value for name, value in given.items() if value != kept[name]}
        return kept | {name: value for name, value in self._memory.settings.items() if name in kept} | flags

    def _fill(self) -> None:
        inputs: tuple[str, ...] = tuple(map(str, self._opening.inputs)) or self._memory.inputs
        output = str(self._opening.output or self._memory.output)
        self.start.set_folders(inputs, output)
        self._folders_changed()
        self.start.focus_first()

    # ---- pages, language, words

    def show_page(self, name: str) -> None:
        for each, page in self.pages.items():
            if each != name:
                page.pack_forget()
        if name == "start" and self._asked is not None and self._asked != self._asking():  # it will need something else
            self._folders_changed()
        self.pages[name].pack(fill="both", expand=True)
        self.bar.page.set(name)
        underline(*self._in_sight())

    def _in_sight(self) -> tuple[tk.Misc, ...]:
        """What holds buttons: the bar and the page."""
        return self.bar, self.pages[self.bar.page.get()]

    def _open(self) -> None:
        """Choose a folder with subs."""
        self.show_page("start")
        self.start.choose_folder()

    def _find(self) -> None:
        """The keyboard goes to where this page is searched."""
        fields = {
            "sky": self.sky.table.bar.entry,
            "settings": self.form.search_entry,
            "run": self.running.log.search_entry,
        }
        if (field := fields.get(self.bar.page.get())) is not None:
            field.focus_set()
            field.select_range(0, "end")

    def use_language(self, language: str) -> None:
        self.tr.use(language)
        self.bar.retranslate()
        for page in self.pages.values():
            page.retranslate()
        self._log = LogLines(language)
        self.running.log.replace(self._log.lines(self._run.said))
        if self._run.end is not None:
            self.running.tell_end(end_in_words(self._run.end, self.tr.messages))
        self._show_inquiry()
        self._show_run()
        underline(*self._in_sight())

    def tell_trouble(self, text: str) -> None:
        """A line at the top, until the next thing is done."""
        self._notice.configure(text=text)
        self._notice.pack(side="top", fill="x", before=self.pages[self.bar.page.get()])
        if self._fading:
            self.root.after_cancel(self._fading)
        self._fading = self.root.after(NOTICE, self._notice.pack_forget)

    def _on_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """What goes wrong in the window itself is told, and the window lives."""
        traceback.print_exception(kind, error, trace, file=sys.stderr)
        self.tell_trouble(self.tr("gui.trouble", kind=kind.__name__, text=error))

    # ---- headers

    def _folders_changed(self) -> None:
        """Look at headers when the folders have been as they are for a moment."""
        if self._due:
            self.root.after_cancel(self._due)
        self._inquiry.forget()
        self._show_inquiry()
        self._due = self.root.after(RESTLESS, self._inquire)

    def _inquire(self) -> None:
        self._due = ""
        inputs, output = self.start.inputs, self.start.output_folder
        settings, self._asked = self.settings(), self._asking()
        if inputs and settings is not None and not self._run.at_work:
            self._inquiry.ask(Question(inputs, output, settings))
        self._show_inquiry()

    def _show_inquiry(self) -> None:
        inquiry, start = self._inquiry, self.start
        start.show_facts(*inquiry.facts(self.tr))
        start.tell(inquiry.words(self.tr), bad=inquiry.failed, busy=inquiry.busy)
        start.allow_fresh(inquiry.earlier is not None)
        self._allow_start()

    def _show_earlier(self) -> None:
        """The result of an earlier run, once; that of this window's own run is newer."""
        earlier = self._inquiry.earlier
        if earlier is not None and earlier is not self._shown and self._run.status is not Status.DONE:
            self._shown = earlier
            self.result.show(earlier)

    def _show_frames(self) -> None:
        """On the sky and in the table."""
        frames = self._inquiry.frames
        if frames is None or frames is self._frames:
            return
        self._frames = frames
        self.sky.show(frames.rows, frames.places)
        self._rule_out()

    def _setting_changed(self) -> None:
        self._allow_start()
        rules = str(self.form.values()["exclude_files"])
        if rules != self._rules:
            self._rules = rules
            self._rule_out()

    def _rule_out(self) -> None:
        """Mark the frames that the patterns of the form leave out."""
        rows, found = () if self._frames is None else self._frames.rows, dict[str, str]()
        self._ruling.start(ruled_out(rows, self._rules, found), lambda: self.choice.rule(found))

    def _tell_rules(self, files: frozenset[str]) -> None:
        """Frames were to be taken back, and a pattern keeps them out."""
        tr, rules = self.tr, self.choice.rules
        where = {
            "page": tr("gui.page.settings"),
            "group": tr("group.frame quality"),
            "setting": tr("setting.exclude_files"),
        }
        some = ", ".join(sorted({f"“{rules[file]}”" for file in files if file in rules})[:NAMED])
        self.tell_trouble(tr("gui.table.ruled", count=len(files), patterns=some, **where))

    def _allow_start(self) -> None:
        why = ""
        if self._run.at_work:
            why = self.tr("gui.start.at_work")
        elif not self.start.inputs:
            why = self.tr("gui.start.no_input")
        elif self.start.output_folder is None:
            why = self.tr("gui.start.no_output")
        elif self.form.problems():
            why = self.tr("gui.start.wrong_setting")
        elif self._inquiry.failed:
            why = self.tr("gui.start.refused")
        elif self._inquiry.earlier is not None:
            self.start.allow_start(True, self.tr("gui.start.goes_on"))
            return
        self.start.allow_start(not why, why)

    def _asking(self) -> Settings | None:
        """What the look at headers depends on."""
        found = self.settings()
        return None if found is None else found.model_copy(update={"language": "en"})

    def settings(self) -> Settings | None:
        """All of them, with what is left out on the sky; None while something is wrong with them."""
        found = self.form.settings()
        if found is None:
            return None
        excluded = exclusion(found.exclude_files, self.choice.own)
        return found.model_copy(update={"language": self.tr.language, "exclude_files": excluded})

    def _settings_of_run(self) -> Settings | None:
        """Without what is left out in other folders, where that is known: no run need wonder about it."""
        found, frames = self.settings(), self._inquiry.frames
        if found is None or frames is None:
            return found
        here = self.choice.own.intersection(row.file for row in frames.rows)
        return found.model_copy(update={"exclude_files": exclusion(str(self.form.values()["exclude_files"]), here)})

    # ---- a run

    def _start_run(self, fresh: bool) -> None:
        inputs, output = self.start.inputs, self.start.output_folder
        settings = self._settings_of_run()
        if output is None or not inputs or settings is None or self._run.at_work:
            return
        outlook = self._inquiry.outlook
        self._inquiry.forget(keep=True)
        guess = None if outlook is None else TimeLeft(outlook.least, outlook.most)
        self._run = Run(Progress(guess=guess))
        self._run.begin()
        self._log = LogLines(self.tr.language)
        self.running.begin()
        job = Job(inputs, output, settings, self._opening.notes, fresh)
        engine = self._engine = Engine(make, job)
        self._usage = UsageWatch(lambda: engine.pid, output, output / WORKSPACE)
        self.start.fresh.set(False)
        self._remember()
        self._show_run()
        self._allow_start()
        self.show_page("run")
        self.running.focus_first()

    def _order(self, order: str) -> None:
        """What a button of the run's page asks."""
        if order == "again":
            self._start_run(fresh=False)
        elif order == "result":
            self.show_page("result")
        elif self._engine is not None:
            if order == "kill":
                self._engine.kill()
            elif self._run.ask({"pause": Status.PAUSING, "resume": Status.RUNNING, "stop": Status.STOPPING}[order]):
                self._engine.tell({"pause": PAUSE, "resume": RESUME, "stop": STOP}[order])
        self._show_run()

    def _take_news(self) -> None:
        engine = self._engine
        if engine is None:
            return
        news = engine.news(SLICE)
        for value in news:
            self._run.take(value)
            if isinstance(value, BlockMade):
                self.running.growing.add(value)
        if any(isinstance(value, BlockMade) for value in news):
            self.running.repaint()
        self.running.log.add(self._log.lines([value for value in news if isinstance(value, Event)]))
        if engine.end is not None:
            self._ended()

    def _ended(self) -> None:
        self._engine = None
        if self._usage is not None:
            self._usage.close()
        end, output = self._run.end, self.start.output_folder
        if end is not None:
            self.running.tell_end(end_in_words(end, self.tr.messages))
        if self._run.made and output is not None:
            self.result.show(Result(output, self._run.made, tuple(self._run.left_out)))
            if self._run.status is Status.DONE and self.bar.page.get() == "run":
                self.show_page("result")
        self._show_run()
        self._folders_changed()

    def _show_run(self) -> None:
        self.running.show(self._run, self._usage.now if self._usage is not None else Usage())

    # ---- the clock

    def _tick(self) -> None:
        self._ticks += 1
        self._take_news()
        if self._inquiry.take(SLICE):
            self._show_inquiry()
            self._show_earlier()
            self._show_frames()
        self.running.fetch_picture()
        if self._ticks % SHOW_EVERY == 0 and self._run.at_work:
            self._show_run()
        self.root.after(TICK, self._tick)

    # ---- the end

    def close(self) -> None:
        """Ask where a run is at work; what it has done stays on the disk."""
        if self._run.at_work and not self._may_stop():
            return
        self._remember()
        self._inquiry.forget()
        if self._engine is not None:
            self._engine.tell(STOP)
            self._engine.close()
        self.root.destroy()

    def _may_stop(self) -> bool:
        choices = (
            dialog.Choice("stay", self.tr("gui.close.stay"), accent=True),
            dialog.Choice("stop", self.tr("gui.close.stop")),
        )
        return dialog.ask(self.root, self.tr("gui.close.title"), self.tr("gui.close.text"), choices) == "stop"

    def _changed_settings(self) -> dict[str, object]:
        """Those that differ from the user's files."""
        kept = _values(self._opening.kept)
        problems = self.form.problems()
        values: dict[str, object] = dict(self.form.values())
        values["exclude_files"] = exclusion(str(values["exclude_files"]), self.choice.own)
        return {name: value for name, value in values.items() if name not in problems and value != kept[name]}

    def _remember(self) -> None:
        memory = Remembered(
            geometry=self.root.geometry(),
            theme=self.theme.mode,
            language=self.tr.language,
            inputs=tuple(map(str, self.start.inputs)),
            output=self.start.output.get().strip(),
            settings=self._changed_settings(),
        )
        try:
            remembered.save(memory)
        except OSError as error:
            self.tell_trouble(
                self.tr("gui.not_remembered", path=remembered.path(), reason=sentence(str(error.strerror), self.tr))
            )
        self._memory = memory


def _values(settings: Settings) -> dict[str, object]:
    """All of them by name, those that are never shown too."""
    return {name: getattr(settings, name) for name in Settings.model_fields}
