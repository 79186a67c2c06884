"""Plots of the frames against time, and histograms of their residuals, as SVG."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup

from zemosaic.report.svg import dots, figure, line, nice_ticks, rect, text
from zemosaic.report.values import FrameLine, night_of
from zemosaic.report.words import Words

__all__ = ["HUES", "Clock", "histogram", "over_time"]

WIDTH, HEIGHT = 480.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 24.0, 36.0
HUES = 12  # colours of panels
MOST_POINTS = 3000  # in a plot; more is the same cloud
PAUSE = 3 * 3600.0  # s without a frame that part two nights
GAP = 8.0  # between nights, in the unit of the drawing
NARROW = 64.0  # a night that is too narrow for its date
BINS = 24
MARGIN = 0.3  # of the range that 98 % of the points take, beyond which a point is drawn at the border


@dataclass(frozen=True)
class Clock:
    """Nights side by side, without the days between them."""

    nights: tuple[tuple[float, float], ...]  # s since 1970: first and last frame

    @classmethod
    def of(cls, times: Sequence[float]) -> Clock:
        known = sorted(time for time in times if math.isfinite(time))
        nights: list[tuple[float, float]] = []
        for time in known:
            if nights and time - nights[-1][1] <= PAUSE:
                nights[-1] = nights[-1][0], time
            else:
                nights.append((time, time))
        return cls(tuple(nights))

    def spans(self) -> list[tuple[float, float]]:
        """Left and right end of each night, in the unit of the drawing: as long as it lasted, a minimum for short ones."""
        gap = min(GAP, 0.3 * (WIDTH - LEFT - RIGHT) / max(1, len(self.nights)))
        room = WIDTH - LEFT - RIGHT - gap * (len(self.nights) - 1)
        lengths = np.array([max(last - first, 60.0) for first, last in self.nights])
        shares = lengths / lengths.sum() if lengths.size else lengths
        shares = 0.15 / max(1, len(lengths)) + 0.85 * shares
        ends = LEFT + np.cumsum(shares * room + gap)
        return [(float(e - s * room - gap), float(e - gap)) for e, s in zip(ends, shares)]

    def places(self, times: np.ndarray) -> np.ndarray:
        """x of times that lie in some night."""
        out = np.full(times.shape, np.nan)
        for (first, last), (left, right) in zip(self.nights, self.spans()):
            inside = (times >= first) & (times <= last)
            share = (times[inside] - first) / (last - first) if last > first else np.full(inside.sum(), 0.5)
            out[inside] = left + 3 + share * (right - left - 6)
        return out


def over_time(
    frames: Sequence[FrameLine], clock: Clock, value: Callable[[FrameLine], float], name: str, words: Words, digits: int
) -> Markup | None:
    """A figure of each frame against its time, in the colour of its panel; hollow where it is left out. None: nothing known."""
    known = [f for f in frames if math.isfinite(f.time) and math.isfinite(value(f))]
    if not known:
        return None
    shown = [known[int(k)] for k in np.linspace(0, len(known) - 1, min(len(known), MOST_POINTS))]
    values = np.array([value(f) for f in shown])
    least, most = _range(values)
    x = clock.places(np.array([f.time for f in shown]))
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (np.clip(values, least, most) - least) / (most - least))
    points = defaultdict[str, list[tuple[float, float]]](list)
    for f, px, py in zip(shown, x.tolist(), y.tolist()):
        points[f"dot p{f.quality.panel % HUES}" if f.used and f.quality.panel >= 0 else "dot out"].append((px, py))
    middle, digit = float(np.median(values)), digits
    label = words(
        "report.plot.alt", name=name, median=words.number(middle, digit), least=words.number(float(values.min()), digit),
        most=words.number(float(values.max()), digit), frames=len(known),
    )  # fmt: skip
    parts = [*_vertical_axis(least, most, words), *_nights(clock)]
    parts += [dots(each, kind) for kind, each in sorted(points.items())]
    return figure(WIDTH, HEIGHT, label, parts)


def _range(values: np.ndarray) -> tuple[float, float]:
    """What of the values is shown: all, or what most of them take and a margin where a few lie far out."""
    low, high = np.quantile(values, [0.01, 0.99])
    margin = MARGIN * (high - low)
    least, most = max(float(values.min()), float(low - margin)), min(float(values.max()), float(high + margin))
    if not most > least:
        return least - max(1.0, 0.1 * abs(least)), most + max(1.0, 0.1 * abs(most))
    edge = 0.06 * (most - least)
    return least - edge, most + edge


def _vertical_axis(least: float, most: float, words: Words) -> list[Markup]:
    ticks = nice_ticks(least, most, 6)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else most - least
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    parts = []
    for tick in ticks:
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (tick - least) / (most - least))
        parts.append(line([(LEFT, y), (WIDTH - RIGHT, y)], "rule"))
        parts.append(text(LEFT - 6, y + 4, words.number(tick, digits), "tick", "end"))
    return parts


def _nights(clock: Clock) -> list[Markup]:
    """The border between two nights, dates, and hours where there is room."""
    parts, free = [], -math.inf
    for (first, last), (left, right) in zip(clock.nights, clock.spans()):
        bottom = HEIGHT - BOTTOM
        parts.append(line([(left, bottom), (right, bottom)], "axis"))
        if left >= free:  # a date every so often, when nights are narrow
            parts.append(text(left, HEIGHT - 4, night_of(first), "tick"))
            free = left + NARROW + 8
        parts += _hours(first, last, left, right)
    return parts


def _hours(first: float, last: float, left: float, right: float) -> list[Markup]:
    """Ticks of the time of day, UTC, where a night is wide enough."""
    if right - left < 1.5 * NARROW or not last > first:
        return []
    most = int((right - left) // NARROW)
    steps = (60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 21600.0, 43200.0)
    step = next((s for s in steps if (last - first) / s <= most), steps[-1])
    parts = []
    for k in range(math.ceil(first / step), math.floor(last / step) + 1):
        x = left + 3 + (k * step - first) / (last - first) * (right - left - 6)
        parts.append(line([(x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 4)], "axis"))
        label = datetime.fromtimestamp(k * step, UTC).strftime("%H:%M")
        parts.append(text(x, HEIGHT - BOTTOM + 15, label, "tick", "middle"))
    return parts


def histogram(values: Sequence[float], name: str, unit: str, words: Words, digits: int) -> Markup | None:
    """How many frames have which value; None where none is known."""
    known = np.array([v for v in values if math.isfinite(v)])
    if not known.size:
        return None
    most = float(np.quantile(known, 0.995)) * 1.05 or 1.0
    counts, edges = np.histogram(np.clip(known, 0.0, most), bins=min(BINS, max(6, known.size // 2)), range=(0.0, most))
    room, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts, top = [], max(1, int(counts.max()))
    for tick in (t for t in nice_ticks(0, top, 4) if t == int(t) > 0):  # a 0 would lie on that of the other axis
        y = TOP + tall * (1.0 - tick / top)
        parts.append(line([(LEFT, y), (WIDTH - RIGHT, y)], "rule"))
        parts.append(text(LEFT - 6, y + 4, words.number(tick), "tick", "end"))
    wide = room / len(counts)
    for k, count in enumerate(counts.tolist()):
        if count:
            high = tall * count / top
            span = f"{words.number(edges[k], digits)} – {words.number(edges[k + 1], digits)} {unit}"
            parts.append(rect(LEFT + k * wide + 1, TOP + tall - high, wide - 2, high, "column", f"{span}: {count}"))
    ticks = nice_ticks(0.0, most)
    step = max(0, -math.floor(math.log10(ticks[1]) + 1e-9)) if len(ticks) > 1 else 1
    for tick in ticks:
        parts.append(text(LEFT + room * tick / most, HEIGHT - BOTTOM + 15, words.number(tick, step), "tick", "middle"))
    parts.append(line([(LEFT, TOP + tall), (WIDTH - RIGHT, TOP + tall)], "axis"))
    parts.append(text(0, 10, words("unit.frames"), "tick"))
    parts.append(text(WIDTH - RIGHT, HEIGHT - 2, unit, "tick", "end"))
    middle = float(np.median(known))
    x = LEFT + room * min(middle / most, 1.0)
    parts.append(line([(x, TOP), (x, TOP + tall)], "median"))
    label = words(
        "report.plot.alt", name=name, median=words.number(middle, digits), least=words.number(float(known.min()), digits),
        most=words.number(float(known.max()), digits), frames=known.size,
    )  # fmt: skip
    return figure(WIDTH, HEIGHT, label, parts)
