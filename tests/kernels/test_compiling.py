"""Compiling is told from working."""

from __future__ import annotations

import numba
import pytest

from zemosaic.kernels.compiling import Timed


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_a_kernel_is_compiled_once():
    @numba.njit
    def doubled(value):
        return 2 * value

    assert not doubled.signatures
    timed = Timed(doubled)
    result, seconds = timed(3)
    assert result == 6 and seconds > 0.0
    assert timed(4) == (8, 0.0)
    assert timed(0.5)[1] > 0.0  # for other types anew
