"""Streaks are found below the threshold of single pixels, and stars are no streaks."""

import math

import numpy as np
import pytest

from zemosaic.imaging.streaks import find_streaks, streak_mask


def field(rng, amplitude, angle, offset, shape=(700, 500), stretch=(0.0, 1.0)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    across = x * math.sin(angle) + y * math.cos(angle) - offset
    along = x * math.cos(angle) - y * math.sin(angle)
    first, last = (along.min() + s * np.ptp(along) for s in stretch)
    trail = amplitude * np.exp(-0.5 * (across / 1.45) ** 2) * ((along >= first) & (along <= last))
    return (rng.normal(size=shape) + trail).astype(np.float32), trail


@pytest.mark.parametrize(("amplitude", "angle", "offset"), [(1.2, 0.7, 600), (6.0, 2.2, 150), (50.0, 0.05, 300)])
def test_a_trail_is_found_and_covered(amplitude, angle, offset):
    score, trail = field(np.random.default_rng(2), amplitude, angle, offset)
    streaks = find_streaks(score)
    mask = streak_mask(score, streaks)
    assert len(streaks) == 1
    assert trail[~mask].sum() < 0.01 * trail.sum()
    assert np.abs(trail[~mask]).max() < 0.3
    assert mask.mean() < 0.04


def test_a_trail_that_begins_inside_the_frame_costs_only_its_stretch():
    score, trail = field(np.random.default_rng(3), 6.0, 0.4, 450, stretch=(0.5, 0.8))
    mask = streak_mask(score, find_streaks(score))
    whole = field(np.random.default_rng(3), 6.0, 0.4, 450)[1] > 0.1
    assert trail[~mask].sum() < 0.02 * trail.sum()
    assert (mask & whole).sum() < 0.8 * whole.sum()


def test_noise_stars_and_hot_pixels_are_no_streaks():
    rng = np.random.default_rng(4)
    score = rng.normal(size=(700, 500)).astype(np.float32)
    y, x = np.mgrid[:700, :500]
    for _ in range(60):
        cx, cy = rng.uniform(0, 500), rng.uniform(0, 700)
        near = np.s_[max(0, int(cy) - 9) : int(cy) + 10, max(0, int(cx) - 9) : int(cx) + 10]
        score[near] += 8 * np.exp(-((x[near] - cx) ** 2 + (y[near] - cy) ** 2) / 6)
    score[rng.integers(0, 700, 300), rng.integers(0, 500, 300)] += 40
    score[100:200, 50:90] = np.nan
    assert find_streaks(score) == ()


def test_the_border_of_a_frame_is_no_streak():
    rng = np.random.default_rng(6)
    score = rng.normal(size=(700, 500)).astype(np.float32)
    score[-7:] += 2.0
    assert find_streaks(score) == ()
