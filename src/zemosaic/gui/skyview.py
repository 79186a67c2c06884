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
from zemosaic.gui.skygeometry import SkyFrame, View, containing, fit, hull, inside, unit_vectors
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
        self._frames: tuple[SkyFrame, ...] = ()
        self._vectors = np.zeros((0, 4, 3))
        self._panels = np.zeros(0, np.int64)  # of each frame, by its place in `_numbers`; -1: none
        self._numbers: list[int] = []  # of the panels, as people call them: each target counts anew
        self._targets: list[str] = []
        self._hulls: dict[int, FloatArray] = {}
        self._quads = np.zeros((0, 4, 2))  # canvas px, NaN on the far side
        self._drag: list[tuple[float, float]] = []
        self._held: tuple[float, float] = (0.0, 0.0)  # deg, of the sky where the button was pressed
        self._moved = False
        self._fitted = False  # to all frames, and nobody has moved it
        self._to_fit: str | None = None  # the target that the next drawing shows as a whole; "" is all
        self._drawing = Sliced(self)
        self._redrawing = Later(self, REDRAW, self.redraw)
        self._make_top()
        self._make_canvas()
        self.rowconfigure(1, weight=1)
        self.columnconfigure(0, weight=1)
        choice.listen(self._choice_changed)
        self.retranslate()

    # ---- what the rest of the window asks

    def set_frames(self, frames: Sequence[SkyFrame]) -> None:
        """Show these; the view stays where somebody has moved it, and shows all where nobody has."""
        self._frames = tuple(frames)
        self._vectors = unit_vectors(
            np.array([each.ra for each in frames]).reshape(-1, 4),
            np.array([each.dec for each in frames]).reshape(-1, 4),
        )
        codes = {each: code for code, each in enumerate(sorted({(f.target, f.panel) for f in frames if f.panel >= 0}))}
        self._panels = np.array([codes.get((each.target, each.panel), -1) for each in frames], np.int64)
        self._numbers = [number for _, number in codes]
        self._hulls = {}
        self._targets = sorted({each.target for each in frames if each.target})
        self._fill_targets()
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
        tr = self._tr
        for widget, key in self._texts.items():
            widget.configure(text=tr(key))
        self._fill_targets()
        self._tell()

    # ---- widgets

    def _make_top(self) -> None:
        top = ttk.Frame(self)
        top.grid(row=0, column=0, sticky="ew", padx=px(self, 12), pady=px(self, 8))
        self._texts: dict[ttk.Label | ttk.Button | ttk.Radiobutton, str] = {}
        self._mode, self._unit = tk.StringVar(self, "move"), tk.StringVar(self, "frames")
        column = 0

        def put(widget: ttk.Label | ttk.Button | ttk.Radiobutton, key: str = "", gap: int = 4) -> None:
            nonlocal column
            widget.grid(row=0, column=column, padx=(px(self, gap), 0))
            column += 1
            if key:
                self._texts[widget] = key

        put(ttk.Button(top, command=self.fit), "gui.sky.fit", 0)
        put(ttk.Button(top, text="+", width=2, command=partial(self._zoom, ZOOM**2)))
        put(ttk.Button(top, text="−", width=2, command=partial(self._zoom, ZOOM**-2)))
        for mode in ("move", "lasso"):
            put(
                ttk.Radiobutton(
                    top, variable=self._mode, value=mode, command=self._mode_chosen, style="Toggle.TButton"
                ),
                f"gui.sky.{mode}",
                16 if mode == "move" else 4,
            )
        put(ttk.Label(top), "gui.sky.select", 16)
        for unit in ("frames", "panels"):
            put(ttk.Radiobutton(top, variable=self._unit, value=unit), f"gui.sky.{unit}", 8)
        self.targets = ttk.Combobox(top, state="readonly", width=18)
        self.targets.bind("<<ComboboxSelected>>", lambda _: self._target_chosen())
        self.targets.grid(row=0, column=column, padx=(px(self, 16), 0))
        top.columnconfigure(column + 1, weight=1)
        column += 2
        self._include = ttk.Button(top, command=lambda: self.choice.include(self.choice.selected))
        self._exclude = ttk.Button(top, command=lambda: self.choice.exclude(self.choice.selected))
        put(self._include, "gui.table.include", 12)
        put(self._exclude, "gui.table.exclude", 6)

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
        bind("<Control-a>", lambda _: self.choice.select(each.file for each in self._frames))
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

    def _fill_targets(self) -> None:
        self.targets.configure(values=[self._tr("gui.sky.all_targets"), *self._targets])
        if len(self._targets) > 1:
            self.targets.grid()
            if self.targets.current() < 1:
                self.targets.current(0)
        else:
            self.targets.grid_remove()

    def _target_chosen(self) -> None:
        at = self.targets.current()
        self.fit(self._targets[at - 1] if at > 0 else "")

    def _mode_chosen(self) -> None:
        self.canvas.configure(cursor="crosshair" if self._mode.get() == "lasso" else "")

    # ---- drawing

    def _draw(self) -> Iterator[None]:
        """The layers, from what people look at to what takes longest."""
        if self._to_fit is not None:
            target, self._to_fit = self._to_fit, None
            mine = self._vectors
            if target:
                mine = mine[[each.target == target for each in self._frames]]
            self.view = fit(mine, *self._size())
            self._tell()
            yield
        view, layers = self.view, self._layers
        self._quads = view.of_vectors(self._vectors)
        yield
        seen = self._seen()
        few = len(seen) <= DRAWN
        yield from self._draw_panels(few=few)
        shown = seen if few else seen[:0]
        colours = [panel_colour(self._frames[k].panel) for k in shown]
        yield from layers.outlines("frame", self._quads[shown], colours, [not self._frames[k].solved for k in shown])
        yield from self._draw_choice()
        layers.grid(grid_lines(view))
        yield
        picture = SkyPicture(view.width, view.height)
        kept = np.array([each.file not in self.choice.excluded for each in self._frames], bool)
        yield
        yield from picture.cover(self._quads[seen[kept[seen]]])
        stars = self._stars(view)
        yield
        layers.picture(picture.image(stars))

    def _draw_panels(self, *, few: bool) -> Iterator[None]:
        for panel in np.unique(self._panels[self._panels >= 0]).tolist():
            if panel not in self._hulls:
                self._hulls[panel] = hull(self._vectors[self._panels == panel])
                yield
        lines = [(self._numbers[panel], self.view.of_vectors(line)) for panel, line in self._hulls.items()]
        lines = [each for each in lines if _drawable(each[1], self.view)][:DRAWN]
        self._layers.panels(lines, outlined=not few)
        yield

    def _draw_choice(self) -> Iterator[None]:
        """Outlines of the selected frames and of those left out."""
        seen = self._seen()
        for layer, files, colour in (("out", self.choice.excluded, OUT), ("chosen", self.choice.selected, CHOSEN)):
            mine = [k for k in seen.tolist() if self._frames[k].file in files]
            yield
            dashed = [layer == "out"] * len(mine)
            width = 2 if layer == "chosen" else 1
            mine = [mine[k] for k in spread(len(mine), MARKED)]
            yield from self._layers.outlines(layer, self._quads[mine], [colour] * len(mine), dashed[: len(mine)], width)

    def _seen(self) -> NDArray[np.int64]:
        """Numbers of the frames that can be seen."""
        with np.errstate(invalid="ignore"):
            low, high = self._quads.min(axis=1), self._quads.max(axis=1)
            size = np.array([self.view.width, self.view.height])
            return np.flatnonzero(((high >= 0) & (low <= size)).all(axis=1))

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
        return self._mode.get() == "lasso" or bool(int(event.state) & SHIFT)

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
        hit = self._under(x, y)
        files = [self._frames[k].file for k in hit]
        if not files:
            if not adding:
                self.choice.select(())
            return
        if self._unit.get() == "panels":
            self._choose(self._of_panels([hit[0]]), adding=adding)
            return
        chosen = [k for k, file in enumerate(files) if file in self.choice.selected]
        following = 0 if adding or len(chosen) != 1 or len(self.choice.selected) != 1 else (chosen[0] + 1) % len(files)
        self._choose({files[following]}, adding=adding)

    def _panel_clicked(self, event: tk.Event[tk.Canvas]) -> None:
        hit = self._under(event.x, event.y)
        self._drag = []
        if hit:
            self._choose(self._of_panels([hit[0]]), adding=False)

    def _under(self, x: float, y: float) -> list[int]:
        """Numbers of the frames at a place of the canvas, the one with the nearest centre first."""
        there = np.flatnonzero(np.isfinite(self._quads).all(axis=(1, 2)))
        return [int(each) for each in there[containing(self._quads[there], x, y)]]

    def _catch(self, lasso: FloatArray, *, adding: bool) -> None:
        """Select the frames whose centres the lasso holds, or their panels."""
        caught = np.flatnonzero(inside(self._quads.mean(axis=1), lasso)) if len(self._quads) else np.zeros(0, int)
        files = {self._frames[k].file for k in caught.tolist()}
        if self._unit.get() == "panels":
            files = self._of_panels(caught.tolist())
        self._choose(files, adding=adding)

    def _of_panels(self, numbers: Sequence[int]) -> set[str]:
        """All frames of the panels of some frames; those that belong to none stand for themselves."""
        panels = np.unique(self._panels[numbers])
        alike = np.isin(self._panels, panels[panels >= 0])
        alike[numbers] = True
        return {self._frames[k].file for k in np.flatnonzero(alike).tolist()}

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
        for button in (self._include, self._exclude):
            button.state(["!disabled" if chosen else "disabled"])
        if x is None or y is None or self._drag:
            counts = {"total": len(self._frames), "selected": chosen, "out": len(self.choice.excluded)}
            self._status.configure(text=self._tr("gui.sky.status", field=f"{self.view.field:.1f}", **counts))
            return
        ra, dec = (float(each) for each in self.view.to_sky(x, y))
        here = len(self._under(x, y))
        place = f"{ra_text(ra, 1)}  {dec_text(dec, 1)}"
        self._status.configure(text=self._tr("gui.sky.here", place=place, count=here, selected=chosen))


def _drawable(line: FloatArray, view: View) -> bool:
    """Whether an outline is there at all, touches the view, and is not larger than X can draw."""
    if len(line) < 3 or not np.isfinite(line).all() or np.abs(line).max() > 30000:
        return False
    low, high = line.min(axis=0), line.max(axis=0)
    return bool((high >= 0).all() and (low <= (view.width, view.height)).all())
