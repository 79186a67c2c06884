"""Pixels to sky and back, against astropy.wcs and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS, Sip
from hypothesis import given, settings
from hypothesis import strategies as st

from zemosaic.imaging.projection import (
    angular_separation,
    grid_to_sky,
    linear_inverse,
    moved,
    pixel_area,
    pixel_scale,
    pixel_to_sky,
    sky_to_grid,
    sky_to_pixel,
    tan_deproject,
    tan_project,
)
from zemosaic.model import Distortion, Grid, Solution

WIDTH, HEIGHT = 1080, 1920
RADIUS = np.hypot(WIDTH, HEIGHT) / 2
PLACES = [(190.0, 41.0), (0.0, 10.0), (359.999, -30.0), (37.0, 88.0), (200.0, 89.99), (80.0, 90.0), (10.0, -90.0)]


def solution(
    ra: float = 190.0,
    dec: float = 41.0,
    angle: float = 25.0,
    parity: int = 1,
    k3: float = 1.5 / RADIUS,
    k5: float = -0.4 / RADIUS,
) -> Solution:
    """An S50-like frame; k3 and k5 give px in the corner when multiplied with the radius."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    scale = 2.374 / 3600
    cd = (parity * scale * cos, -scale * sin, parity * scale * sin, scale * cos)
    return Solution(ra, dec, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, cd, Distortion(k3, k5, RADIUS))


def as_astropy(s: Solution) -> WCS:
    """The same solution as TAN-SIP, built from the definition of SIP: u' = u + sum A_pq u^p v^q."""
    a, b = np.zeros((6, 6)), np.zeros((6, 6))
    third, fifth = s.distortion.k3 / s.distortion.radius**2, s.distortion.k5 / s.distortion.radius**4
    a[3, 0] = a[1, 2] = b[0, 3] = b[2, 1] = third
    a[5, 0] = a[1, 4] = b[0, 5] = b[4, 1] = fifth
    a[3, 2] = b[2, 3] = 2 * fifth
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval = [s.ra, s.dec]
    wcs.wcs.crpix = [s.x + 1, s.y + 1]
    wcs.wcs.lonpole = 180.0  # at declination +90 exactly the default of the standard is 0
    wcs.wcs.cd = np.array(s.cd).reshape(2, 2)
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


def pixels(n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(0, WIDTH - 1, n), np.linspace(0, HEIGHT - 1, n))
    return x.ravel(), y.ravel()


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("parity", [-1, 1])
def test_pixel_to_sky_is_astropys(ra: float, dec: float, parity: int) -> None:
    s = solution(ra, dec, parity=parity)
    x, y = pixels()
    expected = as_astropy(s).all_pix2world(x, y, 0)
    assert angular_separation(*pixel_to_sky(s, x, y), *expected).max() * 3600 < 1e-6


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("parity", [-1, 1])
def test_sky_to_pixel_is_astropys(ra: float, dec: float, parity: int) -> None:
    s = solution(ra, dec, parity=parity)
    x, y = pixels()
    sky = as_astropy(s).all_pix2world(x, y, 0)
    back = sky_to_pixel(s, *sky)
    assert np.abs(np.subtract(back, (x, y))).max() < 1e-6


@settings(max_examples=60, deadline=None)
@given(
    ra=st.floats(0, 360, exclude_max=True),
    dec=st.floats(-90, 90),
    angle=st.floats(-180, 180),
    parity=st.sampled_from([-1, 1]),
    corner=st.floats(-8, 8),
    corner5=st.floats(-4, 4),
)
def test_round_trip_everywhere(ra: float, dec: float, angle: float, parity: int, corner: float, corner5: float) -> None:
    s = solution(ra, dec, angle, parity, corner / RADIUS, corner5 / RADIUS)
    x, y = pixels(5)
    sky = pixel_to_sky(s, x, y)
    assert ((sky[0] >= 0) & (sky[0] < 360)).all()
    assert np.abs(np.subtract(sky_to_pixel(s, *sky), (x, y))).max() < 1e-6


@settings(max_examples=60, deadline=None)
@given(ra=st.floats(0, 360), dec=st.floats(-90, 90), xi=st.floats(-30, 30), eta=st.floats(-30, 30))
def test_tangent_plane_round_trip(ra: float, dec: float, xi: float, eta: float) -> None:
    back = tan_project(*tan_deproject(xi, eta, ra, dec), ra, dec)
    assert np.allclose(back, (xi, eta), atol=1e-9)


def test_the_far_side_of_the_sky_is_nan() -> None:
    xi, eta = tan_project([10.0, 190.0], [0.0, 0.0], 10.0, 0.0)
    assert np.isfinite(xi[0]) and np.isnan(xi[1]) and np.isnan(eta[1])
    assert np.isnan(sky_to_pixel(solution(10.0, 0.0), 190.0, 0.0)).all()


