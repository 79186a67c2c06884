"""The seam report: what is left between panels, and where a telescope or night ends within one, one grade for it, and a map.

A step is the mean difference of two panels over the sky that both see, after all corrections; within a panel of the frames of
a telescope or night and the others, along the rim where one of both ends. A ripple is the rms of what varies
along the seam, beyond the noise. The error of a step comes from the noise of that sky. What counts is how much is certain, a step
less two errors, or the ripple, against the noise of a pixel of the mosaic in the panel with fewer subs: the eye finds an edge of
a tenth of that only in the hardest stretch.

A  good  no certain step above 0.1 of a pixel's noise: nothing to see
B  fair  up to 0.3: perhaps in a hard stretch
C  poor  up to 1: visible in a usual stretch
D  bad   more: visible
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zemosaic.chunks import put_file
from zemosaic.errors import OutputError
from zemosaic.imaging.grouping import central
from zemosaic.imaging.projection import pixel_scale
from zemosaic.imaging.warp import footprint, torn
from zemosaic.model import Correction, Frame, Grid, Group, Measurement, Overlap, Solution
from zemosaic.names import beside
from zemosaic.phases.match import MatchResult
from zemosaic.sides import sets_of, sides_of

__all__ = [
    "GRADES",
    "SEAMS",
    "WARNED",
    "Seam",
    "SeamReport",
    "cut",
    "draw_seams",
    "grade_of",
    "labels",
    "seam_report",
    "side_shown",
    "size_told",
    "write_seams",
]

SEAMS = ("seams.json", "seams.png")  # endings of the files about them
GRADES = (("A", "good", 0.1), ("B", "fair", 0.3), ("C", "poor", 1.0), ("D", "bad", math.inf))
WARNED = ("C", "D")  # grades that the report begins with
CERTAIN = 2.0  # errors that are taken off a step before it counts
NAMED = 5  # frames of a bad seam
SIZE = 1400  # px, longer side of the map
MARGIN, LEGEND = 30, 60  # px
BACKGROUND = (18, 18, 22)
ALONG = (0.5, 0.36, 0.64, 0.25, 0.75, 0.43, 0.57, 0.18, 0.82)  # of a line between two panels, where its label may stand
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]
COLOURS = {"A": (40, 150, 70), "B": (160, 170, 30), "C": (225, 130, 20), "D": (205, 35, 35)}


@dataclass(frozen=True)
class Seam:
    """Between two panels, or within one (`sets`); per channel where it is a tuple."""

    first: int  # panel
    second: int
    cells: int  # of sky that both see
    step: tuple[float, ...]  # ADU, first minus second
    error: tuple[float, ...]  # ADU, expected from the noise
    ripple: tuple[float, ...]  # ADU, rms of what varies along the seam beyond the noise
    residual: tuple[float, ...]  # step over error
    visible: float  # the largest certain part of a step, or ripple, over the noise of a pixel
    grade: str
    sets: tuple[str, str] = ("", "")  # within a panel, the telescopes or nights that meet; "" as the second: the others

    @property
    def within(self) -> bool:
        return any(self.sets)


@dataclass(frozen=True)
class SeamReport:
    """All seams of a mosaic, worst first."""

    grade: str
    word: str
    visible: float  # of the worst seam
    residual: float  # rms of step over error: 1 when noise explains all
    seams: tuple[Seam, ...]
    frames: tuple[str, ...]  # files that contribute most to its worst seams, where these are poor or bad


def grade_of(visible: float) -> tuple[str, str]:
    """Letter and word; ValueError where nothing is known (NaN)."""
    if math.isnan(visible):
        raise ValueError("a seam of which nothing is known has no grade")
    return next((letter, word) for letter, word, most in GRADES if visible <= most)


def seam_report(
    frames: Sequence[Frame],
    groups: Sequence[Group],
    matched: MatchResult,
    measurements: Mapping[int, Measurement],
    solutions: Mapping[int, Solution],
) -> SeamReport | None:
    """The report of a mosaic, without seams of which nothing is known; None when there are no others, or nothing was matched."""
    if not matched.overlaps:
        return None
    scale = float(np.median([pixel_scale(solutions[i]) for i in matched.corrections]))
    panels, sets = {g.id: g for g in groups}, matched.sets
    noise = cache(lambda side: _pixel_noise(side, matched.corrections, measurements, solutions, scale))
    known = (seam for o in matched.overlaps if (seam := _seam(o, *map(noise, sides_of(o, panels, sets)))) is not None)
    seams = sorted(known, key=lambda seam: -seam.visible)
    if not seams:
        return None
    residuals = np.array([r for seam in seams for r in seam.residual])
    worst = seams[0]
    bad = {p for seam in seams if worst.grade == seam.grade in WARNED for p in (seam.first, seam.second)}
    names = {f.id: str(f.path) for f in frames}
    members = [i for g in groups if g.id in bad for i in g.frames if i in matched.frame_steps]
    members.sort(key=lambda i: -matched.frame_steps[i])
    return SeamReport(
        worst.grade,
        grade_of(worst.visible)[1],
        worst.visible,
        float(np.sqrt(np.nanmean(residuals**2))),
        tuple(seams),
        tuple(names[i] for i in members[:NAMED]),
    )


def _pixel_noise(
    side: Sequence[int],
    corrections: Mapping[int, Correction],
    measurements: Mapping[int, Measurement],
    solutions: Mapping[int, Solution],
    scale: float,
) -> np.ndarray:
    """(channels,) ADU, of a mosaic pixel of `scale` arcsec amid the frames of a side: 1 / sqrt(sum a^2 Omega / sigma^2)."""
    known = [i for i in side if i in corrections]
    if not known:
        return np.array([np.nan])
    information = [
        (np.asarray(corrections[i].gain) * pixel_scale(solutions[i]) / scale / np.asarray(measurements[i].sigma)) ** 2
        for i in known
    ]
    return np.asarray(1.0 / np.sqrt(np.sum(information, axis=0)))


def _seam(overlap: Overlap, first: np.ndarray, second: np.ndarray) -> Seam | None:
    """None where no channel's step, or no pixel's noise, is known; first, second : noise of a pixel of each side."""
    step, error = np.array(overlap.difference), np.array(overlap.error)
    pixel = np.fmax(first, second)
    certain = np.maximum(np.abs(step) - CERTAIN * error, np.array(overlap.ripple))
    shown = np.maximum(certain, 0.0) / pixel
    if np.all(np.isnan(shown)):
        return None
    visible = float(np.nanmax(shown))
    residual = tuple((step / error).tolist())
    return Seam(
        overlap.first, overlap.second, overlap.n_cells, overlap.difference, overlap.error, overlap.ripple, residual,
        visible, grade_of(visible)[0], overlap.sets,
    )  # fmt: skip


def write_seams(
    report: SeamReport, preview: Path, grid: Grid, groups: Sequence[Group], frames: Sequence[Frame],
    solutions: Mapping[int, Solution],
) -> None:  # fmt: skip
    """Write `..._seams.json` and `..._seams.png` beside the mosaic, unless they are there with the same content.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    scale = {letter: {"word": word, "visible": None if math.isinf(most) else most} for letter, word, most in GRADES}
    text = json.dumps({"grades": scale, "mosaic": asdict(grid)} | asdict(report), indent=1, ensure_ascii=False) + "\n"
    file, picture = (beside(preview, ending) for ending in SEAMS)
    try:
        if picture.is_file() and file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text:
            return
    except OSError as error:
        raise OutputError.writing(file, error) from error
    png = BytesIO()
    draw_seams(report, grid, groups, frames, solutions).save(png, format="PNG")
    put_file(picture, png.getbuffer())
    put_file(file, text.encode("utf-8", errors="backslashreplace"))


