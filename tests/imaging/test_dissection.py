"""Nested dissection: every point once, and factors that stay small."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from zemosaic.imaging.dissection import dissection


@pytest.mark.parametrize(("count", "width"), [(0, 1), (1, 1), (3000, 1), (3000, 5)])
def test_every_point_comes_once(count: int, width: int) -> None:
    places = np.random.default_rng(count).choice(10_000, count, replace=False)
    np.testing.assert_array_equal(np.sort(dissection(places % 100, places // 100, width)), np.arange(count))


def test_a_separator_comes_last_and_parts_the_rest() -> None:
    row, column = (axis.ravel() for axis in np.mgrid[0:9, 0:40])
    order = dissection(column, row, 2)
    last = column[order[-18:]]
    assert len(set(last)) == 2 and np.ptp(last) == 1
    first = column[order[: np.count_nonzero(column < last.min())]]
    assert np.all(first < last.min())


def test_factors_of_a_grid_fill_less_than_row_by_row() -> None:
    side = 60
    line = sp.diags_array([1.0, 4.0, 1.0], offsets=[-1, 0, 1], shape=(side, side))
    matrix = sp.csr_array(sp.kron(line, line))
    row, column = (axis.ravel() for axis in np.mgrid[0:side, 0:side])
    order = dissection(column, row)
    options = {"permc_spec": "NATURAL", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    filled = [splu(sp.csc_matrix(each), **options).L.nnz for each in (matrix, matrix[order][:, order])]
    assert filled[1] < 0.5 * filled[0], filled
