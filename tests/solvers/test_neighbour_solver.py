"""Frames matched against the stars of a solved neighbour."""

from __future__ import annotations

import numpy as np
import pytest

from star_lists import away, corner_error, frame_at, seen, solution_at, stars_from, with_stars
from zemosaic.errors import FrameError
from zemosaic.solvers import neighbour_hint
from zemosaic.solvers.neighbour import NeighbourSolver


def test_stars_in_common_solve_a_frame_without_catalogue_stars():
    rng = np.random.default_rng(1)
    sky = away(67.0, 27.0, 1.2 * np.sqrt(rng.random(200)), rng.uniform(0, 6.28, 200))
    first, second = solution_at(67.0, 27.0, corner=0.0), solution_at(*away(67.0, 27.0, 0.25, 2.0), turn=0.8, corner=0.0)
    stars = [with_stars(rng, seen(rng, s, missing=1.0, faint=15), s, *sky) for s in (first, second)]
    solver = NeighbourSolver(stars[0], first)
    found = solver.solve(stars[1], frame_at(), neighbour_hint(first, first.ra, first.dec, 1.0))
    assert corner_error(found, second) < 0.7
    assert found.solver == "neighbour"


def test_hot_pixels_are_no_evidence():
    """The same detections on the same pixels are the sensor, not the sky."""
    rng = np.random.default_rng(2)
    x, y, flux = rng.uniform(0, 1080, 80), rng.uniform(0, 1920, 80), rng.uniform(1, 9, 80)
    solution = solution_at(67.0, 27.0)
    hint = neighbour_hint(solution, 67.0, 27.0, 1.0)
    solver = NeighbourSolver(stars_from(x, y, flux), solution)
    again = stars_from(x + rng.normal(0, 0.2, 80), y + rng.normal(0, 0.2, 80), flux)
    with pytest.raises(FrameError, match="0 stars were found"):
        solver.solve(again, frame_at(), hint)
    other = stars_from(rng.uniform(0, 1080, 80), rng.uniform(0, 1920, 80), flux)
    with pytest.raises(FrameError, match="No part of the sky"):
        solver.solve(other, frame_at(), hint)
