"""solve: where every frame points.

Each frame is solved by itself, those that fail once more with solved neighbours as hints; a frame that knows nothing about
itself is looked for over the whole sky, and is a neighbour then; frames of a dark cloud are solved together as one field.
Solutions that are impossible within their group are refused; then all frames are refined together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.catalogue import load_catalogue
from zemosaic.errors import FrameError
from zemosaic.events import PhaseProgress, Reporter
from zemosaic.execution import cores, run_each
from zemosaic.imaging.chromatic import at_green, colour_weights, settled_shifts
from zemosaic.imaging.placing import shared_distortions
from zemosaic.imaging.projection import angular_separation, pixel_scale
from zemosaic.imaging.refine import refine
from zemosaic.imaging.verification import FEWEST
from zemosaic.model import Frame, FrameKind, FrameState, LeftOut, Measurement, Solution, Stars
from zemosaic.solvers import SCALE_TOLERANCE, Hint, Solver, frame_hint, neighbour_hint
from zemosaic.solvers.blind import BlindSolver
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.solvers.ensemble import FEWEST_FRAMES, solve_ensemble
from zemosaic.solvers.external import NOBODY, External, external_solvers
from zemosaic.solvers.group import false_solutions
from zemosaic.solvers.header import HeaderSolver
from zemosaic.solvers.neighbour import NeighbourSolver
from zemosaic.tables import load_stars

__all__ = ["SOLVE_VERSION", "SolveResult", "SolveTask", "solve", "solve_one"]

PHASE = "solve"
SOLVE_VERSION = 1  # raise it with any change of how frames are solved or refined: all are then solved anew
NEIGHBOURS = 4  # pointings that are tried
OVERLAPS = 3  # solved neighbours whose stars serve as a catalogue at last, by either measure
RETRIES = 4  # rounds: what a neighbour solved in one is a neighbour itself in the next
BLIND_TRIES = 5  # frames of a folder and telescope that are looked for over the whole sky until one is found
CANDIDATES = 200  # solved neighbours among which distinct pointings are looked for
DISTINCT = 0.7  # of the radius, between pointings that are tried separately
HINT_RADIUS = 1.0  # deg at least, around a neighbour
SPELL, PAUSE = 900.0, 600.0  # s; refraction and focus stay about the same
TOTAL_STARS = 2_000_000  # kept in memory for the refinement: 100 bytes each
STARS_PER_FRAME = (60, 600)
POINTING_CELL = 0.2  # deg, pointings that share a cone of catalogue stars
OWN = ("auto", "header", "catalogue")  # methods that begin with what the package has itself
EXTERNAL_AT_ONCE = max(1, cores() // 2)  # programs of others get half of the processor

Outcome = tuple[dict[int, Solution], dict[int, str]]  # by frame: solutions, and why there is none


@dataclass(frozen=True)
class SolveTask:
    """One frame and how to go about it."""

    frame: Frame
    measurement: Measurement
    method: str
    hints: tuple[Hint, ...]  # tried in this order
    neighbours: tuple[
        tuple[Path, Solution], ...
    ] = ()  # measurement files of solved frames, to be matched against at last
    external: External = NOBODY  # programs of others, for the method "external"


@dataclass(frozen=True)
class TogetherTask:
    """Frames of one instrument and size that are solved as one field."""

    frames: tuple[Frame, ...]
    paths: tuple[Path, ...]  # measurement files
    radius: float  # deg


@dataclass(frozen=True)
class SolveResult:
    """Solutions of all frames that have one, refined together."""

    solutions: dict[int, Solution]
    left_out: tuple[LeftOut, ...]
    residuals: dict[int, float] = field(default_factory=dict)  # px per axis, stars above 20 sigma against their mean
    catalogue_rms: float = math.nan  # arcsec


def solve(
    frames: Sequence[Frame],
    measurements: Sequence[Measurement],
    *,
    method: str,
    search_radius: float,
    executor: Executor,
    reporter: Reporter,
    external: External = NOBODY,
) -> SolveResult:
    """Solve and refine.

    Parameters
    ----------
    measurements : of these frames; frames without one are ignored.
    method : auto (header, catalogue, programs of others, neighbours), header, catalogue, astap, astrometry_net.
    search_radius : deg, around the position in a frame's header.
    external : programs of others that may be called.
    """
    measured = {measurement.frame_id: measurement for measurement in measurements}
    frames = [frame for frame in frames if frame.id in measured]
    done = _Progress(reporter, len(frames))
    tasks = [SolveTask(f, measured[f.id], method, (frame_hint(f, search_radius),)) for f in frames]
    solutions, reasons = _solve_all(tasks, executor, done) if method in OWN else ({}, {})
    more = _external_tasks(tasks, solutions, method, external)
    solutions, reasons = _joined((solutions, reasons), _solve_all(more, executor, done, in_flight=EXTERNAL_AT_ONCE))
    refused = _refuse(frames, solutions, search_radius)
    if method != "header":
        attempt = _Attempt(frames, measured, search_radius, executor, done, solutions, refused, reasons)
        attempt.with_neighbours()
        for _ in range(BLIND_TRIES):
            if not attempt.over_the_whole_sky():
                break
            attempt.with_neighbours()
        if attempt.together():
            attempt.with_neighbours()
    left_out = [_left_out(f, measured[f.id], reasons, refused) for f in frames if f.id not in solutions]
    reporter.emit(PhaseProgress(PHASE, len(frames), len(frames)))
    return _refined(frames, measured, solutions, tuple(left_out))


@dataclass
class _Attempt:
    """What else can be tried with the frames that are not solved; fills `solutions` and `refused`."""

    frames: Sequence[Frame]
    measured: Mapping[int, Measurement]
    radius: float
    executor: Executor
    progress: _Progress
    solutions: dict[int, Solution]
    refused: dict[int, str]
    reasons: dict[int, str]
    tried: dict[int, SolveTask] = field(default_factory=dict)
    looked_for: set[int] = field(default_factory=set)

    def _wanting(self) -> list[Frame]:
        return [f for f in self.frames if f.id not in self.solutions and self.measured[f.id].n_stars >= FEWEST]

    def _take(self, found: Mapping[int, Solution]) -> int:
        """How many of these solutions stand."""
        before = len(self.solutions)
        self.solutions |= found
        self.refused |= _refuse(self.frames, self.solutions, self.radius)
        return len(self.solutions) - before

    def with_neighbours(self) -> None:
        """With what solved neighbours say; those solved in one round are neighbours in the next."""
        for _ in range(RETRIES):
            solved = _SolvedFrames(self.frames, self.solutions)
            tasks = [_with_neighbours(f, solved, self.measured, self.solutions, self.radius) for f in self._wanting()]
            tasks = [task for task in tasks if task.neighbours and task != self.tried.get(task.frame.id)]
            self.tried |= {task.frame.id: task for task in tasks}
            if self._take(_solve_all(tasks, self.executor, self.progress)[0]) <= 0:
                break

    def over_the_whole_sky(self) -> bool:
        """One frame without position or scale of each folder and telescope, the richest; False when there is none left."""
        richest: dict[tuple[Path, str], Frame] = {}
        for frame in self._wanting():
            key = (frame.path.parent, frame.instrument)
            if not frame_hint(frame, self.radius).complete and frame.id not in self.looked_for:
                best = richest.get(key, frame)
                richest[key] = max(best, frame, key=lambda f: self.measured[f.id].n_stars)
        tasks = [SolveTask(f, self.measured[f.id], "blind", (frame_hint(f, self.radius),)) for f in richest.values()]
        self.looked_for |= {task.frame.id for task in tasks}
        found, why = _solve_all(tasks, self.executor, self.progress)
        self._take(found)
        self.reasons |= _joined(({}, self.reasons), ({}, why))[1]
        return bool(tasks)

    def together(self) -> bool:
        """Frames of a dark cloud as one field; True when that placed any."""
        groups: dict[tuple[str, int, int], list[Frame]] = {}
        for frame in self._wanting():
            groups.setdefault((frame.instrument, frame.width, frame.height), []).append(frame)
        tasks = [
            TogetherTask(tuple(group), tuple(self.measured[f.id].path for f in group), self.radius)
            for group in groups.values()
            if len(group) >= FEWEST_FRAMES
        ]
        results = run_each(self.executor, solve_together, tasks, cancelled=self.progress.reporter.cancelled)
        return sum(self._take(found) for found in results) > 0


def solve_together(task: TogetherTask) -> dict[int, Solution]:
    """Solutions by frame id of those that could be placed together."""
    return solve_ensemble(task.frames, [load_stars(path) for path in task.paths], task.radius)


def _with_neighbours(
    frame: Frame,
    solved: _SolvedFrames,
    measured: Mapping[int, Measurement],
    solutions: Mapping[int, Solution],
    search_radius: float,
) -> SolveTask:
    """Another try with what solved neighbours say; without `neighbours` when there are none."""
    near = solved.neighbours(frame)
    seen = tuple((measured[other.id].path, solutions[other.id]) for other in _closest(frame, near, solutions))
    hints = _hints(frame, near, solutions, search_radius)
    return SolveTask(frame, measured[frame.id], "catalogue", hints, seen)


def solve_one(task: SolveTask) -> Solution | str:
    """A verified solution, or why there is none."""
    stars = load_stars(task.measurement.path)
    reasons = []
    for solver in _solvers(task.method, task.external):
        if solver.name == "header" and task.method == "auto" and task.frame.wcs is None and not task.frame.wcs_refused:
            continue
        for hint in task.hints:
            try:
                return solver.solve(stars, task.frame, hint)
            except FrameError as error:
                reasons.append(str(error))
    for path, solution in task.neighbours:
        hint = neighbour_hint(solution, solution.ra, solution.dec, HINT_RADIUS)
        try:
            return NeighbourSolver(load_stars(path), solution).solve(stars, task.frame, hint)
        except FrameError as error:
            reasons.append(str(error))
    return " ".join(dict.fromkeys(reasons))


@lru_cache(maxsize=4)
def _solvers(method: str, external: External) -> tuple[Solver, ...]:
    if method == "external":
        return external_solvers(external)
    if method == "blind":
        return (BlindSolver(),)
    built_in = CatalogueSolver()
    every: tuple[Solver, ...] = (HeaderSolver(built_in), built_in)
    return every if method == "auto" else tuple(solver for solver in every if solver.name == method)


class _Progress:
    """Counts the frames that have been looked at."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total, self.done = reporter, total, 0

    def step(self, frame: Frame) -> None:
        self.done = min(self.done + 1, self.total)
        self.reporter.emit(PhaseProgress(PHASE, self.done, self.total, frame.path.name))


