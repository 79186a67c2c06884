"""Medians of many small groups of values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["group_medians"]


@kernel
def group_medians(
    index: NDArray[np.int64],
    values: NDArray[np.float64],
    place: NDArray[np.int64],
    room: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Median of the finite values of each group; NaN where there are none.

    index, values : (n,) group of each value. place : (groups + 1,) scratch, 0 on entry. room : (n,) scratch. out : (groups,).
    """
    for i in range(len(index)):
        if np.isfinite(values[i]):
            place[index[i] + 1] += 1
    for g in range(1, len(place)):
        place[g] += place[g - 1]
    for i in range(len(index)):  # moves the start of each group to its end, which is the start of the next one
        if np.isfinite(values[i]):
            room[place[index[i]]] = values[i]
            place[index[i]] += 1
    first = 0
    for g in range(len(out)):
        part = room[first : place[g]]
        count = len(part)
        out[g] = np.nan
        if count > 0:
            part.sort()
            out[g] = 0.5 * (part[(count - 1) // 2] + part[count // 2])
        first = place[g]
