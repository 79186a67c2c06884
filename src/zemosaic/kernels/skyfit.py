"""Sums over the sky cells of all frames: the normal equations of frame surfaces and common sky, without a matrix of the cells.

Cells come ordered by frame. Each lies in a square of the grid of nodes and takes part of its light from the square's four
corners (bilinear). `squares` (squares, 4) holds the nodes of the corners, `slot` (cells, 4) where the pair of the cell's frame
and such a node stands in a list of all pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = [
    "cell_residuals",
    "cover_cells",
    "frame_medians",
    "huber_weights",
    "mesh_sums",
    "node_sums",
    "normal_sums",
    "number_pairs",
    "pattern_values",
    "sensor_sums",
    "surface_sums",
]


@kernel
def cover_cells(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radius: NDArray[np.float64],
    cell: int,
    out: NDArray[np.bool_],
) -> None:
    """Set the cells (ny, nx) of `cell` px that circles touch; cell k spans k * cell .. (k + 1) * cell.

    x, y, radius : (n,) px; circles that are NaN touch nothing.
    """
    for i in range(len(x)):
        r = radius[i]
        if not (
            x[i] + r > 0.0 and y[i] + r > 0.0 and x[i] - r < out.shape[1] * cell and y[i] - r < out.shape[0] * cell
        ):
            continue
        for row in range(max(0, int((y[i] - r) // cell)), min(out.shape[0], int((y[i] + r) // cell) + 1)):
            away_y = max(0.0, row * cell - y[i], y[i] - (row + 1) * cell)
            for column in range(max(0, int((x[i] - r) // cell)), min(out.shape[1], int((x[i] + r) // cell) + 1)):
                away_x = max(0.0, column * cell - x[i], x[i] - (column + 1) * cell)
                if np.hypot(away_x, away_y) < r:
                    out[row, column] = True


@kernel
def mesh_sums(
    mean: NDArray[np.float32],
    masked: NDArray[np.bool_],
    cell: int,
    width: int,
    height: int,
    coefficients: NDArray[np.float64],
    bins: int,
    out: NDArray[np.float64],
) -> None:
    """Add up the cells of a mesh that are not masked and have data, `bins` x `bins` of them together.

    mean : (ny, nx, channels) ADU of cells of `cell` px of a frame of width x height px. coefficients : of the response, by which
    each value is divided. out : (ceil(ny / bins), ceil(nx / bins), 3 + channels) cells, sums of x, y (px) and of the values;
    zero on entry.
    """
    middle_x, middle_y = 0.5 * (width - 1), 0.5 * (height - 1)
    radius2 = 0.25 * (width * width + height * height)
    for j in range(mean.shape[0]):
        y = 0.5 * (j * cell + min((j + 1) * cell, height) - 1)
        for i in range(mean.shape[1]):
            usable = not masked[j, i]
            for c in range(mean.shape[2]):
                usable = usable and np.isfinite(mean[j, i, c])
            if not usable:
                continue
            x = 0.5 * (i * cell + min((i + 1) * cell, width) - 1)
            rho2 = ((x - middle_x) ** 2 + (y - middle_y) ** 2) / radius2
            flat, power = 1.0, 1.0
            for t in range(len(coefficients)):
                power *= rho2
                flat += coefficients[t] * power
            sums = out[j // bins, i // bins]
            sums[0] += 1.0
            sums[1] += x
            sums[2] += y
            for c in range(mean.shape[2]):
                sums[3 + c] += mean[j, i, c] / flat


@kernel
def number_pairs(
    frame: NDArray[np.int64],
    patch: NDArray[np.int64],
    squares: NDArray[np.int64],
    last: NDArray[np.int64],
    slot: NDArray[np.int32],
    node: NDArray[np.int32],
    start: NDArray[np.int64],
) -> int:
    """Number the pairs of frame and node, by frame and then as they come; returns how many there are.

    frame, patch : (cells,) ascending frame, and square of each cell.
    last : (nodes,) scratch, -1 on entry.
    slot : (cells, 4) out. node : out, room for 4 a cell, the node of each pair. start : (frames + 1,) out, first pair of a frame.
    """
    count, current = 0, 0
    start[0] = 0
    for i in range(len(frame)):
        while current < frame[i]:
            current += 1
            start[current] = count
        first = start[current]
        for k in range(4):
            n = squares[patch[i], k]
            if last[n] < first:
                last[n] = count
                node[count] = n
                count += 1
            slot[i, k] = last[n]
    while current < len(start) - 1:
        current += 1
        start[current] = count
    return count


@kernel
def normal_sums(
    frame: NDArray[np.int64],
    patch: NDArray[np.int64],
    share: NDArray[np.float64],
    slot: NDArray[np.int32],
    basis: NDArray[np.float64],
    scale: NDArray[np.float64],
    weight: NDArray[np.float64],
    value: NDArray[np.float64],
    own: NDArray[np.float64],
    own_right: NDArray[np.float64],
    cross: NDArray[np.float64],
    shared: NDArray[np.float64],
    shared_right: NDArray[np.float64],
) -> None:
    """Add up the normal equations of ``value = basis . own + scale * sum(share * node)``; cells of weight 0 do not count.

    share : (cells, 4) bilinear. basis : (cells, terms). scale, weight, value : (cells,).
    own : (frames, terms, terms), own_right : (frames, terms), cross : (pairs, terms), shared : (squares, 4, 4) upper
    triangles, shared_right : (squares, 4); all zero on entry.
    """
    terms = basis.shape[1]
    for i in range(len(frame)):
        w = weight[i]
        if not w > 0.0:
            continue
        f, square, a, b = frame[i], patch[i], scale[i], value[i]
        for t in range(terms):
            wt = w * basis[i, t]
            own_right[f, t] += wt * b
            for s in range(t + 1):
                own[f, t, s] += wt * basis[i, s]
            for k in range(4):
                cross[slot[i, k], t] += wt * a * share[i, k]
        for k in range(4):
            ws = w * a * share[i, k]
            shared_right[square, k] += ws * b
            for m in range(k, 4):
                shared[square, k, m] += ws * a * share[i, m]


@kernel
def cell_residuals(
    frame: NDArray[np.int64],
    patch: NDArray[np.int64],
    squares: NDArray[np.int64],
    share: NDArray[np.float64],
    basis: NDArray[np.float64],
    scale: NDArray[np.float64],
    value: NDArray[np.float64],
    own: NDArray[np.float64],
    node: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """What frame surfaces `own` (frames, terms) and the sky `node` (nodes,) leave of each value; NaN stays NaN."""
    for i in range(len(frame)):
        light = 0.0
        for k in range(4):
            light += share[i, k] * node[squares[patch[i], k]]
        left = value[i] - scale[i] * light
        for t in range(basis.shape[1]):
            left -= basis[i, t] * own[frame[i], t]
        out[i] = left


@kernel
def node_sums(
    patch: NDArray[np.int64],
    squares: NDArray[np.int64],
    share: NDArray[np.float64],
    value: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add each cell's value to its four nodes, by their shares."""
    for i in range(len(patch)):
        for k in range(4):
            out[squares[patch[i], k]] += share[i, k] * value[i]


