"""The built-in solver on simulated star lists all over the sky, and on lists that are no part of the sky."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from star_lists import S50_SCALE, away, corner_error, frame_at, seen, solution_at, stars_from
from zemosaic.errors import FrameError
from zemosaic.imaging.projection import pixel_scale
from zemosaic.imaging.verification import FALSE_ALARMS
from zemosaic.solvers import Hint, frame_hint, neighbour_hint, parity, rotation
from zemosaic.solvers.catalogue import CatalogueSolver

FIELDS = {
    "right ascension 0": (0.0, 20.0, 200),
    "declination +88": (40.0, 88.0, 200),
    "south pole": (100.0, -89.9, 200),
    "galactic pole": (192.86, 27.13, 60),
    "Milky Way": (300.0, 35.0, 2500),
}


@pytest.fixture(scope="module")
def solver():
    return CatalogueSolver()


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("mirrored", [-1, 1])
def test_fields_everywhere_solve(solver, name, mirrored):
    """30 % false detections, 20 % missing, 1.5 px of distortion; hint 1.4 degrees and 3 % off."""
    ra, dec, faint = FIELDS[name]
    rng = np.random.default_rng([7, mirrored + 1, len(name)])
    for k in range(4):
        stretch = 1.029 if k % 2 else 1 / 1.029
        centre = away(ra, dec, 0.5 * rng.random(), rng.uniform(0, 6))
        true = solution_at(*centre, turn=rng.uniform(0, 6), parity=mirrored, scale=S50_SCALE * stretch)
        stars = seen(rng, true, faint=faint)
        frame = frame_at(*away(true.ra, true.dec, 1.4, rng.uniform(0, 6)), scale=S50_SCALE)
        found = solver.solve(stars, frame, frame_hint(frame, 1.5))
        assert corner_error(found, true) < 2.5
        assert parity(found) == mirrored
        assert pixel_scale(found) == pytest.approx(pixel_scale(true), rel=2e-3)
        assert (found.x, found.y) == (539.5, 959.5)
        assert found.distortion.k3 == 0.0
        assert found.solver == "catalogue"


def test_no_solution_comes_from_random_lists(solver):
    """The expected number of false solutions is what it says: about 1 list in 10 reaches 0.1, none 1e-6."""
    rng = np.random.default_rng(11)
    reached = []
    for k in range(40):
        ra, dec = [(192.86, 27.13), (0.0, 20.0), (300.0, 35.0), (67.0, 27.0)][k % 4]
        n = int(rng.choice([8, 30, 100, 400]))
        stars = stars_from(rng.uniform(0, 1080, n), rng.uniform(0, 1920, n), rng.uniform(1, 100, n))
        frame = frame_at(ra, dec)
        verdicts = list(solver.verdicts(stars, frame, Hint(ra, dec, 1.0, S50_SCALE, 0.02)))
        reached.append(min((verdict.false_alarms for verdict in verdicts), default=math.inf))
        assert not any(verdict.holds for verdict in verdicts)
    assert np.mean(np.array(reached) < 0.1) < 0.25
    assert min(reached) > 10 * FALSE_ALARMS


def test_a_real_field_does_not_solve_elsewhere(solver):
    rng = np.random.default_rng(12)
    for k in range(2):
        stars = seen(rng, solution_at(300.0, 35.0 - k, turn=k))
        frame = frame_at(200.0, 30.0)
        with pytest.raises(FrameError, match=r"No part of the sky within 1.5 degrees of RA 200.000 Dec \+30.000"):
            solver.solve(stars, frame, frame_hint(frame, 1.5))


def test_a_neighbour_s_solution_narrows_the_search_and_is_obeyed(solver):
    rng = np.random.default_rng(13)
    for dec in (20.0, 88.5):
        true = solution_at(50.0, dec, turn=0.7)
        neighbour = solution_at(*away(50.0, dec, 0.8, 1.0), turn=2.0)
        stars = seen(rng, true)
        assert corner_error(solver.solve(stars, frame_at(), neighbour_hint(neighbour, 50.0, dec, 1.0)), true) < 2.5
        for wrong in (solution_at(50.0, dec, parity=-1), solution_at(50.0, dec, scale=1.02 * S50_SCALE)):
            with pytest.raises(FrameError):
                solver.solve(stars, frame_at(), neighbour_hint(wrong, 50.0, dec, 0.5))


def test_a_known_rotation_is_obeyed(solver):
    rng = np.random.default_rng(13)
    true = solution_at(192.0, 30.0, turn=0.7)
    stars = seen(rng, true)
    near = Hint(192.0, 30.0, 0.5, S50_SCALE, 0.01, 1, rotation(true) + 1.0, 2.0)
    assert corner_error(solver.solve(stars, frame_at(), near), true) < 2.5
    with pytest.raises(FrameError):
        solver.solve(stars, frame_at(), replace(near, rotation=near.rotation + 90.0))


def test_a_search_wider_than_one_plane_finds_the_frame(solver):
    rng = np.random.default_rng(14)
    true = solution_at(30.0, -70.0, turn=0.3)
    frame = frame_at(*away(true.ra, true.dec, 2.6, 2.0))
    found = solver.solve(seen(rng, true), frame, frame_hint(frame, 2.7))
    assert corner_error(found, true) < 2.5


@pytest.mark.parametrize(("shape", "scale"), [((2160, 3840), 3.74), ((976, 1304), 1.48), ((2180, 3856), 2.75)])
def test_other_telescopes_solve(solver, shape, scale):
    """S30 Pro, a small sensor on 520 mm, Dwarf 3."""
    rng = np.random.default_rng(15)
    true = solution_at(299.9, 22.7, turn=4.0, scale=scale, shape=shape)
    frame = frame_at(*away(true.ra, true.dec, 1.0, 2.0), scale=scale * 1.02, shape=shape)
    found = solver.solve(seen(rng, true, shape=shape, faint=1000), frame, frame_hint(frame, 1.5))
    assert corner_error(found, true, shape) < 2.5


def test_what_is_missing_is_said(solver):
    stars = stars_from(range(9), range(9), range(9))
    with pytest.raises(FrameError, match="gives no position"):
        solver.solve(stars, frame_at(), frame_hint(frame_at(), 1.5))
    frame = frame_at(10.0, 10.0, scale=math.nan)
    with pytest.raises(FrameError, match="gives no pixel scale"):
        solver.solve(stars, frame, frame_hint(frame, 1.5))
    few = stars_from([1, 2], [1, 2], [1, 2])
    with pytest.raises(FrameError, match="2 stars were found, at least 5"):
        solver.solve(few, frame_at(10.0, 10.0), frame_hint(frame_at(10.0, 10.0), 1.5))


def test_stars_on_a_line_or_on_top_of_each_other_do_not_break_it(solver):
    frame = frame_at(300.0, 35.0)
    for x, y in [(np.arange(40.0), np.arange(40.0)), (np.full(40, 5.0), np.full(40, 5.0))]:
        with pytest.raises(FrameError):
            solver.solve(stars_from(x, y, np.arange(40)), frame, frame_hint(frame, 1.5))


def test_solving_is_quick(solver):
    """0.03 s in the Milky Way where the time was measured; the limit is generous for busy machines."""
    rng = np.random.default_rng(16)
    true = solution_at(300.0, 35.0, turn=0.3)
    stars = seen(rng, true, faint=2500)
    frame = frame_at(*away(300.0, 35.0, 0.5, 1.0))
    solver.solve(stars, frame, frame_hint(frame, 1.5))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        solver.solve(stars, frame, frame_hint(frame, 1.5))
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.5


def test_rotation_is_the_angle_of_the_x_axis():
    assert rotation(solution_at(10.0, 0.0, turn=0.5)) == pytest.approx(math.degrees(0.5))
