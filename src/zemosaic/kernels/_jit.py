"""The project's one compile policy.

Serial, cached, without the GIL: parallelism comes from processes. No fast-math: NaN is "no data" and must stay NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

__all__ = ["kernel"]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` under the project's policy."""
    compiled: F = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(function)
    return compiled
