"""The page: values of a report in a template that escapes every text, with its style, script and pictures inside."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from zemosaic.model import Grid
from zemosaic.report import chapters, figures
from zemosaic.report.collect import moment
from zemosaic.report.headlines import headlines
from zemosaic.report.images import picture
from zemosaic.report.rows import data_of
from zemosaic.report.skyfigures import Sky
from zemosaic.report.svg import embedded_json
from zemosaic.report.values import FrameLine, Report, night_of
from zemosaic.report.words import UNKNOWN, Words

__all__ = ["page"]

CHAPTERS = ("next", "depth", "sky", "nights", "accuracy", "frames", "run")


def page(report: Report, grid: Grid, words: Words) -> str:
    """The whole report as HTML; `grid` is that of the mosaic's files."""
    sky = Sky(grid, words)
    return _template().render(
        t=words,
        name=report.title or words("report.mosaic"),
        lead=_lead(report, words),
        picture=picture(report.preview),
        zoom=quote(report.zoom),
        style=_asset("style.css"),
        script=_asset("frames.js"),
        chapters=CHAPTERS,
        headlines=list(headlines(report, words)),
        cards=list(chapters.cards(report, words)),
        advice=[chapters.sentence(each, words) for each in report.advice],
        depth=list(figures.depth(report, sky, words)),
        panels=list(chapters.panels(report, words)),
        footprints=figures.where(report, sky, words),
        seams=figures.seams(report, sky, words),
        seam_rows=list(chapters.seams(report, words)),
        grades=list(chapters.grades(words)),
        plots=list(figures.plots(report.frames, words)),
        thinned=figures.thinned(report.frames, words),
        accuracy=list(chapters.accuracy(report, words)),
        residuals=list(figures.residuals(report.frames, words)),
        states=_states(report.frames, words),
        data=embedded_json(data_of(report, words)),
        phases=list(chapters.phases(report.phases, words)),
        files=report.files,
        software=report.facts.software or UNKNOWN,
        settings=list(chapters.settings(report.settings, words)),
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_asset("page.html"))


def _asset(name: str) -> Markup:
    """A file of ours, which goes into the page as it is."""
    return Markup(resources.files("zemosaic.report").joinpath("assets", name).read_text(encoding="utf-8"))


def _lead(report: Report, words: Words) -> str:
    """What was observed, with what, when and where."""
    f = report.facts
    told = report.title.split(" · ")
    parts = [each for each in (f.object, f.telescope, f.filter) if each not in told]
    if f.begin and f.end:
        first, last = _night(f.begin), _night(f.end)
        one = words("report.night", night=first)
        parts.append(one if first == last else words("report.night.several", first=first, last=last))
    if math.isfinite(f.ra):
        parts.append(words.place(f.ra, f.dec))
    return " · ".join(filter(None, parts))


def _night(date_obs: str) -> str:
    """The evening before a time in ISO 8601; its date where the time is none."""
    time = moment(date_obs)
    return night_of(time) if math.isfinite(time) else date_obs.partition("T")[0]


def _states(frames: Sequence[FrameLine], words: Words) -> str:
    counts = Counter(f.quality.state for f in frames)
    told = (f"{words.number(count)} × {words.word('state', state)}" for state, count in counts.most_common())
    return ", ".join(told) + "."
