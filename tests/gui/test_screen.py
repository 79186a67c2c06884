"""The screen of the tests of the window is there, and the theme with it."""

from __future__ import annotations

import tkinter

import sv_ttk


def test_a_window_opens_in_both_themes(root: tkinter.Tk) -> None:
    for theme in ("dark", "light"):
        sv_ttk.set_theme(theme, root)
        root.update()
        assert sv_ttk.get_theme(root) == theme and root.winfo_ismapped()
