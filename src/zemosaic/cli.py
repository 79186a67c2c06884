"""The command line: a thin shell over the library.

Flags come from the declaration of the settings. What a command needs is imported when it runs, so that help is quick.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import io
import itertools
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zemosaic import __version__
from zemosaic.errors import Cancelled, InputError, OutputError, SettingsError, ZeMosaicError

if TYPE_CHECKING:
    from types import FrameType

    from zemosaic.declaration import Declared
    from zemosaic.events import Reporter
    from zemosaic.messages import Messages
    from zemosaic.settings import Settings

__all__ = ["EXIT_CODES", "main"]

DONE, FAILED, USAGE, NO_INPUT, NO_OUTPUT, STOPPED = 0, 1, 2, 3, 4, 130
EXIT_CODES = {
    DONE: "done",
    FAILED: "failed; the message says why",
    USAGE: "wrong use: a flag, a setting or a settings file",
    NO_INPUT: "the input gives nothing to work with",
    NO_OUTPUT: "the output cannot be written",
    STOPPED: "stopped by the user; the same command takes over what was measured",
}
CODE_OF_ERROR = ((Cancelled, STOPPED), (SettingsError, USAGE), (InputError, NO_INPUT), (OutputError, NO_OUTPUT))
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
FITS_NAME = re.compile(r"[^.].*\.(fit|fits|fts)(\.gz|\.fz)?", re.IGNORECASE)
YES_OR_NO = ("true", "false", "yes", "no", "on", "off", "1", "0")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors are told in words, the traceback of unexpected ones goes to the log."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name that the terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    if arguments and arguments[0] in COMMANDS:
        try:
            return COMMANDS[arguments[0]].run(arguments[1:])
        except ZeMosaicError as error:  # before there is a log and a language
            print(f"zemosaic: {error}", file=sys.stderr)
            return _code(error)
        except KeyboardInterrupt:
            return STOPPED
    return _overview(arguments)


def _code(error: BaseException) -> int:
    return next((code for kind, code in CODE_OF_ERROR if isinstance(error, kind)), FAILED)


def _overview(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="zemosaic",
        description="Raw smart-telescope subs in, one seamless linear mosaic out.",
        epilog="\n".join(
            ["commands:", *(f"  {name:<10}{command.text}" for name, command in COMMANDS.items()), "", _exit_code_text()]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="zemosaic COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"zemosaic {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=[*COMMANDS], help="see below; COMMAND --help says more")
    if not arguments:
        parser.print_help()
        return USAGE
    parser.parse_args(arguments)
    return USAGE


def _exit_code_text() -> str:
    return "\n".join(["exit codes:", *(f"  {code:<10}{text}" for code, text in EXIT_CODES.items())])


# ---- zemosaic run


def _run(arguments: list[str]) -> int:
    from zemosaic.settings import declared

    parser = _parser("run", "INPUT [INPUT ...] OUTPUT [flags]", "Make a mosaic of the raw subs in files and folders.")
    parser.add_argument(
        "paths", nargs="*", metavar="INPUT ... OUTPUT", type=Path, default=[], help="what to read; where to write"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="begin anew: forget what earlier runs into OUTPUT found out"
    )
    _add_settings(parser, list(declared()))
    switches = _switches()
    given = _parsed(parser, _spelled_out(arguments, switches))
    _refuse_doubtful(parser, arguments, switches, given["paths"])
    fresh = given.pop("fresh", False)
    *inputs, output = given.pop("paths") or [Path()]
    if not inputs:
        parser.error("INPUT and OUTPUT are needed (a window for choosing them comes with a later release)")
    if output.exists() and any(path.exists() and path.samefile(output) for path in inputs):
        parser.error(f"{output} is input and output at once; nothing is ever written into an input: choose another")
    settings, notes = _settings(given)
    inputs, output = [_absolute(path) for path in inputs], _absolute(output)
    _check_folders(parser, inputs, output)

    def work(reporter: Reporter) -> None:
        from zemosaic.ledger import Ledger
        from zemosaic.pipeline import make_mosaic

        if fresh:
            with Ledger(output) as ledger:
                ledger.forget()
        make_mosaic(inputs, output, settings, reporter)

    return _session(settings, notes, output, work)


# ---- zemosaic inspect


def _inspect(arguments: list[str]) -> int:
    from zemosaic.settings import declared

    text = "Show a table of the subs and what is known of each, without a mosaic."
    parser = _parser("inspect", "INPUT [INPUT ...] [--output OUTPUT] [--csv FILE] [--json FILE] [flags]", text)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", type=Path, help="what to read")
    keep = "folder that keeps what was measured, for a later run into the same folder; default: nothing is kept"
    parser.add_argument("--output", metavar="OUTPUT", type=Path, help=keep)
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write the table as CSV")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table as JSON")
    _add_settings(parser, list(declared()))
    switches = _switches()
    given = _parsed(parser, _spelled_out(arguments, switches))
    inputs = [_absolute(path) for path in given.pop("inputs")]
    output, csv, json = (_absolute(given.pop(name)) if name in given else None for name in ("output", "csv", "json"))
    for file in (csv, json, output):
        if file is not None and any(file == path or path in file.parents for path in inputs if path.is_dir()):
            parser.error(f"{file} lies in an input; nothing is ever written there: choose another place")
    settings, notes = _settings(given)
    folder, code = output or Path(tempfile.mkdtemp(prefix="zemosaic-")), USAGE
    try:
        _check_folders(parser, inputs, folder)
        code = _session(settings, notes, folder, lambda reporter: _shown(inputs, folder, csv, json, settings, reporter))
    finally:
        if output is None and code != FAILED:  # what is said of a failure names the log in there
            shutil.rmtree(folder, ignore_errors=True)
    return code


def _shown(
    inputs: Sequence[Path], folder: Path, csv: Path | None, json: Path | None, settings: Settings, reporter: Reporter
) -> None:
    from zemosaic.frame_report import as_csv, as_json, as_text, write_report
    from zemosaic.messages import Messages
    from zemosaic.pipeline import inspect_frames

    table = inspect_frames(inputs, folder, settings, reporter)
    print(as_text(table, Messages(settings.language)))
    for path, text in ((csv, as_csv), (json, as_json)):
        if path is not None:
            write_report(path, text(table))
            print(path)


def _absolute(path: Path) -> Path:
    """The same for all ways to say it; a link to a file keeps its name, which tells lights from stacks."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def _check_folders(parser: argparse.ArgumentParser, inputs: Sequence[Path], output: Path) -> None:
    """Refuse, before anything is written, an output full of subs, inputs that are not there, an output in use."""
    if output.is_dir():
        try:
            names = [path.name for path in output.iterdir()]
        except OSError as error:
            raise OutputError(f"cannot read the output folder {output}: {error.strerror}") from error
        ours = any(name.startswith(("zemosaic_MT", "zemosaic_workspace")) for name in names)
        if not ours and any(FITS_NAME.fullmatch(name) for name in names):
            parser.error(
                f"the output folder {output} holds FITS files and nothing of ZeMosaic: were input and output swapped? "
                "Subs come first, the output last"
            )
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: this input does not exist; check the path (and that its disk is connected).")
    if (output / "zemosaic_workspace").is_dir():
        from zemosaic.ledger import Ledger

        Ledger(output).close()  # refuses where another run is at work, before this one writes into that one's log


