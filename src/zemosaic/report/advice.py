"""What would improve a mosaic, from its own coverage, weights and losses: a key of the locales each, and its figures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from zemosaic.imaging.projection import angular_separation, grid_to_sky, pixel_scale
from zemosaic.model import FrameState, Grid, short_names
from zemosaic.report.depth import Spot, gap, thin_spot
from zemosaic.report.sources import Source
from zemosaic.report.values import Advice, FrameLine, Maps, PanelDepth, night_of

__all__ = ["advice"]

EVEN = 0.8  # of the deepest panel: less deep ones are worth another night
HOLE = 0.2  # of a frame's shorter side, radius of a circle in what is missing that counts
THIN_SHARE = 0.15  # of the area, that is worth a word
BEST, GOOD = 0.9, 1.3  # quantile of the weights; gain over the median that is worth a word
LOST = (
    FrameState.CLOUDED,
    FrameState.TRAILED,
    FrameState.TOO_FEW_STARS,
    FrameState.UNSOLVED,
    FrameState.FALSE_SOLUTION,
)
BAD_SEAMS = "CD"
ENOUGH = 8  # frames, for a quantile of them


def advice(source: Source, frames: Sequence[FrameLine], panels: Sequence[PanelDepth], maps: Maps) -> tuple[Advice, ...]:
    """The most useful first."""
    unseen = ", ".join(short_names(source.vignettes).values())
    return (
        *_depth(source, frames, panels, maps),
        *_losses(frames),
        *_conditions(frames),
        *_seams(source),
        *([Advice("vignetting", (("instrument", unseen),))] if unseen else ()),
    )


def _depth(source: Source, frames: Sequence[FrameLine], panels: Sequence[PanelDepth], maps: Maps) -> Iterator[Advice]:
    grid, radius = source.grid, HOLE * _short_side(source) / (3600.0 * source.grid.scale * maps.factor)
    hole = gap(maps.weight, radius) if math.isfinite(radius) else None
    if hole is not None:
        yield Advice("gap", (*_position(hole, grid, maps), ("share", 100.0 * hole.share)))
    shallow = sorted((p for p in panels if p.deep < EVEN), key=lambda p: p.deep)
    if shallow:
        yield _next_panel(shallow[0], panels)
    if len(shallow) > 1:
        known = [p.missing for p in shallow if math.isfinite(p.missing)]
        if known:
            yield Advice("even_out", (("panels", len(shallow)), ("of", len(panels)), ("time", math.fsum(known))))
    if len(panels) > 1 and not shallow and any(p.deep > 0 for p in panels):
        least = min(p.deep for p in panels if p.deep > 0)
        yield Advice("even", (("panels", len(panels)), ("share", 100.0 * least)))
    thin = thin_spot(maps.weight, radius) if math.isfinite(radius) else None
    if thin is not None and thin.share > THIN_SHARE and not _is_named(thin, shallow[:1], source, maps):
        yield Advice("thin", (*_position(thin, grid, maps), ("share", 100.0 * thin.share)))
    yield from _deeper(frames, panels)


def _next_panel(panel: PanelDepth, panels: Sequence[PanelDepth]) -> Advice:
    deepest = max((p for p in panels if math.isfinite(p.deep)), key=lambda p: p.deep)
    figures = (
        ("panel", panel.id), ("ra", panel.ra), ("dec", panel.dec),
        ("share", 100.0 * panel.deep), ("deepest", deepest.id),
    )  # fmt: skip
    if not math.isfinite(panel.missing):
        return Advice("next_panel.untimed", figures)
    return Advice("next_panel", (*figures, ("time", panel.missing)))


def _deeper(frames: Sequence[FrameLine], panels: Sequence[PanelDepth]) -> Iterator[Advice]:
    """What as much time again would give: the limit grows by 1.25 log10(time)."""
    seconds = math.fsum(f.quality.exposure for f in frames if f.used and math.isfinite(f.quality.exposure))
    if seconds > 0 and len(panels) > 0:
        yield Advice("deeper", (("time", seconds), ("gain", 1.25 * math.log10(2.0)), ("share", 100.0 * (1 - 0.5**0.5))))


def _losses(frames: Sequence[FrameLine]) -> Iterator[Advice]:
    """Frames that were taken for nothing, by cause, the most frequent first."""
    lights = sum(f.used for f in frames)
    lost = defaultdict[str, list[FrameLine]](list)
    for line in frames:
        if line.quality.state in LOST:
            lost[line.quality.state].append(line)
    for state, lines in sorted(lost.items(), key=lambda pair: -len(pair[1])):
        time = math.fsum(f.quality.exposure for f in lines if math.isfinite(f.quality.exposure))
        figures = (("lost", len(lines)), ("share", 100.0 * len(lines) / (lights + sum(map(len, lost.values())))))
        night = Counter(night_of(f.time) for f in lines if math.isfinite(f.time)).most_common(1)
        if state == FrameState.CLOUDED and night:
            yield Advice("clouded", (*figures, ("time", time), ("night", night[0][0]), ("count", night[0][1])))
        else:
            yield Advice("lost." + state, (*figures, ("time", time)))


def _conditions(frames: Sequence[FrameLine]) -> Iterator[Advice]:
    """How much more the best frames are worth than the usual ones."""
    per_second = [
        (f.quality.weight / f.quality.exposure, f)
        for f in frames
        if f.used and f.quality.weight > 0 and f.quality.exposure > 0
    ]
    if len(per_second) < ENOUGH:
        return
    values = np.array([value for value, _ in per_second])
    best = float(np.quantile(values, BEST))
    factor = best / float(np.median(values))
    nights = Counter(night_of(f.time) for value, f in per_second if value >= best and math.isfinite(f.time))
    if factor > GOOD and len({night_of(f.time) for _, f in per_second if math.isfinite(f.time)}) == 1:
        yield Advice("conditions.one_night", (("factor", factor),))
    elif factor > GOOD and nights:
        yield Advice("conditions", (("factor", factor), ("night", nights.most_common(1)[0][0])))


def _seams(source: Source) -> Iterator[Advice]:
    if source.seams is not None and source.seams.grade in BAD_SEAMS:
        worst = source.seams.seams[0]
        places = (("first", worst.first), ("second", worst.second))
        sets = (("first set", worst.sets[0]), ("second set", worst.sets[1]))
        yield Advice("seam", (("grade", worst.grade), *places, *sets, ("visible", worst.visible)))


def _short_side(source: Source) -> float:
    """Shorter side of the median frame, arcsec; NaN without a solved one."""
    sides = [
        min(row.frame.width, row.frame.height) * pixel_scale(row.solution)
        for row in source.rows
        if row.frame is not None and row.solution is not None
    ]
    return float(np.median(sides)) if sides else math.nan


def _position(spot: Spot, grid: Grid, maps: Maps) -> tuple[tuple[str, float], tuple[str, float]]:
    x, y = (spot.x + 0.5) * maps.factor, grid.height - (spot.y + 0.5) * maps.factor
    ra, dec = grid_to_sky(grid, x, y)
    return ("ra", float(ra)), ("dec", float(dec))


def _is_named(spot: Spot, panels: Sequence[PanelDepth], source: Source, maps: Maps) -> bool:
    """Whether a place lies on a panel that is named already."""
    (_, ra), (_, dec) = _position(spot, source.grid, maps)
    reach = 0.5 * _short_side(source) / 3600.0
    return any(float(angular_separation(ra, dec, p.ra, p.dec)) < reach for p in panels)
