"""Smooth surfaces of the sky as the frames follow them, and what they do for the steps of conjugate gradients."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.sparse as sp
from test_skyfit import SPACING, observe

from zemosaic.imaging import skymodes
from zemosaic.imaging.schur import Modes, TwoBlockSystem
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skymodes import CURVED, SkySplines
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
    nodes = np.random.default_rng(2).uniform(-1.0, 1.5, (40, 2))
    splines = SkySplines(MIDDLE, nodes, side)
    modes = splines.on_frames(AXES, GAIN, terms)
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
    light = c + nodes @ slope + bend * np.sum(nodes**2, axis=1)
    both = np.concatenate([modes.toarray(), splines.on_nodes().toarray()])
    taken = np.linalg.lstsq(both, np.concatenate([surfaces.ravel(), -light]), rcond=None)[0]
    np.testing.assert_allclose(modes @ taken, surfaces.ravel(), atol=1e-9)
    np.testing.assert_allclose(splines.on_nodes() @ taken, -light, atol=1e-9)


def test_a_wide_bend_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 frames in a row, each of which overlaps with its neighbours alone."""
    night = observe(24, [(0.3 * k, 0.0) for k in range(24)], turning=0.0)
    problem = sky_problem(night.cells, 24, SPACING, 1)
    gain, cells = night.gain[:, 0], night.cells
    sums = problem.sums(problem.basis, gain[cells.frame] * cells.omega, 1.0 / cells.variance[:, 0], cells.value[:, 0])
    own = sums.own + 1e-9 * np.einsum("ftt->ft", sums.own)[:, :, None] * np.eye(3)
    gauge, shared = gauge_rows(problem, gain, own), normal_sky(problem, sums.shared)
    splines = SkySplines(problem.middle, problem.node_place, problem.side)
    modes = Modes(splines.on_frames(problem.axes, gain, 3), splines.on_nodes())
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
    assert steps[1] < 0.55 * steps[0], steps


def test_masked_cells_do_not_move_the_middle_of_a_frame() -> None:
    """Their mean lies elsewhere then, and a tangent plane taken there is off by its slope: a bend looked 100 times as stiff."""
    night = observe(3, [(0.0, 0.0), (0.3, 0.2)])
    cells = night.cells
    some = np.flatnonzero((cells.u < 0.2) | (cells.frame != 1))
    half = SkyCells(**{each.name: getattr(cells, each.name)[some] for each in fields(cells)})
    every, left = (sky_problem(each, 3, SPACING, 1) for each in (cells, half))
    np.testing.assert_allclose(left.middle, every.middle, atol=1e-3)
    assert abs(half.x[half.frame == 1].mean() - cells.x[cells.frame == 1].mean()) > 0.05


def test_splines_of_a_vast_sky_lie_farther_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    middle = np.random.default_rng(7).uniform(0.0, 20.0, (400, 2))
    every = SkySplines(middle, middle, 0.8).on_nodes()
    assert 600 < every.shape[1] < 800
    monkeypatch.setattr(skymodes, "MOST", 200)
    fewer = SkySplines(middle, middle, 0.8)
    assert 150 < fewer.on_nodes().shape[1] < 300
    np.testing.assert_allclose(fewer.on_nodes().sum(axis=1), -1.0)  # together they still are 1 everywhere


def test_sky_beyond_all_middles_leaves_the_coarse_space_positive() -> None:
    """Splines that no frame's middle sees are the sky's alone, and nothing is left of them but rounding, of either sign."""
    rng, apart = np.random.default_rng(6), 30
    splines = SkySplines(MIDDLE, rng.uniform(-9.0, 9.0, (apart, 2)), 0.8)
    modes = Modes(splines.on_frames(AXES, GAIN, 3), splines.on_nodes())
    assert np.count_nonzero(abs(modes.own).sum(axis=0) == 0) > apart
    weight = 10.0 ** rng.uniform(-12.0, 6.0, apart)
    shared = sp.csr_array(sp.diags_array(weight))
    cross = sp.csr_array((12, apart))
    system = TwoBlockSystem(sp.csr_array(sp.eye_array(12)), cross, shared, coarse=modes)
    assert system.coarse_space is not None
    solved = system.coarse_space.solve(np.ones(12))
    assert np.isfinite(solved).all() and solved.sum() > 0
    assert (system.coarse_space._lu.U.diagonal() > 0).all()


def test_the_side_of_a_frame_is_that_of_its_cells() -> None:
    night = observe(3, [(0.0, 0.0)])
    problem = sky_problem(night.cells, 4, SPACING, 1)  # the last frame has none
    assert problem.side == pytest.approx(1080 * 2.374 / 3600, rel=0.03)
    alone = sky_problem(replace(night.cells, frame=np.zeros(len(night.cells), int)), 1, SPACING, 0)
    assert np.isfinite(alone.side) and alone.side > 0
