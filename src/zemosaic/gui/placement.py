"""Where the window is: as it was left, as far as the screens are still there."""

from __future__ import annotations

import tkinter as tk

from zemosaic.gui.sizes import px

__all__ = ["place"]

SIZE, LEAST = (1180, 700), (1180, 600)  # px at 96 dpi
SEEN = 100  # px of the window that are on the screen at least


def place(root: tk.Tk, geometry: str) -> None:
    """Give the window its usual size, or the place and size of `geometry`, as Tk writes them ("" is none)."""
    screen = root.winfo_screenwidth(), root.winfo_screenheight()
    width, height = (min(px(root, size), room) for size, room in zip(SIZE, screen))
    root.minsize(*(min(px(root, size), room) for size, room in zip(LEAST, screen)))
    root.geometry(f"{width}x{height}")
    try:
        size, x, y = geometry.replace("-", "+-").split("+", 2)
        width, height = map(int, size.split("x"))
        left, top = int(x), int(y.lstrip("+"))
    except ValueError:
        return
    if 0 <= left < screen[0] - SEEN and 0 <= top < screen[1] - SEEN:
        root.geometry(f"{min(width, screen[0])}x{min(height, screen[1])}+{left}+{top}")
