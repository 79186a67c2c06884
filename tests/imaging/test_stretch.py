"""The preview's tone on synthetic mosaics whose sky, noise and colours are known."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from zemosaic.imaging import grain
from zemosaic.imaging.display import block_mean, midtones
from zemosaic.imaging.stretch import BACKGROUND, autostretch, measure_tone

RAW_SKY = np.array([842.0, 996.0, 794.0])  # ADU, a real S50 sub: green cast
RESPONSE = np.array([0.31, 0.44, 0.25]) * 3  # of a white star on the same camera
NOISE = np.array([18.0, 14.0, 17.0])  # ADU


def psf_stars(shape, rng, count, colours, fluxes):
    """(3, h, w) image of round stars of FWHM 3.5 px."""
    points = np.zeros((3, *shape))
    y, x = rng.integers(12, shape[0] - 12, count), rng.integers(12, shape[1] - 12, count)
    for c in range(3):
        np.add.at(points[c], (y, x), fluxes * colours[:, c])
    return np.stack([ndimage.gaussian_filter(p, 1.5) for p in points]), y, x


def raw_mosaic(shape=(400, 500), seed=1, nebula=0.0, nebula_colour=(1.0, 0.25, 0.3), n_stars=150, noise=1.0):
    """A mosaic as the assembly gives it: raw colours, uneven weight, a margin without data."""
    rng = np.random.default_rng(seed)
    colours = np.exp(rng.normal(0, 0.15, (n_stars, 3)))
    colours /= colours.mean(axis=1, keepdims=True)
    fluxes = 10 ** rng.uniform(3.5, 5.5, n_stars)
    stars, y, x = psf_stars(shape, rng, n_stars, colours, fluxes)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    cloud = nebula * np.exp(-(((yy - 200) / 60) ** 2) - ((xx - 330) / 60) ** 2)
    weight = np.ones(shape, np.float32)
    weight[:, :40] = 0.1
    weight[:15] = 0
    light = stars + cloud * np.array(nebula_colour)[:, None, None]
    grain = rng.normal(size=(3, *shape)) / np.sqrt(np.maximum(weight, 1e-9)) * noise
    data = RAW_SKY[:, None, None] + light * RESPONSE[:, None, None] + grain * NOISE[:, None, None]
    data = np.where(weight > 0, data, np.nan).astype(np.float32)
    return data, weight, light, (y, x)


def dark_pixels(light, weight):
    """Where the truth is sky alone, and the coverage typical."""
    return (light.max(axis=0) < 1) & (weight == 1)


def test_sky_is_neutral_dark_grey_at_the_asked_level():
    data, weight, light, _ = raw_mosaic()
    picture = autostretch(data, weight)
    sky = picture[dark_pixels(light, weight)]
    levels = sky.astype(float).mean(axis=0)
    assert np.ptp(np.median(sky, axis=0)) <= 2
    assert np.ptp(levels) <= 2
    assert np.median(sky) == pytest.approx(255 * BACKGROUND, abs=2)


def test_asked_background_level_is_met():
    data, weight, light, _ = raw_mosaic()
    sky = autostretch(data, weight, background=0.2)[dark_pixels(light, weight)]
    assert np.median(sky) == pytest.approx(51, abs=2)


def test_almost_nothing_is_clipped():
    data, weight, _, _ = raw_mosaic(nebula=800)
    picture = autostretch(data, weight)[weight > 0]
    assert np.all((picture == 0).mean(axis=0) < 0.005)
    assert np.all((picture == 255).mean(axis=0) < 0.005)


def test_sky_level_is_that_of_the_sky_although_nebulosity_fills_half_the_picture():
    data, weight, _, _ = raw_mosaic()
    ramp = np.clip((np.arange(500) - 250) * 2.0, 0, None).astype(np.float32)
    tone = measure_tone(data + ramp, weight)
    assert np.abs(np.array(tone.sky) - RAW_SKY).max() < 3  # noise 14 to 18


def test_white_balance_makes_the_mean_star_grey():
    data, weight, _, _ = raw_mosaic(nebula=500)
    tone = measure_tone(data, weight)
    white = np.array(tone.balance) * RESPONSE
    assert white / white.mean() == pytest.approx(np.ones(3), abs=0.05)


def test_stars_keep_their_colours_and_none_is_green():
    data, weight, _, (y, x) = raw_mosaic(n_stars=60, seed=3)
    picture = autostretch(data, weight).astype(float)
    r, g, b = picture[y, x].T
    assert np.median(g - 0.5 * (r + b)) == pytest.approx(0, abs=8)
    truth = raw_mosaic(n_stars=60, seed=3)[2][:, y, x]
    shown = np.log((r + 1) / (b + 1))
    assert np.corrcoef(shown, np.log(truth[0] / truth[2]))[0, 1] > 0.8


def test_red_nebula_stays_red():
    data, weight, _, _ = raw_mosaic(nebula=400)
    picture = autostretch(data, weight).astype(float)
    r, g, b = np.median(picture[190:210, 320:340].reshape(-1, 3), axis=0)
    assert r > 1.3 * g
    assert r > 1.3 * b
    assert r < 250


def test_core_of_a_galaxy_keeps_structure():
    data, weight, _, _ = raw_mosaic(nebula=0)
    yy, xx = np.mgrid[:400, :500]
    radius = np.hypot(yy - 200, xx - 330)
    data += (3000 * np.exp(-radius / 8)).astype(np.float32)
    picture = autostretch(data, weight).astype(float).mean(axis=2)
    rings = [picture[(radius >= r) & (radius < r + 2)].mean() for r in (2, 8, 14, 20, 30)]
    assert all(inner > outer + 5 for inner, outer in zip(rings, rings[1:]))
    assert rings[0] < 250


def test_no_coloured_or_noisy_border():
    """A strip with ten times the variance is shown with hardly more grain than the rest, and in the same grey."""
    data, weight, light, _ = raw_mosaic(n_stars=30)
    picture = autostretch(data, weight).astype(float)
    inside = picture[dark_pixels(light, weight)]
    strip = picture[(weight > 0) & (weight < 1) & (light.max(axis=0) < 1)]
    assert np.abs(strip.mean(axis=0) - inside.mean(axis=0)).max() < 5
    assert strip.std(axis=0).max() < 1.6 * inside.std(axis=0).max()  # 3.2 in the data


def test_grain_does_not_tell_how_many_frames_there_are():
    """A third of the frames: shown with the grain of the rest at half size, and a nebula goes on across the border."""
    data, weight, light, _ = raw_mosaic(n_stars=0, nebula=60)
    rng = np.random.default_rng(7)
    thin = np.zeros(weight.shape, bool)
    thin[:, 330:] = weight[:, 330:] > 0
    weight[thin] = 1 / 3
    data[:, thin] += rng.normal(size=(3, thin.sum())) * NOISE[:, None] * np.sqrt(2)
    picture = autostretch(data, weight).astype(float).mean(axis=2)
    half = picture.reshape(200, 2, 250, 2).mean(axis=(1, 3))
    dark = (light.max(axis=0) < 1)[::2, ::2]
    here = np.zeros(half.shape, bool)
    here[:, 172:], inside = dark[:, 172:], dark.copy()
    here[:10], inside[:10], inside[:, :25], inside[:, 158:] = False, False, False, False
    assert half[here].std() < 1.25 * half[inside].std()
    across = half[85:115].mean(axis=0)  # the nebula is symmetric about the border
    np.testing.assert_allclose(across[170:190], across[159:139:-1], atol=4)


def test_uncovered_is_black():
    data, weight, _, _ = raw_mosaic()
    data[1, 100:120, 100:120] = np.nan
    picture = autostretch(data, weight)
    assert not picture[:15].any()
    assert not picture[100:120, 100:120].any()
    assert picture[weight > 0].any(axis=1).mean() > 0.99


def test_arguments_are_left_alone():
    data, weight, _, _ = raw_mosaic()
    before = data.copy(), weight.copy()
    autostretch(data, weight)
    assert np.array_equal(data, before[0], equal_nan=True)
    assert np.array_equal(weight, before[1])


def test_bands_do_not_show(monkeypatch):
    data, weight, _, _ = raw_mosaic(nebula=400)
    banded = autostretch(data, weight)
    monkeypatch.setattr(grain, "BAND_ROWS", 10_000)
    assert np.abs(banded.astype(int) - autostretch(data, weight)).max() <= 1


def test_overwriting_gives_the_same_picture():
    data, weight, _, _ = raw_mosaic()
    expected = autostretch(data, weight)
    assert np.array_equal(autostretch(data, weight, overwrite=True), expected)


def test_memory_at_the_peak():
    """Bytes a pixel of three channels, data and weight included; the bands take more of a small picture."""
    rng = np.random.default_rng(2)
    data = rng.normal(100, 10, (3, 1000, 1000)).astype(np.float32)
    data[:, 20::40, 20::40] += 500
    weight = np.ones((1000, 1000), np.float32)
    tracemalloc.start()
    autostretch(data, weight, overwrite=True)
    peak = tracemalloc.get_traced_memory()[1] + data.nbytes + weight.nbytes
    tracemalloc.stop()
    assert peak < 48 * weight.size


def test_mono():
    data, weight, light, _ = raw_mosaic(nebula=300)
    picture = autostretch(data[1:2], weight)
    assert picture.shape == weight.shape
    assert np.median(picture[dark_pixels(light, weight)]) == pytest.approx(255 * BACKGROUND, abs=2)
    assert picture[195:205, 325:335].mean() > 2.3 * 255 * BACKGROUND  # 7 sigma a pixel


def test_scale_and_offset_of_the_data_do_not_matter():
    data, weight, _, _ = raw_mosaic()
    other = autostretch(data * np.float32(1e-3) - 7, weight * np.float32(1e6))
    difference = other.astype(int) - autostretch(data, weight)
    assert np.abs(difference).max() <= 2


def test_too_few_stars_leave_the_balance_alone():
    data, weight, _, _ = raw_mosaic(n_stars=3, nebula=300)
    assert measure_tone(data, weight).balance == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_empty_and_constant_mosaics(channels):
    weight = np.ones((20, 30), np.float32)
    nothing = np.full((channels, 20, 30), np.nan, np.float32)
    assert not autostretch(nothing, weight).any()
    assert not autostretch(nothing * 0 + 5, weight * 0).any()
    flat = autostretch(np.full((channels, 20, 30), 5, np.float32), weight)
    assert np.all(flat == round(255 * BACKGROUND))


def test_one_bright_pixel_on_a_flat_sky():
    data = np.zeros((3, 20, 30), np.float32)
    data[:, 10, 10] = 1000
    picture = autostretch(data, np.ones((20, 30), np.float32))
    assert np.all(picture[10, 10] == 255)
    assert np.all(picture[0, 0] == round(255 * BACKGROUND))


def test_wild_pixels_are_drawn_without_complaint():
    data, weight, _, _ = raw_mosaic()
    expected = autostretch(data, weight)
    data[:, 200, 250] = -1e6, 1e6, 100
    data[:, 220, 250] = -1e7
    picture = autostretch(data, weight)
    far = np.ones(weight.shape, bool)
    far[150:270, 200:300] = False
    assert np.abs(picture.astype(int) - expected)[far].max() <= 10  # the white point moved by one star
    assert picture[220, 250].max() <= 255 * BACKGROUND


def test_single_pixels_of_a_single_frame_are_no_black_or_coloured_specks():
    rng = np.random.default_rng(5)
    weight = np.full((160, 240), 16.0, np.float32)
    weight[:, 180:] = 1.0
    data = (rng.normal(0, 1, (3, 160, 240)) / np.sqrt(weight)).astype(np.float32)
    for k, (y, x) in enumerate((y, x) for y in range(20, 140, 15) for x in (190, 205, 220, 230)):
        if k % 4 < 3:
            data[k % 4, y, x] = (-7.0, 7.0)[k % 2]
        else:
            data[:, y, x] = -6.0
    picture = autostretch(data, weight).astype(int)
    assert picture[:, 188:232].max(axis=-1).min() > 5  # 0 without the limit
    colour = picture.max(axis=-1) - picture.min(axis=-1)
    assert colour[20:140, 188:232].max() <= 2 * colour[20:140, 20:170].max()  # 26 and 18; 160 with the same evidence


def test_midtones_transfer_function():
    """Its three fixed points, and PixInsight's own inversion for the sky."""
    m = 0.07
    assert midtones(np.array([0, m, 1], np.float32), m) == pytest.approx([0, 0.5, 1])
    sky = np.array([0.003], np.float32)
    assert midtones(sky, float(midtones(sky, 0.25)[0])) == pytest.approx([0.25])


