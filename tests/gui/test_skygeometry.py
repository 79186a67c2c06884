"""The geometry of the sky view, against the sky itself; no widgets."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zemosaic.gui.skygeometry import WIDEST, View, containing, fit, footprint, hull, inside, unit_vectors
from zemosaic.gui.skygrid import APART, dec_text, grid_lines, ra_text
from zemosaic.gui.skypaint import CELL, CHUNK, Coverage, SkyPicture, star_radii
from zemosaic.imaging.projection import angular_separation, tan_project
from zemosaic.model import Frame, FrameKind, Solution

VIEWS = st.builds(
    View,
    ra=st.floats(0, 359.99),
    dec=st.floats(-90, 90),
    scale=st.floats(1e-4, WIDEST / 1280),
    width=st.just(1280),
    height=st.just(720),
)
PLACES = st.tuples(st.floats(0, 1280), st.floats(0, 720))


@given(VIEWS, PLACES)
def test_canvas_to_sky_and_back(view: View, place: tuple[float, float]) -> None:
    assert view.of_sky(*view.to_sky(*place)) == pytest.approx(place, abs=1e-5)


@given(VIEWS, PLACES)
def test_the_projection_is_the_tangent_plane_with_north_up_and_east_left(
    view: View, place: tuple[float, float]
) -> None:
    ra, dec = view.to_sky(*place)
    xi, eta = tan_project(ra, dec, view.ra, view.dec)
    assert 640 - float(xi) / view.scale == pytest.approx(place[0], abs=1e-5)
    assert 360 - float(eta) / view.scale == pytest.approx(place[1], abs=1e-5)


def test_north_is_up_and_east_is_left() -> None:
    view = View(10.0, 41.0, 0.01, 1280, 720)
    north, east = view.of_sky(10.0, 41.5), view.of_sky(10.5, 41.0)
    assert north[1] < 360 and north[0] == pytest.approx(640) and east[0] < 605
    assert np.isnan(view.of_sky(190.0, -41.0)).all()


@given(VIEWS.filter(lambda view: abs(view.dec) < 60 and view.radius < 15), PLACES, st.floats(0.5, 2.0))
def test_zooming_holds_the_sky_under_the_pointer(view: View, place: tuple[float, float], factor: float) -> None:
    ra, dec = view.to_sky(*place)
    nearer = view.zoomed(factor, *place)
    assert nearer.of_sky(ra, dec) == pytest.approx(place, abs=1e-3)


@given(VIEWS.filter(lambda view: abs(view.dec) < 60 and view.radius < 15), st.floats(-300, 300), st.floats(-300, 300))
def test_panning_moves_the_sky_with_the_pointer(view: View, dx: float, dy: float) -> None:
    moved = view.panned(dx, dy)
    assert moved.of_sky(view.ra, view.dec) == pytest.approx((640 + dx, 360 + dy), abs=1e-3)


@settings(max_examples=50)
@given(VIEWS, st.floats(-2000, 2000), st.floats(-2000, 2000), st.floats(0.1, 10))
def test_wherever_one_goes_there_is_a_view(view: View, x: float, y: float, factor: float) -> None:
    for each in (view.panned(x, y), view.zoomed(factor, 640 + x / 10, 360 + y / 10)):
        assert 0 <= each.ra < 360 and -90 <= each.dec <= 90 and 0 < each.scale <= WIDEST / 1280 + 1e-12


@settings(max_examples=50)
@given(
    st.floats(0, 359),
    st.floats(-89, 89),
    st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=2, max_size=9),
)
def test_fitting_shows_all(ra: float, dec: float, steps: list[tuple[float, float]]) -> None:
    centre = View(ra, dec, 0.05, 1280, 720)
    vectors = unit_vectors(*centre.to_sky(*(np.array(steps) * 10 + (640, 360)).T))
    view = fit(vectors, 1000, 500)
    xy = view.of_vectors(vectors)
    assert (xy >= -0.5).all() and (xy <= (1000.5, 500.5)).all()


def test_fitting_nothing_and_the_whole_sky() -> None:
    assert fit(np.zeros((0, 4, 3)), 1280, 720).scale == WIDEST / 1280
    ends = unit_vectors([0.0, 180.0], [0.0, 0.0])
    assert math.isfinite(fit(ends, 1280, 720).ra)


FRAME = Frame(
    id=0, path=Path("a.fit"), size=0, mtime_ns=0, digest="", kind=FrameKind.BAYER, width=1080, height=1920, bayer="GRBG",
    instrument="S50", camera="", telescope="", target="M 31", filter="LP", exposure=10.0, gain=80.0, temperature=20.0,
    date_obs="", ra=10.68, dec=41.27, scale=2.4, saturation=65535.0,
)  # fmt: skip


def test_footprints_from_the_solution_the_header_s_wcs_and_its_place() -> None:
    turned = Solution(ra=11.0, dec=41.0, x=539.5, y=959.5, cd=(0.0, 6.6e-4, 6.6e-4, 0.0))
    solved = footprint("a", FRAME, turned, panel=3, target="M 31")
    assert solved is not None and solved.solved and solved.panel == 3
    assert angular_separation(solved.ra[0], solved.dec[0], solved.ra[1], solved.dec[1]) == pytest.approx(
        1080 * 6.6e-4, rel=1e-3
    )
    assert footprint("a", replace(FRAME, wcs=turned), None) == replace(solved, panel=-1, target="")
    guessed = footprint("a", FRAME, None)
    assert guessed is not None and not guessed.solved
    assert angular_separation(guessed.ra[0], guessed.dec[0], guessed.ra[3], guessed.dec[3]) == pytest.approx(
        1920 * 2.4 / 3600, rel=1e-3
    )
    assert angular_separation(np.mean(guessed.ra), np.mean(guessed.dec), 10.68, 41.27) < 0.01
    assert footprint("a", replace(FRAME, ra=math.nan), None) is None


def test_a_point_is_in_the_frames_that_hold_it_the_nearest_first() -> None:
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
    quads = np.stack([square, square + 3, square[::-1] + 5, square + 20])
    assert containing(quads, 6, 6).tolist() == [0, 1, 2]
    assert containing(quads, 9, 9).tolist() == [1, 2, 0]
    assert containing(quads, 18, 5).tolist() == []


@given(st.floats(0.1, 5), st.integers(0, 1000))
def test_the_lasso_holds_what_a_circle_holds(radius: float, seed: int) -> None:
    angle = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    lasso = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.random.default_rng(seed).uniform(-6, 6, (300, 2))
    distance = np.hypot(*points.T)
    clear = np.abs(distance - radius) > 0.01 * radius
    assert (inside(points, lasso)[clear] == (distance < radius)[clear]).all()
    assert not inside(np.full((1, 2), np.nan), lasso).any()


def test_a_lasso_may_be_hollow() -> None:
    u = np.array([[0, 0], [9, 0], [9, 9], [6, 9], [6, 3], [3, 3], [3, 9], [0, 9]], float)
    assert inside(np.array([[1.0, 8.0], [4.5, 6.0], [8.0, 8.0], [4.5, 1.0]]), u).tolist() == [True, False, True, True]


def test_the_outline_of_a_panel_holds_its_frames() -> None:
    rng = np.random.default_rng(3)
    view = View(100.0, -30.0, 0.001, 1000, 1000)
    vectors = unit_vectors(*view.to_sky(*rng.normal(500, 80, (2, 500))))
    line = view.of_vectors(hull(vectors))
    middle = line.mean(axis=0)
    grown = middle + (line - middle) * 1.02  # of 72 directions
    assert 8 <= len(line) <= 72 and inside(view.of_vectors(vectors), grown).all()


# ---- the picture behind


def naive_count(quads: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    count = np.zeros(shape, int)
    for row in range(shape[0]):
        for column in range(shape[1]):
            count[row, column] = len(containing(quads, (column + 0.5) * CELL, (row + 0.5) * CELL))
    return count


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 8), st.sampled_from([0.4, 1.0, 5.0]))
def test_coverage_counts_the_frames_over_each_square(seed: int, number: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 7, number)[:, None] + np.array([0.3, 1.2, 3.5, 4.3])
    corners = size * 20 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    quads = corners + rng.uniform(-10, 70, (number, 1, 2))
    coverage = Coverage(61, 40)
    coverage.add(quads[: number // 2])
    coverage.add(quads[number // 2 :])
    coverage.add(np.full((1, 4, 2), np.nan))
    assert coverage.shape == (14, 21)
    assert (coverage.count() == naive_count(quads, coverage.shape)).all()


def test_the_picture_is_made_in_steps_and_shows_more_frames_brighter() -> None:
    square = np.array([[0, 0], [60, 0], [60, 60], [0, 60]], float)
    quads = np.concatenate([np.tile(square, (3 * CHUNK, 1, 1)), np.tile(square + 30, (20, 1, 1))])
    picture = SkyPicture(150, 120)
    assert sum(1 for _ in picture.cover(quads)) == 4
    pixels = np.asarray(picture.image(np.array([[120.0, 20.0, 3.0], [-5.0, 500.0, 3.0]])))
    assert pixels.shape == (120, 150, 3)
    empty, few, many = (int(pixels[y, x].astype(int).sum()) for y, x in ((110, 140), (80, 80), (10, 10)))
    assert empty < few < many < int(pixels[20, 120].astype(int).sum())


def test_brighter_stars_are_larger() -> None:
    radii = star_radii(np.array([4.0, 6.0, 11.0]))
    assert radii[0] >= radii[1] > radii[2] and len(star_radii(np.zeros(0))) == 0


# ---- the grid


@pytest.mark.parametrize(
    ("degrees", "step", "text"),
    [(83.822, 60, "5h35m"), (83.822, 20, "5h35m17s"), (0.0, 3600, "0h"), (359.9999, 60, "0h00m"), (-15.0, 3600, "23h")],
)
def test_right_ascension_in_words(degrees: float, step: float, text: str) -> None:
    assert ra_text(degrees, step) == text


@pytest.mark.parametrize(
    ("degrees", "step", "text"),
    [
        (41.27, 60, "+41°16'"),
        (-5.39, 10, "−5°23'24\""),
        (0.0, 3600, "+0°"),
        (-0.5, 600, "−0°30'"),
        (90.0, 3600, "+90°"),
    ],
)
def test_declination_in_words(degrees: float, step: float, text: str) -> None:
    assert dec_text(degrees, step) == text


@given(VIEWS)
@settings(max_examples=60, deadline=None)
def test_a_grid_has_a_bounded_number_of_lines_that_x_can_draw(view: View) -> None:
    lines = grid_lines(view)
    assert 1 <= len(lines) <= 80
    for line in lines:
        assert np.isfinite(line.points).all() and np.abs(line.points).max() < 32000
        assert line.at is None or (0 <= line.at[0] <= 1280 and 0 <= line.at[1] <= 720)


@pytest.mark.parametrize("field", [0.5, 3.0, 20.0])
def test_labels_stand_where_their_lines_are(field: float) -> None:
    view = View(10.68, 41.27, field / 1280, 1280, 720)
    lines = grid_lines(view)
    meridians = [line for line in lines if line.label.count("h")]
    parallels = [line for line in lines if "°" in line.label]
    assert 4 <= len(meridians) <= 1280 / APART + 3 and 3 <= len(parallels) <= 720 / APART + 4
    for line in parallels:
        if line.at is not None:
            _, dec = view.to_sky(*line.at)
            label = line.label.replace("+", "").replace('"', "").replace("'", "°")
            parts = [float(each) for each in label.split("°") if each]
            told = sum(part / 60**k for k, part in enumerate(parts))
            assert float(dec) == pytest.approx(told, abs=3 * view.scale)


def test_around_the_pole_all_hours_are_drawn() -> None:
    labels = {line.label for line in grid_lines(View(0.0, 89.5, 0.005, 1280, 720)) if "h" in line.label}
    assert len(labels) >= 8 and "0h" in labels
