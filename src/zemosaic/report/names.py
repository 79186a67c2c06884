"""Names of the report's files."""

from __future__ import annotations

from pathlib import Path

from zemosaic.names import beside

__all__ = ["CSV", "ENDINGS", "HTML", "JSON", "report_path"]

HTML, JSON, CSV = ENDINGS = ("report.html", "report.json", "frames.csv")


def report_path(preview: Path, ending: str = HTML) -> Path:
    """Where the report of a mosaic lies, or another file about it: beside its preview."""
    return beside(preview, ending)
