"""A picture on a canvas: fitted, or zoomed and moved with mouse and keys."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable

from zemosaic.gui.pictures import Shown
from zemosaic.gui.shades import shades

__all__ = ["FittedView", "ZoomedView"]

STEP = 1.25  # of a notch of the wheel
MOST = 8.0  # screen px for a px of the mosaic
GROUND = "#000000"  # of the sky around a mosaic, in light and dark
FAINT = "#8a8f98"
MOVE = 0.1  # of the view, by an arrow key


class FittedView(tk.Canvas):
    """Shows pictures that are made to fit it; `words` stand there before the first."""

    def __init__(self, parent: tk.Misc, on_size: Callable[[], None]) -> None:
        super().__init__(parent, background=GROUND, highlightthickness=0, width=320, height=200)
        self._image: tk.PhotoImage | None = None
        self.shown: Shown | None = None
        self._words = ""
        self._on_size = on_size
        self.bind("<Configure>", lambda _: self._sized())

    @property
    def place(self) -> tuple[int, int]:  # type: ignore[override]
        """(width, height) px to be filled."""
        return max(self.winfo_width(), 1), max(self.winfo_height(), 1)

    def show(self, shown: Shown) -> None:
        self.shown = shown
        self._image = tk.PhotoImage(master=self, data=shown.data, format="PPM")
        self._draw()

    def say(self, words: str) -> None:
        """What stands there while there is no picture."""
        self._words = words
        self._draw()

    def clear(self) -> None:
        self._image = None
        self._draw()

    @property
    def has_picture(self) -> bool:
        return self._image is not None

    def _sized(self) -> None:
        self._draw()
        self._on_size()

    def _draw(self) -> None:
        width, height = self.place
        self.delete("all")
        if self._image is not None:
            self.create_image(width // 2, height // 2, image=self._image)
        elif self._words:
            self.create_text(
                width // 2, height // 2, text=self._words, fill=FAINT, width=0.8 * width, justify="center",
                font="SunValleyBodyFont",
            )  # fmt: skip


class ZoomedView(FittedView):
    """A part of a large picture: drag to move, wheel or + and - to zoom, double click or 0 for all of it.

    on_view : called when another part is wanted; the picture that comes then is shown as it is
    """

    def __init__(self, parent: tk.Misc, on_view: Callable[[], None]) -> None:
        super().__init__(parent, self._resized)
        self._on_view = on_view
        self._size: tuple[int, int] | None = None  # of the whole picture
        self.x = self.y = 0.0  # px of the picture in the middle
        self.zoom = 1.0
        self._fits = True
        self._grip: tuple[int, int] | None = None
        self.configure(takefocus=True, cursor="fleur", highlightthickness=2, highlightbackground=GROUND)
        self.configure(highlightcolor=shades(self).accent)
        self.bind("<<ThemeChanged>>", lambda _: self.configure(highlightcolor=shades(self).accent), add=True)
        self.bind("<ButtonPress-1>", self._grab)
        self.bind("<B1-Motion>", self._drag)
        self.bind("<Double-Button-1>", lambda _: self.fit())
        self.bind("<MouseWheel>", lambda event: self._wheel(event, 1 if event.delta > 0 else -1))
        self.bind("<Button-4>", lambda event: self._wheel(event, 1))
        self.bind("<Button-5>", lambda event: self._wheel(event, -1))
        for keys, notches in ((("plus", "KP_Add", "equal"), 1), (("minus", "KP_Subtract"), -1)):
            for key in keys:
                self.bind(f"<{key}>", lambda _, n=notches: self.zoom_by(n))  # type: ignore[misc]
        self.bind("<Key-0>", lambda _: self.fit())
        self.bind("<Key-1>", lambda _: self.zoom_to(1.0))
        for key, (dx, dy) in {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}.items():
            self.bind(f"<{key}>", lambda _, dx=dx, dy=dy: self._move(dx, dy))  # type: ignore[misc]

    @property
    def sized(self) -> bool:
        """Whether there is a picture to look at."""
        return self._size is not None

    def take(self, size: tuple[int, int]) -> None:
        """A picture of another size, shown whole."""
        self._size = size
        self.fit()

    def forget(self) -> None:
        self._size = None
        self.clear()

    def fit(self) -> None:
        if self._size is None:
            return
        width, height = self.place
        self.x, self.y = 0.5 * self._size[0], 0.5 * self._size[1]
        self.zoom = min(width / self._size[0], height / self._size[1])
        self._fits = True
        self._on_view()

    def zoom_by(self, notches: int, at: tuple[float, float] | None = None) -> None:
        self.zoom_to(self.zoom * STEP**notches, at)

    def zoom_to(self, zoom: float, at: tuple[float, float] | None = None) -> None:
        """Zoom, with the place under the pointer (screen px from the middle) where it is."""
        if self._size is None:
            return
        width, height = self.place
        least = min(width / self._size[0], height / self._size[1], 1.0)
        zoom = min(max(zoom, least), MOST)
        dx, dy = at or (0.0, 0.0)
        self.x += dx / self.zoom - dx / zoom
        self.y += dy / self.zoom - dy / zoom
        self.zoom, self._fits = zoom, zoom == least
        self._hold()

    def _hold(self) -> None:
        """Keep the middle of the view on the picture."""
        if self._size is not None:
            self.x = min(max(self.x, 0.0), self._size[0])
            self.y = min(max(self.y, 0.0), self._size[1])
            self._on_view()

    def _resized(self) -> None:
        if self._fits:
            self.fit()
        else:
            self._hold()

    def _grab(self, event: tk.Event[tk.Canvas]) -> None:
        self.focus_set()
        self._grip = event.x, event.y

    def _drag(self, event: tk.Event[tk.Canvas]) -> None:
        if self._grip is None:
            return
        self.x -= (event.x - self._grip[0]) / self.zoom
        self.y -= (event.y - self._grip[1]) / self.zoom
        self._grip, self._fits = (event.x, event.y), False
        self._hold()

    def _move(self, dx: int, dy: int) -> None:
        width, height = self.place
        self.x += dx * MOVE * width / self.zoom
        self.y += dy * MOVE * height / self.zoom
        self._fits = False
        self._hold()

    def _wheel(self, event: tk.Event[tk.Canvas], notches: int) -> None:
        width, height = self.place
        self.zoom_by(notches, (event.x - 0.5 * width, event.y - 0.5 * height))
