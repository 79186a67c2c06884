"""The window without a mouse: Tab reaches every control, the one that has the keyboard is seen, keys do what is done most."""

from __future__ import annotations

import os
import re
import sys
import tkinter as tk
from pathlib import Path
from tkinter import ttk

import pytest
from frames import frames
from person import Open, Person
from PIL import ImageChops, ImageGrab

from zemosaic.gui.mnemonics import pressable, underline
from zemosaic.gui.picture_view import ZoomedView
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.gui.window import Window
from zemosaic.messages import LANGUAGES

CONTROLS = (
    ttk.Entry
    | ttk.Combobox
    | ttk.Button
    | ttk.Radiobutton
    | ttk.Checkbutton
    | ttk.Scale
    | ttk.Treeview
    | tk.Text
    | ZoomedView
)
PAGES = ("start", "sky", "settings", "run", "result")


@pytest.fixture
def window(open_window: Open, person: Person, tmp_path: Path) -> Window:
    """With frames on the sky, all pages built."""
    window = open_window(output=tmp_path / "out")
    rows = frames(20)
    ra = [10.0 + 0.1 * n for n in range(20)]
    places = [
        SkyFrame(r.file, r.panel, "", (a, a + 0.7, a + 0.7, a), (41.0, 41.0, 42.2, 42.2), True)
        for r, a in zip(rows, ra)
    ]
    window.sky.show(rows, places)
    window.choice.select([rows[0].file])
    window.theme.use("light")
    person.wait(0.3)
    return window


def controls(person: Person, window: Window) -> set[tk.Misc]:
    """What somebody with a mouse could use now."""
    there = {window.sky.sky.canvas} if window.bar.page.get() == "sky" else set[tk.Misc]()
    for widget in person.all():
        usable = isinstance(widget, CONTROLS) and widget.winfo_viewable()
        if usable and not (isinstance(widget, ttk.Widget) and widget.instate(["disabled"])):
            there.add(widget)
    return there


def grabbed(widget: tk.Misc) -> ImageGrab.Image.Image:
    x, y = widget.winfo_rootx(), widget.winfo_rooty()
    return ImageGrab.grab((x, y, x + widget.winfo_width(), y + widget.winfo_height()), xdisplay=os.environ["DISPLAY"])


@pytest.mark.parametrize("page", PAGES)
def test_tab_reaches_every_control_and_it_is_seen(window: Window, person: Person, page: str) -> None:
    window.show_page(page)
    person.wait(0.3)
    wanted, reached, order = controls(person, window), set[tk.Misc](), list[tk.Misc]()
    window.root.focus_force()
    person.root.update()
    for _ in range(3 * len(wanted) + 40):
        before = window.root.focus_get() or window.root
        before.event_generate("<Tab>")
        person.root.update()
        focus = window.root.focus_get()
        if focus is None or (order and focus is order[0]):
            break
        reached.add(focus)
        order.append(focus)
    assert not wanted - reached, [str(each) for each in wanted - reached]
    for widget in [each for each in order if each in wanted][:: 1 if page != "settings" else 25]:
        if isinstance(widget, ttk.Entry) and not isinstance(widget, ttk.Combobox):
            continue  # the cursor blinks there
        window.root.focus_force()
        person.root.update()
        without = grabbed(widget)
        widget.focus_force()
        person.root.update()
        assert ImageChops.difference(without, grabbed(widget)).getbbox() is not None, str(widget)


def test_return_and_space_press_what_has_the_keyboard(window: Window, person: Person) -> None:
    window.show_page("settings")
    person.wait(0.1)
    window.form._only_box.focus_force()
    person.press("Return")
    person.until(lambda: window.form._only_changed.get())
    window.form._only_box.focus_force()
    person.press("space")
    person.until(lambda: not window.form._only_changed.get())
    window.bar._languages.focus_force()
    person.press("Return")
    person.wait(0.2)
    person.press("Down", "Return")
    person.until(lambda: window.tr.language == "fr")


