"""The engine's process: what it says arrives, what it is told arrives, and its end is known however it comes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from zemosaic.errors import Cancelled, InputError
from zemosaic.events import Note, PhaseProgress
from zemosaic.gui import work
from zemosaic.gui.engine import PAUSE, RESUME, STOP, Crashed, Engine, Failed, Finished, Held, Stopped
from zemosaic.gui.painter import Painter


def heard(engine: Engine, until: object = None, seconds: float = 30.0) -> list[object]:
    """All that is said until a value comes, or the end."""
    found: list[object] = []
    limit = time.monotonic() + seconds
    while engine.end is None and until not in found:
        assert time.monotonic() < limit, found
        found += engine.news(0.01)
        time.sleep(0.01)
    return found


def obedient(limit: float, pipe: Connection) -> None:
    """Counts until it is told to stop."""
    control = work._Control(pipe)
    reporter = work._Reporter(pipe, control, lambda _: None)
    with work._told(reporter.send):
        for k in range(int(limit * 100)):
            reporter.emit(Note(str(k)))
            if reporter.cancelled():
                raise Cancelled("as you asked")
            time.sleep(0.01)
        reporter.send(Finished(k))


def failing(what: str, pipe: Connection) -> None:
    with work._told(pipe.send):
        if what == "words":
            raise InputError("no light in here")
        if what == "memory":
            raise MemoryError
        if what == "unexpected":
            raise ValueError("oh")
        os.kill(os.getpid(), signal.SIGKILL)


def test_pause_holds_the_run_and_stop_ends_it() -> None:
    engine = Engine(obedient, 30.0)
    assert heard(engine, Note("2"))
    engine.tell(PAUSE)
    heard(engine, Held(True))
    time.sleep(0.3)
    assert engine.news(0.1) == []
    engine.tell(RESUME)
    assert isinstance(heard(engine, Held(False))[0], Held)
    engine.tell(PAUSE)
    heard(engine, Held(True))
    engine.tell(STOP)  # ends a pause too
    assert heard(engine)[-1] == Stopped()
    engine.close()


def test_a_window_that_is_gone_stops_the_run() -> None:
    ours, theirs = multiprocessing.Pipe()
    control = work._Control(theirs)
    ours.send(PAUSE)
    assert control.pause.wait(5.0) and not control.stop.is_set()
    ours.close()
    assert control.stop.wait(5.0)


@pytest.mark.parametrize(
    ("what", "end"),
    [
        ("words", Failed("InputError", "no light in here")),
        ("memory", Failed("memory", "")),
        ("unexpected", Failed("unexpected", "ValueError: oh")),
        ("killed", Crashed(-signal.SIGKILL)),
    ],
)
def test_every_end_is_told(what: str, end: object) -> None:
    engine = Engine(failing, what)
    assert heard(engine)[-1] == end == engine.end
    engine.close()


def test_an_engine_can_be_ended_at_once() -> None:
    engine = Engine(obedient, 30.0)
    engine.kill()  # before it has begun, too
    assert isinstance(heard(engine)[-1], Crashed)


def test_news_take_no_longer_than_asked() -> None:
    engine = Engine(obedient, 0.3)
    engine._listener.join(30.0)
    for _ in range(20_000):
        engine._news.put(PhaseProgress("scan", 1, 2))
    began = time.perf_counter()
    found = engine.news(0.005)
    assert found and time.perf_counter() - began < 0.05


def test_progress_is_not_told_more_often_than_people_see() -> None:
    said: list[object] = []

    class Pipe:
        send = said.append

    control = type("Control", (), {"stop": None, "pause": None})()
    reporter = work._Reporter(Pipe(), control, said.append)  # type: ignore[arg-type]
    for done in range(1, 10_001):
        reporter.emit(PhaseProgress("measure", done, 10_000))
    assert len(said) < 100 and said[-1] == PhaseProgress("measure", 10_000, 10_000)


def test_of_what_is_to_be_painted_only_the_newest_is() -> None:
    painted: list[int] = []
    painter: Painter[int] = Painter()

    def job(number: int) -> int:
        time.sleep(0.05)
        painted.append(number)
        return number

    for number in range(100):
        painter.ask(lambda number=number: job(number))  # type: ignore[misc]
        time.sleep(0.001)
    limit = time.monotonic() + 10.0
    while 99 not in painted and time.monotonic() < limit:
        time.sleep(0.01)
    time.sleep(0.02)
    assert painter.fetch() == 99 and painter.fetch() is None and len(painted) < 20
    painter.ask(lambda: int(Path("/nowhere/at/all").read_text()))
    while not (failure := painter.failure()) and time.monotonic() < limit:
        time.sleep(0.01)
    assert "/nowhere" in failure
    painter.close()
