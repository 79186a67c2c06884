"""Who listens to a run at the command line: progress bars, plain lines, the log file.

The log is in English and complete; the terminal speaks the user's language and is short.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import threading
import time
from collections import Counter
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

__all__ = ["LOG_NAME", "Bars", "Broadcast", "LogFile", "PlainLines", "open_log", "terminal"]

LOG_NAME = "zemosaic_worker.log"
LINE_EVERY = 5.0  # s between two plain lines of progress
ITEM_WIDTH = 24  # characters of what was just finished, its end: names of subs differ there
SERIOUS = events.Warned | events.ManyLeftOut | events.FrameLeftOut | events.StrayTarget | events.TargetFailed
LEFT_OUT_LINES = 10  # frames that the terminal names; the log names all


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
    """Progress bars where they can be drawn, plain lines otherwise (files, pipes, continuous integration)."""
    console = Console(file=stream, soft_wrap=True, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return Bars(console, messages, log)
    return PlainLines(stream, messages, log)


class _Words:
    """Events as lines in the user's language; counts frames that are left out by state."""

    def __init__(self, messages: Messages, log: Path | None) -> None:
        self.messages = messages
        self._log = log
        self._left_out: Counter[str] = Counter()
        self._unit = ""
        self._headlines: list[str] = []  # warnings that the summary begins with

    def phase(self, name: str) -> str:
        return self.messages.word("phase", name)

    def unit(self) -> str:
        return self.messages.word("unit", self._unit)

    def outcome(self, outcome: events.Outcome) -> str:
        """The figures of a phase in one sentence; another one where a figure is unknown (NaN)."""
        figures = vars(outcome)
        unknown = any(value != value for value in figures.values())
        return self.messages(f"outcome.{type(outcome).__name__}" + (".unknown" if unknown else ""), **figures)

    def line(self, event: Event) -> str | None:
        """The text of an event, None where nothing is to be said."""
        say = self.messages
        match event:
            case events.PhaseStarted():
                self._unit = event.unit
                return say("event.PhaseStarted", phase=self.phase(event.phase))
            case events.PhaseFinished():
                seconds = say.duration(event.seconds)
                phase, summary = self.phase(event.phase), self.outcome(event.outcome)
                return say("event.PhaseFinished", phase=phase, summary=summary, seconds=seconds)
            case events.ManyLeftOut():
                states = self._counts(Counter(dict(event.states)))
                self._headlines.append(say("event.ManyLeftOut", lost=event.lost, lights=event.lights, states=states))
                return self._headlines[-1]
            case events.SeamsGraded():
                return self._seams(event)
            case events.Vignetting():
                return self._vignetting(event)
            case events.SkiesCurved():
                key = "event.SkiesCurved" + ("" if event.curvature > 0.0 else ".asked")
                return say(key, curvature=event.curvature)
            case events.MasterUsed():
                key = "event.MasterUsed" + (f".{event.note}" if event.note else "")
                return say(key, what=event.what, lights=event.lights, file=event.file)
            case events.SensorLearnt():
                key = "event.SensorLearnt" + (".bad" if round(event.pattern) == 0 else "")
                return say(key, **vars(event))
            case events.FrameLeftOut():
                return self._left_out_line(event)
            case events.TargetsFound():
                targets = "\n".join(self._target("event.TargetsFound.each", each) for each in event.targets)
                return say("event.TargetsFound", count=len(event.targets), gap=event.gap, targets=targets)
            case events.StrayTarget():
                return self._target("event.StrayTarget", event.target, lights=event.lights)
            case events.FiltersFound():
                parts = ", ".join(f"{name} ({frames})" for name, frames in event.filters)
                return say("event.FiltersFound", count=len(event.filters), filters=parts)
            case events.TargetStarted():
                return self._target("event.TargetStarted", event.target, number=event.number, of=event.of)
            case events.TargetFailed():
                return self._target("event.TargetFailed", event.target, reason=event.reason)
            case events.Forecast():
                least, most = say.duration(event.least), say.duration(event.most)
                return say("event.Forecast", memory=event.memory, disk=event.disk, least=least, most=most)
            case events.BlocksKept():
                return self._kept(event)
            case events.Outturn():
                key = "event.Outturn" + (".unknown" if event.memory != event.memory else "")
                before, seconds = event.forecast, say.duration(event.seconds)
                least, most = say.duration(before.least), say.duration(before.most)
                return say(
                    key, memory=event.memory, disk=event.disk, seconds=seconds, memory_before=before.memory,
                    disk_before=before.disk, least=least, most=most,
                )  # fmt: skip
            case events.Note():
                return say("event.Note", text=event.text)
            case events.Warned():
                return say("event.Warned", text=event.text)
            case events.RunFinished():
                return self._finished(event)
            case events.PhaseProgress():
                return None

    def _left_out_line(self, event: events.FrameLeftOut) -> str | None:
        what = event.what
        self._left_out[what.state] += 1
        if self._log is not None and sum(self._left_out.values()) > LEFT_OUT_LINES:
            more = sum(self._left_out.values()) == LEFT_OUT_LINES + 1
            return self.messages("event.FrameLeftOut.more") if more else None
        state = self.messages.word("state", what.state)
        return self.messages("event.FrameLeftOut", path=what.path, state=state, reason=what.reason)

    def _vignetting(self, event: events.Vignetting) -> str:
        key = "event.Vignetting" + (".unknown" if event.unknown else ".none" if math.isnan(event.corners) else "")
        text = self.messages(key, **vars(event))
        if event.pedestal > 0.0:
            text += self.messages("event.Vignetting.pedestal", **vars(event))
        if event.unknown:
            self._headlines.append(text)
        return text

    def _kept(self, event: events.BlocksKept) -> str:
        say = self.messages
        reasons = [
            say(f"event.BlocksKept.{why}", count=count, largest=event.largest)
            for why in ("frames", "moved", "sensor", "absent")
            if (count := getattr(event, why))
        ]
        key = "event.BlocksKept" + ("" if reasons else ".all")
        return say(key, kept=event.kept, blocks=event.blocks, largest=event.largest, reasons=", ".join(reasons))

    def _seams(self, event: events.SeamsGraded) -> str:
        word = self.messages(f"grade.{event.grade}")
        text = self.messages("event.SeamsGraded", **(vars(event) | {"word": word}))
        if event.grade != "D":
            return text
        self._headlines.append(self.messages("event.SeamsGraded.bad", text=text, frames="\n  ".join(event.frames)))
        return self._headlines[-1]

    def _finished(self, event: events.RunFinished) -> str:
        lines = self._headlines + [self._made(each, several=len(event.mosaics) > 1) for each in event.mosaics]
        seconds = self.messages.duration(event.seconds)
        lines.append(
            self.messages(
                "event.RunFinished",
                used=sum(each.used for each in event.mosaics),
                left_out=event.left_out,
                seconds=seconds,
            )
        )
        text = "\n".join(lines)
        if not self._left_out:
            return text
        states = self._counts(self._left_out)
        if self._log is None:
            return f"{text}\n{states}"
        return f"{text}\n{self.messages('event.RunFinished.states', states=states, log=self._log)}"

    def _made(self, made: events.Made, *, several: bool) -> str:
        key = "event.RunFinished.made" + (".target" if several else "")
        return self.messages(key, name=made.name, mosaic=made.mosaic, preview=made.preview, used=made.used)

    def _target(self, key: str, target: events.TargetSeen, **more: object) -> str:
        return self.messages(key, name=target.name, frames=target.frames, ra=target.ra, dec=target.dec, **more)

    def _counts(self, states: Counter[str]) -> str:
        return ", ".join(f"{n} {self.messages.word('state', state)}" for state, n in states.most_common())


