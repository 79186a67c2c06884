"""Kernels of the resampling against slow and obvious twins."""

import numpy as np
import pytest

from zemosaic.imaging.taps import drops, taps
from zemosaic.kernels.coadd import resample_box
from zemosaic.kernels.resample import PLANES, add_to_buckets, add_to_sums, bucket_centre
from zemosaic.kernels.sampling import cells_of

STEP = 32
NO_CFA = (PLANES, PLANES)
TOGETHER = np.empty((0, 2))  # all colours fall on one place


def lanczos(t):
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0.0)


def naive_sample(plane, x, y):
    ix, iy = int(np.floor(x)), int(np.floor(y))
    wx, wy = lanczos(x - np.arange(ix - 2, ix + 4)), lanczos(y - np.arange(iy - 2, iy + 4))
    return (wy / wy.sum()) @ plane[iy - 2 : iy + 4, ix - 2 : ix + 4] @ (wx / wx.sum())


def naive_taper(p, last, margin, width):
    t = np.clip((min(p, last - p) - margin) / width, 0, 1)
    return 1 - (1 - t) ** 2


def affine_nodes(size, origin=(0, 0), a=0.98, b=0.05, dx=4.3, dy=6.7):
    """Nodes of x' = a x - b y + dx, y' = b x + a y + dy over a region, exact under bilinear interpolation."""
    j0, i0 = origin[0] // STEP, origin[1] // STEP
    ny, nx = (origin[0] + size[0]) // STEP + 2 - j0, (origin[1] + size[1]) // STEP + 2 - i0
    y, x = np.mgrid[j0 : j0 + ny, i0 : i0 + nx] * float(STEP)
    return np.ascontiguousarray(a * x - b * y + dx), b * x + a * y + dy, (j0, i0)


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    image = rng.normal(100, 10, (71, 83, 4)).astype(np.float32)
    image[..., 3] = 1.0
    return image


def run_buckets(frame, size=(50, 60), origin=(0, 0), times=1, apart=TOGETHER, most=99):
    nx, ny, node0 = affine_nodes(size, origin)
    weights = np.full((5, 5, 3), 0.25, np.float32)
    buckets = np.zeros((9, *size, 6), np.float32)
    count = np.zeros(size, np.uint16)
    box = (origin[0], origin[0] + size[0], origin[1], origin[1] + size[1])
    for _ in range(times):
        add_to_buckets(
            frame, 0, frame.shape[0], taps("lanczos3"), nx, ny, node0, STEP, weights, STEP,
            np.array([3.5, 3.5, 10.0]), apart, origin, box, buckets, count, most,
        )  # fmt: skip
    return buckets, count


def test_a_pixel_is_one_lanczos_interpolation(frame):
    buckets, count = run_buckets(frame)
    centre = np.empty((3, 50, 60), np.float32)
    bucket_centre(buckets, centre)
    for y, x in [(10, 12), (25, 30), (40, 55)]:
        fx, fy = 0.98 * x - 0.05 * y + 4.3, 0.05 * x + 0.98 * y + 6.7
        assert count[y, x] == 1
        for c in range(3):
            assert centre[c, y, x] == pytest.approx(naive_sample(frame[..., c], fx, fy), abs=0.02)
        taper = naive_taper(fx, 82, 3.5, 10) * naive_taper(fy, 70, 3.5, 10)
        assert buckets[0, y, x, 1] == pytest.approx(0.25 * taper, rel=1e-5)


