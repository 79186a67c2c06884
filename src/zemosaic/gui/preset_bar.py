"""The row of the form that chooses, saves and removes presets."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Mapping
from tkinter import ttk

from zemosaic.errors import SettingsError
from zemosaic.gui.presets import BUILT_IN, Presets
from zemosaic.gui.sizes import px
from zemosaic.gui.tips import Tip
from zemosaic.gui.words import Words

__all__ = ["PresetBar"]


class PresetBar(ttk.Frame):
    """Choose, save, remove.

    Parameters
    ----------
    take : called with the preset that the user chose
    current : gives the settings that a new one is made of
    """

    def __init__(
        self,
        parent: tk.Misc,
        tr: Words,
        presets: Presets,
        take: Callable[[Mapping[str, object]], None],
        current: Callable[[], Mapping[str, object]],
    ) -> None:
        super().__init__(parent)
        self._tr, self._presets, self._take, self._current = tr, presets, take, current
        self._label = ttk.Label(self)
        self.box = ttk.Combobox(self, state="readonly", width=18)
        self.box.bind("<<ComboboxSelected>>", lambda _: self._chosen())
        self._save = ttk.Button(self, command=self._ask_name)
        self._remove = ttk.Button(self, text="✕", width=2, style="Quiet.TButton", command=self.forget)
        self.name = tk.StringVar(self)
        self._entry = ttk.Entry(self, textvariable=self.name, width=18)
        self._entry.bind("<Return>", lambda _: self.save())
        self._entry.bind("<Escape>", lambda _: self._at_rest())
        self._keep = ttk.Button(self, style="Accent.TButton", command=self.save)
        self._cancel = ttk.Button(self, command=self._at_rest)
        self._message = ttk.Label(self, style="Wrong.TLabel", wraplength=px(self, 420))
        self._own: dict[str, dict[str, object]] = {}
        self._remove_tip = Tip(lambda: tr("gui.settings.preset.remove"), self._remove)
        self._tip = Tip(self._explained, self.box, self._label)
        self._load()
        self._at_rest()

    def retranslate(self) -> None:
        tr, current = self._tr, self.box.current()
        self._label.configure(text=tr("gui.settings.preset"))
        self._save.configure(text=tr("gui.settings.preset.save"))
        self._keep.configure(text=tr("gui.settings.preset.keep"))
        self._cancel.configure(text=tr("gui.settings.preset.cancel"))
        self.box.configure(values=self._names())
        if current >= 0:
            self.box.current(current)

    def save(self) -> None:
        """Save the settings as they are under the name that was typed."""
        name = self.name.get().strip()
        if name.casefold() in [each.casefold() for each in self._names()[: len(BUILT_IN)]]:
            self._tell(self._tr("gui.settings.preset.built_in", name=name))
            return
        if not name:
            self._tell(self._tr("gui.settings.preset.nameless"))
            return
        try:
            self._presets.save(name, self._current())
        except SettingsError:
            self._tell(self._tr("gui.settings.preset.failed", path=self._presets.path))
            return
        self._load()
        self._at_rest()
        self.box.current(len(BUILT_IN) + list(self._own).index(name))
        self._show_remove()

    def _names(self) -> list[str]:
        return [*(self._tr(f"gui.settings.preset.{key}") for key in BUILT_IN), *self._own]

    def _explained(self) -> str:
        at = self.box.current()
        keys = list(BUILT_IN)
        return self._tr(f"gui.settings.preset.{keys[at]}.help" if 0 <= at < len(keys) else "gui.settings.preset.help")

    def _load(self) -> None:
        try:
            self._own = self._presets.load()
        except SettingsError:
            self._tell(self._tr("gui.settings.preset.failed", path=self._presets.path))
        self.box.configure(values=self._names())

    def _chosen(self) -> None:
        at = self.box.current()
        self._take([*BUILT_IN.values(), *self._own.values()][at])
        self._show_remove()

    def forget(self) -> None:
        """Remove the chosen preset, one of the user's own."""
        name = list(self._own)[self.box.current() - len(BUILT_IN)]
        try:
            self._presets.remove(name)
        except SettingsError:
            self._tell(self._tr("gui.settings.preset.failed", path=self._presets.path))
            return
        self.box.set("")
        self._load()
        self._show_remove()

    def _ask_name(self) -> None:
        for widget in (self.box, self._save, self._remove):
            widget.grid_remove()
        self._entry.grid(row=0, column=1)
        self._keep.grid(row=0, column=2, padx=(px(self, 6), 0))
        self._cancel.grid(row=0, column=3, padx=(px(self, 6), 0))
        self._entry.focus_set()

    def _at_rest(self) -> None:
        for widget in (self._entry, self._keep, self._cancel, self._message):
            widget.grid_remove()
        self._label.grid(row=0, column=0, padx=(0, px(self, 8)))
        self.box.grid(row=0, column=1)
        self._save.grid(row=0, column=2, padx=(px(self, 6), 0))
        self._show_remove()

    def _show_remove(self) -> None:
        if self.box.current() >= len(BUILT_IN):
            self._remove.grid(row=0, column=3, padx=(px(self, 6), 0))
        else:
            self._remove.grid_remove()

    def _tell(self, text: str) -> None:
        self._message.configure(text=text)
        self._message.grid(row=1, column=0, columnspan=4, sticky="w", pady=(px(self, 4), 0))
