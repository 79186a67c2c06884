"""Who listens to a run at the command line: progress bars, plain lines, the log file.

The log is in English and complete; the terminal speaks the user's language and is short.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zemosaic import events
from zemosaic.errors import OutputError
from zemosaic.events import Event
from zemosaic.messages import Messages
from zemosaic.sentences import SERIOUS, Sentences

__all__ = ["LOG_NAME", "Bars", "Broadcast", "LogFile", "PlainLines", "open_log", "terminal"]

LOG_NAME = "zemosaic_worker.log"
LINE_EVERY = 5.0  # s between two plain lines of progress
NOTEBOOK = "JPY_PARENT_PID"  # in the environment of what the kernel of a notebook starts
ITEM_WIDTH = 24  # characters of what was just finished, its end: names of subs differ there


class Listener(Protocol):
    """One place where events are shown."""

    def emit(self, event: Event) -> None: ...

    def close(self) -> None:
        """Nothing more will come (also after an error)."""
        ...


class Broadcast:
    """The reporter of a run: every event goes to every listener; `stop` is set when the user asks to stop."""

    def __init__(self, listeners: Sequence[Listener], stop: threading.Event) -> None:
        self._listeners = tuple(listeners)
        self._stop = stop

    def emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener.emit(event)

    def cancelled(self) -> bool:
        return self._stop.is_set()


def terminal(stream: TextIO, messages: Messages, log: Path | None) -> Listener:
    """Progress bars where they can be drawn, plain lines otherwise (files, pipes, continuous integration, notebooks).

    What a notebook starts believes that it has a terminal, or is told to have colours all the same, but nothing moves there.
    """
    console = Console(file=stream, soft_wrap=True, highlight=False)
    if stream.isatty() and not console.is_dumb_terminal and NOTEBOOK not in os.environ:
        return Bars(console, messages, log)
    return PlainLines(stream, messages, log)


class PlainLines:
    """Lines, with progress at most every few seconds."""

    def __init__(
        self,
        stream: TextIO,
        messages: Messages,
        log: Path | None,
        clock: Callable[[], float] = time.monotonic,
        every: float = LINE_EVERY,
    ) -> None:
        self._stream = stream
        self._words = Sentences(messages, log)
        self._clock, self._every = clock, every
        self._said = clock()
        self._first: tuple[float, int] | None = None

    def emit(self, event: Event) -> None:
        if isinstance(event, events.PhaseStarted):
            self._said, self._first = self._clock(), None
        line = self._progress(event) if isinstance(event, events.PhaseProgress) else self._words.line(event)
        if line is not None:
            self._put(line, event)

    def _put(self, line: str, event: Event) -> None:
        del event  # all are lines alike
        if not self._stream.closed:
            try:
                print(line, file=self._stream, flush=True)
            except BrokenPipeError:  # whoever listened has gone; the run goes on, the log has it all
                self._stream = io.StringIO()

    def _progress(self, event: events.PhaseProgress) -> str | None:
        now = self._clock()
        # the pace counts from the first result: what comes before it is the start of the workers
        first, done_first = self._first = self._first or (now, event.done)
        if now - self._said < self._every:
            return None
        self._said = now
        values = {
            "phase": self._words.phase(event.phase),
            "done": event.done,
            "total": event.total or "?",
            "unit": self._words.unit(),
        }
        if not done_first < event.done < event.total:
            return self._words.messages("event.PhaseProgress", **values)
        left = (now - first) / (event.done - done_first) * (event.total - event.done)
        return self._words.messages("event.PhaseProgress.left", **values, left=self._words.messages.duration(left))

    def close(self) -> None:
        self._stream.flush()


class Bars:
    """One progress bar with the time that is left, for the phase at work; finished phases become lines."""

    def __init__(self, console: Console, messages: Messages, log: Path | None) -> None:
        self._words = Sentences(messages, log)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[item]}"),
            console=console,
            transient=True,
        )
        self._progress.start()

    def emit(self, event: Event) -> None:
        line = self._words.line(event)
        if isinstance(event, events.PhaseStarted):
            self._clear()
            self._progress.add_task(
                self._words.phase(event.phase), total=event.total or None, unit=self._words.unit(), item=""
            )
        elif isinstance(event, events.PhaseProgress):
            for task in self._progress.task_ids:
                self._progress.update(
                    task, completed=event.done, total=event.total or None, item=escape(event.item[-ITEM_WIDTH:])
                )
        elif line is not None:
            if isinstance(event, events.PhaseFinished):
                self._clear()
            style = "yellow" if isinstance(event, SERIOUS) else None
            self._progress.console.print(line, markup=False, style=style)

    def _clear(self) -> None:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)

    def close(self) -> None:
        self._progress.stop()


class LogFile:
    """Every event but the progress, in English with the time, into the log file."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("zemosaic")
        self._words = Sentences(Messages("en"), None)

    def emit(self, event: Event) -> None:
        line = self._words.line(event)
        if line is not None:
            serious = isinstance(event, SERIOUS)
            self._logger.log(logging.WARNING if serious else logging.INFO, "%s", line)

    def close(self) -> None:
        """The handler belongs to `open_log`."""


class _LogOnDisk(logging.FileHandler):
    """The log file; that it cannot be written any more is said once, in a line, and does not end the run."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging calls it so
        del record
        self._tell(sys.exc_info()[1])

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # what it could not write before it tries once more, then gives up
            self._tell(error)

    def _tell(self, error: BaseException | None) -> None:
        if not self.failed:
            self.failed = True
            print(f"{self.baseFilename}: the log cannot be written ({error})", file=sys.stderr)


@contextlib.contextmanager
def open_log(output: Path) -> Iterator[Path]:
    """Append what is logged and warned in the block to the log file in `output`, which is made when it is absent.

    Raises
    ------
    OutputError
        The folder or the file cannot be written.
    """
    path = output / LOG_NAME
    try:
        output.mkdir(parents=True, exist_ok=True)
        handler = _LogOnDisk(path, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        what = "it is a file" if output.is_file() else error.strerror
        raise OutputError(f"cannot write into the output folder {output}: {what}; choose another folder") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("zemosaic", "py.warnings")]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield path
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
        logging.captureWarnings(False)
        handler.close()
