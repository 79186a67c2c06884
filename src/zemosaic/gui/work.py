"""What runs in the engine's process: a mosaic, a look at headers, a look at what an earlier run left.

Each is a function of an argument and a pipe, and its last word is an `End`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from zemosaic import __version__
from zemosaic.errors import Cancelled, InputError, ZeMosaicError
from zemosaic.events import BlockMade, Event, Made, Note, PhaseProgress, Silent
from zemosaic.folders import check_inputs, why_no_output
from zemosaic.gui.engine import PAUSE, RESUME, Failed, Finished, Held, Job, Result, Stopped
from zemosaic.ledger import WORKSPACE
from zemosaic.model import LeftOut, Lights
from zemosaic.settings import Settings

__all__ = ["Question", "look", "make"]

STEP = 0.1  # s between two words of progress of a phase
POLL = 0.1  # s between two looks at whether a pause is over


@dataclass(frozen=True)
class Question:
    """Folders whose headers are to be looked at."""

    inputs: tuple[Path, ...]
    output: Path | None  # None: not chosen yet
    settings: Settings


class _Control:
    """What the window has told the engine; a window that is gone has told it to stop."""

    def __init__(self, pipe: Connection) -> None:
        self.stop, self.pause = threading.Event(), threading.Event()
        self._pipe = pipe
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while not self.stop.is_set():
                order = self._pipe.recv()
                if order == PAUSE:
                    self.pause.set()
                elif order == RESUME:
                    self.pause.clear()
                else:
                    break
        self.stop.set()


class _Reporter:
    """Sends events; progress not more often than a person sees. Between tasks it holds the run while that is paused."""

    def __init__(self, pipe: Connection, control: _Control, log: Callable[[Event], None]) -> None:
        self._pipe, self._control, self._log = pipe, control, log
        self._lock = threading.Lock()
        self._said = 0.0

    def send(self, value: object) -> None:
        with self._lock, contextlib.suppress(OSError):  # a window that is gone has told the engine to stop
            self._pipe.send(value)

    def emit(self, event: Event) -> None:
        if isinstance(event, PhaseProgress):
            if event.done != event.total and time.monotonic() - self._said < STEP:
                return
            self._said = time.monotonic()
        elif not isinstance(event, BlockMade):
            self._log(event)
        self.send(event)

    def cancelled(self) -> bool:
        if self._control.pause.is_set() and not self._control.stop.is_set():
            self.send(Held(True))
            while self._control.pause.is_set() and not self._control.stop.wait(POLL):
                continue
            self.send(Held(False))
        return self._control.stop.is_set()


@contextlib.contextmanager
def _told(send: Callable[[object], None], log: Path | None = None) -> Iterator[None]:
    """What the block raises becomes its last word; the traceback of what nobody expected goes to the log."""
    try:
        yield
    except Cancelled:
        send(Stopped())
    except ZeMosaicError as error:
        logging.getLogger("zemosaic").error("stopped: %s", error)
        send(Failed(type(error).__name__, str(error), log))
    except MemoryError:
        send(Failed("memory", "", log))
    except Exception as error:  # the window tells it; nobody else would
        logging.getLogger("zemosaic").error("stopped: %s", error, exc_info=error)
        send(Failed("unexpected", f"{type(error).__name__}: {error}", log))


def make(job: Job, pipe: Connection) -> None:
    """Make the mosaics of a job; the event `RunFinished` names them."""
    from zemosaic.reporters import LogFile, open_log

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the window decides
    lines = LogFile()
    reporter = _Reporter(pipe, _Control(pipe), lines.emit)
    with _told(reporter.send), open_log(job.output) as log, _told(reporter.send, log):
        logging.getLogger("zemosaic").info("zemosaic %s: %s", __version__, job.settings.model_dump_json())
        for note in job.notes:
            reporter.emit(Note(note))
        _run(job, reporter)
        reporter.send(Finished(None))


def _run(job: Job, reporter: _Reporter) -> None:
    from zemosaic.ledger import Ledger
    from zemosaic.pipeline import make_mosaic

    if job.fresh:
        with Ledger(job.output) as ledger:
            ledger.forget()
    make_mosaic(job.inputs, job.output, job.settings, reporter)


def look(question: Question, pipe: Connection) -> None:
    """Look at headers: progress, the `Lights` (without frames), the `Result` of an earlier run, `Frames`.

    The last word is `Finished` with the `Outlook` (None: nobody knows).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    class Counting(Silent):
        def emit(self, event: Event) -> None:
            if isinstance(event, PhaseProgress):
                pipe.send(event)

    inputs, output = question.inputs, question.output
    with _told(pipe.send):
        check_inputs(inputs)
        why = "" if output is None else why_no_output(inputs, output)
        if why:
            raise InputError(why)
        from zemosaic.outlook import look_ahead, look_at_headers

        lights = look_at_headers(inputs, output or Path(os.devnull), question.settings, Counting())
        pipe.send(replace(lights, frames=(), excluded=(), subs=len(lights.frames)))
        for value in _known(lights, output, question.settings):
            pipe.send(value)
        pipe.send(Finished(look_ahead(lights, output, question.settings)))


def _known(lights: Lights, output: Path | None, settings: Settings) -> Iterator[object]:
    """The `Result` of an earlier run where there is one, and all `Frames`; raises OutputError where a run is at work."""
    from zemosaic.gui.frames import frames_known, known_matching, merged, separated
    from zemosaic.ledger import FrameRow, Ledger
    from zemosaic.outlook import panels_ahead
    from zemosaic.pipeline import MADE
    from zemosaic.quality import Matching

    known, matching = list[FrameRow](), dict[int, Matching]()
    if output is not None and (output / WORKSPACE).is_dir():
        with Ledger(output) as ledger:
            made = ledger.get(MADE, tuple[Made, ...]) or ()
            known, matching = ledger.rows(), known_matching(ledger)
        left_out = tuple(LeftOut(row.path, row.state, row.reason) for row in known if row.reason)
        yield Result(output, tuple(each for each in made if each.mosaic.is_file()), left_out)
    there = {frame.path for frame in lights.excluded}
    rest = [each for each in lights.left_out if each.path not in there]
    rows = merged([*lights.frames, *lights.excluded], rest, known)
    ahead = panels_ahead([*lights.frames, *lights.excluded], settings)
    equal = settings.stacking_weighting_method == "none"
    yield from separated(*frames_known(rows, matching, ahead, equal_weights=equal))
