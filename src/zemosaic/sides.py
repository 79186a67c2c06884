"""Sides of a seam: whole panels, or the frames of one telescope, or of one of its nights, against the others of their panel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from zemosaic.model import Frame, Group, Overlap
from zemosaic.nights import nights

__all__ = ["sets_of", "sides_of"]


def sets_of(frames: Sequence[Frame]) -> dict[int, str]:
    """Name of the set of each frame, by its id: those of a telescope, with its pixels, in a night."""
    names = [_telescope(frame) for frame in frames]
    dates = nights(names, [frame.date_obs for frame in frames])
    return {f.id: f"{name} {night}".strip() for f, name, night in zip(frames, names, dates)}


def _telescope(frame: Frame) -> str:
    name = frame.telescope or frame.camera or frame.instrument
    return f'{name} {frame.scale:.1f}"' if math.isfinite(frame.scale) else name


def sides_of(
    overlap: Overlap, groups: Mapping[int, Group], sets: Mapping[int, str]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids of the frames on the one side and on the other."""
    one, other = groups[overlap.first].frames, groups[overlap.second].frames
    if not any(overlap.sets):
        return one, other
    first, second = overlap.sets
    return (
        tuple(i for i in one if sets.get(i) == first),
        tuple(i for i in other if i in sets and (sets[i] == second if second else sets[i] != first)),
    )
