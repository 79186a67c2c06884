"""Solutions that are impossible within their group are found, and the others left alone."""

from __future__ import annotations

import math
from dataclasses import replace

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


@pytest.mark.parametrize(
    "cd",
    [(math.nan,) * 4, (0.0,) * 4, (1e-18, 0.0, 0.0, 1e-18 / 2), (6e-4, 0.0, 0.0, 6.3e-4), (6e-4, 6e-4, 6e-4, 6e-4)],
)
def test_a_solution_that_is_none_is_found_even_alone_and_bends_nobody_s_median(cd):
    frames, solutions = night()
    solutions[7] = replace(solutions[7], cd=cd)
    assert list(false_solutions(frames, solutions, radius=1.5)) == [7]
    assert list(false_solutions(frames[7:], {7: solutions[7]}, radius=1.5)) == [7]
    assert list(
        false_solutions(frames[7:], {7: replace(solutions[7], cd=solutions[0].cd, ra=math.nan)}, radius=1.5)
    ) == [7]


def test_a_field_that_turns_for_one_frame_only_is_false():
    def tracked(turns):
        frames = [frame_at(10.0, 41.0, id=i) for i in range(len(turns))]
        return frames, {i: solution_at(10.0 + 0.01 * i, 41.0, turn=math.radians(turn)) for i, turn in enumerate(turns)}

    field_rotation = [0.3 * i for i in range(12)]
    assert false_solutions(*tracked(field_rotation), radius=1.5) == {}
    assert false_solutions(*tracked([*field_rotation, *(180.0 + t for t in field_rotation)]), radius=1.5) == {}
    reasons = false_solutions(*tracked([*field_rotation[:6], 70.0, *field_rotation[6:]]), radius=1.5)
    assert list(reasons) == [6]
    assert "turned by 6" in reasons[6]
    two_telescopes_in_turn = [70.0 * (i % 2) for i in range(12)]
    assert false_solutions(*tracked(two_telescopes_in_turn), radius=1.5) == {}


def test_one_false_solution_among_a_thousand_is_found_and_no_other():
    for special, words in (
        ({"scale": S50_SCALE * 1.03}, "/px"),
        ({"parity": -1}, "mirrored"),
        ({"off": 3.0}, "header"),
    ):
        reasons = false_solutions(*night(1000, **special), radius=1.5)
        assert list(reasons) == [999]
        assert words in reasons[999]
