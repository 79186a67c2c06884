"""The sky view: where all frames lie, to move and zoom over, to select and to leave out."""

from __future__ import annotations

import math
import tkinter as tk
from collections.abc import Iterator, Sequence
from functools import partial
from tkinter import ttk

import numpy as np
from numpy.typing import NDArray

from zemosaic.catalogue import Catalogue, CatalogueStars, load_catalogue
from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.shades import follow_theme
from zemosaic.gui.sizes import px
from zemosaic.gui.skybar import SkyBar
from zemosaic.gui.skyframes import SkyFrames
from zemosaic.gui.skygeometry import SkyFrame, View, fit
from zemosaic.gui.skygrid import dec_text, grid_lines, ra_text
from zemosaic.gui.skylayers import CHOSEN, DRAWN, OUT, SkyLayers, panel_colour, spread
from zemosaic.gui.skypaint import SkyPicture, star_radii
from zemosaic.gui.slices import Later, Sliced
from zemosaic.gui.tips import Tip
from zemosaic.gui.words import Words

__all__ = ["SkyView"]

FloatArray = NDArray[np.float64]

REDRAW = 60  # ms after the last movement
ZOOM = 1.25  # a notch of the wheel
STEP = 60  # px, a key of the arrows
CLICK = 4  # px that the pointer may move in a click
LASSO_POINTS = 64  # of a lasso at most, when it is closed
MARKED = 60  # frames outlined at most because they are selected, or left out
STARS = 350  # shown at most
NEAR = 6.0  # deg: views with a larger radius show bright stars only
BRIGHT = 7.0  # mag, of these
SHIFT, CONTROL = 0x1, 0x4  # bits of an event's state
GROUND = "#0b101e"


