"""How far, how fast, how long still: on a clock that the tests turn."""

from __future__ import annotations

import math
import random

import pytest

from zemosaic.events import Forecast, Measured, PhaseFinished, PhaseProgress, PhaseStarted, Scanned
from zemosaic.gui.progress import PHASES, Progress, TimeLeft

DONE = Scanned(1, 1.0, 0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def phase(
    progress: Progress, clock: Clock, name: str, items: int, each: float, scatter: float = 0.0
) -> list[tuple[float, TimeLeft]]:
    """Let a phase go by; what was told on the way, and when."""
    chance = random.Random(7)
    progress.take(PhaseStarted(name, items))
    began, told = clock.now, []
    for done in range(1, items + 1):
        clock.now += each * chance.uniform(1.0 - scatter, 1.0 + scatter)
        progress.take(PhaseProgress(name, done, items))
        if progress.left is not None:
            told.append((clock.now, progress.left))
    outcome = Measured(items, 0, 3.0) if name == "measure" else DONE
    progress.take(PhaseFinished(name, clock.now - began, outcome))
    return told


def test_the_time_that_is_left_holds_the_truth_and_closes_in_on_it(clock: Clock) -> None:
    progress = Progress(clock)
    told: list[tuple[float, TimeLeft]] = []
    for name, items, each in (("scan", 200, 0.01), ("measure", 200, 0.3), ("solve", 200, 0.05), ("match", 200, 0.05)):
        told += phase(progress, clock, name, items, each, scatter=0.5)
    progress.take(PhaseStarted("plan", 0))
    progress.take(PhaseFinished("plan", 0.1, DONE))
    progress.take(Forecast(1000.0, 1000.0, 100.0, 196.0))
    for name, items, each in (("assemble", 500, 0.3), ("export", 3000, 0.005)):
        told += phase(progress, clock, name, items, each, scatter=0.5)
    end = clock.now
    inside = [left.least <= end - when <= left.most for when, left in told]
    assert sum(inside) > 0.9 * len(inside)
    width = [left.most - left.least for _, left in told]
    tenths = [width[len(width) * k // 10] for k in range(10)]
    assert tenths[0] > 100.0 and max(tenths[5:]) < 0.5 * tenths[0] and tenths[9] < 0.1 * tenths[0]
    assert progress.left == TimeLeft(0.0, 0.0) and progress.share == pytest.approx(1.0)


def test_before_anything_is_measured_the_headers_guess(clock: Clock) -> None:
    progress = Progress(clock, TimeLeft(60.0, 200.0))
    clock.now += 10.0
    assert progress.left == TimeLeft(50.0, 190.0)
    assert Progress(clock).left is None and Progress(clock).share == 0.0


def test_a_pause_is_no_work(clock: Clock) -> None:
    progress = Progress(clock)
    progress.take(PhaseStarted("measure", 100))
    for done in range(1, 51):
        clock.now += 1.0
        progress.take(PhaseProgress("measure", done, 100))
    before, pace, elapsed = progress.left, progress.pace, progress.elapsed
    progress.hold(True)
    clock.now += 3600.0
    assert (progress.left, progress.pace, progress.elapsed) == (before, pace, elapsed)
    progress.hold(False)
    clock.now += 1.0
    progress.take(PhaseProgress("measure", 51, 100))
    assert progress.elapsed == pytest.approx(51.0) and progress.pace == pytest.approx(1.0)


def test_the_pace_is_that_of_lately(clock: Clock) -> None:
    progress = Progress(clock)
    assert math.isnan(progress.pace)
    progress.take(PhaseStarted("measure", 1000))
    for done in range(1, 301):
        clock.now += 1.0 if done <= 100 else 0.1
        progress.take(PhaseProgress("measure", done, 1000))
    assert progress.pace == pytest.approx(10.0, rel=0.01)


def test_phases_are_followed(clock: Clock) -> None:
    progress = Progress(clock)
    assert list(progress.phases) == list(PHASES)
    progress.take(PhaseStarted("measure", 4))
    progress.take(PhaseProgress("measure", 1, 4))
    view = progress.current
    assert view is not None and view.at_work and not view.finished and view.share == 0.25
    progress.take(PhaseFinished("measure", 2.0, Measured(4, 0, 3.0)))
    assert view.finished and view.share == 1.0 and view.seconds == 2.0
    assert progress.phases["solve"].share == 0.0 and not progress.phases["solve"].at_work


def test_the_bar_of_the_run_is_never_full_too_soon_and_never_goes_back(clock: Clock) -> None:
    progress, shares = Progress(clock, TimeLeft(8.0, 50.0)), []
    for name, each in (("scan", 0.1), ("measure", 2.0), ("solve", 3.0)):
        progress.take(PhaseStarted(name, 12))
        for done in range(1, 13):
            clock.now += each
            progress.take(PhaseProgress(name, done, 12))
            shares.append(progress.share)
        progress.take(PhaseFinished(name, 12 * each, Measured(12, 0, 3.0) if name == "measure" else DONE))
    assert shares == sorted(shares)
    assert shares[18] < 0.6  # 13 s of a run for which 8 to 50 s were foretold: the 8 have gone by
