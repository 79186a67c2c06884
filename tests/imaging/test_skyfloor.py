"""The dark floor of a mosaic, and when its tilt is believed."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.skyfloor import FLOOR, floor_plane, tilt

PLACE = np.stack(np.meshgrid(np.arange(40.0), np.arange(25.0)), axis=-1).reshape(-1, 2)
SLOPES = np.array([2.0, -3.0])


def sky(seed: int = 1) -> np.ndarray:
    """A ramp, noise of 1, and a nebula of 300 in a corner."""
    noise = np.random.default_rng(seed).normal(size=len(PLACE))
    return PLACE @ SLOPES + noise + 300.0 * np.exp(-0.5 * np.sum(((PLACE - [35.0, 5.0]) / 3.0) ** 2, axis=1))


def circle(turn: float) -> np.ndarray:
    """Gradients of length 10, more or less, that turn by so many radians, about their mean."""
    angle = turn * np.arange(50) / 50
    length = 10.0 + np.random.default_rng(2).normal(size=50)
    gradients = length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return gradients - gradients.mean(axis=0)


def test_floor_plane_lies_below_the_nebula_and_above_its_share() -> None:
    value = sky()
    plane = floor_plane(PLACE, value, np.ones(len(value)))
    below = value < plane[0] + PLACE @ plane[1:]
    assert below.mean() == pytest.approx(FLOOR, abs=0.01)
    np.testing.assert_allclose(plane[1:], SLOPES, atol=0.1)


def test_floor_plane_minds_the_weights_and_survives_a_constant() -> None:
    value = sky()
    spoilt = PLACE[:, 0] < 8
    plane = floor_plane(PLACE, np.where(spoilt, -500.0, value), np.where(spoilt, 0.0, 1.0))
    np.testing.assert_allclose(plane[1:], SLOPES, atol=0.1)
    np.testing.assert_allclose(
        floor_plane(PLACE, np.full(len(PLACE), 5.0), np.ones(len(PLACE))), [5.0, 0.0, 0.0], atol=1e-6
    )


def test_the_floor_decides_where_the_gradients_do_not_turn() -> None:
    value, weight = sky(), np.ones(len(PLACE))
    for gradients in (np.zeros((1, 2)), circle(0.3)):
        level, time = np.full(len(gradients), 100.0), np.arange(len(gradients), dtype=float)
        np.testing.assert_allclose(tilt(PLACE, value, weight, gradients, level, time), SLOPES, atol=0.1)


def test_the_floor_does_not_decide_where_they_do() -> None:
    """A ramp of the nebula itself stays: gradients that turn round know that it is none of the sky's."""
    gradients, weight = circle(2 * np.pi), np.ones(len(PLACE))
    level, time = np.full(len(gradients), 100.0), np.arange(len(gradients), dtype=float)
    found = tilt(PLACE, sky(), weight, gradients, level, time)
    np.testing.assert_allclose(found, 0.0, atol=0.15)
    common = np.array([3.0, -2.0])  # the mean of gradients is 0 by convention: what they had in common is in the mosaic
    found = tilt(PLACE, sky() + PLACE @ common, weight, gradients - common, level, time)
    np.testing.assert_allclose(found, common, atol=0.15)
