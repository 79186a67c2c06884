"""A header's WCS is believed only when the stars agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from star_lists import S50_SCALE, away, corner_error, frame_at, seen, solution_at, stars_from
from zemosaic.catalogue import load_catalogue
from zemosaic.errors import FrameError
from zemosaic.imaging.placing import with_distortion
from zemosaic.imaging.projection import moved, pixel_to_sky, sky_to_pixel
from zemosaic.model import Distortion, Polynomial
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


def bent(corner, solution, seed=5):
    """With cubic terms of `corner` px in the corners and others of a third of that, as a header states them."""
    half = (572.0, 992.0)
    rng = np.random.default_rng(seed)
    cubic = corner / np.hypot(*half) ** 3
    x, y = (0.15 * corner * rng.uniform(-1, 1, 7) for _ in range(2))
    x[3] += cubic * half[0] ** 3
    x[5] += cubic * half[0] * half[1] ** 2
    y[4] += cubic * half[0] ** 2 * half[1]
    y[6] += cubic * half[1] ** 3
    return replace(solution, distortion=Distortion(polynomial=Polynomial(tuple(x), tuple(y), half)))


def error_to_the_corners(found, true):
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 1079, 12), np.linspace(0, 1919, 20)))
    px, py = sky_to_pixel(true, *pixel_to_sky(found, x, y))
    return np.hypot(px - x, py - y).max()


@pytest.mark.parametrize("parity", [1, -1])
def test_stars_are_found_to_the_corners_with_the_distortion_of_the_header(solver, parity):
    """8 px in the corners, a field of Cygnus: every catalogue star that was detected is matched."""
    true = bent(8.0, solution_at(305.0, 38.0, turn=0.7, parity=parity, corner=0.0))
    stars = seen(np.random.default_rng(2), true, missing=0.0, noise=0.05)
    claim = moved(true, *away(true.ra, true.dec, 2.0 / 3600, 0.3))
    found = solve(solver, stars, claim)
    assert found.distortion == true.distortion
    assert error_to_the_corners(found, true) < 0.1
    sky = load_catalogue().cone(true.ra, true.dec, 1.0)
    x, y = sky_to_pixel(true, sky.ra, sky.dec)
    on_frame = np.count_nonzero((x > 0) & (y > 0) & (x < 1079) & (y < 1919))
    assert found.n_matched >= 0.97 * on_frame > 50
    linear = solve(solver, stars, with_distortion(claim, Distortion(), (1920, 1080)))
    assert linear.n_matched <= found.n_matched and linear.rms > 10 * found.rms
    assert error_to_the_corners(linear, true) > 3.0


def test_a_header_a_little_off_keeps_its_distortion(solver):
    true = bent(8.0, solution_at(192.7, 41.1, turn=3.1, corner=0.0))
    stars = seen(np.random.default_rng(1), true, noise=0.05)
    claim = replace(moved(true, *away(true.ra, true.dec, 0.15, 1.0)), cd=tuple(1.005 * v for v in true.cd))
    found = solve(solver, stars, claim)
    assert found.distortion == true.distortion
    assert error_to_the_corners(found, true) < 0.5


def test_a_distortion_that_the_stars_deny_is_dropped(solver):
    true = solution_at(305.0, 38.0, turn=0.7, corner=0.0)
    stars = seen(np.random.default_rng(2), true, noise=0.05)
    found = solve(solver, stars, bent(12.0, true))
    assert found.distortion == Distortion()
    assert error_to_the_corners(found, true) < 0.2


def test_a_refused_wcs_says_why(solver, field):
    frame = frame_at(wcs_refused="The WCS in its header is not used: CRPIX1 is missing.")
    with pytest.raises(FrameError, match="CRPIX1 is missing"):
        solver.solve(field[1], frame, frame_hint(frame, 1.5))
