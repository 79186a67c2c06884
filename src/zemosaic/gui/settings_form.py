"""Every setting in a form made from the declaration: groups, search, presets; wrong values are marked where they are typed."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from tkinter import ttk

from zemosaic.declaration import Declared
from zemosaic.gui.preset_bar import PresetBar
from zemosaic.gui.presets import Presets, completed
from zemosaic.gui.scrolled import Scrolled
from zemosaic.gui.setting_row import SettingRow
from zemosaic.gui.setting_words import Value, as_text, as_value, matches, why_wrong
from zemosaic.gui.shades import follow_theme
from zemosaic.gui.sizes import px
from zemosaic.gui.slices import Later, Sliced
from zemosaic.gui.words import Words
from zemosaic.settings import Settings, declared, lacks_side_by_side

__all__ = ["SettingsForm"]

NAVIGATION = 210  # px at 96 dpi
ROWS_A_STEP = 8  # shown or hidden at once
SEARCH_DELAY = 150  # ms after the last key


class SettingsForm(ttk.Frame):
    """The form of the settings.

    Parameters
    ----------
    values : settings by name; the others have their defaults
    on_change : called after every change of a value, by the user or by a preset, right or wrong
    hidden : names of settings that have their place elsewhere in the window
    presets : where the user's own presets are kept
    """

    def __init__(
        self,
        parent: tk.Misc,
        tr: Words,
        *,
        values: Mapping[str, object] | None = None,
        on_change: Callable[[], None] | None = None,
        hidden: Collection[str] = (),
        presets: Presets | None = None,
    ) -> None:
        super().__init__(parent)
        self._tr, self._on_change = tr, on_change
        self._about = {name: about for name, about in declared().items() if name not in hidden}
        self._hidden = {
            name: (values or {}).get(name, about.default) for name, about in declared().items() if name in hidden
        }
        self._variables: dict[str, tk.StringVar] = {}
        self._rows: dict[str, SettingRow] = {}
        self._heads: dict[str, ttk.Label] = {}
        self._loading = False
        self._shown: set[str] = set()
        self._searching = Later(self, SEARCH_DELAY, self._filter)
        follow_theme(self)
        self._make_top(presets or Presets())
        self._make_body()
        for name, about in self._about.items():
            text = as_text((values or {}).get(name, about.default))
            variable = self._variables[name] = tk.StringVar(self, text)
            variable.trace_add("write", lambda *_, name=name: self._written(name))
        self._filtering, self._translating = Sliced(self, budget=0.0), Sliced(self, budget=0.0)
        self._building = Sliced(self)
        self._building.start(self._build(), self._built)
        self.retranslate()
        self.bind("<<ThemeChanged>>", lambda _: follow_theme(self), add=True)

    # ---- what the rest of the window asks

    def values(self) -> dict[str, Value]:
        """Every setting as it is typed; a text where a number is wrong (`problems` names it)."""
        typed = {name: as_value(about, self._variables[name].get()) for name, about in self._about.items()}
        return {**self._hidden, **typed}  # type: ignore[dict-item]

    def changed(self) -> dict[str, Value]:
        """Those that differ from their defaults."""
        known = declared()
        return {name: value for name, value in self.values().items() if value != known[name].default}

    def problems(self) -> dict[str, str]:
        """What is wrong, in words, by the setting's name."""
        wrong = {name: why_wrong(about, self._variables[name].get(), self._tr) for name, about in self._about.items()}
        found = {name: why for name, why in wrong.items() if why}
        if not found and lacks_side_by_side(Settings.model_validate(self.values())):
            found["stacking_final_combine_method"] = self._tr("gui.settings.wrong.median")
        return found

    def settings(self) -> Settings | None:
        """The settings for a run; None while something is wrong."""
        return None if self.problems() else Settings.model_validate(self.values())

    def set_values(self, values: Mapping[str, object]) -> None:
        """Take these; settings that are not named get their defaults."""
        self._loading = True
        for name, about in self._about.items():
            text = as_text(values.get(name, about.default))
            if text != self._variables[name].get():
                self._variables[name].set(text)
        self._hidden = {name: values.get(name, old) for name, old in self._hidden.items()}
        self._loading = False
        self._all_marked()

    def show_setting(self, name: str) -> None:
        """Bring a setting into view and put the cursor into it."""
        self._building.finish()
        self._only_changed.set(False)
        self.search("")
        self._filtering.finish()
        self._rows[name].editor.focus_set()
        self.after_idle(self._scrolled.show, self._rows[name])  # when it has its place

    def row(self, name: str) -> SettingRow:
        """The widgets of a setting, once they are built."""
        return self._rows[name]

    def group_titles(self) -> dict[str, str]:
        """What stands in the list of groups: their titles, how much is changed in them, and a sign where something is wrong."""
        return {group: str(self._navigation.item(group, "text")) for group in self._heads}

    def search(self, words: str) -> None:
        """Show only the settings in which these words appear."""
        self._search.set(words)
        self._filter()

    def only_changed(self, only: bool) -> None:
        """Show only what differs from the defaults."""
        self._only_changed.set(only)
        self._filter()

    def scrolled_by(self) -> float:
        """Share of the form above what is seen."""
        return float(self._scrolled.canvas.yview()[0])

    def finish(self) -> None:
        """Build, show, hide and translate at once what is still to be."""
        self._building.finish()
        self._filtering.finish()
        self._translating.finish()

    def retranslate(self) -> None:
        tr = self._tr
        self._search_label.configure(text=tr("gui.settings.search"))
        self._only_box.configure(text=tr("gui.settings.only_changed"))
        self._reset_all.configure(text=tr("gui.settings.reset_all"))
        self._nothing.configure(text=tr("gui.settings.nothing"))
        self.presets.retranslate()
        self._translating.start(self._retranslate_rows())

    def _retranslate_rows(self) -> Iterator[None]:
        """Some rows a step: Tk draws in between."""
        self._all_marked(tell=False)
        for count, row in enumerate(list(self._rows.values()), 1):
            row.retranslate()
            if count % ROWS_A_STEP == 0:
                yield

    # ---- building

    def _make_top(self, presets: Presets) -> None:
        top = ttk.Frame(self)
        top.grid(row=0, column=0, columnspan=2, sticky="ew", padx=px(self, 12), pady=(px(self, 12), px(self, 8)))
        top.columnconfigure(1, weight=1)
        self._search = tk.StringVar(self)
        self._search_label = ttk.Label(top)
        self._search_label.grid(row=0, column=0, padx=(0, px(self, 8)))
        self.search_entry = ttk.Entry(top, textvariable=self._search, width=24)
        self.search_entry.grid(row=0, column=1, sticky="w")
        self.search_entry.bind("<Escape>", lambda _: self._search.set(""))
        self._search.trace_add("write", lambda *_: self._searching.start())
        self._only_changed = tk.BooleanVar(self, False)
        self._only_box = ttk.Checkbutton(top, variable=self._only_changed, command=self._filter)
        self._only_box.grid(row=0, column=2, padx=px(self, 12))
        self.presets = PresetBar(top, self._tr, presets, self._take_preset, self.changed)
        self.presets.grid(row=0, column=3, padx=px(self, 12))
        self._reset_all = ttk.Button(top, command=lambda: self.set_values(completed({}, self.values())))
        self._reset_all.grid(row=0, column=4)

    def _make_body(self) -> None:
        self._navigation = ttk.Treeview(self, show="tree", selectmode="browse", height=1)
        self._navigation.column("#0", width=px(self, NAVIGATION), stretch=False)
        self._navigation.grid(row=1, column=0, sticky="ns", padx=(px(self, 12), 0), pady=(0, px(self, 12)))
        self._navigation.bind("<<TreeviewSelect>>", lambda _: self._go_to_group())
        self._scrolled = Scrolled(self)
        self._scrolled.grid(row=1, column=1, sticky="nsew", padx=px(self, 12), pady=(0, px(self, 12)))
        self._nothing = ttk.Label(self._scrolled.inside, style="Dim.TLabel")
        self._scrolled.inside.columnconfigure(0, weight=1)
        self.columnconfigure(1, weight=1)
        self.rowconfigure(1, weight=1)

    def _build(self) -> Iterator[None]:
        """The rows, one a step; they are shown in the order of the declaration."""
        inside, place = self._scrolled.inside, 1
        for group, members in groupby(self._about.values(), key=lambda about: about.group):
            head = self._heads[group] = ttk.Label(inside, style="Head.TLabel", text=self._tr(f"group.{group}"))
            head.grid(row=place, column=0, sticky="w", padx=px(self, 12), pady=(px(self, 16), px(self, 4)))
            self._scrolled.wheel(head)
            self._navigation.insert("", "end", group, text=self._tr(f"group.{group}"))
            place += 1
            for about in members:
                self._add_row(about, place)
                place += 1
                yield

    def _add_row(self, about: Declared, place: int) -> None:
        name = about.name
        row = SettingRow(self._scrolled.inside, about, self._variables[name], self._tr, lambda: self._reset(name))
        row.grid(row=place, column=0, sticky="ew")
        self._rows[name] = row
        for widget in (row, *row.winfo_children(), *row.editor.master.winfo_children()):
            self._scrolled.wheel(widget)
        row.editor.bind("<FocusIn>", lambda _: self._scrolled.show(row), add=True)
        self._mark(name)

    def _built(self) -> None:
        self._shown = set(self._rows)
        self._filter()
        self._all_marked(tell=False)

    # ---- what happens

    def _written(self, name: str) -> None:
        if name in self._rows:
            self._rows[name].follow_variable()
        if not self._loading:
            self._all_marked()

    def _mark(self, name: str, wrong: str | None = None) -> None:
        about, text = self._about[name], self._variables[name].get()
        why = why_wrong(about, text, self._tr) if wrong is None else wrong
        self._rows[name].mark(why, changed=as_value(about, text) != about.default)

    def _all_marked(self, *, tell: bool = True) -> None:
        """Mark every setting (one can make another wrong), and the groups with what is changed in them."""
        wrong = self.problems()
        for name in self._rows:
            self._mark(name, wrong.get(name, ""))
        changed = self.changed()
        for group in self._heads:
            count = sum(about.group == group and about.name in changed for about in self._about.values())
            title = self._tr(f"group.{group}")
            bad = any(about.group == group and about.name in wrong for about in self._about.values())
            text = ("⚠ " if bad else "") + title + (f" ({count})" if count else "")
            if text != self._navigation.item(group, "text"):
                self._heads[group].configure(text=title)
                self._navigation.item(group, text=text)
        if tell and self._on_change is not None:
            self._on_change()

    def _reset(self, name: str) -> None:
        self._variables[name].set(as_text(self._about[name].default))

    def _take_preset(self, preset: Mapping[str, object]) -> None:
        self.set_values(completed(preset, self.values()))

    def _go_to_group(self) -> None:
        chosen = self._navigation.selection()
        if chosen:
            self._scrolled.show(self._heads[chosen[0]], top=True)

    def _filter(self) -> None:
        """Show the settings that are searched for, and the heads of their groups."""
        needle, changed = self._search.get(), self.changed() if self._only_changed.get() else self._about
        shown = {name for name in self._rows if name in changed and matches(self._about[name], needle, self._tr)}
        if shown == self._shown:
            return
        self._shown = shown
        self._filtering.start(self._show_rows(shown))
        self._scrolled.canvas.yview_moveto(0.0)

    def _show_rows(self, shown: set[str]) -> Iterator[None]:
        """Show these rows and no others, some a step: Tk draws in between."""
        groups = {self._about[name].group for name in shown}
        for group, head in self._heads.items():
            head.grid() if group in groups else head.grid_remove()
        if shown or not self._rows:
            self._nothing.grid_remove()
        else:
            self._nothing.grid(row=0, column=0, sticky="w", padx=px(self, 12), pady=px(self, 16))
        for count, (name, row) in enumerate(self._rows.items(), 1):
            row.grid() if name in shown else row.grid_remove()
            if count % ROWS_A_STEP == 0:
                yield
