"""Star measurements of all frames in columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels.medians import group_medians

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
    # (n,) offset from the frame's centre over the half-diagonal
    u: FloatArray = field(default_factory=lambda: np.zeros(0))
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
    result = np.empty(size)
    values = np.ascontiguousarray(values, np.float64)
    group_medians(index, values, np.zeros(size + 1, np.int64), np.empty(len(values)), result)
    return result


def brightest_of_each(frame: IntArray, brightness: FloatArray, most: int) -> IntArray:
    """Indices of the measurements of at most so many stars a frame, the brightest.

    brightness : (n,) of the star as all frames together have it: the one measurement would prefer frames that measured too much.
    """
    order = np.lexsort((-brightness, frame))
    rank = np.arange(len(order)) - np.searchsorted(frame[order], frame[order])
    chosen: IntArray = np.sort(order[rank < most])
    return chosen
