"""Smooth surfaces of the sky as the frames follow them, and what they do for the steps of conjugate gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_skyfit import SPACING, observe

from zemosaic.imaging.schur import TwoBlockSystem
from zemosaic.imaging.skymodes import CURVED, smooth_modes
from zemosaic.imaging.skyproblem import block_diagonal, gauge_rows, normal_sky, sky_problem

AXES = np.array(
    [[[2.0, 0.5], [-0.5, 2.0]], [[-1.5, 0.3], [0.3, 1.5]], [[2.5, 0.0], [0.0, 2.5]], [[1.0, 1.0], [1.0, -1.0]]]
)
MIDDLE = np.array([[0.0, 0.0], [0.31, -0.2], [1.43, 0.77], [-0.9, 0.4]])
GAIN = np.array([0.5, 1.0, 0.8, 1.3])


@pytest.mark.parametrize("terms", [1, 3, CURVED])
def test_frames_follow_a_quadratic_sky_exactly(terms: int) -> None:
    """Quadratic splines hold any quadratic surface, and each frame takes it at its own middle, by its own axes."""
    side = 0.8
    modes = smooth_modes(MIDDLE, AXES, GAIN, side, terms)
    rng = np.random.default_rng(1)
    c, slope, bend = 3.0, rng.normal(size=2), 0.7
    u = rng.uniform(-0.2, 0.2, (50, 2))
    wanted = np.empty((len(GAIN), len(u)))
    for i, (at, axes) in enumerate(zip(MIDDLE, AXES)):
        here = at + u @ np.linalg.inv(axes).T  # d(u, v) / d(x, y)
        light = c + here @ slope + bend * np.sum(here**2, axis=1)
        if terms == CURVED:
            wanted[i] = light
        elif terms == 3:
            wanted[i] = light - bend * np.sum((here - at) ** 2, axis=1)
        else:
            wanted[i] = c + at @ slope + bend * at @ at
    basis = np.column_stack([np.ones(len(u)), u, np.sum(u**2, axis=1)])[:, :terms]
    surfaces = np.linalg.lstsq(basis, (GAIN[:, None] * wanted).T, rcond=None)[0].T
    taken = np.linalg.lstsq(modes.toarray(), surfaces.ravel(), rcond=None)[0]
    np.testing.assert_allclose(modes @ taken, surfaces.ravel(), atol=1e-9)


def test_a_wide_bend_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 frames in a row, each of which overlaps with its neighbours alone."""
    night = observe(24, [(0.3 * k, 0.0) for k in range(24)], turning=0.0)
    problem = sky_problem(night.cells, 24, SPACING, 1)
    gain, cells = night.gain[:, 0], night.cells
    sums = problem.sums(problem.basis, gain[cells.frame] * cells.omega, 1.0 / cells.variance[:, 0], cells.value[:, 0])
    own = sums.own + 1e-9 * np.einsum("ftt->ft", sums.own)[:, :, None] * np.eye(3)
    gauge, shared = gauge_rows(problem, gain, own), normal_sky(problem, sums.shared)
    modes = smooth_modes(problem.middle, problem.axes, gain, problem.side, 3)
    steps, answers = [], []
    for coarse in (None, modes):
        system = TwoBlockSystem(block_diagonal(own), sums.cross, shared, gauge, coarse)
        count, apply = [0], system._apply

        def counted(p: np.ndarray, apply=apply, count=count) -> np.ndarray:
            count[0] += 1
            return apply(p)

        monkeypatch.setattr(system, "_apply", counted)
        answer = system.solve(sums.own_right.ravel(), sums.shared_right)
        assert answer.converged
        steps.append(count[0])
        answers.append(answer.own)
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-3)
    assert steps[1] < 0.6 * steps[0], steps


def test_the_side_of_a_frame_is_that_of_its_cells() -> None:
    night = observe(3, [(0.0, 0.0)])
    problem = sky_problem(night.cells, 4, SPACING, 1)  # the last frame has none
    assert problem.side == pytest.approx(1080 * 2.374 / 3600, rel=0.03)
    alone = sky_problem(replace(night.cells, frame=np.zeros(len(night.cells), int)), 1, SPACING, 0)
    assert np.isfinite(alone.side) and alone.side > 0
