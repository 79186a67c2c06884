"""Drawings of the sky that the mosaic covers, as it lies in its picture: depth, footprints, seams."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from zemosaic.imaging.projection import grid_to_sky, sky_to_grid
from zemosaic.model import Grid
from zemosaic.report.images import RAMP, map_image
from zemosaic.report.plots import HUES
from zemosaic.report.svg import figure, line, nice_ticks, polygon, rect, text
from zemosaic.report.values import FloatArray, Outline, PanelDepth
from zemosaic.report.words import Words
from zemosaic.seams import Seam, SeamReport, cut, labels, side_shown

__all__ = ["Sky", "depth_map", "footprints", "seam_map"]

WIDTH = 480.0
FOOT, SIDE, BAR = 20.0, 62.0, 46.0  # room for right ascensions, declinations, and the scale of a map
MOST_OUTLINES = 1500
RA_STEPS = (0.25, 0.5, 1.25, 2.5, 5.0, 7.5, 15.0, 30.0)  # deg: 1, 2, 5, 10, 20, 30 minutes, 1 and 2 hours
DEC_STEPS = (1 / 12, 1 / 6, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)  # deg
LINES, POINTS = 5, 193
DIGIT, LETTER = 8.0, 15.0  # room of a digit across, of a line of text up


class Sky:
    """The mosaic's pixels on a drawing."""

    def __init__(self, grid: Grid, words: Words) -> None:
        self.grid, self.words = grid, words
        self.across = WIDTH - SIDE
        self.shrink = self.across / grid.width
        self.tall = grid.height * self.shrink

    def at(self, x: float, top: float) -> tuple[float, float]:
        """Place on the drawing of mosaic pixels counted from the left and from the top."""
        return SIDE + x * self.shrink, top * self.shrink

    def sky(self, ra: float, dec: float) -> tuple[float, float]:
        x, y = sky_to_grid(self.grid, ra, dec)
        return self.at(float(x), self.grid.height - 1 - float(y))

    def image(self, address: str, kind: str = "") -> Markup:
        """A picture that fills the mosaic's rectangle."""
        return Markup(
            '<image class="{}" href="{}" x="{}" y="0" width="{}" height="{}" preserveAspectRatio="none"/>'
        ).format(kind, address, SIDE, f"{self.across:.1f}", f"{self.tall:.1f}")

    def drawing(self, label: str, parts: Sequence[Markup], foot: float = 0.0) -> Markup:
        return figure(WIDTH, self.tall + FOOT + foot, label, parts)

    def cut(self, name: str, parts: Sequence[Markup]) -> Markup:
        """What of the parts lies on the mosaic; `name` is the only one of its kind on the page."""
        clip = Markup('<clipPath id="{}"><rect x="{}" y="0" width="{}" height="{}"/></clipPath>').format(
            name, SIDE, f"{self.across:.1f}", f"{self.tall:.1f}"
        )
        opening = Markup('<g clip-path="url(#{})">').format(name)
        return clip + opening + Markup("").join(parts) + Markup("</g>")

    def graticule(self) -> Iterator[Markup]:
        """Lines of right ascension and declination with their values at the lower or left border, whichever they reach."""
        ra, dec = self._shown()
        labelled = list[tuple[float, float]]()
        step = next((s for s in RA_STEPS if np.ptp(ra) / s <= LINES), 45.0)
        ramp = np.linspace(float(dec.min()), float(dec.max()), POINTS)
        for k in range(math.ceil(ra.min() / step), math.floor(ra.max() / step) + 1):
            label = self.words.hours(k * step % 360.0, seconds=step < 0.25)
            yield from self._drawn([self.sky(k * step, float(d)) for d in ramp], label, (True, False), labelled)
        step = next((s for s in DEC_STEPS if np.ptp(dec) / s <= LINES), 15.0)
        ramp = np.linspace(float(ra.min()), float(ra.max()), POINTS)
        for k in range(math.ceil(dec.min() / step), math.floor(dec.max() / step) + 1):
            path = [self.sky(float(r), k * step) for r in ramp]
            yield from self._drawn(path, self.words.degrees(k * step), (False, True), labelled)

    def _drawn(
        self,
        path: Sequence[tuple[float, float]],
        label: str,
        borders: tuple[bool, bool],
        labelled: list[tuple[float, float]],
    ) -> Iterator[Markup]:
        """A line as far as it lies on the mosaic, and its value at the lower border (True) or the left one, where there is room.

        labelled : where values stand; this one joins them
        """
        pieces = list(_pieces(path, 0.5 * self.across))
        for piece in pieces:
            inside = [p if SIDE <= p[0] <= WIDTH and 0.0 <= p[1] <= self.tall else (math.nan, math.nan) for p in piece]
            yield from (line(part, "grid") for part in _pieces(inside, math.inf))
        for lower in borders:
            if lower:
                crossed = (_crossing([(y, x) for x, y in piece], self.tall) for piece in pieces)
                places = [(x, self.tall + 15) for x in crossed if x is not None and SIDE + 14 < x < WIDTH - 18]
            else:
                crossed = (_crossing(piece, SIDE) for piece in pieces)
                places = [(SIDE - 6, y + 4) for y in crossed if y is not None and 8 < y < self.tall - 4]
            free = [(x, y) for x, y in places if all(abs(x - a) > SIDE or abs(y - b) > LETTER for a, b in labelled)]
            if free:
                labelled.append(free[0])
                yield text(*free[0], label, "tick", "middle" if lower else "end")
                return

    def _shown(self) -> tuple[FloatArray, FloatArray]:
        """Right ascensions (near that of the middle) and declinations all over the mosaic, degrees."""
        t = np.linspace(0.0, 1.0, 20)
        u, v = np.meshgrid(t * (self.grid.width - 1), t * (self.grid.height - 1))
        ra, dec = grid_to_sky(self.grid, u, v)
        known = np.isfinite(ra)
        return self.grid.ra + (ra[known] - self.grid.ra + 180.0) % 360.0 - 180.0, dec[known]


