"""Plate solvers: stars and a hint in, an astrometric solution out.

Every solver is a small object with a `name` and one method. A solution that is returned has been verified against the
catalogue; anything else is a `FrameError` that says what was tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from zemosaic.imaging.projection import pixel_scale
from zemosaic.model import Frame, Solution, Stars

__all__ = ["SCALE_TOLERANCE", "Hint", "Solver", "frame_hint", "neighbour_hint", "parity", "rotation"]

SCALE_TOLERANCE = 0.03  # header scales are nominal: that of the Seestar S50 is 0.8 % too large


@dataclass(frozen=True)
class Hint:
    """Where and how to search; NaN is unknown."""

    ra: float  # deg
    dec: float  # deg
    radius: float  # deg, how far the frame's centre may lie from there
    scale: float  # arcsec/px
    scale_tolerance: float = SCALE_TOLERANCE  # relative
    parity: int = 0  # sign of det(CD); 0 is unknown
    rotation: float = math.nan  # deg, of the image's x axis, from east towards north
    rotation_tolerance: float = 180.0  # deg

    @property
    def complete(self) -> bool:
        """True when a search is possible."""
        return math.isfinite(self.ra) and math.isfinite(self.dec) and math.isfinite(self.scale) and self.scale > 0.0


class Solver(Protocol):
    """One way to find where a frame points."""

    @property
    def name(self) -> str: ...

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """A verified solution.

        Raises
        ------
        FrameError
            No solution; the message says why, for the user.
        """
        ...


def parity(solution: Solution) -> int:
    """Sign of det(CD): -1 for the sky as seen (east left when north is up), +1 for a mirrored frame."""
    a, b, c, d = solution.cd
    return 1 if a * d - b * c > 0.0 else -1


def rotation(solution: Solution) -> float:
    """Angle of the image's x axis from east towards north, degrees."""
    return math.degrees(math.atan2(solution.cd[2], solution.cd[0]))


def frame_hint(frame: Frame, radius: float) -> Hint:
    """What the frame's own header says."""
    scale = frame.scale
    if math.isnan(scale) and frame.wcs is not None:
        scale = pixel_scale(frame.wcs)
    return Hint(ra=frame.ra, dec=frame.dec, radius=radius, scale=scale)


def neighbour_hint(neighbour: Solution, ra: float, dec: float, radius: float) -> Hint:
    """What a solved frame of the same instrument says about one that points near (ra, dec).

    Focus moves the scale by less than 0.3 %. The rotation stays free: alt-azimuth fields turn, mounts flip.
    """
    return Hint(ra, dec, radius, pixel_scale(neighbour), scale_tolerance=0.005, parity=parity(neighbour))
