"""The second iteration: skies once more, from what the provisional mosaic leaves of the frames' own pixels.

The first iteration knows the light of the sky in nodes, between which stars and a nebula have structure: its residuals are 1.2 to
1.6 times the noise. The provisional mosaic knows that light pixel by pixel. Blotted back onto the frames and taken off, it leaves
the errors of their skies and noise, and what frames that see the same sky leave differs as their skies do, however wrong the
mosaic is. The same equations are solved for it, with the tilt and level that the mosaic has.

Cells that hardly scatter would outweigh what the night tells of slopes (`imaging.skysteady`), though what errs in slopes is no
noise of theirs: gains, the response, faint stars. So their noise is that of the first iteration, misfit and all: with their own
some nights got twice as bad (docs/benchmarks.md, second iteration).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.skycells import SkyCells, only_frames
from zemosaic.imaging.skyfit import SkyFit, fit_sky
from zemosaic.model import Frame, Group, Measurement, Solution
from zemosaic.phases._match_cells import left_cells
from zemosaic.phases._match_result import Basis, MatchResult
from zemosaic.phases._match_seams import with_seams
from zemosaic.phases._match_stars import usable_items
from zemosaic.spread import Spread, one_by_one

__all__ = ["Left", "second_skies"]

LEAST = 0.5  # of the cells that a frame had: with fewer, in a corner that the mosaic shows of it, its sky stays
# of a frame, by its id: (ny, nx, channels) mean residual in cells, ADU; NaN is no data, (0, 0, channels) nothing
Left = Callable[[int], NDArray[np.float32]]


def second_skies(
    matched: MatchResult,
    frames: Sequence[Frame],
    measurements: Mapping[int, Measurement],
    solutions: Mapping[int, Solution],
    groups: Sequence[Group],
    left: Left,
    spread: Spread = one_by_one,
) -> MatchResult:
    """The same with the skies of the second iteration, and the steps between panels that these leave.

    matched : what the provisional mosaic was made with; its `basis` is there
    left : what that mosaic leaves of each frame
    """
    basis = matched.basis
    if basis is None:
        raise ValueError("skies without slopes have no second iteration")
    known, place = matched.corrections, {i: k for k, i in enumerate(basis.frames)}
    used = usable_items([f for f in frames if f.id in known and f.id in place], measurements, solutions)
    cells = left_cells(used, [known[i.frame.id] for i in used], left, basis.ground)
    if cells is None:
        return matched
    enough = np.bincount(cells.frame, minlength=len(used)) >= LEAST * basis.cells[[place[i.frame.id] for i in used]]
    if not enough.any():
        return matched
    used, cells = [i for i, whole in zip(used, enough) if whole], only_frames(cells, enough)
    at = np.array([place[i.frame.id] for i in used])
    gain = np.array([known[i.frame.id].gain for i in used])
    sky = _fitted(replace(cells, variance=cells.variance * basis.misfit), gain, basis, at, spread)
    better = {
        i.frame.id: replace(known[i.frame.id], sky=tuple(tuple(map(float, surface)) for surface in surfaces))
        for i, surfaces in zip(used, sky.sky)
    }
    result = replace(matched, corrections=dict(known) | better)
    own = replace(sky, weight=sky.weight * basis.misfit)  # what is left of a step is judged by the noise of the cells
    return _with_all_seams(with_seams(result, cells, own, basis.ground.spacing, gain, used, groups), matched)


def _fitted(cells: SkyCells, gain: NDArray[np.float64], basis: Basis, at: NDArray[np.int64], spread: Spread) -> SkyFit:
    """at : (frames,) place in the basis of each frame that has cells."""
    spacing = basis.ground.spacing
    planes = fit_sky(cells, gain, spacing, settled=True, spread=spread)
    return fit_sky(
        cells, gain, spacing, order=2 if basis.curvature else 1, curvature=basis.curvature,
        instrument=basis.instrument[at], time=None if basis.times is None else basis.times[at],
        night=None if basis.times is None else basis.night[at], before=planes, settled=True, spread=spread,
    )  # fmt: skip


def _with_all_seams(second: MatchResult, first: MatchResult) -> MatchResult:
    """With the seams of the first iteration where the second sees none: beside stacks, and frames whose sky stayed."""
    seen = {(o.first, o.second, o.sets) for o in second.overlaps}
    others = tuple(o for o in first.overlaps if (o.first, o.second, o.sets) not in seen)
    steps = dict(first.frame_steps) | second.frame_steps
    return replace(second, overlaps=second.overlaps + others, frame_steps=steps)
