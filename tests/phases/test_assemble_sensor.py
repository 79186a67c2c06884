"""Fixed pattern, warm and noisy pixels: learnt while frames are judged, taken off before they are averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_assemble import GRID, LEVEL, SHAPE, SIGMA, SOFT, Pointing, exposure, gaussians, planes, planned, raw_of

from nights import Inline
from zemosaic.events import Silent
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.projection import grid_to_sky, sky_to_pixel
from zemosaic.model import Group
from zemosaic.phases._assemble_sensor import batches
from zemosaic.phases.assemble import Assembly

FRAMES = 16
NOISE = np.array(SIGMA)[np.tile(cfa_colours("GRBG"), (SHAPE[0] // 2, SHAPE[1] // 2))]
PATTERN = 0.5  # of the noise


def night(folder: Path, marks: np.ndarray | float, seed: int = 1, dither: float = 14.0):
    """Dithered frames with noise, 30 stars, and `marks` (ADU) on every one, and where the stars are."""
    rng = np.random.default_rng(seed)
    x, y = GRID.x + rng.uniform(-80, 80, 30), GRID.y + rng.uniform(-65, 65, 30)
    flux = 10 ** rng.uniform(3.3, 4.8, 30)
    exposures = []
    for k in range(FRAMES):
        where = Pointing(*rng.uniform(-dither, dither, 2))
        stars = sky_to_pixel(where.solution, *grid_to_sky(GRID, x, y))
        raw = raw_of(gaussians(*stars, flux, 2.6 + 0.05 * k), where, rng=rng, seed_noise=5.0)
        exposures.append(exposure(folder, k, raw + marks, where, False))
    return exposures, (x, y, flux)


def made(folder: Path, exposures, side: int = 512):
    with Inline() as executor:
        by_id = {e.frame.id: e for e in exposures}
        plan = planned(exposures, side)
        result = Assembly(plan, by_id, SOFT, folder / "mosaic", folder / "sensors").run(executor, Silent())
    return result.mosaic, result.rejected, result.learnt


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """A sensor with a fixed pattern, warm, hot and noisy pixels, and the same frames of a sensor without."""
    rng = np.random.default_rng(2)
    marks = PATTERN * NOISE * rng.normal(size=SHAPE)
    place = rng.permutation(marks.size)[:120].reshape(3, 40)
    marks.flat[place[0]] = 2.2 * NOISE.flat[place[0]]  # warm
    marks.flat[place[1]] = NOISE.flat[place[1]] * np.geomspace(8.0, 300.0, 40)  # hot
    found = {}
    for name, each in (("marked", marks), ("clean", 0.0)):
        folder = tmp_path_factory.mktemp(name)
        exposures, stars = night(folder, each)
        found[name] = exposures, made(folder, exposures), folder
    return found, marks, place, stars


def rough(mosaic, stars) -> np.ndarray:
    """(3, h, w) what all frames see, without the neighbourhood of stars, noise in units of that of a raw green pixel."""
    data, coverage = planes(mosaic.data), planes(mosaic.coverage)
    y, x = np.mgrid[: GRID.height, : GRID.width]
    near = np.zeros(data.shape[1:], bool)
    for px, py in zip(*stars[:2], strict=True):
        near |= np.hypot(x - px, y - py) < 14
    data[:, near | (coverage < FRAMES)] = np.nan
    return (data - np.array(LEVEL)[:, None, None]) / SIGMA[1]


def test_noise_is_that_of_a_sensor_without_marks(marked):
    found, *_, stars = marked
    with_marks, without = (np.nanvar(rough(found[name][1][0], stars), axis=(1, 2)) for name in ("marked", "clean"))
    # a pattern of 0.5 makes the variance 1.25 times as large; 16 frames know it to 0.25: 1.05 at best
    assert (with_marks / without).max() < 1.11


def test_map_of_the_sensor_is_kept(marked):
    found, marks, place, _ = marked
    _, (_, _, (learnt,)), folder = found["marked"]
    (hot,) = (folder / "sensors").glob(f"{learnt.path.stem}.hot.*.npz")
    assert {path.name for path in (folder / "sensors").iterdir()} == {learnt.path.name, hot.name}
    with np.load(hot) as table:
        assert np.isin(place[1], table["places"]).mean() >= 0.97
        assert np.isin(table["places"], place[1]).mean() >= 0.9
    assert learnt.frames == tuple(range(FRAMES))
    assert learnt.pattern == pytest.approx(PATTERN, abs=0.07)
    with np.load(learnt.path) as table:
        offset, bad = table["offset"].astype(float), table["bad"]
    inner = np.zeros(SHAPE, bool)
    inner[20:-20, 20:-20] = True
    good = inner.copy()
    good.flat[place] = False
    left = (marks - offset)[good] / NOISE[good]
    assert np.std(left) < 0.6 * PATTERN
    seen = inner.flat[place]
    assert np.isin(place[1][seen[1]], bad).all()
    warm = place[0][seen[0]]
    assert abs(np.mean((marks - offset).flat[warm] / NOISE.flat[warm])) < 0.25 * 2.2
    assert learnt.bad < 60  # 40 are hot


def test_sensor_without_marks_is_left_alone(marked):
    found, *_ = marked
    _, (_, _, (learnt,)), _ = found["clean"]
    assert learnt.pattern < 0.03
    assert learnt.bad == 0
    with np.load(learnt.path) as table:
        assert np.std(table["offset"].astype(float)) < 0.03 * min(SIGMA)


def test_stars_keep_their_light(marked):
    found, _, _, stars = marked
    change = []
    for px, py, flux in zip(*stars, strict=True):
        cut = np.s_[:, round(py) - 6 : round(py) + 7, round(px) - 6 : round(px) + 7]
        with_marks, without = (planes(found[name][1][0].data)[cut].sum(axis=(1, 2)) for name in ("marked", "clean"))
        if flux > 2e4:
            change.append((with_marks - without) / flux)
    assert len(change) >= 8
    # 13 x 13 px of a pattern of 0.5, 16 frames: 4 ADU of 20000; and the mean of the marks is in the sky
    assert np.abs(np.median(change, axis=0)).max() < 0.002


def test_maps_depend_neither_on_blocks_nor_on_folders(marked, tmp_path):
    found, *_ = marked
    exposures, (whole, _, (learnt,)), _ = found["marked"]
    parts, _, (again,) = made(tmp_path, exposures, side=90)
    with np.load(again.path) as one, np.load(learnt.path) as other:
        assert all(np.array_equal(one[name], other[name]) for name in ("offset", "bad"))
    for name in ("data", "weight", "coverage", "rejected"):
        assert planes(getattr(whole, name)).tobytes() == planes(getattr(parts, name)).tobytes(), name


def test_frames_are_judged_by_sensor(marked, tmp_path):
    """Another gain is another sensor, and few frames learn nothing; every frame is judged once, whatever the grouping."""
    found, *_ = marked
    exposures = {e.frame.id: e for e in found["clean"][0]}
    for k in (3, 7, 11):
        exposures[k] = replace(exposures[k], frame=replace(exposures[k].frame, gain=120.0))
    parts = batches(exposures, (), tmp_path, {})
    assert sorted(i for batch in parts for i in batch.frames) == sorted(exposures)
    learning = [batch for batch in parts if batch.sums]
    assert len({batch.sensor for batch in learning}) == 1
    assert [batch.number for batch in learning] == [0, 1]
    assert [batch.frames for batch in parts if not batch.sums] == [(3,), (7,), (11,)]
    panels = Group(0, 10.0, 41.0, (9, 8, 1)), Group(1, 12.0, 41.0, (0, 2, 4, 5, 6, 10, 12, 13, 14, 15))
    by_panel = [i for batch in batches(exposures, panels, tmp_path, {}) if batch.sums for i in batch.frames]
    assert by_panel == [1, 8, 9, 0, 2, 4, 5, 6, 10, 12, 13, 14, 15]
