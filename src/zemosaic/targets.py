"""Targets: which frames make a mosaic together, and what it is called.

Frames belong together when their footprints touch, or lie no farther apart than a gap; an isolated panel within it stays in its
mosaic. The default gap is twice the diagonal of a frame, 2.9 degrees for a Seestar S50: three panels that are missing
in a row do not tear a mosaic apart, while M 31 and M 33, or two ends of Orion, do not share a canvas.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.grouping import connected_footprints, diagonals, mean_direction, unit_vectors
from zemosaic.imaging.projection import pixel_to_sky
from zemosaic.model import Frame, Solution

__all__ = ["Target", "find_targets", "folder_name", "in_words", "is_stray", "target_gap", "with_unplaced"]

DIAGONALS = 2.0  # of a frame, the default gap
STRAY = (10, 0.1)  # a target of fewer frames, and of less than this share of the largest, may be a mistake
LONGEST_NAME = 60  # characters: paths end at 260 on many a Windows
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))}
FOLDERS_NAMED = 3
NO_NAME = {
    "",
    "unknown",
    "none",
    "n/a",
    "object",
    "target",
    "light",
    "lights",
    "snapshot",
}  # that programs write for want of one


@dataclass(frozen=True)
class Target:
    """Frames that make one mosaic."""

    name: str  # of its folder; "" where there is one target only, whose mosaic lies in the output folder itself
    ra: float  # deg, of its middle
    dec: float
    frames: tuple[Frame, ...]
    filter: str = ""  # as in the names of its files; "" where all filters share one mosaic

    @property
    def key(self) -> str:
        """Its name in the ledger and in the workspace."""
        return "/".join(each for each in (self.name, self.filter) if each)

    @property
    def title(self) -> str:
        """Its name for people."""
        return " ".join(each for each in (self.name, self.filter) if each)


def target_gap(frames: Sequence[Frame], solutions: Mapping[int, Solution], gap: float) -> float:
    """Degrees between separate targets; `gap` = 0 is twice the median diagonal of the frames."""
    return gap or DIAGONALS * float(np.median(diagonals(_corners(frames, solutions))))


def find_targets(frames: Sequence[Frame], solutions: Mapping[int, Solution], gap: float) -> tuple[Target, ...]:
    """Solved frames by target, in the order of their first frames; the largest one has the first choice of a name."""
    corners = _corners(frames, solutions)
    label = connected_footprints(corners, gap)
    parts = [np.flatnonzero(label == k) for k in range(int(label.max()) + 1)]
    targets = [
        Target("", *mean_direction(corners[part].reshape(-1, 3)), tuple(frames[int(k)] for k in part)) for part in parts
    ]
    if len(targets) == 1:
        return tuple(targets)
    names: dict[int, str] = {}
    for k in sorted(range(len(targets)), key=lambda k: -len(targets[k].frames)):
        names[k] = _new_name(targets[k], {name.casefold() for name in names.values()})
    return tuple(replace(target, name=names[k]) for k, target in enumerate(targets))


def _corners(frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> NDArray[np.float64]:
    """(n, 4, 3) directions."""
    places = [
        pixel_to_sky(solutions[f.id], [0, f.width - 1, f.width - 1, 0], [0, 0, f.height - 1, f.height - 1])
        for f in frames
    ]
    return unit_vectors(np.array([ra for ra, _ in places]), np.array([dec for _, dec in places]))


def _new_name(target: Target, taken: set[str]) -> str:
    """The object, else the position; both where the object's name is taken."""
    named, position = folder_name(_object(target.frames)), f"RA{target.ra:05.1f}_DEC{target.dec:+05.1f}"
    if named and named.casefold() not in taken:
        return named
    name = f"{named}_{position}" if named else position
    return next(each for n in count(1) if (each := name if n == 1 else f"{name}_{n}").casefold() not in taken)


