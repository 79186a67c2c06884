"""What a report tells, as frozen values; NaN, -1 and "" are unknown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.quality import FrameQuality
from zemosaic.seams import SeamReport
from zemosaic.stopwatch import PhaseTime

__all__ = ["Advice", "Facts", "FrameLine", "Maps", "Outline", "PanelDepth", "Report", "SettingLine", "night_of"]

FloatArray = NDArray[np.float64]


def night_of(time: float) -> str:
    """The date on which the night of a time (s since 1970, UTC) began, by the noon of UTC."""
    return (datetime.fromtimestamp(time, UTC) - timedelta(hours=12)).date().isoformat()


@dataclass(frozen=True)
class FrameLine:
    """One file of the input."""

    quality: FrameQuality
    time: float  # s since 1970, UTC, start of the exposure
    placed: float  # px per axis, rms of its stars against the other frames
    rejected: float  # %, of its raw pixels

    @property
    def used(self) -> bool:
        return self.quality.state == "used"


@dataclass(frozen=True)
class Outline:
    """Corners of a frame in the mosaic."""

    panel: int
    x: tuple[float, ...]  # px, from the left
    y: tuple[float, ...]  # px, from the top
    set: str = ""  # of its telescope and night (`zemosaic.sides`)


@dataclass(frozen=True)
class Maps:
    """Depth in blocks of the mosaic as its picture lies: row 0 is the upper one; NaN is no data."""

    factor: int  # px of the mosaic, side of a block
    weight: FloatArray  # (h, w) ADU^-2, mean inverse variance of a pixel (green)
    seconds: FloatArray | None  # (h, w) mean exposure; None where no frame says how long it was
    limit: FloatArray | None  # (h, w) magnitude of a star with S/N = 5; None without a zero point


@dataclass(frozen=True)
class PanelDepth:
    """A panel, and how deep the mosaic is in its middle half."""

    id: int
    ra: float  # deg
    dec: float
    frames: int  # in the mosaic
    seconds: float  # of these frames
    deep: float  # inverse variance over that of the deepest panel
    limit: float  # mag, star with S/N = 5
    exposure: float  # s, of all frames that see its middle
    missing: float  # s, of frames as good as its own, to be as deep as the deepest panel


@dataclass(frozen=True)
class SettingLine:
    name: str
    group: str
    value: str | float | bool
    default: str | float | bool


@dataclass(frozen=True)
class Advice:
    """Something that would improve the mosaic: a text of the locales and its figures."""

    key: str
    values: tuple[tuple[str, float | int | str], ...] = ()


@dataclass(frozen=True)
class Facts:
    """The mosaic, as the headers of its files have it."""

    object: str
    telescope: str
    filter: str
    begin: str  # ISO 8601 UTC
    end: str
    software: str
    width: int  # px
    height: int
    scale: float  # arcsec/px
    ra: float  # deg, of its middle
    dec: float
    area: float  # square degrees with data
    frames: int  # combined
    lights: int  # found
    panels: int
    exposure: float  # s, sum over the frames
    zero_point: float  # mag of 1 ADU
    zero_point_scatter: float  # mag, single stars
    against_catalogue: float  # arcsec, rms of the stars
    among_frames: float  # px per axis, rms of the same stars
    fwhm: float  # arcsec, weighted mean over the frames
    limit: float  # mag, star with S/N = 5 at the median depth
    depth: float  # s, median over the pixels
    rejected: float  # %, of the raw pixels


@dataclass(frozen=True)
class Report:
    title: str
    facts: Facts
    preview: Path
    files: tuple[str, ...]  # names, beside the report
    folder: str  # that holds all frames; the page names files from there on
    frames: tuple[FrameLine, ...]
    outlines: tuple[Outline, ...]  # of the frames in the mosaic
    panels: tuple[PanelDepth, ...]
    maps: Maps
    seams: SeamReport | None
    phases: tuple[PhaseTime, ...]
    settings: tuple[SettingLine, ...]
    advice: tuple[Advice, ...]
    zoom: str = ""  # the page to zoom into, as in `files`; "" where none was made
