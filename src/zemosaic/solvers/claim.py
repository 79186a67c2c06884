"""What a header or another program says about a frame is a claim: the frame's own stars and the catalogue decide."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from zemosaic.imaging.distortion import bend
from zemosaic.imaging.projection import pixel_scale, pixel_to_sky
from zemosaic.imaging.verification import Verdict, verify
from zemosaic.model import Distortion, Frame, Solution, Stars
from zemosaic.solvers.catalogue import MARGIN, Reference

__all__ = ["check_claim", "is_bent", "straightened"]

LARGEST_CONE = 30.0  # deg
CLEARLY = 0.8  # of the rms, and of the matches, that a distortion must beat not to be doubted


def is_bent(claim: Solution, frame: Frame) -> bool:
    """Whether the claim has a distortion, about the centre of this frame."""
    about_centre = math.hypot(claim.x - 0.5 * (frame.width - 1), claim.y - 0.5 * (frame.height - 1)) < 1e-3
    return about_centre and replace(claim.distortion, radius=1.0) != Distortion()


def straightened(stars: Stars, claim: Solution) -> Stars:
    """The stars where a camera without the claim's distortion would show them: there the claim is a linear one."""
    u, v = bend(claim.distortion, np.asarray(stars.x) - claim.x, np.asarray(stars.y) - claim.y)
    return replace(stars, x=claim.x + u, y=claim.y + v)


def check_claim(catalogue: Reference, claim: Solution, stars: Stars, frame: Frame) -> Verdict:
    """The claim refined on the catalogue, and whether chance could have done as well.

    Its distortion stays as it is, unless the stars are clearly better off without it.
    """
    linear = replace(claim, distortion=Distortion())
    without = _verified(catalogue, linear, stars, frame)
    if not is_bent(claim, frame):
        return without
    bent = _verified(catalogue, linear, straightened(stars, claim), frame)
    bent = replace(bent, solution=replace(bent.solution, distortion=claim.distortion))
    return without if without.holds and not (bent.holds and _as_good(bent, without)) else bent


def _verified(catalogue: Reference, claim: Solution, stars: Stars, frame: Frame) -> Verdict:
    shape = (frame.height, frame.width)
    ra, dec = (float(value) for value in pixel_to_sky(claim, 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)))
    reach = 0.5 * math.hypot(*shape) * pixel_scale(claim) / 3600.0 * MARGIN
    sky = catalogue.cone(ra, dec, min(reach, LARGEST_CONE))
    x, y = np.ascontiguousarray(stars.x), np.ascontiguousarray(stars.y)
    return verify(claim, x, y, sky.ra, sky.dec, shape)


def _as_good(bent: Verdict, without: Verdict) -> bool:
    """Whether a distortion may stand against no distortion: a handful of stars does not doubt it by a hair."""
    if bent.matched < CLEARLY * without.matched:
        return False
    return bent.matched > without.matched or CLEARLY * bent.solution.rms <= without.solution.rms
