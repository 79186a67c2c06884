"""Star measurements of all frames in columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["StarTable", "brightest_of_each", "median_by"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class StarTable:
    """Star measurements of all frames that may take part: no saturated, blended or unlinked ones."""

    frame: IntArray  # (n,) index of the frame
    star: IntArray  # (n,) index of the star
    flux: FloatArray  # (n, channels) ADU; may be <= 0; NaN is no data
    error: FloatArray  # (n, channels) ADU
    rho2: FloatArray  # (n,) squared distance to the frame's centre, 1 in the corners
    instrument: IntArray  # (frames,)
    night: IntArray  # (frames,) frames of one instrument and night have the same number
    vt: FloatArray  # (stars,) catalogue magnitude; NaN when there is none
    u: FloatArray = field(
        default_factory=lambda: np.zeros(0)
    )  # (n,) offset from the frame's centre over the half-diagonal
    v: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def channels(self) -> int:
        return int(self.flux.shape[1])

    @property
    def reference(self) -> int:
        """The channel compared with the catalogue: green, or the only one."""
        return 1 if self.channels == 3 else 0


def median_by(index: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Median of `values` for each index 0..size-1; NaN without finite values."""
    good = np.isfinite(values)
    index, values = index[good], values[good]
    order = np.lexsort((values, index))
    index, values = index[order], values[order]
    start = np.searchsorted(index, np.arange(size))
    count = np.searchsorted(index, np.arange(size), side="right") - start
    result = np.full(size, np.nan)
    some = count > 0
    low = start[some] + (count[some] - 1) // 2
    high = start[some] + count[some] // 2
    result[some] = 0.5 * (values[low] + values[high])
    return result


def brightest_of_each(frame: IntArray, brightness: FloatArray, most: int) -> IntArray:
    """Indices of the measurements of at most so many stars a frame, the brightest.

    brightness : (n,) of the star as all frames together have it: the one measurement would prefer frames that measured too much.
    """
    order = np.lexsort((-brightness, frame))
    rank = np.arange(len(order)) - np.searchsorted(frame[order], frame[order])
    chosen: IntArray = np.sort(order[rank < most])
    return chosen