@kernel
def huber_weights(
    residual: NDArray[np.float64], noise: NDArray[np.float64], excess: float, limit: float, out: NDArray[np.float64]
) -> None:
    """Huber weights over the variance noise * (1 + excess); 0 where the residual is NaN or the noise not positive."""
    for i in range(len(residual)):
        out[i] = 0.0
        if noise[i] > 0.0 and np.isfinite(residual[i]):
            variance = noise[i] * (1.0 + excess)
            out[i] = min(1.0, limit * np.sqrt(variance) / max(abs(residual[i]), 1e-300)) / variance


@kernel
def frame_medians(value: NDArray[np.float64], start: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Median of the finite values of each frame, start[f]:start[f + 1]; NaN where there are none."""
    for f in range(len(start) - 1):
        part = value[start[f] : start[f + 1]]
        part = part[np.isfinite(part)]
        out[f] = np.median(part) if len(part) else np.nan


@kernel
def surface_sums(
    frame: NDArray[np.int64],
    basis: NDArray[np.float64],
    value: NDArray[np.float64],
    normal: NDArray[np.float64],
    right: NDArray[np.float64],
) -> None:
    """Add up the equations of surfaces through `value` (cells, k): normal (frames, terms, terms), right (frames, terms, k)."""
    for i in range(len(frame)):
        f = frame[i]
        for t in range(basis.shape[1]):
            for s in range(basis.shape[1]):
                normal[f, t, s] += basis[i, t] * basis[i, s]
            for k in range(value.shape[1]):
                right[f, t, k] += basis[i, t] * value[i, k]


@kernel
def sensor_sums(
    frame: NDArray[np.int64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    instrument: NDArray[np.int64],
    half: NDArray[np.float64],
    level: NDArray[np.float64],
    weight: NDArray[np.float64],
    residual: NDArray[np.float64],
    pattern: NDArray[np.float64],
    squares: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Add up what each place of an instrument's sensor says of a pattern in units of the frames' levels.

    instrument : (frames,) number, -1 = none. half : (instruments, 2) extent in u and v. level : (frames,).
    residual, pattern : (cells,) what is left, and what the present pattern takes.
    squares : (instruments, n, n, 4) in v, u: weight, weight * u, weight * v, weight * value over level; zero on entry.
    totals : (instruments, 2) weighted square of what is left, cells that count; zero on entry.
    """
    n = squares.shape[1]
    for i in range(len(frame)):
        f = frame[i]
        k = instrument[f]
        w = weight[i]
        if k < 0 or not w > 0.0:
            continue
        column = min(max(int((u[i] / half[k, 0] + 1.0) * 0.5 * n), 0), n - 1)
        row = min(max(int((v[i] / half[k, 1] + 1.0) * 0.5 * n), 0), n - 1)
        at = squares[k, row, column]
        information = w * level[f] * level[f]
        at[0] += information
        at[1] += information * u[i]
        at[2] += information * v[i]
        at[3] += w * level[f] * (residual[i] + pattern[i])
        totals[k, 0] += w * residual[i] * residual[i]
        totals[k, 1] += 1.0


@kernel
def pattern_values(
    frame: NDArray[np.int64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    instrument: NDArray[np.int64],
    level: NDArray[np.float64],
    powers: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """The pattern of each cell's instrument at (u, v) times the level of its frame; 0 without an instrument.

    powers : (instruments, n, n) coefficients of u^i v^j with i + j < n.
    """
    n = powers.shape[1]
    for c in range(len(frame)):
        k = instrument[frame[c]]
        total = 0.0
        if k >= 0:
            for i in range(n - 1, -1, -1):
                inner = 0.0
                for j in range(n - 1 - i, -1, -1):
                    inner = inner * v[c] + powers[k, i, j]
                total = total * u[c] + inner
        out[c] = total * level[frame[c]]
