"""Names of the files of a mosaic: all begin alike, whatever form its FITS files have."""

from __future__ import annotations

import glob
from pathlib import Path

__all__ = ["PREVIEW", "base_name", "beside", "files_of", "stamp"]

PREVIEW = "_preview.png"


def base_name(preview: Path) -> str:
    """What the names of all files of a mosaic begin with, from that of its preview: the only one that has one form."""
    return preview.name.removesuffix(PREVIEW)


def beside(preview: Path, ending: str) -> Path:
    """Where a file about a mosaic lies: beside its preview."""
    return preview.with_name(f"{base_name(preview)}_{ending}")


def files_of(preview: Path) -> list[Path]:
    """All files of a mosaic that are there, in the order of their names."""
    return sorted(preview.parent.glob(f"{glob.escape(base_name(preview))}[._]*"))


def stamp(path: Path) -> tuple[int, int]:
    """Size and modification time (ns) of a file; (0, 0) for one that is gone."""
    stat = path.stat() if path.is_file() else None
    return (stat.st_size, stat.st_mtime_ns) if stat else (0, 0)


def end_of(name: str, most: int) -> str:
    """The end of a name, where names of subs differ, in at most so many bytes: systems take 255 for a file."""
    return name.encode(errors="surrogateescape")[-most:].decode(errors="ignore")
