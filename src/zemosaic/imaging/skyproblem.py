"""The equations of frame surfaces and common sky: which cell is tied to what, and sums over all cells.

No matrix has a row per cell: what the cells say is added up (`kernels.skyfit`) into a block per frame, a 4 x 4 block per square
of the sky and one value per term, frame and node that it touches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from zemosaic.imaging.dissection import dissection
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skysurface import BENT, PLANE, surface_basis
from zemosaic.kernels.skyfit import cell_residuals, node_sums, normal_sums, number_pairs

__all__ = ["SkyProblem", "SkySums", "block_diagonal", "gauge_rows", "normal_sky", "sky_problem"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SMOOTHNESS = 1e-6  # of the mean weight of a node: fills nodes that only masked cells would feed
MIN_SHARED = 3  # cells by which a frame must touch a patch of sky to be connected through it
CORNERS = tuple((k, m) for k in range(4) for m in range(k, 4))


@dataclass(frozen=True)
class SkySums:
    """Normal equations of one channel, for some weights."""

    own: FloatArray  # (frames, terms, terms)
    own_right: FloatArray  # (frames, terms)
    cross: sp.csr_array  # (frames * terms, nodes)
    shared: sp.csr_array  # (nodes, nodes)
    shared_right: FloatArray  # (nodes,)


@dataclass(frozen=True)
class SkyProblem:
    """Geometry shared by the channels."""

    frame: IntArray  # (cells,) ascending
    basis: FloatArray  # (cells, terms) plane of each frame
    share: FloatArray  # (cells, 4) bilinear
    patch: IntArray  # (cells,) square of the grid of nodes
    squares: IntArray  # (squares, 4) nodes at its corners
    slot: NDArray[np.int32]  # (cells, 4) pairs of the cell's frame and these nodes
    pair_node: NDArray[np.int32]  # (pairs,)
    pair_start: IntArray  # (frames + 1,)
    smooth: sp.csr_array  # (nodes, nodes)
    node_x: FloatArray  # in units of the spacing; nodes are in the order of `dissection`
    node_y: FloatArray
    component: IntArray  # (frames,) frames with the same number are connected by common sky; -1 = no cells
    axes: FloatArray  # (frames, 2, 2) d(u, v) / d(x, y)
    middle: FloatArray  # (frames, 2) x, y where u = v = 0
    side: float  # deg, short side of the typical frame
    terms: int  # 1, 3 or 6, of a frame's own surface
    spacing: float  # deg between nodes

    @property
    def n_nodes(self) -> int:
        return len(self.node_x)

    def sums(self, basis: FloatArray, scale: FloatArray, weight: FloatArray, value: FloatArray) -> SkySums:
        """Equations of ``value = basis . own + scale * sky``; basis : (cells, terms), the rest (cells,); weight 0 is no data."""
        n_frames, terms = len(self.pair_start) - 1, basis.shape[1]
        own, own_right = np.zeros((n_frames, terms, terms)), np.zeros((n_frames, terms))
        cross = np.zeros((len(self.pair_node), terms))
        shared, shared_right = np.zeros((len(self.squares), 4, 4)), np.zeros((len(self.squares), 4))
        place = (self.frame, self.patch, self.share, self.slot)
        normal_sums(*place, basis, scale, weight, value, own, own_right, cross, shared, shared_right)
        pulled = np.bincount(self.squares.ravel(), shared_right.ravel(), self.n_nodes)
        lower = np.tril(np.ones((terms, terms)), -1) * own
        return SkySums(
            own=own + lower.transpose(0, 2, 1),
            own_right=own_right,
            cross=self._crossed(cross),
            shared=self._spread(shared),
            shared_right=pulled.astype(np.float64),
        )

    def _crossed(self, cross: FloatArray) -> sp.csr_array:
        """Rows by frame and term of the values (pairs, terms)."""
        terms, counts = cross.shape[1], np.diff(self.pair_start)
        starts = np.concatenate([[0], np.cumsum(np.repeat(counts, terms))])
        # pair k of frame f, term t comes at terms * start[f] + t * counts[f] + k
        frame = np.repeat(np.arange(len(counts)), counts)
        inside = np.arange(len(self.pair_node)) - self.pair_start[frame]
        first = terms * self.pair_start[frame] + inside
        values, nodes = np.empty(cross.size), np.empty(cross.size, np.int32)
        for t in range(terms):
            values[first + t * counts[frame]] = cross[:, t]
            nodes[first + t * counts[frame]] = self.pair_node
        return sp.csr_array((values, nodes, starts), shape=(len(counts) * terms, self.n_nodes))

    def _spread(self, shared: FloatArray) -> sp.csr_array:
        """Normal matrix of the nodes from the blocks of their squares."""
        rows, columns, values = [], [], []
        for k, m in CORNERS:
            rows.append(self.squares[:, k])
            columns.append(self.squares[:, m])
            values.append(shared[:, k, m])
            if k != m:
                rows.append(self.squares[:, m])
                columns.append(self.squares[:, k])
                values.append(shared[:, k, m])
        place = (np.concatenate(rows), np.concatenate(columns))
        return sp.csr_array((np.concatenate(values), place), shape=(self.n_nodes, self.n_nodes))

    def residual(
        self, basis: FloatArray, scale: FloatArray, value: FloatArray, own: FloatArray, nodes: FloatArray
    ) -> FloatArray:
        """(cells,) what surfaces (frames, terms) and sky (nodes,) leave of each value; NaN stays NaN."""
        out = np.empty(len(value))
        cell_residuals(self.frame, self.patch, self.squares, self.share, basis, scale, value, own, nodes, out)
        return out

    @property
    def node_place(self) -> FloatArray:
        """(nodes, 2) deg on the common plane."""
        return self.spacing * np.stack([self.node_x, self.node_y], axis=1)

    def on_nodes(self, value: FloatArray) -> FloatArray:
        """(nodes,) sums of the cells' values by their shares."""
        out = np.zeros(self.n_nodes)
        node_sums(self.patch, self.squares, self.share, value, out)
        return out