def test_the_weight_reaches_zero_at_the_border_without_a_step(frame):
    nx, ny, node0 = affine_nodes((71, 83), a=1.0, b=0.0, dx=0.0, dy=0.0)
    buckets, count = np.zeros((9, 71, 83, 6), np.float32), np.zeros((71, 83), np.uint16)
    weights = np.ones((5, 5, 3), np.float32)
    add_to_buckets(
        frame, 0, 71, taps("lanczos3"), nx, ny, node0, STEP, weights, STEP,
        np.array([3.5, 3.5, 20.0]), TOGETHER, (0, 0), (0, 71, 0, 83), buckets, count, 99,
    )  # fmt: skip
    profile = buckets[0, :, 40, 1]
    assert profile[:4].max() == 0.0 and profile[35] == 1.0
    assert 0.0 < profile[4] < 0.05
    assert np.abs(np.diff(profile)).max() < 2.0 / 20
    assert np.abs(np.diff(profile[4:33], 2)).max() < 2.1 / 20**2  # level where it ends, and no bend on the way


@pytest.mark.parametrize("box", [(0, 250, 0, 250), (40, 170, 33, 95), (60, 61, 70, 71), (10, 10, 0, 250)])
def test_cells_are_those_in_which_any_pixel_sees_the_frame(box):
    shape, margins = (210, 182), np.array([3.5, 5.0, 12.0])
    nx, ny, node0 = affine_nodes((250, 250), a=0.9, b=0.2, dx=20.0, dy=-30.0)
    found = cells_of(shape, nx, ny, node0, STEP, margins, box)
    listed = {(j, i): wholly for j, i, wholly in found.tolist()}
    for j, i in np.ndindex(8, 8):
        y, x = np.mgrid[j * STEP : (j + 1) * STEP + 1, i * STEP : (i + 1) * STEP + 1]
        place = np.stack([0.9 * x - 0.2 * y + 20.0, 0.2 * x + 0.9 * y - 30.0], axis=-1).reshape(-1, 2)
        taper = [naive_taper(px, 181, 3.5, 12) * naive_taper(py, 209, 5.0, 12) for px, py in place]
        inside = y.max() > box[0] and y.min() < box[1] and x.max() > box[2] and x.min() < box[3] and box[1] > box[0]
        assert not (inside and max(taper) > 0) or (j, i) in listed
        assert listed.get((j, i), 0) == 0 or min(taper) == 1.0
    if box[1] - box[0] == 250:
        assert 20 < len(found) < 64 and 0 < sum(listed.values()) < len(found)


def test_samples_go_round_the_nine_buckets(frame):
    buckets, count = run_buckets(frame, times=11)
    assert count[25, 30] == 11
    weights = buckets[:, 25, 30, 1] / buckets[8, 25, 30, 1]
    np.testing.assert_allclose(weights, [2, 2, 1, 1, 1, 1, 1, 1, 1], rtol=1e-6)


def test_a_pixel_takes_so_many_samples_and_no_more(frame):
    """Also where others around it still want some: a frame with a hole leaves its pixels hungry."""
    holes = frame.copy()
    holes[20:33, 15:50, 3] = 0.0
    nx, ny, node0 = affine_nodes((50, 60))
    weights, margins = np.full((5, 5, 3), 0.25, np.float32), np.array([3.5, 3.5, 10.0])
    buckets, count = np.zeros((9, 50, 60, 6), np.float32), np.zeros((50, 60), np.uint16)
    naive, seen = np.zeros_like(buckets), np.zeros((50, 60), int)
    for image in (holes, holes, frame, holes, frame, frame):
        add_to_buckets(
            image, 0, 71, taps("lanczos3"), nx, ny, node0, STEP, weights, STEP,
            margins, TOGETHER, (0, 0), (0, 50, 0, 60), buckets, count, 3,
        )  # fmt: skip
        alone, here = np.zeros((9, 50, 60, 6), np.float32), np.zeros((50, 60), np.uint16)
        add_to_buckets(
            image, 0, 71, taps("lanczos3"), nx, ny, node0, STEP, weights, STEP,
            margins, TOGETHER, (0, 0), (0, 50, 0, 60), alone, here, 1,
        )  # fmt: skip
        y, x = np.nonzero((here > 0) & (seen < 3))
        naive[seen[y, x], y, x] += alone[0, y, x]
        seen[y, x] += 1
    np.testing.assert_array_equal(count, seen)
    np.testing.assert_array_equal(buckets, naive)
    assert (count == 3).any() and (count == 0).any()