@pytest.mark.parametrize("parity", [-1, 1])
@pytest.mark.parametrize("dec", [0.0, 41.0, 88.0])
def test_pixel_area_is_that_of_the_pixels_corners(parity: int, dec: float) -> None:
    """Solid angle from the vectors to the corners; the distortion is made strong so that it counts."""
    s = solution(dec=dec, parity=parity, k3=0.02, k5=0.01)
    x, y = pixels(7)
    step = 0.5

    def vector(dx: float, dy: float) -> np.ndarray:
        a, d = np.radians(pixel_to_sky(s, x + dx, y + dy))
        return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)

    right, up = vector(step, 0) - vector(-step, 0), vector(0, step) - vector(0, -step)
    expected = np.linalg.norm(np.cross(right, up), axis=1) * (180 / np.pi) ** 2
    assert np.allclose(pixel_area(s, x, y), expected, rtol=1e-6)


def test_pixel_scale_is_the_root_of_the_central_area() -> None:
    s = solution()
    assert pixel_scale(s) == pytest.approx(2.374)
    assert pixel_scale(s) ** 2 / 3600**2 == pytest.approx(float(pixel_area(s, s.x, s.y)))


def test_linear_inverse_is_the_matrix_inverse() -> None:
    cd = (1.0, 2.0, -3.0, 4.0)
    assert np.allclose(np.reshape(linear_inverse(cd), (2, 2)), np.linalg.inv(np.reshape(cd, (2, 2))))


@pytest.mark.parametrize(("ra", "dec"), [(190.0, 41.0), (0.001, 10.0), (37.0, 88.0), (200.0, 89.9), (123.0, -89.5)])
@pytest.mark.parametrize("parity", [-1, 1])
@pytest.mark.parametrize("shift", [(30.0, -40.0), (-600.0, 300.0)])
def test_moved_shifts_a_frame_without_turning_it(
    ra: float, dec: float, parity: int, shift: tuple[float, float]
) -> None:
    """The moved frame is the old one carried along the great circle: seen from half-way, the same offsets from both ends.

    shift : arcsec on the tangent plane
    """
    s = solution(ra, dec, parity=parity)
    new_ra, new_dec = tan_deproject(shift[0] / 3600, shift[1] / 3600, ra, dec)
    m = moved(s, float(new_ra), float(new_dec))
    assert sky_to_pixel(m, new_ra, new_dec) == pytest.approx((s.x, s.y), abs=1e-6)
    assert np.sign(np.linalg.det(np.reshape(m.cd, (2, 2)))) == parity
    middle = [float(value) for value in tan_deproject(shift[0] / 7200, shift[1] / 7200, ra, dec)]
    x, y = s.x + np.array([-200.0, 0.0, 200.0, 0.0]), s.y + np.array([0.0, 200.0, 0.0, -200.0])
    start = np.subtract(tan_project(*pixel_to_sky(s, x, y), *middle), np.reshape(tan_project(ra, dec, *middle), (2, 1)))
    end = np.subtract(
        tan_project(*pixel_to_sky(m, x, y), *middle), np.reshape(tan_project(new_ra, new_dec, *middle), (2, 1))
    )
    assert np.abs(end - start).max() * 3600 < 0.02


def test_moved_back_is_the_same() -> None:
    s = solution(37.0, 88.0)
    back = moved(moved(s, 45.0, 88.3), 37.0, 88.0)
    assert np.allclose(back.cd, s.cd, rtol=1e-12)
    assert (back.ra, back.dec) == (37.0, 88.0)


@pytest.mark.parametrize(("ra", "dec"), [(190.0, 41.0), (0.0, 0.0), (37.0, 88.0)])
def test_grid_has_north_up_and_east_left_and_is_astropys(ra: float, dec: float) -> None:
    grid = Grid(ra, dec, 2.4 / 3600, 3000, 2000, 1480.0, 1020.0)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [1481.0, 1021.0]
    wcs.wcs.cdelt = [-grid.scale, grid.scale]
    x, y = np.meshgrid(np.linspace(0, 2999, 7), np.linspace(0, 1999, 5))
    sky = grid_to_sky(grid, x, y)
    assert angular_separation(*sky, *wcs.all_pix2world(x, y, 0)).max() * 3600 < 1e-6
    assert np.allclose(sky_to_grid(grid, *sky), (x, y), atol=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((10.0, 0.0), (11.0, 0.0), 1.0),
        ((359.5, 0.0), (0.5, 0.0), 1.0),
        ((0.0, 89.0), (180.0, 89.0), 2.0),
        ((0.0, -90.0), (0.0, 90.0), 180.0),
        ((10.0, 60.0), (10.0, 60.0 + 1e-7), 1e-7),
    ],
)
def test_angular_separation(first: tuple[float, float], second: tuple[float, float], expected: float) -> None:
    assert float(angular_separation(*first, *second)) == pytest.approx(expected, rel=1e-6)