def _solve_all(
    tasks: Sequence[SolveTask], executor: Executor, progress: _Progress, in_flight: int | None = None
) -> Outcome:
    solutions: dict[int, Solution] = {}
    reasons: dict[int, str] = {}
    results: Iterator[Solution | str] = run_each(
        executor, solve_one, tasks, in_flight=in_flight, cancelled=progress.reporter.cancelled
    )
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, Solution):
            solutions[task.frame.id] = result
        else:
            reasons[task.frame.id] = result
        progress.step(task.frame)
    return solutions, reasons


def _external_tasks(
    tasks: Sequence[SolveTask], solved: Mapping[int, Solution], method: str, external: External
) -> list[SolveTask]:
    """What the programs of others are asked: frames that are not solved yet and know enough about themselves.

    In `auto` a frame without position or scale is left to its neighbours: a search of the whole sky takes minutes.
    """
    if external == NOBODY:
        return []
    return [
        replace(task, method="external", external=external)
        for task in tasks
        if task.frame.id not in solved
        and task.measurement.n_stars >= FEWEST
        and (method != "auto" or task.hints[0].complete)
    ]


def _joined(first: Outcome, second: Outcome) -> Outcome:
    """Both outcomes; a frame that failed twice has both reasons."""
    reasons = first[1] | {i: " ".join(filter(None, (first[1].get(i, ""), why))) for i, why in second[1].items()}
    return first[0] | second[0], reasons


