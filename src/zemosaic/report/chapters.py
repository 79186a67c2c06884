"""The page's cards, sentences and tables: values of a report as the reader's language writes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from zemosaic.report.plots import HUES
from zemosaic.report.values import Advice, Report, SettingLine
from zemosaic.report.words import UNKNOWN, Words
from zemosaic.seams import GRADES
from zemosaic.settings import declared
from zemosaic.stopwatch import PhaseTime

__all__ = ["accuracy", "cards", "grades", "panels", "phases", "seams", "sentence", "settings"]

MOST_SEAMS = 12  # named; the worst ones
MEGA = 1e6


@dataclass(frozen=True)
class Card:
    """A key figure."""

    name: str
    value: str
    unit: str = ""
    note: str = ""
    grade: str = ""


@dataclass(frozen=True)
class PanelRow:
    id: int
    hue: int
    place: str
    cells: tuple[str, ...]
    share: str  # %, of the bar
    deep: str
    missing: str


@dataclass(frozen=True)
class SeamRow:
    panels: str
    grade: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class GradeKey:
    grade: str
    text: str


@dataclass(frozen=True)
class PhaseRow:
    name: str
    share: str  # %, of the longest
    time: str
    memory: str


@dataclass(frozen=True)
class SettingRow:
    key: str
    label: str
    value: str
    changed: bool


@dataclass(frozen=True)
class SettingGroup:
    name: str
    rows: tuple[SettingRow, ...]


def cards(report: Report, words: Words) -> Iterator[Card]:
    """The key figures."""
    f, n = report.facts, words.number

    def card(key: str, value: str, unit: str = "", note: str = "", grade: str = "") -> Card:
        return Card(words(f"report.card.{key}"), value, unit if value != UNKNOWN else "", note, grade)

    depth = words("report.card.exposure.note", depth=words.time(f.depth)) if math.isfinite(f.depth) else ""
    yield card("exposure", words.time(f.exposure) if f.exposure > 0 else UNKNOWN, note=depth)
    lost = words("report.card.frames.note", lights=n(f.lights), lost=n(f.lights - f.frames))
    yield card("frames", n(f.frames), note=lost)
    yield card("area", n(f.area, 2), "deg²", words("report.card.area.note", width=n(f.width), height=n(f.height)))
    yield card("scale", n(f.scale, 2), "″/px", words("report.card.scale.note", pixels=n(f.width * f.height / MEGA, 1)))
    yield card("panels", n(f.panels), note=_centre(report, words))
    yield card("fwhm", n(f.fwhm, 1), "″", words("report.card.fwhm.note"))
    yield card("limit", n(f.limit, 1), "mag", words("report.card.limit.note"))
    if report.seams is None:
        yield card("seams", UNKNOWN, note=words("report.card.seams.none"))
    else:
        grade = report.seams.grade
        yield card("seams", grade, note=words(f"grade.{grade}"), grade=grade)
    among = n(f.among_frames, 3)
    note = words("report.card.positions.note", among=among) if among != UNKNOWN else ""
    yield card("positions", n(f.against_catalogue, 2), "″", note)
    yield card("rejected", n(f.rejected, 2), "%", words("report.card.rejected.note"))


def _centre(report: Report, words: Words) -> str:
    return words("report.card.panels.note", place=words.place(report.facts.ra, report.facts.dec))


def sentence(each: Advice, words: Words) -> str:
    """A piece of advice with its figures."""
    values = dict(each.values)
    shown: dict[str, object] = {name: _figure(name, value, words) for name, value in values.items()}
    if each.key == "seam":
        sets = str(values["first set"]), str(values["second set"])
        shown["place"] = words.seam_place(int(values["first"]), int(values["second"]), sets)
    if "ra" in values:
        shown["place"] = words.place(float(values["ra"]), float(values["dec"]))
    return words(f"report.advice.{each.key}", **shown)


def _figure(name: str, value: float | int | str, words: Words) -> str:
    if isinstance(value, str):
        return value
    if name == "time":
        return words.time(value)
    return words.number(value, 2 if name in ("gain", "visible") else 1 if name == "factor" else 0)


def panels(report: Report, words: Words) -> Iterator[PanelRow]:
    n, time = words.number, words.time
    for p in report.panels:
        cells = (n(p.frames), time(p.seconds), time(p.exposure), n(p.limit, 2))
        share = f"{100.0 * p.deep:.0f}" if math.isfinite(p.deep) else "0"
        place = words.place(p.ra, p.dec)
        missing = words("report.panels.deepest") if p.deep >= 1.0 else time(p.missing)
        if len(report.panels) == 1:  # the deepest of what
            missing = UNKNOWN
        yield PanelRow(p.id, p.id % HUES, place, cells, share, n(100.0 * p.deep), missing)


def seams(report: Report, words: Words) -> Iterator[SeamRow]:
    """The worst ones, in green or the only channel."""
    for seam in report.seams.seams[:MOST_SEAMS] if report.seams is not None else ():
        middle = len(seam.step) // 2
        figures = (seam.step[middle], seam.error[middle], seam.ripple[middle])
        cells = (words.number(seam.cells), *(words.number(value, 2) for value in figures), words.seam(seam.visible))
        sides = f"{seam.first} – {seam.second}"
        if seam.within:
            sides = f"{seam.first}: {seam.sets[0]} – {seam.sets[1] or words('seam.others')}"
        yield SeamRow(sides, seam.grade, cells)


def grades(words: Words) -> Iterator[GradeKey]:
    """What the colours of seams mean."""
    before = 0.0
    for letter, _, most in GRADES:
        told = f"≤ {words.number(most, 1)}" if math.isfinite(most) else f"> {words.number(before, 1)}"
        yield GradeKey(letter, told)
        before = most


def accuracy(report: Report, words: Words) -> Iterator[str]:
    """How well positions and brightness are known."""
    f, n = report.facts, words.number
    if math.isfinite(f.against_catalogue):
        yield words("report.accuracy.catalogue", rms=n(f.against_catalogue, 2))
    if math.isfinite(f.among_frames):
        yield words("report.accuracy.frames", rms=n(f.among_frames, 3))
    if math.isfinite(f.zero_point):
        scatter = n(f.zero_point_scatter, 3)
        yield words("report.accuracy.zero_point", zero_point=n(f.zero_point, 3), scatter=scatter)
    else:
        yield words("report.accuracy.no_zero_point")


def phases(times: Sequence[PhaseTime], words: Words) -> Iterator[PhaseRow]:
    """A row for each phase; those that come once for every mosaic are added up."""
    by_name = {name: [p for p in times if p.name == name] for name in dict.fromkeys(p.name for p in times)}
    seconds = {name: math.fsum(p.seconds for p in mine) for name, mine in by_name.items()}
    longest = max(seconds.values(), default=0.0) or 1.0
    for name, mine in by_name.items():
        memory = max((p.memory for p in mine if math.isfinite(p.memory)), default=math.nan)
        held = f"{words.number(memory)} {words.word('unit', 'MB')}" if math.isfinite(memory) else UNKNOWN
        share = f"{100.0 * seconds[name] / longest:.1f}"
        yield PhaseRow(words.word("phase", name), share, words.time(seconds[name]), held)


def settings(lines: Sequence[SettingLine], words: Words) -> Iterator[SettingGroup]:
    for group, members in groupby(lines, key=lambda each: each.group):
        rows = tuple(
            SettingRow(each.name, words(f"setting.{each.name}"), _value(each, words), each.value != each.default)
            for each in members
        )
        yield SettingGroup(words(f"group.{group}"), rows)


def _value(line: SettingLine, words: Words) -> str:
    about = declared()[line.name]
    if isinstance(line.value, bool):
        return words("gui.settings.on" if line.value else "gui.settings.off")
    if about.unit == "path" and line.value:
        return Path(str(line.value)).name or UNKNOWN  # its folders are nobody's business
    if isinstance(line.value, str):
        return words.word(f"choice.{line.name}", line.value) if line.value else UNKNOWN
    if about.zero and line.value == 0:
        return words(f"setting.{line.name}.zero")
    number = f"{line.value:g}".replace(".", "," if words.language == "fr" else ".").replace("-", "−")
    return f"{number} {words.word('unit', about.unit)}" if about.unit else number
