"""The shift of red and blue against green, on simulated frames with a known one."""

import numpy as np
import pytest

from zemosaic.catalogue import load_catalogue
from zemosaic.imaging.chromatic import at_green, colour_weights, settled_shifts
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.noise import sky_noise
from zemosaic.imaging.sky import damaged_pixels, repaired
from zemosaic.imaging.stars import measure_stars
from zemosaic.model import ColourShift, Stars
from zemosaic.simulate import NightPlan
from zemosaic.simulate.camera import raw_frame
from zemosaic.simulate.night import imagine

PLAN = {"width": 640, "height": 480, "subs": 1, "panels_x": 1, "panels_y": 1, "satellites": 0.0, "nebula": 0.0}


def frame(**plan):
    """A raw frame of a rich field, and its truth."""
    truth = imagine(NightPlan(**PLAN, **plan), load_catalogue())
    return raw_frame(truth, truth.subs[0], np.random.default_rng(1)).astype(np.float32), truth


def measured(raw, pattern):
    sigma = sky_noise(raw, pattern)
    damaged = damaged_pixels(raw, pattern, sigma)
    return measure_stars(repaired(raw, pattern, damaged), pattern, sigma, 65535.0, damaged)


@pytest.mark.parametrize("pattern", ["GRBG", "RGGB"])
@pytest.mark.parametrize("fwhm", [2.2, 3.4])
def test_shift_of_a_frame(pattern, fwhm):
    raw, truth = frame(star_density=4000.0, dispersion=0.4, bayer=pattern, fwhm=(fwhm, fwhm), seed=3)
    found = measured(raw, pattern).shift
    off = np.array(found.place) - np.array(truth.subs[0].shift)
    assert np.all(np.abs(off) < 0.03 + 3 * np.array(found.error)[:, None])
    assert 0.0 < max(found.error) < 0.05


def test_no_shift_where_there_is_none():
    raw, _ = frame(star_density=4000.0)
    found = measured(raw, "GRBG").shift
    assert np.all(np.abs(found.place) < 4 * np.array(found.error)[:, None] + 1e-9)
    assert settled_shifts([found] * 4, [0] * 4) == [()] * 4


def test_three_planes_and_one():
    rng = np.random.default_rng(5)
    planes = [gaussians(rng_places() + (dx, 0.0), np.full(len(rng_places()), 8000.0)) for dx in (-0.3, 0.0, 0.25)]
    data = (planes + 20.0 * rng.standard_normal((3, 300, 400))).astype(np.float32)
    found = measure_stars(data, None, (20.0, 20.0, 20.0), 65535.0).shift
    np.testing.assert_allclose(found.place, [(-0.3, 0.0), (0.0, 0.0), (0.25, 0.0)], atol=0.02)
    assert measure_stars(data[1], None, (20.0,), 65535.0).shift is None


def rng_places():
    rng = np.random.default_rng(6)
    yy, xx = np.mgrid[30:290:40, 30:390:40]
    return np.column_stack([xx.ravel() + rng.uniform(-5, 5, xx.size), yy.ravel() + rng.uniform(-5, 5, xx.size)])


def gaussians(places, peaks):
    """(300, 400) ADU: stars on a sky of 1000."""
    y, x = np.mgrid[0:300, 0:400]
    light = np.full(x.shape, 1000.0)
    for (at_x, at_y), peak in zip(places, peaks, strict=True):
        light += peak * np.exp(-0.5 * ((x - at_x) ** 2 + (y - at_y) ** 2) / 1.4**2)
    return light


def test_few_stars_say_nothing():
    rng = np.random.default_rng(7)
    raw = (1000.0 + 20.0 * rng.standard_normal((200, 200))).astype(np.float32)
    assert measure_stars(raw, "GRBG", (20.0, 20.0, 20.0), 65535.0).shift is None


def drawn(rng, place, error, count):
    own = np.array(place) + error * rng.standard_normal((count, 3, 2)) * np.array([1, 0, 1])[:, None]
    return [ColourShift(tuple(map(tuple, each)), (error, 0.0, error)) for each in own.tolist()]


def test_frames_of_a_spell_share_their_shift():
    rng = np.random.default_rng(8)
    air = ((-0.12, 0.05), (0.0, 0.0), (0.2, -0.06))
    shifts = [*drawn(rng, air, 0.05, 12), None, *drawn(rng, ((0.0, 0.0),) * 3, 0.05, 12)]
    shifts[4] = ColourShift(((0.9, 0.9), (0.0, 0.0), (-0.9, 0.9)), (0.05, 0.0, 0.05))
    settled = settled_shifts(shifts, [7] * 13 + [8] * 12)
    assert settled[0] == settled[4] == settled[12]
    np.testing.assert_allclose(settled[0], air, atol=0.05)
    assert settled[13:] == [()] * 12


def test_errors_that_are_too_small_prove_nothing():
    """Frames that scatter by ten times their errors do not make a significant mean of chance."""
    rng = np.random.default_rng(9)
    chance = 0
    for _ in range(50):
        shifts = [ColourShift(s.place, (0.01, 0.0, 0.01)) for s in drawn(rng, ((0.0, 0.0),) * 3, 0.1, 10)]
        chance += settled_shifts(shifts, [0] * 10) != [()] * 10
    assert chance <= 4


def test_places_go_back_to_green():
    """Places fitted to all colours depend on the colour of the star; where the green light falls does not."""
    rng, true, shift = np.random.default_rng(10), rng_places(), ((-0.3, 0.1), (0.0, 0.0), (0.4, -0.1))
    red = rng.random(len(true)) < 0.5
    planes = [
        gaussians(true + shift[c], 9000.0 * np.where(red, (1.6, 1.0, 0.3)[c], (0.3, 1.0, 1.6)[c])) for c in range(3)
    ]
    y, x = np.mgrid[0:300, 0:400]
    raw = np.take_along_axis(np.array(planes), cfa_colours("GRBG")[y % 2, x % 2][None], axis=0)[0]
    raw = (raw + 20.0 * rng.standard_normal(raw.shape)).astype(np.float32)
    stars = measure_stars(raw, "GRBG", (20.0,) * 3, 65535.0).stars
    distance = np.hypot(stars.x[:, None] - true[:, 0], stars.y[:, None] - true[:, 1])
    star = distance.argmin(axis=1)
    weights = colour_weights(stars.flux, (20.0,) * 3, filtered=True)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    np.testing.assert_allclose(at_green(stars, shift, weights), true[star].T, atol=0.08)
    assert np.median(distance.min(axis=1)) > 0.1


def test_a_star_without_light_has_no_weight():
    stars = Stars(*(np.zeros(1),) * 2, np.zeros((1, 3)), np.ones((1, 3)), *(np.ones(1),) * 4, *(np.zeros(1, bool),) * 2)
    weights = colour_weights(stars.flux, (1.0, 1.0, 1.0), filtered=False)
    assert at_green(stars, ((1.0, 1.0),) * 3, weights) == (0.0, 0.0)
