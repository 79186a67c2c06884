from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.time import Time

from zemosaic.catalogue import load_catalogue
from zemosaic.errors import Cancelled, InputError, OutputError, SettingsError
from zemosaic.events import PhaseFinished, PhaseProgress, Silent
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.projection import angular_separation, pixel_to_sky, sky_to_pixel
from zemosaic.simulate import NightPlan, load_truth, simulate_night
from zemosaic.simulate.calibration import CalibrationShot, shoot
from zemosaic.simulate.camera import (
    dark_light,
    expected,
    raw_frame,
    response,
    sensitivity,
    transparency,
    unit_coordinates,
)
from zemosaic.simulate.night import imagine
from zemosaic.simulate.truth import Truth

SMALL = NightPlan(width=320, height=400, subs=8)
PLAIN = replace(SMALL, nebula=0.0, hot_density=0.0, warm_density=0.0, satellites=0.0, star_density=0.0)


def truth_of(plan: NightPlan) -> Truth:
    return imagine(plan, load_catalogue())


def frame_of(truth: Truth, index: int = 0) -> np.ndarray:
    return raw_frame(truth, truth.subs[index], np.random.default_rng([truth.plan.seed, 1, index])).astype(float)


class Recorder:
    def __init__(self, stop_after: int = 10**9) -> None:
        self.events: list = []
        self.stop_after = stop_after

    def emit(self, event) -> None:
        self.events.append(event)

    def cancelled(self) -> bool:
        return sum(isinstance(event, PhaseProgress) for event in self.events) >= self.stop_after


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulate_night(tmp_path_factory.mktemp("night"), SMALL, Silent())


