"""Kernels on raw pixels against slow and obvious twins."""

import numpy as np
import pytest

from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.kernels.blot import blot, invalidate
from zemosaic.kernels.calibrate import calibrate
from zemosaic.kernels.demosaic import calibrated_cubic

STEP = 32
GRBG = cfa_colours("GRBG")
TOGETHER = np.empty((0, 2))  # all colours fall on one place
AS_IT_IS = np.ones((7, 7, 3), np.float32), np.zeros((7, 7, 3), np.float32), 16


@pytest.mark.parametrize("apart", [TOGETHER, np.array([[0.4, -0.3], [-0.7, 0.9]])])
def test_blot_reads_a_smooth_mosaic_back(apart):
    y, x = np.mgrid[0:120, 0:140].astype(float)
    planes = np.stack([np.sin(x / 9) + y / 20, np.cos(y / 8), x / 30]).astype(np.float32)
    fy, fx = np.mgrid[0 : 80 + STEP : STEP, 0 : 70 + STEP : STEP].astype(float)
    nodes_x, nodes_y = 0.97 * fx + 0.1 * fy + 21.3, -0.1 * fx + 0.97 * fy + 19.6
    out, spread = np.empty((71, 63), np.float32), np.empty((71, 63), np.float32)
    samples = np.empty((71, 63), np.uint16)
    count = np.full((120, 140), 7, np.uint16)
    blot(planes, count, (0, 0), nodes_x, nodes_y, STEP, GRBG, apart, *AS_IT_IS, out, spread, samples)
    gy, gx = np.mgrid[0:71, 0:63].astype(float)
    if len(apart):  # what falls on a pixel is sent to where it would fall were it green
        shift = np.array([apart[0], (0.0, 0.0), apart[1]])[GRBG[np.arange(71)[:, None] % 2, np.arange(63) % 2]]
        gx, gy = gx - shift[..., 0], gy - shift[..., 1]
    mx, my = 0.97 * gx + 0.1 * gy + 21.3, -0.1 * gx + 0.97 * gy + 19.6
    truth = np.stack([np.sin(mx / 9) + my / 20, np.cos(my / 8), mx / 30])
    expected = np.take_along_axis(truth, GRBG[np.arange(71)[:, None] % 2, np.arange(63) % 2][None], 0)[0]
    np.testing.assert_allclose(out, expected, atol=2e-3)
    assert (samples == 7).all()
    assert 0.0 < spread.max() < 0.5


def naive_blot(planes, count, x, y, c):
    """One pixel: Catmull-Rom over 4 x 4 taps, the spread of twelve of them, and the nearest count."""
    column, row = int(x), int(y)
    if not (1 <= x < planes.shape[2] - 2 and 1 <= y < planes.shape[1] - 2):
        return np.nan, 0.0, 0
    taps = planes[c, row - 1 : row + 3, column - 1 : column + 3].astype(float)

    def weights(t):
        a = np.abs(t - np.arange(-1, 3))
        return np.where(a <= 1, 1.5 * a**3 - 2.5 * a**2 + 1, -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2)

    inner = np.concatenate([taps[1:3].ravel(), taps[0, 1:3], taps[3, 1:3]])
    return weights(y - row) @ taps @ weights(x - column), np.ptp(inner), count[round(y), round(x)]


@pytest.mark.parametrize(
    ("size", "step"), [((40, 70), STEP), ((37, 51), STEP), ((3, 2), STEP), ((37, 51), 8), ((37, 51), 4)]
)
def test_blot_is_what_each_pixel_would_be_by_itself(size, step):
    """Also where the mosaic ends, in frames of odd size, and scaled and shifted as the frame's raw pixels are."""
    rng = np.random.default_rng(4)
    planes, count = rng.normal(size=(3, 45, 60)).astype(np.float32), rng.integers(0, 99, (45, 60)).astype(np.uint16)
    fy, fx = np.mgrid[0:96:step, 0:128:step].astype(float)
    nodes_x, nodes_y = 0.93 * fx + 0.11 * fy + 4.3, -0.13 * fx + 0.95 * fy + 8.6
    scale, offset = rng.uniform(1, 2, (6, 8, 3)).astype(np.float32), rng.normal(size=(6, 8, 3)).astype(np.float32)
    out, spread, samples = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.uint16)
    blot(planes, count, (5, 2), nodes_x, nodes_y, step, GRBG, TOGETHER, scale, offset, 16, out, spread, samples)
    factor, zero = np.empty(size, np.float32), np.empty(size, np.float32)
    calibrate(np.ones(size, np.float32), 0, GRBG, scale, np.zeros_like(scale), 16, factor)
    calibrate(np.zeros(size, np.float32), 0, GRBG, scale, offset, 16, zero)
    for y, x in np.ndindex(size):
        mx, my = 0.93 * x + 0.11 * y + 2.3, -0.13 * x + 0.95 * y + 3.6
        if max(abs(2 * mx % 1 - 0.5), abs(2 * my % 1 - 0.5)) > 0.49:
            continue  # the nearest pixel, and where the mosaic ends, is a matter of rounding
        value, around, behind = naive_blot(planes, count, mx, my, GRBG[y % 2, x % 2])
        expected = value * factor[y, x] + zero[y, x]
        assert out[y, x] == pytest.approx(expected, abs=5e-3, nan_ok=True), (y, x)
        assert spread[y, x] == pytest.approx(around * factor[y, x], abs=1e-4) and samples[y, x] == behind, (y, x)