def test_shortcuts(window: Window, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(window.start, "choose_folder", lambda: asked.append("folder"))
    monkeypatch.setattr(window.start, "_on_start", lambda fresh: asked.append("start"))
    window.root.focus_force()
    for number, page in enumerate(PAGES, 1):
        person.press(f"ctrl+{number}")
        person.until(lambda page=page: window.bar.page.get() == page)  # type: ignore[misc]
    for number, field in (
        (2, window.sky.table.bar.entry),
        (3, window.form.search_entry),
        (4, window.running.log.search_entry),
    ):
        person.press(f"ctrl+{number}")
        person.press("ctrl+f")
        person.until(lambda field=field: window.root.focus_get() is field)  # type: ignore[misc]
    person.press("ctrl+o")
    person.until(lambda: asked == ["folder"] and window.bar.page.get() == "start")
    window.start._folder.focus_force()
    person.press("ctrl+Return")  # the button that has the keyboard is not meant
    assert asked == ["folder"]  # there is nothing to begin with
    window.start.allow_start(True)
    person.press("ctrl+Return")
    person.until(lambda: asked == ["folder", "start"])


@pytest.mark.skipif(sys.platform == "darwin", reason="Option types letters there")
def test_alt_and_an_underlined_letter_press_a_button(window: Window, person: Person) -> None:
    """On every page and in every language each button with letters has one of its own."""

    def letters() -> list[tuple[str, str]]:
        marked = [
            (str(each.cget("text")), int(str(each.cget("underline"))))
            for parent in window._in_sight()
            for each in pressable(parent)
        ]
        return [(text, text[at].lower() if at >= 0 else "") for text, at in marked if re.search("[A-Za-z]", text)]

    for language in LANGUAGES:
        window.use_language(language)
        for page in PAGES:
            window.show_page(page)
            window.running._pause.configure(text=window.tr("gui.run.pause"))  # whose text comes with a run
            underline(*window._in_sight())
            found = [letter for _, letter in dict.fromkeys(letters())]  # the same text does the same
            assert "" not in found and len(set(found)) == len(found) >= 6, f"{language} {page} {letters()}"
    window.root.focus_force()
    assert dict(letters())["Accueil"] == "a"  # the first of its letters, as far as that is free
    person.press("alt+a")
    person.until(lambda: window.bar.page.get() == "start")
    window.start.entry.focus_force()  # also where letters are typed
    before = window.start.entry.get()
    person.press(f"alt+{dict(letters())[window.tr('gui.page.settings')]}")
    person.until(lambda: window.bar.page.get() == "settings")
    assert window.start.entry.get() == before
    person.press(f"alt+{dict(letters())[window.tr('gui.settings.only_changed')]}")
    person.until(lambda: window.form._only_changed.get())


def test_frames_are_sorted_selected_and_left_out_by_keys(window: Window, person: Person) -> None:
    window.show_page("sky")
    person.wait(0.2)
    table = window.sky.table
    table.tree.focus_force()
    person.press("ctrl+Right")
    assert (table.model.sorted_by, table.model.reverse) == ("file", False)
    person.press("ctrl+Right", "ctrl+Right", "ctrl+Right", "ctrl+Down")
    assert (table.model.sorted_by, table.model.reverse) == ("fwhm", True)
    person.press("ctrl+Left", "ctrl+Up", "ctrl+Left", "ctrl+Left")
    assert (table.model.sorted_by, table.model.reverse) == ("file", False)
    person.press("Home", "shift+Down", "space")
    files = {row.file for row in table.model.rows[:2]}
    person.until(lambda: window.choice.excluded == files)
    canvas = window.sky.sky.canvas
    canvas.focus_force()
    view = window.sky.sky.view
    person.press("plus", "Left")
    person.until(lambda: window.sky.sky.view != view)
    person.press("ctrl+a")
    assert len(window.choice.selected) == 20
    person.press("Escape")
    assert not window.choice.selected
