"""Where numba keeps compiled kernels: a folder for each state of their source, wherever one can be written.

numba compiles a kernel again when its own file has changed, not when that of a kernel which it calls has: the machine code of
both is one, and a new edition would go on with a part of the old.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import platformdirs

from zemosaic import __version__

__all__ = ["CACHE_VARIABLE", "cache_folder", "is_compiled", "lasting_cache", "provide_cache", "source_of"]

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
OLD = 30 * 86400  # s since a folder was last begun or used, after which it goes


def provide_cache(module: str) -> Path:
    """See to it, before numba is imported, that kernels beside the file `module` can be cached; workers inherit it.

    Returns the folder.
    """
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    sources = Path(module).parent
    folder = cache_folder(sources / "__pycache__") / f"kernels-{source_of(sources)}"
    folder.mkdir(exist_ok=True, mode=0o700)
    folder.touch()
    for other in folder.parent.glob("kernels-*"):
        if time.time() - other.stat().st_mtime > OLD:
            shutil.rmtree(other, ignore_errors=True)
    os.environ[CACHE_VARIABLE] = str(folder)
    return folder


def lasting_cache(folder: Path) -> bool:
    """Whether what is compiled will be there tomorrow: not in a folder for temporary files."""
    return Path(tempfile.gettempdir()).resolve() not in folder.resolve().parents


def is_compiled(module: str) -> bool:
    """Whether kernels of a module, such as "resample", lie in the cache; False where nobody has provided one."""
    folder = os.environ.get(CACHE_VARIABLE)
    return folder is not None and any(Path(folder).rglob(f"{module}.*.nbi"))


def source_of(folder: Path, pattern: str = "*.py") -> str:
    """What tells the source in a folder, as of kernels, from any other and any other version: 12 hexadecimal digits."""
    digest = hashlib.sha256(__version__.encode())  # alone in an executable, which has no source files
    for file in sorted(folder.glob(pattern)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


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


def cache_folder(beside: Path) -> Path:
    """Where compiled kernels can be kept: beside their source, in the user's cache, or in a private temporary folder.

    Without any of its own numba refuses to compile ("no locator available") in a read-only installation of a user without a
    home.
    """
    user_s = platformdirs.user_cache_path("zemosaic", appauthor=False) / "numba"
    # an executable unpacks itself for each start: what lies beside its modules goes with them
    for folder in (user_s,) if getattr(sys, "frozen", False) else (beside, user_s):
        if _writable(folder):
            return folder
    user = os.getuid() if hasattr(os, "getuid") else "user"
    shared = Path(tempfile.gettempdir()) / f"zemosaic-numba-{user}"
    return shared if _private(shared) else Path(tempfile.mkdtemp(prefix="zemosaic-numba-"))