class SkyView(ttk.Frame):
    """Footprints on the sky.

    Parameters
    ----------
    choice : what is selected and left out, shared with the table
    catalogue : of the stars that are shown
    """

    def __init__(self, parent: tk.Misc, tr: Words, choice: FrameChoice, catalogue: Catalogue | None = None) -> None:
        super().__init__(parent)
        self._tr, self.choice = tr, choice
        self._catalogue = catalogue
        self._bright: CatalogueStars | None = None
        self.view = View(0.0, 0.0, 0.01, 1, 1)
        self._frames = SkyFrames()
        self._drag: list[tuple[float, float]] = []
        self._held: tuple[float, float] = (0.0, 0.0)  # deg, of the sky where the button was pressed
        self._moved = False
        self._fitted = False  # to all frames, and nobody has moved it
        self._to_fit: str | None = None  # the target that the next drawing shows as a whole; "" is all
        self._drawing = Sliced(self)
        self._redrawing = Later(self, REDRAW, self.redraw)
        self.bar = SkyBar(self, tr, choice, on_fit=self.fit, on_zoom=self._zoom, on_mode=self._mode_chosen)
        self.bar.grid(row=0, column=0, sticky="ew", padx=px(self, 12), pady=px(self, 8))
        self._make_canvas()
        self.rowconfigure(1, weight=1)
        self.columnconfigure(0, weight=1)
        choice.listen(self._choice_changed)
        self.retranslate()

    # ---- what the rest of the window asks

    def set_frames(self, frames: Sequence[SkyFrame]) -> None:
        """Show these; the view stays where somebody has moved it, and shows all where nobody has."""
        self._frames = SkyFrames(frames)
        self.bar.show_targets(self._frames.targets)
        if self._fitted or self.view.width == 1:
            self.fit()
        else:
            self.redraw()

    def fit(self, target: str = "") -> None:
        """Show all frames, or all of a target."""
        self._to_fit = target
        self._fitted = not target
        self.redraw()

    def look_at(self, ra: float, dec: float, field: float) -> None:
        """Show this place, degrees, with so many degrees from left to right."""
        width, height = self._size()
        scale = math.degrees(2.0 * math.tan(math.radians(0.5 * field))) / width
        self._to_fit = None
        self.view = View(ra, dec, 0.0, width, height).holding(ra, dec, 0.5 * width, 0.5 * height, scale)
        self._fitted = False
        self.redraw()

    def finish(self) -> None:
        """Draw what is not drawn yet at once."""
        if self._redrawing.waiting:
            self._redrawing.now()
        self._drawing.finish()

    def redraw(self) -> None:
        """Draw everything for the view as it is, some milliseconds at a time."""
        self._redrawing.cancel()
        self._drawing.start(self._draw())
        self._tell()

    def retranslate(self) -> None:
        self.bar.retranslate()
        self._tell()

    # ---- widgets

    def _make_canvas(self) -> None:
        self.canvas = tk.Canvas(self, background=GROUND, highlightthickness=2, borderwidth=0, takefocus=True)
        self.canvas.grid(row=1, column=0, sticky="nsew", padx=px(self, 12))
        self._layers = SkyLayers(self.canvas)
        self._status = ttk.Label(self, style="Dim.TLabel")
        self._status.grid(row=2, column=0, sticky="ew", padx=px(self, 12), pady=px(self, 8))
        self._tip = Tip(lambda: self._tr("gui.sky.help"), self._status)
        bind = self.canvas.bind
        bind("<Configure>", lambda _: self._resized())
        bind("<ButtonPress-1>", self._pressed)
        bind("<B1-Motion>", self._dragged)
        bind("<ButtonRelease-1>", self._released)
        bind("<Double-Button-1>", self._panel_clicked)
        bind("<Motion>", lambda event: self._tell(event.x, event.y))
        bind("<Leave>", lambda _: self._tell())
        for event, factor in (("<Button-4>", ZOOM), ("<Button-5>", 1 / ZOOM)):
            bind(event, partial(self._wheel, factor))
        bind("<MouseWheel>", lambda event: self._wheel(ZOOM if event.delta > 0 else 1 / ZOOM, event))
        for key, dx, dy in (("Left", STEP, 0), ("Right", -STEP, 0), ("Up", 0, STEP), ("Down", 0, -STEP)):
            bind(f"<{key}>", partial(self._arrow, dx, dy))
        for key in ("plus", "KP_Add", "equal"):
            bind(f"<{key}>", lambda _: self._zoom(ZOOM))
        for key in ("minus", "KP_Subtract"):
            bind(f"<{key}>", lambda _: self._zoom(1 / ZOOM))
        bind("<Key-0>", lambda _: self.fit())
        bind("<Control-a>", lambda _: self.choice.select(each.file for each in self._frames.all))
        bind("<Escape>", lambda _: self.choice.select(()))
        bind("<space>", lambda _: self.choice.toggle(self.choice.selected))
        self.bind("<<ThemeChanged>>", lambda _: self._themed(), add=True)
        self._themed()

    def _themed(self) -> None:
        colours = follow_theme(self)
        self.canvas.configure(background=GROUND, highlightbackground=GROUND, highlightcolor=colours.accent)

    def _size(self) -> tuple[int, int]:
        return max(self.canvas.winfo_width(), 2), max(self.canvas.winfo_height(), 2)

    def _resized(self) -> None:
        if self._fitted or self.view.width == 1:
            self._to_fit, self._fitted = "", True
        self.view = self.view.resized(*self._size())
        self._redrawing.start()

    def _mode_chosen(self) -> None:
        self.canvas.configure(cursor="crosshair" if self.bar.mode.get() == "lasso" else "")

    # ---- drawing

    def _draw(self) -> Iterator[None]:
        """The layers, from what people look at to what takes longest."""
        if self._to_fit is not None:
            target, self._to_fit = self._to_fit, None
            self.view = fit(self._frames.of_target(target), *self._size())
            self._tell()
            yield
        view, layers, frames = self.view, self._layers, self._frames
        frames.look(view)
        yield
        seen = frames.seen(view)
        few = len(seen) <= DRAWN
        yield from frames.outlined()
        layers.panels(frames.panels(view)[:DRAWN], outlined=not few)
        yield
        shown = seen if few else seen[:0]
        colours = [panel_colour(frames.all[k].panel) for k in shown]
        yield from layers.outlines("frame", frames.quads[shown], colours, [not frames.all[k].solved for k in shown])
        yield from self._draw_choice()
        layers.grid(grid_lines(view))
        yield
        picture = SkyPicture(view.width, view.height)
        kept = np.array([each.file not in self.choice.excluded for each in frames.all], bool)
        yield
        yield from picture.cover(frames.quads[seen[kept[seen]]])
        stars = self._stars(view)
        yield
        layers.picture(picture.image(stars))

    def _draw_choice(self) -> Iterator[None]:
        """Outlines of the selected frames and of those left out."""
        seen, frames = self._frames.seen(self.view), self._frames
        for layer, files, colour in (("out", self.choice.excluded, OUT), ("chosen", self.choice.selected, CHOSEN)):
            mine = [k for k in seen.tolist() if frames.all[k].file in files]
            yield
            dashed = [layer == "out"] * len(mine)
            width = 2 if layer == "chosen" else 1
            mine = [mine[k] for k in spread(len(mine), MARKED)]
            yield from self._layers.outlines(
                layer, frames.quads[mine], [colour] * len(mine), dashed[: len(mine)], width
            )

    def _stars(self, view: View) -> FloatArray:
        """(n, 3): x, y, radius px of the brightest stars that can be seen."""
        if self._catalogue is None:
            self._catalogue = load_catalogue()
        if view.radius <= NEAR:
            stars = self._catalogue.cone(view.ra, view.dec, view.radius)
        else:
            if self._bright is None:
                self._bright = self._catalogue.brighter_than(BRIGHT)
            stars = self._bright
        xy = view.of_sky(stars.ra, stars.dec)
        with np.errstate(invalid="ignore"):
            there = np.flatnonzero(((xy >= 0) & (xy <= (view.width, view.height))).all(axis=1))[:STARS]
        return np.column_stack([xy[there], star_radii(stars.vt[there])])

    def _choice_changed(self) -> None:
        self._redrawing.start()
        self._tell()

    # ---- moving

    def _wheel(self, factor: float, event: tk.Event[tk.Canvas]) -> str:
        self._zoom(factor, event.x, event.y)
        return "break"

    def _zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Nearer or farther about a place of the canvas, its middle when none is given."""
        x = 0.5 * self.view.width if x is None else x
        y = 0.5 * self.view.height if y is None else y
        before = self.view
        self.view = before.zoomed(factor, x, y)
        self._fitted, self._to_fit = False, None
        self._drawing.cancel()
        self._layers.zoom(before.scale / self.view.scale, x, y)
        self._redrawing.start()

    def _arrow(self, dx: float, dy: float, _: tk.Event[tk.Canvas]) -> str:
        self._pan(dx, dy)
        return "break"

    def _pan(self, dx: float, dy: float) -> None:
        self._moved_to(self.view.panned(dx, dy), dx, dy)

    def _moved_to(self, view: View, dx: float, dy: float) -> None:
        """Take a view that lies (dx, dy) px beside the one before."""
        self.view = view
        self._fitted, self._to_fit = False, None
        self._drawing.cancel()
        self._layers.move(dx, dy)
        self._redrawing.start()

    # ---- the left button

    def _pressed(self, event: tk.Event[tk.Canvas]) -> None:
        self.canvas.focus_set()
        self._drag = [(event.x, event.y)]
        ra, dec = self.view.to_sky(event.x, event.y)
        self._held = float(ra), float(dec)
        self._moved = False

    def _dragged(self, event: tk.Event[tk.Canvas]) -> None:
        if not self._drag:
            return
        x, y = self._drag[-1]
        if not self._moved and math.hypot(event.x - x, event.y - y) < CLICK:
            return
        self._moved = True
        self._drag.append((event.x, event.y))
        if self._lassoing(event):
            self._layers.lasso(self._drag)
        else:
            held = self.view.holding(*self._held, event.x, event.y, self.view.scale)
            self._moved_to(held, event.x - x, event.y - y)

    def _lassoing(self, event: tk.Event[tk.Canvas]) -> bool:
        return self.bar.mode.get() == "lasso" or bool(int(event.state) & SHIFT)

    def _released(self, event: tk.Event[tk.Canvas]) -> None:
        drag, self._drag = self._drag, []
        self._layers.lasso(())
        if not drag:
            return
        adding = bool(int(event.state) & CONTROL)
        if not self._moved:
            self._click(event.x, event.y, adding=adding)
        elif self._lassoing(event):
            step = max(len(drag) // LASSO_POINTS, 1)
            self._catch(np.array(drag[::step], float), adding=adding)

    def _click(self, x: float, y: float, *, adding: bool) -> None:
        """Select the frame whose centre is nearest; a second click in the same place takes the next one."""
        hit = self._frames.under(x, y)
        files = [self._frames.all[k].file for k in hit]
        if not files:
            if not adding:
                self.choice.select(())
            return
        if self.bar.unit.get() == "panels":
            self._choose(self._frames.of_panels([hit[0]]), adding=adding)
            return
        chosen = [k for k, file in enumerate(files) if file in self.choice.selected]
        following = 0 if adding or len(chosen) != 1 or len(self.choice.selected) != 1 else (chosen[0] + 1) % len(files)
        self._choose({files[following]}, adding=adding)

    def _panel_clicked(self, event: tk.Event[tk.Canvas]) -> None:
        hit = self._frames.under(event.x, event.y)
        self._drag = []
        if hit:
            self._choose(self._frames.of_panels([hit[0]]), adding=False)

    def _catch(self, lasso: FloatArray, *, adding: bool) -> None:
        """Select the frames whose centres the lasso holds, or their panels."""
        caught, panels = self._frames.caught(lasso), self.bar.unit.get() == "panels"
        self._choose(self._frames.of_panels(caught) if panels else self._frames.files(caught), adding=adding)

    def _choose(self, files: set[str], *, adding: bool) -> None:
        """Select these; with Control add them, or take them away when all of them are selected."""
        if not adding:
            self.choice.select(files)
        elif files <= self.choice.selected:
            self.choice.select(self.choice.selected - files)
        else:
            self.choice.select(self.choice.selected | files)

    # ---- telling

    def _tell(self, x: float | None = None, y: float | None = None) -> None:
        """The line below: what is under the pointer, or what is shown and selected."""
        chosen = len(self.choice.selected)
        self.bar.allow_choice(chosen > 0)
        if x is None or y is None or self._drag:
            counts = {"total": len(self._frames), "selected": chosen, "out": len(self.choice.excluded)}
            self._status.configure(text=self._tr("gui.sky.status", field=self.view.field, **counts))
            return
        ra, dec = (float(each) for each in self.view.to_sky(x, y))
        here = len(self._frames.under(x, y))
        place = f"{ra_text(ra, 1)}  {dec_text(dec, 1)}"
        self._status.configure(text=self._tr("gui.sky.here", place=place, count=here, selected=chosen))
