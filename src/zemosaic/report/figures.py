"""The page's drawings with their names and notes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from zemosaic.report.images import SMALL, picture
from zemosaic.report.plots import MOST_POINTS, Clock, histogram, over_time
from zemosaic.report.skyfigures import Sky, depth_map, footprints, seam_map
from zemosaic.report.values import FrameLine, Report
from zemosaic.report.words import UNKNOWN, Words

__all__ = ["Figure", "depth", "plots", "residuals", "seams", "thinned", "where"]

Value = Callable[[FrameLine], float]
PLOTS: tuple[tuple[str, Value, int], ...] = (
    ("fwhm", lambda f: f.quality.fwhm_arcsec, 2),
    ("sky", lambda f: f.quality.sky, 0),
    ("transparency", lambda f: 100.0 * f.quality.transparency, 0),
    ("stars", lambda f: f.quality.stars, 0),
    ("weight", lambda f: f.quality.weight, 2),
    ("rejected", lambda f: f.rejected, 2),
)
RESIDUALS: tuple[tuple[str, Value, str, int], ...] = (
    ("residual", lambda f: f.quality.residual, "″", 2),
    ("placed", lambda f: f.placed, "px", 3),
    ("uneven", lambda f: f.quality.uneven, "mmag", 0),
)


@dataclass(frozen=True)
class Figure:
    name: str
    note: str
    drawing: Markup | None  # None: nothing is known


def depth(report: Report, sky: Sky, words: Words) -> Iterator[Figure]:
    """Maps of the exposure and of the limiting magnitude."""
    maps = report.maps
    for key, values, unit, digits in (("seconds", maps.seconds, "s", 0), ("limit", maps.limit, "mag", 1)):
        name = f"report.map.{key}"
        known = np.zeros(0) if values is None else values[np.isfinite(values)]
        if values is None or not known.size:
            yield Figure(words(name), words(f"{name}.none"), None)
            continue
        middle, most = words.number(float(np.median(known)), digits), words.number(float(known.max()), digits)
        drawing = depth_map(sky, values, maps.factor, name, unit, digits)
        yield Figure(words(name), words(f"{name}.note", median=middle, most=most), drawing)


def where(report: Report, sky: Sky, words: Words) -> Figure:
    """The outlines of the frames."""
    drawing, shown = footprints(sky, report.outlines, report.panels, picture(report.preview, SMALL, 75).address)
    total = len(report.outlines)
    key = "report.footprints." + ("note" if shown == total else "some")
    return Figure(words("report.footprints"), words(key, count=words.number(total), shown=words.number(shown)), drawing)


def seams(report: Report, sky: Sky, words: Words) -> Figure:
    """The map of the seams."""
    name, found = words("report.seams"), report.seams
    if found is None:
        return Figure(name, words("report.seams.none"), None)
    visible = words.seam(found.visible)
    note = words("report.seams.note", grade=found.grade, word=words(f"grade.{found.grade}"), visible=visible)
    return Figure(name, note, seam_map(sky, found, report.outlines, report.panels))


def plots(frames: Sequence[FrameLine], words: Words) -> Iterator[Figure]:
    """What changed in the course of the nights."""
    lights = [f for f in frames if f.quality.stars >= 0]
    clock = Clock.of([f.time for f in lights])
    for key, value, digits in PLOTS:
        name, middle = words(f"report.plot.{key}"), _middle([value(f) for f in lights], digits, words)
        drawing = over_time(lights, clock, value, name, words, digits)
        yield _figure(name, words(f"report.plot.{key}.note", median=middle), drawing, words)


def thinned(frames: Sequence[FrameLine], words: Words) -> str:
    """What plots leave out; "" where they show all."""
    total = sum(math.isfinite(f.time) for f in frames)
    if total <= MOST_POINTS:
        return ""
    return words("report.nights.thinned", shown=words.number(MOST_POINTS), total=words.number(total))


def residuals(frames: Sequence[FrameLine], words: Words) -> Iterator[Figure]:
    """How far the frames in the mosaic are from the catalogue and from each other."""
    for key, value, unit, digits in RESIDUALS:
        values, name = [value(f) for f in frames if f.used], words(f"report.residual.{key}")
        note = words(f"report.residual.{key}.note", median=_middle(values, digits, words))
        drawing = histogram(values, name, unit, words, digits)
        why = words("report.residual.uneven.unknown" if key == "uneven" else "report.unknown")
        yield Figure(name, note if drawing is not None else why, drawing)


def _figure(name: str, note: str, drawing: Markup | None, words: Words) -> Figure:
    return Figure(name, note if drawing is not None else words("report.unknown"), drawing)


def _middle(values: Sequence[float], digits: int, words: Words) -> str:
    """The median of the known values."""
    known = [value for value in values if math.isfinite(value)]
    return words.number(float(np.median(known)), digits) if known else UNKNOWN
