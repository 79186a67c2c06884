"""What a telescope adds to every sky that it sees: light that its flat, dust and stray light leave, in proportion to the sky.

Planes of the frames cannot follow it: of two real S50 turned by 69.5 degrees one has waves of 0.2 % of the sky across its
columns, and they differ by 0.3 % in the second order, which leaves an edge of 2 to 4 ADU where the frames of one end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skysurface import PATTERN, TERMS, pattern_basis, pattern_surface

__all__ = ["SensorPattern"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CHUNK = 65_536  # cells whose basis is in memory at a time
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
        self._members = [np.flatnonzero(self.instrument[self.cells.frame] == k) for k in range(self._count())]
        self._half = [self._extent(member) for member in self._members]
        self.coefficients = np.zeros((self._count(), PATTERN))
        self.values = np.zeros(len(self.cells))

    def _count(self) -> int:
        return int(self.instrument.max(initial=-1)) + 1

    def _extent(self, member: IntArray) -> tuple[float, float]:
        u, v = (float(np.abs(a[member]).max(initial=1e-6)) for a in (self.cells.u, self.cells.v))
        return u, v

    def _basis(self, k: int, some: IntArray) -> FloatArray:
        basis = pattern_basis(self.cells.u[some], self.cells.v[some], self._half[k])
        basis *= self.level[self.cells.frame[some], None]
        return basis

    def fit(self, residual: FloatArray, weight: FloatArray) -> None:
        """Take up what is left: residual (cells,) ADU, NaN is no data; weight (cells,) ADU^-2, 0 where no data."""
        for k, member in enumerate(self._members):
            chunks = [member[i : i + CHUNK] for i in range(0, len(member), CHUNK)]
            normal, right = np.eye(PATTERN) / PRIOR**2, np.zeros(PATTERN)
            for some in chunks:
                basis = self._basis(k, some)
                weighted = weight[some, None] * basis
                normal += weighted.T @ basis
                right += weighted.T @ (np.nan_to_num(residual[some]) + self.values[some])
            solution = np.linalg.solve(normal, right)
            left = float(np.sum(weight[member] * np.nan_to_num(residual[member]) ** 2))
            freedom = np.count_nonzero(weight[member])
            believed = (right @ solution) * freedom > EVIDENCE * PATTERN * left
            self.coefficients[k] = solution if believed else 0.0
            for some in chunks:
                self.values[some] = self._basis(k, some) @ self.coefficients[k]

    def surfaces(self) -> FloatArray:
        """(frames, TERMS) ADU"""
        shapes = [pattern_surface(c, half) for c, half in zip(self.coefficients, self._half)]
        every: FloatArray = np.vstack([*shapes, np.zeros(TERMS)])[self.instrument] * self.level[:, None]
        return every