def sky_problem(cells: SkyCells, n_frames: int, spacing: float, order: int) -> SkyProblem:
    """Raises ValueError when the cells are not ordered by frame."""
    if len(cells) and np.any(np.diff(cells.frame) < 0):
        raise ValueError("sky cells have to be ordered by frame")
    column, row = cells.x / spacing, cells.y / spacing
    i, j = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    i0, j0 = i.min(), j.min()
    stride = int(i.max() - i0) + 2
    squares, patch = np.unique((j - j0) * stride + (i - i0), return_inverse=True)
    keys, corner = np.unique(squares[:, None] + np.array([0, 1, stride, stride + 1]), return_inverse=True)
    turn = dissection(keys % stride, keys // stride)
    number = np.empty_like(turn)
    number[turn] = np.arange(len(turn))
    corner = np.ascontiguousarray(number[corner].reshape(len(squares), 4))
    patch = patch.astype(np.int64)
    s, t = column - i, row - j
    slot, node = np.empty((len(cells), 4), np.int32), np.empty(4 * len(cells), np.int32)
    start = np.empty(n_frames + 1, np.int64)
    count = number_pairs(cells.frame, patch, corner, np.full(len(keys), -1, np.int64), slot, node, start)
    terms = (1, PLANE, BENT)[order]
    axes, middle, side = _frame_axes(cells, n_frames)
    return SkyProblem(
        frame=cells.frame,
        basis=surface_basis(cells.u, cells.v, terms),
        share=np.stack([(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t], axis=1),
        patch=patch,
        squares=corner,
        slot=slot,
        pair_node=node[:count].copy(),
        pair_start=start,
        smooth=sp.csr_array(_neighbours(keys, stride)[turn][:, turn]),
        node_x=(keys[turn] % stride + i0).astype(float),
        node_y=(keys[turn] // stride + j0).astype(float),
        component=_components(cells.frame, patch, n_frames, len(squares)),
        axes=axes,
        middle=middle,
        side=side,
        terms=terms,
        spacing=spacing,
    )


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
    """Which frames are connected by patches of sky that they really share, numbered without gaps; -1 without cells."""
    count = sp.csr_array((np.ones(len(frame)), (frame, n_frames + patch)), shape=(n_frames + n_patches,) * 2)
    count.sum_duplicates()
    enough = int(np.clip(np.median(count.data), 1, MIN_SHARED))
    count.data = (count.data >= enough).astype(float)
    count.eliminate_zeros()
    labels = connected_components(count, directed=False)[1][:n_frames]
    component, seen = np.full(n_frames, -1), np.bincount(frame, minlength=n_frames) > 0
    component[seen] = np.unique(labels[seen], return_inverse=True)[1]
    return component


def gauge_rows(problem: SkyProblem, gain: FloatArray, own: FloatArray) -> sp.csr_array:
    """Rows per component: sum of the constants, and gain-weighted sums of the gradients along x and y on the sky.

    own : (frames, terms, terms) normal blocks; each row has unit length in their inverse.
    """
    terms, rows = problem.terms, min(problem.terms, PLANE)
    member = np.flatnonzero(problem.component >= 0)
    component = problem.component[member]
    weights = np.zeros((len(member), terms, rows))  # frame, its unknown, row
    weights[:, 0, 0] = 1.0
    if terms >= PLANE:
        weights[:, 1:PLANE, 1:] = gain[member, None, None] * problem.axes[member]
    squared = np.sum(weights * np.linalg.solve(own[member], weights), axis=1)
    count = int(component.max(initial=-1)) + 1
    length = np.stack([np.bincount(component, of, count) for of in squared.T], axis=1)
    weights /= np.sqrt(length)[component][:, None, :]
    at, columns = np.broadcast_arrays(
        (component[:, None] * rows + np.arange(rows))[:, None, :],
        (member[:, None] * terms + np.arange(terms))[:, :, None],
    )
    place = (at.ravel(), columns.ravel())
    return sp.csr_array((weights.ravel(), place), shape=(count * rows, len(gain) * terms))


def _frame_axes(cells: SkyCells, n_frames: int) -> tuple[FloatArray, FloatArray, float]:
    """d(u, v) / d(x, y) (frames, 2, 2) by least squares over the cells of each frame, the identity without cells; (frames, 2)
    x, y where u = v = 0; and the short side (deg) of the typical frame.
    """

    def mean(values: FloatArray) -> FloatArray:
        result: FloatArray = np.bincount(cells.frame, values, n_frames) / count
        return result

    count = np.maximum(np.bincount(cells.frame, minlength=n_frames), 1)
    middle = np.stack([mean(cells.x), mean(cells.y)], axis=1)
    x, y = cells.x - middle[cells.frame, 0], cells.y - middle[cells.frame, 1]
    sky = np.array([[mean(x * x), mean(x * y)], [mean(x * y), mean(y * y)]]).transpose(2, 0, 1)
    frame = np.array([[mean(cells.u * x), mean(cells.u * y)], [mean(cells.v * x), mean(cells.v * y)]]).transpose(
        2, 0, 1
    )
    regular = np.linalg.det(sky) > 1e-6 * np.trace(sky, axis1=1, axis2=2) ** 2
    axes = np.tile(np.eye(2), (n_frames, 1, 1))
    axes[regular] = frame[regular] @ np.linalg.inv(sky[regular])
    # masked cells draw the mean away from the centre, by 0.1 of a side where a frame has 15
    off = np.stack([mean(cells.u), mean(cells.v)], axis=1)
    middle[regular] -= np.linalg.solve(axes[regular], off[regular, :, None])[..., 0]
    # a side w of a rectangle has a variance of w^2 / 12 along it
    sides = np.sqrt(12.0 * np.linalg.eigvalsh(sky[regular])[:, 0])
    return axes, middle, float(np.median(sides)) if len(sides) else 1.0


def normal_sky(problem: SkyProblem, shared: sp.csr_array) -> sp.csr_array:
    """Normal matrix of the nodes, with the little smoothness that makes it regular."""
    regular = problem.smooth + 1e-3 * sp.eye_array(shared.shape[0])
    normal: sp.csr_array = sp.csr_array(shared + SMOOTHNESS * shared.diagonal().mean() * regular)
    return normal


def block_diagonal(blocks: FloatArray) -> sp.csr_array:
    """(n * k, n * k) matrix of the blocks (n, k, k)."""
    n, k, _ = blocks.shape
    columns = np.broadcast_to((np.arange(n)[:, None] * k + np.arange(k))[:, None, :], blocks.shape)
    return sp.csr_array((blocks.ravel(), columns.ravel(), np.arange(n * k + 1) * k), shape=(n * k, n * k))
