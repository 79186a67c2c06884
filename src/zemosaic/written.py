"""A mosaic that is on the disk: what the ledger keeps of it, and what of it goes when the next one takes its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from zemosaic.events import Note, Reporter
from zemosaic.ledger import to_json
from zemosaic.leftovers import Stamps, clear_away, clear_old_pixels, unasked
from zemosaic.model import Grid
from zemosaic.names import stamp
from zemosaic.phases.export import Outputs, Provenance

__all__ = ["Written", "earlier", "other_cards", "stamps", "take_place"]


@dataclass(frozen=True)
class Written:
    """What the ledger keeps of a mosaic that is on the disk: made from exactly this, it need not be made again."""

    manifest: str  # hash; "" when its files may no longer be those
    outputs: Outputs
    stamps: tuple[tuple[int, int], ...]  # size and modification time of each file
    used: tuple[int, ...]  # frames
    grid: Grid  # of the files
    earlier: tuple[Path, ...] = ()  # previews of mosaics with other names that this output was given before
    # files under its name that are no longer asked for, as they were left
    beside: tuple[tuple[Path, tuple[int, int]], ...] = ()
    told: tuple[tuple[Path, tuple[int, int]], ...] = ()  # files about it, as they were left
    cards: Provenance | None = None  # what its headers say of how it was made


def stamps(outputs: Outputs) -> tuple[tuple[int, int], ...]:
    """Size and modification time of each file; (0, 0) for one that is gone."""
    return tuple(stamp(path) for path in outputs.files)


def earlier(before: Written, outputs: Outputs) -> tuple[Path, ...]:
    """Previews of the mosaics that lie beside this one, made by earlier runs of fewer or other subs."""
    previews = dict.fromkeys((*before.earlier, before.outputs.preview))
    return tuple(path for path in previews if path != outputs.preview and path.parent == outputs.preview.parent)


def other_cards(before: Written, made: Provenance) -> Provenance | None:
    """What the headers should say now of a mosaic whose pixels stay; None where they say it.

    The zero point is that of the pixels, which keep corrections of an earlier run perhaps.
    """
    if before.cards is None:
        return None
    now = replace(made, zero_point=before.cards.zero_point, zero_point_scatter=before.cards.zero_point_scatter)
    return now if to_json(now) != to_json(before.cards) else None


def take_place(
    before: Written, written: Written, told: Iterable[Path], reporter: Reporter, *, anew: bool
) -> tuple[tuple[Path, tuple[int, int]], ...]:
    """Remove files of the mosaic in the form it had before, and of other pixels; what lies beside it as it was left.

    told : files about the mosaic that are written later
    anew : nothing of it was taken over, so that all pixels may be others
    """
    old, new = before.outputs, written.outputs
    left: Stamps = {**dict(before.beside), **dict(before.told), **dict(zip(old.files, before.stamps, strict=True))}
    forms = {path: left[path] for path in old.replaced_by(new)}
    removed, _ = clear_away(forms, reporter)
    if removed:
        reporter.emit(Note(f"files of this mosaic in the form it had before, removed: {removed}"))
    beside = unasked(left, old, new, told)
    if not anew and (before.grid, before.used) == (written.grid, written.used):
        return tuple(beside.items())
    clear_old_pixels(beside, reporter)
    return ()
