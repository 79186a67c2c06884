"""Sky backgrounds of the frames from the sky that they have in common.

Model of a mesh cell of frame i: mesh / F = a_i Omega S(s) + B_i(u, v). S is unknown too: values at the nodes of a coarse grid
on the sky, interpolated bilinearly, eliminated in the solution (see `schur`), so that no pairs of frames are ever formed.
B_i is a plane, and a pattern that all frames of one instrument share in proportion to their sky (`skypattern`).

Gauge: the data cannot tell a constant or a tilt of S from the same in all B. B takes the level of each frame, so that S is
what stands out of the sky: the sky's level is not multiplied by Omega (0.5 % in the corners of a field with 1.5 px of
distortion, which would bend the mosaic by 0.5 % of the sky). About these levels the mean constant of B is 0 in each group of
connected frames. The mean level is kept in `SkyFit.level`. The tilt is chosen in `skyfloor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from zemosaic.imaging.patches import patches
from zemosaic.imaging.schur import TwoBlockSystem
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfloor import tilt
from zemosaic.imaging.skypattern import SensorPattern
from zemosaic.imaging.skysurface import PLANE, TERMS, surface_basis
from zemosaic.imaging.startable import median_by

__all__ = [
    "PanelDifference",
    "SkyFit",
    "SkyProblem",
    "fit_sky",
    "gauge_rows",
    "normal_sky",
    "panel_differences",
    "sky_problem",
    "together",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HUBER = 2.0  # sigma; trails, halos and ghosts are many and one-sided
SETTLED = 3  # iterations after which the weights have found the outliers, and patterns are looked for
ITERATIONS = 7  # of weights and patterns
SMOOTHNESS = 1e-6  # of the mean weight of a node: fills nodes that only masked cells would feed
RIDGE = 1e-9  # of the weight of a frame, on its own terms
BENT = 6  # coefficients of a second-order surface
ROUGH, FINAL = 1e-6, 1e-8  # of the residual's length: while weights and patterns are being found, and at last
MIN_SHARED = 3  # cells by which a frame must touch a patch of sky to be connected through it


@dataclass(frozen=True)
class SkyFit:
    """Backgrounds and what they leave."""

    sky: FloatArray  # (frames, channels, TERMS) ADU, of `skysurface`
    level: FloatArray  # (channels,) ADU at gain 1: mean sky of the frames, which is in `sky` and not in the nodes
    nodes: FloatArray  # (nodes, channels) ADU at gain 1 and omega 1: the light above the level, which was eliminated
    node_x: FloatArray  # (nodes,) deg on the common plane
    node_y: FloatArray  # (nodes,) deg
    residual: FloatArray  # (cells, channels) ADU in the frame; NaN is no data
    weight: FloatArray  # (cells, channels) ADU^-2, robust
    patch: IntArray  # (cells,) square of the node grid in which the cell lies
    component: IntArray  # (frames,) frames with the same number are connected by common sky; -1 = no cells
    converged: bool


@dataclass(frozen=True)
class PanelDifference:
    """Mean difference between two panels over the sky that both see, mosaic units."""

    first: int
    second: int
    n_cells: int  # patches of sky
    difference: FloatArray  # (channels,) first minus second
    error: FloatArray  # (channels,) expected from the noise


@dataclass(frozen=True)
class SkyProblem:
    """Geometry shared by the channels."""

    design: sp.csr_array  # (cells, nodes) bilinear
    own: sp.csr_array  # (cells, frames * terms) plane of each frame
    smooth: sp.csr_array  # (nodes, nodes)
    node_x: FloatArray  # in units of the spacing
    node_y: FloatArray
    patch: IntArray
    component: IntArray
    cluster: IntArray  # (frames,) number of the patch of frames that see the same sky, for the coarse space
    terms: int  # 1 or 3, of a frame's own surface
    spacing: float  # deg between nodes


def fit_sky(
    cells: SkyCells, gain: FloatArray, spacing: float, *, order: int = 1, instrument: IntArray | None = None
) -> SkyFit:
    """Solve for the backgrounds of all frames.

    gain : (frames, channels). spacing : deg, between nodes; cells must not be larger. order : of B, 0 (constants) or 1.
    instrument : (frames,) number of each frame's; adds the patterns of `skypattern`.
    """
    n_frames, channels = gain.shape
    problem = sky_problem(cells, n_frames, spacing, order)
    levels = np.stack([median_by(cells.frame, column, n_frames) for column in cells.value.T], axis=1)
    levels = np.nan_to_num(levels)
    sky = np.zeros((n_frames, channels, TERMS))
    nodes = np.full((problem.design.shape[1], channels), np.nan)
    residual, weight = np.full(cells.value.shape, np.nan), np.zeros(cells.value.shape)
    numbers = np.full(n_frames, -1) if instrument is None else instrument
    converged = True
    for c in range(channels):
        value = cells.value[:, c] - levels[cells.frame, c]
        pattern = SensorPattern(cells, levels[:, c], numbers)
        own, nodes[:, c], residual[:, c], weight[:, c], done = _fit_channel(cells, value, problem, gain, c, pattern)
        sky[:, c] = pattern.surfaces()
        sky[:, c, : problem.terms] += own.reshape(n_frames, problem.terms)
        converged = converged and done
        if order > 0:
            _level_floor(cells, problem, gain[:, c], weight[:, c], sky[:, c], nodes[:, c])
        _level_components(cells, problem, gain[:, c], sky[:, c], nodes[:, c])
        sky[:, c, 0] += levels[:, c]
    x, y = problem.node_x * spacing, problem.node_y * spacing
    level = levels.sum(axis=0) / gain.sum(axis=0)
    return SkyFit(sky, level, nodes, x, y, residual, weight, problem.patch, problem.component, converged)


def sky_problem(cells: SkyCells, n_frames: int, spacing: float, order: int) -> SkyProblem:
    column, row = cells.x / spacing, cells.y / spacing
    i, j = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    i0, j0 = i.min(), j.min()
    stride = int(i.max() - i0) + 2
    squares, patch = np.unique((j - j0) * stride + (i - i0), return_inverse=True)
    keys, corner = np.unique(squares[:, None] + np.array([0, 1, stride, stride + 1]), return_inverse=True)
    corner = corner.reshape(len(squares), 4)[patch]
    s, t = column - i, row - j
    values = np.stack([(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t], axis=1)
    rows = np.arange(len(cells))
    shape = (len(cells), len(keys))
    design = sp.csr_array((values.ravel(), (np.repeat(rows, 4), corner.ravel())), shape=shape)
    terms = 1 if order == 0 else PLANE
    plane = surface_basis(cells.u, cells.v, terms)
    columns = cells.frame[:, None] * terms + np.arange(terms)
    own = sp.csr_array((plane.ravel(), (np.repeat(rows, terms), columns.ravel())), shape=(len(cells), n_frames * terms))
    component = _components(cells.frame, patch, n_frames, len(squares))
    cluster = patches(cells.frame, patch, n_frames, len(squares))
    node_x, node_y = keys % stride + i0, keys // stride + j0
    return SkyProblem(design, own, _neighbours(keys, stride), node_x, node_y, patch, component, cluster, terms, spacing)


def _neighbours(keys: IntArray, stride: int) -> sp.csr_array:
    """Graph Laplacian of the nodes: sum over neighbours of squared differences."""
    pairs = []
    for step in (1, stride):
        place = np.searchsorted(keys, keys + step).clip(max=len(keys) - 1)
        found = (keys[place] == keys + step) & ((step > 1) | ((keys + 1) % stride != 0))
        pairs.append(np.stack([np.flatnonzero(found), place[found]]))
    a, b = np.concatenate(pairs, axis=1)
    rows = np.arange(len(a))
    shape = (len(a), len(keys))
    difference = sp.csr_array((np.ones(len(a)), (rows, a)), shape=shape) - sp.csr_array(
        (np.ones(len(b)), (rows, b)), shape=shape
    )
    laplacian: sp.csr_array = sp.csr_array(difference.T @ difference)
    return laplacian


def _components(frame: IntArray, patch: IntArray, n_frames: int, n_patches: int) -> IntArray:
    """Which frames are connected by patches of sky that they really share."""
    count = sp.csr_array((np.ones(len(frame)), (frame, n_frames + patch)), shape=(n_frames + n_patches,) * 2)
    count.sum_duplicates()
    enough = int(np.clip(np.median(count.data), 1, MIN_SHARED))
    count.data = (count.data >= enough).astype(float)
    count.eliminate_zeros()
    labels = connected_components(count, directed=False)[1][:n_frames]
    component: IntArray = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    component[np.bincount(frame, minlength=n_frames) == 0] = -1
    return component


def gauge_rows(cells: SkyCells, problem: SkyProblem, gain: FloatArray) -> sp.csr_array:
    """Rows per component: sum of the constants, and gain-weighted sums of the gradients along x and y on the sky."""
    n_frames, terms = len(gain), problem.terms
    rows = []
    turn = _frame_axes(cells, n_frames) if terms == 3 else None
    for k in range(int(problem.component.max()) + 1):
        member = problem.component == k
        constant = np.zeros((n_frames, terms))
        constant[member, 0] = 1.0
        rows.append(constant.ravel())
        if turn is None:
            continue
        for axis in range(2):
            gradient = np.zeros((n_frames, terms))
            gradient[member, 1:] = gain[member, None] * turn[member, :, axis]
            rows.append(gradient.ravel())
    return sp.csr_array(np.array(rows))


def _frame_axes(cells: SkyCells, n_frames: int) -> FloatArray:
    """(frames, 2, 2): d(u, v) / d(x, y) by least squares over the cells of each frame; the identity without cells."""

    def mean(values: FloatArray) -> FloatArray:
        count = np.maximum(np.bincount(cells.frame, minlength=n_frames), 1)
        result: FloatArray = np.bincount(cells.frame, values, n_frames) / count
        return result

    x, y = cells.x - mean(cells.x)[cells.frame], cells.y - mean(cells.y)[cells.frame]
    sky = np.array([[mean(x * x), mean(x * y)], [mean(x * y), mean(y * y)]]).transpose(2, 0, 1)
    frame = np.array([[mean(cells.u * x), mean(cells.u * y)], [mean(cells.v * x), mean(cells.v * y)]]).transpose(
        2, 0, 1
    )
    regular = np.linalg.det(sky) > 1e-6 * np.trace(sky, axis1=1, axis2=2) ** 2
    axes = np.tile(np.eye(2), (n_frames, 1, 1))
    axes[regular] = frame[regular] @ np.linalg.inv(sky[regular])
    return axes


def together(cells: SkyCells, problem: SkyProblem, gain: FloatArray) -> sp.csr_array:
    """(frames * terms, patches * terms): a plane of sky that moves from the nodes of a patch into its frames."""
    n_frames, terms, patch = len(gain), problem.terms, problem.cluster
    modes = np.zeros((n_frames, terms, terms))  # frame, its unknown, mode
    modes[:, 0, 0] = gain
    if terms == PLANE:
        count = np.maximum(np.bincount(cells.frame, minlength=n_frames), 1)
        middle = np.stack([np.bincount(cells.frame, at, n_frames) / count for at in (cells.x, cells.y)], axis=1)
        size = np.bincount(patch)
        middle -= np.stack([np.bincount(patch, at) / size for at in middle.T], axis=1)[patch]
        modes[:, 0, 1:] = gain[:, None] * middle
        modes[:, 1:, 1:] = gain[:, None, None] * _frame_axes(cells, n_frames)
    rows, columns = np.broadcast_arrays(
        (np.arange(n_frames)[:, None] * terms + np.arange(terms))[:, :, None],
        (patch[:, None] * terms + np.arange(terms))[:, None, :],
    )
    shape = (n_frames * terms, (int(patch.max()) + 1) * terms)
    return sp.csr_array((modes.ravel(), (rows.ravel(), columns.ravel())), shape=shape)


def _fit_channel(
    cells: SkyCells, value: FloatArray, problem: SkyProblem, gain: FloatArray, channel: int, pattern: SensorPattern
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, bool]:
    """Backgrounds (frames * terms,), nodes, residuals and weights (cells,) of one channel, and whether it converged."""
    noise = cells.variance[:, channel]
    good = np.isfinite(value) & (noise > 0)
    scale = gain[cells.frame, channel] * cells.omega
    design = sp.csr_array(problem.design.multiply(scale[:, None]))
    gauge = gauge_rows(cells, problem, gain[:, channel])
    coarse = together(cells, problem, gain[:, channel])
    weight = np.where(good, 1.0 / np.where(good, noise, 1.0), 0.0)
    own, residual = np.zeros(problem.own.shape[1]), value
    iterations = ITERATIONS if len(pattern.coefficients) else SETTLED + 1
    for step in range(iterations):
        if step >= SETTLED:
            pattern.fit(residual, weight)
        data = np.where(good, value - pattern.values, 0.0)
        system = _system(problem, design, gauge, coarse, weight)
        tolerance = FINAL if step == iterations - 1 else ROUGH
        solution = system.solve(problem.own.T @ (weight * data), design.T @ (weight * data), own, tolerance)
        own = solution.own
        residual = np.where(good, data - design @ solution.shared - problem.own @ own, np.nan)
        weight = _robust(residual, noise, good)
    return own, solution.shared, residual, weight, solution.converged


def _system(
    problem: SkyProblem, design: sp.csr_array, gauge: sp.csr_array, coarse: sp.csr_array, weight: FloatArray
) -> TwoBlockSystem:
    """Normal equations of all surfaces and nodes of one channel."""
    weighted = sp.csr_array(problem.own.multiply(weight[:, None]))
    own = problem.own.T @ weighted
    diagonal = own.diagonal()
    own = own + sp.diags_array(np.maximum(RIDGE * diagonal, RIDGE * diagonal.max() + 1e-30))
    return TwoBlockSystem(own, weighted.T @ design, normal_sky(problem, design, weight), gauge, coarse)


def normal_sky(problem: SkyProblem, design: sp.csr_array, weight: FloatArray) -> sp.csr_array:
    """Normal matrix of the nodes, with the little smoothness that makes it regular."""
    shared = design.T @ sp.csr_array(design.multiply(weight[:, None]))
    regular = problem.smooth + 1e-3 * sp.eye_array(shared.shape[0])
    normal: sp.csr_array = sp.csr_array(shared + SMOOTHNESS * shared.diagonal().mean() * regular)
    return normal


def _robust(residual: FloatArray, noise: FloatArray, good: NDArray[np.bool_]) -> FloatArray:
    """Huber weights about the noise and what the residuals show beyond it (structure finer than the nodes)."""
    normalised = np.abs(residual[good]) / np.sqrt(noise[good])
    excess = max(0.0, (1.4826 * float(np.median(normalised))) ** 2 - 1.0) if normalised.size else 0.0
    variance = np.where(good, noise, 1.0) * (1.0 + excess)
    deviation = np.where(good, np.abs(residual), 0.0) / np.sqrt(variance)
    weight: FloatArray = np.where(good, np.minimum(1.0, HUBER / np.maximum(deviation, HUBER)) / variance, 0.0)
    return weight


def _level_floor(
    cells: SkyCells,
    problem: SkyProblem,
    gain: FloatArray,
    weight: FloatArray,
    sky: FloatArray,
    nodes: FloatArray,
) -> None:
    """Take the tilt of each component off its nodes and put it into its frames (in place)."""
    component = _node_components(cells, problem)
    area = problem.design.T @ (weight * gain[cells.frame] ** 2)
    area = np.minimum(area, np.median(area))  # nodes at the border know little; deep ones count no more than others
    axes = _frame_axes(cells, len(gain))
    middle, slopes = np.zeros((component.max() + 1, 2)), np.zeros((component.max() + 1, 2))
    place = np.stack([problem.node_x, problem.node_y], axis=1).astype(float)
    for k in range(len(slopes)):
        on, member = component == k, problem.component == k
        gradients = np.einsum("nk,nka->na", sky[member, 1:3] / gain[member, None], axes[member])
        middle[k] = np.average(place[on], axis=0, weights=area[on])
        slopes[k] = tilt(place[on] - middle[k], nodes[on], area[on], gradients * problem.spacing)
    nodes -= np.where(component >= 0, np.sum(slopes[component] * (place - middle[component]), axis=1), 0.0)
    here = problem.component[cells.frame]
    at = np.stack([cells.x, cells.y], axis=1) / problem.spacing
    light = gain[cells.frame] * cells.omega * np.sum(slopes[here] * (at - middle[here]), axis=1)
    sky[:, :BENT] += _frame_surfaces(cells, light, len(gain))


def _frame_surfaces(cells: SkyCells, light: FloatArray, n_frames: int) -> FloatArray:
    """(frames, 6) second-order surfaces through `light` (cells,): a tilt of the sky is no plane in a distorted frame."""
    basis = surface_basis(cells.u, cells.v, BENT)
    normal, right = np.zeros((n_frames, BENT, BENT)), np.zeros((n_frames, BENT))
    for i in range(BENT):
        right[:, i] = np.bincount(cells.frame, basis[:, i] * light, n_frames)
        for j in range(BENT):
            normal[:, i, j] = np.bincount(cells.frame, basis[:, i] * basis[:, j], n_frames)
    surfaces: FloatArray = np.einsum("nij,nj->ni", np.linalg.pinv(normal, rcond=1e-9, hermitian=True), right)
    return surfaces


def _node_components(cells: SkyCells, problem: SkyProblem) -> IntArray:
    """(nodes,) the component that feeds each node; -1 = none."""
    component = np.full(problem.design.shape[1], -1)
    component[problem.design.indices] = np.repeat(problem.component[cells.frame], 4)
    return component


def _level_components(
    cells: SkyCells, problem: SkyProblem, gain: FloatArray, sky: FloatArray, nodes: FloatArray
) -> None:
    """Give unconnected components the same median sky: shift their nodes and constants (in place)."""
    n_components = int(problem.component.max()) + 1
    if n_components < 2:
        return
    node_component = _node_components(cells, problem)
    level = np.array([np.median(nodes[node_component == k]) for k in range(n_components)])
    share = np.bincount(problem.component[problem.component >= 0], minlength=n_components)
    shift = np.sum(level * share) / share.sum() - level
    nodes += np.where(node_component >= 0, shift[node_component], 0.0)
    member = problem.component >= 0
    sky[member, 0] -= gain[member] * shift[problem.component[member]]


def panel_differences(
    cells: SkyCells, fit: SkyFit, gain: FloatArray, panel: IntArray, n_panels: int
) -> tuple[PanelDifference, ...]:
    """Residual steps between panels after matching, where they see the same patches of sky.

    panel : (frames,) number of the panel of each frame, -1 = none. Residuals about the common sky are averaged, so that cells
    need not coincide. Only patches that a panel sees are kept: of 200 panels, each sees about 1 % of all patches.
    """
    n_patches = int(fit.patch.max()) + 1
    inside = panel[cells.frame] >= 0
    place = panel[cells.frame[inside]] * n_patches + fit.patch[inside]
    places, number = np.unique(place, return_inverse=True)  # sorted by panel, then by patch
    means, variances = np.empty((2, gain.shape[1], len(places)))
    for c in range(gain.shape[1]):
        scale = (gain[cells.frame, c] * cells.omega)[inside]
        weight = fit.weight[inside, c] * scale**2
        total = np.bincount(number, weight, len(places))
        matched = np.nan_to_num(fit.residual[inside, c]) / scale
        with np.errstate(divide="ignore", invalid="ignore"):
            means[c] = np.bincount(number, weight * matched, len(places)) / total
            variances[c] = 1.0 / total
    seen = np.all(np.isfinite(means), axis=0)
    means, variances = means[:, seen], variances[:, seen]
    panels, patches = np.divmod(places[seen], n_patches)
    starts = np.searchsorted(panels, np.arange(n_panels + 1))
    views = [_PanelView(k, patches[a:b], means[:, a:b], variances[:, a:b]) for k, (a, b) in enumerate(pairwise(starts))]
    sharing = sp.csr_array((np.ones(len(panels), np.int32), patches, starts), shape=(n_panels, n_patches))
    pairs = sp.coo_array(sp.triu(sharing @ sharing.T, 1))
    return tuple(_difference(views[a], views[b]) for a, b in sorted(zip(*pairs.coords)))


@dataclass(frozen=True)
class _PanelView:
    """What a panel has of the patches of sky that it sees."""

    number: int
    patch: IntArray  # (n,) ascending
    mean: FloatArray  # (channels, n) residual, mosaic units
    variance: FloatArray  # (channels, n)


def _difference(first: _PanelView, second: _PanelView) -> PanelDifference:
    both, a, b = np.intersect1d(first.patch, second.patch, assume_unique=True, return_indices=True)
    weight = 1.0 / (first.variance[:, a] + second.variance[:, b])
    total = weight.sum(axis=1)
    difference = np.sum(weight * (first.mean[:, a] - second.mean[:, b]), axis=1) / total
    return PanelDifference(first.number, second.number, len(both), difference, 1.0 / np.sqrt(total))