def _object(frames: Iterable[Frame]) -> str:
    """What more than half of the frames call their target; "" when they do not agree."""
    names = Counter(" ".join(f.target.split()) for f in frames)
    name, votes = names.most_common(1)[0]
    return name if 2 * votes > names.total() and name.casefold() not in NO_NAME else ""


def folder_name(text: str) -> str:
    """`text` as the name of a folder on every system; "" when nothing of it can be used."""
    name = "".join(each for each in unicodedata.normalize("NFC", text) if each.isprintable())
    name = " ".join(re.sub(r'[<>:"/\\|?*]', "_", name).split())[:LONGEST_NAME].strip(" .")
    reserved = name.split(".")[0].rstrip().upper() in RESERVED or name.casefold().startswith("zemosaic_w")
    return f"_{name}" if reserved else name


def with_unplaced(
    targets: Sequence[Target], frames: Sequence[Frame], solutions: Mapping[int, Solution], gap: float
) -> tuple[Target, ...]:
    """Targets with those frames without a solution that can only be theirs; each in the order of `frames`.

    A single target has them all. Of several, the object's name, the folder and the commanded position (nearer than `gap`
    degrees to a frame) each tell which targets are possible; a frame joins a target when all that leave one
    choice leave this one.
    """
    if len(targets) == 1:
        return (replace(targets[0], frames=tuple(frames)),)
    place = {f.id: k for k, target in enumerate(targets) for f in target.frames}
    homes: dict[Hashable, set[int]] = defaultdict(set)
    solved = [f for f in frames if f.id in place]
    for f in solved:
        for clue in _clues(f):
            homes[clue].add(place[f.id])
    sky = unit_vectors(np.array([solutions[f.id].ra for f in solved]), np.array([solutions[f.id].dec for f in solved]))
    label = np.array([place[f.id] for f in solved])
    for f in frames:
        if f.id not in solutions:
            pointed = unit_vectors(np.array([f.ra]), np.array([f.dec]))[0]  # NaN is near nothing
            near = {int(k) for k in label[sky @ pointed > np.cos(np.radians(gap))]}
            choices = [near, *(homes.get(clue, set()) for clue in _clues(f))]
            sure = {k for choice in choices if len(choice) == 1 for k in choice}
            if len(sure) == 1:
                place[f.id] = sure.pop()
    return tuple(
        replace(target, frames=tuple(f for f in frames if place.get(f.id) == k)) for k, target in enumerate(targets)
    )


def _clues(frame: Frame) -> Iterator[Hashable]:
    """What frames of one target have in common: the name of the object and the folder."""
    name = " ".join(frame.target.split()).casefold()
    if name not in NO_NAME:
        yield "object", name
    yield "folder", frame.path.parent


def is_stray(target: Target, targets: Sequence[Target]) -> bool:
    """Whether so few frames may be a mistake: of a mount on its way, or with a wrong position."""
    most, share = STRAY
    return len(target.frames) < min(most, share * max(len(each.frames) for each in targets))


def in_words(targets: Sequence[Target], gap: float) -> str:
    """Targets that were not expected, and what to do."""
    named = "\n".join(
        f"  {t.name}: {_counted(t.frames)} around RA {t.ra:.2f} Dec {t.dec:+.2f}, in {_folders(t.frames)}"
        for t in targets
    )
    return (
        f"the frames show {len(targets)} targets more than {gap:.1f} degrees apart; sort them into one input folder per "
        f"target, or set targets to separate (a mosaic of each) or one (all on one canvas):\n{named}"
    )


def _counted(frames: Sequence[Frame]) -> str:
    return f"{len(frames)} frame" + ("s" if len(frames) > 1 else "")


def _folders(frames: Iterable[Frame]) -> str:
    folders = [str(folder) for folder, _ in Counter(Path(f.path).parent for f in frames).most_common()]
    more = len(folders) - FOLDERS_NAMED
    return ", ".join(folders[:FOLDERS_NAMED]) + (f" and {more} more" if more > 0 else "")
