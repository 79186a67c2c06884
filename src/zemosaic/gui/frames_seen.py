"""What the table and the sky view show of the frames, as values: put together in the engine's process, shown by the window's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zemosaic.catalogue import load_catalogue
from zemosaic.gui.skygeometry import SkyFrame, footprint
from zemosaic.ledger import FrameRow, Ledger
from zemosaic.model import Frame, FrameState, LeftOut, Solution
from zemosaic.phases.plan import group_frames
from zemosaic.quality import FrameQuality, Matching, frame_table
from zemosaic.settings import Settings

__all__ = ["FramesSeen", "from_headers", "from_ledger"]


@dataclass(frozen=True)
class FramesSeen:
    """All files of the input, and where the frames among them lie, as far as that is known."""

    table: tuple[FrameQuality, ...]
    places: tuple[SkyFrame, ...]


def from_headers(frames: Sequence[Frame], left_out: Iterable[LeftOut], settings: Settings) -> FramesSeen:
    """Before a run: what headers say."""
    rows = [FrameRow(f.path, FrameState.FOUND, "", "", f, None, None, None) for f in frames]
    rows += [FrameRow(each.path, each.state, each.reason, "", None, None, None, None) for each in left_out]
    return _seen(rows, {}, settings)


def from_ledger(output: Path, settings: Settings) -> FramesSeen:
    """After a run, finished or not: what it has found out.

    Raises
    ------
    OutputError
        Another run is at work there, or the ledger cannot be read.
    """
    with Ledger(output) as ledger:
        rows = ledger.rows()
        parts = ledger.get_all("matching", dict[int, Matching])
    return _seen(rows, {i: each for part in parts for i, each in part.items()}, settings)


def _seen(rows: Sequence[FrameRow], matching: Mapping[int, Matching], settings: Settings) -> FramesSeen:
    equal = settings.stacking_weighting_method == "none"
    table = frame_table(rows, matching, load_catalogue(), equal_weights=equal)
    lights = [(row, row.frame) for row in rows if row.frame is not None]
    panels = {i: each.panel for i, each in matching.items()} or _panels(lights, settings)
    places = (
        footprint(str(row.path), frame, row.solution, panel=panels.get(frame.id, -1), target=row.target)
        for row, frame in lights
    )
    return FramesSeen(table, tuple(each for each in places if each is not None))


def _panels(lights: Sequence[tuple[FrameRow, Frame]], settings: Settings) -> dict[int, int]:
    """The panel of each frame, by its id, where no run has found them yet: from solutions and headers."""
    found = {frame.id: place for row, frame in lights if (place := row.solution or _upright(frame)) is not None}
    usable = [frame for _, frame in lights if frame.id in found]
    if not usable:
        return {}
    groups = group_frames(usable, found, settings.cluster_panel_threshold)
    return {i: group.id for group in groups for i in group.frames}


def _upright(frame: Frame) -> Solution | None:
    """The frame where its header has it, north up where that knows no rotation."""
    if frame.wcs is not None:
        return frame.wcs
    scale = frame.scale / 3600.0
    if not math.isfinite(frame.ra + frame.dec + scale):
        return None
    return Solution(frame.ra, frame.dec, 0.5 * (frame.width - 1), 0.5 * (frame.height - 1), (-scale, 0.0, 0.0, scale))
