"""Least squares with a few unknowns per frame and many shared ones (stars, sky nodes): the shared ones are eliminated.

Normal equations in two blocks,

    | own      cross  | | p |   | r |
    | cross^T  shared | | q | = | s |

are reduced to the Schur complement (own - cross shared^-1 cross^T) p = r - cross shared^-1 s, which is never formed:
conjugate gradients apply it. With `own` as preconditioner the eigenvalues lie in [0, 1] and all but the
collective modes of the panels are near 1, so that the cost grows with the number of observations, not with pairs of frames.

In a wide mosaic there are many collective modes and they are slow: neighbours pass on what they know to neighbours. A coarse
space, many frames moved together (`patches`, `skymodes`), is solved directly and added to the preconditioner (two-level
additive Schwarz; Toselli & Widlund 2005, Domain Decomposition Methods, section 2.4). What the shared unknowns do meanwhile is
told to it closely (`Modes.answer`): a bend of the whole sky costs 4e-8 of what its 100 000 frames weigh, and any error stands
above that. Gains of 2 000 frames with 30 neighbours each: 247 steps without, 97 with it, and 10 000 frames need no more.

The gradients are the textbook's (Hestenes & Stiefel 1952, J. Res. NBS 49, 409) with sums that no BLAS touches: scipy's wake all
cores for vectors of 30 000 values, which took a third of the processor's time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import SuperLU, splu

__all__ = ["CoarseSpace", "Modes", "TwoBlockSolution", "TwoBlockSystem"]

FloatArray = NDArray[np.float64]
TOLERANCE = 1e-9
MAX_STEPS = 2000
FAINT = 1e-6  # of the largest information in a mode: no less is taken for any
COARSE_RIDGE = 1e-9  # of the information in a mode: what the data do not tell stays solvable


@dataclass(frozen=True)
class TwoBlockSolution:
    """Both blocks of unknowns; `converged` is False when the conjugate gradients gave up."""

    own: FloatArray  # (p,)
    shared: FloatArray  # (q,)
    converged: bool


@dataclass(frozen=True)
class Modes:
    """Columns of unknowns that move together."""

    own: sp.sparray  # (p, c)
    answer: sp.csr_array | None = None  # (q, c) what the shared unknowns do then, about; None: as if they stood still
    order: str = "NATURAL"  # of elimination, of `scipy.sparse.linalg.splu`: as they come, where that fills little


class TwoBlockSystem:
    """The factorised matrix: solve it for one or several right-hand sides.

    own : (p, p) sparse, positive definite, what frames share (coefficients of a sensor) after what is their own: eliminated
        in this order it fills least, and looking for a better one took 2.5 s at 30 000 frames, 0.05 s without.
    cross : (p, q) sparse. shared : (q, q) sparse, positive definite, in an order that fills little; or its diagonal (q,).
    gauge : (g, p) sparse rows, or None. Directions in which the data say nothing: the solution with gauge @ p = 0 is
    taken. Rows should have unit length in the inverse of `own`, so that they neither stall the conjugate gradients
    nor overrule data that do say something.
    coarse : unknowns that move together, for the preconditioner alone, or None. That of a system that differs in its weights
        alone (`coarse_space`) is nearly as good, and there already.
    """

    def __init__(
        self,
        own: sp.sparray,
        cross: sp.sparray,
        shared: sp.sparray | FloatArray,
        gauge: sp.sparray | None = None,
        coarse: Modes | CoarseSpace | None = None,
    ) -> None:
        self._own = sp.csr_array(own)
        self._cross = sp.csr_array(cross)
        self._cross_t = self._cross.T
        self._own_lu = _factorised(own)
        self._shared = _Diagonal(shared) if isinstance(shared, np.ndarray) else _factorised(shared)
        self._gauge = None if gauge is None or gauge.shape[0] == 0 else sp.csr_array(gauge)
        self._gauge_t = None if self._gauge is None else self._gauge.T
        if coarse is None or isinstance(coarse, CoarseSpace):
            self.coarse_space = coarse
        else:
            self.coarse_space = CoarseSpace(coarse, self._own, self._cross, shared, self._gauge)

    def _precondition(self, residual: FloatArray) -> FloatArray:
        better: FloatArray = self._own_lu.solve(residual)
        return better if self.coarse_space is None else better + self.coarse_space.solve(residual)

    def _apply(self, p: FloatArray) -> FloatArray:
        product: FloatArray = self._own @ p - self._cross @ self._shared.solve(self._cross_t @ p)
        if self._gauge is not None and self._gauge_t is not None:
            product = product + self._gauge_t @ (self._gauge @ p)
        return product

    def reduced_solve(
        self, right: FloatArray, start: FloatArray | None = None, tolerance: float = TOLERANCE
    ) -> tuple[FloatArray, bool]:
        """Solve the Schur complement for one right-hand side; its inverse is the covariance of the own unknowns."""
        p = np.zeros(len(right)) if start is None else start.copy()
        residual = right if start is None else right - self._apply(p)
        limit = tolerance**2 * _dot(right, right)
        if limit == 0.0:
            return np.zeros(len(right)), True
        better = self._precondition(residual)
        direction, length = better, _dot(residual, better)
        for _ in range(MAX_STEPS):
            if _dot(residual, residual) <= limit:
                return p, True
            product = self._apply(direction)
            step = length / _dot(direction, product)
            p = p + step * direction
            residual = residual - step * product
            better = self._precondition(residual)
            before, length = length, _dot(residual, better)
            direction = better + (length / before) * direction
        return p, False

    def solve(
        self,
        right_own: FloatArray,
        right_shared: FloatArray,
        start: FloatArray | None = None,
        tolerance: float = TOLERANCE,
    ) -> TwoBlockSolution:
        """Both blocks; `start` is a guess of the own unknowns, `tolerance` of the residual's length."""
        reduced = right_own - self._cross @ self._shared.solve(right_shared)
        p, converged = self.reduced_solve(reduced, start, tolerance)
        q = self._shared.solve(right_shared - self._cross_t @ p)
        return TwoBlockSolution(p, q, converged)