class PlainLines:
    """Lines, with progress at most every few seconds."""

    def __init__(
        self, stream: TextIO, messages: Messages, log: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._words = _Words(messages, log)
        self._clock = clock
        self._said = clock()
        self._first: tuple[float, int] | None = None

    def emit(self, event: Event) -> None:
        if isinstance(event, events.PhaseStarted):
            self._said, self._first = self._clock(), None
        line = self._progress(event) if isinstance(event, events.PhaseProgress) else self._words.line(event)
        if line is not None and not self._stream.closed:
            try:
                print(line, file=self._stream, flush=True)
            except BrokenPipeError:  # whoever listened has gone; the run goes on, the log has it all
                self._stream = io.StringIO()

    def _progress(self, event: events.PhaseProgress) -> str | None:
        now = self._clock()
        # the pace counts from the first result: what comes before it is the start of the workers
        first, done_first = self._first = self._first or (now, event.done)
        if now - self._said < LINE_EVERY:
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
        self._words = _Words(messages, log)
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
        self._words = _Words(Messages("en"), None)

    def emit(self, event: Event) -> None:
        line = self._words.line(event)
        if line is not None:
            serious = isinstance(event, SERIOUS)
            self._logger.log(logging.WARNING if serious else logging.INFO, "%s", line)

    def close(self) -> None:
        """The handler belongs to `open_log`."""


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
        handler = logging.FileHandler(path, "a", encoding="utf-8", errors="backslashreplace")
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
