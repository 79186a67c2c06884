"""The polynomial of a header and the radial terms on top of it: there and back, areas, beyond the frame, several frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zemosaic.imaging.distortion import as_sip, bend, exponents, fit_terms, order_of, stretch, typical, unbend
from zemosaic.imaging.placing import frame_nodes_of, shared_distortions, solution_through, with_distortion
from zemosaic.imaging.projection import pixel_area, pixel_to_sky, sky_to_pixel
from zemosaic.model import Distortion, Polynomial, Solution

SHAPE = (1920, 1080)
RADIUS = float(np.hypot(*SHAPE) / 2)
REACH = (572.0, 992.0)
CD = (-6.0e-4, 2.5e-4, 2.5e-4, 6.0e-4)
CENTRE = Solution(190.0, 41.0, 539.5, 959.5, CD)


def polynomial(size: float, order: int = 5, seed: int = 1) -> Polynomial:
    """Any polynomial, of `size` px rms on the border."""
    x, y = np.random.default_rng(seed).normal(0, 1, (2, len(exponents(order)))) * size / 3
    return Polynomial(tuple(x), tuple(y), REACH)


def everywhere(margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    u, v = np.meshgrid(np.linspace(-540 - margin, 540 + margin, 41), np.linspace(-960 - margin, 960 + margin, 61))
    return u, v


@pytest.mark.parametrize("order", range(2, 10))
def test_the_order_follows_from_the_number_of_terms(order):
    assert order_of(len(exponents(order))) == order
    assert exponents(3) == [(2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]


def test_a_polynomial_is_what_its_definition_says():
    given = polynomial(5.0, order=3)
    u, v = 100.0, -300.0
    p, q = u / REACH[0], v / REACH[1]
    x = sum(c * p**i * q**j for c, (i, j) in zip(given.x, exponents(3), strict=True))
    y = sum(c * p**i * q**j for c, (i, j) in zip(given.y, exponents(3), strict=True))
    assert np.allclose(bend(Distortion(polynomial=given), np.array(u), np.array(v)), (u + x, v + y), atol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1.0, 8.0, 40.0])
@pytest.mark.parametrize("k3", [0.0, 2e-3])
def test_there_and_back(size, k3):
    distortion = Distortion(k3, -0.3 * k3, RADIUS, polynomial(size))
    u, v = everywhere(margin=900.0)  # lattices of the mosaic and cones of the catalogue reach far beyond the frame
    a, b = unbend(distortion, *bend(distortion, u, v))
    assert np.hypot(a - u, b - v).max() < 1e-5


def test_nothing_from_beyond_the_frame_falls_into_it():
    """A polynomial of order 9 means nothing out there: 10 frames away it would fold back 1e9 px."""
    distortion = Distortion(polynomial=polynomial(20.0, order=9))
    u, v = everywhere(margin=8000.0)
    outside = (np.abs(u) > 640) | (np.abs(v) > 1060)
    x, y = bend(distortion, u, v)
    assert np.hypot(x - u, y - v).max() < 200
    back_u, back_v = unbend(distortion, u, v)
    assert ((np.abs(back_u[outside]) > 540) | (np.abs(back_v[outside]) > 960)).all()


def test_no_data_stays_none():
    distortion = Distortion(polynomial=polynomial(8.0))
    nan = np.array([np.nan, 1.0])
    for both in (bend(distortion, nan, nan), unbend(distortion, nan, nan)):
        assert np.isnan(both[0][0]) and np.isfinite(both[0][1])


@pytest.mark.parametrize("k3", [0.0, 5e-3])
def test_areas_are_those_of_small_squares(k3):
    distortion = Distortion(k3, 0.5 * k3, RADIUS, polynomial(20.0))
    u, v = everywhere()
    h = 0.5
    along = np.subtract(bend(distortion, u + h, v), bend(distortion, u - h, v))
    across = np.subtract(bend(distortion, u, v + h), bend(distortion, u, v - h))
    assert np.allclose(stretch(distortion, u, v), along[0] * across[1] - along[1] * across[0], atol=1e-6)
    solution = replace(CENTRE, distortion=distortion)
    x, y = u + solution.x, v + solution.y
    middle = pixel_area(replace(solution, distortion=Distortion()), x, y)
    assert np.allclose(pixel_area(solution, x, y) / middle, stretch(distortion, u, v), rtol=1e-4)


@pytest.mark.parametrize("k3", [0.0, 2e-3])
def test_sip_says_the_same(k3):
    distortion = Distortion(k3, -0.5 * k3, RADIUS, polynomial(8.0))
    a, b = as_sip(distortion, REACH)
    u, v = everywhere()
    powers = [(i, j) for i in range(len(a)) for j in range(len(a)) if i + j > 1]
    x = u + sum(a[i, j] * u**i * v**j for i, j in powers)
    y = v + sum(b[i, j] * u**i * v**j for i, j in powers)
    there = bend(distortion, u, v)
    assert np.hypot(x - there[0], y - there[1]).max() < 0.003


def test_a_solution_through_the_places_of_another():
    for size in (0.0, 8.0):
        true = replace(
            CENTRE, distortion=Distortion(polynomial=polynomial(size)) if size else Distortion(radius=RADIUS)
        )
        found, error = solution_through(*pixel_to_sky(true, *frame_nodes_of(SHAPE)), SHAPE)
        u, v = everywhere()
        px, py = sky_to_pixel(true, *pixel_to_sky(found, u + 539.5, v + 959.5))
        assert np.hypot(px - u - 539.5, py - v - 959.5).max() < 0.005
        assert error < 0.005
        assert (found.distortion.polynomial is None) == (size == 0.0)


def test_places_that_no_camera_shows():
    x, y = frame_nodes_of(SHAPE)
    assert solution_through(np.full(len(x), 10.0), np.full(len(x), 41.0), SHAPE)[1] == np.inf
    assert solution_through(x / 5, np.clip(y / 15, -90, 90), SHAPE)[1] > 0.05  # half a sky across


def test_the_same_places_with_another_distortion():
    """Frames that were solved without distortion get their instrument's: the matrix makes room for it."""
    bent = replace(CENTRE, distortion=Distortion(polynomial=polynomial(8.0)))
    straight = with_distortion(bent, Distortion(), SHAPE)
    again = with_distortion(straight, bent.distortion, SHAPE)
    x, y = np.meshgrid([100.0, 500.0, 1000.0], [100.0, 1000.0, 1800.0])
    px, py = sky_to_pixel(bent, *pixel_to_sky(again, x, y))
    without_x, without_y = sky_to_pixel(bent, *pixel_to_sky(straight, x, y))
    assert np.hypot(without_x - x, without_y - y).max() > 1.0
    moved = np.stack([px - x, py - y], axis=-1).reshape(-1, 2)
    plane = np.stack([np.ones(9), x.ravel(), y.ravel()], axis=1)
    assert np.abs(moved - plane @ np.linalg.lstsq(plane, moved, rcond=None)[0]).max() < 0.01  # only linear terms differ
    assert np.abs(moved).max() < 3.0


