"""The lattice mapping against astropy, and what of a frame a block needs."""

import numpy as np
import pytest
from astropy.wcs import WCS

from zemosaic.imaging.projection import grid_to_sky, sky_to_pixel
from zemosaic.imaging.warp import LATTICE, footprint, frame_nodes, mosaic_nodes, window
from zemosaic.model import Distortion, Grid, Solution

SCALE = 2.374 / 3600
RADIUS = float(np.hypot(1080, 1920) / 2)


def sip_wcs(solution):
    """The same solution as an astropy WCS with SIP."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval = [solution.ra, solution.dec]
    wcs.wcs.crpix = [solution.x + 1, solution.y + 1]
    wcs.wcs.cd = np.array(solution.cd).reshape(2, 2)
    header = wcs.to_header()
    k = solution.distortion.k3 / solution.distortion.radius**2
    header["A_ORDER"], header["B_ORDER"] = 3, 3
    header["A_3_0"], header["A_1_2"], header["B_0_3"], header["B_2_1"] = k, k, k, k
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    return WCS(header)


def solution(ra=202.0, dec=47.0, angle=20.0, k3=1.5 / RADIUS):
    c, s = np.cos(np.radians(angle)) * SCALE, np.sin(np.radians(angle)) * SCALE
    return Solution(ra, dec, 539.5, 959.5, (c, -s, s, c), Distortion(k3, 0.0, RADIUS))


def interpolated(nodes, y, x, node0=(0, 0)):
    j, i = y // LATTICE - node0[0], x // LATTICE - node0[1]
    fy, fx = (y % LATTICE) / LATTICE, (x % LATTICE) / LATTICE
    top = nodes[j, i] * (1 - fx) + nodes[j, i + 1] * fx
    bottom = nodes[j + 1, i] * (1 - fx) + nodes[j + 1, i + 1] * fx
    return top * (1 - fy) + bottom * fy


@pytest.mark.parametrize(("ra", "dec"), [(202.0, 47.0), (0.01, 5.0), (100.0, 88.0), (192.86, 27.13)])
def test_lattice_is_within_a_hundredth_of_a_pixel_of_astropy(ra, dec):
    rng = np.random.default_rng(1)
    frame = solution(ra, dec)
    grid = Grid(ra + 0.4, dec + 0.3, SCALE, 4000, 5000, 2000.0, 2500.0)
    px, py = footprint(frame, (1920, 1080), grid)
    y = rng.integers(int(py.min()), int(py.max()), 2000)
    x = rng.integers(int(px.min()), int(px.max()), 2000)
    nodes_x, nodes_y, node0 = mosaic_nodes(
        frame, grid, (int(py.min()), int(py.max()) + 1, int(px.min()), int(px.max()) + 1)
    )
    sx, sy = interpolated(nodes_x, y, x, node0), interpolated(nodes_y, y, x, node0)
    inside = (sx > 0) & (sx < 1079) & (sy > 0) & (sy < 1919)
    wx, wy = sip_wcs(frame).all_world2pix(*grid_to_sky(grid, x[inside], y[inside]), 0, tolerance=1e-8)
    assert inside.sum() > 500
    assert np.hypot(sx[inside] - wx, sy[inside] - wy).max() < 0.01


def test_both_lattices_are_inverse_to_each_other():
    rng = np.random.default_rng(2)
    frame, grid = solution(), Grid(202.3, 47.1, SCALE, 3000, 3000, 1500.0, 1500.0)
    nodes_x, nodes_y, _ = frame_nodes(frame, (1920, 1080), grid)
    y, x = rng.integers(0, 1920, 500), rng.integers(0, 1080, 500)
    mx, my = interpolated(nodes_x, y, x), interpolated(nodes_y, y, x)
    box = (int(my.min()) - 1, int(my.max()) + 2, int(mx.min()) - 1, int(mx.max()) + 2)
    back_x, back_y, node0 = mosaic_nodes(frame, grid, box)
    iy, ix = np.rint(my).astype(int), np.rint(mx).astype(int)
    sx, sy = interpolated(back_x, iy, ix, node0), interpolated(back_y, iy, ix, node0)
    assert np.hypot(sx - x, sy - y).max() < 0.75  # half a mosaic pixel of rounding each way


def test_a_window_takes_only_the_rows_that_it_needs():
    frame = solution(angle=0.0)
    grid = Grid(frame.ra, frame.dec, SCALE, 2000, 3000, 1000.0, 1500.0)
    whole = window(frame, (1920, 1080), grid, (0, 3000, 0, 2000))
    assert whole is not None and whole.rows == slice(0, 1920)
    part = window(frame, (1920, 1080), grid, (1500, 1700, 0, 2000))
    assert part is not None
    assert part.rows.stop - part.rows.start <= 200 + 6 * LATTICE
    assert part.rows.start % LATTICE == 0
    assert window(frame, (1920, 1080), grid, (2700, 3000, 0, 2000)) is None


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5, 6.0, 20.0])
def test_a_window_has_all_rows_that_its_pixels_need(ratio):
    rng = np.random.default_rng(3)
    for _ in range(12):
        frame = solution(angle=rng.uniform(0, 360))
        grid = Grid(
            frame.ra + 0.1, frame.dec, SCALE * ratio, int(2600 / ratio), int(2600 / ratio), 1300 / ratio, 1300 / ratio
        )
        y0, x0 = rng.integers(0, int(1300 / ratio), 2)
        block = (y0, y0 + max(8, int(600 / ratio)), x0, x0 + max(8, int(600 / ratio)))
        y, x = (a.ravel() for a in np.mgrid[block[0] : block[1] : 3, block[2] : block[3] : 3])
        sx, sy = sky_to_pixel(frame, *grid_to_sky(grid, x, y))
        seen = (sx >= 2) & (sy >= 2) & (sx < 1076) & (sy < 1916)
        view = window(frame, (1920, 1080), grid, block)
        if view is None:
            assert not seen.any()
        elif seen.any():
            assert view.rows.start <= sy[seen].min() - 2 or view.rows.start == 0
            assert view.rows.stop >= sy[seen].max() + 4 or view.rows.stop == 1920
