"""Patches of frames, and the coarse space that they make."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from zemosaic.imaging.patches import patches
from zemosaic.imaging.schur import Modes, TwoBlockSystem


def strip(frames: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, int]:
    """Frames along a line, each seeing 40 things, half of which its neighbour sees too."""
    rng = np.random.default_rng(seed)
    thing = (np.arange(frames)[:, None] * 20 + np.arange(40)).ravel()
    order = rng.permutation(len(thing))
    return np.repeat(np.arange(frames), 40)[order], thing[order], frames * 20 + 20


def test_every_frame_is_in_one_patch_with_its_neighbours():
    frame, thing, n_things = strip(50)
    patch = patches(frame, thing, 50, n_things)
    assert patch.min() == 0 and set(patch) == set(range(patch.max() + 1))
    assert 15 <= patch.max() + 1 <= 30
    for number in range(patch.max() + 1):
        assert np.ptp(np.flatnonzero(patch == number)) <= 2


def test_all_frames_of_one_pointing_are_one_patch_and_a_frame_without_things_is_alone():
    frame, thing = np.repeat(np.arange(9), 10), np.tile(np.arange(10), 9)
    assert patches(frame, thing, 10, 10).tolist() == [0] * 9 + [1]


def test_coarse_space_changes_the_steps_and_not_the_answer(monkeypatch):
    """A chain of 400 frames: levels pass from neighbour to neighbour, in hundreds of steps without patches."""
    frame, thing, n_things = strip(400)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, len(frame))
    own = sp.diags_array(np.bincount(frame, weight) + 1e-3)
    shared = sp.diags_array(np.bincount(thing, weight, n_things) + 1e-9)
    cross = sp.csr_array((weight, (frame, thing)), shape=(400, n_things))
    patch = patches(frame, thing, 400, n_things)
    coarse = Modes(sp.csr_array((np.ones(400), (np.arange(400), patch))))
    right = np.random.default_rng(3).normal(size=400)
    steps, answers = [], []
    for together in (None, coarse):
        system = TwoBlockSystem(own, cross, shared, coarse=together)
        count = 0
        apply = system._apply

        def counted(p: np.ndarray, apply=apply) -> np.ndarray:
            nonlocal count
            count += 1
            return apply(p)

        monkeypatch.setattr(system, "_apply", counted)
        answer, converged = system.reduced_solve(right)
        assert converged
        steps.append(count)
        answers.append(answer)
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-5, atol=1e-5 * np.abs(answers[0]).max())
    assert steps[1] < 0.4 * steps[0], steps


def test_a_gauge_beside_the_coarse_space_holds_and_changes_no_answer():
    """Nothing ties the level of all frames together: the gauge does, and the coarse space knows of it."""
    frame, thing, n_things = strip(60)
    weight = np.random.default_rng(4).uniform(0.5, 2.0, len(frame))
    own = sp.diags_array(np.bincount(frame, weight))
    shared = sp.diags_array(np.bincount(thing, weight, n_things))
    cross = sp.csr_array((weight, (frame, thing)), shape=(60, n_things))
    coarse = Modes(sp.csr_array((np.ones(60), (np.arange(60), patches(frame, thing, 60, n_things)))))
    level = np.random.default_rng(5).normal(size=60)
    level -= level.mean()
    seen = cross @ ((cross.T @ level) / shared.diagonal())
    system = TwoBlockSystem(own, cross, shared, sp.csr_array(np.ones((1, 60))), coarse)
    answer, converged = system.reduced_solve(own @ level - seen)
    assert converged
    np.testing.assert_allclose(answer, level, atol=1e-6)
