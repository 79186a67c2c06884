"""Frames too poor in catalogue stars to be solved one by one, solved as one field.

Dark clouds hold 5 Tycho-2 stars a frame. The frames are registered to each other by their own stars, on a sky of our own
whose place and turn mean nothing; refined there; and the stars of them all, seen as one wide frame, are matched against
the catalogue. What is found carries every frame along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.errors import FrameError
from zemosaic.imaging.linking import link_stars, unit_vectors
from zemosaic.imaging.projection import (
    angular_separation,
    pixel_scale,
    pixel_to_sky,
    sky_to_pixel,
    tan_deproject,
    tan_project,
)
from zemosaic.imaging.refine import refine
from zemosaic.imaging.verification import FEWEST, verify
from zemosaic.model import Distortion, Frame, Solution, Stars
from zemosaic.solvers import SCALE_TOLERANCE, Hint, frame_hint
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.solvers.neighbour import NeighbourSolver

__all__ = ["Ensemble", "register", "solve_ensemble"]

FloatArray = NDArray[np.float64]

BRIGHTEST = 150  # stars of each frame that register it
OVERLAPPING = 4  # registered frames against which another one is tried, nearest first
DITHER = 0.6  # deg, how far a frame may lie from where its header says, relative to the others; without a header: from the last
DISTINCT = 0.15  # deg, between the pointings that are tried
MISSES = 3  # times that a frame is tried again, as frames that it overlaps are registered
SAME_SCALE = 0.005  # relative, among frames of one telescope
SEEN = 2  # frames in which a star of the field must be seen, when there are several
ROOM = 100.0  # px, around the outermost star
FEWEST_FRAMES = 2
LONELY = 5  # frames that nobody joins, after which no more are tried: they show no sky


@dataclass(frozen=True)
class Ensemble:
    """Frames registered to each other: their solutions on a sky of their own, mirrored or not."""

    frames: tuple[Frame, ...]
    stars: tuple[Stars, ...]
    solutions: tuple[Solution, ...]


def solve_ensemble(
    frames: Sequence[Frame], stars: Sequence[Stars], radius: float, catalogue: CatalogueSolver | None = None
) -> dict[int, Solution]:
    """Solutions by frame id, of those that a field as a whole could place; the others are absent.

    Parameters
    ----------
    frames, stars : of one instrument and shape, in order of time, with what was measured on each.
    radius : deg, how far the frames may lie from where their headers point.
    """
    solver = catalogue or CatalogueSolver()
    found: dict[int, Solution] = {}
    for ensemble in register(frames, stars):
        if len(ensemble.frames) >= FEWEST_FRAMES:
            found |= _placed(ensemble, radius, solver)
    return found


def register(frames: Sequence[Frame], stars: Sequence[Stars]) -> list[Ensemble]:
    """Ensembles of frames that overlap, by the patterns of their own stars; no catalogue is involved."""
    waiting = [i for i in range(len(frames)) if len(stars[i]) >= FEWEST and frames[i].scale > 0.0]
    lists = [_brightest(s) for s in stars]
    ensembles: list[Ensemble] = []
    while waiting and sum(len(ensemble.frames) == 1 for ensemble in ensembles) < LONELY:
        known = {waiting[0]: _seed(frames[waiting[0]])}
        tried = dict.fromkeys(waiting, 0)
        grown = True
        while grown:
            grown = False
            for i in waiting:
                if i not in known and tried[i] < MISSES:
                    solution = _registered(i, frames, lists, known)
                    tried[i] += solution is None
                    if solution is not None:
                        known[i] = solution
                        grown = True
        members = sorted(known)
        waiting = [i for i in waiting if i not in known]
        ensembles.append(
            _relaxed([frames[i] for i in members], [stars[i] for i in members], [known[i] for i in members])
        )
    return ensembles


def _brightest(stars: Stars) -> Stars:
    return Stars(**{field.name: getattr(stars, field.name)[:BRIGHTEST] for field in fields(Stars)})


def _seed(frame: Frame) -> Solution:
    """The first frame's own sky: where its header points, not turned, not mirrored, of nominal scale."""
    unit = frame.scale / 3600.0
    ra, dec = (frame.ra, frame.dec) if math.isfinite(frame.ra + frame.dec) else (0.0, 0.0)
    return Solution(ra, dec, 0.5 * (frame.width - 1), 0.5 * (frame.height - 1), (unit, 0.0, 0.0, unit))