def test_a_pixel_does_not_depend_on_the_region(frame):
    whole, count = run_buckets(frame, size=(60, 60))
    part, part_count = run_buckets(frame, size=(23, 31), origin=(17, 9))
    np.testing.assert_array_equal(whole[:, 17:40, 9:40], part)
    np.testing.assert_array_equal(count[17:40, 9:40], part_count)


def test_rows_of_a_frame_give_the_same_as_the_frame(frame):
    whole, _ = run_buckets(frame, size=(20, 60))
    nx, ny, node0 = affine_nodes((20, 60))
    buckets, count = np.zeros((9, 20, 60, 6), np.float32), np.zeros((20, 60), np.uint16)
    weights = np.full((5, 5, 3), 0.25, np.float32)
    add_to_buckets(
        frame[2:40], 2, frame.shape[0], taps("lanczos3"), nx, ny, node0, STEP, weights, STEP,
        np.array([3.5, 3.5, 10.0]), TOGETHER, (0, 0), (0, 20, 0, 60), buckets, count, 99,
    )  # fmt: skip
    np.testing.assert_array_equal(whole, buckets)


def test_centre_is_the_median_of_the_bucket_means():
    rng = np.random.default_rng(5)
    buckets = rng.normal(10, 1, (9, 7, 5, 6)).astype(np.float32)
    buckets[..., 1::2] = rng.integers(0, 3, (9, 7, 5, 3))
    buckets[:, 0, 0, 1::2] = 0.0
    out = np.empty((3, 7, 5), np.float32)
    bucket_centre(buckets, out)
    for y, x, c in np.ndindex(7, 5, 3):
        good = buckets[:, y, x, 2 * c + 1] > 0
        means = buckets[good, y, x, 2 * c] / buckets[good, y, x, 2 * c + 1]
        if means.size:
            assert out[c, y, x] == pytest.approx(np.median(means), rel=1e-6)
        else:
            assert np.isnan(out[c, y, x])


def test_sums_give_mean_and_formal_variance(frame):
    nx, ny, node0 = affine_nodes((50, 60))
    weights, variances = np.full((5, 5, 3), 0.25, np.float32), np.full((5, 5, 3), 4.0, np.float32)
    sums = np.zeros((50, 60, 9), np.float32)
    count, rejected = np.zeros((50, 60), np.uint16), np.zeros((50, 60), np.uint16)
    damaged = frame.copy()
    damaged[30:40, 30:40, 3] = 0.0
    for image in (frame, damaged):
        add_to_sums(
            image, 0, 71, taps("lanczos3"), NO_CFA, nx, ny, node0, STEP, weights, variances, STEP,
            np.array([3.5, 3.5, 1.0]), TOGETHER, (0, 0), (0, 50, 0, 60), sums, count, rejected,
        )  # fmt: skip
    assert (count[27, 32], rejected[27, 32]) == (1, 1)
    assert (count[10, 12], rejected[10, 12]) == (2, 0)
    weight = sums[10, 12, 1] ** 2 / sums[10, 12, 2]
    assert weight == pytest.approx(2 / 4.0, rel=1e-5)
    assert sums[10, 12, 0] / sums[10, 12, 1] == pytest.approx(
        naive_sample(frame[..., 0], 0.98 * 12 - 0.5 + 4.3, 0.6 + 9.8 + 6.7), abs=0.02
    )


def test_nan_in_a_frame_stays_no_data(frame):
    frame[30, 30, 0] = np.nan
    buckets, _ = run_buckets(frame)
    centre = np.empty((3, 50, 60), np.float32)
    bucket_centre(buckets, centre)
    near = centre[:, 24, 27]
    assert np.isnan(buckets[0, 24, 27, 0])
    assert np.isfinite(near[1:]).all()


