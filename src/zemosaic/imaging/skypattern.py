"""What a telescope adds to every sky that it sees: light that its flat, dust and stray light leave, in proportion to the sky.

Planes of the frames cannot follow it: of two real S50 turned by 69.5 degrees one has waves of 0.2 % of the sky across its
columns, and they differ by 0.3 % in the second order, which leaves an edge of 2 to 4 ADU where the frames of one end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skysurface import DEGREE, PATTERN, TERMS, pattern_basis, pattern_powers, pattern_surface
from zemosaic.kernels.skyfit import pattern_values, sensor_sums

__all__ = ["SensorPattern"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PLACES = 64  # a side of the sensor, whose cells are taken together at their mean place: finer than the cells
PRIOR = 0.003  # of the sky: standard deviation of a coefficient
EVIDENCE = 5.0  # times what chance would explain, for a pattern to be believed: 108 for two real S50, 1 to 4 where there is none


@dataclass
class SensorPattern:
    """A smooth surface per instrument, in units of the sky level of each frame, fitted to what the rest of the model leaves.

    An instrument whose residuals it does not explain far better than chance (F-test) keeps none. Each `fit` takes another
    step of the alternation "pattern, then sky and planes". A pattern that the sky's own shape explains as well (one
    instrument that does not turn) leaves nothing behind and stays 0, however many steps are made.
    """

    cells: SkyCells
    level: FloatArray  # (frames,) ADU
    instrument: IntArray  # (frames,) number; -1 = none, no pattern
    coefficients: FloatArray = field(init=False)  # (instruments, PATTERN)
    values: FloatArray = field(init=False)  # (cells,) ADU

    def __post_init__(self) -> None:
        count = int(self.instrument.max(initial=-1)) + 1
        number = self.instrument[self.cells.frame]
        self._half = np.full((count, 2), 1e-6)
        for axis, at in enumerate((self.cells.u, self.cells.v)):
            np.maximum.at(self._half[:, axis], number[number >= 0], np.abs(at[number >= 0]))
        self.coefficients = np.zeros((count, PATTERN))
        self.values = np.zeros(len(self.cells))

    def fit(self, residual: FloatArray, weight: FloatArray) -> None:
        """Take up what is left: residual (cells,) ADU, NaN is no data; weight (cells,) ADU^-2, 0 where no data."""
        cells, count = self.cells, len(self.coefficients)
        squares, totals = np.zeros((count, PLACES, PLACES, 4)), np.zeros((count, 2))
        at = (cells.frame, cells.u, cells.v, self.instrument)
        sensor_sums(*at, self._half, self.level, weight, residual, self.values, squares, totals)
        for k, (left, freedom) in enumerate(totals):
            some = squares[k][squares[k, ..., 0] > 0]
            information = some[:, 0]
            mean_u, mean_v, value = (some[:, 1:] / information[:, None]).T
            basis = pattern_basis(mean_u, mean_v, self._extent(k))
            weighted = information[:, None] * basis
            right = weighted.T @ value
            solution = np.linalg.solve(weighted.T @ basis + np.eye(PATTERN) / PRIOR**2, right)
            believed = (right @ solution) * freedom > EVIDENCE * PATTERN * left
            self.coefficients[k] = solution if believed else 0.0
        powers = np.zeros((count, DEGREE + 1, DEGREE + 1))
        for k in range(count):
            powers[k] = pattern_powers(self.coefficients[k], self._extent(k))
        pattern_values(*at, self.level, powers, self.values)

    def _extent(self, k: int) -> tuple[float, float]:
        return float(self._half[k, 0]), float(self._half[k, 1])

    def surfaces(self) -> FloatArray:
        """(frames, TERMS) ADU"""
        shapes = [pattern_surface(c, self._extent(k)) for k, c in enumerate(self.coefficients)]
        every: FloatArray = np.vstack([*shapes, np.zeros(TERMS)])[self.instrument] * self.level[:, None]
        return every