def test_the_median_of_many_headers_forgets_the_bad_ones():
    true, rng = polynomial(5.0), np.random.default_rng(3)
    some = []
    for i in range(40):
        noise = rng.normal(0, 0.5 if i % 4 else 30.0, (2, len(true.x)))
        some.append(replace(true, x=tuple(true.x + noise[0]), y=tuple(true.y + noise[1])))
    found = typical(some)
    u, v = everywhere()
    flat = np.stack([np.ones(u.size), u.ravel(), v.ravel()], axis=1)

    def error(one: Polynomial) -> float:
        difference = np.stack(bend(Distortion(polynomial=one), u, v)) - np.stack(
            bend(Distortion(polynomial=true), u, v)
        )
        rest = difference.reshape(2, -1).T
        rest = rest - flat @ np.linalg.lstsq(flat, rest, rcond=None)[0]
        return float(np.sqrt(np.mean(rest**2)))

    assert error(found) < 0.35 * np.median([error(one) for one in some])
    assert typical([true, true]) == true


def test_frames_of_an_instrument_share_what_most_of_their_headers_say():
    one, other = Distortion(polynomial=polynomial(5.0)), Distortion(polynomial=polynomial(5.0, seed=2))
    stated, bare = (
        replace(CENTRE, distortion=one),
        with_distortion(replace(CENTRE, distortion=one), Distortion(), SHAPE),
    )
    frames = [stated, stated, bare, replace(CENTRE, distortion=other), bare, bare]
    names = ["A", "A", "A", "B", "B", "B"]
    shared, groups = shared_distortions(frames, names, [SHAPE] * 6)
    assert [s.distortion.polynomial for s in shared[:3]] == [one.polynomial] * 3
    assert shared[:2] == frames[:2] and shared[3:] == frames[3:]
    assert groups[0] == groups[1] == groups[2] and groups[4] == groups[5]
    assert len({groups[0], groups[3], groups[4]}) == 3
    assert shared_distortions([bare, bare], ["A", "B"], [SHAPE] * 2) == ([bare, bare], [0, 1])


def test_fitting_a_polynomial_of_its_own_order_is_exact():
    p, q = (a.ravel() for a in np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9)))
    terms, worst = fit_terms(p, q, np.stack([1 + p * q, q**3], axis=1), 3)
    assert worst < 1e-12 and terms[4, 0] == pytest.approx(1.0)