def between(nodes, y, x):
    """A lattice of `STEP` px, interpolated bilinearly."""
    j, i, fy, fx = int(y) // STEP, int(x) // STEP, y % STEP / STEP, x % STEP / STEP
    corners = nodes[j : j + 2, i : i + 2]
    return np.array([1 - fy, fy]) @ corners @ np.array([1 - fx, fx])


@pytest.fixture
def wide():
    """A frame in whose middle cells of the lattice lie, its crooked mapping, weights and variances that change over it."""
    rng = np.random.default_rng(8)
    image = rng.normal(100, 10, (211, 183, 4)).astype(np.float32)
    image[..., 3] = rng.uniform(0.0, 1.0, (211, 183)) ** 0.2
    y, x = np.mgrid[0:9, 0:9] * 32.0
    nodes_x = 0.95 * x + 0.1 * y - 20 + rng.normal(0, 1, x.shape)
    nodes_y = 0.95 * y - 0.1 * x + 5 + rng.normal(0, 1, x.shape)
    lattices = [rng.uniform(1.0, 2.0, (15, 13, 3)).astype(np.float32) for _ in range(2)]
    return image, nodes_x, nodes_y, *lattices


def sum_up(wide, box, channels=3, apart=TOGETHER):
    image, nodes_x, nodes_y, weights, variances = wide
    plane = box[1] - box[0], box[3] - box[2]
    sums, counts = np.zeros((*plane, 3 * channels), np.float32), [np.zeros(plane, np.uint16) for _ in range(2)]
    weights, variances = (np.ascontiguousarray(lattice[..., :channels]) for lattice in (weights, variances))
    seen = add_to_sums(
        image, 0, 211, taps("lanczos3"), NO_CFA, nodes_x, nodes_y, (0, 0), STEP, weights, variances, 16,
        np.array([3.5, 5.0, 12.0]), apart, (box[0], box[2]), box, sums, *counts,
    )  # fmt: skip
    assert seen == counts[0].sum()
    return sums, *counts


def test_the_sums_are_those_of_a_loop_over_pixels(wide):
    image, nodes_x, nodes_y, weights, variances = wide
    sums, count, rejected = sum_up(wide, (0, 250, 0, 250))
    ny, nx = np.clip(nodes_y / 16, 0, 14 - 1e-9) * STEP, np.clip(nodes_x / 16, 0, 12 - 1e-9) * STEP
    weight, variance = np.empty((2, 3, 9, 9))
    for c, j, i in np.ndindex(3, 9, 9):
        weight[c, j, i] = between(weights[..., c], ny[j, i], nx[j, i])
        variance[c, j, i] = between(variances[..., c], ny[j, i], nx[j, i])
    seen = 0
    for y, x in np.ndindex(250, 250):
        if (7 * y + 3 * x) % 11:
            continue
        fx, fy = between(nodes_x, y, x), between(nodes_y, y, x)
        taper = naive_taper(fx, 182, 3.5, 12) * naive_taper(fy, 210, 5.0, 12)
        valid = naive_sample(image[..., 3], fx, fy) if taper > 0 else 0.0
        assert count[y, x] == (taper > 0 and valid > 0.02) and rejected[y, x] == (taper > 0 and valid < 0.5)
        seen += count[y, x]
        for c in range(3 * count[y, x]):
            w = taper * min(valid, 1.0) * between(weight[c], y, x)
            expected = w * naive_sample(image[..., c], fx, fy), w, w * w * between(variance[c], y, x)
            np.testing.assert_allclose(sums[y, x, 3 * c : 3 * c + 3], expected, rtol=2e-3)
    assert seen > 2000


def test_sums_are_the_same_bits_in_any_region(wide):
    whole = sum_up(wide, (0, 250, 0, 250))
    for box in [(3, 250, 1, 250), (31, 65, 63, 64), (64, 97, 30, 131), (100, 101, 0, 250), (40, 41, 90, 91)]:
        for array, part in zip(whole, sum_up(wide, box), strict=True):
            np.testing.assert_array_equal(array[box[0] : box[1], box[2] : box[3]], part)


