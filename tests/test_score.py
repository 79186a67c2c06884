"""An ideal mosaic scores well, and every planted defect is seen by its own figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header
from scipy import ndimage

from zemosaic.catalogue import load_catalogue
from zemosaic.errors import InputError
from zemosaic.fits_writer import write_fits
from zemosaic.imaging.demosaic import bilinear
from zemosaic.imaging.projection import pixel_area, pixel_to_sky, sky_to_pixel
from zemosaic.model import Solution
from zemosaic.score import Metric, Score, judge, score
from zemosaic.score.scene import BOX, Scene, pixels_of
from zemosaic.score.starlight import zonal_error
from zemosaic.simulate import NightPlan
from zemosaic.simulate.camera import expected, raw_frame, response, transparency, unit_coordinates
from zemosaic.simulate.night import imagine
from zemosaic.simulate.truth import Truth, save_truth

# brighter stars and finer photons than a Seestar has: a small field then holds enough stars of S/N > 200
PLAN = NightPlan(
    width=320,
    height=400,
    subs=32,
    zero_point=24.5,
    gain=0.5,
    star_density=2500.0,
    faintest=14.5,
    satellites=0.3,
    rotation=4.0,
)
FWHM = 3.45  # px, of the stars in the ideal mosaic
SCALE = (0.8, 0.9, 1.1)
BACKGROUND = {"background, rms", "background, rms without plane"}


def ideal(truth: Truth, shift: float = 0.0) -> Scene:
    """The best mosaic that the night allows, independent pixels, `shift` px to the right of the truth."""
    step, shape = truth.plan.scale / 3600, (790, 640)
    wcs = Solution(truth.plan.ra, truth.plan.dec, 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1), (-step, 0, 0, step))
    scene = Scene(truth, replace(wcs, x=wcs.x + shift), np.zeros((3, *shape), np.float32), None)
    rng, data = np.random.default_rng(11), np.empty((3, *shape), np.float32)
    seen = scene.depth.frames.sum(axis=0)
    frames = pixels_of(seen, shape)
    for channel, scale in enumerate(SCALE):
        sky = pixels_of(BOX / np.sqrt(np.maximum(scene.depth.information[channel], 1e-12)), shape)
        stars = scene.starlight(channel, FWHM)
        photons = stars / truth.plan.gain / (0.4 if channel == 1 else 0.2) / np.maximum(frames, 1)
        noise = np.sqrt(sky**2 + photons) * rng.standard_normal(shape)
        data[channel] = scale * (scene.nebula[channel] + stars + noise) + 40.0
    data[:, frames == 0] = np.nan
    return Scene(truth, wcs, data, None)


def combined(truth: Truth) -> Scene:
    """A plain mosaic of raw frames: corrections, footprints and damaged pixels from the truth, cubic splines, a mean."""
    plan, step, shape = truth.plan, truth.plan.scale / 3600, (790, 640)
    wcs = Solution(plan.ra, plan.dec, 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1), (-step, 0, 0, step))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float)
    ra, dec, area = *pixel_to_sky(wcs, x, y), pixel_area(wcs, x, y)
    (u, v), hot = unit_coordinates(plan), truth.hot[0]
    flat = response(truth.instruments[0].response, u * u + v * v)
    total, weights = np.zeros((3, *shape)), np.zeros(shape)
    for index, sub in enumerate(truth.subs):
        raw = raw_frame(truth, sub, np.random.default_rng(index)).astype(np.float32)
        whole, clean = expected(truth, sub), expected(truth, replace(sub, trail=None))
        damaged = whole - clean > 0.5
        damaged[hot.y, hot.x] = True
        clean[hot.y, hot.x] -= hot.brightness
        raw[damaged] = clean[damaged]
        colours = bilinear(raw, plan.bayer)
        px, py = sky_to_pixel(sub.solution, ra, dec)
        inside = (px >= 2) & (px <= plan.width - 3) & (py >= 2) & (py <= plan.height - 3)
        omega = (area / pixel_area(sub.solution, px, py))[inside]
        weight = (sub.transparency / sub.noise[1]) ** 2
        weights[inside] += weight
        for channel, (c0, c1, c2) in enumerate(sub.sky):
            light = (colours[..., channel] / flat - c0 - c1 * u - c2 * v) / transparency(sub, u, v)
            values = ndimage.map_coordinates(light, [py[inside], px[inside]], order=3)
            total[channel][inside] += weight * omega * values
    data = np.where(weights > 0, total / np.maximum(weights, 1e-9), np.nan).astype(np.float32)
    return Scene(truth, wcs, data, None)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return imagine(PLAN, load_catalogue())


@pytest.fixture(scope="module")
def scene(truth) -> Scene:
    return ideal(truth)


@pytest.fixture(scope="module")
def perfect(scene) -> Score:
    return judge(scene)


def missed(result: Score) -> set[str]:
    return {metric.name for metric in result.metrics if not metric.ok}


def test_ideal_mosaic_meets_all_goals(perfect):
    assert missed(perfect) == set(), perfect.table()
    assert perfect["noise efficiency"] == pytest.approx(1.0, abs=0.07)
    assert perfect["scale"] == pytest.approx(SCALE[1], rel=0.01)
    assert perfect["outliers"] < 20
    assert not any(np.isnan(metric.value) for metric in perfect.metrics), perfect.table()


def test_raw_frames_combined_with_the_truth_meet_all_goals():
    """Simulator and score agree on every convention: what is known of each sub turns raw frames into the true sky."""
    truth = imagine(replace(PLAN, subs=16), load_catalogue())
    scene = combined(truth)
    result = judge(scene)
    noisy = {
        "background, rms": 1.0,
        "background, rms without plane": 1.0,
        "zonal error": 8.0,
        "step between panels": 0.15,
        "FWHM over that of the subs": 1.1,  # debayered bilinearly, red and blue
    }
    assert missed(result) <= set(noisy), result.table()  # 16 small subs leave noise in cells and a few stars in zones
    assert all(result[name] < limit for name, limit in noisy.items()), result.table()
    assert result["scale"] == pytest.approx(1.0, abs=0.005)
    # bilinear demosaicing and the spline average over more than the 8 x 8 px of a box: better than its own pixels
    assert 1.0 < result["noise efficiency"] < 1.3
    assert result["FWHM over that of the subs"] > 1.02


def test_shift_is_seen_by_the_astrometry(truth, perfect):
    shifted = judge(ideal(truth, shift=0.3 / PLAN.scale))
    assert missed(shifted) == {"astrometry, median"}, shifted.table()
    assert shifted["astrometry, median"] == pytest.approx(0.3, abs=0.05)


def test_gain_error_on_a_quarter_is_seen_by_the_photometry(scene, perfect):
    data = scene.data.copy()
    data[:, :395, :320] = 40.0 + 1.1 * (data[:, :395, :320] - 40.0)
    result = judge(replace(scene, data=data))
    assert result["photometry, rms"] > max(15.0, 3 * perfect["photometry, rms"])
    assert missed(result) <= {
        "photometry, rms",
        "photometry, 1.48 MAD",
        "zonal error",
        "step between panels",
        "noise efficiency",  # 10 % off the scale is 20 % of the variance there
        *BACKGROUND,
    }
    assert result["zonal error"] > 15.0


def test_step_is_seen_as_a_step(scene, perfect):
    frames = scene.depth.frames
    share = frames[0] / np.maximum(frames.sum(axis=0), 1)
    noise = PLAN.sky_noise / 4.0
    step = ndimage.zoom(share, BOX, order=1)[: scene.shape[0], : scene.shape[1]].astype(np.float32)
    padded = np.pad(step, [(0, scene.shape[0] - step.shape[0]), (0, scene.shape[1] - step.shape[1])], mode="edge")
    result = judge(replace(scene, data=scene.data + noise * padded))
    assert result["step between panels"] > 0.4
    assert missed(result) <= {"step between panels", *BACKGROUND}, result.table()


def test_tilt_is_background_and_goes_with_the_plane(scene, perfect):
    tilt = np.linspace(-10.0, 10.0, scene.shape[1], dtype=np.float32)
    result = judge(replace(scene, data=scene.data + tilt))
    assert missed(result) <= {"background, rms"}
    assert result["background, rms"] > 1.5
    assert result["background, rms without plane"] < 1.3 * perfect["background, rms without plane"]


@pytest.mark.parametrize(("off", "name"), [(0.0, "satellite trails, on axis"), (4.0, "satellite trails, 3-5 px off")])
def test_trail_left_over(scene, off, name):
    data = scene.data.copy()
    for sub in scene.truth.subs:
        for side in (-off, off):
            x, y = (np.rint(axis).astype(int) for axis in scene.trail_line(sub, side))
            for d in (-1, 0, 1):
                inside = (x + d >= 0) & (x + d < scene.shape[1]) & (y >= 0) & (y < scene.shape[0])
                data[:, y[inside], x[inside] + d] += 12.0
    result = judge(replace(scene, data=data))
    assert result[name] > 0.3
    trails = {"satellite trails, on axis", "satellite trails, 3-5 px off", "outliers"}
    assert missed(result) <= {*trails, "step between panels", *BACKGROUND}, result.table()  # they lift their panels


def test_hot_pixels_left_over(scene):
    data = scene.data.copy()
    for sub in scene.truth.subs:
        hot = scene.truth.hot[0]
        strong = hot.brightness > 6 * PLAN.sky_noise
        x, y = sky_to_pixel(scene.wcs, *pixel_to_sky(sub.solution, hot.x[strong], hot.y[strong]))
        i, j = np.rint(x).astype(int), np.rint(y).astype(int)
        inside = (i >= 0) & (i < scene.shape[1]) & (j >= 0) & (j < scene.shape[0])
        data[:, j[inside], i[inside]] += 12.0
    result = judge(replace(scene, data=data))
    assert missed(result) == {"hot pixels, on"}, result.table()


def test_blur_and_noise(scene, perfect):
    sigma = 1.0
    valid = np.isfinite(scene.data)
    blurred = ndimage.gaussian_filter(np.where(valid, scene.data, 40.0), (0, sigma, sigma))
    result = judge(replace(scene, data=np.where(valid, blurred, np.nan).astype(np.float32)))
    assert result["FWHM over that of the subs"] == pytest.approx(
        np.hypot(FWHM, 2.2 * sigma) / FWHM * perfect["FWHM over that of the subs"], rel=0.06
    )
    assert "FWHM over that of the subs" in missed(result)
    noise = np.random.default_rng(1).normal(0, PLAN.sky_noise / 2.0, scene.data.shape).astype(np.float32)
    noisy = judge(replace(scene, data=scene.data + noise))
    assert noisy["noise efficiency"] < 0.7


def test_isolated_outliers_are_counted(scene, perfect):
    rng, data = np.random.default_rng(4), scene.data.copy()
    data[:, rng.integers(100, 690, 200), rng.integers(100, 540, 200)] += 400.0
    megapixels = data[0].size / 1e6
    result = judge(replace(scene, data=data))
    assert 100 / megapixels < result["outliers"] - perfect["outliers"] < 400 / megapixels


def test_files(truth, scene, perfect, tmp_path):
    step = PLAN.scale / 3600
    header = Header(
        [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CRVAL1", PLAN.ra), ("CRVAL2", PLAN.dec)]
        + [("CRPIX1", scene.wcs.x + 1), ("CRPIX2", scene.wcs.y + 1), ("CDELT1", -step), ("CDELT2", step)]
    )
    mosaic: Path = tmp_path / "m.fits"
    save_truth(tmp_path / "truth.json", truth)
    write_fits(mosaic, header, scene.data.shape, [scene.data])
    coverage = pixels_of(scene.depth.frames.sum(axis=0), scene.shape).astype(np.uint16)
    write_fits(tmp_path / "m_coverage.fits", Header(), coverage.shape, [coverage], np.uint16)
    read = score(mosaic, tmp_path)
    for metric, known in zip(read.metrics, perfect.metrics, strict=True):
        assert metric.value == pytest.approx(known.value, rel=0.02, abs=0.01), metric.name
    write_fits(mosaic, header, scene.data[0].shape, [scene.data[0]])
    with pytest.raises(InputError, match="colour mosaic"):
        score(mosaic, tmp_path)


def test_metric_verdicts():
    assert Metric("a", 0.1, goal=0.2).ok
    assert not Metric("a", -0.3, goal=0.2).ok
    assert Metric("a", 1.2, goal=0.9, at_least=True).ok
    assert not Metric("a", 0.8, goal=0.9, at_least=True).ok
    assert Metric("a", float("nan"), goal=0.2).ok
    text = Score((Metric("a", -0.3, goal=0.2), Metric("b", float("nan"), goal=0.2))).table()
    assert "MISSED" in text
    assert "n/a" in text and "nan" not in text
    assert "too few stars or too little sky for it: b." in text and "Goals missed (exit code 1): a." in text
    assert "met (exit code 0)" in Score((Metric("a", 0.1, goal=0.2),)).table()


def test_zones_are_told_from_the_scatter_of_stars():
    rng = np.random.default_rng(1)
    zone, error = np.repeat(np.arange(40), 6), rng.uniform(3.0, 12.0, 240)
    noise = 1.3 * error * rng.standard_normal(240)  # errors are a third larger than stated
    noise[::50] += 300.0
    assert zonal_error(noise, error, zone) < 2.0
    assert zonal_error(noise + 8.0 * rng.standard_normal(40)[zone], error, zone) == pytest.approx(8.0, rel=0.3)
    assert np.isnan(zonal_error(noise[:12], error[:12], zone[:12]))
