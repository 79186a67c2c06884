"""A solved neighbour's stars as the catalogue: dark clouds have 5 Tycho-2 stars on a frame, and hundreds of fainter ones."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.catalogue import CatalogueStars
from zemosaic.imaging.projection import angular_separation, pixel_to_sky
from zemosaic.model import Frame, Solution, Stars
from zemosaic.solvers import Hint
from zemosaic.solvers.catalogue import CatalogueSolver

__all__ = ["NeighbourSolver"]

BRIGHTEST = 300  # stars of the neighbour; more would only be faint and spurious ones
SAME_PIXEL = 1.5  # px


@dataclass(frozen=True)
class _Seen:
    """Stars that a solved frame shows, asked like the catalogue; magnitudes without a zero point."""

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]

    def cone(self, ra: float, dec: float, radius_deg: float) -> CatalogueStars:
        inside = angular_separation(self.ra, self.dec, ra, dec) <= radius_deg
        return CatalogueStars(self.ra[inside], self.dec[inside], np.arange(np.count_nonzero(inside), dtype=float))


class NeighbourSolver:
    """Matches a frame against the stars of one solved frame that overlaps about half of it or more.

    Detections on the same pixel of both frames may be hot pixels of the sensor and are no evidence; a frame that does
    not move against its neighbour is not solved this way.
    """

    name = "neighbour"

    def __init__(self, stars: Stars, solution: Solution) -> None:
        self._pixels = np.column_stack([stars.x, stars.y])
        ra, dec = pixel_to_sky(solution, stars.x[:BRIGHTEST], stars.y[:BRIGHTEST])
        self._solver = CatalogueSolver(_Seen(ra, dec))

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """See `zemosaic.solvers.Solver`."""
        moved = stars
        if len(stars) and len(self._pixels):
            distance, _ = cKDTree(self._pixels).query(np.column_stack([stars.x, stars.y]))
            moved = Stars(**{f.name: getattr(stars, f.name)[distance > SAME_PIXEL] for f in fields(Stars)})
        return replace(self._solver.solve(moved, frame, hint), solver=self.name)
