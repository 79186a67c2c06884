"""How a pattern gets into the mosaic: against sums over all pairs of frames."""

import numpy as np
import pytest
from scipy.ndimage import convolve, shift

from zemosaic.imaging.smear import smear_of
from zemosaic.model import Grid, Solution

STEP = 6.6e-4  # deg/px
SHAPE = (200, 260)
GRID = Grid(83.0, -5.0, STEP, 700, 700, 350.0, 350.0)
DEBAYERED = {
    1: [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]],
    2: [[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]],
    4: [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
}


def moved(steps) -> list[Solution]:
    """Frames whose pixels lie `steps` (n, 2) further to the right and up in the mosaic."""
    return [Solution(83.0, -5.0, 129.5 - dx, 99.5 - dy, (-STEP, 0.0, 0.0, STEP)) for dx, dy in steps]


def naive(pattern, colours, steps) -> np.ndarray:
    """Mean over frames of what all of them put upon the places that a pixel sees."""
    out = np.zeros(pattern.shape)
    for c in np.unique(colours):
        own = np.tile(colours == c, (pattern.shape[0] // 2, pattern.shape[1] // 2))
        kernel = np.array(DEBAYERED[int((colours == c).sum())])
        full = convolve(np.where(own, pattern, 0.0).astype(float), kernel, mode="constant")
        drawn = [shift(full, -(a - b)[::-1], order=1, mode="constant") for a in steps for b in steps]
        out[own] = np.mean(drawn, axis=0)[own]
    return out


@pytest.mark.parametrize("colours", [np.zeros((2, 2), int), np.array([[1, 0], [2, 1]])])
def test_drift_smears_along_its_line(colours):
    steps = np.linspace(-15, 15, 12)[:, None] * [0.8, 0.6]
    smear = smear_of(moved(steps), 1.0, SHAPE, GRID, colours)
    assert not smear.plain
    pattern = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    inner = np.s_[40:-40, 40:-40]
    np.testing.assert_allclose(smear(pattern)[inner], naive(pattern, colours, steps)[inner], atol=2e-3)
    level = smear(np.ones(SHAPE, np.float32))
    assert level.max() < 1.001
    np.testing.assert_allclose(level[inner], 1.0, atol=1e-3)


def test_dithered_field_is_plain():
    steps = np.random.default_rng(1).uniform(-30, 30, (80, 2))
    assert smear_of(moved(steps), 1.0, SHAPE, GRID, np.zeros((2, 2), int)).plain


def test_some_of_the_frames_stand_for_all():
    steps = np.linspace(-15, 15, 120)[:, None] * [0.8, 0.6]
    pattern = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    all_frames = smear_of(moved(steps), 1.0, SHAPE, GRID, np.zeros((2, 2), int))(pattern)
    some = smear_of(moved(steps[1::3]), 3.0, SHAPE, GRID, np.zeros((2, 2), int))(pattern)
    difference = (some - all_frames)[40:-40, 40:-40]
    assert np.std(difference) < 0.3 * np.std(all_frames)