def test_same_plan_same_bytes_whatever_the_executor(night, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        again = simulate_night(tmp_path, SMALL, Silent(), pool)
    assert [path.name for path in again.subs] == [path.name for path in night.subs]
    for first, second in zip(night.subs, again.subs, strict=True):
        assert first.read_bytes() == second.read_bytes()
    other = simulate_night(tmp_path, replace(SMALL, seed=2, subs=1), Silent())
    assert other.subs[0].read_bytes() != night.subs[0].read_bytes()


def test_files_look_like_a_seestar(night):
    truth = load_truth(night.truth)
    for path, sub in zip(night.subs, truth.subs, strict=True):
        with fits.open(path) as hdus:
            header, data = hdus[0].header, hdus[0].data
        assert path.name.startswith("Light_mosaic_Sim 1_10.0s_IRCUT_20250326-21")
        assert data.dtype == np.uint16
        assert data.shape == (400, 320)
        assert not [key for key in header if key.startswith(("CTYPE", "CRVAL", "CD1_", "PC1_"))]
        for key, value in {"BAYERPAT": "GRBG", "FOCALLEN": 250, "INSTRUME": "Seestar S50", "IMAGETYP": "Light",
                           "TELESCOP": "S50_1d3fe189", "GAIN": 80, "EXPOSURE": 10.0, "FILTER": "IRCUT"}.items():  # fmt: skip
            assert header[key] == value
        of_date = SkyCoord(header["RA"], header["DEC"], unit="deg", frame=FK5(equinox=Time(header["DATE-OBS"])))
        middle = SkyCoord(sub.solution.ra, sub.solution.dec, unit="deg")
        assert middle.separation(of_date).arcmin < SMALL.pointing_error + 1.5 * SMALL.dither * SMALL.scale / 60
        as_j2000 = SkyCoord(header["RA"], header["DEC"], unit="deg")
        assert middle.separation(as_j2000).arcmin > 5.0


def test_truth_survives_the_file(night):
    drawn, read = truth_of(SMALL), load_truth(night.truth.parent)
    assert (drawn.plan, drawn.subs, drawn.instruments) == (read.plan, read.subs, read.instruments)
    assert np.array_equal(drawn.stars.flux, read.stars.flux)
    assert np.array_equal(drawn.nebula.data, read.nebula.data)
    assert np.array_equal(drawn.hot[0].x, read.hot[0].x)


def test_truth_errors_in_words(tmp_path):
    with pytest.raises(InputError, match="no truth file"):
        load_truth(tmp_path)
    (tmp_path / "truth.json").write_text("{}")
    with pytest.raises(InputError, match="not a truth file of this version"):
        load_truth(tmp_path)


def test_a_shorter_night_replaces_a_longer_one_and_nothing_else(tmp_path):
    tiny = replace(SMALL, width=64, height=64, subs=3)
    first = simulate_night(tmp_path, tiny, Silent())
    (first.lights / "mine.fit").write_text("keep")
    second = simulate_night(tmp_path, replace(tiny, subs=2), Silent())
    assert sorted(path.name for path in second.lights.iterdir()) == sorted([p.name for p in second.subs] + ["mine.fit"])


def test_progress_and_cancel(tmp_path):
    tiny, recorder = replace(SMALL, width=64, height=64, subs=3), Recorder()
    simulate_night(tmp_path / "a", tiny, recorder)
    assert sum(isinstance(event, PhaseProgress) for event in recorder.events) == 3
    assert isinstance(recorder.events[-1], PhaseFinished)
    with pytest.raises(Cancelled):
        simulate_night(tmp_path / "b", tiny, Recorder(stop_after=1))


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_stars_lie_where_the_truth_says_with_their_flux(index):
    plan = replace(PLAIN, sky=0.0, vignetting=0.0, panels_x=1, panels_y=1)
    truth = truth_of(plan)
    sub = truth.subs[index]
    x, y = sky_to_pixel(sub.solution, truth.stars.ra, truth.stars.dec)
    inside = (x > 30) & (x < plan.width - 30) & (y > 30) & (y < plan.height - 30)
    alone = [k for k in np.flatnonzero(inside) if np.sort(np.hypot(x - x[k], y - y[k]))[1] > 45]
    assert alone
    image, green = expected(truth, sub), cfa_colours(plan.bayer) == 1
    for k in alone:
        j0, i0 = (int(y[k]) - 14) // 2 * 2, (int(x[k]) - 14) // 2 * 2
        rows, columns = np.mgrid[j0 : j0 + 30, i0 : i0 + 30]
        light = np.where(np.tile(green, (15, 15)), image[rows, columns], 0.0)
        assert 2 * light.sum() / sub.transparency == pytest.approx(truth.stars.flux[k, 1], rel=0.01)
        assert (light * columns).sum() / light.sum() == pytest.approx(x[k], abs=0.06)
        assert (light * rows).sum() / light.sum() == pytest.approx(y[k], abs=0.06)


def test_vignetting_multiplies_the_sky_and_the_noise_is_photons_and_readout():
    plan = replace(PLAIN, zero_point=5.0)
    truth = truth_of(plan)
    sub, frame, model = truth.subs[1], frame_of(truth, 1), expected(truth, truth.subs[1])
    u, v = unit_coordinates(plan)
    flat = response(truth.instruments[0].response, u * u + v * v)
    c0, c1, c2 = sub.sky[0]
    red = (c0 + c1 * u + c2 * v) * flat
    assert np.allclose(model[0::2, 1::2], red[0::2, 1::2])
    assert flat[0, 0] == pytest.approx(0.88, abs=0.001)
    score = (frame - model) / np.sqrt(model / plan.gain + (plan.read_noise / plan.gain) ** 2)
    assert abs(score.mean()) < 4 / math.sqrt(score.size)
    assert score.std() == pytest.approx(1.0, abs=0.01)
    assert frame.std() > 30.0


def test_skies_are_curved_along_their_gradient():
    plan = replace(PLAIN, sky_curvature=0.05)
    truth = truth_of(plan)
    assert all(len(surface) == 3 for sub in truth_of(PLAIN).subs for surface in sub.sky)
    for sub in truth.subs:
        c0, c1, c2, c3, c4, c5 = sub.sky[1]
        assert c3 == -c5 and 0.69 < np.hypot(c3, 0.5 * c4) / (0.05 * c0) < 1.01
        way = np.array([c1, c2]) / np.hypot(c1, c2)
        assert way @ np.array([[c3, 0.5 * c4], [0.5 * c4, c5]]) @ way == pytest.approx(np.hypot(c3, 0.5 * c4))
    u, v = unit_coordinates(plan)
    flat = response(truth.instruments[0].response, u * u + v * v)
    c0, c1, c2, c3, c4, c5 = truth.subs[0].sky[1]
    sky = c0 + c1 * u + c2 * v + c3 * u * u + c4 * u * v + c5 * v * v
    ratio = (expected(truth, truth.subs[0]) / (sky * flat))[::2, ::2]
    assert np.mean(np.abs(ratio - 1.0) < 1e-6) > 0.9  # the rest are stars of the catalogue


def test_nebula_is_per_solid_angle_and_behind_the_transparency():
    plan = replace(PLAIN, nebula=200.0, zero_point=5.0, sky=0.0)
    truth = truth_of(plan)
    half = replace(truth.subs[0], transparency=0.5 * truth.subs[0].transparency)
    full = expected(truth, truth.subs[0])
    assert np.allclose(expected(truth, half), 0.5 * full)
    bigger = replace(half, solution=replace(half.solution, cd=tuple(2.0 * c for c in half.solution.cd)))
    middle = np.s_[190:210, 150:170]
    assert expected(truth, bigger)[middle].mean() / expected(truth, half)[middle].mean() == pytest.approx(4.0, rel=0.2)
    assert np.quantile(truth.nebula.data[1], 0.99) == pytest.approx(200.0, rel=0.01)


def test_clipping_firmware():
    plan = replace(PLAIN, clipped=True, sky_gradient=0.0, vignetting=0.0, zero_point=5.0)
    frame = frame_of(truth_of(plan))
    assert 0.03 < (frame == 0).mean() < 0.08
    assert 1.4826 * np.median(np.abs(frame - np.median(frame))) == pytest.approx(59.0, rel=0.05)
    assert 80 < np.median(frame) < 115


def test_pedestal_is_not_vignetted():
    truth = truth_of(replace(PLAIN, sky=300.0, sky_gradient=0.0, zero_point=5.0))
    raised = replace(truth, plan=replace(truth.plan, pedestal=400.0))
    difference = frame_of(raised) - frame_of(truth)
    assert np.all(difference == 400.0)


@pytest.mark.parametrize(("mirrored", "sign"), [(True, 1), (False, -1)])
def test_parity_and_distortion(mirrored, sign):
    sub = truth_of(replace(PLAIN, mirrored=mirrored)).subs[0]
    a, b, c, d = sub.solution.cd
    assert np.sign(a * d - b * c) == sign
    flat = replace(sub.solution, distortion=replace(sub.solution.distortion, k3=0.0))
    x, y = sky_to_pixel(flat, *pixel_to_sky(sub.solution, 0.0, 0.0))
    assert math.hypot(x, y) == pytest.approx(SMALL.distortion, rel=0.02)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 10.0), (120.0, 88.0), (192.86, 27.13)])
