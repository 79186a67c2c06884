"""What is common to the gradients of all frames, from how they turn."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.skyturn import turning_centre

N = 60
COMMON = np.array([3.0, -2.0])


def gradients(angle: np.ndarray, length: np.ndarray | float, level: np.ndarray | float = 200.0) -> np.ndarray:
    """Of skies of that level, as a share of it."""
    size = length * level * np.ones(len(angle))
    return np.stack([size * np.cos(angle), size * np.sin(angle)], axis=1)


def centre(
    angle: np.ndarray, length: np.ndarray | float, level: np.ndarray | float = 200.0
) -> tuple[np.ndarray, float]:
    """What is found of COMMON, which the frames miss, and the larger standard deviation that is claimed."""
    levels = level * np.ones(len(angle))
    found, information = turning_centre(
        gradients(angle, length, level) - COMMON, levels, np.arange(len(angle), dtype=float)
    )
    least = np.linalg.eigvalsh(information)[0]
    return found - COMMON, float(np.inf if least < 1e-9 else least**-0.5)


@pytest.mark.parametrize("turn", [200.0, 700.0, -350.0])
def test_steady_turns(turn: float) -> None:
    rng = np.random.default_rng(1)
    angle = np.radians(np.linspace(20.0, 20.0 + turn, N)) + 0.02 * rng.normal(size=N)
    level = 200.0 * (1.0 + 0.1 * np.sin(np.linspace(0.0, 3.0, N)))
    error, claimed = centre(angle, rng.uniform(0.14, 0.2, N), level)
    assert np.abs(error).max() < 0.5  # of gradients of 34
    assert np.abs(error).max() < 3.0 * claimed < 6.0


def test_turns_that_are_not_steady() -> None:
    """Seven nights, each with a gradient of its own direction."""
    rng = np.random.default_rng(2)
    angle = np.repeat(rng.permutation(7) * 2.0 * np.pi / 7, 12) + 0.1 * rng.normal(size=84)
    error, claimed = centre(angle, 0.17 + 0.01 * rng.normal(size=84))
    assert np.abs(error).max() < 3.0 * claimed < 10.0


def test_two_nights_tell_nothing() -> None:
    """Two telescopes, two nights: a turn and a circle go through any two directions."""
    rng = np.random.default_rng(6)
    angle = np.repeat([0.3, 2.0], [12, 6]) + 0.02 * rng.normal(size=18)
    length = np.repeat([0.1, 0.17], [12, 6]) + 0.002 * rng.normal(size=18)
    time = np.concatenate([10.0 * np.arange(12), 1.2e6 + 10.0 * np.arange(6)])
    _, information = turning_centre(gradients(angle, length) - COMMON, np.full(18, 200.0), time)
    assert np.abs(information).max() < 1e-6


def test_one_outlier_in_ten_changes_little() -> None:
    rng = np.random.default_rng(3)
    angle = np.radians(np.linspace(0.0, 500.0, N))
    length = np.full(N, 0.17)
    wrong = rng.permutation(N)[:6]
    angle[wrong], length[wrong] = rng.uniform(0.0, 6.0, 6), 0.5
    assert np.abs(centre(angle, length)[0]).max() < 1.0


@pytest.mark.parametrize("turn", [0.0, 40.0])
def test_nothing_is_known_of_gradients_that_hardly_turn(turn: float) -> None:
    rng = np.random.default_rng(4)
    angle = np.radians(np.linspace(0.0, turn, N))
    assert centre(angle, rng.uniform(0.05, 0.2, N))[1] > 5.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_known_of_a_heap_about_some_direction(seed: int) -> None:
    """About its mean it looks like gradients of every direction about 0."""
    rng = np.random.default_rng(seed)
    heap = rng.normal(0.0, 10.0, (N, 2))
    information = turning_centre(heap - heap.mean(axis=0), np.full(N, 200.0), np.arange(float(N)))[1]
    assert np.linalg.eigvalsh(information)[-1] < 0.01  # a standard deviation of 10


def test_nothing_is_known_of_a_few_frames_or_of_no_time() -> None:
    few = turning_centre(np.ones((3, 2)), np.ones(3), np.arange(3.0))
    assert not few[0].any() and not few[1].any()
    flat = turning_centre(np.zeros((20, 2)), np.zeros(20), np.zeros(20))
    assert np.isfinite(flat[0]).all() and np.isfinite(flat[1]).all()
