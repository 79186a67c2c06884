"""What `match` finds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zemosaic.model import Correction, LeftOut, Overlap
from zemosaic.phases._match_cells import Ground

__all__ = ["Basis", "MatchResult"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Basis:
    """What the second iteration of the skies goes on from (`_match_second`)."""

    frames: tuple[int, ...]  # that skies were fitted to, in their order
    cells: IntArray  # (frames,) how many each had
    ground: Ground
    times: NDArray[np.float64] | None  # (frames,) when they were begun; None: not known of all
    instrument: IntArray  # (frames,) number of each frame's
    night: IntArray  # (frames,) of one instrument and night
    curvature: float  # standard deviation of the second order of skies over their level; 0 for planes
    misfit: NDArray[np.float64]  # (channels,) variance of the cells about the fit over that of their noise, 1 at least


@dataclass(frozen=True)
class MatchResult:
    """Corrections of all frames that can be used, and how well they fit."""

    corrections: dict[int, Correction]
    left_out: tuple[LeftOut, ...]
    overlaps: tuple[Overlap, ...]
    sky_level: tuple[float, ...]  # ADU of the mosaic per channel: mean sky that the corrections take off; 0 with "none"
    zero_point: float  # VT magnitude of a star of 1 ADU in the mosaic; NaN with fewer than 3 catalogue stars
    zero_point_scatter: float  # mag, robust standard deviation of single stars
    zero_point_stars: int
    zero_point_channel: str  # "green" or "luminance" (mono)
    gain_residual_mmag: dict[int, float]  # robust scatter of a frame's bright stars; NaN when too few
    # errors by which a frame's sky differs from that of other panels, in the worst channel
    frame_steps: dict[int, float]
    common_stars: dict[int, int]  # stars of a frame that others see too
    response: dict[str, tuple[float, ...]]  # of each instrument without a flat; () = flat as far as the stars tell
    pedestal: dict[str, float]  # ADU of each instrument without a flat, a level that is there without light
    pedestal_error: dict[str, float]  # ADU, its standard deviation
    response_error: dict[str, float]  # standard deviation of F in the corners
    star_groups: int  # groups of frames without common stars
    sky_groups: int  # groups of frames without common sky
    sets: dict[int, str] = field(default_factory=dict)  # name of each frame's telescope and night (`zemosaic.sides`)
    basis: Basis | None = None  # of the second iteration; None where skies have no slopes
