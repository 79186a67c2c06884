"""The icon of the window (drawn by `tools/build_icon.py`)."""

from __future__ import annotations

import tkinter as tk
from pathlib import Path

__all__ = ["SIZES", "show_icon"]

SIZES = (128, 48, 32, 16)  # px
FOLDER = Path(__file__).parent / "icons"


def show_icon(root: tk.Tk) -> None:
    """In all sizes, of which the system chooses; also for windows that are opened later."""
    root.iconphoto(True, *(tk.PhotoImage(master=root, file=FOLDER / f"zemosaic-{size}.png") for size in SIZES))
