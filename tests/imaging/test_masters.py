"""Masters and what is done with them, on arrays of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.masters import (
    CLIP,
    MOST_HOT,
    applied,
    clipped_mean,
    colour_medians,
    dead_pixels,
    full_level,
    hot_pixels,
    per_colour,
    scaled_dark,
    smooth_flat,
    smooth_part,
)


def slow_mean(stack: np.ndarray) -> np.ndarray:
    """The same pixel by pixel."""
    n, h, w = stack.shape
    middle, own, out = np.zeros((h, w)), np.full((h, w), np.nan), np.full((h, w), np.nan)
    for y in range(h):
        for x in range(w):
            middle[y, x] = np.median(stack[:, y, x])
            own[y, x] = 1.4826 * np.median(np.abs(stack[:, y, x] - middle[y, x]))
    typical = np.nanmedian(own)
    for y in range(h):
        for x in range(w):
            values = stack[:, y, x]
            if n >= 3:
                values = values[np.abs(values - middle[y, x]) <= CLIP * max(own[y, x], typical)]
            if np.isfinite(own[y, x]):
                out[y, x] = np.mean(values)
    return out


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 20])
@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (1, 3)])
def test_mean_is_that_of_the_slow_twin(n, shape):
    rng = np.random.default_rng(n)
    stack = rng.normal(500, 10, (n, *shape)).astype(np.float32)
    stack[0].ravel()[:2] += 3000.0  # a cosmic hit
    if n > 3:
        stack[1, -1, -1] = np.nan
    np.testing.assert_allclose(clipped_mean(stack), slow_mean(stack), rtol=1e-5)


def test_clipping_costs_no_noise_and_leaves_no_hit():
    """Of 16 Gaussian values the clipped mean has the noise of the mean; a hit of 50 sigma leaves nothing."""
    rng = np.random.default_rng(1)
    stack = rng.normal(0, 1, (16, 200, 200)).astype(np.float32)
    stack[3, ::10, ::10] += 50.0
    result = clipped_mean(stack)
    assert result.std() == pytest.approx(0.25, rel=0.02)
    assert abs(result[::10, ::10].mean()) < 4 * 0.26 / 20


def test_five_frames_are_clipped_by_the_noise_of_all():
    """The own spread of five values is a poor limit: of good ones next to none goes, an outlier always."""
    rng = np.random.default_rng(2)
    stack = rng.normal(0, 1, (5, 300, 300)).astype(np.float32)
    plain = stack.mean(axis=0)
    assert np.mean(np.abs(clipped_mean(stack) - plain) > 1e-4) < 0.02
    stack[0] += 30.0
    assert np.abs(clipped_mean(stack)).max() < 4.0


def test_colours_have_their_own_level_in_any_row():
    rng = np.random.default_rng(3)
    image = rng.uniform(90, 110, (9, 10)).astype(np.float32)
    image[0::2, 1::2] *= 3.0  # red of GRBG
    image[1::2, 0::2] *= 0.5
    levels = colour_medians(image, "GRBG")
    assert levels == pytest.approx((300, 100, 50), rel=0.1)
    whole = per_colour(image, "GRBG", levels)
    assert whole.min() > 0.85 and whole.max() < 1.2
    for first in (0, 3, 8):
        np.testing.assert_array_equal(per_colour(image[first:], "GRBG", levels, first), whole[first:])
    assert colour_medians(image, None) == (float(np.median(image)),)


def test_planted_hot_pixels_are_found():
    rng = np.random.default_rng(4)
    dark = rng.normal(500, 3, (240, 320)).astype(np.float32)
    dark[0::2, 1::2] += 20.0  # amplifiers of a phase differ
    places = rng.choice(dark.size, 200, replace=False)
    dark.ravel()[places[:150]] += rng.uniform(8.5 * 3, 5000, 150).astype(np.float32) + 8
    dark.ravel()[places[150]] = np.nan
    found = hot_pixels(dark)
    assert found.ravel()[places[:151]].all()
    assert found.sum() <= 155


def test_the_hottest_are_bad_when_too_many_stand_out():
    rng = np.random.default_rng(5)
    dark = rng.lognormal(2.0, 2.0, (200, 200)).astype(np.float32)
    found = hot_pixels(dark)
    assert found.mean() == pytest.approx(MOST_HOT, rel=0.02)
    assert dark[found].min() >= dark[~found].max() * 0.9


def test_dead_pixels_do_not_include_dark_corners():
    rng = np.random.default_rng(6)
    flat = smooth_flat((200, 300), (-0.7, 0.05)) * rng.normal(1, 0.01, (200, 300)).astype(np.float32)
    assert flat[0, 0] < 0.45
    places = rng.choice(flat.size, 30, replace=False)
    flat.ravel()[places[:10]] *= 0.4
    flat.ravel()[places[10:20]] = 0.0
    flat.ravel()[places[20:29]] *= 2.5
    flat.ravel()[places[29]] = np.nan
    assert np.array_equal(np.flatnonzero(dead_pixels(flat)), np.sort(places))


@pytest.mark.parametrize("shape", [(480, 360), (201, 333)])
def test_smooth_part_of_a_flat(shape):
    rng = np.random.default_rng(7)
    flat = 1.7 * smooth_flat(shape, (-0.3, -0.1)) * rng.normal(1, 0.02, shape).astype(np.float32)
    level, coefficients = smooth_part(flat)
    assert level == pytest.approx(1.7, rel=2e-3)
    np.testing.assert_allclose(smooth_flat(shape, coefficients), smooth_flat(shape, (-0.3, -0.1)), atol=4e-3)


def test_a_flat_without_a_smooth_part():
    """One that falls to nothing in the corners is divided out whole; a tiny one has too few cells to tell."""
    steep = np.maximum(smooth_flat((480, 360), (-1.1, 0.0)), 0.001)
    assert smooth_part(steep)[1] == ()
    assert smooth_part(np.full((40, 40), 2.0, np.float32)) == (2.0, ())


def test_application():
    raw = np.array([[600, 700], [500, 65535]], np.uint16)
    dark = np.array([[500, np.nan], [500, 500]], np.float32)
    flat = np.array([[0.5, 1.0], [1.0, 2.0]], np.float32)
    out = applied(raw, dark, flat)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[200, np.nan], [0, 32517.5]], atol=1e-5)
    assert out[1, 0] != 0  # a 0 would say that the firmware had cut it
    assert applied(np.zeros((2, 2), np.uint16), None, flat)[0, 0] == 0
    np.testing.assert_array_equal(applied(raw, None, None), raw)
    level = full_level(65535.0, dark, flat)
    assert level[1, 1] == out[1, 1] and level[0, 0] == pytest.approx(130070)
    assert full_level(65535.0, None, None) == 65535.0


def test_scaled_dark():
    bias, current = np.full((3, 4), 500.0, np.float32), np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(scaled_dark(bias + current, bias, 2.5), 500 + 2.5 * current)
