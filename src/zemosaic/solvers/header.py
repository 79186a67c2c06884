"""A WCS found in the header: a claim that the stars must confirm.

Headers lie: mounts write the nominal orientation, programs copy the WCS of another frame, PC matrices of 1e-18 say
SOLVED = 1. A claim is refined where it stands; failing that, a shift, a small turn and 1 % of scale are allowed for.
Its distortion is honoured: the stars are compared where they would be without it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from zemosaic.errors import FrameError
from zemosaic.imaging.projection import pixel_scale, pixel_to_sky
from zemosaic.imaging.verification import FEWEST
from zemosaic.model import Frame, Solution, Stars
from zemosaic.solvers import Hint, parity, rotation
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.solvers.claim import check_claim, is_bent, straightened
from zemosaic.wcs import SCALES

__all__ = ["HeaderSolver"]

SHIFT = 0.25  # deg
TURN = 2.0  # deg
STRETCH = 0.01  # relative


class HeaderSolver:
    """Verify and refine `Frame.wcs`."""

    name = "header"

    def __init__(self, catalogue_solver: CatalogueSolver | None = None) -> None:
        self._solver = catalogue_solver or CatalogueSolver()

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """See `zemosaic.solvers.Solver`; the claim takes the place of the hint."""
        del hint
        claim = frame.wcs
        if claim is None:
            raise FrameError(frame.wcs_refused or "There is no WCS in its header.")
        if not all(map(math.isfinite, (claim.ra, claim.dec, *claim.cd))) or not _plausible(claim):
            raise FrameError("The WCS in its header is not one: its matrix gives no pixel that a telescope could have.")
        if len(stars) < FEWEST:
            raise FrameError(
                f"{len(stars)} stars were found, at least {FEWEST} are needed to verify the WCS in its header."
            )
        verdict = check_claim(self._solver.catalogue, claim, stars, frame)
        if verdict.holds:
            return replace(verdict.solution, solver=self.name)
        found = self._nearby(claim, stars, frame)
        if found is not None:
            return found
        raise FrameError(
            f"The WCS in its header is wrong: {verdict.matched} of {verdict.expected} catalogue stars are where it says, "
            f"also with a shift of {SHIFT} degrees, a turn of {TURN:.0f} degrees or {100 * STRETCH:.0f} % of scale."
        )

    def _nearby(self, claim: Solution, stars: Stars, frame: Frame) -> Solution | None:
        """The claim moved, turned or scaled a little, with its distortion."""
        bent = is_bent(claim, frame)
        ra, dec = (float(value) for value in pixel_to_sky(claim, 0.5 * (frame.width - 1), 0.5 * (frame.height - 1)))
        near = Hint(ra, dec, SHIFT, pixel_scale(claim), STRETCH, parity(claim), rotation(claim), TURN)
        for verdict in self._solver.verdicts(straightened(stars, claim) if bent else stars, frame, near):
            if verdict.holds:
                distortion = claim.distortion if bent else verdict.solution.distortion
                return replace(verdict.solution, distortion=distortion, solver=self.name)
        return None


def _plausible(claim: Solution) -> bool:
    smallest, largest = SCALES
    return smallest < pixel_scale(claim) < largest
