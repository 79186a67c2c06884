"""The page of the sky: where the frames lie and what is known of each, on a map and in a table that share one choice."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Sequence
from tkinter import ttk

from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.frame_table import FrameTable
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.gui.skyview import SkyView
from zemosaic.gui.theme import Theme
from zemosaic.gui.translator import Translator
from zemosaic.quality import FrameQuality

__all__ = ["SkyPage"]


class SkyPage(ttk.Frame):
    """Sky view above, table below; the border between them can be moved."""

    def __init__(self, parent: tk.Misc, tr: Translator, theme: Theme, choice: FrameChoice) -> None:
        super().__init__(parent, padding=theme.px(8))
        self.choice = choice
        halves = ttk.PanedWindow(self, orient="vertical")
        halves.pack(fill="both", expand=True)
        self.sky, self.table = SkyView(halves, tr, choice), FrameTable(halves, tr, choice)
        halves.add(self.sky, weight=3)
        halves.add(self.table, weight=2)

    def show(self, rows: Sequence[FrameQuality], frames: Sequence[SkyFrame]) -> None:
        self.table.set_rows(rows)
        self.sky.set_frames(frames)

    def retranslate(self) -> None:
        self.sky.retranslate()
        self.table.retranslate()
