"""Colours that the theme does not name, for dark and light themes, and the styles that use them."""

from __future__ import annotations

import tkinter as tk
from dataclasses import dataclass
from tkinter import font, ttk
from typing import Any

from zemosaic.gui.sizes import px

__all__ = ["HEAD", "Shades", "follow_theme", "is_dark", "shades"]


NO_PALETTE = """
proc ::tk_setPalette {args} {}
if {![llength [info commands ::zemosaic_list]]} {
    proc ::zemosaic_list {w} {
        set list $w.popdown.f.l
        if {[winfo exists $list]} {
            foreach option {-background -foreground -selectbackground -selectforeground} {
                $list configure $option $::zemosaic_colours($option)
            }
        }
    }
    bind TCombobox <<ThemeChanged>> {+::zemosaic_list %W}
}
"""
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
    """Give the styles of this package's widgets the colours of the theme; to be called again on <<ThemeChanged>>."""
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
    _paint(widget, colours)
    return colours


def _paint(widget: tk.Misc, colours: Shades) -> None:
    """Colours of what is no ttk: the window itself, the lists of choices, dialogs of Tk.

    sv-ttk leaves that to tk_setPalette, which gives every label one colour, whatever its style says, and takes its time.
    """
    widget.tk.eval(NO_PALETTE)
    values = {
        "background": colours.ground, "foreground": colours.text, "highlightBackground": colours.ground,
        "selectBackground": colours.accent, "selectForeground": colours.ground, "insertBackground": colours.text,
        "activeBackground": colours.chosen, "activeForeground": colours.text,
    }  # fmt: skip
    for option, colour in values.items():
        widget.option_add(f"*{option}", colour, "widgetDefault")
        widget.tk.call("set", f"::zemosaic_colours(-{option.lower()})", colour)
    top: Any = widget.winfo_toplevel()
    top.configure(background=colours.ground)
