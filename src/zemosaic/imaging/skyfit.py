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

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.schur import CoarseSpace, Modes, TwoBlockSystem
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfloor import tilt
from zemosaic.imaging.skymodes import SkySplines, among
from zemosaic.imaging.skypattern import SensorPattern
from zemosaic.imaging.skyproblem import (
    SkyProblem,
    SkySums,
    block_diagonal,
    gauge_rows,
    normal_sky,
    sky_problem,
)
from zemosaic.imaging.skysteady import SteadySkies
from zemosaic.imaging.skysurface import BENT, PLANE, TERMS, surface_basis
from zemosaic.kernels.skyfit import frame_medians, huber_weights, surface_sums
from zemosaic.spread import Spread, one_by_one

__all__ = ["SkyFit", "fit_sky"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# cells, of 66 000 Seestar frames, whose channels are fitted at once; two at work for 100 000 frames took the whole match to 4 GB
SIDE_BY_SIDE = 1_000_000
HUBER = 2.0  # sigma; trails, halos and ghosts are many and one-sided
SETTLED = 3  # iterations after which the weights have found the outliers, and patterns are looked for
ITERATIONS = 7  # of weights and patterns
RIDGE = 1e-9  # of the weight of a frame, on its own terms
ROUGH, FINAL = 1e-6, 1e-7  # of the residual's length: while weights and patterns are being found, and at last


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


def fit_sky(
    cells: SkyCells,
    gain: FloatArray,
    spacing: float,
    *,
    order: int = 1,
    curvature: float = 0.0,
    instrument: IntArray | None = None,
    time: FloatArray | None = None,
    night: IntArray | None = None,
    before: SkyFit | None = None,
    settled: bool = False,
    spread: Spread = one_by_one,
) -> SkyFit:
    """Solve for the backgrounds of all frames.

    gain : (frames, channels). spacing : deg, between nodes; cells must not be larger. order : of B, 0 (constants), 1, or 2.
    curvature : standard deviation of the second-order coefficients of B over its level, for order 2.
    instrument : (frames,) number of each frame's; adds the patterns of `skypattern`.
    time : (frames,) in any unit, for the tilt of the mosaic; None: frames follow each other evenly.
    night : (frames,) number of each frame's telescope and night; adds the prior of `skysteady` on slopes.
    before : a fit of planes to these cells with hardly other gains and response: its weights have found the outliers.
    settled : the cells hold what a mosaic with a tilt and level of its own leaves, which keep in each component what they are.
    spread : who does the channels, side by side up to `SIDE_BY_SIDE` cells; each at work takes, of 30 000 frames, 0.7 GB.
    """
    n_frames, channels = gain.shape
    problem = sky_problem(cells, n_frames, spacing, order)
    levels = np.nan_to_num(_levels(cells, n_frames))
    numbers = np.full(n_frames, -1) if instrument is None else instrument
    when = np.arange(n_frames, dtype=float) if time is None else time

    def one(c: int) -> _ChannelFit:
        start = None if before is None else _start(before, c, levels[:, c], problem.terms)
        seen = _Seen(gain[:, c], levels[:, c], when, night, settled)
        return _channel_sky(cells, problem, c, seen, SensorPattern(cells, levels[:, c], numbers), start, curvature)

    sky = np.zeros((n_frames, channels, TERMS))
    nodes = np.full((problem.n_nodes, channels), np.nan)
    residual, weight = np.full(cells.value.shape, np.nan), np.zeros(cells.value.shape)
    converged = True
    at_once = spread if len(cells) <= SIDE_BY_SIDE else one_by_one
    for c, fit in enumerate(at_once(one, range(channels))):
        sky[:, c], nodes[:, c], residual[:, c], weight[:, c] = fit.own, fit.nodes, fit.residual, fit.weight
        converged = converged and fit.converged
    x, y = problem.node_x * spacing, problem.node_y * spacing
    level = levels.sum(axis=0) / gain.sum(axis=0)
    return SkyFit(sky, level, nodes, x, y, residual, weight, problem.patch, problem.component, converged)


def _channel_sky(
    cells: SkyCells,
    problem: SkyProblem,
    c: int,
    seen: _Seen,
    pattern: SensorPattern,
    start: _Start | None,
    curvature: float,
) -> _ChannelFit:
    """The whole surfaces of channel `c` (frames, TERMS), and its sky, in the gauge of the module."""
    channel = _channel(cells, c, seen.level, seen.gain)
    steady = None
    if seen.night is not None and problem.terms >= PLANE:
        steady = SteadySkies(problem, seen.gain, seen.level, seen.time, seen.night)
    fit = _fit_channel(problem, channel, pattern, start, _precision(problem, curvature * seen.level), steady)
    sky, nodes = pattern.surfaces(), fit.nodes.copy()
    sky[:, : problem.terms] += fit.own
    if problem.terms >= PLANE:
        _level_floor(cells, problem, seen, fit.weight, sky, nodes)
    if not seen.settled:
        _level_components(cells, problem, seen.gain, sky, nodes)
    sky[:, 0] += seen.level
    return _ChannelFit(sky, nodes, fit.residual, fit.weight, fit.converged)


def _levels(cells: SkyCells, n_frames: int) -> FloatArray:
    """(frames, channels) median of each frame's cells; NaN without data."""
    start = np.searchsorted(cells.frame, np.arange(n_frames + 1))
    levels = np.empty((cells.value.shape[1], n_frames))
    for c in range(len(levels)):
        frame_medians(np.ascontiguousarray(cells.value[:, c]), start, levels[c])
    return np.ascontiguousarray(levels.T)


@dataclass(frozen=True)
class _Channel:
    """What one channel says."""

    value: FloatArray  # (cells,) ADU about the level of the frame; NaN is no data
    noise: FloatArray  # (cells,) ADU^2
    scale: FloatArray  # (cells,) what the common light is multiplied by
    gain: FloatArray  # (frames,)


@dataclass(frozen=True)
class _Start:
    """Where the iterations of one channel begin."""

    own: FloatArray  # (frames, terms)
    residual: FloatArray  # (cells,)
    weight: FloatArray  # (cells,)


@dataclass(frozen=True)
class _ChannelFit:
    own: FloatArray  # (frames, terms)
    nodes: FloatArray  # (nodes,)
    residual: FloatArray  # (cells,)
    weight: FloatArray  # (cells,)
    converged: bool


def _channel(cells: SkyCells, channel: int, level: FloatArray, gain: FloatArray) -> _Channel:
    noise = np.ascontiguousarray(cells.variance[:, channel])
    value = np.where(noise > 0, cells.value[:, channel] - level[cells.frame], np.nan)
    return _Channel(value, noise, gain[cells.frame] * cells.omega, gain)


def _start(before: SkyFit, channel: int, level: FloatArray, terms: int) -> _Start:
    own = before.sky[:, channel, :terms].copy()
    own[:, 0] -= level
    residual, weight = before.residual[:, channel], before.weight[:, channel]
    return _Start(own, np.ascontiguousarray(residual), np.ascontiguousarray(weight))


def _precision(problem: SkyProblem, deviation: FloatArray) -> FloatArray:
    """(frames, terms) of the priors on surfaces: 0 on planes; deviation : (frames,) ADU of what is above."""
    precision = np.zeros((len(deviation), problem.terms))
    precision[:, PLANE:] = 1.0 / np.maximum(deviation, 1e-6)[:, None] ** 2
    return precision


def _fit_channel(
    problem: SkyProblem,
    channel: _Channel,
    pattern: SensorPattern,
    start: _Start | None,
    precision: FloatArray,
    steady: SteadySkies | None,
) -> _ChannelFit:
    """Weights, surfaces, sky and pattern in turn. precision : (frames, terms) of the priors on the surfaces.

    Slopes have their own prior once they are what the cells say.
    """
    turns = len(pattern.coefficients) or steady is not None
    first, last = (0 if start is None else SETTLED), (ITERATIONS if turns else SETTLED + 1)
    value = channel.value
    if start is None:
        weight = np.where(np.isfinite(value), 1.0 / np.where(channel.noise > 0, channel.noise, 1.0), 0.0)
        start = _Start(np.zeros((len(channel.gain), problem.terms)), value, weight)
    own, residual, weight = start.own, start.residual, start.weight
    coarse: CoarseSpace | None = None
    for step in range(first, last):
        if step >= SETTLED:
            pattern.fit(residual, weight)
        data = value - pattern.values
        sums = problem.sums(problem.basis, channel.scale, weight, data)
        if steady is not None and step > SETTLED:
            more, pull = steady.prior(own)
            sums = replace(sums, own=sums.own + more, own_right=sums.own_right + pull)
        system = _system(problem, sums, channel.gain, precision, coarse)
        coarse = system.coarse_space
        tolerance = FINAL if step == last - 1 else ROUGH
        solution = system.solve(sums.own_right.ravel(), sums.shared_right, own.ravel(), tolerance)
        own = solution.own.reshape(sums.own_right.shape)
        residual = problem.residual(problem.basis, channel.scale, data, own, solution.shared)
        weight = _robust(residual, channel.noise)
    return _ChannelFit(own, solution.shared, residual, weight, solution.converged)


def _system(
    problem: SkyProblem, sums: SkySums, gain: FloatArray, precision: FloatArray, coarse: CoarseSpace | None
) -> TwoBlockSystem:
    """Normal equations of all surfaces and nodes of one channel; `coarse` : made with other weights."""
    diagonal = np.einsum("ftt->ft", sums.own)
    ridge = np.maximum(RIDGE * diagonal, RIDGE * diagonal.max() + 1e-30)
    own = sums.own + (ridge + precision)[:, :, None] * np.eye(problem.terms)
    gauge = gauge_rows(problem, gain, own)
    shared = normal_sky(problem, sums.shared)
    return TwoBlockSystem(block_diagonal(own), sums.cross, shared, gauge, coarse or _coarse(problem, gain))


def _coarse(problem: SkyProblem, gain: FloatArray) -> Modes:
    terms, splines = min(problem.terms, PLANE), SkySplines(problem.middle, problem.node_place, problem.side)
    modes = splines.on_frames(problem.axes, gain, terms)
    return Modes(among(modes, terms, problem.terms, len(gain) * problem.terms), splines.on_nodes())


def _robust(residual: FloatArray, noise: FloatArray) -> FloatArray:
    """Huber weights about the noise and what the residuals show beyond it (structure finer than the nodes)."""
    normalised = np.abs(residual) / np.sqrt(np.where(noise > 0, noise, np.nan))
    normalised = normalised[np.isfinite(normalised)]
    excess = max(0.0, (1.4826 * float(np.median(normalised))) ** 2 - 1.0) if normalised.size else 0.0
    weight = np.empty(len(residual))
    huber_weights(residual, noise, excess, HUBER, weight)
    return weight


@dataclass(frozen=True)
class _Seen:
    """What each frame had over it, one channel."""

    gain: FloatArray  # (frames,)
    level: FloatArray  # (frames,) ADU of the sky
    time: FloatArray  # (frames,)
    night: IntArray | None  # (frames,)
    settled: bool  # whether level and tilt of the sky are known


def _level_floor(
    cells: SkyCells, problem: SkyProblem, seen: _Seen, weight: FloatArray, sky: FloatArray, nodes: FloatArray
) -> None:
    """Take the tilt of each component off its nodes and put it into its frames (in place); of a settled sky its level too."""
    gain = seen.gain
    component = _node_components(cells, problem)
    area = problem.on_nodes(weight * gain[cells.frame] ** 2)
    area = np.minimum(area, np.median(area))  # nodes at the border know little; deep ones count no more than others
    axes = problem.axes
    level = np.zeros(problem.component.max() + 1)
    middle, slopes = np.zeros((2, len(level), 2))
    place = np.stack([problem.node_x, problem.node_y], axis=1).astype(float)
    for k in range(len(level)):
        on, member = component == k, np.flatnonzero(problem.component == k)
        if not on.any():  # so few cells that others feed all their nodes
            continue
        member = member[np.argsort(seen.time[member], kind="stable")]
        gradients = problem.spacing * np.einsum("nk,nka->na", sky[member, 1:3] / gain[member, None], axes[member])
        middle[k] = np.average(place[on], axis=0, weights=area[on])
        if seen.settled:
            level[k], *slopes[k] = _plane(place[on] - middle[k], nodes[on], area[on])
            continue
        brightness = seen.level[member] / gain[member]
        slopes[k] = tilt(place[on] - middle[k], nodes[on], area[on], gradients, brightness, seen.time[member])
    off = level[component] + np.sum(slopes[component] * (place - middle[component]), axis=1)
    nodes -= np.where(component >= 0, off, 0.0)
    here = problem.component[cells.frame]
    at = np.stack([cells.x, cells.y], axis=1) / problem.spacing
    plane = level[here] + np.sum(slopes[here] * (at - middle[here]), axis=1)
    light = gain[cells.frame] * cells.omega * plane
    sky[:, :BENT] += _frame_surfaces(cells, light, len(gain))


def _plane(place: FloatArray, value: FloatArray, weight: FloatArray) -> FloatArray:
    """(3,) level and slopes of the plane through values at places (n, 2), by least squares."""
    design, root = np.column_stack([np.ones(len(place)), place]), np.sqrt(weight)
    return np.asarray(np.linalg.lstsq(design * root[:, None], value * root, rcond=None)[0], np.float64)


def _frame_surfaces(cells: SkyCells, light: FloatArray, n_frames: int) -> FloatArray:
    """(frames, 6) second-order surfaces through `light` (cells,): a tilt of the sky is no plane in a distorted frame."""
    normal, right = np.zeros((n_frames, BENT, BENT)), np.zeros((n_frames, BENT, 1))
    surface_sums(cells.frame, surface_basis(cells.u, cells.v, BENT), light[:, None], normal, right)
    surfaces: FloatArray = np.einsum("nij,nj->ni", np.linalg.pinv(normal, rcond=1e-9, hermitian=True), right[..., 0])
    return surfaces


def _node_components(cells: SkyCells, problem: SkyProblem) -> IntArray:
    """(nodes,) the component that feeds each node; -1 = none."""
    component = np.full(problem.n_nodes, -1)
    component[problem.squares[problem.patch]] = problem.component[cells.frame][:, None]
    return component


def _level_components(
    cells: SkyCells, problem: SkyProblem, gain: FloatArray, sky: FloatArray, nodes: FloatArray
) -> None:
    """Give unconnected components the same median sky: shift their nodes and constants (in place)."""
    n_components = int(problem.component.max()) + 1
    if n_components < 2:
        return
    node_component = _node_components(cells, problem)
    known = [nodes[node_component == k] for k in range(n_components)]
    level = np.array([np.median(each) if each.size else 0.0 for each in known])
    share = np.bincount(problem.component[problem.component >= 0], minlength=n_components)
    shift = np.sum(level * share) / share.sum() - level
    nodes += np.where(node_component >= 0, shift[node_component], 0.0)
    member = problem.component >= 0
    sky[member, 0] -= gain[member] * shift[problem.component[member]]
