"""Colours that the theme does not name, for dark and light themes, and the styles that use them."""

from __future__ import annotations

import tkinter as tk
from dataclasses import dataclass
from tkinter import font, ttk

from zemosaic.gui.sizes import px

__all__ = ["HEAD", "Shades", "follow_theme", "is_dark", "shades", "unpaint"]


HEAD = "ZeMosaicHead"  # the font of headings
SUN_VALLEY = {"sun-valley-dark": True, "sun-valley-light": False}


@dataclass(frozen=True)
class Shades:
    """Colours as Tk takes them."""

    ground: str  # behind everything
    text: str
    dim: str  # text that says less
    wrong: str
    accent: str
    line: str
    chosen: str  # behind what is selected


DARK = Shades("#1c1c1c", "#fafafa", "#b0b0b0", "#ff8a80", "#57c8ff", "#3a3a3a", "#243f55")
LIGHT = Shades("#fafafa", "#1c1c1c", "#606060", "#b3261a", "#005fb8", "#d5d5d5", "#d4e7fa")


def is_dark(widget: tk.Misc) -> bool:
    """Whether the theme is, by its name or else by its background, which sv-ttk sets only a moment after the theme."""
    style = ttk.Style(widget)
    if (name := style.theme_use()) in SUN_VALLEY:
        return SUN_VALLEY[name]
    ground = style.lookup(".", "background") or "white"
    return sum(widget.winfo_rgb(ground)) < 3 * 32768


def shades(widget: tk.Misc) -> Shades:
    return DARK if is_dark(widget) else LIGHT


def follow_theme(widget: tk.Misc) -> Shades:
    """Give the styles of this package's widgets the colours of the theme; to be called again on <<ThemeChanged>>.

    sv-ttk paints all labels in one colour when the theme changes (tk_setPalette); those inside `widget` get theirs back.
    """
    colours, style = shades(widget), ttk.Style(widget)
    usual = font.Font(widget, font=style.lookup("TLabel", "font") or "TkDefaultFont").actual()
    if HEAD not in font.names(widget):
        font.Font(widget, name=HEAD, exists=False).delete_font = False  # it outlives its name in Python
    font.nametofont(HEAD, widget).configure(family=usual["family"], size=usual["size"], weight="bold")
    style.configure("Head.TLabel", font=HEAD)
    style.configure("Dim.TLabel", foreground=colours.dim)
    style.configure("Wrong.TLabel", foreground=colours.wrong)
    style.configure("Changed.TLabel", foreground=colours.accent)
    style.map("Frames.Treeview", background=[("selected", colours.chosen)], foreground=[])
    style.configure("Quiet.TButton", padding=(px(widget, 6), px(widget, 2)))
    unpaint(widget)
    return colours


def unpaint(widget: tk.Misc) -> None:
    """Let the styles decide the colours of all labels inside."""
    if isinstance(widget, ttk.Label):
        widget.configure(foreground="")
    for child in widget.winfo_children():
        unpaint(child)
