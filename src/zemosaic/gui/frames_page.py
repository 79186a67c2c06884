"""The page of the frames: the sky above, the table below, both in step, and what the user leaves out as a setting."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Iterator
from tkinter import ttk

from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.frame_table import FrameTable
from zemosaic.gui.frames_seen import FramesSeen
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.gui.skyview import SkyView
from zemosaic.gui.slices import Later, Sliced
from zemosaic.gui.words import Words
from zemosaic.patterns import Patterns, as_pattern
from zemosaic.settings import patterns

__all__ = ["FramesPage"]

CHUNK = 200  # files compared with patterns between two chances to interrupt: 1 to 2 ms


class FramesPage(ttk.Frame):
    """Sky view and table.

    Parameters
    ----------
    on_exclude : called with the new value of the setting `exclude_files` when the user leaves frames out or takes them back
    """

    def __init__(self, parent: tk.Misc, tr: Words, on_exclude: Callable[[str], None]) -> None:
        super().__init__(parent)
        self._on_exclude = on_exclude
        self.choice = FrameChoice()
        self._files: tuple[str, ...] = ()
        self._patterns: tuple[str, ...] = ()  # of the setting
        self._fits: dict[str, tuple[str, ...]] = {}  # those that a file fits
        self._places: tuple[SkyFrame, ...] = ()
        self._showing = Later(self, 1, lambda: self.sky.set_frames(self._places))
        self._comparing = Sliced(self)
        panes = ttk.PanedWindow(self, orient="vertical")
        panes.pack(fill="both", expand=True)
        self.sky = SkyView(panes, tr, self.choice)
        self.table = FrameTable(panes, tr, self.choice)
        panes.add(self.sky, weight=3)
        panes.add(self.table, weight=2)
        self.choice.listen(self._chosen)

    def show(self, seen: FramesSeen) -> None:
        """Show these frames; selection, view and what is left out stay."""
        self._files = tuple(row.file for row in seen.table)
        self.table.set_rows(seen.table)
        self._places = seen.places
        self._showing.start()
        self._comparing.start(self._compare(), self._compared)

    def set_exclude_files(self, text: str) -> None:
        """Leave out the files that the setting says."""
        if patterns(text) != self._patterns:
            self._patterns = patterns(text)
            self._comparing.start(self._compare(), self._compared)

    def finish(self) -> None:
        """Do at once what is being compared, filtered and drawn."""
        if self._showing.waiting:
            self._showing.now()
        self._comparing.finish()
        self.table.finish()
        self.sky.finish()

    def retranslate(self) -> None:
        self.sky.retranslate()
        self.table.retranslate()

    def _compare(self) -> Iterator[None]:
        known = Patterns(self._patterns)
        self._fits = {}
        for first in range(0, len(self._files) if known.all else 0, CHUNK):
            for file in self._files[first : first + CHUNK]:
                if found := known.of(file):
                    self._fits[file] = found
            yield

    def _compared(self) -> None:
        self.choice.become_excluded(self._fits)

    def _chosen(self) -> None:
        """Turn what is left out into patterns: those that still hold stay, single files are added by their paths."""
        excluded = self.choice.excluded
        if self._comparing.busy or excluded == self._fits.keys():
            return
        fits = self._fits
        gone = {each for file in fits.keys() - excluded for each in fits[file]}
        kept = {file: tuple(e for e in fits[file] if e not in gone) for file in fits.keys() & excluded}
        more = {file: as_pattern(file) for file in sorted(excluded) if not kept.get(file)}
        self._fits = kept | {file: (each,) for file, each in more.items()}
        self._patterns = tuple(dict.fromkeys([*(e for e in self._patterns if e not in gone), *more.values()]))
        self._on_exclude("; ".join(self._patterns))
