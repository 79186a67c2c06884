"""Solutions that are impossible within their group are found, and the others left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from star_lists import S50_SCALE, away, frame_at, solution_at
from zemosaic.solvers.group import false_solutions


def night(n=8, **last):
    """Frames of one telescope over a mosaic, pointing 0.2 degrees beside their headers; the last one is special."""
    rng = np.random.default_rng(1)
    frames, solutions = [], {}
    for i in range(n):
        ra, dec = away(10.0, 41.0, 1.5 * rng.random(), rng.uniform(0, 6))
        said = away(ra, dec, 0.2, 1.0)
        values = {"turn": rng.uniform(0, 6), "scale": S50_SCALE * (1 + 0.002 * rng.standard_normal()), "parity": 1}
        place = (ra, dec)
        if i == n - 1:
            place = away(ra, dec, last.pop("off", 0.0), 2.0)
            values |= last
        frames.append(frame_at(*said, id=i))
        solutions[i] = solution_at(*place, **values)
    return frames, solutions


def test_a_sound_night_stays():
    assert false_solutions(*night(), radius=1.5) == {}


@pytest.mark.parametrize(
    ("special", "words"),
    [
        ({"scale": S50_SCALE * 1.03}, 'has 2.445"/px, the others'),
        ({"parity": -1}, "mirrored"),
        ({"off": 3.0}, "degrees from where its header points"),
        ({"off": 1.2}, "by its other frames"),
    ],
)
def test_the_impossible_one_is_named(special, words):
    reasons = false_solutions(*night(**special), radius=1.5)
    assert list(reasons) == [7]
    assert words in reasons[7]


def test_two_frames_are_no_group():
    assert false_solutions(*night(2, scale=S50_SCALE * 1.03, parity=-1), radius=1.5) == {}


def test_another_telescope_is_another_group():
    frames, solutions = night()
    frames.append(frame_at(50.0, 10.0, id=8, instrument="refractor"))
    solutions[8] = solution_at(50.0, 10.0, scale=1.5, parity=-1)
    assert false_solutions(frames, solutions, radius=1.5) == {}


def test_frames_without_a_position_are_not_judged_by_it():
    frames, solutions = night()
    frames.append(frame_at(math.nan, math.nan, id=8))
    solutions[8] = solution_at(100.0, -30.0)
    assert false_solutions(frames, solutions, radius=1.5) == {}