def test_one_channel_is_the_first_of_three(wide):
    sums, count, _ = sum_up(wide, (0, 250, 0, 250), channels=1)
    three, counts, _ = sum_up(wide, (0, 250, 0, 250))
    np.testing.assert_array_equal(sums, three[..., :3])
    np.testing.assert_array_equal(count, counts)


def test_where_the_mapping_is_unknown_there_is_nothing(wide):
    wide[1][3, 3] = wide[2][5, 5] = np.nan
    sums, count, _ = sum_up(wide, (0, 250, 0, 250))
    assert np.isfinite(sums).all()
    assert not count[64:128, 64:128][1:, 1:].any() and count[30:60, 70:200].any()


APART = np.array([[-0.37, 0.21], [0.93, -0.88]])


def test_red_and_blue_are_taken_from_their_own_places(frame):
    """Each colour is one interpolation, at the place where its light falls."""
    buckets, _ = run_buckets(frame, apart=APART)
    together, _ = run_buckets(frame)
    np.testing.assert_array_equal(buckets[..., 2:4], together[..., 2:4])
    centre = np.empty((3, 50, 60), np.float32)
    bucket_centre(buckets, centre)
    for y, x in [(10, 12), (25, 30), (40, 55)]:
        fx, fy = 0.98 * x - 0.05 * y + 4.3, 0.05 * x + 0.98 * y + 6.7
        assert centre[0, y, x] == pytest.approx(naive_sample(frame[..., 0], fx - 0.37, fy + 0.21), abs=0.02)
        assert centre[2, y, x] == pytest.approx(naive_sample(frame[..., 2], fx + 0.93, fy - 0.88), abs=0.02)


def test_shifted_colours_are_the_same_bits_in_any_region_and_up_to_the_border(wide):
    whole = sum_up(wide, (0, 250, 0, 250), apart=APART)
    box = (31, 65, 63, 130)
    for array, part in zip(whole, sum_up(wide, box, apart=APART), strict=True):
        np.testing.assert_array_equal(array[box[0] : box[1], box[2] : box[3]], part)
    np.testing.assert_array_equal(whole[1], sum_up(wide, (0, 250, 0, 250))[1])
    assert np.isfinite(whole[0]).all()


PIXFRAC, SIZE = 0.8, 1.1


def overlap(t, pixfrac, size):
    """Of a drop at distance t with a pixel, along one axis."""
    return max(min(t + pixfrac / 2, size / 2) - max(t - pixfrac / 2, -size / 2), 0.0)


def naive_drops(raw, there, mine, x, y, pitch):
    """Mean of a colour's raw pixels by what a mosaic pixel takes of their drops, and that weight, 1 on average."""
    total = weight = 0.0
    for b, a in np.argwhere(mine & (there > 0)):
        both = 1.0
        for t in (x - a, y - b):
            faint = 0.03 / pitch * max(1.0 - abs(t) / pitch, 0.0)
            both *= (overlap(t, PIXFRAC, SIZE) / (PIXFRAC * SIZE) + faint) / 1.03
        total += both * there[b, a] * raw[b, a]
        weight += both * there[b, a]
    return total / weight if weight > 0 else 0.0, weight / np.mean(mine[:2, :2])


def sensor(red, shape=(211, 183)):
    """Values, validity, which pixels each colour has, and the four lanes of a frame; some pixels are left out."""
    rng = np.random.default_rng(6)
    raw, there = rng.normal(100, 10, shape), np.where(rng.random(shape) < 0.03, 0.0, rng.choice([1.0, 1.0, 0.7], shape))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    if red[0] < 0:
        mine = [np.ones(shape, bool)] * 3
    else:
        odd = (y + red[0]) % 2 + (x + red[1]) % 2
        mine = [odd == 0, odd == 1, odd == 2]
    lanes = np.stack([np.where(each, raw, 0.0) * there for each in mine] + [there], axis=-1)
    return raw, there, mine, np.ascontiguousarray(lanes, np.float32)


