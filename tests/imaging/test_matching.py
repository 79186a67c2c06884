"""Pattern matching and verification, on arrays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from star_lists import S50, S50_SCALE, away, corner_error, seen, solution_at
from zemosaic.catalogue import load_catalogue
from zemosaic.imaging.matching import Search, from_plane, hypotheses, spread, to_plane, to_solution
from zemosaic.imaging.projection import angular_separation, pixel_to_sky, tan_project
from zemosaic.imaging.verification import FALSE_ALARMS, expected_false, match_nearest, verify


@pytest.mark.parametrize(("ra0", "dec0"), [(0.0, 0.0), (359.9, 60.0), (10.0, 89.9), (77.0, -89.99)])
def test_the_plane_keeps_shapes_and_comes_back(ra0, dec0):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-2, 2, 50), rng.uniform(-2, 2, 50)
    ra, dec = from_plane(x, y, ra0, dec0)
    back_x, back_y = to_plane(ra, dec, ra0, dec0)
    np.testing.assert_allclose([back_x, back_y], [x, y], atol=1e-10)
    along = angular_separation(*from_plane(x + 0.01, y, ra0, dec0), *from_plane(x - 0.01, y, ra0, dec0))
    across = angular_separation(*from_plane(x, y + 0.01, ra0, dec0), *from_plane(x, y - 0.01, ra0, dec0))
    np.testing.assert_allclose(along, across, rtol=1e-6)


def test_spread_takes_the_brightest_of_every_cell():
    x = np.array([1.0, 2.0, 3.0, 11.0, 4.0, -3.0])
    y = np.array([1.0, 2.0, 3.0, 1.0, 4.0, 1.0])
    assert spread(x, y, 10.0, 2).tolist() == [0, 3, 5, 1]
    assert spread(x[:0], y[:0], 10.0, 2).tolist() == []


@pytest.mark.parametrize("parity", [-1, 1])
def test_the_true_similarity_is_among_the_hypotheses(parity):
    rng = np.random.default_rng(3)
    true = solution_at(120.0, 30.0, turn=2.2, parity=parity, scale=S50_SCALE * 1.02)
    stars = seen(rng, true)
    hint = away(true.ra, true.dec, 0.9, 1.0)
    unit = S50_SCALE / 3600
    sky = load_catalogue().cone(*hint, 2.0)
    plane_x, plane_y = to_plane(sky.ra, sky.dec, *hint)
    search = Search(radius=1.0 / unit, scale_tolerance=0.03)
    found = [
        to_solution(h, S50, *hint, unit)
        for h in hypotheses(stars.x, stars.y, S50, plane_x / unit, plane_y / unit, search)
    ]
    assert min(corner_error(solution, true) for solution in found) < 8.0


def test_what_is_known_is_obeyed():
    rng = np.random.default_rng(4)
    true = solution_at(300.0, 35.0, turn=1.0)
    stars = seen(rng, true)
    unit = S50_SCALE / 3600
    sky = load_catalogue().cone(true.ra, true.dec, 1.8)
    plane_x, plane_y = (c / unit for c in to_plane(sky.ra, sky.dec, true.ra, true.dec))
    search = Search(0.3 / unit, 0.01, parity=-1, turn=1.0, turn_tolerance=0.1)
    for h in hypotheses(stars.x, stars.y, S50, plane_x, plane_y, search):
        assert h.parity == -1
        assert abs(math.atan2(h.multiplier.imag, h.multiplier.real) - 1.0) <= 0.1 + 1e-9
        assert abs(abs(h.multiplier) - 1.0) < 0.0101
        assert abs(h.centre) <= 0.3 / unit + 1e-6


def test_mutual_matches_agree_with_a_slow_twin():
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 50, (2, 40))
    cat_x, cat_y = rng.uniform(0, 50, (2, 30))
    distance = np.hypot(x[:, None] - cat_x, y[:, None] - cat_y)
    twin = {
        (i, j)
        for i, j in zip(*np.nonzero(distance <= 5.0))
        if distance[i].argmin() == j and distance[:, j].argmin() == i
    }
    assert set(zip(*match_nearest(x, y, cat_x, cat_y, 5.0))) == twin
    assert match_nearest(x[:0], y[:0], cat_x, cat_y, 5.0)[0].size == 0


def test_the_chance_of_false_matches_is_what_the_formula_says():
    rng = np.random.default_rng(6)
    n_image, n_catalogue, radius, side, trials = 60, 30, 25.0, 1000.0, 2000
    chance = 1 - math.exp(-n_image * math.pi * radius**2 / side**2)
    counts = []
    for _ in range(trials):
        image, points = rng.uniform(0, side, (n_image, 2)), rng.uniform(radius, side - radius, (n_catalogue, 2))
        near = np.hypot(*(image[:, None] - points[None]).transpose(2, 0, 1)).min(axis=0) < radius
        counts.append(np.count_nonzero(near))
    share = np.mean(np.array(counts) >= 6)
    assert abs(share - expected_false(6, n_catalogue, chance, 0, 1)) < 0.03
    assert expected_false(8, 30, 0.01, 2, 1000) == pytest.approx(1000 * binom.sf(5, 28, 0.01))


def test_a_coarse_solution_is_refined_to_the_noise():
    rng = np.random.default_rng(7)
    true = solution_at(300.0, 35.0, turn=0.4, corner=0.0)
    stars = seen(rng, true, faint=500, noise=0.1)
    sky = load_catalogue().cone(true.ra, true.dec, 1.0)
    coarse = solution_at(*away(true.ra, true.dec, 3 * S50_SCALE / 3600, 2.0), turn=0.403, corner=0.0)
    verdict = verify(coarse, stars.x, stars.y, sky.ra, sky.dec, S50, tested=1000)
    assert verdict.holds
    assert corner_error(verdict.solution, true) < 0.1
    assert verdict.solution.rms == pytest.approx(0.1 * math.sqrt(2) * S50_SCALE, rel=0.3)
    assert (verdict.solution.x, verdict.solution.y) == (539.5, 959.5)


def test_a_solution_about_another_reference_pixel_is_the_same():
    rng = np.random.default_rng(8)
    true = solution_at(40.0, 88.0, turn=0.4, corner=0.0)
    stars = seen(rng, true, noise=0.05)
    moved = verify(true, stars.x, stars.y, *_cone(true), S50).solution
    from_corner = _about(true, 0.0, 0.0)
    again = verify(from_corner, stars.x, stars.y, *_cone(true), S50).solution
    assert corner_error(again, moved) < 1e-3


def _cone(true):
    sky = load_catalogue().cone(true.ra, true.dec, 1.0)
    return sky.ra, sky.dec


def _about(true, x, y):
    """The same solution with another reference pixel, by finite differences."""
    ra, dec = (float(v) for v in pixel_to_sky(true, x, y))
    xi, eta = tan_project(*pixel_to_sky(true, [x + 1, x], [y, y + 1]), ra, dec)
    return replace(true, ra=ra, dec=dec, x=x, y=y, cd=(xi[0], xi[1], eta[0], eta[1]))


def test_stars_in_a_line_are_no_trouble():
    """An affine fit to them is singular; the similarity is used."""
    true = solution_at(10.0, 20.0, turn=0.3, corner=0.0)
    x = np.linspace(100.0, 900.0, 12) ** 1.01
    ra, dec = pixel_to_sky(true, x, 2.0 * x)
    verdict = verify(true, x, 2.0 * x, ra, dec, S50)
    assert verdict.matched == np.count_nonzero(2.0 * x < 1919.5)
    assert corner_error(verdict.solution, true) < 0.01


def test_a_solution_beside_the_truth_does_not_hold():
    rng = np.random.default_rng(9)
    true = solution_at(300.0, 35.0)
    stars = seen(rng, true, faint=2000)
    for angle in range(6):
        wrong = solution_at(*away(true.ra, true.dec, 0.1, angle))
        verdict = verify(wrong, stars.x, stars.y, *_cone(true), S50)
        assert not verdict.holds
        assert verdict.false_alarms > FALSE_ALARMS
