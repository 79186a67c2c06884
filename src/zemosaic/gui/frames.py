"""What is known of the frames in the chosen folders: from their headers, and from the ledger of an earlier run. No widget."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from zemosaic.catalogue import load_catalogue
from zemosaic.gui.skygeometry import SkyFrame, footprint
from zemosaic.ledger import FrameRow, Ledger
from zemosaic.model import Frame, FrameState, LeftOut
from zemosaic.patterns import Patterns, as_pattern, is_wild, meant, patterns
from zemosaic.quality import FrameQuality, Matching, frame_table

__all__ = [
    "PART",
    "Frames",
    "exclusion",
    "frames_known",
    "known_matching",
    "merged",
    "parted",
    "ruled_out",
    "separated",
]

ANCHORED = re.compile(r"[A-Za-z]:[\\/]|[\\/]")  # how a whole path begins
CHUNK = 200  # rows that are compared with patterns at once: 1 ms
PART = 400  # frames that are sent at once: a larger piece would hold up the window while it is unpacked


@dataclass(frozen=True)
class Frames:
    """Some of the frames: all of them come in several of these."""

    rows: tuple[FrameQuality, ...]
    places: tuple[SkyFrame, ...]
    first: bool = False
    last: bool = False


def known_matching(ledger: Ledger) -> dict[int, Matching]:
    """What the last run found out while it matched, by frame id."""
    parts = ledger.get_all("matching", dict[int, Matching])
    return {i: each for part in parts for i, each in part.items()}


def merged(frames: Sequence[Frame], left_out: Sequence[LeftOut], known: Sequence[FrameRow]) -> list[FrameRow]:
    """A row for each file that is there now: as an earlier run left it, else as its header says.

    What that run was told to leave out is as its header says: whether it is left out now is the user's choice of today.
    """
    before = {str(row.path): row for row in known if row.state != FrameState.EXCLUDED}
    rows = [before.get(str(f.path), _found(f)) for f in frames]
    return rows + [before.get(str(each.path), _left_out(each)) for each in left_out]


def _found(frame: Frame) -> FrameRow:
    return FrameRow(frame.path, FrameState.FOUND, "", "", frame, None, None, None)


def _left_out(each: LeftOut) -> FrameRow:
    return FrameRow(each.path, each.state, each.reason, "", None, None, None, None)


def frames_known(
    rows: Sequence[FrameRow],
    matching: Mapping[int, Matching],
    ahead: Mapping[str, tuple[str, int]],
    *,
    equal_weights: bool,
) -> tuple[tuple[FrameQuality, ...], tuple[SkyFrame, ...]]:
    """Rows of the table, and footprints of those whose place is known.

    ahead : target and panel of files as headers foretell them; used where no run has found any
    """
    table = frame_table(rows, matching, load_catalogue(), equal_weights=equal_weights)
    if not any(line.panel >= 0 for line in table):
        told = {line.file: ahead.get(line.file, (line.target, -1)) for line in table}
        table = tuple(replace(line, target=told[line.file][0], panel=told[line.file][1]) for line in table)
    places = []
    for row, line in zip(rows, table, strict=True):
        if row.frame is not None:
            places.append(footprint(line.file, row.frame, row.solution, panel=line.panel, target=line.target))
    return table, tuple(filter(None, places))


def separated(table: Sequence[FrameQuality], places: Sequence[SkyFrame]) -> Iterator[Frames]:
    """The same in pieces."""
    of_file = {place.file: place for place in places}
    starts = range(0, max(len(table), 1), PART)
    for start in starts:
        some = tuple(table[start : start + PART])
        there = tuple(of_file[row.file] for row in some if row.file in of_file)
        yield Frames(some, there, start == 0, start == starts[-1])


def parted(text: str) -> tuple[str, tuple[str, ...]]:
    """Patterns of the setting `exclude_files` that a person wrote, and the single files that it names by their whole paths."""
    own = {each: bool(ANCHORED.match(meant(each))) and not is_wild(each) for each in patterns(text)}
    return "; ".join(each for each in own if not own[each]), tuple(meant(each) for each in own if own[each])


def ruled_out(rows: Sequence[FrameQuality], text: str, found: dict[str, str]) -> Iterator[None]:
    """Put the files that fit a pattern, each with the first such pattern, into `found`; some rows a step."""
    known = Patterns(patterns(text))
    for first in range(0, len(rows) if known.all else 0, CHUNK):
        for row in rows[first : first + CHUNK]:
            if fits := known.of(row.file):
                found[row.file] = fits[0]
        yield


def exclusion(pattern: str, excluded: Iterable[str]) -> str:
    """The setting `exclude_files` with these files besides."""
    return "; ".join(filter(None, (pattern.strip().rstrip(";"), *map(as_pattern, sorted(excluded)))))
