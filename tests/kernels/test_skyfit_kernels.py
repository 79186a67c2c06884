"""Sums over sky cells against dense matrices with a row per cell."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyproblem import SkyProblem, block_diagonal, gauge_rows, sky_problem
from zemosaic.imaging.skysurface import surface_basis
from zemosaic.kernels.skyfit import (
    frame_medians,
    huber_weights,
    mesh_sums,
    pattern_values,
    sensor_sums,
    surface_sums,
)

SPACING = 0.5


def random_cells(counts: list[int], seed: int = 1) -> SkyCells:
    """So many cells in each frame, at random places."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    x, y, u, v = rng.uniform(-1, 1, (4, n))
    value, variance = rng.normal(100, 3, (n, 1)), rng.uniform(0.5, 2, (n, 1))
    return SkyCells(np.repeat(np.arange(len(counts)), counts), x, y, u, v, rng.uniform(0.9, 1.1, n), value, variance)


def matrices(cells: SkyCells, problem: SkyProblem, scale: np.ndarray, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(cells, frames * terms) and (cells, nodes), cell by cell."""
    terms = problem.terms
    own, sky = np.zeros((len(cells), n_frames * terms)), np.zeros((len(cells), problem.n_nodes))
    for i in range(len(cells)):
        own[i, cells.frame[i] * terms :][:terms] = [1.0, cells.u[i], cells.v[i]][:terms]
        for n in range(problem.n_nodes):
            away = np.abs([cells.x[i] / SPACING - problem.node_x[n], cells.y[i] / SPACING - problem.node_y[n]])
            sky[i, n] = scale[i] * np.prod(np.maximum(1.0 - away, 0.0))
    return own, sky


@pytest.mark.parametrize(("counts", "order"), [([7, 0, 12, 1], 1), ([5, 9], 0)])
def test_normal_equations(counts: list[int], order: int) -> None:
    cells, n_frames = random_cells(counts), len(counts)
    problem = sky_problem(cells, n_frames, SPACING, order)
    rng = np.random.default_rng(2)
    scale, weight, value = rng.uniform(0.5, 2.0, (3, len(cells)))
    weight[3] = 0.0
    value[3] = np.nan
    own, sky = matrices(cells, problem, scale, n_frames)
    sums = problem.sums(problem.basis, scale, weight, value)
    good = np.where(weight > 0, value, 0.0)
    np.testing.assert_allclose(block_diagonal(sums.own).toarray(), own.T @ (weight[:, None] * own), atol=1e-12)
    np.testing.assert_allclose(sums.own_right.ravel(), own.T @ (weight * good), atol=1e-12)
    np.testing.assert_allclose(sums.cross.toarray(), own.T @ (weight[:, None] * sky), atol=1e-12)
    np.testing.assert_allclose(sums.shared.toarray(), sky.T @ (weight[:, None] * sky), atol=1e-12)
    np.testing.assert_allclose(sums.shared_right, sky.T @ (weight * good), atol=1e-12)
    surfaces, nodes = rng.normal(size=(n_frames, problem.terms)), rng.normal(size=problem.n_nodes)
    left = problem.residual(problem.basis, scale, value, surfaces, nodes)
    np.testing.assert_allclose(left, value - own @ surfaces.ravel() - sky @ nodes, atol=1e-12)
    np.testing.assert_allclose(problem.on_nodes(good), (sky / scale[:, None]).T @ good, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "bins", "channels"), [((7, 5), 2, 3), ((1, 1), 3, 1), ((6, 4), 2, 3), ((4, 9), 24, 1)]
)
def test_mesh_in_squares(shape: tuple[int, int], bins: int, channels: int) -> None:
    """The last row and column of cells are cut by the frame's border."""
    rng, cell, (width, height) = np.random.default_rng(1), 10, (10 * shape[1] - 3, 10 * shape[0] - 4)
    mean = rng.normal(100, 5, (*shape, channels)).astype(np.float32)
    masked = rng.uniform(size=shape) < 0.2
    mean[-1, 0, 0] = np.nan
    wanted = np.zeros((-(-shape[0] // bins), -(-shape[1] // bins), 3 + channels))
    for j, i in np.ndindex(shape):
        if masked[j, i] or np.isnan(mean[j, i]).any():
            continue
        x, y = (np.mean(np.arange(n)[k * cell : (k + 1) * cell]) for k, n in ((i, width), (j, height)))
        rho2 = (np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) / (np.hypot(width, height) / 2)) ** 2
        wanted[j // bins, i // bins] += [1.0, x, y, *(mean[j, i] / (1.0 - 0.1 * rho2 + 0.03 * rho2**2))]
    out = np.zeros_like(wanted)
    mesh_sums(mean, masked, cell, width, height, np.array([-0.1, 0.03]), bins, out)
    np.testing.assert_allclose(out, wanted, rtol=1e-12)


def test_cells_out_of_order_are_refused() -> None:
    cells = random_cells([3, 3])
    with pytest.raises(ValueError, match="ordered by frame"):
        sky_problem(SkyCells(cells.frame[::-1].copy(), *[getattr(cells, n) for n in NAMES]), 2, SPACING, 1)


NAMES = ("x", "y", "u", "v", "omega", "value", "variance")


def test_rows_of_the_gauge_have_unit_length() -> None:
    cells = random_cells([20, 20, 20])
    problem = sky_problem(cells, 3, SPACING, 1)
    own = problem.sums(problem.basis, np.ones(60), np.ones(60), cells.value[:, 0]).own
    gauge = gauge_rows(problem, np.array([0.5, 1.0, 2.0]), own).toarray()
    length = np.einsum("ij,ji->i", gauge, np.linalg.solve(block_diagonal(own).toarray(), gauge.T))
    np.testing.assert_allclose(length, 1.0)
    assert gauge.shape[0] == 3 * (problem.component.max() + 1)


def test_weights_medians_and_surfaces() -> None:
    residual, noise = np.array([0.0, 1.0, -5.0, np.nan, 1.0]), np.array([1.0, 4.0, 1.0, 1.0, 0.0])
    weight = np.empty(5)
    huber_weights(residual, noise, 0.25, 2.0, weight)
    np.testing.assert_allclose(weight, [0.8, 0.2, 0.8 * 2 * np.sqrt(1.25) / 5, 0.0, 0.0])
    medians = np.empty(4)
    frame_medians(np.array([3.0, 1.0, np.nan, 2.0, np.nan, 5.0, 7.0]), np.array([0, 4, 5, 5, 7]), medians)
    np.testing.assert_array_equal(medians, [2.0, np.nan, np.nan, 6.0])
    cells = random_cells([30, 30])
    basis = surface_basis(cells.u, cells.v, 6)
    normal, right = np.zeros((2, 6, 6)), np.zeros((2, 6, 2))
    surface_sums(cells.frame, basis, np.stack([cells.x, cells.y], axis=1), normal, right)
    second = basis[30:]
    np.testing.assert_allclose(normal[1], second.T @ second)
    np.testing.assert_allclose(right[1], second.T @ np.stack([cells.x, cells.y], axis=1)[30:])


def test_patterns() -> None:
    cells, level, instrument = random_cells([30, 20, 10]), np.array([2.0, 3.0, 4.0]), np.array([1, -1, 0])
    powers = np.random.default_rng(3).normal(size=(2, 4, 4))
    out = np.empty(60)
    pattern_values(cells.frame, cells.u, cells.v, instrument, level, powers, out)
    expected = [
        level[f] * sum(powers[instrument[f], i, j] * u**i * v**j for i in range(4) for j in range(4 - i))
        for f, u, v in zip(cells.frame, cells.u, cells.v)
    ]
    np.testing.assert_allclose(out, np.where(instrument[cells.frame] >= 0, expected, 0.0), rtol=1e-12)
    squares, totals, half = np.zeros((2, 3, 3, 4)), np.zeros((2, 2)), np.ones((2, 2))
    weight, residual = np.r_[0.0, np.ones(59)], np.r_[np.nan, np.full(59, 0.5)]
    sensor_sums(cells.frame, cells.u, cells.v, instrument, half, level, weight, residual, out, squares, totals)
    np.testing.assert_allclose(totals, [[2.5, 10.0], [29 * 0.25, 29.0]])
    here = slice(1, 30)
    np.testing.assert_allclose(squares[1].sum(axis=(0, 1))[:2], [29 * 4.0, 4.0 * cells.u[here].sum()])
    np.testing.assert_allclose(squares[1, ..., 3].sum(), 2.0 * (0.5 + out[here]).sum())
    left, low = cells.u[here] < -1 / 3, cells.v[here] < -1 / 3
    np.testing.assert_allclose(squares[1, 0, 0, 0], 4.0 * np.count_nonzero(left & low))
