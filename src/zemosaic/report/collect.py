"""From what a run knows of a mosaic, and the files that it wrote, to the values of its report."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits

from zemosaic.catalogue import load_catalogue
from zemosaic.fits import read_header
from zemosaic.imaging.grouping import central
from zemosaic.imaging.projection import grid_area, grid_to_sky
from zemosaic.imaging.warp import footprint, torn
from zemosaic.ledger import FrameRow
from zemosaic.model import FrameState, Grid, Group
from zemosaic.names import beside
from zemosaic.quality import FrameQuality, frame_table
from zemosaic.report.advice import advice
from zemosaic.report.depth import limiting_magnitude, middle_of
from zemosaic.report.maps import blocks, factor_of
from zemosaic.report.names import ENDINGS, report_path
from zemosaic.report.sources import Source
from zemosaic.report.values import Facts, FloatArray, FrameLine, Maps, Outline, PanelDepth, Report, SettingLine
from zemosaic.seams import SEAMS
from zemosaic.settings import Settings, declared
from zemosaic.sides import sets_of

__all__ = ["collect", "moment"]

NAN = math.nan
CORE = 0.25  # of a frame's width and height that its middle half leaves out on each side
CORNERS = slice(None, None, 32)  # of the points of an outline


def collect(source: Source) -> Report:
    """All that the report tells.

    Raises FrameError when a file of the mosaic cannot be read any more.
    """
    header = read_header(source.outputs.mosaic)
    equal = source.settings.stacking_weighting_method == "none"
    table = frame_table(source.rows, source.matching, load_catalogue(), equal_weights=equal)
    frames = tuple(_line(row, quality, source) for row, quality in zip(source.rows, table))
    used = tuple(line for line in frames if line.used)
    fwhm = _mean_fwhm(used)
    maps = _maps(source, _card(header, "MAGZERO"), fwhm / (3600.0 * source.grid.scale))
    panels = _panels(source, maps, frames)
    facts = _facts(source, header, maps, used, fwhm)
    return Report(
        title=" · ".join(filter(None, (source.target or facts.object, source.filter))),
        facts=facts,
        preview=source.outputs.preview,
        files=tuple(_names(source)),
        folder=_common_folder(source.rows),
        frames=frames,
        outlines=tuple(_outlines(source)),
        panels=panels,
        maps=maps,
        seams=source.seams,
        phases=source.phases,
        settings=_settings(source.settings),
        advice=advice(source, frames, panels, maps),
        zoom=_relative(source.outputs.zoom, source) if source.outputs.zoom else "",
    )


def _relative(path: Path, source: Source) -> str:
    """A file of the mosaic, from where its report lies."""
    return path.relative_to(source.outputs.preview.parent).as_posix()


def _names(source: Source) -> Iterator[str]:
    """The files of the mosaic, and those about it."""
    yield from (_relative(path, source) for path in source.outputs.files)
    if source.seams is not None:
        yield from (beside(source.outputs.preview, ending).name for ending in SEAMS)
    yield from (report_path(source.outputs.preview, ending).name for ending in ENDINGS)


def moment(date_obs: str) -> float:
    """Seconds since 1970 of a time in ISO 8601, UTC where it states no zone; NaN when it is none."""
    try:
        when = datetime.fromisoformat(date_obs)
    except ValueError:
        return NAN
    return (when.replace(tzinfo=UTC) if when.tzinfo is None else when).timestamp()


def _line(row: FrameRow, quality: FrameQuality, source: Source) -> FrameLine:
    i = row.frame.id if row.frame is not None else -1
    if source.settings.stacking_normalize_method != "linear_fit":  # gains of 1 that nobody has measured
        quality = replace(quality, transparency=NAN)
    return FrameLine(quality, moment(quality.date_obs), source.placed.get(i, NAN), source.rejected.get(i, NAN))


def _mean_fwhm(used: Sequence[FrameLine]) -> float:
    """arcsec, of the stars in the mosaic: the mean of the frames' with their weights; NaN when unknown."""
    pairs = [(line.quality.fwhm_arcsec, line.quality.weight) for line in used]
    known = np.array([pair for pair in pairs if all(map(math.isfinite, pair))]).reshape(-1, 2)
    return float(np.average(known[:, 0], weights=known[:, 1])) if known.size and known[:, 1].sum() > 0 else NAN


def _maps(source: Source, zero_point: float, fwhm: float) -> Maps:
    factor = factor_of(source.grid.width, source.grid.height)
    weight, exposure = blocks(source.outputs.weight, factor), source.outputs.exposure
    limit = limiting_magnitude(weight, zero_point, fwhm) if math.isfinite(zero_point + fwhm) else None
    seconds = blocks(exposure, factor) if exposure is not None else None
    return Maps(factor, weight, None if seconds is None else np.where(weight > 0, seconds, NAN), limit)