def draw_seams(
    report: SeamReport, grid: Grid, groups: Sequence[Group], frames: Sequence[Frame], solutions: Mapping[int, Solution]
) -> Image.Image:
    """Panels as they lie in the mosaic, and lines in the colours of seams with their sizes: between two panels, or around the
    telescope or night that meets others within one.
    """
    shrink = (SIZE - 2 * MARGIN) / max(grid.width, grid.height)
    width, height = round(grid.width * shrink) + 2 * MARGIN, round(grid.height * shrink) + 2 * MARGIN + LEGEND
    image = Image.new("RGB", (max(width, 500), height), BACKGROUND)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=18)
    middles, known, sets = dict[int, Point](), {f.id: f for f in frames}, _sets(groups, frames)

    def outline(group: Group) -> list[Point]:
        x, y = _outline(grid, group, known, solutions)
        return list(zip(MARGIN + x * shrink, height - LEGEND - MARGIN - y * shrink, strict=True))

    for group in groups:
        if points := outline(group):
            draw.polygon(points, outline=(110, 110, 125))
            middles[group.id] = (float(np.mean([x for x, _ in points])), float(np.mean([y for _, y in points])))
    lines = list[tuple[Seam, Point, Point]]()
    window = MARGIN, MARGIN, MARGIN + grid.width * shrink, height - LEGEND - MARGIN
    for seam in reversed(report.seams):  # the worst one on top
        if {seam.first, seam.second} <= {*middles}:
            shown = [middles[seam.first], middles[seam.second]]
            ends = cut(shown[0], shown[1], window)
            if seam.within:
                shown = outline(sets[seam.first, seam.sets[0]])
                ends = side_shown(shown, window)
                shown += shown[:1]
            draw.line(shown, fill=COLOURS[seam.grade], width=4)
            if ends is not None:
                lines.insert(0, (seam, *ends))
    draw.rectangle((0, window[3] + 4, image.width, height), fill=BACKGROUND)  # what reaches into the legend
    within = {number: place for number, place in middles.items() if cut(place, place, window) is not None}
    for place, text, box in labels(lines, within, lambda place, text: draw.textbbox(place, text, font, "mm")):
        draw.rectangle(box, fill=BACKGROUND)
        draw.text(place, text, fill=(235, 235, 235), font=font, anchor="mm")
    _legend(draw, report, height, font)
    return image