def _dot(first: FloatArray, second: FloatArray) -> float:
    return float(np.einsum("i,i->", first, second))


class _Diagonal:
    """A diagonal matrix, factorised."""

    def __init__(self, diagonal: FloatArray) -> None:
        self._inverse = 1.0 / diagonal

    def solve(self, right: FloatArray) -> FloatArray:
        return self._inverse * right


class CoarseSpace:
    """The Schur complement of unknowns that move together, solved directly.

    It is that of `Modes.answer` after one step of Jacobi's method with the row sums of `shared`, exact where that is diagonal.
    The few rows of the gauge are dense and would fill it: they are brought in by the Sherman-Morrison-Woodbury formula.
    """

    def __init__(
        self,
        modes: Modes,
        own: sp.csr_array,
        cross: sp.csr_array,
        shared: sp.sparray | FloatArray,
        gauge: sp.csr_array | None,
    ) -> None:
        moves = sp.csr_array(modes.own)
        seen = sp.csr_array(cross.T @ moves)
        shared = sp.diags_array(shared) if isinstance(shared, np.ndarray) else shared
        answer = _answered(seen, shared, modes.answer)
        mixed = seen.T @ answer
        alone = moves.T @ (own @ moves)
        matrix = alone + mixed + mixed.T + answer.T @ (shared @ answer)
        # some splines lie beyond the middles of all frames, and the sky alone answers for them: what is left of it is rounding
        weight = alone.diagonal()
        if modes.answer is not None:
            weight = weight + np.asarray(modes.answer.multiply(shared @ modes.answer).sum(axis=0)).ravel()
        matrix = matrix + sp.diags_array(COARSE_RIDGE * np.maximum(weight, FAINT * weight.max(initial=0.0)))
        self._modes, self._lu = moves, _factorised(matrix, modes.order)
        moved = np.zeros((0, moves.shape[1])) if gauge is None else (gauge @ moves).toarray()
        self._by_gauge = self._lu.solve(np.ascontiguousarray(moved.T))
        self._gauge_part = np.linalg.solve(np.eye(len(moved)) + moved @ self._by_gauge, moved)

    def solve(self, residual: FloatArray) -> FloatArray:
        """(p,) what the modes have to move by."""
        moves = self._lu.solve(self._modes.T @ residual)
        better: FloatArray = self._modes @ (moves - self._by_gauge @ (self._gauge_part @ moves))
        return better


def _answered(seen: sp.csr_array, shared: sp.sparray, answer: sp.csr_array | None) -> sp.csr_array:
    """(q, c) what the shared unknowns do when the own ones move; seen : (q, c) the pull of these moves."""
    weight = sp.diags_array(1.0 / np.maximum(np.asarray(shared.sum(axis=1)).ravel(), 1e-300))
    if answer is None:
        return sp.csr_array(-(weight @ seen))
    return sp.csr_array(answer - weight @ (seen + shared @ answer))


def _factorised(matrix: sp.sparray, order: str = "NATURAL") -> SuperLU:
    """LU factors of a symmetric, positive definite matrix: without pivoting they stay sparse and symmetric."""
    return splu(sp.csc_matrix(matrix), permc_spec=order, diag_pivot_thresh=0.0, options={"SymmetricMode": True})
