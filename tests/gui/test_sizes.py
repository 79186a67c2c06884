"""Nothing is cut off and nothing is tiny, on screens of 96 and 192 dpi, in both languages."""

from __future__ import annotations

import tkinter as tk
from pathlib import Path
from tkinter import font, ttk

import pytest
import sv_ttk
from frames import frames
from person import Open, Person

from zemosaic.gui.scaled_theme import load_scaled
from zemosaic.gui.sizes import follow_desktop, px, scale_of
from zemosaic.gui.theme import Theme
from zemosaic.messages import LANGUAGES

POINT = 72.0  # of an inch
WORDS = ttk.Label | ttk.Button | ttk.Radiobutton | ttk.Checkbutton
ARROW = 40  # px at 96 dpi, of a combobox beside its text


def cut_off(person: Person, dpi: float) -> list[str]:
    """What does not show all of its words, or lies beyond the border of the window."""
    top, found = person.root, []
    for widget in person.all():
        if not widget.winfo_viewable() or "!scrolled" in str(widget):  # which shows a part at a time
            continue
        about = f"{str(widget).rpartition('!')[2]}: {widget.cget('text') if isinstance(widget, WORDS) else ''}"
        if (
            isinstance(widget, WORDS)
            and min(widget.winfo_width() - widget.winfo_reqwidth(), widget.winfo_height() - widget.winfo_reqheight())
            < 0
        ):
            found.append(f"{about} has {widget.winfo_width()} px of {widget.winfo_reqwidth()}")
        if isinstance(widget, ttk.Combobox):
            letters = font.Font(top, font=str(widget.cget("font")))
            wanted = letters.measure(widget.get()) + ARROW * dpi / 96.0
            if widget.winfo_width() < wanted:
                found.append(f"{widget.get()} has {widget.winfo_width()} px of {wanted:.0f}")
        if isinstance(widget, WORDS | ttk.Entry | tk.Canvas):
            right, below = widget.winfo_rootx() + widget.winfo_width(), widget.winfo_rooty() + widget.winfo_height()
            if right > top.winfo_rootx() + top.winfo_width() or below > top.winfo_rooty() + top.winfo_height():
                found.append(f"{about} ends at {right}, {below}")
    return found


@pytest.mark.parametrize("dpi", [96, 192])
def test_nothing_is_cut_off(open_window: Open, person: Person, root: tk.Tk, tmp_path: Path, dpi: int) -> None:
    root.tk.call("tk", "scaling", dpi / POINT)
    window = open_window(output=tmp_path / "out")
    root.geometry(f"{px(root, 1280)}x{px(root, 720)}+0+0")
    window.sky.show(frames(30), ())
    window.start.allow_fresh(True)
    window.result._offer_zoom(there=True)
    person.wait(0.2)
    for language in LANGUAGES:
        window.use_language(language)
        for page in window.pages:
            window.show_page(page)
            person.wait(0.15)
            assert cut_off(person, dpi) == [], (language, page)


def test_controls_grow_with_the_resolution(root: tk.Tk) -> None:
    sizes = {}
    for dpi in (72, 96, 144, 192):
        top = tk.Tk()
        top.tk.call("tk", "scaling", dpi / POINT)
        theme = Theme(top)
        theme.use("dark")
        widgets = ttk.Checkbutton(top), ttk.Radiobutton(top), ttk.Scale(top), ttk.Entry(top), ttk.Scrollbar(top)
        top.update()
        sizes[dpi] = [(each.winfo_reqwidth(), each.winfo_reqheight()) for each in widgets]
        assert scale_of(top) == pytest.approx(max(dpi / 96.0, 1.0), rel=0.01)
        theme.use("light")
        top.update()
        top.destroy()
    assert sizes[72] == sizes[96]  # macOS counts in points
    for one, half, two in zip(sizes[96], sizes[144], sizes[192], strict=True):
        assert two[1] == pytest.approx(2 * one[1], rel=0.15) and half[1] == pytest.approx(1.5 * one[1], rel=0.15)


def test_another_edition_of_the_theme_is_shown_as_it_is(
    root: tk.Tk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "theme").mkdir()
    for name in ("light", "dark"):
        (tmp_path / "theme" / f"{name}.tcl").write_text("nothing known")
        (tmp_path / "theme" / f"sprites_{name}.tcl").write_text("set x 1")
    monkeypatch.setattr(sv_ttk, "__file__", str(tmp_path / "__init__.py"))
    assert not load_scaled(root, 2.0)


def test_the_resolution_that_the_desktop_was_set_to_is_taken(
    root: tk.Tk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "xrdb"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    follow_desktop(root)  # there is no such program perhaps
    program.write_text("#!/bin/sh\nprintf 'Xft.antialias:\\t1\\nXft.dpi:\\t192\\n'\n")
    program.chmod(0o755)
    follow_desktop(root)
    assert scale_of(root) == pytest.approx(2.0, rel=0.01)
    program.write_text("#!/bin/sh\nexit 1\n")
    follow_desktop(root)
    assert scale_of(root) == pytest.approx(2.0, rel=0.01)
