"""How far a run is, how fast, and how long it will still take, from its events; no widget, and a clock that tests can turn.

Time left = what is left of the phase at work, at its pace so far, and the phases to come: those of the assembly as the engine
forecasts them, the others from the pace of measuring. Each has a spread of its own, which shrinks with what is known; together
they are a shortest and a longest time.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from zemosaic import events
from zemosaic.events import Event

__all__ = ["PHASES", "PhaseView", "Progress", "TimeLeft"]

PHASES = ("scan", "calibrate", "measure", "solve", "match", "plan", "assemble", "export")
# Time of a phase over that of measuring, as in the runs of docs/benchmarks.md; a phase that may not come at all counts nothing
SHARE = {"scan": 0.02, "measure": 1.0, "solve": 0.15, "match": 0.15, "plan": 0.01, "assemble": 2.2, "export": 0.3}
GUESS = 1.8  # factor up and down of what is guessed
FIRM = 0.1  # share of a phase after which its own pace counts as much as what was thought before
NOISE, LEAST_NOISE = 0.8, 0.04  # spread of a pace known from one result, which goes with 1 / sqrt; what remains
WINDOW = 15.0  # s, of the pace that is shown


@dataclass(frozen=True)
class TimeLeft:
    """s"""

    least: float
    most: float


@dataclass
class PhaseView:
    """A phase as people see it."""

    name: str
    unit: str = "frames"
    done: int = 0
    total: int = 0  # 0: unknown
    seconds: float = math.nan  # that it took; NaN while it is at work
    began: float = math.nan  # on the clock

    @property
    def share(self) -> float:
        """0..1."""
        if self.finished:
            return 1.0
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def finished(self) -> bool:
        return self.seconds == self.seconds

    @property
    def at_work(self) -> bool:
        return self.began == self.began and not self.finished


@dataclass
class Progress:
    """Follows a run. `hold` stops the clock while it is paused."""

    clock: Callable[[], float] = time.monotonic
    guess: TimeLeft | None = None  # of the whole run, from headers
    phases: dict[str, PhaseView] = field(default_factory=lambda: {name: PhaseView(name) for name in PHASES})

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._held_since: float | None = None
        self._share = 0.0
        self._held = 0.0
        self._current = ""
        self._first: tuple[float, int] | None = None
        self._reports = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._assembly: TimeLeft | None = None
        self._measured = math.nan  # s
        self._rounds = 1  # mosaics that are to be assembled

    # ---- the clock

    @property
    def elapsed(self) -> float:
        """s of work, without pauses."""
        return self._now() - self._began

    def hold(self, held: bool) -> None:
        if held and self._held_since is None:
            self._held_since = self.clock()
        elif not held and self._held_since is not None:
            self._held += self.clock() - self._held_since
            self._held_since = None

    def _now(self) -> float:
        return (self.clock() if self._held_since is None else self._held_since) - self._held

    # ---- what happens

    @property
    def current(self) -> PhaseView | None:
        """The phase at work."""
        return self.phases.get(self._current)

    def take(self, event: Event) -> None:
        match event:
            case events.PhaseStarted():
                view = PhaseView(event.phase, event.unit, 0, event.total, math.nan, self._now())
                self.phases[event.phase] = view
                self._current, self._first, self._reports = event.phase, None, 0
                self._recent.clear()
            case events.PhaseProgress():
                self._advance(event)
            case events.PhaseFinished():
                view = self.phases.setdefault(event.phase, PhaseView(event.phase))
                view.seconds, view.done = event.seconds, max(view.done, view.total)
                self._recent.clear()
                if event.phase == "measure" and view.total:
                    self._measured = event.seconds
            case events.Forecast():
                self._assembly = TimeLeft(event.least, event.most)
            case events.TargetStarted():
                self._rounds = event.of - event.number + 1
            case _:
                return

    def _advance(self, event: events.PhaseProgress) -> None:
        view = self.phases.setdefault(event.phase, PhaseView(event.phase, began=self._now()))
        view.done, view.total = event.done, event.total or view.total
        now = self._now()
        self._first = self._first or (now, event.done)
        self._reports += 1
        self._recent.append((now, event.done))
        while self._recent[0][0] < now - WINDOW and len(self._recent) > 2:
            self._recent.popleft()

    # ---- what follows from it

    @property
    def pace(self) -> float:
        """Items of the phase at work a second, lately; NaN when nothing tells."""
        if len(self._recent) < 2 or self.current is None or self.current.finished:
            return math.nan
        (began, first), (ended, last) = self._recent[0], self._recent[-1]
        return (last - first) / (ended - began) if ended > began else math.nan

    @property
    def left(self) -> TimeLeft | None:
        """How long the run will still take; None while nothing is known."""
        parts = [self._left_of(name) for name in PHASES]
        if any(part is None for part in parts):
            return self._by_guess()
        known = [part for part in parts if part is not None]
        return TimeLeft(sum(part.least for part in known), sum(part.most for part in known))

    @property
    def share(self) -> float:
        """How much of the run is done, 0..1; it never goes back when the rest turns out to take longer."""
        left = self.left
        if left is not None:
            whole = self.elapsed + 0.5 * (left.least + left.most)
            self._share = max(self._share, self.elapsed / max(whole, 1e-9))
        return self._share

    def _by_guess(self) -> TimeLeft | None:
        if self.guess is None:
            return None
        return TimeLeft(max(0.0, self.guess.least - self.elapsed), max(0.0, self.guess.most - self.elapsed))

    def _left_of(self, name: str) -> TimeLeft | None:
        view = self.phases[name]
        if view.finished:
            return TimeLeft(0.0, 0.0)
        expected = self._expected(name)
        if not view.at_work:
            return expected
        pace = self._by_pace(view)
        if pace is None:
            spent = self._now() - view.began
            return expected and TimeLeft(max(0.0, expected.least - spent), max(0.0, expected.most - spent))
        if expected is None:
            return pace
        own = view.share / (view.share + FIRM)
        rest = 1.0 - view.share
        return TimeLeft(
            own * pace.least + (1.0 - own) * rest * expected.least,
            own * pace.most + (1.0 - own) * rest * expected.most,
        )

    def _by_pace(self, view: PhaseView) -> TimeLeft | None:
        if self._first is None or view.done <= self._first[1] or not view.total:
            return None
        began, first = self._first
        left = (self._now() - began) / (view.done - first) * (view.total - view.done)
        spread = 1.0 + max(LEAST_NOISE, NOISE / math.sqrt(self._reports))
        return TimeLeft(left / spread, left * spread)

    def _expected(self, name: str) -> TimeLeft | None:
        """s of a phase that is to come, or at work."""
        if name == "assemble" and self._assembly is not None:
            return self._assembly
        if name in ("calibrate", "scan"):
            return TimeLeft(0.0, 0.0)
        unit = self._measuring()
        if unit is None:
            return None
        middle = SHARE.get(name, 0.0) * unit
        return TimeLeft(middle / GUESS, middle * GUESS)

    def _measuring(self) -> float | None:
        """s that measuring takes, or took; None while nobody knows."""
        if self._measured == self._measured:
            return self._measured
        view = self.phases["measure"]
        if view.at_work and self._first is not None and view.done > self._first[1]:
            began, first = self._first
            return (self._now() - began) / (view.done - first) * view.total
        return None