def test_any_centre(ra, dec):
    plan = replace(SMALL, ra=ra, dec=dec, star_density=500.0)
    truth = truth_of(plan)
    for sub in truth.subs:
        x, y = sky_to_pixel(sub.solution, truth.stars.ra, truth.stars.dec)
        assert np.count_nonzero((x > 0) & (x < plan.width) & (y > 0) & (y < plan.height)) > 5
    first, right = truth.subs[0].solution, truth.subs[1].solution
    x, y = sky_to_pixel(first, right.ra, right.dec)
    step = math.hypot(x - first.x, y - first.y)
    assert step == pytest.approx(0.8 * plan.width, abs=2.9 * plan.dither)
    # frames are turned alike on the sky: the right neighbour's upper middle lies above its centre in the first frame too
    above = sky_to_pixel(first, *pixel_to_sky(right, right.x, right.y + 100.0))
    assert above[1] - y == pytest.approx(100.0, abs=5.0)


def test_isolated_panel():
    truth = truth_of(replace(SMALL, isolated=3.0, subs=10))
    far = [sub for sub in truth.subs if sub.panel == 4]
    assert len(far) == 2
    for sub in far:
        distance = angular_separation(sub.solution.ra, sub.solution.dec, SMALL.ra, SMALL.dec)
        assert float(distance) == pytest.approx(3.0, abs=0.05)
        x, y = sky_to_pixel(sub.solution, truth.stars.ra, truth.stars.dec)
        assert np.count_nonzero((x > 0) & (x < SMALL.width) & (y > 0) & (y < SMALL.height)) > 30


def test_hot_pixels_stay_and_belong_to_their_telescope():
    plan = replace(SMALL, instruments=2, hot_density=400.0)
    truth = truth_of(plan)
    assert {sub.instrument for sub in truth.subs} == {0, 1}
    one, other = truth.hot
    bright = one.brightness >= 6 * plan.sky_noise
    assert bright.sum() == pytest.approx(400 * 0.128, rel=0.5)
    assert not np.array_equal(one.x[:20], other.x[:20])
    frames = [frame_of(truth, k) for k, sub in enumerate(truth.subs) if sub.instrument == 0][:2]
    for frame in frames:
        excess = frame[one.y[bright], one.x[bright]] - np.median(frame)
        assert np.mean(excess > 3 * plan.sky_noise) > 0.95


