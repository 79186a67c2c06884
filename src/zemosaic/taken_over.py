"""What a run takes over from the one before without doing it again: everything, or the solutions of all frames.

Where files, settings and program are those of the last run, and what it wrote lies as it left it, nothing is done. The global
refinement makes each solution depend on all frames, so the outcome of solving is kept as a whole, under one
hash of all that it was found from. Parts of it are never reused: the same frames have the same solutions, however they arrived.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zemosaic import __version__
from zemosaic.events import Event, Made, ManyLeftOut, Reporter, SeamsGraded, StrayTarget, Vignetting, Warned
from zemosaic.kernel_cache import source_of
from zemosaic.ledger import Ledger, to_json
from zemosaic.model import Frame, FrameState, LeftOut, Measurement
from zemosaic.names import files_of, stamp
from zemosaic.phases.export import Outputs
from zemosaic.phases.scan import ScanResult
from zemosaic.phases.solve import SOLVE_VERSION, SolveResult
from zemosaic.settings import Settings
from zemosaic.solvers.external import External, installed
from zemosaic.tables import MEASURE_VERSION

__all__ = [
    "Done",
    "Heard",
    "Told",
    "done_before",
    "forget_done",
    "forget_solved",
    "is_final",
    "keep_done",
    "keep_solved",
    "run_key",
    "solve_key",
    "solved_before",
]

KEPT, DONE = "solved", "done"  # what the ledger calls them


@dataclass(frozen=True)
class Told:
    """What people and programs were told about mosaics and should know again."""

    seams: tuple[SeamsGraded, ...] = ()
    vignettes: tuple[Vignetting, ...] = ()  # that nothing has shown
    strays: tuple[StrayTarget, ...] = ()
    losses: tuple[ManyLeftOut, ...] = ()
    warnings: tuple[Warned, ...] = ()

    def again(self, reporter: Reporter) -> None:
        events: tuple[Event, ...] = (*self.strays, *self.vignettes, *self.losses, *self.warnings, *self.seams)
        for event in events:
            reporter.emit(event)


class Heard:
    """A reporter that keeps what another one is told, as far as a run that has nothing to do tells it again."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._events = list[Event]()

    def emit(self, event: Event) -> None:
        if isinstance(event, SeamsGraded | Vignetting | StrayTarget | ManyLeftOut | Warned):
            self._events.append(event)
        self._reporter.emit(event)

    def cancelled(self) -> bool:
        return self._reporter.cancelled()

    def forget(self) -> None:
        self._events.clear()

    def kept(self) -> Told:
        return Told(
            tuple({e.mosaic: e for e in self._events if isinstance(e, SeamsGraded)}.values()),
            tuple(e for e in self._events if isinstance(e, Vignetting) and e.unknown),
            tuple(e for e in self._events if isinstance(e, StrayTarget)),
            tuple(e for e in self._events if isinstance(e, ManyLeftOut)),
            tuple(e for e in self._events if isinstance(e, Warned)),
        )


@dataclass(frozen=True)
class Done:
    """A run that came to its end: what it was told, and what it left."""

    key: str  # hash of files, settings and program
    made: tuple[Made, ...]
    outputs: tuple[Outputs, ...]
    left_out: tuple[LeftOut, ...]
    stamps: tuple[tuple[str, int, int], ...]  # name, size and modification time of each file of the mosaics
    told: Told = Told()


def run_key(found: ScanResult, settings: Settings, external: External) -> str:
    """Hash of all that a run depends on: each file with its header, the settings, the program and those it may call."""
    program = source_of(Path(__file__).parent, "**/*.py")  # a new state of the code may come without a new version
    about = (program, SOLVE_VERSION, MEASURE_VERSION, settings.model_dump(), installed(external))
    state = hashlib.sha256(to_json(about).encode())
    for each in (*found.frames, *found.calibration, *found.excluded, *found.left_out):
        state.update(to_json(each).encode())
    return state.hexdigest()


def done_before(ledger: Ledger, key: str) -> Done | None:
    """The last run, if it came to its end with the same, and all files of its mosaics are as it left them."""
    done = ledger.get(DONE, Done)
    return done if done is not None and done.key == key and done.stamps == _stamps(done.outputs) else None


def forget_done(ledger: Ledger) -> None:
    """Before anything is done anew: the ledger's rows are those of another run from here on."""
    ledger.put(DONE, None)


def keep_done(
    ledger: Ledger,
    key: str,
    made: Sequence[Made],
    outputs: Sequence[Outputs],
    left_out: Sequence[LeftOut],
    told: Told,
) -> None:
    """Keep what a whole run has come to for the next one."""
    ledger.put(DONE, Done(key, tuple(made), tuple(outputs), tuple(left_out), _stamps(outputs), told))


def _stamps(outputs: Iterable[Outputs]) -> tuple[tuple[str, int, int], ...]:
    """Of all files that the mosaics have, reports included: one that is gone, changed or new makes a difference."""
    paths = dict.fromkeys(path for each in outputs for path in (*files_of(each.preview), *each.files))
    return tuple((path.name, *stamp(path)) for path in paths)


@dataclass(frozen=True)
class _Kept:
    """The outcome of the phase and the hash of all that it was found from."""

    key: str
    result: SolveResult


def solve_key(
    frames: Sequence[Frame], measurements: Mapping[int, Measurement], settings: Settings, external: External
) -> str:
    """Hash of all that solving depends on; the place of the output folder is none of it.

    Frames in their order, with headers and what was measured; the settings; programs of others with their files (a new
    version, a new star database). A key of the web service goes into the hash only, from which nobody gets it back.
    """
    how = (settings.solver_method, settings.astap_default_search_radius, installed(external))
    state = hashlib.sha256(to_json((__version__, SOLVE_VERSION, MEASURE_VERSION, how)).encode())
    for frame in frames:
        state.update(to_json((frame, replace(measurements[frame.id], path=Path(), border=None))).encode())
    return state.hexdigest()


def solved_before(ledger: Ledger, key: str) -> SolveResult | None:
    """What an earlier run found from the same; None when there is none."""
    kept = ledger.get(KEPT, _Kept)
    return kept.result if kept is not None and kept.key == key else None


def forget_solved(ledger: Ledger) -> None:
    """Before the frames are solved anew: what belongs to the old solutions, their header files too, holds no more."""
    ledger.put(KEPT, None)


def keep_solved(ledger: Ledger, key: str, result: SolveResult, external: External) -> None:
    """Keep the outcome for the next run: not where the web service left a frame unsolved, which may have been the network."""
    if is_final(result, external):
        ledger.put(KEPT, _Kept(key, result))


def is_final(result: SolveResult, external: External) -> bool:
    """Whether solving the same again would find the same."""
    return external.web is None or not any(each.state is FrameState.UNSOLVED for each in result.left_out)