def _pieces(path: Sequence[tuple[float, float]], longest: float) -> Iterator[list[tuple[float, float]]]:
    """A line without what the map has no place for, parted where it goes on at the other side of the map."""
    piece = list[tuple[float, float]]()
    for point in path:
        if not all(map(math.isfinite, point)) or (piece and math.dist(piece[-1], point) > longest):
            if len(piece) > 1:
                yield piece
            piece = []
        if all(map(math.isfinite, point)):
            piece.append(point)
    if len(piece) > 1:
        yield piece


def _crossing(path: Sequence[tuple[float, float]], at: float) -> float | None:
    """Second coordinate where the first one passes a value."""
    for (a, p), (b, q) in zip(path, path[1:]):
        if min(a, b) <= at <= max(a, b) and a != b:
            return p + (q - p) * (at - a) / (b - a)
    return None


def depth_map(sky: Sky, values: FloatArray, factor: int, key: str, unit: str, digits: int) -> Markup | None:
    """A map in colours with its scale, called by a text of the locales; None where nothing is known."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    least, most = float(np.quantile(known, 0.02)), float(known.max())
    if not most > least:
        least, most = least - 0.5 * abs(least or 1.0), most + 0.5 * abs(most or 1.0)
    h, w = values.shape
    # blocks at the right and lower border may be smaller: the picture is a little larger than the mosaic, and cut off
    image = Markup('<image href="{}" x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none"/>').format(
        map_image(values, least, most), SIDE, f"{sky.tall - h * factor * sky.shrink:.1f}",
        f"{w * factor * sky.shrink:.1f}", f"{h * factor * sky.shrink:.1f}",
    )  # fmt: skip
    middle = sky.words.number(float(np.median(known)), digits)
    label = sky.words("report.map.alt", name=sky.words(key), median=middle, unit=unit)
    parts = [sky.cut(key, [image]), *sky.graticule()]
    return sky.drawing(label, [*parts, *_scale(sky, least, most, unit, digits)], BAR)


def _scale(sky: Sky, least: float, most: float, unit: str, digits: int) -> Iterator[Markup]:
    """The colours and what they mean."""
    top, left, wide = sky.tall + FOOT + 8, SIDE, sky.across
    for k in range(48):
        place = k / 47 * (len(RAMP) - 1)
        low = min(int(place), len(RAMP) - 2)
        colour = [round(a + (b - a) * (place - low)) for a, b in zip(RAMP[low], RAMP[low + 1])]
        box = Markup('<rect x="{}" y="{}" width="{}" height="10" fill="rgb({} {} {})"/>')
        yield box.format(f"{left + wide * k / 48:.1f}", f"{top:.1f}", f"{wide / 48 + 0.5:.1f}", *colour)
    for tick in nice_ticks(least, most, 5):
        x = left + wide * (tick - least) / (most - least)
        yield text(x, top + 24, sky.words.number(tick, digits), "tick", "middle")
    yield text(SIDE - 6, top + 9, unit, "tick", "end")


def footprints(sky: Sky, outlines: Sequence[Outline], panels: Sequence[PanelDepth], address: str) -> tuple[Markup, int]:
    """The frames over a faint picture in the colours of their panels, and how many of them are drawn."""
    step = max(1, math.ceil(len(outlines) / MOST_OUTLINES))
    shown = outlines[::step]
    by_panel = defaultdict[int, list[list[tuple[float, float]]]](list)
    for each in shown:
        by_panel[each.panel].append([sky.at(x, y) for x, y in zip(each.x, each.y)])
    frames = [polygon(some, f"frame p{panel % HUES}") for panel, some in sorted(by_panel.items())]
    parts = [
        rect(SIDE, 0, sky.across, sky.tall, "night"),
        sky.image(address, "faint"),
        sky.cut("footprints", frames),
        *sky.graticule(),
    ]
    parts += [text(*sky.sky(p.ra, p.dec), str(p.id), "number onsky", "middle") for p in panels if len(panels) > 1]
    label = sky.words("report.footprints.alt", count=len(outlines), panels=len(panels))
    return sky.drawing(label, parts), len(shown)


def _room(place: tuple[float, float], shown: str) -> tuple[float, float, float, float]:
    """The rectangle that a text in the middle of a place takes, by the width of a bold digit."""
    half = 0.5 * DIGIT * len(shown)
    return place[0] - half, place[1] - 0.5 * LETTER, place[0] + half, place[1] + 0.5 * LETTER


def seam_map(sky: Sky, report: SeamReport, outlines: Sequence[Outline], panels: Sequence[PanelDepth]) -> Markup:
    """Panels, and in the colours of seams lines between two of them, or around the telescope or night that meets others."""
    middles = {p.id: sky.sky(p.ra, p.dec) for p in panels}
    nearest = dict[tuple[int, str], tuple[float, list[tuple[float, float]]]]()
    for each in outlines:
        points = [sky.at(x, y) for x, y in zip(each.x, each.y)]
        centre = np.mean(points, axis=0)
        apart = math.dist(centre, middles[each.panel]) if each.panel in middles else math.inf
        for key in ((each.panel, ""), (each.panel, each.set)):
            if apart < nearest.get(key, (math.inf, []))[0]:
                nearest[key] = apart, points
    parts = [sky.cut("panels", [polygon([p], "panel") for (_, name), (_, p) in nearest.items() if not name])]
    window = SIDE + DIGIT, LETTER, WIDTH - DIGIT, sky.tall - LETTER  # with room for a label
    lines, around = list[tuple[Seam, tuple[float, float], tuple[float, float]]](), list[Markup]()
    for seam in report.seams:
        if seam.within and (seam.first, seam.sets[0]) in nearest:
            corners = nearest[seam.first, seam.sets[0]][1]
            ends = side_shown(corners, window)
            around.append(polygon([corners], f"seam g{seam.grade}"))
        elif not seam.within and seam.first in middles and seam.second in middles:
            ends = cut(middles[seam.first], middles[seam.second], window)
            around.append(line([middles[seam.first], middles[seam.second]], f"seam g{seam.grade}"))
        else:
            continue
        if ends is not None:
            lines.append((seam, *ends))
    parts.append(sky.cut("seamlines", list(reversed(around))))  # the worst one on top
    within = {number: place for number, place in middles.items() if cut(place, place, window) is not None}
    for number, ((x, y), shown, _) in enumerate(labels(lines, within, _room, sky.words.seam)):
        kind = "number" if number < len(within) else "number small"
        parts.append(text(x, y + 4, shown, kind, "middle"))
    label = sky.words("report.seams.alt", grade=report.grade, count=len(report.seams))
    return sky.drawing(label, [*parts, *sky.graticule()])
