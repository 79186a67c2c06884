"""Frozen values that pass between the phases: paths, numbers and small arrays.

Conventions: pixel centres at integers, arrays (y, x), sky in degrees ICRS, colour channels in the order R, G, B
(one channel for mono frames), fluxes and backgrounds in ADU of the raw frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CalibrationFrame",
    "CalibrationKind",
    "ColourShift",
    "Correction",
    "Distortion",
    "Frame",
    "FrameKind",
    "FrameState",
    "Grid",
    "Group",
    "LeftOut",
    "Lights",
    "Masters",
    "Measurement",
    "Mosaic",
    "Outlook",
    "Overlap",
    "Plan",
    "Polynomial",
    "SkyMesh",
    "Solution",
    "Stars",
    "Superblock",
    "short_names",
]

FloatArray = NDArray[np.float64]
Count = tuple[tuple[str, int], ...]  # name and frames, the most frequent first


class FrameKind(StrEnum):
    """How the colour of a light frame is stored."""

    BAYER = "bayer"  # (h, w), colour filter array
    MONO = "mono"  # (h, w)
    RGB = "rgb"  # (3, h, w) on disk, already debayered


class FrameState(StrEnum):
    """What became of a file; exactly one a frame."""

    FOUND = "found"
    MEASURED = "measured"
    SOLVED = "solved"
    MATCHED = "matched"
    USED = "used"
    NOT_A_LIGHT = "not_a_light"  # dark, flat, bias that is not used
    CALIBRATION = "calibration"  # dark, flat, bias that is used
    STACK = "stack"  # somebody's stack or mosaic
    OWN_OUTPUT = "own_output"
    DUPLICATE = "duplicate"
    DAMAGED = "damaged"  # unreadable, truncated, empty, wrong size
    UNSUPPORTED = "unsupported"  # readable, but not something this run can combine
    EXCLUDED = "excluded"  # by the user
    TOO_FEW_STARS = "too_few_stars"
    UNSOLVED = "unsolved"
    FALSE_SOLUTION = "false_solution"
    TRAILED = "trailed"
    CLOUDED = "clouded"
    OUTSIDE = "outside"  # gave no pixel


@dataclass(frozen=True)
class LeftOut:
    """A file that is not in the picture, and why.

    `reason` is one English sentence: what was found, what was expected, what to do.
    """

    path: Path
    state: FrameState
    reason: str


@dataclass(frozen=True)
class Frame:
    """One light frame as its header describes it."""

    id: int  # place in the order of frames: by DATE-OBS, then name
    path: Path
    size: int  # bytes
    mtime_ns: int
    digest: str  # hash of the first rows and DATE-OBS (hex), the same in every container
    kind: FrameKind
    width: int  # px
    height: int  # px
    bayer: str | None  # pattern of the array as read: "GRBG" has G at (0, 0) and R at (0, 1)
    # frames with the same instrument share distortion and sensor response; "S50_1d3f 2.90um 250mm 1x1 1080x1920"
    instrument: str
    camera: str  # INSTRUME, for the header
    telescope: str  # TELESCOP, for the header
    target: str  # OBJECT
    filter: str
    exposure: float  # s; NaN when unknown
    gain: float  # the camera's setting, not e-/ADU; NaN when unknown
    temperature: float  # deg C; NaN when unknown
    date_obs: str  # ISO 8601 UTC at the start of the exposure; "" when unknown
    ra: float  # deg ICRS, commanded; NaN when unknown
    dec: float  # deg ICRS, commanded; NaN when unknown
    scale: float  # arcsec/px from pixel size and focal length; NaN when unknown
    saturation: float  # ADU at which the sensor or the file is full
    offset: float = float("nan")  # the camera's setting; NaN when unknown
    binning: int = 1
    wcs: Solution | None = None  # found in the header: a claim, to be verified against the stars
    wcs_refused: str = ""  # why the WCS in the header is none; "" when it is one, or when there is not any
    stack: bool = False  # a ready-made panel: borders without data, correlated noise, outliers rejected by who made it
    unit: float = 1.0  # ADU of a stored value of 1: stacks are often normalised to 0..1

    @property
    def channels(self) -> int:
        return 1 if self.kind is FrameKind.MONO else 3

    @property
    def reference(self) -> int:
        """The channel in which frames are compared: green, or the only one."""
        return 1 if self.channels == 3 else 0


def short_names(instruments: Sequence[str]) -> dict[str, str]:
    """What people call each instrument: its name without pixel size, focal length and binning, where that tells them apart."""
    short = {each: re.sub(r"( [\d.]+um)?( \d+mm)? \d+x\d+ \d+x\d+$", "", each) for each in instruments}
    return short if len(set(short.values())) == len(short) else {each: each for each in instruments}


@dataclass(frozen=True)
class Lights:
    """What the headers of the inputs say."""

    frames: tuple[Frame, ...]
    left_out: tuple[LeftOut, ...]
    others: int  # darks, flats, biases
    targets: Count
    telescopes: Count
    filters: Count
    nights: int
    exposure: float  # s, all together, where it is known
    single: tuple[float, ...]  # s, of one sub, each value once
    subs: int = 0  # how many frames, where these are not there
    excluded: tuple[Frame, ...] = ()  # by the user; among `left_out` too


@dataclass(frozen=True)
class Outlook:
    """What a run will need."""

    mosaics: int
    width: int  # px, of the largest mosaic
    height: int
    memory: float  # MB, all processes together
    disk: float  # MB, of the workspace and of what is written
    least: float  # s
    most: float  # s
    known: int  # subs that an earlier run into the output has measured
    free_disk: float  # MB, where the output lies; NaN when that is not known
    compiling: float = 0.0  # s of `most`, for kernels that this computer has not compiled yet
    told: tuple[str, ...] = ()  # what the program will choose of the pixels, in English; a run says the same


class CalibrationKind(StrEnum):
    DARK = "dark"
    FLAT = "flat"
    BIAS = "bias"
    DARK_FLAT = "dark flat"


@dataclass(frozen=True)
class CalibrationFrame:
    """One dark, flat, bias or dark flat as its header describes it; a master is what somebody combined already."""

    kind: CalibrationKind
    path: Path
    size: int  # bytes
    mtime_ns: int
    camera: str  # INSTRUME
    telescope: str  # TELESCOP
    width: int  # px
    height: int  # px
    bayer: str | None  # pattern of the array as read; None when mono or not stated
    binning: int
    exposure: float  # s; NaN when unknown
    gain: float  # the camera's setting; NaN when unknown
    offset: float  # the camera's setting; NaN when unknown
    temperature: float  # deg C; NaN when unknown
    filter: str
    date_obs: str  # ISO 8601 UTC; "" when unknown
    saturation: float  # in the unit of the file
    master: bool


@dataclass(frozen=True)
class Masters:
    """What takes the sensor's own marks off a frame: (raw - dark) / flat.

    Arrays on disk (.npy), (h, w) float32, which workers map; NaN is a bad pixel; None = not there. `flat` is the user's flat
    over its own smooth part `response`, which stays in the pixels and is known to the model: the noise of a frame stays even.
    """

    key: str  # hash of all that they were made from
    dark: Path | None  # ADU: a dark or a bias
    flat: Path | None  # 1 on average
    response: tuple[float, ...] | None  # 1 + r1 rho^2 + ...; None without a flat


@dataclass(frozen=True)
class Stars:
    """Stars measured on one frame, brightest first."""

    x: FloatArray  # (n,) px
    y: FloatArray  # (n,) px
    flux: FloatArray  # (n, channels) ADU in an aperture proportional to the frame's FWHM
    flux_err: FloatArray  # (n, channels) ADU
    snr: FloatArray  # (n,) of the luminance
    place_err: FloatArray  # (n,) px per axis, of x and y, from the noise
    fwhm: FloatArray  # (n,) px
    elongation: FloatArray  # (n,) major over minor axis
    saturated: NDArray[np.bool_]  # (n,)
    blended: NDArray[np.bool_]  # (n,) a neighbour or a damaged pixel disturbs the aperture

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class ColourShift:
    """Where the light of each channel falls on a frame, against green: the air is a prism (`imaging.chromatic`)."""

    place: tuple[tuple[float, float], ...]  # (x, y) px per channel
    error: tuple[float, ...]  # px per axis, one sigma, per channel


@dataclass(frozen=True)
class SkyMesh:
    """Mean of the raw pixels of each colour in square cells that tile the frame from (0, 0).

    No star mask yet (it is applied later, in sky coordinates, the same for all frames); single hot pixels are out.
    """

    mean: NDArray[np.float32]  # (ny, nx, channels) ADU; NaN is no data
    cell: int  # px


@dataclass(frozen=True)
class Measurement:
    """What was measured on one frame; stars and mesh lie in the file `path` (see `zemosaic.tables`)."""

    frame_id: int
    path: Path  # .npz with Stars and SkyMesh
    sky: tuple[float, ...]  # ADU, median level per channel
    sigma: tuple[float, ...]  # ADU, noise of one raw sky pixel per channel
    fwhm: float  # px, median of good stars
    elongation: float  # median of good stars
    n_stars: int
    clipped: float  # share of raw pixels that are exactly 0
    masters: str = ""  # key of the masters that were applied
    flat: tuple[float, ...] | None = None  # smooth part of the user's flat, still in the pixels; None without a flat
    shift: ColourShift | None = None  # as the frame's own stars show it; None: mono, or too few stars
    border: Path | None = None  # of a stack with pixels that hold no data: how far each lies from these
    growth: tuple[
        float, ...
    ] = ()  # ADU per channel, of a pixel's variance with the level of a sky that is cut at 0; () else


@dataclass(frozen=True)
class Polynomial:
    """Distortion of any smooth kind, as a user's header states it.

    With p = u / reach[0] and q = v / reach[1] the displacement is sum x[k] p^i q^j and sum y[k] p^i q^j, k counting
    (i, j) = (2, 0), (1, 1), (0, 2), (3, 0), ...; beyond the reach it is that of the nearest place within. It is a SIP polynomial.
    """

    x: tuple[float, ...]  # px
    y: tuple[float, ...]  # px
    reach: tuple[float, float]  # px from the reference pixel: a little beyond the frame's border


@dataclass(frozen=True)
class Distortion:
    """Distortion about the reference pixel of the solution: what a header states, then what its instrument was found to have.

    With (u, v) the offset from the reference pixel in px, moved by the polynomial, and rho = hypot(u, v) / radius:
    (u', v') = (u, v) * (1 + k3 rho^2 + k5 rho^4), then the linear part of the WCS applies to (u', v').
    Without a polynomial it is exactly a SIP polynomial of order 3 (5 with k5).
    """

    k3: float = 0.0
    k5: float = 0.0
    radius: float = 1.0  # px, half-diagonal of the frame
    polynomial: Polynomial | None = None


@dataclass(frozen=True)
class Solution:
    """Astrometric solution: TAN projection, linear matrix, distortion."""

    ra: float  # deg, tangent point = sky position of the reference pixel
    dec: float  # deg
    x: float  # px, reference pixel (pixel centres at integers, 0-based)
    y: float  # px
    cd: tuple[float, float, float, float]  # deg/px: CD1_1, CD1_2, CD2_1, CD2_2
    distortion: Distortion = Distortion()
    solver: str = ""
    n_matched: int = 0  # catalogue stars
    rms: float = float("nan")  # arcsec, residual of the catalogue stars
    # (x, y) px per channel: where the light that the solution sends to a place falls instead; () is everywhere there
    shift: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Correction:
    """How a frame is brought onto the common scale: D = F (a S Omega + B) + pedestal."""

    frame_id: int
    gain: tuple[float, ...]  # a per channel; the median over frames is 1
    # per channel, ADU: B = c0 + c1 u + c2 v + c3 u^2 + ... (`imaging.skysurface`), u = (x - (w-1)/2) / radius, v likewise
    sky: tuple[tuple[float, ...], ...]
    response: tuple[float, ...]  # F = 1 + r1 rho^2 + r2 rho^4 + ..., rho = distance to the frame's centre / radius
    radius: float  # px, half-diagonal of the frame
    weight: float = 1.0  # factor on the inverse variance (quality)
    flat_fielded: bool = False  # by the user's flat, which holds the pixels' area too: Omega is that of the centre
    cloud: tuple[float, float] = (0.0, 0.0)  # thin cloud: the gains times 1 + cu u + cv v
    pedestal: float = 0.0  # ADU, a level that is there without light: it goes before the response is divided out


@dataclass(frozen=True)
class Overlap:
    """Residual between two panels after matching, or where one set of frames ends within a panel; per channel."""

    first: int  # group
    second: int  # group; the same one inside a panel
    n_cells: int
    difference: tuple[float, ...]  # ADU
    error: tuple[float, ...]  # ADU, expected from the noise
    ripple: tuple[float, ...]  # ADU, rms of what varies along the seam, as far as it is certainly more than noise
    # inside a panel, of the telescopes or nights that meet (`sides`); "" as the second: all others of the panel
    sets: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Grid:
    """The mosaic's pixels: a map of the sky with its point of reference at (ra, dec), as `zemosaic.projections` says.

    With u = x - X and v = y - Y px from that point, the place on the plane of the projection is, in degrees,
    xi = scale (v sin - u cos), eta = scale (u sin + v cos), sin and cos those of the rotation: without one north is up
    and east is left.
    """

    ra: float  # deg
    dec: float  # deg
    scale: float  # deg/px
    width: int
    height: int
    x: float  # px, 0-based, of the point of reference
    y: float  # px
    projection: str = "TAN"  # as in CTYPE
    rotation: float = 0.0  # deg, of the direction that is up, from north through east

    @property
    def lattice(self) -> tuple[float | str, ...]:
        """What grids have in common that share their pixels."""
        return self.ra, self.dec, self.scale, self.projection, self.rotation

    @property
    def zero(self) -> tuple[int, int]:
        """(y, x) px of the point of reference, which lies on a pixel."""
        return round(self.y), round(self.x)

    @property
    def matrix(self) -> tuple[float, float, float, float]:
        """deg/px: CD1_1, CD1_2, CD2_1, CD2_2."""
        cos, sin = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        return -self.scale * cos, self.scale * sin, self.scale * sin, self.scale * cos


@dataclass(frozen=True)
class Superblock:
    """A region of the grid that one task assembles: rows y0..y1, columns x0..x1 (half open)."""

    y0: int
    y1: int
    x0: int
    x1: int
    frames: tuple[int, ...]  # ids, in the order in which they are added
    depth: int = 0  # room for so many samples of a pixel side by side; 0: running means, of any number
    mapped: bool = False  # the samples lie in a file on the disk


@dataclass(frozen=True)
class Group:
    """Frames that point at the same place: a panel."""

    id: int
    ra: float  # deg, mean centre
    dec: float
    frames: tuple[int, ...]  # ids


@dataclass(frozen=True)
class Plan:
    """All that decides the result of the assembly; frozen in the manifest."""

    grid: Grid
    channels: int
    groups: tuple[Group, ...]
    superblocks: tuple[Superblock, ...]
    lattice: int  # px between the nodes on which the WCS is evaluated
    memory: int  # bytes that one assembly task needs
    disk: int  # bytes that the workspace needs
    chunk: int = 256  # px, side of the squares in which planes lie on the disk; superblocks end at multiples of it
    rows: tuple[int, ...] = ()  # px, where the grid is cut into superblocks, both ends included
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class Mosaic:
    """The assembled mosaic: arrays on disk, (channels, h, w) float32, NaN is no data; the grid may be a part of them."""

    grid: Grid
    data: Path  # ADU per mosaic pixel at the reference transparency
    weight: Path  # inverse variance, ADU^-2
    coverage: Path  # (h, w) uint16, frames
    rejected: Path  # (h, w) uint16, frames with a rejected sample
    frames: tuple[int, ...]  # ids that really contributed
    sides: Path | None = None  # (2, h, w) uint16, frames whose raw pixel there was rejected as too dark, as too bright
    seconds: Path | None = None  # (h, w) float32 s of exposure; None where all frames have the same
    corner: tuple[int, int] = (0, 0)  # (y, x) in the arrays of the grid's first pixel