def test_block_mean_against_a_slow_twin():
    rng = np.random.default_rng(5)
    data = rng.normal(100, 10, (17, 23)).astype(np.float32)
    weight = rng.uniform(0, 2, (17, 23)).astype(np.float32)
    data[rng.random(data.shape) < 0.2] = np.nan
    data[:4, :4] = np.nan
    weight[8:12, 8:12] = 0
    weight[12, 12] = np.nan
    mean, total = block_mean(data, weight, 4)
    assert mean.shape == total.shape == (5, 6)
    for j in range(5):
        for i in range(6):
            d, w = data[4 * j : 4 * j + 4, 4 * i : 4 * i + 4], weight[4 * j : 4 * j + 4, 4 * i : 4 * i + 4]
            good = np.isfinite(d) & (w > 0)
            assert total[j, i] == pytest.approx(w[good].sum(), rel=1e-5)
            expected = (d[good].astype(float) * w[good]).sum() / w[good].sum() if good.any() else np.nan
            assert mean[j, i] == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_block_mean_of_single_pixels_only_marks_what_has_no_data():
    data = np.array([[1, np.nan, 3]], np.float32)
    mean, total = block_mean(data, np.array([[2, 1, 0]], np.float32), 1)
    np.testing.assert_array_equal(mean, [[1, np.nan, np.nan]])
    np.testing.assert_array_equal(total, [[2, 0, 0]])
