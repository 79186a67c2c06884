"""What the engine says while it works: frozen events and the protocol of who listens.

The engine knows no terminal and no widget; the edges (cli, gui) turn events into the user's language.
"""

from __future__ import annotations

import base64
import html
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zemosaic.model import LeftOut

__all__ = [
    "Assembled",
    "BlockMade",
    "BlocksKept",
    "Calibrated",
    "Event",
    "Exported",
    "FiltersFound",
    "Forecast",
    "FrameLeftOut",
    "Made",
    "ManyLeftOut",
    "MasterUsed",
    "Matched",
    "Measured",
    "Note",
    "Outcome",
    "Outturn",
    "PhaseFinished",
    "PhaseProgress",
    "PhaseStarted",
    "Planned",
    "Reporter",
    "RunFinished",
    "Scanned",
    "SeamsGraded",
    "SensorLearnt",
    "Silent",
    "Simulated",
    "SkiesCurved",
    "Solved",
    "StrayTarget",
    "TargetFailed",
    "TargetSeen",
    "TargetStarted",
    "TargetsFound",
    "Timed",
    "Unchanged",
    "Vignetting",
    "Warned",
    "together",
]

VIGNETTING_KNOWN = 2.0  # %, error of the light in the corners, beyond which a loss of 6 % and more may not show


@dataclass(frozen=True)
class PhaseStarted:
    phase: str  # scan, measure, solve, match, plan, assemble, export
    total: int  # items; 0 when unknown
    unit: str = "frames"


@dataclass(frozen=True)
class PhaseProgress:
    phase: str
    done: int
    total: int
    item: str = ""  # what was just finished, for people


@dataclass(frozen=True)
class BlockMade:
    """A part of the mosaic is on the disk, for those who show it while it grows (`zemosaic.glance`)."""

    path: Path  # planes of the mosaic, in chunks
    height: int  # px, of the mosaic
    width: int
    y0: int  # of the part, half open
    y1: int
    x0: int
    x1: int
    final: bool  # False: provisional, it will be made again


@dataclass(frozen=True)
class Vignetting:
    """What stars and skies say of an instrument's sensor response."""

    instrument: str
    corners: float  # %, light in the corners of the frame over that in its centre; NaN when nothing is significant
    error: float  # %
    pedestal: float = 0.0  # ADU, a level that is there without light
    pedestal_error: float = 0.0  # ADU

    @property
    def unknown(self) -> bool:
        """Whether there may be a vignetting that nothing has shown: less than three errors do not show."""
        return math.isnan(self.corners) and self.error > VIGNETTING_KNOWN


def together(some: Sequence[Vignetting]) -> tuple[Vignetting, ...]:
    """One of all whose vignetting is unknown, with the largest of their errors, and the others as they are."""
    unknown = [each for each in some if each.unknown and not each.pedestal > 0.0]
    rest = tuple(each for each in some if each not in unknown)
    if not unknown:
        return rest
    names = ", ".join(each.instrument for each in unknown)
    return Vignetting(names, math.nan, max(each.error for each in unknown)), *rest


@dataclass(frozen=True)
class SkiesCurved:
    """The skies of frames are surfaces of second order."""

    curvature: float  # %, of their level, as far as it is beyond doubt; 0 where only a setting asks for it


@dataclass(frozen=True)
class MasterUsed:
    """A master of darks, biases or flats that is applied."""

    what: str  # "20 darks of 10 s at 20 C"
    lights: int
    # "", "normalised": values of 0 to 1 were taken times 65535; "no_pedestal": nothing was taken off raw flats
    note: str
    file: Path


@dataclass(frozen=True)
class SensorLearnt:
    """What all frames of a sensor have in common, pixel by pixel; it is taken off them."""

    sensor: str
    frames: int
    pattern: float  # rms of the fixed pattern, % of the noise of a frame
    bad: int  # hot, dead and noisy pixels


@dataclass(frozen=True)
class Scanned:
    lights: int
    minutes: float  # of exposure, where it is known
    others: int  # FITS files that are no lights or cannot be used


