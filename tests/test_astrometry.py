"""What astrometry promises, on nights whose headers are wrong by a degree; the whole table: `benchmarks/astrometry.py`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from star_lists import away, frame_at
from zemosaic.catalogue import load_catalogue
from zemosaic.events import Silent
from zemosaic.imaging.noise import sky_noise
from zemosaic.imaging.projection import moved, sky_to_pixel
from zemosaic.imaging.sky import damaged_pixels, repaired
from zemosaic.imaging.stars import measure_stars
from zemosaic.model import Measurement, SkyMesh
from zemosaic.phases.solve import solve
from zemosaic.score.astrometry import solution_errors
from zemosaic.simulate import NightPlan
from zemosaic.simulate.camera import raw_frame
from zemosaic.simulate.lists import star_list
from zemosaic.simulate.night import imagine
from zemosaic.tables import save_measurement

POLE = NightPlan(ra=192.86, dec=27.13, star_density=500.0, subs=20)
TAURUS = NightPlan(ra=67.0, dec=27.0, star_density=300.0, subs=20)
DWARF = {"width": 3856, "height": 2180, "scale": 2.75, "bayer": "RGGB", "zero_point": 21.4}


def solved(plan, folder):
    """Solutions of a night's star lists, and the truth."""
    truth = imagine(plan, load_catalogue())
    frames, measurements = [], []
    for number, sub in enumerate(truth.subs):
        ra, dec = away(sub.solution.ra, sub.solution.dec, 1.0, 2.0 * sub.panel)
        name = folder / sub.name
        shape = (plan.height, plan.width)
        frames.append(
            frame_at(ra, dec, id=number, path=name, shape=shape, scale=1.008 * plan.scale, date_obs=sub.date_obs)
        )
        stars = star_list(truth, sub, np.random.default_rng([plan.seed, number]))
        path = folder / f"{number}.npz"
        save_measurement(path, stars, SkyMesh(np.zeros((1, 1, 3), np.float32), 64))
        measurements.append(Measurement(number, path, (0.0,) * 3, (1.0,) * 3, sub.fwhm, 1.1, len(stars), 0.0))
    with ThreadPoolExecutor(1) as executor:
        options = {"method": "auto", "search_radius": 1.5, "executor": executor, "reporter": Silent()}
        return solve(frames, measurements, **options), [sub.solution for sub in truth.subs]


@pytest.mark.parametrize(
    ("plan", "between", "median"),
    [
        (POLE, 0.05, 0.08),
        # 60 stars a frame: their photons allow 0.05 px and no less
        (replace(TAURUS, mirrored=False, subs=40), 0.07, 0.1),
        (replace(TAURUS, **DWARF, subs=8), 0.05, 0.08),
    ],
    ids=["S50 pole", "S50 Taurus, not mirrored", "Dwarf 3 Taurus"],
)
def test_frames_lie_true_to_each_other_and_to_the_sky(plan, between, median, tmp_path):
    result, truth = solved(plan, tmp_path)
    assert result.left_out == ()
    found = [result.solutions[i] for i in range(plan.subs)]
    errors = solution_errors(found, truth, [(plan.height, plan.width)] * plan.subs)
    assert errors.false == 0
    assert errors.relative <= between
    assert errors.to_ensemble <= 0.05
    assert errors.median <= median
    assert errors.p95 <= 0.25


def test_errors_of_solutions_are_what_they_are():
    truth = [sub.solution for sub in imagine(replace(POLE, subs=4, panels_x=1, panels_y=1), load_catalogue()).subs]
    shapes = [(1920, 1080)] * 4
    same = solution_errors(truth, truth, shapes)
    assert (same.relative, same.median, same.false) == pytest.approx((0.0, 0.0, 0), abs=1e-6)
    together = solution_errors([moved(s, s.ra, s.dec + 1.0 / 3600) for s in truth], truth, shapes)
    assert together.median == pytest.approx(1.0, rel=1e-3)
    assert together.relative < 0.01
    lie = solution_errors([moved(truth[0], truth[0].ra, truth[0].dec + 0.01), *truth[1:]], truth, shapes)
    assert lie.false == 1
    assert lie.relative > 5.0


def test_star_lists_are_like_measured_ones():
    """As many stars as on a rendered frame, as far from their true places."""
    plan = NightPlan(width=900, height=800, subs=1, panels_x=1, panels_y=1, star_density=1000.0, satellites=0.0)
    truth = imagine(plan, load_catalogue())
    sub = truth.subs[0]
    data = raw_frame(truth, sub, np.random.default_rng(1)).astype(np.float32)
    sigma = sky_noise(data, plan.bayer)
    damaged = damaged_pixels(data, plan.bayer, sigma)
    found = measure_stars(repaired(data, plan.bayer, damaged), plan.bayer, sigma, 65535.0, damaged).stars
    made = star_list(truth, sub, np.random.default_rng(2))
    assert len(made) == pytest.approx(len(found), rel=0.25)
    true = cKDTree(np.column_stack(sky_to_pixel(sub.solution, truth.stars.ra, truth.stars.dec)))
    typical = []
    for stars in (made, found):
        good = ~stars.blended & ~stars.saturated & (stars.snr > 10)
        off = true.query(np.column_stack([stars.x, stars.y])[good])[0]
        assert np.mean(off < 1.0) > 0.9
        typical.append(np.median(off))
    assert typical[0] == pytest.approx(typical[1], rel=0.4)
