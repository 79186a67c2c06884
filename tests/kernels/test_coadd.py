"""Samples side by side: the kernels against slow and obvious twins, and the locations against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from zemosaic.imaging.taps import taps
from zemosaic.kernels.coadd import (
    KAPPA_SIGMA,
    LINEAR_FIT,
    MEAN,
    WINSORIZED,
    add_to_samples,
    count_rejected,
    locate,
    resample_box,
    weighted_median,
)
from zemosaic.kernels.resample import PLANES, add_to_sums

DEPTH, LEVEL = 40, 50.0
NO_CFA = (PLANES, PLANES)
SHARES = np.array([0.25, 0.5, 0.25])
RANGES = np.array([0.0, 0.0] + [2 * ndtri((n - 0.375) / (n + 0.25)) for n in range(2, DEPTH + 1)])
METHODS = {"none": MEAN, "kappa_sigma": KAPPA_SIGMA, "winsorized_sigma_clip": WINSORIZED, "linear_fit_clip": LINEAR_FIT}


def stack(rng, n, outlier=0.0, light=0.0, size=(3, 4), noise=5.0):
    """(samples, count): n samples of each pixel, of uneven noise, the first of them an outlier."""
    samples = np.full((DEPTH, *size, 7), np.nan, np.float32)
    sigma = noise * rng.uniform(0.8, 1.3, n)
    for k in range(n):
        samples[k, ..., :3] = LEVEL + light + sigma[k] * rng.normal(size=(*size, 3))
        samples[k, ..., 3:6] = sigma[k] ** 2 / SHARES
        samples[k, ..., 6] = rng.uniform(0.2, 1.0)
    samples[0, ..., :3] += outlier
    return samples, np.full(size, n, np.uint16)


def located(samples, count, method, kappas=(4.0, 4.0), limits=(0.05, 0.05), equal=False, unlike=0.0):
    out = np.empty((3, *count.shape), np.float32)
    locate(samples, count, METHODS[method], kappas, limits, equal, np.full(3, LEVEL), unlike, SHARES, RANGES, out)
    return out


def scale_of(variance, centre, unlike):
    return np.sqrt(variance + ((0.1 + unlike) * np.maximum(centre - LEVEL, 0.0)) ** 2)


def naive(x, variance, w, method, kappas, limits, unlike):
    order = np.argsort(x, kind="stable")
    x, variance, w = x[order], variance[order], w[order]
    start = centre = np.median(x)
    if method == "none":
        return np.average(x, weights=w)
    if method == "linear_fit_clip":
        return naive_line(x, variance, w, kappas, start, unlike)
    first, last = int(limits[0] * len(x)), len(x) - 1 - int(limits[1] * len(x))
    for _ in range(12):
        scale = scale_of(variance, centre, unlike)
        good = (x - centre >= -kappas[0] * scale) & (x - centre <= kappas[1] * scale)
        if not good.any():
            return start
        value = x
        if method == "winsorized_sigma_clip":
            value = np.clip(np.clip(x, x[first], x[last]), centre - 1.5 * scale, centre + 1.5 * scale)
        centre = np.average(value[good], weights=w[good])
    return centre


def naive_line(x, variance, w, kappas, start, unlike):
    kept = np.arange(len(x))
    while True:
        j = np.arange(len(kept)) - 0.5 * (len(kept) - 1)
        most = (
            RANGES[len(kept)] * np.sqrt(np.mean(scale_of(variance[kept], start, unlike) ** 2)) / max(len(kept) - 1, 1)
        )
        slope = min(np.polyfit(j, x[kept], 1)[0], most) if len(kept) > 1 else 0.0
        rest = x[kept] - slope * j - np.median(x[kept] - slope * j)
        scale = scale_of(variance[kept], start, unlike)
        good = (rest >= -kappas[0] * scale) & (rest <= kappas[1] * scale)
        if not good.any():
            return start
        if good.all():
            return np.average(x[kept], weights=w[kept])
        kept = kept[good]


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_locations_are_those_of_the_twins(method, equal):
    rng = np.random.default_rng(4)
    for n, kappas, limits, unlike in (
        (1, (4, 4), (0.05, 0.05), 0.0),
        (2, (3, 3), (0, 0), 0.0),
        (7, (2, 3), (0.2, 0.3), 0.4),
        (40, (3, 2), (0.1, 0), 0.0),
    ):
        samples, count = stack(rng, n, outlier=60.0, light=30.0)
        limits = tuple(map(float, limits))  # whole numbers would be kernels of their own to compile
        found = located(samples, count, method, tuple(map(float, kappas)), limits, equal, unlike)
        for y, x, c in np.ndindex(*count.shape, 3):
            values, variance, w = samples[:n, y, x, [c, 3 + c, 6]].astype(float).T
            expected = naive(values, SHARES[c] * variance, w if equal else w / variance, method, kappas, limits, unlike)
            assert found[c, y, x] == pytest.approx(expected, rel=1e-5), (n, y, x, c)


@pytest.mark.parametrize("method", METHODS)
def test_three_samples_are_enough_to_leave_out_one(method):
    """With the sample's own deviation nothing can be rejected among three at 3 sigma; with the model's it can, on both sides."""
    rng = np.random.default_rng(6)
    for n in (3, 5, 20):
        samples, count = stack(rng, n, size=(60, 60))
        clean = located(samples, count, method)
        for outlier in (-200.0, 200.0):
            spoilt = samples.copy()
            spoilt[0, ..., :3] += outlier
            shift = np.mean(located(spoilt, count, method) - clean)
            weight = (spoilt[0, 0, 0, 6] / spoilt[0, 0, 0, 3]) / np.sum(spoilt[:n, 0, 0, 6] / spoilt[:n, 0, 0, 3])
            if method == "none":
                assert shift == pytest.approx(weight * outlier, rel=1e-3)
            else:
                assert abs(shift) < 0.03 * 5.0, (n, outlier, shift)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "none"])
def test_locations_keep_what_noise_explains(method):
    """At 4 sigma the scatter of the location is that of the weighted mean."""
    samples, count = stack(np.random.default_rng(7), 12, size=(60, 60))
    ratio = located(samples, count, method, limits=(0.0, 0.0)).std() / located(samples, count, "none").std()
    assert 0.99 < ratio < 1.04


def test_seeing_does_not_clip_the_cores_of_stars():
    """Peaks that differ by 10 % rms: photon noise alone would leave out most of them, and shift the location."""
    rng = np.random.default_rng(8)
    samples, count = stack(rng, 15, light=3000.0, size=(60, 60))
    samples[..., :3] += 3000.0 * 0.1 * rng.normal(size=(*samples.shape[:3], 1))
    plain = located(samples, count, "none")
    for method in ("kappa_sigma", "winsorized_sigma_clip", "linear_fit_clip"):
        assert np.abs(np.mean(located(samples, count, method) - plain)) < 5.0


def test_samples_that_are_missing_do_not_count():
    samples, count = stack(np.random.default_rng(9), 5)
    samples[1, 1, 2, 0] = np.nan
    count[0, 0] = 0
    for method in METHODS:
        found = located(samples, count, method)
        assert np.isnan(found[:, 0, 0]).all() and np.isfinite(found[:, 1:]).all()
    fewer, _ = samples[[0, 2, 3, 4]].copy(), None
    expected = located(np.concatenate([fewer, samples[5:]]), np.full(count.shape, 4, np.uint16), "kappa_sigma")
    assert located(samples, count, "kappa_sigma")[0, 1, 2] == expected[0, 1, 2]


def naive_median(x, w):
    order = np.argsort(x)
    x, total = x[order], np.cumsum(w[order])
    at = int(np.searchsorted(total, 0.5 * total[-1] * (1 - 1e-9)))
    if at < len(x) - 1 and total[at] <= 0.5 * total[-1] * (1 + 1e-9):
        return 0.5 * (x[at] + x[at + 1])
    return x[at]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 8, 21])
@pytest.mark.parametrize("equal", [False, True])
def test_weighted_median_is_that_of_the_twin(n, equal):
    samples, count = stack(np.random.default_rng(10), n, outlier=1000.0) if n else stack(np.random.default_rng(1), 1)
    count[:] = n
    if equal:
        samples[..., 6] = 0.5
    out = np.empty((3, *count.shape), np.float32)
    weighted_median(samples, count, equal, out)
    for y, x, c in np.ndindex(*count.shape, 3):
        values, variance, w = samples[:n, y, x, [c, 3 + c, 6]].astype(float).T
        if n == 0:
            assert np.isnan(out[c, y, x])
        else:
            assert out[c, y, x] == pytest.approx(naive_median(values, w if equal else w / variance), rel=1e-6)
            if equal:
                assert out[c, y, x] == pytest.approx(np.median(values), rel=1e-6)


STEP, SIZE = 32, (50, 60)


def nodes(origin=(0, 0)):
    y, x = np.mgrid[origin[0] // STEP : 4, origin[1] // STEP : 4] * float(STEP)
    return (
        np.ascontiguousarray(0.98 * x - 0.05 * y + 4.3),
        0.05 * x + 0.98 * y + 6.7,
        (origin[0] // STEP, origin[1] // STEP),
    )


@pytest.fixture
def frame():
    image = np.random.default_rng(3).normal(100, 10, (71, 83, 4)).astype(np.float32)
    image[..., 3] = 1.0
    image[20:24, 30:34, 3] = 0.0
    return image


@pytest.mark.parametrize("equal", [False, True])
def test_samples_hold_what_the_sums_add_up(frame, equal):
    """The mean of the samples is that of the fused kernel of the final pass, weights, edges and invalid pixels included."""
    rng = np.random.default_rng(12)
    nx, ny, node0 = nodes()
    variances = rng.uniform(3, 5, (5, 6, 1)).astype(np.float32) * np.array([4, 2, 4], np.float32)
    weights = np.ones_like(variances) if equal else 1 / variances
    margins, box, apart = np.array([3.5, 3.5, 10.0]), (3, 45, 5, 60), np.array([[0.4, -0.2], [-0.3, 0.1]])
    samples, count = np.zeros((4, *SIZE, 7), np.float32), np.zeros(SIZE, np.uint16)
    sums, frames, rejected = np.zeros((*SIZE, 9), np.float32), np.zeros(SIZE, np.uint16), np.zeros(SIZE, np.uint16)
    seen = np.empty((box[1] - box[0], box[3] - box[2], 8), np.float32)
    for shift in (0.0, 20.0):
        image = frame.copy()
        image[..., :3] += shift
        resample_box(
            image,
            0,
            71,
            taps("lanczos3"),
            NO_CFA,
            nx,
            ny,
            node0,
            STEP,
            weights,
            variances,
            16,
            margins,
            apart,
            equal,
            box,
            seen,
        )
        add_to_samples(seen, box, (0, 0), 0.02, samples, count)
        add_to_sums(
            image, 0, 71, taps("lanczos3"), NO_CFA, nx, ny, node0, STEP, weights, variances, 16, margins, apart, (0, 0), box,
            sums, frames, rejected,
        )  # fmt: skip
    np.testing.assert_array_equal(count, frames)
    assert 0 < (count == 0).sum() < count.size / 2 and count.max() == 2
    mean = located(samples, count, "none", equal=equal)
    there = count > 0
    total = np.moveaxis(sums.reshape(*SIZE, 3, 3), 2, 0)
    np.testing.assert_allclose(mean[:, there], (total[..., 0] / np.maximum(total[..., 1], 1e-9))[:, there], rtol=2e-5)


def test_more_samples_than_there_is_room_for_are_counted(frame):
    seen = np.ones((4, 5, 8), np.float32)
    samples, count = np.zeros((2, 4, 5, 7), np.float32), np.zeros((4, 5), np.uint16)
    for _ in range(3):
        add_to_samples(seen, (0, 4, 0, 5), (0, 0), 0.5, samples, count)
    assert (count == 3).all() and (samples == 1).all()


def test_rejected_raw_pixels_are_counted_where_they_lie():
    signs = np.zeros((40, 83), np.int8)
    signs[9, 30], signs[20, 41] = 1, -1
    counts, (nx, ny, node0), row0 = np.zeros((2, *SIZE), np.uint16), nodes(), 6
    for _ in range(2):
        count_rejected(signs, row0, nx, ny, node0, STEP, (0, 0), (0, *SIZE[:1], 0, SIZE[1]), counts)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    sx, sy = np.rint(0.98 * x - 0.05 * y + 4.3).astype(int), np.rint(0.05 * x + 0.98 * y + 6.7).astype(int)
    np.testing.assert_array_equal(counts[1], 2 * ((sx == 30) & (sy == 9 + row0)))
    np.testing.assert_array_equal(counts[0], 2 * ((sx == 41) & (sy == 20 + row0)))
    assert counts[0].sum() == counts[1].sum() == 2
