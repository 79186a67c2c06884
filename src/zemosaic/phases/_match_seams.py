"""What corrections leave where panels meet, and telescopes or nights within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.seams import OTHERS, Difference, frame_steps, panel_differences, rim_differences
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import SkyFit
from zemosaic.model import Group, Overlap
from zemosaic.phases._match_result import MatchResult
from zemosaic.phases._match_stars import Item
from zemosaic.sides import sets_of

__all__ = ["with_seams"]


def with_seams(
    result: MatchResult,
    cells: SkyCells,
    sky: SkyFit,
    spacing: float,
    gain: NDArray[np.float64],
    inputs: Sequence[Item],
    groups: Sequence[Group],
) -> MatchResult:
    """With the residual steps between panels and within them, and what single frames contribute to them."""
    place = {frame: k for k, group in enumerate(groups) for frame in group.frames}
    panel = np.array([place.get(i.frame.id, -1) for i in inputs])
    sets = result.sets or sets_of([i.frame for i in inputs])
    kinds = sorted({(k, sets[i.frame.id]) for k, i in zip(panel.tolist(), inputs) if k >= 0})
    number = {kind: k for k, kind in enumerate(kinds)}
    side = np.array([number.get((k, sets[i.frame.id]), -1) for k, i in zip(panel.tolist(), inputs)])
    within, rim = rim_differences(cells, sky, gain, side, np.array([k for k, _ in kinds]), spacing)
    between = panel_differences(cells, sky, gain, panel, len(groups))
    overlaps = [_overlap(d, groups[d.first].id, groups[d.second].id) for d in between]
    for d in within:
        (k, first), second = kinds[d.first], "" if d.second == OTHERS else kinds[d.second][1]
        overlaps.append(_overlap(d, groups[k].id, groups[k].id, (first, second)))
    steps, errors = frame_steps(cells, sky, gain, panel, rim)
    worst = np.abs(steps / errors).max(axis=1)
    known = {i.frame.id: float(w) for i, w in zip(inputs, worst) if np.isfinite(w)}
    return replace(result, overlaps=tuple(overlaps), frame_steps=known, sets=sets)


def _overlap(d: Difference, first: int, second: int, sets: tuple[str, str] = ("", "")) -> Overlap:
    figures = tuple(d.difference.tolist()), tuple(d.error.tolist()), tuple(d.ripple.tolist())
    return Overlap(first, second, d.n_cells, *figures, sets)
