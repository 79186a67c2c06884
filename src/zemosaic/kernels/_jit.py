"""The project's one compile policy.

Serial, cached, without the GIL: parallelism comes from processes. Of fast-math only what lets sums be reordered (reassoc),
products and sums be fused (contract) and the sign of zero be ignored (nsz); no flag that assumes away NaN or infinity
(nnan, ninf): NaN is "no data" and must stay NaN.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

__all__ = ["kernel"]

F = TypeVar("F", bound=Callable[..., Any])

CACHE_VARIABLE = "NUMBA_CACHE_DIR"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private(folder: Path) -> bool:
    """Whether nobody else can put code there: what numba finds in its cache is executed."""
    if not _writable(folder):
        return False
    if os.name == "nt":  # where the folder for temporary files is the user's own
        return True
    about = folder.lstat()
    return not folder.is_symlink() and about.st_uid == os.getuid() and not about.st_mode & 0o022


def _cache_folder(usual: Iterable[Path]) -> Path | None:
    """Where numba is to keep compiled kernels; None: it was told, or one of its usual places can be written.

    Without any it refuses to compile ("no locator available"), as in a read-only installation of a user without a home.
    """
    if os.environ.get(CACHE_VARIABLE) or any(map(_writable, usual)):
        return None
    own = platformdirs.user_cache_path("zemosaic", appauthor=False) / "numba"
    if _writable(own):
        return own
    user = os.getuid() if hasattr(os, "getuid") else "user"
    shared = Path(tempfile.gettempdir()) / f"zemosaic-numba-{user}"
    return shared if _private(shared) else Path(tempfile.mkdtemp(prefix="zemosaic-numba-"))


_folder = _cache_folder([Path(__file__).parent / "__pycache__", platformdirs.user_cache_path("numba", appauthor=False)])
if _folder is not None:
    os.environ[CACHE_VARIABLE] = str(_folder)  # workers inherit it

from numba import njit  # noqa: E402 - numba reads the variable when it is imported


def kernel(function: F) -> F:
    """Compile `function` under the project's policy."""
    compiled: F = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(function)
    return compiled
