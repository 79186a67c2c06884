"""Stars on synthetic frames with known truth."""

import numpy as np
import pytest

from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.sky import damaged_pixels, repaired
from zemosaic.imaging.stars import measure_stars

SIGMA = (78.0, 89.0, 73.0)
SKY = (845.0, 996.0, 795.0)
WHITE = (1.0, 1.0, 1.0)
RED = (1.0, 0.5, 0.15)
SHAPE = (400, 500)


def grid(rng, shape=SHAPE, pitch=50):
    """Places apart from each other at random subpixel phases, away from the border."""
    y, x = np.mgrid[pitch / 2 : shape[0] : pitch, pitch / 2 : shape[1] : pitch]
    return x.ravel() + rng.uniform(-4, 4, x.size), y.ravel() + rng.uniform(-4, 4, x.size)


def planes(x, y, flux, fwhm, colour=WHITE, shape=SHAPE, stretch=1.0):
    """(3, h, w) light of Gaussian stars, sampled at pixel centres; `stretch` makes them longer along x."""
    s = fwhm / 2.3548
    light = np.zeros(shape)
    for xi, yi, fi in zip(x, y, np.broadcast_to(flux, len(x))):
        r = int(7 * s * stretch) + 2
        y0, x0 = max(round(yi) - r, 0), max(round(xi) - r, 0)
        yy, xx = np.mgrid[y0 : min(round(yi) + r + 1, shape[0]), x0 : min(round(xi) + r + 1, shape[1])]
        profile = np.exp(-0.5 * (((xx - xi) / (s * stretch)) ** 2 + ((yy - yi) / s) ** 2))
        light[yy, xx] += fi * profile / (2 * np.pi * s * s * stretch)
    return np.array(colour)[:, None, None] * light


def sensor(light, rng, pattern="GRBG", noise=1.0):
    """What the sensor makes of (3, h, w) light: sky, noise, one colour a pixel."""
    full = light + np.array(SKY)[:, None, None]
    full += noise * np.array(SIGMA)[:, None, None] * rng.normal(size=full.shape)
    y, x = np.mgrid[: full.shape[1], : full.shape[2]]
    return np.take_along_axis(full, cfa_colours(pattern)[y % 2, x % 2][None], axis=0)[0].astype(np.float32)


def matched(stars, x, y, reach=2.0):
    """Indices (truth, measured) of stars within `reach` px."""
    distance = np.hypot(stars.x[None] - x[:, None], stars.y[None] - y[:, None])
    nearest = distance.argmin(axis=1)
    truth = np.flatnonzero(distance.min(axis=1) < reach)
    return truth, nearest[truth]


@pytest.mark.parametrize("fwhm", [2.0, 2.6, 3.5, 5.0])
@pytest.mark.parametrize("pattern", ["GRBG", "RGGB", None])
def test_fwhm_is_right(fwhm, pattern):
    rng = np.random.default_rng(1)
    x, y = grid(rng)
    light = planes(x, y, 4e4, fwhm)
    raw = sensor(light, rng, pattern) if pattern else (light[1] + rng.normal(996, 89, SHAPE)).astype(np.float32)
    found = measure_stars(raw, pattern, SIGMA if pattern else SIGMA[1:2], 65535.0)
    assert found.fwhm == pytest.approx(fwhm, rel=0.03)
    assert len(found.stars) == len(x)
    assert found.elongation < 1.1


def test_three_planes():
    rng = np.random.default_rng(2)
    x, y = grid(rng)
    noise = np.array(SIGMA)[:, None, None] * rng.normal(size=(3, *SHAPE))
    data = (planes(x, y, 6e4, 3.2, RED) + np.array(SKY)[:, None, None] + noise).astype(np.float32)
    found = measure_stars(data, None, SIGMA, 65535.0)
    assert found.fwhm == pytest.approx(3.2, rel=0.03)
    truth, index = matched(found.stars, x, y)
    assert len(truth) == len(x)
    np.testing.assert_allclose(np.median(found.stars.flux[index], axis=0), 6e4 * np.array(RED), atol=300)


