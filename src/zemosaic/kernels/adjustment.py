"""Products with the derivatives of an adjustment, one sighting after another: no sparse matrix of millions of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["normal_blocks", "to_stars", "to_unknowns"]


@kernel
def to_stars(
    jacobian: NDArray[np.float32],
    weight: NDArray[np.float64],
    frame: NDArray[np.int64],
    star: NDArray[np.int64],
    columns: NDArray[np.int64],
    unknowns: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add to each star (s, 2) the weighted effect of the unknowns on its sightings.

    Parameters
    ----------
    jacobian : (n, 2, k) derivatives of each sighting by the unknowns of its frame.
    columns : (f, k) where those stand in `unknowns`.
    """
    for i in range(len(frame)):
        place = columns[frame[i]]
        for a in range(2):
            value = 0.0
            for k in range(jacobian.shape[2]):
                value += jacobian[i, a, k] * unknowns[place[k]]
            out[star[i], a] += weight[i] * value


@kernel
def to_unknowns(
    jacobian: NDArray[np.float32],
    weight: NDArray[np.float64],
    frame: NDArray[np.int64],
    star: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """The transpose of `to_stars`: add to the unknowns what the stars' values (s, 2) give them."""
    for i in range(len(frame)):
        place = columns[frame[i]]
        for a in range(2):
            value = weight[i] * values[star[i], a]
            for k in range(jacobian.shape[2]):
                out[place[k]] += jacobian[i, a, k] * value


@kernel
def normal_blocks(
    jacobian: NDArray[np.float32],
    weight: NDArray[np.float64],
    frame: NDArray[np.int64],
    share: NDArray[np.float64],
    full: NDArray[np.float64],
    taken: NDArray[np.float64],
) -> None:
    """Add to each frame's block (f, k, k) its sightings' products, and their `share` (n,) to `taken`."""
    size = jacobian.shape[2]
    for i in range(len(frame)):
        f = frame[i]
        for a in range(2):
            for p in range(size):
                weighted = weight[i] * jacobian[i, a, p]
                for q in range(size):
                    product = weighted * jacobian[i, a, q]
                    full[f, p, q] += product
                    taken[f, p, q] += share[i] * product
