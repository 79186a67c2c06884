"""Files of a mosaic that a new one under the same name does not replace: its older form, pictures and maps of other pixels.

Removed are those only that are as this program has left them, by size and time; what somebody has changed stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from zemosaic.events import Note, Reporter, Warned
from zemosaic.names import stamp
from zemosaic.phases.export import PAGE, Outputs, own_files

__all__ = ["Stamps", "clear_away", "clear_old_pixels", "unasked"]

Stamps = dict[Path, tuple[int, int]]  # size and modification time (ns) of files as they were left


def unasked(before: Stamps, old: Outputs, new: Outputs) -> Stamps:
    """Those of the files `before`, of a mosaic `old`, that lie beside `new` under its name and are none of it."""
    if old.preview != new.preview:
        return {}
    return {path: left for path, left in before.items() if path not in new.files and path.is_file()}


def clear_away(files: Mapping[Path, tuple[int, int]], reporter: Reporter) -> tuple[int, list[Path]]:
    """Remove files, and the tiles of a page to zoom into; returns how many, and those that somebody has changed."""
    removed, changed = 0, list[Path]()
    for path, left in files.items():
        if not path.is_file():
            continue
        if stamp(path) != left:
            changed.append(path)
            continue
        try:
            _remove(path)
            removed += 1
        except OSError as error:
            reporter.emit(Warned(f"cannot remove {path}: {error.strerror}; remove it by hand"))
    return removed, changed


def _remove(path: Path) -> None:
    tiles = [each for each in own_files(path.parent) if each != path] if path.name == PAGE else []
    path.unlink()
    for tile in tiles:
        tile.unlink(missing_ok=True)
    if tiles:
        with suppress(OSError):  # something of somebody else lies there
            for folder in (*{tile.parent for tile in tiles}, path.parent / "tiles", path.parent):
                folder.rmdir()


def clear_old_pixels(files: Mapping[Path, tuple[int, int]], reporter: Reporter) -> None:
    """Remove pictures and maps that are no longer asked for, of a mosaic whose pixels are others now."""
    removed, changed = clear_away(files, reporter)
    if removed:
        reporter.emit(
            Note(f"pictures and maps of the mosaic as it was before, no longer asked for, removed: {removed}")
        )
    if changed:
        names = ", ".join(path.name for path in changed)
        reporter.emit(
            Warned(f"these show the mosaic as it was before, and stay since somebody has changed them: {names}")
        )
