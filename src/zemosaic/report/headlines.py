"""What the reader has to know first: bad seams, and many frames that are left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zemosaic.report.values import Report
from zemosaic.report.words import Words
from zemosaic.seams import WARNED, SeamReport

__all__ = ["Headline", "headlines"]

NAMED = 10  # frames of bad seams


@dataclass(frozen=True)
class Headline:
    """A warning at the top of the page."""

    text: str
    names: tuple[str, ...] = ()  # of frames
    more: str = ""  # how many frames are not named


def headlines(report: Report, words: Words) -> Iterator[Headline]:
    """Warnings, the worst first."""
    if report.seams is not None and report.seams.grade in WARNED:
        yield _seams(report, report.seams, words)
    lights, lost = report.facts.lights, report.facts.lights - report.facts.frames
    (most,) = (float(each.value) for each in report.settings if each.name == "many_left_out")
    if lost > 0.01 * most * lights and lost > 0:
        n = words.number
        yield Headline(words("report.warning.left_out", lost=n(lost), lights=n(lights), share=n(100.0 * lost / lights)))


def _seams(report: Report, seams: SeamReport, words: Words) -> Headline:
    """The grade in words, and the frames of the panels that do not meet: those that contribute most come first."""
    bad = {panel for seam in seams.seams if seam.grade in WARNED for panel in (seam.first, seam.second)}
    members = (line.quality.file for line in report.frames if line.used and line.quality.panel in bad)
    files, worst = tuple(dict.fromkeys((*seams.frames, *members))), seams.seams[0]
    text = words(
        "report.warning.seams",
        grade=seams.grade,
        word=words(f"grade.{seams.grade}"),
        place=words.seam_place(worst.first, worst.second, worst.sets),
        visible=words.seam(worst.visible),
    )
    more = words("report.warning.more", count=words.number(len(files) - NAMED)) if len(files) > NAMED else ""
    return Headline(text, tuple(_short(file, report.folder) for file in files[:NAMED]), more)


def _short(file: str, folder: str) -> str:
    """The file from the folder that holds all of them on."""
    path = Path(file)
    return str(path.relative_to(folder)) if folder and path.is_relative_to(folder) else path.name
