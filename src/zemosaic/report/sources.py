"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zemosaic.ledger import FrameRow
from zemosaic.model import Grid, Group
from zemosaic.phases.export import Outputs
from zemosaic.quality import Matching
from zemosaic.seams import SeamReport
from zemosaic.settings import Settings
from zemosaic.stopwatch import PhaseTime

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """A mosaic that is on the disk, and what the run knows of it."""

    outputs: Outputs
    target: str  # name of its folder; "" where there is one target only
    filter: str  # in the names of its files; "" where all filters share one mosaic
    grid: Grid  # of the files
    groups: tuple[Group, ...]
    rows: tuple[FrameRow, ...]  # of its frames, and of files that belong to no mosaic
    matching: Mapping[int, Matching]  # by frame id, as the following
    placed: Mapping[int, float]  # px per axis, stars of a frame against the other frames
    rejected: Mapping[int, float]  # %, of a frame's raw pixels
    seams: SeamReport | None
    phases: tuple[PhaseTime, ...]
    settings: Settings
    vignettes: tuple[str, ...]  # instruments whose vignetting nothing has shown