def test_rows_of_a_frame_and_a_part_of_the_mosaic_give_the_same_as_the_whole():
    rng = np.random.default_rng(6)
    planes, count = rng.normal(size=(3, 150, 130)).astype(np.float32), rng.integers(0, 99, (150, 130)).astype(np.uint16)
    fy, fx = np.mgrid[0:128:STEP, 0:128:STEP].astype(float)
    nodes_x, nodes_y = 0.93 * fx + 0.11 * fy + 4.3, -0.13 * fx + 0.95 * fy + 18.6
    scale, offset = rng.uniform(1, 2, (8, 8, 3)).astype(np.float32), rng.normal(size=(8, 8, 3)).astype(np.float32)
    whole, part = ([np.empty(size, d) for d in (np.float32, np.float32, np.uint16)] for size in ((90, 85), (58, 85)))
    blot(planes, count, (0, 0), nodes_x, nodes_y, STEP, GRBG, TOGETHER, scale, offset, 16, *whole)
    cut = np.s_[..., 9:, 3:]
    blot(
        np.ascontiguousarray(planes[cut]), np.ascontiguousarray(count[cut]), (9, 3), nodes_x[1:], nodes_y[1:], STEP, GRBG,
        TOGETHER, scale[2:], offset[2:], 16, *part,
    )  # fmt: skip
    for one, other in zip(whole, part):
        np.testing.assert_array_equal(one[32:], other)


def test_blot_knows_no_data():
    planes = np.ones((1, 40, 40), np.float32)
    planes[0, 20, 20] = np.nan
    fy, fx = np.mgrid[0:64:STEP, 0:64:STEP].astype(float)
    out, spread = np.empty((40, 40), np.float32), np.empty((40, 40), np.float32)
    blot(
        planes, np.ones((40, 40), np.uint16), (0, 0), fx, fy, STEP, np.zeros((2, 2), np.int64), TOGETHER, *AS_IT_IS,
        out, spread, np.empty((40, 40), np.uint16),
    )  # fmt: skip
    assert np.isnan(out[20, 20]) and np.isnan(out[0, 0])
    assert out[10, 10] == pytest.approx(1.0)


def test_calibrate_is_scale_and_offset_of_the_pixels_colour():
    rng = np.random.default_rng(1)
    raw = rng.uniform(0, 1000, (41, 37)).astype(np.float32)
    scale, offset = np.empty((3, 3, 3), np.float32), np.empty((3, 3, 3), np.float32)
    scale[:], offset[:] = [2.0, 3.0, 4.0], [10.0, 20.0, 30.0]
    out = np.empty_like(raw)
    calibrate(raw, 0, GRBG, scale, offset, STEP, out)
    c = GRBG[np.arange(41)[:, None] % 2, np.arange(37) % 2]
    np.testing.assert_allclose(out, raw * np.array([2, 3, 4])[c] - np.array([10, 20, 30])[c], rtol=1e-6)
    part = np.empty_like(raw[6:])
    calibrate(raw[6:], 6, GRBG, scale, offset, STEP, part)
    np.testing.assert_array_equal(part, out[6:])


def test_invalidate_takes_off_what_demosaicing_spreads():
    for place in [(8, 9), (9, 9), (9, 8), (0, 0), (20, 21)]:
        lanes = np.ones((21, 22, 4), np.float32)
        invalidate(np.array([place[0]]), np.array([place[1]]), GRBG, True, lanes)
        one, ones, spread = (
            np.zeros((21, 22), np.float32),
            np.ones((3, 3, 3), np.float32),
            np.empty((21, 22, 4), np.float32),
        )
        one[place] = 1.0
        calibrated_cubic(one, 0, GRBG, ones, 0 * ones, 16, spread)
        spread = spread[..., :3].max(axis=2)
        spread[spread < 0.05] = 0.0  # green has lobes of -1/32, red and blue of 1/256: too little to count
        inside = np.s_[2:-2, 2:-2]
        np.testing.assert_allclose(1.0 - lanes[..., 3][inside], spread[inside], atol=1e-6)