def _refuse(frames: Sequence[Frame], solutions: dict[int, Solution], radius: float) -> dict[int, str]:
    """Take impossible solutions out of `solutions`; with the reasons."""
    refused = false_solutions(frames, solutions, radius)
    for frame_id in refused:
        del solutions[frame_id]
    return refused


@dataclass(frozen=True)
class _Lot:
    """Solved frames of one folder, telescope and size."""

    frames: tuple[Frame, ...]
    ids: NDArray[np.int64]
    scales: NDArray[np.float64]  # arcsec/px, of the solutions


class _SolvedFrames:
    """The solved frames, in lots: each of thousands of frames would look at all of them for its neighbours otherwise."""

    def __init__(self, frames: Sequence[Frame], solutions: Mapping[int, Solution]) -> None:
        lots: dict[tuple[Path, str, int, int], list[Frame]] = {}
        for frame in frames:
            if frame.id in solutions:
                lots.setdefault(_lot_of(frame), []).append(frame)
        self._lots = {
            key: _Lot(
                tuple(members),
                np.array([frame.id for frame in members]),
                np.array([pixel_scale(solutions[frame.id]) for frame in members]),
            )
            for key, members in lots.items()
        }

    def neighbours(self, frame: Frame) -> list[Frame]:
        """Those of the same size in the same folder or of the same telescope; this telescope's first, nearest in time."""
        folder, instrument, *size = _lot_of(frame)
        near: list[Frame] = []
        for (where, telescope, *theirs), lot in self._lots.items():
            if theirs == size and (where == folder or telescope == instrument):
                fits = np.flatnonzero(~(np.abs(frame.scale / lot.scales - 1.0) > 2.0 * SCALE_TOLERANCE))
                order = np.argsort(np.abs(lot.ids[fits] - frame.id), kind="stable")[:CANDIDATES]
                near += [lot.frames[i] for i in fits[order]]
        near.sort(key=lambda other: (other.instrument != instrument, abs(other.id - frame.id), other.id))
        return near[:CANDIDATES]


