"""Dark clouds: frames that cannot be solved one by one are solved as one field."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from star_lists import away, corner_error, frame_at, seen, solution_at, stars_from, with_stars
from zemosaic.errors import FrameError
from zemosaic.solvers import frame_hint
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.solvers.ensemble import register, solve_ensemble

TAURUS = (67.0, 27.0)


def night(seed, sign, *, frames=10, place=TAURUS, distance=0.33):
    """Frames over a 2 x 2 mosaic with 5 to 10 catalogue stars and some 80 fainter ones each; the sensor turns slowly."""
    rng = np.random.default_rng(seed)
    faint = away(*place, 2.2 * np.sqrt(rng.random(3000)), rng.uniform(0, 6.28, 3000))
    subs, stars, truth = [], [], []
    for k in range(frames):
        ra, dec = away(*away(*place, distance, (0.8, 2.3, 4.0, 5.5)[k % 4]), 0.05 * rng.random(), rng.uniform(0, 6.28))
        true = solution_at(ra, dec, turn=0.02 * k, parity=sign)
        truth.append(true)
        stars.append(with_stars(rng, seen(rng, true, faint=15), true, *faint))
        subs.append(frame_at(*away(ra, dec, 0.3, 1.0), id=100 + k))
    return subs, stars, truth


def alone(frames, stars):
    solver, solved = CatalogueSolver(), 0
    for frame, own in zip(frames, stars, strict=True):
        try:
            solver.solve(own, frame, frame_hint(frame, 1.5))
            solved += 1
        except FrameError:
            continue
    return solved


@pytest.mark.parametrize("sign", [-1, 1])
def test_all_frames_of_a_dark_cloud_solve_together(sign):
    frames, stars, truth = night(0, sign)
    assert alone(frames, stars) < len(frames)
    found = solve_ensemble(frames, stars, 1.5)
    assert sorted(found) == [frame.id for frame in frames]
    for frame, true in zip(frames, truth, strict=True):
        assert corner_error(found[frame.id], true) < 1.5
        assert found[frame.id].solver == "ensemble"


def test_dithered_frames_solve_together():
    frames, stars, truth = night(1, 1, frames=8, distance=0.02)
    found = solve_ensemble(frames, stars, 1.5)
    assert [corner_error(found[frame.id], true) < 1.5 for frame, true in zip(frames, truth, strict=True)] == [True] * 8


def test_a_frame_of_another_field_is_no_part_of_it():
    frames, stars, _ = night(2, 1, frames=6)
    strangers = night(3, 1, frames=1, place=(75.0, 20.0))
    ensembles = register([*frames, strangers[0][0]], [*stars, strangers[1][0]])
    assert [len(ensemble.frames) for ensemble in ensembles] == [6, 1]


def test_fields_without_position_or_stars_are_not_placed():
    frames, stars, _ = night(4, 1, frames=4)
    nowhere = [replace(frame, ra=math.nan, dec=math.nan) for frame in frames]
    assert len(register(nowhere, stars)[0].frames) > 1
    assert solve_ensemble(nowhere, stars, 1.5) == {}
    rng = np.random.default_rng(5)
    noise = [stars_from(rng.uniform(0, 1080, 60), rng.uniform(0, 1920, 60), rng.uniform(1, 9, 60)) for _ in frames]
    assert solve_ensemble(frames, noise, 1.5) == {}
    assert solve_ensemble([], [], 1.5) == {}
