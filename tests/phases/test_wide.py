"""Mosaics of much sky, and in other projections: stars where the header says, their light kept, whatever the map."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from wide import LIGHT, SHAPE, areas, combined, header_of, plane, solution, star, wcs_of, wide_night
from zemosaic.imaging.projection import grid_area, grid_to_sky, sky_to_grid, sky_to_pixel
from zemosaic.imaging.warp import step_of, torn
from zemosaic.model import Grid
from zemosaic.phases.plan import Layout
from zemosaic.projections import CONIC, NAMES, ZENITHAL

SCALE = 0.05  # deg/px
MAPS = [("TAN", 33.0), ("STG", 0.0), ("ZEA", 50.0), ("CAR", 33.0), ("AIT", 0.0), ("COE", -20.0)]


@pytest.fixture(scope="module")
def strip(tmp_path_factory):
    """Nine frames across RA 0 h, 14 x 13 degrees."""
    centres = [(359.0 + 4 * i, 40.0 + 3 * j) for i in range(3) for j in range(3)]
    stars = [(358.5 + 2 * i + 0.1 * j, 39.6 + 1.7 * j + 0.1 * i) for i in range(5) for j in range(5)]
    return wide_night(tmp_path_factory.mktemp("strip"), centres, stars, SCALE)


def check_stars(night, mosaic, least: int, off: float = 0.03, light: float = 0.004) -> None:
    data, grid = plane(mosaic.data), mosaic.grid
    half = round(8 * night.scale / grid.scale)
    found = [star(data, grid, ra, dec, night.scale, half) for ra, dec in zip(night.ra, night.dec, strict=True)]
    seen = [each for each in found if each is not None]
    assert len(seen) >= least
    assert max(each.off for each in seen) < off
    assert max(abs(each.flux - 1.0) for each in seen) < light
    level = np.nanmedian(data) / (LIGHT * (grid.scale / night.scale) ** 2)
    assert abs(level - 1.0) < 1e-3


@pytest.mark.parametrize(("projection", "rotation"), MAPS)
def test_stars_lie_where_the_header_says_with_all_their_light(strip, tmp_path, projection, rotation):
    mosaic = combined(strip, tmp_path, Layout(projection=projection, rotation=rotation))
    assert (mosaic.grid.projection, mosaic.grid.rotation) == (projection, rotation)
    check_stars(strip, mosaic, 25, light=0.012 if projection == "AIT" else 0.004)
    assert plane(mosaic.rejected).sum() == 0


def test_samples_side_by_side_give_the_same_mosaic(strip, tmp_path):
    layout = Layout(projection="ZEA", rotation=33.0)
    one, other = (combined(strip, tmp_path / str(joint), layout, joint) for joint in (False, True))
    for name in ("data", "weight", "coverage"):
        a, b = plane(getattr(one, name)), plane(getattr(other, name))
        assert np.array_equal(np.isnan(a), np.isnan(b)) and np.nanmax(np.abs(a - b)) < 1e-3 * np.nanmax(a)


def test_a_wide_mosaic_takes_a_map_of_equal_areas_by_itself(tmp_path):
    centres = [(346.0 + 6 * i, -12 + 4.4 * j) for i in range(5) for j in range(6)]
    stars = [(346.0 + 6 * i + 0.4, -12 + 4.4 * j + 0.3) for i in range(5) for j in range(6)]
    night = wide_night(tmp_path / "night", centres, stars, SCALE)
    mosaic = combined(night, tmp_path, Layout())
    assert mosaic.grid.projection == "ZEA" and mosaic.grid.width * SCALE > 25
    check_stars(night, mosaic, 30)
    weight = plane(mosaic.weight)
    once = plane(mosaic.coverage) == 1
    assert np.ptp(weight[once]) < 0.02 * weight[once].mean()  # of the same depth everywhere


@pytest.mark.parametrize("projection", ["auto", "STG"])
def test_the_pole_is_a_place_like_any_other(tmp_path, projection):
    centres = [(a, d) for d, n in ((90.0, 1), (87.0, 6)) for a in np.arange(n) * 360.0 / n]
    stars = [(30.0 + a, 90.0 - d) for d, n in ((0.02, 1), (2.5, 5)) for a in np.arange(n) * 360.0 / n]
    night = wide_night(tmp_path / "night", centres, stars, SCALE)
    mosaic = combined(night, tmp_path, Layout(projection=projection, centre=(0.0, 90.0), rotation=12.0))
    check_stars(night, mosaic, 6)


def test_the_whole_sky_lies_on_one_map(tmp_path):
    """Frames of 30 degrees; those that the map cuts go on at its other side."""
    scale, rings = 0.3, ((90, 1), (65, 6), (40, 10), (15, 13))
    north = [(a, float(d)) for d, n in rings for a in np.arange(n) * 360.0 / n]
    centres = north + [(a, -d) for a, d in north]
    stars = [(float(a), float(d)) for d in (-24, 0, 24) for a in range(0, 360, 24)]
    night = wide_night(tmp_path / "night", centres, stars, scale)
    mosaic = combined(night, tmp_path, Layout())
    grid, data = mosaic.grid, plane(mosaic.data)
    assert grid.projection == "CAR" and abs(grid.width - 1200) < 8 and abs(grid.height - 600) < 8
    assert sum(torn(s, SHAPE, grid) for s in night.solutions.values()) > 6
    y, x = (a.ravel() for a in np.mgrid[3 : grid.height - 3 : 7, 3 : grid.width - 3 : 7])
    seen = np.zeros(x.shape, bool)
    for where in night.solutions.values():
        sx, sy = sky_to_pixel(where, *grid_to_sky(grid, x, y))
        seen |= (sx > 6) & (sy > 6) & (sx < SHAPE[1] - 7) & (sy < SHAPE[0] - 7)
    assert seen.mean() > 0.9 and np.isfinite(data[y, x][seen]).all()
    found = [star(data, grid, a, d, scale, 9) for a, d in stars]
    held = [each for each in found if each is not None]
    assert len(held) > 15 and max(each.off for each in held) < 0.06
    assert max(abs(each.flux - 1.0) for each in held) < 0.03


@pytest.mark.parametrize("projection", list(NAMES))
@pytest.mark.parametrize("rotation", [0.0, 130.0])
def test_other_programs_read_the_same_pixels_from_the_header(projection, rotation):
    for dec in (48.0, -33.0):
        reference = dec if projection in ZENITHAL or projection in CONIC else 0.0
        grid = Grid(358.0, reference, SCALE, 400, 300, 210.0, 140.0 - (dec - reference) / SCALE, projection, rotation)
        x, y = np.meshgrid(np.linspace(0, 399, 7), np.linspace(0, 299, 5))
        ra, dec_there = grid_to_sky(grid, x, y)
        seen = np.isfinite(ra)
        sky = wcs_of(grid).wcs_pix2world(np.stack([x[seen], y[seen]], axis=1), 0)
        apart = np.abs((sky[:, 0] - ra[seen] + 180) % 360 - 180) * np.cos(np.radians(sky[:, 1]))
        assert seen.mean() > 0.5 and max(apart.max(), np.abs(sky[:, 1] - dec_there[seen]).max()) < 1e-9
        back = sky_to_grid(grid, ra[seen], dec_there[seen])
        assert np.allclose(back, (x[seen], y[seen]), atol=1e-5)
    up = sky_to_grid(grid, *grid_to_sky(grid, grid.x, grid.y))
    assert np.allclose(up, (grid.x, grid.y), atol=1e-6)


def test_the_rotation_says_what_is_up():
    """From north through east: at 90 degrees east is up, and north, by the parity of the sky, at the right."""
    grid = Grid(10.0, 40.0, SCALE, 100, 100, 50.0, 50.0, "ZEA", 90.0)
    x, y = sky_to_grid(grid, [10.0, 10.1], [40.1, 40.0])
    assert x[0] == pytest.approx(52.0, abs=1e-3) and y[0] == pytest.approx(50.0, abs=1e-3)
    assert y[1] > 51.4 and abs(x[1] - 50.0) < 0.01


@pytest.mark.parametrize("projection", ["TAN", "STG", "ZEA", "CEA", "MER"])
def test_areas_of_pixels_add_up_to_the_sky(projection):
    """Of 20 x 20 degrees, in coarse pixels and in fine ones, and against the trapezium between their corners."""
    reference = 30.0 if projection in ZENITHAL else 0.0
    grid = Grid(20.0, reference, 0.5, 40, 40, 20.0, 20.0 - (30.0 - reference) / 0.5, projection)
    x, y = np.meshgrid(np.arange(40), np.arange(40))
    area = grid_area(grid, *grid_to_sky(grid, x, y))
    fine = Grid(20.0, reference, 0.1, 200, 200, 102.0, 102.0 - (30.0 - reference) / 0.1, projection)
    mean = grid_area(fine, *grid_to_sky(fine, *np.meshgrid(np.arange(200), np.arange(200)))).reshape(40, 5, 40, 5)
    assert np.allclose(area, mean.mean(axis=(1, 3)), rtol=2e-3)
    assert np.allclose(area, areas(wcs_of(grid), x, y) / np.radians(0.5) ** 2, rtol=1e-4)
    if projection in ("ZEA", "CEA"):
        assert np.allclose(area, 1.0, rtol=1e-3)


def test_nodes_of_a_usual_mosaic_stand_32_px_apart_and_closer_only_where_a_map_bends():
    fine = solution(12.0, 43.0, 2.4 / 3600.0, 20.0)
    assert step_of(fine, (1920, 1080), Grid(10.0, 41.0, 2.4 / 3600.0, 100, 100, 0.0, 0.0)) == 32
    assert step_of(fine, (1920, 1080), Grid(10.0, 41.0, 2.4 / 3600.0, 100, 100, 0.0, 0.0, "ZEA", 30.0)) == 32
    assert step_of(solution(12.0, 43.0, SCALE, 20.0), SHAPE, Grid(10.0, 41.0, SCALE, 100, 100, 0.0, 0.0, "ZEA")) <= 8


@pytest.mark.parametrize("projection", ["TAN", "CAR", "AIT", "COE"])
def test_programs_that_check_headers_find_nothing_wrong(tmp_path, projection):
    path = tmp_path / "map.fits"
    grid = Grid(358.0, 48.0 if projection in ("TAN", "COE") else 0.0, SCALE, 40, 30, 21.0, 14.0, projection, 30.0)
    fits.PrimaryHDU(np.zeros((30, 40), np.float32), header_of(grid)).writeto(path)
    fixed = WCS(fits.getheader(path), fix=False).wcs.fix()
    assert {what for name, what in fixed.items() if name != "datfix"} == {"No change"}  # a map has no date
    if fitsverify := shutil.which("fitsverify"):
        said = subprocess.run([fitsverify, "-q", str(path)], capture_output=True, text=True)
        assert said.returncode == 0 and "verification OK" in said.stdout