def _lot_of(frame: Frame) -> tuple[Path, str, int, int]:
    return frame.path.parent, frame.instrument, frame.width, frame.height


def _closest(frame: Frame, solved: Sequence[Frame], solutions: Mapping[int, Solution]) -> list[Frame]:
    """The neighbours most likely to overlap: by where they were told to point, by where they do, else nearest in time.

    Headers of one night are wrong alike, by a degree at times: those that say the same come first.
    """
    if not (math.isfinite(frame.ra) and math.isfinite(frame.dec)) or not solved:
        return list(solved[:OVERLAPS])
    told = np.array([(other.ra, other.dec) for other in solved])
    truly = np.array([(solutions[other.id].ra, solutions[other.id].dec) for other in solved])
    chosen: list[Frame] = []
    for place in (told, truly):
        apart = angular_separation(place[:, 0], place[:, 1], frame.ra, frame.dec)
        order = np.argsort(np.round(apart, 1), kind="stable")  # of those that are alike, the nearest in time
        chosen += [solved[i] for i in order[:OVERLAPS] if solved[i] not in chosen]
    return chosen


def _hints(frame: Frame, solved: Sequence[Frame], solutions: Mapping[int, Solution], radius: float) -> tuple[Hint, ...]:
    """What solved neighbours say about a frame: scale and parity always, the position where its header has none."""
    radius = max(radius, HINT_RADIUS)
    hints: list[Hint] = []
    most = NEIGHBOURS
    if solved and math.isfinite(frame.ra) and math.isfinite(frame.dec):
        hints.append(_from_neighbour(frame, solved[0], solutions[solved[0].id], (frame.ra, frame.dec), radius))
        most = 2  # the header may be stale: where the nearest neighbour points is tried too
    for other in solved:
        solution = solutions[other.id]
        if len(hints) == most:
            break
        if all(angular_separation(solution.ra, solution.dec, hint.ra, hint.dec) > DISTINCT * radius for hint in hints):
            hints.append(_from_neighbour(frame, other, solution, (solution.ra, solution.dec), radius))
    return tuple(hints)


def _from_neighbour(frame: Frame, other: Frame, solution: Solution, place: tuple[float, float], radius: float) -> Hint:
    hint = neighbour_hint(solution, *place, radius)
    if other.instrument == frame.instrument:
        return hint
    return replace(hint, scale_tolerance=SCALE_TOLERANCE, parity=0)


def _left_out(
    frame: Frame, measurement: Measurement, reasons: Mapping[int, str], refused: Mapping[int, str]
) -> LeftOut:
    if frame.id in refused:
        return LeftOut(frame.path, FrameState.FALSE_SOLUTION, refused[frame.id])
    if measurement.n_stars < FEWEST:
        words = (
            f"{measurement.n_stars} stars were found, at least {FEWEST} are needed to solve: "
            "clouds, dew, or out of focus?"
        )
        return LeftOut(frame.path, FrameState.TOO_FEW_STARS, words)
    return LeftOut(frame.path, FrameState.UNSOLVED, reasons.get(frame.id, "No solver was asked."))


