"""What a run would make and need, for people and for programs: words, JSON, a drawing of where the subs lie."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from zemosaic.errors import OutputError
from zemosaic.frame_report import known
from zemosaic.imaging.projection import grid_to_sky, sky_to_grid
from zemosaic.imaging.warp import footprint, torn
from zemosaic.messages import Messages, sentence
from zemosaic.model import Lights, Outlook
from zemosaic.outlook import Layout

__all__ = ["as_json", "as_text", "draw_plans"]

LONGEST = 1000  # px of the mosaic on the drawing
EDGE, HEAD, FOOT = 24, 56, 44  # px around it
LEAST_WIDTH = 620  # px, for the words
MOST_OUTLINES = 2000  # of subs; more are only counted
STEPS = (1 / 60, 1 / 12, 1 / 6, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)  # deg, of the scale bar
PAPER, INK, PALE, FRAME = (14, 18, 28), (226, 232, 240), (140, 152, 172), (96, 165, 250)
FONTS = (
    "DejaVuSans.ttf",
    "segoeui.ttf",
    "arial.ttf",
    "Arial.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSans-Regular.ttf",
)
OWN = "Aileron"  # Pillow's own font
KEPT = "°·"  # of which it has, beside those of ASCII
PLAIN = {"\u00d7": "x", "\u2019": "'", "\u2212": "-", "\u0153": "oe", "\u00ab": '"', "\u00bb": '"', "\u2026": "..."}
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
DEEP = ((24, 34, 58), (37, 84, 150), (56, 152, 196), (140, 212, 190), (250, 240, 150))  # few subs to many


def as_text(
    lights: Lights, laid_out: Sequence[Layout], ahead: Outlook | None, messages: Messages, drawn: Sequence[Path]
) -> str:
    """In the user's language."""
    hours = messages.duration(lights.exposure)
    lines = [
        messages("plan.subs", subs=len(lights.frames), exposure=hours, nights=lights.nights),
        messages("plan.telescopes", names=_counted(lights.telescopes)),
    ]
    states = Counter(each.state for each in lights.left_out)
    if states:
        words = ", ".join(f"{n} × {messages.word('state', state)}" for state, n in states.most_common())
        lines.append(messages("inspect.left_out", states=words))
    if ahead is None:
        return "\n".join([*lines, messages("plan.unknown")])
    lines += ["", *_mosaic_lines(laid_out, messages)]
    if unturned := sum(f.wcs is None for each in laid_out for f in each.frames if f.id in each.places):
        lines.append(messages("plan.unturned", subs=unturned))
    lines.append("")
    lines += [
        messages("plan.memory", memory=ahead.memory / 1024.0),
        messages("plan.disk", disk=ahead.disk / 1024.0, free=ahead.free_disk / 1024.0),
        messages("plan.time", least=messages.duration(ahead.least), most=messages.duration(ahead.most)),
    ]
    if ahead.disk > ahead.free_disk:
        lines.append(messages("plan.disk_short"))
    if ahead.known:
        lines.append(messages("plan.known", known=ahead.known))
    return "\n".join([*lines, *(messages("plan.drawing", path=path) for path in drawn)])


def _counted(names: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name or '?'} ({count})" for name, count in names)


def _title(layout: Layout) -> str:
    return " · ".join(each for each in (layout.target, layout.filter) if each) or "?"


def _mosaic_lines(laid_out: Sequence[Layout], messages: Messages) -> Iterator[str]:
    """A line each, and what is to be known of its pixels below it; once for the filters of a target, which share them."""
    for layout, after in zip(laid_out, (*laid_out[1:], None)):
        yield _mosaic_line(layout, messages)
        if after is None or (after.target, after.told) != (layout.target, layout.told):
            yield from (f"  {sentence(told, messages)}" for told in layout.told)


def _mosaic_line(layout: Layout, messages: Messages) -> str:
    grid = layout.plan.grid
    return messages(
        "plan.mosaic",
        name=_title(layout),
        subs=len(layout.frames),
        panels=len(layout.plan.groups),
        width=grid.width,
        height=grid.height,
        scale=grid.scale * 3600.0,
    )


def as_json(
    lights: Lights, laid_out: Sequence[Layout], ahead: Outlook | None, drawn: Sequence[Path]
) -> dict[str, object]:
    """For programs: MB, seconds, pixels, degrees."""
    return {
        "subs": len(lights.frames),
        "exposure": known(lights.exposure),
        "nights": lights.nights,
        "telescopes": dict(lights.telescopes),
        "left_out": [{"file": str(e.path), "state": str(e.state), "reason": e.reason} for e in lights.left_out],
        "mosaics": [_plain(layout) for layout in laid_out],
        "needs": None if ahead is None else {name: known(value) for name, value in vars(ahead).items()},
        "drawings": [str(path) for path in drawn],
    }


def _plain(layout: Layout) -> dict[str, object]:
    grid = layout.plan.grid
    return {
        "target": layout.target,
        "filter": layout.filter,
        "subs": len(layout.frames),
        "width": grid.width,
        "height": grid.height,
        "scale": known(grid.scale * 3600.0),
        "projection": grid.projection,
        "rotation": known(grid.rotation),
        "told": list(layout.told),
        "panels": [
            {"ra": known(each.ra), "dec": known(each.dec), "subs": len(each.frames)} for each in layout.plan.groups
        ],
    }