def labels(
    lines: Sequence[tuple[Seam, Point, Point]],
    middles: Mapping[int, Point],
    box_of: Callable[[Point, str], Rectangle],
    told: Callable[[float], str] | None = None,
) -> list[tuple[Point, str, Rectangle]]:
    """Place, text and box of each panel's number and each seam's size, none over another as long as there is room on its line.

    lines : of the seams, worst first, which have the first choice
    box_of : the room of a text about a place
    told : how the size of a seam is written, see `size_told`
    """
    told = told or size_told
    placed = [(place, f"{number}", box_of(place, f"{number}")) for number, place in middles.items()]
    for seam, (x0, y0), (x1, y1) in lines:
        text = told(seam.visible)
        places = [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in ALONG]
        boxes = [box_of(place, text) for place in places]
        free = [k for k, box in enumerate(boxes) if not any(_overlap(box, there) for _, _, there in placed)]
        best = free[0] if free else 0
        placed.append((places[best], text, boxes[best]))
    return placed


def cut(start: Point, end: Point, window: Rectangle) -> tuple[Point, Point] | None:
    """What of a line lies in a rectangle (least x and y, largest x and y); None where nothing does."""
    first, last = 0.0, 1.0
    for k in range(2):
        way = end[k] - start[k]
        if way == 0.0:
            if not window[k] <= start[k] <= window[k + 2]:
                return None
            continue
        low, high = sorted(((window[k] - start[k]) / way, (window[k + 2] - start[k]) / way))
        first, last = max(first, low), min(last, high)
    if first > last:
        return None
    (x0, y0), (x1, y1) = start, end
    return (x0 + first * (x1 - x0), y0 + first * (y1 - y0)), (x0 + last * (x1 - x0), y0 + last * (y1 - y0))


def side_shown(outline: Sequence[Point], window: Rectangle) -> tuple[Point, Point] | None:
    """The first side of a frame's outline that lies in a rectangle, else as much of one as does; None where none does.

    outline : as many points along each of the four sides, none twice
    """
    corners = outline[:: max(1, len(outline) // 4)]
    best, most = None, -1.0
    for start, end in zip(corners, (*corners[1:], *corners[:1])):
        shown = cut(start, end, window)
        share = -1.0 if shown is None else math.dist(*shown) / (math.dist(start, end) or 1.0)
        if share > most + 1e-9:
            best, most = shown, share
    return best


def size_told(visible: float) -> str:
    """Parts of a pixel's noise; what is below the best grade's limit is told as that, since it is a step less its errors."""
    return f"< {GRADES[0][2]:g}" if visible < GRADES[0][2] else f"{visible:.2f}"


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _sets(groups: Sequence[Group], frames: Sequence[Frame]) -> dict[tuple[int, str], Group]:
    """The frames of each telescope and night of each panel."""
    sets, parts = sets_of(frames), defaultdict[tuple[int, str], list[int]](list)
    where = {g.id: g for g in groups}
    for group in groups:
        for i in group.frames:
            if i in sets:
                parts[group.id, sets[i]].append(i)
    return {(g, name): replace(where[g], frames=tuple(some)) for (g, name), some in parts.items()}


def _outline(
    grid: Grid, group: Group, frames: Mapping[int, Frame], solutions: Mapping[int, Solution]
) -> tuple[np.ndarray, np.ndarray]:
    """The outline of the frame nearest the middle of a panel, px of the mosaic; empty without frames.

    Frames across the end of the map are left out: their outlines would go from one side of it to the other.
    """
    members = {i: (solutions[i].ra, solutions[i].dec) for i in group.frames if i in frames and i in solutions}
    while members:
        near = central(group.ra, group.dec, members)
        about = solutions[near], (frames[near].height, frames[near].width), grid
        if not torn(*about):
            return footprint(*about)
        del members[near]
    return np.zeros(0), np.zeros(0)


def _legend(draw: ImageDraw.ImageDraw, report: SeamReport, height: int, font: Font) -> None:
    """The grade and what the letters mean, in signs that need no language: parts of a pixel's noise."""
    draw.text((MARGIN, height - LEGEND), f"{report.grade}   {size_told(report.visible)} sigma", (235, 235, 235), font)
    x, above = float(MARGIN), 0.0
    for letter, _, most in GRADES:
        text = f"{letter} <= {most:g}" if math.isfinite(most) else f"{letter} > {above:g}"
        above = most
        draw.text((x, height - LEGEND + 28), text, fill=COLOURS[letter], font=font)
        x += draw.textlength(text, font=font) + 24