def _refined(
    frames: Sequence[Frame],
    measured: Mapping[int, Measurement],
    solutions: Mapping[int, Solution],
    left_out: tuple[LeftOut, ...],
) -> SolveResult:
    """All solved frames refined together."""
    solved = [frame for frame in frames if frame.id in solutions]
    if not solved:
        return SolveResult({}, left_out)
    least, most = STARS_PER_FRAME
    limit = int(np.clip(TOTAL_STARS // len(solved), least, most))
    spells = _spells(solved)
    colours = settled_shifts([measured[frame.id].shift for frame in solved], spells)
    stars = [
        _in_green(_brightest(load_stars(measured[frame.id].path), limit), frame, measured[frame.id].sigma, shift)
        for frame, shift in zip(solved, colours, strict=True)
    ]
    shapes = [(frame.height, frame.width) for frame in solved]
    own = [solutions[frame.id] for frame in solved]
    first, instruments = shared_distortions(own, [frame.instrument for frame in solved], shapes)
    result = refine(first, stars, instruments, _catalogue_around(first, shapes), shapes, spells)
    lies = [frame for frame, alone in zip(solved, result.unsupported, strict=True) if alone]
    words = "Where its solution puts it, its stars are neither those of the other frames nor the catalogue's: a wrong solution."
    kept = [(i, frame) for i, frame in enumerate(solved) if frame not in lies]
    return SolveResult(
        solutions={frame.id: replace(result.solutions[i], shift=colours[i]) for i, frame in kept},
        left_out=(*left_out, *(LeftOut(frame.path, FrameState.FALSE_SOLUTION, words) for frame in lies)),
        residuals={frame.id: float(result.residual_bright[i]) for i, frame in kept},
        catalogue_rms=result.catalogue_rms,
    )


def _in_green(stars: Stars, frame: Frame, sigma: tuple[float, ...], shift: tuple[tuple[float, float], ...]) -> Stars:
    """Stars where their green light falls: fitted to all colours, a red one would be drawn towards the red."""
    if not shift:
        return stars
    x, y = at_green(stars, shift, colour_weights(stars.flux, sigma, frame.kind is FrameKind.BAYER))
    return replace(stars, x=x, y=y)


def _spells(frames: Sequence[Frame]) -> list[int]:
    """Spells in which frames, in order of time, were taken: a quarter of an hour of one telescope, without a pause."""
    spells: list[int] = []
    latest: dict[str, tuple[int, float, float]] = {}  # by telescope: number, time of the first frame and of the last
    for frame in frames:
        now = _seconds(frame.date_obs)
        number, first, last = latest.get(frame.instrument, (-1, now, now))
        if number < 0 or now - last > PAUSE or now - first > SPELL:  # a time that is not known (NaN) ends no spell
            number, first = len(spells), now
        latest[frame.instrument] = (number, first, now)
        spells.append(number)
    return spells


def _seconds(date: str) -> float:
    """Of a date in ISO 8601 UTC; NaN when it is none."""
    try:
        return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return math.nan


def _brightest(stars: Stars, limit: int) -> Stars:
    columns = {name: getattr(stars, name)[:limit] for name in stars.__dataclass_fields__}
    return Stars(**columns)


def _catalogue_around(
    solutions: Sequence[Solution], shapes: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ra, dec of the catalogue stars on any of the frames, each once."""
    places: dict[tuple[int, int], tuple[Solution, float]] = {}
    for solution, shape in zip(solutions, shapes, strict=True):
        reach = 0.5 * math.hypot(*shape) * pixel_scale(solution) / 3600.0 + POINTING_CELL
        along = solution.ra * math.cos(math.radians(solution.dec))
        key = (round(along / POINTING_CELL), round(solution.dec / POINTING_CELL))
        if key not in places or places[key][1] < reach:
            places[key] = (solution, reach)
    catalogue = load_catalogue()
    cones = [catalogue.cone(solution.ra, solution.dec, reach) for solution, reach in places.values()]
    stars = np.concatenate([np.column_stack([cone.ra, cone.dec]) for cone in cones])
    ra, dec = np.unique(stars, axis=0).T
    return ra, dec
