"""What scripts and notebooks call: the same work as the command line, with values for words.

Nothing here ends the process, handles signals, or prints unless it is asked to. Workers are processes of their own that never run
the caller's script, so `if __name__ == "__main__"` is not needed.
"""

from __future__ import annotations

import html
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from zemosaic.errors import InputError, SettingsError
from zemosaic.events import Event, Made, Reporter, RunFinished, Silent
from zemosaic.folders import absolute, check_inputs, why_no_output
from zemosaic.frame_report import as_text
from zemosaic.ledger import Ledger
from zemosaic.messages import Messages
from zemosaic.notebooks import MovingLines, moving_line
from zemosaic.pipeline import inspect_frames as inspect_all
from zemosaic.pipeline import make_mosaic as make_all
from zemosaic.quality import FrameQuality
from zemosaic.reporters import Broadcast, PlainLines
from zemosaic.settings import Settings

__all__ = ["inspect_frames", "make_mosaic", "printing"]

PathLike = str | os.PathLike[str]
Inputs = PathLike | Iterable[PathLike]


class _Ear:
    """A reporter that remembers how the run ended."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.made: tuple[Made, ...] = ()

    def emit(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            self.made = event.mosaics
        self._reporter.emit(event)

    def cancelled(self) -> bool:
        return self._reporter.cancelled()


class Mosaics(tuple[Made, ...]):
    """The mosaics of a run, which a notebook shows with their pictures."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self)


class Table(tuple[FrameQuality, ...]):
    """What is known of each file, which a notebook shows as `zemosaic inspect` does."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        style = "white-space: pre; overflow-x: auto; font-family: monospace"
        return f'<pre style="{style}">{html.escape(as_text(self, Messages("en")))}</pre>'


def make_mosaic(
    inputs: Inputs,
    output: PathLike,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
    *,
    fresh: bool = False,
) -> Mosaics:
    """Make a mosaic of each target and filter in `inputs`, with its companions, in `output`.

    Inputs are only read. The same call goes on where an earlier one was stopped, and adds subs that have come since.

    Parameters
    ----------
    inputs : a folder or file with raw subs, or several
    output : folder for what is made; made when absent
    settings : `Settings`, or what `load_settings` reads from files; None: all defaults. No file is read by itself
    reporter : who is told what happens and asked whether to go on (`zemosaic.Reporter`; `printing()` is one); None: nobody
    fresh : forget what earlier runs into `output` found out

    Returns
    -------
    A tuple with a `Made` for each mosaic: its name, the number of subs in it and the paths of its files, the mosaic first.

    Raises
    ------
    SettingsError
        Settings that cannot be, or cannot be combined.
    InputError
        Nothing to work with, or a target without a mosaic; those that could be made are on the disk then.
    OutputError
        `output` cannot be written, is an input, or another run is at work there.
    Cancelled
        The reporter said so. What was done is kept.
    KeyboardInterrupt
        Ctrl-C, or the kernel of a notebook was interrupted. What was done is kept.

    Examples
    --------
    >>> from zemosaic import InputError, Settings, make_mosaic
    >>> settings = Settings(final_assembly_method="reproject_coadd", memory_limit=4)
    >>> settings.memory_limit
    4.0
    >>> try:
    ...     for made in make_mosaic("M 31 subs", "M 31 mosaic", settings):
    ...         print(made.mosaic, made.used)
    ... except InputError as error:
    ...     print("There are none:", str(error).rpartition("/")[2].split(";")[0])
    There are none: M 31 subs: this input does not exist
    """
    paths, folder, chosen = _checked(inputs, output, settings)
    if fresh:
        with Ledger(folder) as ledger:
            ledger.forget()
    ear = _Ear(reporter or Silent())
    with _interrupts_in_words():
        make_all(paths, folder, chosen, ear)
    return Mosaics(ear.made)


def inspect_frames(
    inputs: Inputs,
    output: PathLike | None = None,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
) -> Table:
    """All files of the inputs and what is known of each, without a mosaic: scanned, measured, solved and matched.

    Parameters
    ----------
    output : folder that keeps what was measured, for a later run into the same folder; None: nothing is kept
    inputs, settings, reporter : as for `make_mosaic`

    Returns
    -------
    A tuple with a `FrameQuality` for each file: state and reason, FWHM, stars, transparency, noise, weight ...

    Raises
    ------
    MosaicError
        As `make_mosaic`; subs that cannot be solved or matched are no error here.
    """
    with tempfile.TemporaryDirectory(prefix="zemosaic-") as nowhere:
        paths, folder, chosen = _checked(inputs, nowhere if output is None else output, settings)
        with _interrupts_in_words():
            return Table(inspect_all(paths, folder, chosen, reporter or Silent()))


def printing(language: str = "en", stream: TextIO | None = None) -> Reporter:
    """A reporter that prints lines as the command line does, in English (`en`) or French (`fr`).

    In a notebook the line of a phase moves on with it, unless they go into a `stream` of your own.
    """
    messages, line = Messages(language), moving_line()
    if stream is None and line is not None:
        return Broadcast((MovingLines(sys.stdout, messages, line),), threading.Event())
    return Broadcast((PlainLines(stream or sys.stdout, messages, None),), threading.Event())


@contextmanager
def _interrupts_in_words() -> Iterator[None]:
    """Ctrl-C ends the caller as ever, but with a word, and without the hundred lines of where it came upon us."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was done is kept; the same call goes on from here") from None


def _checked(inputs: Inputs, output: PathLike, settings: Settings | None) -> tuple[list[Path], Path, Settings]:
    """Absolute paths and the settings, after a look at what can be known at once."""
    chosen = Settings() if settings is None else settings
    if not isinstance(chosen, Settings):
        raise SettingsError(f"settings must be as Settings(edge_taper=40) makes them (got {chosen!r})")
    given = [inputs] if isinstance(inputs, (str, os.PathLike)) else [*inputs]
    paths = [absolute(Path(each).expanduser()) for each in given]
    folder = absolute(Path(output).expanduser())
    if not paths:
        raise InputError("there is no input: give at least one folder or file with subs")
    check_inputs(paths)
    if why := why_no_output(paths, folder):
        raise InputError(why)
    return paths, folder, chosen
