"""Every way to resample, through both passes of an assembly: light, noise and its weight map, no holes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from test_assemble import (
    GRID,
    HARD,
    LEVEL,
    PLAIN,
    SHAPE,
    SIGMA,
    TURNED,
    Pointing,
    combine,
    exposure,
    gaussians,
    planes,
    planned,
    raw_of,
)

from nights import Inline
from zemosaic.events import Silent
from zemosaic.imaging.projection import grid_to_sky, pixel_area, sky_to_pixel
from zemosaic.imaging.taps import METHODS
from zemosaic.model import FrameKind, Grid
from zemosaic.phases.assemble import Assembly
from zemosaic.recipes import assembly_recipe
from zemosaic.settings import Settings

EVERY = (*METHODS, "cfa")
NOISE = replace(HARD, rejection="none")
FINE = Grid(GRID.ra, GRID.dec, 0.5 * GRID.scale, 2 * GRID.width, 2 * GRID.height, 2 * GRID.x + 0.5, 2 * GRID.y + 0.5)
FLUX = np.array([30000.0, 12000.0, 20000.0])


def test_the_recipe_is_what_was_asked_for():
    chosen = assembly_recipe(Settings(resampling="cfa", drizzle_pixfrac=0.7), (0.0,), 0.0)
    assert (chosen.drops, chosen.pixfrac) == (True, 0.7)
    bicubic = [assembly_recipe(Settings(resampling="bicubic", drizzle_pixfrac=p), (0.0,), 0.0) for p in (0.3, 1.0)]
    assert bicubic[0] == bicubic[1] and not bicubic[0].drops and bicubic[0].resampling == "bicubic"


def assembled(folder, exposures, recipe, grid=GRID):
    """Planes of the mosaic, its weight and its coverage."""
    block = replace(planned(exposures).superblocks[0], y0=0, x0=0, y1=grid.height, x1=grid.width)
    plan = replace(planned(exposures), grid=grid, superblocks=(block,), chunk=1024)
    with Inline() as executor:
        by_id = {e.frame.id: e for e in exposures}
        made = Assembly(plan, by_id, recipe, folder / "mosaic", folder / "sensors").run(executor, Silent())
    return tuple(planes(path) for path in (made.mosaic.data, made.mosaic.weight, made.mosaic.coverage))


@pytest.fixture(scope="module")
def white(tmp_path_factory):
    """Ten turned colour frames of nothing but noise."""
    folder, rng = tmp_path_factory.mktemp("white"), np.random.default_rng(2)
    pointings = [Pointing(*rng.uniform(-6, 6, 2), turn=4.0 * k, gain=rng.uniform(0.7, 1.2)) for k in range(10)]
    dark = np.zeros(SHAPE)
    return [exposure(folder, k, raw_of(dark, w, rng=rng), w, False) for k, w in enumerate(pointings)]


@pytest.fixture(scope="module")
def starry(tmp_path_factory):
    """Three stars in the frames of `TURNED`, and where they are in the mosaic."""
    folder, place = tmp_path_factory.mktemp("starry"), np.array([[40.0, 60.0, 20.0], [-30.0, 25.0, 55.0]])
    x, y = place[0] + GRID.x + 0.3, place[1] + GRID.y - 0.2
    exposures = []
    for k, where in enumerate(TURNED):
        stars = sky_to_pixel(where.solution, *grid_to_sky(GRID, x, y))
        exposures.append(exposure(folder, k, raw_of(gaussians(*stars, FLUX, 3.2), where), where, False))
    return exposures, x, y


@pytest.mark.parametrize("resampling", EVERY)
def test_noise_is_what_the_weight_map_promises(white, tmp_path, resampling):
    """Of means in boxes: single pixels share what they are made of with their neighbours."""
    data, weight, coverage = assembled(tmp_path, white, replace(NOISE, resampling=resampling))
    inner, box = np.s_[120:232, 120:256], 8
    assert coverage[inner].min() == 10
    boxes = [each[:, *inner].reshape(3, 112 // box, box, 136 // box, box).mean(axis=(2, 4)) for each in (data, weight)]
    measured = (boxes[0] - np.array(LEVEL)[:, None, None]) * np.sqrt(boxes[1]) * box
    assert np.all(np.abs(measured.std(axis=(1, 2)) - 0.94) < 0.12)  # a box takes a bit from beyond its border
    ideal = sum((e.correction.gain[0] / np.array(SIGMA)) ** 2 for e in white) * (0.25, 0.5, 0.25)
    np.testing.assert_allclose(weight[:, *inner].mean(axis=(1, 2)), ideal, rtol=0.04)


@pytest.mark.parametrize("resampling", EVERY)
def test_light_is_conserved(starry, tmp_path, resampling):
    exposures, x, y = starry
    data, _, _ = assembled(tmp_path, exposures, replace(HARD, resampling=resampling))
    for px, py, light in zip(x, y, FLUX, strict=True):
        cut = np.s_[:, round(py) - 11 : round(py) + 12, round(px) - 11 : round(px) + 12]
        total = (data[cut] - np.array(LEVEL)[:, None, None]).sum(axis=(1, 2))
        # drops of red and blue lie on a quarter of the pixels of a frame: eight of them sample the phases of a star less well
        np.testing.assert_allclose(total, light, rtol=0.015 if resampling == "cfa" else 0.003)


def test_on_finer_pixels_drizzled_stars_keep_their_light_and_width(starry, tmp_path):
    exposures, x, y = starry
    data, _, coverage = assembled(tmp_path, exposures, replace(HARD, resampling="cfa", pixfrac=0.6), FINE)
    assert np.isfinite(data[:, coverage > 0]).all()
    for px, py, light in zip(2 * x + 0.5, 2 * y + 0.5, FLUX, strict=True):
        rows, columns = np.mgrid[round(py) - 20 : round(py) + 21, round(px) - 20 : round(px) + 21]
        star = data[1, rows, columns] - LEVEL[1]
        assert star.sum() == pytest.approx(light, rel=0.02)
        centre = (star * columns).sum() / star.sum() - px, (star * rows).sum() / star.sum() - py
        assert np.hypot(*centre) < 0.1
        square = (star * ((columns - px) ** 2 + (rows - py) ** 2)).sum() / star.sum() / 2
        # of the star, of a drop, of a pixel of the mosaic (px of the frame)
        expected = (3.2 / 2.3548) ** 2 + (0.6**2 + 0.5**2) / 12
        assert square / 4 == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("kind", ["bayer", "mono"])
@pytest.mark.parametrize(("pixfrac", "grid"), [(0.2, GRID), (1.0, GRID), (0.2, FINE)])
def test_three_frames_leave_no_holes(tmp_path, kind, pixfrac, grid):
    """Every pixel that a frame covers has every colour, and its right brightness."""
    pointings = [Pointing(3.3, 1.7, turn=2.0), Pointing(-8.6, 4.1, turn=9.0), Pointing(5.2, -9.4, turn=-5.0)]
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    exposures = [
        exposure(tmp_path, k, raw_of(50.0 * pixel_area(w.solution, x, y) / GRID.scale**2, w), w, kind == "mono")
        for k, w in enumerate(pointings)
    ]
    recipe = replace(PLAIN if kind == "mono" else HARD, resampling="cfa", pixfrac=pixfrac)
    data, weight, coverage = assembled(tmp_path, exposures, recipe, grid)
    assert (coverage == 3).sum() > 20000
    assert np.isfinite(data[:, coverage > 0]).all() and (weight[:, coverage > 0] > 0).all()
    level = np.array(recipe.level)[:, None] + 50.0 * (grid.scale / GRID.scale) ** 2
    np.testing.assert_allclose(data[:, coverage > 0], np.broadcast_to(level, data[:, coverage > 0].shape), atol=0.15)


def test_a_rejected_raw_pixel_has_no_weight(white, tmp_path):
    """The mosaic loses its weight, and nothing of what stood in it is seen."""
    recipe = replace(HARD, resampling="cfa", kappa_low=10.0, kappa_high=10.0)
    before = assembled(tmp_path / "before", white, recipe)
    raw = fits.getdata(white[3].frame.path)
    raw[101, 120] += 2000.0  # GRBG: blue
    fits.writeto(tmp_path / "hurt.fit", raw)
    exposures = [replace(e, rejected=tmp_path / f"{e.frame.id}.npz") for e in white]
    exposures[3] = replace(exposures[3], frame=replace(white[3].frame, path=tmp_path / "hurt.fit", digest="hurt"))
    data, weight, _ = assembled(tmp_path / "after", exposures, recipe)
    lost = np.where(before[1] > 0, 1.0 - weight / np.where(before[1] > 0, before[1], 1.0), 0.0)
    ys, xs = np.nonzero(lost.max(axis=0) > 1e-3)
    assert lost[2].max() > 0.1 and 4 <= ys.size <= 60 and np.ptp(ys) <= 8 and np.ptp(xs) <= 8
    sigma = np.sqrt(1.0 / before[1][:, ys, xs])
    assert np.abs((data - before[0])[:, ys, xs] / sigma).max() < 2.0


def test_side_by_side_drops_count_as_in_the_sums(white, tmp_path):
    """The final mean is the same to the bit; the median of drops is not far from it."""
    recipe = replace(NOISE, resampling="cfa")
    sums, beside = combine(tmp_path / "a", white, recipe)[0], combine(tmp_path / "b", white, recipe, depth=10)[0]
    assert planes(sums.data).tobytes() == planes(beside.data).tobytes()
    parts = combine(tmp_path / "d", white, recipe, side=75)[0]
    for name in ("data", "weight", "coverage"):
        assert planes(getattr(sums, name)).tobytes() == planes(getattr(parts, name)).tobytes()
    for equal in (False, True):
        found = []
        for combine_by in ("mean", "median"):
            chosen = replace(recipe, combine=combine_by, equal_weights=equal)
            found.append(
                planes(combine(tmp_path / f"{combine_by}{equal}", white, chosen, depth=10)[0].data)[:, 120:232, 120:256]
            )
        apart, spread = found[1] - found[0], found[0].std(axis=(1, 2))
        assert np.all(apart.std(axis=(1, 2)) < 0.9 * spread) and np.all(np.abs(apart.mean(axis=(1, 2))) < 0.05 * spread)


def test_three_planes_are_drizzled_in_all_colours(white, tmp_path):
    """A debayered frame has every colour at every pixel."""
    rng, exposures = np.random.default_rng(4), []
    for e in white[:4]:
        frame = replace(e.frame, kind=FrameKind.RGB, bayer=None, path=tmp_path / f"{e.frame.id}.fit")
        fits.writeto(frame.path, (900.0 + rng.normal(0, 9.0, (3, *SHAPE))).astype(np.float32))
        exposures.append(replace(e, frame=frame, sigma=(9.0,) * 3))
    data, weight, coverage = assembled(tmp_path, exposures, replace(NOISE, resampling="cfa"))
    ideal = sum((e.correction.gain[0] / 9.0) ** 2 for e in exposures)
    inner = np.s_[:, 120:232, 120:256]
    assert np.isfinite(data[:, coverage > 0]).all()
    np.testing.assert_allclose(weight[inner].mean(axis=(1, 2)), ideal, rtol=0.03)