def _registered(i: int, frames: Sequence[Frame], stars: Sequence[Stars], known: dict[int, Solution]) -> Solution | None:
    """The frame on the ensemble's sky, by the stars of one of those that it may overlap."""
    frame = frames[i]
    for other in _nearest(i, frames, known):
        there = known[other]
        radius = DITHER + 0.5 * min(frame.width, frame.height) * frame.scale / 3600.0
        hint = Hint(there.ra, there.dec, radius, pixel_scale(there), SAME_SCALE, parity=1)
        try:
            return NeighbourSolver(stars[other], there).solve(stars[i], frame, hint)
        except FrameError:
            continue
    return None


def _nearest(i: int, frames: Sequence[Frame], known: dict[int, Solution]) -> list[int]:
    """Registered frames: of each pointing the one nearest in time, the nearest pointings first."""
    members = np.array(sorted(known))
    pointing = np.array([(frames[k].ra, frames[k].dec) for k in members])
    apart = angular_separation(pointing[:, 0], pointing[:, 1], frames[i].ra, frames[i].dec)
    chosen: list[int] = []
    for k in np.lexsort((np.abs(members - i), np.round(apart, 1))):  # NaN sorts last, then by time
        place = known[int(members[k])]
        if all(angular_separation(place.ra, place.dec, known[c].ra, known[c].dec) > DISTINCT for c in chosen):
            chosen.append(int(members[k]))
    return chosen[:OVERLAPPING]


def _relaxed(frames: Sequence[Frame], stars: Sequence[Stars], solutions: Sequence[Solution]) -> Ensemble:
    """The ensemble after a refinement that closes its chains."""
    if len(frames) >= FEWEST_FRAMES:
        shapes = [(frame.height, frame.width) for frame in frames]
        nowhere = (np.empty(0), np.empty(0))
        solutions = refine(solutions, stars, [0] * len(frames), nowhere, shapes).solutions
    return Ensemble(tuple(frames), tuple(stars), tuple(solutions))


def _placed(ensemble: Ensemble, radius: float, solver: CatalogueSolver) -> dict[int, Solution]:
    """Solve the field of all stars and carry every frame along."""
    union = _union(ensemble)
    if len(union[0]) < FEWEST:
        return {}
    frame, stars, field = _field(ensemble, *union)
    hint = replace(frame_hint(frame, radius), scale_tolerance=SCALE_TOLERANCE)
    try:
        solved = solver.solve(stars, frame, hint)
    except FrameError:
        return {}
    sky = solver.catalogue.cone(
        solved.ra, solved.dec, 0.52 * math.hypot(frame.width, frame.height) * pixel_scale(solved) / 3600
    )
    found = {}
    for member, own, solution in zip(ensemble.frames, ensemble.stars, ensemble.solutions, strict=True):
        carried = _carried(solution, member, field, solved)
        verdict = verify(carried, own.x, own.y, sky.ra, sky.dec, (member.height, member.width))
        found[member.id] = replace(carried, solver="ensemble", n_matched=verdict.matched)
    return found


