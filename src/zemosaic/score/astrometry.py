"""How true the solutions of frames are: against the sky, and frame against frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.projection import angular_separation, pixel_scale, pixel_to_sky, sky_to_pixel
from zemosaic.model import Solution

__all__ = ["SolutionErrors", "solution_errors"]

F64 = NDArray[np.float64]
ACROSS, DOWN = 7, 9  # points of the frame that are compared
PARTNERS = 8  # overlapping frames that each is compared with
FALSE = 3.0  # px, off in the middle of the frame


@dataclass(frozen=True)
class SolutionErrors:
    """Errors of solutions against their truths over whole frames."""

    relative: float  # px, rms length of the error of the transform from one frame to another that overlaps; NaN without
    median: float  # arcsec, distance on the sky
    p95: float  # arcsec
    false: int  # solutions that are not the frame's

    @property
    def to_ensemble(self) -> float:
        """px, rms length of the error of a frame's own transform to the others together: two frames share the error of both."""
        return self.relative / math.sqrt(2.0)


def solution_errors(
    found: Sequence[Solution], true: Sequence[Solution], shapes: Sequence[tuple[int, int]]
) -> SolutionErrors:
    """Compare solutions with the truth; `shapes` (h, w) px of the frames."""
    places = [_lattice(shape) for shape in shapes]
    off = [
        3600.0 * angular_separation(*pixel_to_sky(f, *p), *pixel_to_sky(t, *p)) for f, t, p in zip(found, true, places)
    ]
    middle = ACROSS * DOWN // 2
    false = sum(float(each[middle]) > FALSE * pixel_scale(t) for each, t in zip(off, true))
    between = [_transform(i, j, found, true, shapes[j], places[i]) for i, j in _pairs(true, shapes)]
    errors = np.concatenate([np.empty(0), *between])
    relative = float(np.sqrt(np.mean(errors**2))) if len(errors) else float("nan")
    every = np.concatenate(off)
    return SolutionErrors(relative, float(np.median(every)), float(np.percentile(every, 95)), false)


def _lattice(shape: tuple[int, int]) -> tuple[F64, F64]:
    """Pixels (x, y) all over a frame."""
    x, y = np.meshgrid(np.linspace(0, shape[1] - 1, ACROSS), np.linspace(0, shape[0] - 1, DOWN))
    return x.ravel(), y.ravel()


def _pairs(true: Sequence[Solution], shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs of frames that overlap by a good part, some for every frame: near and far in time."""
    ra, dec = (np.array([getattr(solution, name) for solution in true]) for name in ("ra", "dec"))
    pairs = []
    for i, (solution, shape) in enumerate(zip(true, shapes, strict=True)):
        reach = 0.9 * max(shape) * pixel_scale(solution) / 3600.0
        near = np.flatnonzero(angular_separation(ra, dec, solution.ra, solution.dec) < reach)
        near = near[near != i]
        chosen = near[np.unique(np.linspace(0, len(near) - 1, PARTNERS).astype(int))] if len(near) else near
        pairs += [(i, int(j)) for j in chosen]
    return pairs


def _transform(
    i: int, j: int, found: Sequence[Solution], true: Sequence[Solution], shape: tuple[int, int], place: tuple[F64, F64]
) -> F64:
    """px of frame j, errors of the transform from i to j at places of i that lie on j."""
    x, y = sky_to_pixel(true[j], *pixel_to_sky(true[i], *place))
    on = (x >= 0) & (y >= 0) & (x <= shape[1] - 1) & (y <= shape[0] - 1)
    px, py = sky_to_pixel(found[j], *pixel_to_sky(found[i], place[0][on], place[1][on]))
    return np.asarray(np.hypot(px - x[on], py - y[on]))