@dataclass(frozen=True)
class Calibrated:
    masters: int
    lights: int  # that get one
    without: int  # that get none
    unused: int  # darks, flats and biases


@dataclass(frozen=True)
class Measured:
    new: int
    known: int  # from an earlier run
    fwhm: float  # px, median; NaN without stars


@dataclass(frozen=True)
class Solved:
    solved: int
    lights: int
    residual: float  # px per axis, of bright stars against their mean position, median of the frames; NaN for one alone
    rms: float  # arcsec, of the stars against the catalogue; NaN when nothing is solved


@dataclass(frozen=True)
class Matched:
    frames: int
    worst: float  # largest difference between two panels over what noise explains; NaN when none overlap


@dataclass(frozen=True)
class Planned:
    width: int  # px
    height: int  # px
    scale: float  # arcsec/px
    panels: int
    blocks: int
    memory: float  # MB per worker
    disk: float  # MB


@dataclass(frozen=True)
class Assembled:
    frames: int
    rejected: float  # %, of the raw pixels
    trails: int  # frames with a satellite or an aircraft


@dataclass(frozen=True)
class Unchanged:
    """Made from exactly the same before: nothing to do."""

    frames: int


@dataclass(frozen=True)
class Exported:
    mosaic: Path


@dataclass(frozen=True)
class Simulated:
    subs: int
    panels: int
    stars: int
    lights: Path
    truth: Path


Outcome = Scanned | Calibrated | Measured | Solved | Matched | Planned | Assembled | Unchanged | Exported | Simulated


@dataclass(frozen=True)
class PhaseFinished:
    phase: str
    seconds: float
    outcome: Outcome  # the figures that matter


@dataclass(frozen=True)
class Forecast:
    """What the assembly will need, told before a pixel moves."""

    memory: float  # MB, of all processes
    disk: float  # MB, of the workspace and of what is written
    least: float  # s
    most: float  # s


@dataclass(frozen=True)
class BlocksKept:
    """What becomes of the superblocks of a mosaic that was finished before."""

    kept: int
    blocks: int  # in all
    frames: int  # made anew since a sub joined, left or was measured anew
    moved: int  # since corrections changed by more than 0.05 of the noise there
    sensor: int  # since the map of a sensor is learnt anew
    absent: int  # that were not there
    largest: float  # change of a block by its corrections, over its noise


@dataclass(frozen=True)
class Outturn:
    """What it took, beside the forecast."""

    memory: float  # MB, sum over the processes of the most that each held; NaN where the system does not tell
    disk: float  # MB
    seconds: float
    forecast: Forecast


@dataclass(frozen=True)
class FrameLeftOut:
    what: LeftOut


@dataclass(frozen=True)
class ManyLeftOut:
    """More of the lights are left out than people expect."""

    lost: int
    lights: int
    states: tuple[tuple[str, int], ...]  # FrameState and how many
    mosaic: str = ""  # target and filter; "" where there is one mosaic, or all lights of a run are counted


@dataclass(frozen=True)
class SeamsGraded:
    """How well the panels of a mosaic, and telescopes within them, meet (see `zemosaic.seams`)."""

    grade: str  # A, B, C or D
    visible: float  # largest certain step over the noise of a pixel
    first: int  # the two panels of it
    second: int
    overlaps: int
    residual: float  # rms of all steps over their errors
    frames: tuple[str, ...]  # files that contribute most to bad seams
    sets: tuple[str, str] = ("", "")  # within a panel, the telescopes or nights that meet (`zemosaic.sides`)
    mosaic: str = ""  # of which: what is told of it later takes the place of what was told before


@dataclass(frozen=True)
class Note:
    """Something worth a line in the log, in English."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Something the user should know or act on; the run goes on."""

    text: str


@dataclass(frozen=True)
class TargetSeen:
    """Frames that make a mosaic of their own."""

    name: str  # of its folder
    frames: int
    ra: float  # deg, of its middle
    dec: float


@dataclass(frozen=True)
class TargetsFound:
    """The frames show several targets, and each becomes a mosaic."""

    gap: float  # deg
    targets: tuple[TargetSeen, ...]


