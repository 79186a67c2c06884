"""The icon is on the window."""

from __future__ import annotations

import tkinter as tk

from Xlib import display

from zemosaic.gui.icon import SIZES, show_icon


def test_the_window_has_the_icon_in_all_sizes(root: tk.Tk) -> None:
    show_icon(root)
    root.update()
    server = display.Display()
    window = (
        server.create_resource_object("window", root.winfo_id()).query_tree().parent
    )  # which Tk makes for such properties
    data = window.get_full_property(server.get_atom("_NET_WM_ICON"), 0).value
    found, at = [], 0
    while at < len(data):  # width, height, pixels; one size after the other
        found.append((data[at], data[at + 1]))
        at += 2 + data[at] * data[at + 1]
    server.close()
    assert found == [(size, size) for size in SIZES]
