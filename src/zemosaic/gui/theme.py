"""The look of the window: light, dark, or as the system has it; letters as large as the screen wants them."""

from __future__ import annotations

import sys
import threading
import tkinter as tk
from collections.abc import Callable
from tkinter import font, ttk
from typing import Any

import sv_ttk
from PIL import Image, ImageDraw, ImageTk

from zemosaic.gui.scaled_theme import load_scaled
from zemosaic.gui.shades import Shades, follow_theme, shades
from zemosaic.gui.sizes import scale_of
from zemosaic.gui.system_theme import paint_frame, system_is_dark

__all__ = ["Theme", "be_sharp"]

LOOK_AGAIN = 5000  # ms between two looks at what the system has
FONTS = {  # of the theme, px at 96 dpi
    "SunValleyCaptionFont": 12,
    "SunValleyBodyFont": 14,
    "SunValleyBodyStrongFont": 14,
    "SunValleyBodyLargeFont": 18,
    "SunValleySubtitleFont": 20,
    "SunValleyTitleFont": 26,
}
STRONG = ("SunValleyBodyStrongFont", "SunValleySubtitleFont", "SunValleyTitleFont")
FAMILIES = (
    "Segoe UI Variable Text",
    "Segoe UI",
    "SF Pro Text",
    "Inter",
    "Cantarell",
    "Noto Sans",
    "Ubuntu",
    "DejaVu Sans",
)
ROW = 26  # px at 96 dpi, of tables
RING, RING_SIZE = "Ring.field", 16  # the border of tables, and the px at 96 dpi of its picture


def be_sharp() -> None:
    """On Windows: tell that this program draws at the screen's own resolution, before there is a window."""
    if sys.platform == "win32":
        import contextlib
        import ctypes

        with contextlib.suppress(AttributeError, OSError):
            ctypes.windll.shcore.SetProcessDpiAwareness(1)


class Theme:
    """Applies themes to a window."""

    def __init__(self, root: tk.Tk) -> None:
        self._root = root
        self._mode = ""
        self._dark: bool | None = None
        self._system_dark = False
        self.scale = scale_of(root)
        load_scaled(root, self.scale)
        root.bind(
            "<Map>", lambda event: self._paint_frame() if event.widget is root else None, add=True
        )  # it has a frame now
        self._listeners: list[Callable[[], None]] = []
        self._pictures: list[ImageTk.PhotoImage] = []

    @property
    def mode(self) -> str:
        return self._mode

    def px(self, length: float) -> int:
        """Screen pixels for so many at 96 dpi."""
        return round(length * self.scale)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call it whenever colours have changed."""
        self._listeners.append(listener)

    def use(self, mode: str) -> None:
        """system, light or dark"""
        first, self._mode = not self._mode, mode
        self._show(self._system_dark if mode == "system" else mode == "dark")
        if first:
            self._follow_system()

    def _show(self, dark: bool) -> None:
        if dark is self._dark:
            return
        self._dark = dark
        sv_ttk.set_theme("dark" if dark else "light", self._root)
        self._letters()
        self._styles()
        self._paint_frame()
        for listener in self._listeners:
            listener()

    def _paint_frame(self) -> None:
        paint_frame(self._root.winfo_id(), dark=bool(self._dark))

    def _follow_system(self) -> None:
        """Ask the system in a thread, now and again."""

        def ask() -> None:
            self._system_dark = system_is_dark()

        def again() -> None:
            if self._mode == "system":
                self._show(self._system_dark)
                threading.Thread(target=ask, daemon=True).start()
            self._root.after(LOOK_AGAIN, again)

        threading.Thread(target=ask, daemon=True).start()
        self._root.after(LOOK_AGAIN // 10, again)

    def _letters(self) -> None:
        there = set(font.families(self._root))
        family = next(
            (each for each in FAMILIES if each in there), font.nametofont("TkDefaultFont", self._root).actual("family")
        )
        shrink = 0.86 if family == "DejaVu Sans" else 1.0  # which is a sixth wider than the others
        for name, size in FONTS.items():
            letters = font.nametofont(name, self._root)
            letters.configure(
                family=family, size=-self.px(size * shrink), weight="bold" if name in STRONG else "normal"
            )
        mono = font.nametofont("TkFixedFont", self._root)
        mono.configure(size=-self.px(13 * shrink))

    def _styles(self) -> None:
        style, colours = ttk.Style(self._root), shades(self._root)
        follow_theme(self._root)
        style.configure("Treeview", rowheight=self.px(ROW))
        style.configure("Heading", padding=(self.px(4), 0))  # as the cells below
        self._ring(style, colours)
        style.configure("Title.TLabel", font="SunValleyTitleFont")
        style.configure("Caption.TLabel", font="SunValleyCaptionFont", foreground=colours.dim)
        style.configure("Nav.Toggle.TButton", anchor="w", padding=(self.px(12), self.px(8)))
        style.configure("Big.Accent.TButton", font="SunValleySubtitleFont", padding=self.px(12))
        self._root.option_add("*TCombobox*Listbox.font", "SunValleyBodyFont")

    def _ring(self, style: ttk.Style, colours: Shades) -> None:
        """Tables with the keyboard get a border; sv-ttk draws them as those without."""
        if RING in style.element_names():  # of this theme
            return
        pictures = [
            ImageTk.PhotoImage(_box(self.px(RING_SIZE), colour, self.px(width)), master=self._root)
            for colour, width in ((colours.line, 1), (colours.accent, 2))
        ]
        self._pictures += pictures  # Tk has them as long as Python does
        style.element_create(
            RING, "image", pictures[0], ("focus", pictures[1]), border=self.px(RING_SIZE) // 3, sticky="nsew"
        )
        layout: Any = [
            ("Treeview.padding", {"sticky": "nswe", "children": [("Treeview.treearea", {"sticky": "nswe"})]})
        ]
        layout = [(RING, {"sticky": "nswe", "border": "1", "children": layout})]
        style.layout("Treeview", layout)
        style.configure("Treeview", padding=self.px(3))


def _box(size: int, colour: str, width: int) -> Image.Image:
    """A square with round corners and nothing in it."""
    picture = Image.new("RGBA", (size, size))
    ImageDraw.Draw(picture).rounded_rectangle((0, 0, size - 1, size - 1), size // 4, outline=colour, width=width)
    return picture
