"""Files of a mosaic that a new one under the same name does not replace: its older form, files about other pixels.

Removed are those only that are as this program has left them, by size and time; what somebody has changed stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from zemosaic.events import Note, Reporter, Warned
from zemosaic.names import beside, stamp
from zemosaic.phases.export import Outputs, own_files
from zemosaic.report import ENDINGS
from zemosaic.seams import SEAMS

__all__ = ["Stamps", "about", "clear_away", "clear_old_pixels", "stamps_of", "unasked"]

Stamps = dict[Path, tuple[int, int]]  # size and modification time (ns) of files as they were left


def about(outputs: Outputs, *, seams: bool, report: bool) -> tuple[Path, ...]:
    """Files that tell about a mosaic, as far as a run writes them."""
    endings = (*(SEAMS if seams else ()), *(ENDINGS if report else ()))
    return tuple(beside(outputs.preview, ending) for ending in endings)


def stamps_of(files: Iterable[Path]) -> Stamps:
    """Of those that are there."""
    return {path: stamp(path) for path in files if path.is_file()}


def unasked(before: Stamps, old: Outputs, new: Outputs, told: Iterable[Path]) -> Stamps:
    """Those of the files `before`, of a mosaic `old`, that lie beside `new` under its name and are none of it.

    told : files about `new`, which are written later
    """
    if old.preview != new.preview:
        return {}
    kept = {*new.files, *told}
    return {path: left for path, left in before.items() if path not in kept and path.is_file()}


def clear_away(files: Mapping[Path, tuple[int, int]], reporter: Reporter) -> tuple[int, list[Path]]:
    """Remove files, and the tiles of a page to zoom into or a HiPS; returns how many, and those that somebody has changed."""
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
    tiles = [each for each in own_files(path) if each != path]
    path.unlink()
    for tile in tiles:
        tile.unlink(missing_ok=True)
    folders = {folder for tile in tiles for folder in tile.parents if folder.is_relative_to(path.parent)}
    for folder in sorted(folders, key=lambda each: len(each.parts), reverse=True):
        with suppress(OSError):  # something of somebody else lies there
            folder.rmdir()


def clear_old_pixels(files: Mapping[Path, tuple[int, int]], reporter: Reporter) -> None:
    """Remove what is no longer asked for, of a mosaic whose pixels are others now."""
    removed, changed = clear_away(files, reporter)
    if removed:
        reporter.emit(Note(f"files of the mosaic as it was before, no longer asked for, removed: {removed}"))
    if changed:
        names = ", ".join(path.name for path in changed)
        reporter.emit(
            Warned(f"these show the mosaic as it was before, and stay since somebody has changed them: {names}")
        )
