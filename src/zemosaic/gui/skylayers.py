"""What the sky view draws on its canvas, layer by layer; each layer is drawn anew as a whole, of a bounded number of items."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageTk

from zemosaic.gui.shades import HEAD
from zemosaic.gui.sizes import px
from zemosaic.gui.skygrid import GridLine

__all__ = ["CHOSEN", "DRAWN", "OUT", "PALETTE", "SkyLayers", "panel_colour", "spread"]

FloatArray = NDArray[np.float64]

DRAWN = 240  # outlines of one layer at most: 40 us each
HALF_LABEL = 36  # px at 96 dpi, of the longest label of right ascension
READABLE = 36  # px: smaller panels have no number
STEP = 80  # outlines drawn between two chances to interrupt
PALETTE = (
    "#4fc3f7", "#ffb74d", "#81c784", "#f06292", "#ba68c8", "#fff176",
    "#4db6ac", "#ff8a65", "#a1887f", "#90a4ff", "#dce775", "#e57373",
)  # fmt: skip
GRID, GRID_TEXT, CHOSEN, OUT, LASSO, NOBODY = "#3d4a6b", "#aab6d3", "#ffffff", "#ff5252", "#ffee58", "#8090a8"
ORDER = ("picture", "grid", "panel", "frame", "out", "chosen", "text", "lasso")  # from the back to the front


def panel_colour(panel: int) -> str:
    return PALETTE[panel % len(PALETTE)] if panel >= 0 else NOBODY


class SkyLayers:
    """The layers of one canvas."""

    def __init__(self, canvas: tk.Canvas) -> None:
        self.canvas = canvas
        self._image: Image.Image | None = None
        self._photo: ImageTk.PhotoImage | None = None

    # ---- drawing

    def outlines(
        self, layer: str, quads: FloatArray, colours: Sequence[str], dashed: Sequence[bool], width: int = 1
    ) -> Iterator[None]:
        """(n, m, 2) closed lines; some a step. Of more than `DRAWN` some are drawn, evenly spread."""
        self.canvas.delete(layer)
        chosen = spread(len(quads))
        for count, k in enumerate(chosen, 1):
            line = quads[k].ravel().tolist()
            dash = (4, 3) if dashed[k] else ()
            self.canvas.create_polygon(line, outline=colours[k], fill="", width=width, dash=dash, tags=layer)
            if count % STEP == 0:
                yield
        self._stack()

    def panels(self, outlines: Iterable[tuple[int, FloatArray]], *, outlined: bool) -> None:
        """The numbers of panels in the middle of their outlines, (n, 2) each, and these lines when asked."""
        self.canvas.delete("panel")
        for panel, line in outlines:
            colour = panel_colour(panel)
            if outlined:
                self.canvas.create_polygon(line.ravel().tolist(), outline=colour, fill="", width=2, tags="panel")
            low, high = line.min(axis=0), line.max(axis=0)
            if (high - low).min() < READABLE:
                continue
            x, y = (0.5 * (low + high)).tolist()
            self.canvas.create_text(x, y, text=str(panel), fill=colour, font=HEAD, tags="panel")
        self._stack()

    def grid(self, lines: Iterable[GridLine]) -> None:
        self.canvas.delete("grid", "text")
        least = px(self.canvas, HALF_LABEL)
        for line in lines:
            self.canvas.create_line(line.points.ravel().tolist(), fill=GRID, tags="grid")
            if line.at is not None:
                x, y = line.at
                if 5 < x < least or x > self.canvas.winfo_width() - least:  # there is no room for it
                    continue
                self.canvas.create_text(
                    x, y, text=line.label, fill=GRID_TEXT, anchor="sw" if x < 5 else "s", tags="text"
                )
        self._stack()

    def picture(self, image: Image.Image) -> None:
        """Show this behind everything."""
        self._image = image
        if self._photo is None or (self._photo.width(), self._photo.height()) != image.size:
            self._photo = ImageTk.PhotoImage(image, master=self.canvas)
        else:
            self._photo.paste(image)
        self.canvas.delete("picture")
        self.canvas.create_image(0, 0, image=self._photo, anchor="nw", tags="picture")
        self._stack()

    def lasso(self, points: Sequence[tuple[float, float]]) -> None:
        self.canvas.delete("lasso")
        if len(points) > 1:
            self.canvas.create_line(*points, fill=LASSO, dash=(3, 2), tags="lasso")

    def _stack(self) -> None:
        for layer in ORDER:
            self.canvas.tag_raise(layer)

    # ---- what is there already, while something better is being made

    def move(self, dx: float, dy: float) -> None:
        self.canvas.move("all", dx, dy)

    def zoom(self, factor: float, x: float, y: float) -> None:
        """Stretch all about (x, y)."""
        self.canvas.scale("all", x, y, factor, factor)
        if self._image is not None:
            keep = (1 / factor, 0.0, x - x / factor, 0.0, 1 / factor, y - y / factor)
            ground = self._image.getpixel((0, 0))
            self.picture(self._image.transform(self._image.size, Image.Transform.AFFINE, keep, fillcolor=ground))


def spread(count: int, most: int = DRAWN) -> list[int]:
    """At most so many of the numbers from 0 to count - 1, evenly."""
    if count <= most:
        return list(range(count))
    return [round(each) for each in np.linspace(0, count - 1, most).tolist()]
