"""The bar at the side: pages, language, theme."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from tkinter import ttk

from zemosaic import __version__
from zemosaic.gui.remembered import THEMES
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Texts, Translator
from zemosaic.messages import LANGUAGES

__all__ = ["SideBar"]


class SideBar(ttk.Frame):
    """Chooses a page, the language and the theme."""

    def __init__(
        self,
        parent: tk.Misc,
        tr: Translator,
        theme: Theme,
        pages: Sequence[str],
        *,
        on_page: Callable[[str], None],
        on_language: Callable[[str], None],
    ) -> None:
        super().__init__(parent, padding=(theme.px(10), theme.px(20)))
        self._tr, self._theme, self._on_language = tr, theme, on_language
        self._texts = Texts(tr)
        self.page = tk.StringVar(self, pages[0])
        px = theme.px
        ttk.Label(self, text="ZeMosaic", style="Title.TLabel").pack(anchor="w", padx=px(8))
        ttk.Label(self, text=__version__, style="Caption.TLabel").pack(anchor="w", padx=px(8), pady=(0, px(20)))
        for name in pages:
            button = ttk.Radiobutton(
                self,
                value=name,
                variable=self.page,
                style="Nav.Toggle.TButton",
                command=lambda: on_page(self.page.get()),
            )
            button.pack(fill="x", pady=px(2))
            self._texts.bind(button, f"gui.page.{name}")
        self._make_choices(px)
        self.retranslate()

    def retranslate(self) -> None:
        self._texts.retranslate()
        self._languages.configure(values=[self._tr(f"gui.language.{each}") for each in LANGUAGES])
        self._languages.current(LANGUAGES.index(self._tr.language))
        self._themes.configure(values=[self._tr(f"gui.theme.{each}") for each in THEMES])
        if self._theme.mode:
            self._themes.current(THEMES.index(self._theme.mode))

    def _make_choices(self, px: Callable[[float], int]) -> None:
        self._themes = ttk.Combobox(self, state="readonly", width=15)
        self._themes.pack(side="bottom", fill="x")
        self._themes.bind("<<ComboboxSelected>>", lambda _: self._theme.use(THEMES[self._themes.current()]))
        look = ttk.Label(self, style="Caption.TLabel")
        look.pack(side="bottom", anchor="w", pady=(px(10), px(2)))
        self._languages = ttk.Combobox(self, state="readonly", width=15)
        self._languages.pack(side="bottom", fill="x")
        self._languages.bind("<<ComboboxSelected>>", lambda _: self._on_language(LANGUAGES[self._languages.current()]))
        for chooser in (self._themes, self._languages):
            chooser.bind("<<ComboboxSelected>>", _unmark, add=True)
        language = ttk.Label(self, style="Caption.TLabel")
        language.pack(side="bottom", anchor="w", pady=(0, px(2)))
        self._texts.bind(look, "gui.theme")
        self._texts.bind(language, "gui.language")


def _unmark(event: tk.Event[ttk.Combobox]) -> None:
    """Tk marks what was chosen as if it were to be copied."""
    event.widget.selection_clear()
