"""The log of a run in the window."""

from __future__ import annotations

import tkinter as tk

from zemosaic.gui.log_view import LogView
from zemosaic.gui.state import Line
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Translator


def test_the_newest_line_stays_in_view_when_the_log_gets_smaller_or_is_away(root: tk.Tk) -> None:
    log = LogView(root, Translator("en"), Theme(root))
    log.pack(fill="both", expand=True)
    root.update()
    log.add([Line(f"line {number}", "note") for number in range(50)])
    root.update()
    root.geometry("1280x300")
    root.update()
    assert log._text.yview()[1] > 0.99
    log.pack_forget()
    root.update()
    log.add([Line("away", "note")] * 5)
    root.update()
    log.pack(fill="both", expand=True)
    root.update()
    assert log._text.yview()[1] > 0.99
    log._text.yview("moveto", 0.0)  # somebody reads
    root.update()
    log.add([Line("more", "note")] * 5)
    root.update()
    assert log._text.yview()[0] == 0.0