@dataclass(frozen=True)
class FiltersFound:
    """The frames of a target were taken through several filters, and each gets a mosaic on the same pixels."""

    filters: tuple[tuple[str, int], ...]  # as in the names of the files, and frames


@dataclass(frozen=True)
class StrayTarget:
    """A target of so few frames that it may be a mistake."""

    target: TargetSeen
    lights: int  # of all targets


@dataclass(frozen=True)
class TargetStarted:
    target: TargetSeen
    number: int  # from 1
    of: int


@dataclass(frozen=True)
class TargetFailed:
    """There is no mosaic of this target; the run goes on with the others."""

    target: TargetSeen
    reason: str


@dataclass(frozen=True, repr=False)
class Made:
    """A mosaic that is on the disk."""

    name: str  # of its target; "" where there is only one
    mosaic: Path
    preview: Path
    used: int  # frames
    report: Path | None = None  # the page about it; None where none was wanted
    coverage: Path | None = None
    weight: Path | None = None
    planes: tuple[Path, ...] = ()  # green and blue, where each colour has a file; `mosaic` is red then
    earlier: tuple[str, ...] = ()  # what the names begin with of older mosaics that still lie beside it
    object: str = ""  # what most of its frames state as their OBJECT
    exposure: Path | None = None
    rejected: Path | None = None
    lines: tuple[Path, ...] = ()  # H-alpha, its weight, OIII, its weight
    thumbnail: Path | None = None
    tiff: Path | None = None  # large pictures that were asked for
    jpeg: Path | None = None
    zoom: Path | None = None  # the page to zoom into
    hips: tuple[Path, ...] = ()  # `properties` of each HiPS

    def __repr__(self) -> str:
        return f"<{self._title()}: {self.mosaic}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the thumbnail and where the files are."""
        files = [path for path in (self.mosaic, self.preview, self.report) if path is not None]
        lines = [html.escape(self._title()), *(f"<code>{html.escape(str(path))}</code>" for path in files)]
        if self.thumbnail is not None and self.thumbnail.is_file():
            data = base64.b64encode(self.thumbnail.read_bytes()).decode("ascii")
            lines.insert(0, f'<img alt="{lines[0]}" src="data:image/jpeg;base64,{data}">')
        return f"<p>{'<br>'.join(lines)}</p>"

    def _title(self) -> str:
        names = dict.fromkeys(each for each in (self.object, self.name) if each)
        return f"{', '.join(names) or 'Mosaic'}, {self.used} subs"


@dataclass(frozen=True)
class RunFinished:
    mosaics: tuple[Made, ...]
    left_out: int
    seconds: float


Event = (
    PhaseStarted
    | PhaseProgress
    | PhaseFinished
    | BlockMade
    | FrameLeftOut
    | Forecast
    | BlocksKept
    | Outturn
    | ManyLeftOut
    | SeamsGraded
    | Vignetting
    | SkiesCurved
    | MasterUsed
    | SensorLearnt
    | TargetsFound
    | FiltersFound
    | StrayTarget
    | TargetStarted
    | TargetFailed
    | Note
    | Warned
    | RunFinished
)


class Reporter(Protocol):
    """Who listens. Called from the thread that runs the pipeline."""

    def emit(self, event: Event) -> None: ...

    def cancelled(self) -> bool:
        """True when the user asked to stop; asked between tasks.

        It may come back late: as long as it does not, no new task begins, so that is how a run pauses.
        """
        ...


class Silent:
    """A reporter that says nothing."""

    def emit(self, event: Event) -> None:
        del event

    def cancelled(self) -> bool:
        return False


class Timed:
    """A reporter that knows how long another one has held the run."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.held = 0.0  # s

    def emit(self, event: Event) -> None:
        self._reporter.emit(event)

    def cancelled(self) -> bool:
        began = time.monotonic()
        answer = self._reporter.cancelled()
        self.held += time.monotonic() - began
        return answer

    def clock(self) -> float:
        """s, monotonic; it stands while the run is held."""
        return time.monotonic() - self.held