@pytest.mark.parametrize(("colour", "bias"), [(WHITE, 0.03), (RED, 0.05), (RED[::-1], 0.05)])
@pytest.mark.parametrize("fwhm", [2.2, 3.5])
def test_places(colour, bias, fwhm):
    """Error as the S/N says, and none that depends on the phase of the filter array."""
    rng = np.random.default_rng(3)
    shape = (800, 1000)
    x, y = grid(rng, shape, 40)
    raw = sensor(planes(x, y, rng.uniform(8e3, 1.5e5, len(x)), fwhm, colour, shape), rng)
    found = measure_stars(raw, "GRBG", SIGMA, 65535.0)
    truth, index = matched(found.stars, x, y)
    stars = found.stars
    use = stars.snr[index] > 8
    truth, index = truth[use], index[use]
    dx, dy = stars.x[index] - x[truth], stars.y[index] - y[truth]
    for error in (dx, dy):
        allowed = np.hypot(1.3 * 0.42 * fwhm / stars.snr[index], 0.02)
        assert np.sqrt(np.mean((error / allowed) ** 2)) < 1.0
    bright = stars.snr[index] > 40
    assert bright.sum() > 100
    for error, place in ((dx, x), (dy, y)):
        phase = (place[truth] % 2 // 0.5).astype(int)
        for quarter in range(4):
            assert abs(error[bright & (phase == quarter)].mean()) < bias


def test_flux_does_not_depend_on_the_seeing():
    colour = (0.7, 1.0, 0.6)
    flux = []
    for fwhm, seed in ((2.2, 4), (4.1, 5)):
        rng = np.random.default_rng(6)
        x, y = grid(rng, (800, 1000), 40)
        raw = sensor(planes(x, y, 8e4, fwhm, colour, (800, 1000)), np.random.default_rng(seed), noise=0.3)
        found = measure_stars(raw, "GRBG", tuple(0.3 * s for s in SIGMA), 65535.0)
        truth, index = matched(found.stars, x, y)
        assert len(truth) == 400
        flux.append(found.stars.flux[index].mean(axis=0))
    np.testing.assert_allclose(flux[0] / flux[1], 1.0, atol=0.005)
    np.testing.assert_allclose(flux[1] / (8e4 * np.array(colour)), 1.0, atol=0.005)


def test_flux_error_is_the_scatter():
    x, y = grid(np.random.default_rng(7))
    light = planes(x, y, 5e4, 3.5)
    runs = []
    for seed in range(8):
        found = measure_stars(sensor(light, np.random.default_rng(seed)), "GRBG", SIGMA, 65535.0)
        truth, index = matched(found.stars, x, y)
        assert len(truth) == len(x)
        runs.append(found.stars.flux[index])
    np.testing.assert_allclose(np.std(runs, axis=0, ddof=1).mean(axis=0), found.stars.flux_err[0], rtol=0.08)


@pytest.mark.parametrize("fwhm", [2.0, 3.5])
def test_hot_pixels_are_no_stars_and_sharp_stars_are(fwhm):
    rng = np.random.default_rng(8)
    shape = (800, 1000)
    x, y = grid(rng, shape, 50)
    flux = rng.uniform(1e4, 2e5, len(x))
    raw = sensor(planes(x, y, flux, fwhm, shape=shape), rng)
    clean = measure_stars(raw, "GRBG", SIGMA, 65535.0)
    hot = rng.integers(0, raw.size, 800)
    raw.flat[hot] += (10 ** rng.uniform(np.log10(8), np.log10(600), 800) * 89).astype(np.float32)
    bad = damaged_pixels(raw, "GRBG", SIGMA)
    found = measure_stars(repaired(raw, "GRBG", bad), "GRBG", SIGMA, 65535.0, bad)
    assert len(matched(clean.stars, x, y)[0]) == len(x)
    truth, index = matched(found.stars, x, y)
    assert len(truth) >= len(x) - 2  # a hot pixel may sit in a star's core
    assert len(found.stars) - len(np.unique(index)) <= 2
    assert found.fwhm == pytest.approx(fwhm, rel=0.03)


def test_no_false_stars_on_sky_noise():
    raw = sensor(np.zeros((3, 800, 1000)), np.random.default_rng(9))
    assert len(measure_stars(raw, "GRBG", SIGMA, 65535.0).stars) <= 1


def test_nothing_at_all():
    found = measure_stars(np.full((64, 64), 500, np.float32), "GRBG", SIGMA, 65535.0)
    assert len(found.stars) == 0
    assert found.stars.flux.shape == (0, 3)
    assert np.isnan(found.fwhm)


def test_saturated_and_blended_are_said():
    rng = np.random.default_rng(10)
    x, y = grid(rng)
    flux = np.full(len(x), 4e4)
    flux[11] = 4e6
    light = planes(np.append(x, x[22] + 5), np.append(y, y[22] + 3), np.append(flux, 2e4), 3.5)
    raw = np.minimum(sensor(light, rng), 65535)
    stars = measure_stars(raw, "GRBG", SIGMA, 65535.0).stars
    truth, index = matched(stars, x, y)
    assert len(truth) == len(x)
    assert np.flatnonzero(stars.saturated[index]).tolist() == [11]
    assert np.flatnonzero(stars.blended[index]).tolist() == [22]


def test_stars_that_touch_the_border_are_said():
    rng = np.random.default_rng(11)
    x, y = grid(rng)
    x[0], y[0] = 3.0, 100.3
    stars = measure_stars(sensor(planes(x, y, 5e4, 3.5), rng), "GRBG", SIGMA, 65535.0).stars
    truth, index = matched(stars, x, y)
    assert truth[stars.blended[index]].tolist() == [0]


@pytest.mark.parametrize(("stretch", "low", "high"), [(1.0, 1.0, 1.08), (1.5, 1.4, 1.6), (3.0, 2.6, 3.4)])
def test_elongation(stretch, low, high):
    rng = np.random.default_rng(12)
    x, y = grid(rng)
    found = measure_stars(sensor(planes(x, y, 1e5, 3.5, stretch=stretch), rng), "GRBG", SIGMA, 65535.0)
    assert low <= found.elongation <= high


def test_a_dense_field_keeps_the_brightest_and_some_everywhere():
    rng = np.random.default_rng(13)
    shape = (800, 1000)
    n = 2500
    x, y = rng.uniform(10, 990, n), rng.uniform(10, 790, n)
    flux = 4e3 * rng.random(n) ** -0.8 * np.where(x < 300, 8, 1)  # the left of the frame is much brighter
    stars = measure_stars(sensor(planes(x, y, flux, 3.0, shape=shape), rng), "GRBG", SIGMA, 65535.0).stars
    assert 380 <= len(stars) <= 400
    assert np.all(np.diff(stars.snr) <= 0)
    counts = np.histogram2d(stars.y, stars.x, bins=(4, 5), range=((0, 800), (0, 1000)))[0]
    assert counts.min() >= 4
    brightest = np.argsort(-flux)[:30]
    truth, _ = matched(stars, x[brightest], y[brightest], 3.0)
    assert len(truth) >= 27
