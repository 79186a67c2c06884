"""Every text stands out from its ground, in both themes: at least 4.5 to 1, as WCAG 2.1 (AA) asks."""

from __future__ import annotations

import os
import tkinter as tk
from pathlib import Path
from tkinter import ttk

import pytest
from frames import frames
from person import Open, Person
from PIL import Image, ImageColor, ImageGrab

from zemosaic.gui.picture_view import FAINT, GROUND
from zemosaic.gui.shades import DARK, LIGHT, Shades, shades
from zemosaic.gui.skylayers import GRID_TEXT, NOBODY, PALETTE
from zemosaic.gui.skypaint import GROUND as SKY
from zemosaic.gui.state import Line
from zemosaic.gui.translator import Translator

ENOUGH = 4.5
WORDS = ttk.Label | ttk.Button | ttk.Radiobutton | ttk.Checkbutton
Colour = tuple[int, ...]


def luminance(colour: Colour) -> float:
    """Relative luminance of WCAG 2.1, of sRGB 0..255."""
    parts = [c / 255.0 for c in colour[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour | str, other: Colour | str) -> float:
    both = [luminance(ImageColor.getrgb(each) if isinstance(each, str) else each) for each in (one, other)]
    return (max(both) + 0.05) / (min(both) + 0.05)


@pytest.mark.parametrize("colours", [DARK, LIGHT], ids=["dark", "light"])
def test_colours_of_text(colours: Shades) -> None:
    on_ground = {name: contrast(getattr(colours, name), colours.ground) for name in ("text", "dim", "wrong", "accent")}
    on_chosen = {name: contrast(getattr(colours, name), colours.chosen) for name in ("text", "dim", "wrong")}
    assert min(on_ground.values()) >= ENOUGH and min(on_chosen.values()) >= ENOUGH, (on_ground, on_chosen)


def test_colours_on_the_sky_and_beside_the_mosaic() -> None:
    assert contrast(FAINT, GROUND) >= ENOUGH
    assert min(contrast(each, SKY) for each in (*PALETTE, GRID_TEXT, NOBODY)) >= ENOUGH


def seen(picture: Image.Image) -> float:
    """Contrast of the ground of a piece of the screen, its most frequent colour, with what differs most from it."""
    counts = picture.convert("RGB").getcolors(picture.width * picture.height)
    ground = max(counts)[1]
    return max(contrast(colour, ground) for _, colour in counts)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_words_of_the_window_stand_out(
    open_window: Open, person: Person, root: tk.Tk, tmp_path: Path, theme: str
) -> None:
    window = open_window(output=tmp_path / "out")
    window.theme.use({"light": "dark", "dark": "light"}[theme])
    person.wait(0.4)
    window.theme.use(theme)  # what the other one left behind does not stay
    window.sky.show(frames(30), ())
    window.running.log.add([Line("a", level) for level in ("note", "left_out", "warning")])
    person.wait(0.5)
    colours, text = shades(root), window.running.log._text
    assert colours is (DARK if theme == "dark" else LIGHT)
    assert str(text.cget("background")) == colours.ground and str(text.cget("foreground")) == colours.text
    assert text.tag_cget("left_out", "foreground") == colours.dim
    looked_at = 0
    for page in window.pages:
        window.show_page(page)
        person.wait(0.2)
        picture = ImageGrab.grab(xdisplay=os.environ["DISPLAY"])
        for widget in person.all():
            if not isinstance(widget, WORDS) or not widget.winfo_viewable() or not widget.instate(["!disabled"]):
                continue
            if not str(widget.cget("text")).strip() or "!scrolled" in str(widget):
                continue
            x, y = widget.winfo_rootx(), widget.winfo_rooty()
            found = seen(picture.crop((x, y, x + widget.winfo_width(), y + widget.winfo_height())))
            assert found >= ENOUGH, (page, widget.cget("text"), found)
            looked_at += 1
    assert looked_at > 60


def test_lists_of_choices_have_the_colours_of_the_theme(open_window: Open, person: Person, root: tk.Tk) -> None:
    window = open_window()
    for theme in ("dark", "light", "dark"):
        window.theme.use(theme)
        person.wait(0.1)
        person.click(window.bar._languages)
        person.wait(0.2)
        listed = f"{window.bar._languages}.popdown.f.l"
        assert root.tk.call(listed, "cget", "-background") == shades(root).ground
        assert root.tk.call(listed, "cget", "-foreground") == shades(root).text
        person.press("Escape")
    assert str(root.cget("background")) == DARK.ground


def test_figures_have_the_commas_of_the_language() -> None:
    assert Translator("fr").span(10.2) == "10 s" and Translator("en").span(10.2) == "10 s"
