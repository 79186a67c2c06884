"""What the commands share: a log, a terminal, Ctrl-C; errors as words and exit codes."""

from __future__ import annotations

import contextlib
import errno
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from zemosaic import __version__
from zemosaic.errors import Cancelled, InputError, OutputError, SettingsError, ZeMosaicError
from zemosaic.messages import sentence

if TYPE_CHECKING:
    from types import FrameType
    from typing import TextIO

    from zemosaic.cli.account import Account
    from zemosaic.events import Reporter
    from zemosaic.messages import Messages
    from zemosaic.settings import Settings

__all__ = [
    "DONE",
    "EXIT_CODES",
    "FAILED",
    "NO_INPUT",
    "NO_OUTPUT",
    "NO_WINDOW",
    "STOPPED",
    "USAGE",
    "code_of",
    "exit_code_text",
    "session",
]

DONE, FAILED, USAGE, NO_INPUT, NO_OUTPUT, NO_WINDOW, STOPPED = 0, 1, 2, 3, 4, 5, 130
EXIT_CODES = {
    DONE: "done",
    FAILED: "failed; the message says why",
    USAGE: "wrong use: a flag, a setting or a settings file",
    NO_INPUT: "the input gives nothing to work with",
    NO_OUTPUT: "the output cannot be written",
    NO_WINDOW: "the window cannot be opened: tkinter, its theme or a screen is missing",
    STOPPED: "stopped by the user; the same command takes over what was measured",
}
CODE_OF_ERROR = ((Cancelled, STOPPED), (SettingsError, USAGE), (InputError, NO_INPUT), (OutputError, NO_OUTPUT))
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def code_of(error: BaseException) -> int:
    return next((code for kind, code in CODE_OF_ERROR if isinstance(error, kind)), FAILED)


def exit_code_text() -> str:
    return "\n".join(["exit codes:", *(f"  {code:<10}{text}" for code, text in EXIT_CODES.items())])


def session(
    settings: Settings,
    notes: Sequence[str],
    output: Path,
    work: Callable[[Reporter], object],
    account: Account | None = None,
    stream: TextIO | None = None,
) -> int:
    """Do the work with a log, a terminal and Ctrl-C; what it raises becomes words and an exit code.

    account : for programs, told the same; people read on `stream` then. Default: standard error with it, else standard output
    """
    from zemosaic.events import Note
    from zemosaic.messages import Messages
    from zemosaic.reporters import Broadcast, LogFile, open_log, terminal

    messages, stop = Messages(settings.language), threading.Event()
    with open_log(output) as log, _stop_on_ctrl_c(stop, messages):
        out = stream or (sys.stderr if account else sys.stdout)
        listeners = (LogFile(), terminal(out, messages, log), *([account] if account else []))
        reporter = Broadcast(listeners, stop)
        logger = logging.getLogger("zemosaic")
        logger.info("zemosaic %s: %s", __version__, settings.model_dump_json())
        failure: BaseException | None = None
        try:
            for note in notes:
                reporter.emit(Note(note))
            work(reporter)
        except Exception as error:
            failure = error = _of_disk(error, output)
            expected = isinstance(error, ZeMosaicError)  # then its words say all
            level = logging.INFO if isinstance(error, Cancelled) else logging.ERROR
            logger.log(level, "stopped: %s", error, exc_info=None if expected else error)
        finally:
            for listener in listeners:
                listener.close()
        if failure is None:
            return DONE
        text, code = _in_words(failure, messages, log)
        print(text, file=sys.stderr)
        if account:
            account.error = text
        return code


def _of_disk(error: Exception, output: Path) -> Exception:
    """In words what only the system has said of a disk that is full or may not be written."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return OutputError.writing(Path(os.fsdecode(error.filename)) if error.filename else output, error)
    return error


def _in_words(error: BaseException, messages: Messages, log: Path) -> tuple[str, int]:
    """What a person reads about an error, and the exit code."""
    if isinstance(error, ZeMosaicError):
        return messages(f"error.{type(error).__name__}", text=sentence(str(error), messages)), code_of(error)
    if isinstance(error, MemoryError):
        return messages("error.memory"), FAILED
    return messages("error.unexpected", kind=type(error).__name__, text=error, log=log), FAILED


@contextlib.contextmanager
def _stop_on_ctrl_c(stop: threading.Event, messages: Messages) -> Iterator[None]:
    """The first Ctrl-C (or the system's request to end) asks the run to stop, the second one ends it at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            _end_at_once()
        stop.set()
        print(messages("stop.asked"), file=sys.stderr, flush=True)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, ask) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def _end_at_once() -> NoReturn:
    for process in multiprocessing.active_children():
        process.kill()
    os._exit(STOPPED)
