"""Where numba keeps compiled kernels when its usual places cannot be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import platformdirs

__all__ = ["CACHE_VARIABLE", "cache_folder", "provide_cache"]

CACHE_VARIABLE = "NUMBA_CACHE_DIR"


def provide_cache(module: str) -> None:
    """See to it, before numba is imported, that kernels beside the file `module` can be cached; workers inherit it."""
    usual = [Path(module).parent / "__pycache__", platformdirs.user_cache_path("numba", appauthor=False)]
    folder = cache_folder(usual)
    if folder is not None:
        os.environ[CACHE_VARIABLE] = str(folder)


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


def cache_folder(usual: Iterable[Path]) -> Path | None:
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