def _parser(command: str, usage: str, text: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"zemosaic {command}",
        usage=f"zemosaic {command} {usage}",
        description=text,
        epilog=_exit_code_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )


def _add_settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Flags for these settings, and unseen those that only the first release knew."""
    from zemosaic.first_release import NO_EFFECT, RENAMED
    from zemosaic.settings import declared

    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (JSON, comments allowed)")
    parser.add_argument(_flag("solver_settings"), type=Path, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("-W", dest="winsor_workers", help=argparse.SUPPRESS)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name in names:
        about = declared()[name]
        group = groups.get(about.group) or groups.setdefault(about.group, parser.add_argument_group(about.group))
        group.add_argument(_flag(name), dest=name, metavar=_metavar(about), help=_help(about))
    for name in (*NO_EFFECT, *RENAMED):
        parser.add_argument(_flag(name), dest=name, help=argparse.SUPPRESS)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _metavar(about: Declared) -> str:
    if about.choices:
        return "{" + ",".join(about.choices) + "}"
    return {bool: "{true,false}", int: "N", float: "X", str: about.unit.upper()}[about.kind]


def _help(about: Declared) -> str:
    limits = f" Expected: {about.range_text()}." if about.limits else ""
    default = str(about.default).lower() or "none"
    return f"{about.text}{limits} Default: {default}.".replace("%", "%%")


def _switches() -> list[str]:
    """Settings whose flag may stand alone, today or in the first release."""
    from zemosaic.first_release import SWITCHES
    from zemosaic.settings import declared

    return [*SWITCHES, *(about.name for about in declared().values() if about.kind is bool)]


def _spelled_out(arguments: Sequence[str], switches: Sequence[str]) -> list[str]:
    """Flags with hyphens; `--switch` alone is `--switch=true`, what follows is its value only if it says yes or no."""
    known = {_flag(name) for name in switches}
    result: list[str] = []
    for argument in (*arguments, ""):
        if result and result[-1] in known:
            said = argument.lower() in YES_OR_NO
            result[-1] += f"={argument}" if said else "=true"
            if said:
                continue
        name, equals, value = argument.partition("=")
        result.append(_flag(name[2:]) + equals + value if name.startswith("--") else argument)
    return result[:-1]


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    """What was given, by name; flags may stand between the paths."""
    from zemosaic.settings_files import suggestion

    known, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        if not unknown[0].startswith("-"):
            _refuse_value(parser, arguments, unknown[0])
        name = unknown[0].lstrip("-").split("=")[0].replace("-", "_")
        hint = re.sub(r"'(\w+)'", lambda found: _flag(found[1]), suggestion(name))
        parser.error(f"there is no flag {unknown[0]}{hint}")
    return vars(known)


def _refuse_value(parser: argparse.ArgumentParser, arguments: Sequence[str], value: str) -> NoReturn:
    """An argument that nothing takes: as a rule the value of a switch, which says neither yes nor no."""
    before = arguments[max(0, arguments.index(value) - 1)]
    hint = "a name with spaces needs quotes"
    if before.endswith("=true"):
        hint = f"{before.removesuffix('=true')} takes true, false or nothing"
    parser.error(f"{value!r} is one argument too many; {hint}")


def _refuse_doubtful(
    parser: argparse.ArgumentParser, arguments: Sequence[str], switches: Sequence[str], paths: Sequence[Path]
) -> None:
    """Refuse a word after a switch that says neither yes nor no, where input and output are there without it.

    It may be a path where more follow and it exists, or where less than two paths came before.
    """
    known = {_flag(name) for name in switches}
    for switch, word in itertools.pairwise(arguments):
        if switch[:2] != "--" or _flag(switch[2:]) not in known or word.lower() in YES_OR_NO:
            continue
        if Path(word) in paths[2:] and (word == arguments[-1] or not Path(word).exists()):
            parser.error(
                f"{switch} takes true, false or nothing (got {word!r}); if that is a path, write {switch}=true before it"
            )


def _settings(given: dict[str, Any]) -> tuple[Settings, list[str]]:
    from zemosaic.settings_files import load_settings

    files = [given.pop(name) for name in ("config", "solver_settings") if name in given]
    return load_settings(given, files=files)


# ---- zemosaic simulate


def _simulate(arguments: list[str]) -> int:
    from zemosaic.simulate import NightPlan, simulate_night

    parser = _parser("simulate", "OUTPUT [flags]", "Simulate a night of raw subs with a known truth.")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder for the subs and the truth")
    parser.add_argument("--panels", metavar="2x2", help="panels across and up (short for --panels-x and --panels-y)")
    _add_settings(parser, ["language", "num_processing_workers"])
    night = parser.add_argument_group("the night")
    defaults = {field.name: field.default for field in dataclasses.fields(NightPlan)}
    for name, default in defaults.items():
        reader = _reader(type(default))
        night.add_argument(_flag(name), dest=name, metavar="X", type=reader, help=f"default: {default}")
    switches = [name for name, default in defaults.items() if isinstance(default, bool)]
    given = _parsed(parser, _spelled_out(arguments, switches))
    output, panels = given.pop("output"), given.pop("panels", None)
    plan: dict[str, Any] = {name: given.pop(name) for name in defaults if name in given}
    if panels is not None:
        plan["panels_x"], plan["panels_y"] = _across_and_up(parser, panels)
    night_plan = NightPlan(**plan)
    settings, notes = _settings(given)

    def work(reporter: Reporter) -> None:
        from zemosaic.execution import open_executor, worker_count

        with open_executor(worker_count(settings.num_processing_workers)) as executor:
            simulate_night(output, night_plan, reporter, executor)

    return _session(settings, notes, output, work)


def _reader(kind: type) -> Callable[[str], object]:
    """What turns the text of a flag into a value; argparse tells its errors."""

    if kind is tuple:
        return lambda text: tuple(map(float, text.split(",", 1)))
    if kind is bool:
        return _yes_or_no
    return kind


def _yes_or_no(text: str) -> bool:
    if text.lower() not in YES_OR_NO:
        raise argparse.ArgumentTypeError(f"must be true or false (got {text!r})")
    return YES_OR_NO.index(text.lower()) % 2 == 0


def _across_and_up(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    across, _, up = text.lower().partition("x")
    if not (across.isdigit() and up.isdigit()):
        parser.error(f"--panels must be two whole numbers such as 2x2 (got {text!r})")
    return int(across), int(up)


# ---- zemosaic score


def _score(arguments: list[str]) -> int:
    from zemosaic.score import score

    parser = _parser("score", "MOSAIC TRUTH", "Compare the mosaic of a simulated night with its truth.")
    parser.add_argument("mosaic", type=Path, metavar="MOSAIC", help="the mosaic's FITS file")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="truth.json of the night, or its folder")
    given = _parsed(parser, arguments)
    result = score(given["mosaic"], given["truth"])
    print(result.table())
    return DONE if result.ok else FAILED


# ---- zemosaic catalogue


def _catalogue(arguments: list[str]) -> int:
    from zemosaic.astap_database import LAYOUTS, write_astap_database
    from zemosaic.catalogue import load_catalogue

    parser = _parser(
        "catalogue",
        "export --format astap DIR [flags]",
        "Write the built-in star catalogue (Tycho-2) for other programs.",
    )
    parser.add_argument("action", choices=["export"], metavar="export", help="what to do")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder for the files; made when absent")
    parser.add_argument("--format", required=True, choices=["astap"], help="whose format")
    parser.add_argument("--cells", choices=list(LAYOUTS), help="only the database with so many areas; default: both")
    given = _parsed(parser, arguments)
    for layout in [LAYOUTS[given["cells"]]] if "cells" in given else LAYOUTS.values():
        written = write_astap_database(load_catalogue(), given["folder"], layout)
        print(f"{written} stars in {layout.cells.sum()} files {given['folder'] / layout.name}_*{layout.suffix}")
    return DONE


# ---- what the commands share


def _session(settings: Settings, notes: Sequence[str], output: Path, work: Callable[[Reporter], object]) -> int:
    """Do the work with a log, a terminal and Ctrl-C; what it raises becomes words and an exit code."""
    from zemosaic.events import Note
    from zemosaic.messages import Messages
    from zemosaic.reporters import Broadcast, LogFile, open_log, terminal

    messages, stop = Messages(settings.language), threading.Event()
    with open_log(output) as log, _stop_on_ctrl_c(stop, messages):
        listeners = (LogFile(), terminal(sys.stdout, messages, log))
        reporter = Broadcast(listeners, stop)
        logger = logging.getLogger("zemosaic")
        logger.info("zemosaic %s: %s", __version__, settings.model_dump_json())
        failure: BaseException | None = None
        try:
            for note in notes:
                reporter.emit(Note(note))
            work(reporter)
        except Exception as error:
            failure = error
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
        return code


def _in_words(error: BaseException, messages: Messages, log: Path) -> tuple[str, int]:
    """What a person reads about an error, and the exit code."""
    if isinstance(error, ZeMosaicError):
        return messages(f"error.{type(error).__name__}", text=error), _code(error)
    if isinstance(error, MemoryError):
        return messages("error.memory"), FAILED
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return messages("error.OutputError", text=error), NO_OUTPUT
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


@dataclass(frozen=True)
class Command:
    run: Callable[[list[str]], int]
    text: str


COMMANDS = {
    "run": Command(_run, "make a mosaic of the raw subs in files and folders"),
    "inspect": Command(_inspect, "show a table of the subs and what is known of each, without a mosaic"),
    "simulate": Command(_simulate, "simulate a night of raw subs with a known truth"),
    "score": Command(_score, "compare the mosaic of a simulated night with its truth"),
    "catalogue": Command(_catalogue, "write the built-in star catalogue for other programs"),
}
