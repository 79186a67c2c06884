"""What another program says about a frame is a claim: the frame's own stars and the catalogue decide."""

from __future__ import annotations

import math

import numpy as np

from zemosaic.catalogue import Catalogue
from zemosaic.imaging.projection import pixel_scale, pixel_to_sky
from zemosaic.imaging.verification import Verdict, verify
from zemosaic.model import Frame, Solution, Stars
from zemosaic.solvers.catalogue import MARGIN

__all__ = ["check_claim"]


def check_claim(catalogue: Catalogue, claim: Solution, stars: Stars, frame: Frame) -> Verdict:
    """The claim refined on the catalogue, and whether chance could have done as well."""
    shape = (frame.height, frame.width)
    ra, dec = (float(value) for value in pixel_to_sky(claim, 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)))
    sky = catalogue.cone(ra, dec, min(0.5 * math.hypot(*shape) * pixel_scale(claim) / 3600.0 * MARGIN, 30.0))
    x, y = np.ascontiguousarray(stars.x), np.ascontiguousarray(stars.y)
    return verify(claim, x, y, sky.ra, sky.dec, shape)