@pytest.mark.parametrize("red", [(0, 1), (1, 1), (-1, -1)])
@pytest.mark.parametrize("apart", [TOGETHER, APART])
def test_drops_are_those_of_a_loop_over_raw_pixels(wide, red, apart):
    _, nodes_x, nodes_y, weights, variances = wide
    raw, there, mine, lanes = sensor(red)
    pitch = 1 if red[0] < 0 else 2
    table, weights, variances = drops(PIXFRAC, SIZE, pitch), np.full_like(weights, 0.5), np.full_like(variances, 3.0)
    sums, count, rejected = np.zeros((250, 250, 9), np.float32), *np.zeros((2, 250, 250), np.uint16)
    margins, box = np.array([3.5, 5.0, 12.0]), (0, 250, 0, 250)
    add_to_sums(
        lanes, 0, 211, table, red, nodes_x, nodes_y, (0, 0), STEP, weights, variances, 16, margins, apart, (0, 0), box,
        sums, count, rejected,
    )  # fmt: skip
    seen = np.zeros((250, 250, 8), np.float32)
    resample_box(
        lanes,
        0,
        211,
        table,
        red,
        nodes_x,
        nodes_y,
        (0, 0),
        STEP,
        weights,
        variances,
        16,
        margins,
        apart,
        False,
        box,
        seen,
    )
    found, size = 0, np.array([100.0, 1.0, 1.0])
    for y, x in np.ndindex(250, 250):
        fx, fy = between(nodes_x, y, x), between(nodes_y, y, x)
        taper = naive_taper(fx, 182, 3.5, 12) * naive_taper(fy, 210, 5.0, 12)
        if (7 * y + 3 * x) % 211 or taper == 0.0:
            continue
        found += 1
        for c in range(3):
            dx, dy = apart[c // 2] if c != 1 and len(apart) else (0.0, 0.0)
            near = np.s_[max(int(fy + dy) - 5, 0) : int(fy + dy) + 7, max(int(fx + dx) - 5, 0) : int(fx + dx) + 7]
            at = fx + dx - near[1].start, fy + dy - near[0].start
            mean, strength = naive_drops(raw[near], there[near], mine[c][near], *at, pitch)
            expected = 0.5 * taper * strength * np.array([mean, 1.0, 0.5 * taper * 3.0])
            np.testing.assert_allclose(sums[y, x, 3 * c : 3 * c + 3] / size, expected / size, rtol=0.01, atol=1e-3)
            assert seen[y, x, c] == pytest.approx(mean, abs=1.0)
            assert seen[y, x, 6] / seen[y, x, 3 + c] == pytest.approx(expected[1], rel=0.01, abs=1e-3)
    assert found > 60


def test_drops_are_the_same_bits_in_any_region_and_rows(wide):
    _, nodes_x, nodes_y, weights, variances = wide
    lanes, table = sensor((0, 1))[3], drops(PIXFRAC, SIZE, 2)

    def summed(box, first=0):
        plane = box[1] - box[0], box[3] - box[2]
        arrays = np.zeros((*plane, 9), np.float32), np.zeros(plane, np.uint16), np.zeros(plane, np.uint16)
        add_to_sums(
            lanes[first:], first, 211, table, (0, 1), nodes_x, nodes_y, (0, 0), STEP, weights, variances, 16,
            np.array([3.5, 5.0, 12.0]), APART, (box[0], box[2]), box, *arrays,
        )  # fmt: skip
        return arrays

    whole = summed((0, 250, 0, 250))
    assert np.isfinite(whole[0]).all() and whole[1].max() == 1 and whole[2].any()
    for box, first in [((3, 250, 1, 250), 0), ((31, 65, 63, 64), 0), ((200, 230, 60, 131), 96)]:
        for array, part in zip(whole, summed(box, first), strict=True):
            np.testing.assert_array_equal(array[box[0] : box[1], box[2] : box[3]], part)