def _panels(source: Source, maps: Maps, frames: Sequence[FrameLine]) -> tuple[PanelDepth, ...]:
    rows = {row.frame.id: row for row in source.rows if row.frame is not None}
    weights, exposures, limits = dict[int, float](), dict[int, float](), dict[int, float]()
    for group in source.groups:
        place = _middle(group, rows, source.grid, maps)
        if place is not None:
            weights[group.id] = middle_of(maps.weight, *place)
            exposures[group.id] = NAN if maps.seconds is None else middle_of(maps.seconds, *place)
            limits[group.id] = NAN if maps.limit is None else middle_of(maps.limit, *place)
    most = max((w for w in weights.values() if w > 0), default=NAN)
    result = []
    for group in source.groups:
        mine = [line.quality.exposure for line in frames if line.used and line.quality.panel == group.id]
        deep, exposure = weights.get(group.id, NAN) / most, exposures.get(group.id, NAN)
        missing = exposure * (1.0 / deep - 1.0) if deep > 0 else NAN
        seconds = math.fsum(each for each in mine if math.isfinite(each))
        limit = limits.get(group.id, NAN)
        result.append(PanelDepth(group.id, group.ra, group.dec, len(mine), seconds, deep, limit, exposure, missing))
    return tuple(result)


def _middle(group: Group, rows: Mapping[int, FrameRow], grid: Grid, maps: Maps) -> tuple[FloatArray, FloatArray] | None:
    """The middle half of the frame nearest to a panel's centre, in blocks of the maps; None when no frame is solved."""
    solved = {i: (row.solution, row.frame) for i in group.frames if (row := rows.get(i)) and row.solution and row.frame}
    if not solved:
        return None
    solution, frame = solved[central(group.ra, group.dec, {i: (s.ra, s.dec) for i, (s, _) in solved.items()})]
    x, y = footprint(solution, (frame.height, frame.width), grid, CORE)
    return x / maps.factor, (grid.height - 1 - y) / maps.factor


def _outlines(source: Source) -> list[Outline]:
    """Corners of the frames in the mosaic, without those across the end of the map."""
    found, sets = [], sets_of([row.frame for row in source.rows if row.frame is not None])
    for row in source.rows:
        if row.state is FrameState.USED and row.frame is not None and row.solution is not None:
            about = row.solution, (row.frame.height, row.frame.width), source.grid
            if torn(*about):
                continue
            x, y = footprint(*about)
            known = source.matching.get(row.frame.id)
            top = source.grid.height - 1 - y
            panel = known.panel if known else -1
            corners = tuple(x[CORNERS].tolist()), tuple(top[CORNERS].tolist())
            found.append(Outline(panel, *corners, sets[row.frame.id]))
    return found


def _facts(source: Source, header: fits.Header, maps: Maps, used: Sequence[FrameLine], fwhm: float) -> Facts:
    grid, covered = source.grid, maps.weight > 0
    ra, dec = grid_to_sky(grid, 0.5 * (grid.width - 1), 0.5 * (grid.height - 1))
    cards = {key: str(header.get(key, "")) for key in ("OBJECT", "TELESCOP", "FILTER", "DATE-BEG", "DATE-END")}
    rejected = [line.rejected for line in used if math.isfinite(line.rejected)]
    return Facts(
        object=cards["OBJECT"],
        telescope=cards["TELESCOP"],
        filter=cards["FILTER"],
        begin=cards["DATE-BEG"],
        end=cards["DATE-END"],
        software=str(header.get("SOFTWARE", "")),
        width=grid.width,
        height=grid.height,
        scale=3600.0 * grid.scale,
        ra=float(ra),
        dec=float(dec),
        area=_area(grid, maps.factor, covered),
        frames=len(used),
        lights=int(header.get("NRAWINIT", -1)),
        panels=len(source.groups),
        exposure=_card(header, "EXPTIME"),
        zero_point=_card(header, "MAGZERO"),
        zero_point_scatter=_card(header, "MAGZSCT"),
        against_catalogue=_card(header, "AST_RMS"),
        among_frames=_card(header, "AST_REL"),
        fwhm=fwhm,
        limit=_median(maps.limit, covered),
        depth=_median(maps.seconds, covered),
        rejected=float(np.mean(rejected)) if rejected else NAN,
    )


def _area(grid: Grid, factor: int, covered: np.ndarray) -> float:
    """Square degrees of the blocks with data; row 0 is the upper one."""
    row, column = np.nonzero(covered)
    ra, dec = grid_to_sky(grid, (column + 0.5) * factor - 0.5, (len(covered) - row - 0.5) * factor - 0.5)
    return float(np.nansum(grid_area(grid, ra, dec))) * (factor * grid.scale) ** 2


def _card(header: fits.Header, key: str) -> float:
    return float(header.get(key, NAN))


def _median(values: FloatArray | None, covered: np.ndarray) -> float:
    return float(np.median(values[covered])) if values is not None and covered.any() else NAN


def _settings(settings: Settings) -> tuple[SettingLine, ...]:
    """All of them but secret ones."""
    about, values = declared(), settings.model_dump()
    return tuple(SettingLine(name, about[name].group, value, about[name].default) for name, value in values.items())


def _common_folder(rows: Sequence[FrameRow]) -> str:
    """The folder that holds all files, for names that are short and tell no one's disk."""
    folders = sorted({str(Path(row.path).parent) for row in rows})
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # on several drives
        return ""
