"""Small drawings as SVG text that takes its colours from the page, light or dark. Every text in them is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

__all__ = ["dots", "embedded_json", "figure", "line", "nice_ticks", "polygon", "rect", "text"]


def figure(width: float, height: float, label: str, parts: Iterable[Markup]) -> Markup:
    """A drawing that fills the width it is given; `label` tells what it shows to who cannot see it."""
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_n(width), _n(height), label)
    return opening + Markup("").join(parts) + Markup("</svg>")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> Markup:
    """`anchor`: start, middle or end."""
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(_n(x), _n(y), kind, anchor, words)


def line(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, _path(points))


def polygon(outlines: Iterable[Sequence[tuple[float, float]]], kind: str) -> Markup:
    """Closed outlines as one shape: ten thousand of them cost one element."""
    return Markup('<path class="{}" d="{}"/>').format(kind, "".join(_path(each) + "Z" for each in outlines))


def rect(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> Markup:
    inner = Markup("<title>{}</title>").format(title) if title else Markup("")
    box = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">').format(kind, *map(_n, (x, y, width, height)))
    return box + inner + Markup("</rect>")


def dots(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """Round points as one shape, as large as the line of `kind` is wide."""
    return Markup('<path class="{}" d="{}"/>').format(kind, "".join(f"M{_n(x)} {_n(y)}h0" for x, y in points))


def nice_ticks(least: float, most: float, about: int = 5) -> list[float]:
    """Round values within a range: steps of 1, 2 or 5 times a power of ten."""
    if not most > least:
        return [least]
    rough = (most - least) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(least / step - 1e-9)
    return [k * step for k in range(first, math.floor(most / step + 1e-9) + 1)]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """A coordinate to a tenth, as short as possible."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def embedded_json(value: object) -> Markup:
    """JSON that can stand inside of a script element: nothing in it ends the element or begins another."""
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "&<>\u2028\u2029":
        told = told.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(told)
