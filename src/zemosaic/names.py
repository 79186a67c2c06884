"""Names of the files of a mosaic: all begin alike, whatever form its FITS files have."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PREVIEW", "base_name", "beside"]

PREVIEW = "_preview.png"


def base_name(preview: Path) -> str:
    """What the names of all files of a mosaic begin with, from that of its preview: the only one that has one form."""
    return preview.name.removesuffix(PREVIEW)


def beside(preview: Path, ending: str) -> Path:
    """Where a file about a mosaic lies: beside its preview."""
    return preview.with_name(f"{base_name(preview)}_{ending}")