def _field(ensemble: Ensemble, ra: FloatArray, dec: FloatArray, flux: FloatArray) -> tuple[Frame, Stars, Solution]:
    """All stars as a frame, and that frame's solution on the ensemble's sky."""
    vector = unit_vectors(ra, dec).mean(axis=0)
    ra0 = math.degrees(math.atan2(vector[1], vector[0])) % 360.0
    dec0 = math.degrees(math.atan2(vector[2], math.hypot(vector[0], vector[1])))
    first = ensemble.frames[0]
    unit = float(np.median([pixel_scale(solution) for solution in ensemble.solutions])) / 3600.0
    flat = Solution(ra0, dec0, 0.0, 0.0, (unit, 0.0, 0.0, unit))
    x, y = sky_to_pixel(flat, ra, dec)
    left, low = float(x.min()) - ROOM, float(y.min()) - ROOM
    width, height = math.ceil(x.max() - left + ROOM), math.ceil(y.max() - low + ROOM)
    field = replace(flat, x=-left, y=-low)
    middle = _middle(ensemble.frames)
    frame = replace(first, width=width, height=height, scale=3600.0 * unit, ra=middle[0], dec=middle[1], wcs=None)
    order = np.argsort(-flux, kind="stable")
    n, no = len(ra), np.zeros(len(ra), bool)
    column = flux[order][:, None]
    stars = Stars(
        x=(x - left)[order], y=(y - low)[order], flux=column, flux_err=np.ones((n, 1)), snr=flux[order],
        place_err=np.full(n, 0.1), fwhm=np.full(n, 3.0), elongation=np.ones(n), saturated=no, blended=no,
    )  # fmt: skip
    return frame, stars, field


def _union(ensemble: Ensemble) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Stars of the ensemble that several frames see: mean positions on its sky, mean brightness."""
    places = [pixel_to_sky(s, own.x, own.y) for s, own in zip(ensemble.solutions, ensemble.stars, strict=True)]
    light = [own.flux.mean(axis=1) for own in ensemble.stars]
    tolerance = 1.5 * float(np.median([pixel_scale(solution) for solution in ensemble.solutions]))
    ids = np.concatenate(link_stars([p[0] for p in places], [p[1] for p in places], light, tolerance))
    ra, dec, flux = (np.concatenate(column) for column in ([p[0] for p in places], [p[1] for p in places], light))
    use = ids >= 0
    _, inverse, times = np.unique(ids[use], return_inverse=True, return_counts=True)
    east, north = tan_project(ra[use], dec[use], ensemble.solutions[0].ra, ensemble.solutions[0].dec)
    xi, eta, mean = (np.bincount(inverse, values) / times for values in (east, north, flux[use]))
    seen = times >= SEEN
    alpha, delta = tan_deproject(xi[seen], eta[seen], ensemble.solutions[0].ra, ensemble.solutions[0].dec)
    return alpha, delta, mean[seen]


def _middle(frames: Sequence[Frame]) -> tuple[float, float]:
    """Where the middle of the field points by the headers of its frames."""
    known = [frame for frame in frames if math.isfinite(frame.ra + frame.dec)]
    if not known:
        return math.nan, math.nan
    ra0, dec0 = known[0].ra, known[0].dec
    xi, eta = tan_project([frame.ra for frame in known], [frame.dec for frame in known], ra0, dec0)
    ra, dec = tan_deproject(0.5 * (xi.min() + xi.max()), 0.5 * (eta.min() + eta.max()), ra0, dec0)
    return float(ra), float(dec)


def _carried(solution: Solution, frame: Frame, field: Solution, solved: Solution) -> Solution:
    """A frame's solution on the true sky, through the field in which it is registered."""
    x0, y0, step = 0.5 * (frame.width - 1), 0.5 * (frame.height - 1), 100.0
    linear = replace(solution, distortion=Distortion())
    x, y = np.array([x0, x0 + step, x0 - step, x0, x0]), np.array([y0, y0, y0, y0 + step, y0 - step])
    ra, dec = pixel_to_sky(solved, *sky_to_pixel(field, *pixel_to_sky(linear, x, y)))
    xi, eta = tan_project(ra[1:], dec[1:], float(ra[0]), float(dec[0]))
    a, b, c, d = (
        float(value) / (2.0 * step) for value in (xi[0] - xi[1], xi[2] - xi[3], eta[0] - eta[1], eta[2] - eta[3])
    )
    return Solution(float(ra[0]), float(dec[0]), x0, y0, (a, b, c, d), solution.distortion, rms=solved.rms)