def test_satellites_trailed_stars_and_clouds():
    plan = replace(SMALL, satellites=1.0, trailed=1.0, clouded=1.0)
    truth = truth_of(plan)
    sub = truth.subs[0]
    assert sub.trail is not None
    streak = expected(truth, sub) - expected(truth, replace(sub, trail=None))
    along = np.arange(-60.0, 60.0)
    x = np.rint(sub.trail.x + along * np.cos(sub.trail.angle)).astype(int)
    y = np.rint(sub.trail.y + along * np.sin(sub.trail.angle)).astype(int)
    inside = (x >= 0) & (x < plan.width) & (y >= 0) & (y < plan.height)
    assert streak[y[inside], x[inside]].mean() == pytest.approx(sub.trail.brightness, rel=0.15)
    assert 5.0 <= math.hypot(*sub.smear) <= 14.0
    a = transparency(sub, *unit_coordinates(plan))
    assert np.ptp(a) / a.mean() > 0.1
    calm = truth_of(replace(SMALL, subs=40))
    assert 0.6 <= min(s.transparency for s in calm.subs) < max(s.transparency for s in calm.subs) <= 1.0
    assert 2.9 <= min(s.fwhm for s in calm.subs) < max(s.fwhm for s in calm.subs) <= 3.8
    assert {s.smear for s in calm.subs} == {(0.0, 0.0)}


def test_wrong_plans_say_all_that_is_wrong():
    with pytest.raises(SettingsError, match=r"subs is 0.*width is 63.*bayer is RGB"):
        NightPlan(subs=0, width=63, bayer="RGB")


def test_output_must_be_writable(tmp_path):
    blocked: Path = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OutputError, match="choose another output folder"):
        simulate_night(blocked, replace(SMALL, width=64, height=64, subs=1), Silent())


def test_calibration_frames_hold_the_marks_of_the_subs():
    """With the means of many of them (raw - dark) / flat is the sky; the photons keep their noise."""
    plan = replace(
        PLAIN, pedestal=300.0, pixel_response=0.02, dark_current=30.0, hot_density=300.0, sky_gradient=0.0, gain=1.0
    )  # fmt: skip
    truth, rng = truth_of(plan), np.random.default_rng(1)
    dark, bias, flat = (
        np.mean([shoot(truth, CalibrationShot(Path("x"), kind, 10.0, 0), rng) for _ in range(12)], axis=0)
        for kind in ("Dark", "Bias", "Flat")
    )
    noise = math.sqrt((plan.read_noise**2 + plan.dark_current) / 12)
    assert bias.mean() == pytest.approx(300.0, abs=0.05)
    assert np.median((dark - bias) - dark_light(truth, 0)) == pytest.approx(0.0, abs=0.1)
    assert np.std((dark - bias - dark_light(truth, 0))[dark < 400]) < 1.5 * noise
    u, v = unit_coordinates(plan)
    lit = (flat - 300.0) / (response(truth.instruments[0].response, u * u + v * v) * sensitivity(plan, 0))
    for c, level in enumerate((0.25, 0.4, 0.3)):
        where = np.tile(cfa_colours(plan.bayer) == c, (plan.height // 2, plan.width // 2))
        assert lit[where].mean() == pytest.approx(65535 * level, rel=2e-4)
        assert lit[where].std() < 100.0


def test_calibration_frames_lie_beside_the_subs_and_go_with_them(tmp_path):
    tiny = replace(SMALL, width=64, height=64, subs=2, instruments=2)
    plain = simulate_night(tmp_path / "plain", tiny, Silent())
    assert plain.calibration is None and not (tmp_path / "plain" / "calibration").exists()
    night = simulate_night(tmp_path / "night", replace(tiny, calibration=3), Silent())
    files = sorted(p.relative_to(night.calibration) for p in night.calibration.rglob("*.fit"))
    assert len(files) == 3 * 3 * 2 and len(night.subs) == 2
    assert [p.read_bytes() for p in night.subs] == [p.read_bytes() for p in plain.subs]  # the subs are the same
    header = fits.getheader(night.calibration / "dark_S50_1d3fe189" / "Dark_001.fit")
    light = fits.getheader(night.subs[0])
    for key in ("INSTRUME", "TELESCOP", "GAIN", "CCD-TEMP", "BAYERPAT", "NAXIS1", "EXPTIME"):
        assert header[key] == light[key]
    simulate_night(tmp_path / "night", tiny, Silent())
    assert not list((tmp_path / "night" / "calibration").rglob("*.fit"))
