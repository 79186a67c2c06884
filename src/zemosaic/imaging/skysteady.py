"""What the frames of a night tell of each other's skies: a prior on their slopes.

How panels tilt against each other is told by the narrow sky that they share, and noise there bends a mosaic: over 4 x 1
panels of 8 small frames each the noise of the cells alone bends it by 0.3 to 2 % of a nebula of 100 ADU, over 1 x 4 panels with
a nebula of 20 to 40 ADU by 2 to 10 %, far more than it leaves of steps. But the gradients of a night's skies are one story: city
light and the moon move on steadily while the telescope goes from panel to panel. So each slope is expected where the steady turn
through all gradients of the night (`skyturn`) has it at that time, within what gradients of this night scatter about it.

What it cannot do: tie panels of different nights together, or those of a night whose gradients go their own ways (their scatter
says so). What neighbours in time have in common counts as one error, so that a panel at a time is no evidence. Frames far from
the turn are left to their cells. The sky's own curvature makes gradients differ from place to place, which no number of frames
averages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.imaging.skyproblem import SkyProblem
from zemosaic.imaging.skysurface import PLANE
from zemosaic.imaging.skyturn import steady_turn

__all__ = ["SteadySkies"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEWEST = 12  # frames of a night
FAR = 4.7  # sigma, from which a frame is left to its cells (Tukey's biweight)
# of the sky's level: by how much a gradient over a half-diagonal changes that far away; light that falls by 1/e in 20 degrees:
# 0.0013
BENDS = 0.002
NEAR = 0.5  # half-diagonals, within which frames see the same


@dataclass
class SteadySkies:
    """Of the frames of one channel."""

    problem: SkyProblem
    gain: FloatArray  # (frames,)
    level: FloatArray  # (frames,) ADU of the sky
    time: FloatArray  # (frames,) in any unit
    night: IntArray  # (frames,) frames with the same number are of a telescope and a night
    _turns: dict[int, FloatArray] = field(default_factory=dict)  # by the first frame of a night, as last found
    _apart: dict[int, FloatArray] = field(default_factory=dict)  # (members,) variance of slopes from place to place

    def prior(self, own: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Precision (frames, terms, terms) and pull (frames, terms) on surfaces that are `own` (frames, terms) now."""
        problem, terms = self.problem, self.problem.terms
        precision, pull = np.zeros((len(own), terms, terms)), np.zeros((len(own), terms))
        axes = (
            problem.axes * (problem.spacing / self.gain)[:, None, None]
        )  # mosaic units per node, of slopes along u, v
        slopes = np.einsum("nk,nka->na", own[:, 1:PLANE], axes)
        for member in self._nights():
            expected, certain = self._expected(member, slopes[member])
            there = axes[member]
            precision[member, 1:PLANE, 1:PLANE] = np.einsum("nka,nla,n->nkl", there, there, certain)
            pull[member, 1:PLANE] = np.einsum("nka,na,n->nk", there, expected, certain)
        return precision, pull

    def _nights(self) -> Iterator[IntArray]:
        """Frames that are connected, of a night with enough of them, in order of time."""
        component = self.problem.component
        kind = np.where(component >= 0, component * (self.night.max() + 1) + self.night, -1)
        order = np.lexsort((self.time, kind))
        for member in np.split(order, np.flatnonzero(np.diff(kind[order])) + 1):
            if len(member) >= FEWEST and kind[member[0]] >= 0 and np.ptp(self.time[member]) > 0:
                yield member

    def _expected(self, member: IntArray, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Slopes (n, 2) of the steady turn, and how certain these are, (n,)."""
        first = int(member[0])
        sky = self.level[member] / self.gain[member]
        turn = steady_turn(slopes, sky, self.time[member], self._turns.get(first))
        self._turns[first] = turn.values
        if first not in self._apart:
            self._apart[first] = self._from_place_to_place(member)
        variance = turn.variance + self._apart[first] * sky**2
        far = np.sum((slopes - turn.slopes) ** 2, axis=1) / (2.0 * FAR**2 * np.maximum(variance, 1e-300))
        return turn.slopes, np.maximum(1.0 - far, 0.0) ** 2 / np.maximum(variance, 1e-300)

    def _from_place_to_place(self, member: IntArray) -> FloatArray:
        """(n,) variance of a frame's slope over its sky, per node: all frames of a place have it in common."""
        problem = self.problem
        half = 1.0 / np.sqrt(np.maximum(np.abs(np.linalg.det(problem.axes[member])), 1e-300))  # deg
        place = problem.middle[member] / half[:, None]
        alike = cKDTree(place).query_ball_point(place, NEAR, return_length=True)
        away = np.linalg.norm(place - place.mean(axis=0), axis=1)
        common: FloatArray = alike * (BENDS * away * problem.spacing / half) ** 2
        return common
