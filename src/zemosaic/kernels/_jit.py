"""The project's one compile policy.

Serial, cached, without the GIL: parallelism comes from processes. Of fast-math only what lets sums be reordered (reassoc),
products and sums be fused (contract) and the sign of zero be ignored (nsz); no flag that assumes away NaN or infinity
(nnan, ninf): NaN is "no data" and must stay NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from zemosaic.kernel_cache import provide_cache

provide_cache(__file__)

from numba import njit  # noqa: E402 - numba learns of its cache when it is imported

__all__ = ["kernel"]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` under the project's policy."""
    compiled: F = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(function)
    return compiled