def draw_plans(laid_out: Sequence[Layout], picture: Path, messages: Messages) -> tuple[Path, ...]:
    """A PNG of each mosaic: the subs' outlines, how many lie over each other, the panels; north as in the mosaic.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    drawn = []
    for number, layout in enumerate(laid_out, 1):
        path = picture if len(laid_out) == 1 else picture.with_stem(f"{picture.stem}_{number}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drawing(layout, messages).save(path, "PNG")
        except OSError as error:
            raise OutputError.writing(path, error) from error
        drawn.append(path)
    return tuple(drawn)


def _drawing(layout: Layout, messages: Messages) -> Image.Image:
    grid = layout.plan.grid
    shrink = LONGEST / max(grid.width, grid.height)
    width, height = (max(1, round(side * shrink)) for side in (grid.width, grid.height))
    left = EDGE + max(0, LEAST_WIDTH - width - 2 * EDGE) // 2
    outlines = _outlines(layout, shrink, height)
    image = Image.new("RGB", (width + 2 * left, height + HEAD + FOOT), PAPER)
    image.paste(Image.fromarray(_coloured(_depth(outlines, width, height))), (left, HEAD))
    pen = ImageDraw.Draw(image, "RGBA")
    for outline in outlines[:MOST_OUTLINES]:
        pen.polygon([(left + x, HEAD + y) for x, y in outline], outline=(*INK, 60 if len(outlines) < 200 else 24))
    pen.rectangle((left - 1, HEAD - 1, left + width, HEAD + height), outline=FRAME)
    for group in layout.plan.groups:
        x, y = sky_to_grid(grid, group.ra, group.dec)
        place = left + float(x) * shrink, HEAD + height - float(y) * shrink
        pen.text(place, str(len(group.frames)), INK, _font(18), "mm", stroke_width=2, stroke_fill=PAPER)
    for top, words, colour, font in (
        (10, _mosaic_line(layout, messages), INK, _font(15)),
        (31, messages("plan.legend"), PALE, _font(13)),
    ):
        pen.text((left, top), _written(words, font), colour, font)
    _foot(pen, layout, shrink, (left, HEAD + height + 10, width))
    return image


def _foot(pen: ImageDraw.ImageDraw, layout: Layout, shrink: float, place: tuple[int, int, int]) -> None:
    """A bar of some degrees, the middle of the mosaic, and where north and east are."""
    grid, (left, top, width) = layout.plan.grid, place
    step = max((each for each in STEPS if each / grid.scale * shrink < 0.4 * width), default=STEPS[0])
    end = left + step / grid.scale * shrink
    pen.line((left, top + 8, end, top + 8), INK, 2)
    pen.text((end + 8, top), f"{step:g}°" if step >= 0.25 else f"{60 * step:.0f}'", INK, _font(14))
    x, y = 0.5 * (grid.width - 1), 0.5 * (grid.height - 1)
    ra, dec = (float(value) for value in grid_to_sky(grid, x, y))
    pen.text((left + width - 60, top), f"RA {ra:.3f}°  Dec {dec:+.3f}°", PALE, _font(14), "ra")
    north, east = (sky_to_grid(grid, *each) for each in ((ra, dec + 0.01), (ra + 0.01 / _cosine(dec), dec)))
    middle = left + width - 22.0, top + 8.0
    for name, (to_x, to_y) in (("N", north), ("E", east)):
        away = np.array([float(to_x) - x, y - float(to_y)])
        tip = np.array(middle) + 13.0 * away / np.hypot(*away)
        pen.line((*middle, *tip.tolist()), PALE, 1)
        pen.text(tuple((tip + 7.0 * away / np.hypot(*away)).tolist()), name, PALE, _font(12), "mm")


def _cosine(dec: float) -> float:
    return max(0.01, math.cos(math.radians(dec)))


@cache
def _font(size: int) -> Font:
    """A font of the system that has accents; Pillow's own, which has none, where there is none of these."""
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:  # not on this system
            continue
    return ImageFont.load_default(size)


def _written(text: str, font: Font) -> str:
    """The text in letters that the font has: Pillow's own is given those of ASCII without their accents."""
    if isinstance(font, ImageFont.FreeTypeFont) and font.getname()[0] != OWN:
        return text
    plain = "".join(PLAIN.get(each, each) for each in unicodedata.normalize("NFKD", text))
    return "".join(each for each in plain if each.isascii() or each in KEPT)


def _outlines(layout: Layout, shrink: float, height: int) -> list[list[tuple[float, float]]]:
    """Corners and sides of each sub on the drawing, from its upper left corner; without those across the end of the map."""
    found = []
    for frame in layout.frames:
        if frame.id in layout.places:
            about = layout.places[frame.id], (frame.height, frame.width), layout.plan.grid
            if torn(*about):
                continue
            x, y = footprint(*about)
            found.append(list(zip((x * shrink).tolist(), (height - y * shrink).tolist())))
    return found


def _depth(outlines: Sequence[Sequence[tuple[float, float]]], width: int, height: int) -> NDArray[np.int32]:
    """(h, w), how many subs lie over each pixel of the drawing."""
    depth = np.zeros((height, width), np.int32)
    for outline in outlines:
        mask = Image.new("1", (width, height))
        ImageDraw.Draw(mask).polygon(list(outline), fill=1)
        depth += np.asarray(mask)
    return depth


def _coloured(depth: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(h, w, 3), dark where no sub lies, brighter with their number."""
    share = np.sqrt(depth / max(1, int(depth.max())))
    stops = np.linspace(0.0, 1.0, len(DEEP))
    colours = [np.interp(share, stops, [colour[k] for colour in DEEP]) for k in range(3)]
    return np.where((depth > 0)[..., None], np.stack(colours, -1), PAPER).astype(np.uint8)
