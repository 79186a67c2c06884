"""A header's WCS is believed only when the stars agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from star_lists import S50_SCALE, away, corner_error, frame_at, seen, solution_at, stars_from
from zemosaic.errors import FrameError
from zemosaic.solvers import frame_hint
from zemosaic.solvers.header import HeaderSolver


@pytest.fixture(scope="module")
def solver():
    return HeaderSolver()


@pytest.fixture(scope="module")
def field():
    true = solution_at(192.7, 41.1, turn=3.1)
    return true, seen(np.random.default_rng(1), true)


def solve(solver, stars, claim):
    frame = frame_at(wcs=claim)
    return solver.solve(stars, frame, frame_hint(frame, 1.5))


def test_a_true_wcs_is_refined(solver, field):
    true, stars = field
    found = solve(solver, stars, replace(true, solver="header"))
    assert corner_error(found, true) < 2.5
    assert found.solver == "header"
    assert found.n_matched > 8
    assert 0 < found.rms < 3


def test_a_wcs_that_is_a_little_off_is_put_right(solver, field):
    true, stars = field
    claim = solution_at(*away(true.ra, true.dec, 0.15, 1.0), turn=3.1 + 0.02, scale=S50_SCALE * 1.006)
    assert corner_error(solve(solver, stars, claim), true) < 2.5


@pytest.mark.parametrize(
    "change",
    [{"turn": 3.3}, {"parity": -1}, {"scale": S50_SCALE * 1.05}, {"ra": 195.0}],
    ids=["rotated", "mirrored", "scaled", "elsewhere"],
)
def test_a_wrong_wcs_is_refused_in_words(solver, field, change):
    values = {"ra": 192.7, "dec": 41.1, "turn": 3.1} | change
    claim = solution_at(values.pop("ra"), values.pop("dec"), **values)
    with pytest.raises(FrameError, match=r"The WCS in its header is wrong: \d+ of \d+ catalogue stars"):
        solve(solver, field[1], claim)


def test_a_wcs_that_is_none_is_refused(solver, field):
    true, stars = field
    tiny = replace(true, cd=(1e-18, 0.0, 0.0, 1e-18))
    with pytest.raises(FrameError, match="not one"):
        solve(solver, stars, tiny)
    with pytest.raises(FrameError, match="not one"):
        solve(solver, stars, replace(true, ra=float("nan")))
    with pytest.raises(FrameError, match="no WCS"):
        solve(solver, stars, None)
    with pytest.raises(FrameError, match="2 stars were found"):
        solve(solver, stars_from([1, 2], [1, 2], [1, 2]), true)
