"""Folders that a file manager drops onto the window, by the protocol of X."""

from __future__ import annotations

import subprocess
import sys
import tkinter as tk
from pathlib import Path

import pytest
from person import Person

from zemosaic.gui.drops import accept_drops
from zemosaic.gui.start_page import StartPage
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Translator

FILE_MANAGER = Path(__file__).with_name("file_manager.py")
NAMES = ("M 31", "Nébuleuse d'Orion", "{a} b", "x{y", "50%25 ;*é", "back\\slash", 'it is "it"', "$HOME [pwd]")


def drop(person: Person, onto: tk.Misc, *paths: Path) -> int:
    x, y = onto.winfo_rootx() + onto.winfo_width() // 2, onto.winfo_rooty() + onto.winfo_height() // 2
    manager = subprocess.Popen([sys.executable, str(FILE_MANAGER), str(x), str(y), *map(str, paths)])
    person.until(lambda: manager.poll() is not None)
    return int(manager.returncode)


def page(root: tk.Tk, told: list[str]) -> StartPage:
    root.tk.eval("expr {$::tcl_version > 8.0}")  # as scripts of a theme do; tkinterdnd2 0.7 then stumbles over a number
    start = StartPage(root, Translator("en"), Theme(root), lambda: told.append("changed"), lambda _: None)
    start.set_folders((), "")
    start.pack(fill="both", expand=True)
    root.update()
    return start


def test_dropped_folders_are_inputs_and_one_on_the_output_is_the_output(root: tk.Tk, tmp_path: Path) -> None:
    pytest.importorskip("tkinterdnd2")
    pytest.importorskip("Xlib")
    folders = [tmp_path / name for name in NAMES]
    for each in folders:
        each.mkdir()
    told: list[str] = []
    start, person = page(root, told), Person(root)
    person.wait(0.2)
    assert "Drop folders here, or choose them at the right" in person.read()
    assert drop(person, start._list, *folders[:-1]) == 0
    assert start.inputs == tuple(folders[:-1]) and told == ["changed"]
    assert start.output.get() == str(tmp_path / "M 31 mosaic")  # a proposal
    assert drop(person, start._start, folders[-1]) == 0  # anywhere else on the page
    assert start.inputs == tuple(folders)
    assert drop(person, start.output_entry, folders[1]) == 0
    assert start.output.get() == str(folders[1]) and start.inputs == tuple(folders)
    (folders[0] / "a.fit").touch()
    assert drop(person, start.output_entry, folders[0] / "a.fit") == 0
    assert start.output.get() == str(folders[0])  # a file stands for its folder


def test_without_the_package_or_its_library_nothing_promises_a_drop(
    root: tk.Tk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tkinterdnd2", None)
    start = page(root, [])
    assert str(start._empty.cget("text")) == "No folder chosen yet"
    monkeypatch.undo()
    package = pytest.importorskip("tkinterdnd2")

    def fails(_: tk.Misc) -> None:
        raise RuntimeError("Unable to load tkdnd library.")

    monkeypatch.setattr(package.TkinterDnD, "_require", fails)
    assert not root.tk.call("package", "provide", "tkdnd")
    assert not accept_drops(start, lambda _: None)
