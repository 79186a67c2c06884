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

from zemosaic.imaging.skyfit import fit_sky
from zemosaic.model import Frame, Group, Measurement, Solution
from zemosaic.phases._match_cells import left_cells
from zemosaic.phases._match_result import MatchResult
from zemosaic.phases._match_seams import with_seams
from zemosaic.phases._match_stars import usable_items
from zemosaic.spread import Spread, one_by_one

__all__ = ["Left", "second_skies"]

FEWEST = 20  # cells of a frame that tell its sky better than was known
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
    corrections = [known[i.frame.id] for i in used]
    cells = left_cells(used, corrections, left, basis.ground)
    if cells is None or not len(cells):
        return matched
    cells = replace(cells, variance=cells.variance * basis.misfit)
    gain = np.array([c.gain for c in corrections])
    order, spacing = (2 if basis.curvature else 1), basis.ground.spacing
    at = np.array([place[i.frame.id] for i in used])
    planes = fit_sky(cells, gain, spacing, settled=True, spread=spread)
    sky = fit_sky(
        cells, gain, spacing, order=order, curvature=basis.curvature, instrument=basis.instrument[at],
        time=None if basis.times is None else basis.times[at],
        night=None if basis.times is None else basis.night[at],
        before=planes, settled=True, spread=spread,
    )  # fmt: skip
    seen = np.bincount(cells.frame, minlength=len(used)) >= FEWEST
    better = {
        c.frame_id: replace(c, sky=tuple(tuple(map(float, surface)) for surface in surfaces))
        for c, surfaces, there in zip(corrections, sky.sky, seen)
        if there
    }
    result = replace(matched, corrections=dict(known) | better)
    return with_seams(result, cells, sky, spacing, gain, used, groups)
