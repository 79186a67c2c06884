"""The command line: a thin shell over the library.

What a command needs is imported when it runs, so that help is quick.
"""

from __future__ import annotations

import argparse
import difflib
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from zemosaic import __version__
from zemosaic.cli import looking, making, serving, trying
from zemosaic.cli.examples import COMMAND_EXAMPLES
from zemosaic.cli.flags import Parser, WrongUse, json_named, offer, put_json
from zemosaic.cli.session import STOPPED, USAGE, code_of, exit_code_text
from zemosaic.errors import OutputError, ZeMosaicError

__all__ = ["COMMANDS", "Command", "main"]


@dataclass(frozen=True)
class Command:
    group: str  # of the overview
    run: Callable[[list[str]], int]
    parser: Callable[[], argparse.ArgumentParser]
    text: str


NOBODY_READS = 141  # as shells call the end by SIGPIPE
BEFORE, MAKE, TRY, OTHERS = "look before you start", "make the mosaic", "try it without subs", "for other programs"
COMMANDS = {
    "doctor": Command(
        BEFORE, looking.doctor, looking.doctor_parser, "look at this computer: what is missing, and what to do"
    ),
    "plan": Command(
        BEFORE, looking.plan, looking.plan_parser, "tell what a run would make and need, with a drawing of the subs"
    ),
    "inspect": Command(
        BEFORE, looking.inspect, looking.inspect_parser, "show a table of the subs and what is known of each"
    ),
    "run": Command(MAKE, making.run, making.run_parser, "make a mosaic of the raw subs in files and folders"),
    "gui": Command(MAKE, making.gui, making.gui_parser, "open the window, which does all this with the mouse"),
    "simulate": Command(
        TRY, trying.simulate, trying.simulate_parser, "simulate a night of raw subs with a known truth"
    ),
    "score": Command(TRY, trying.score, trying.score_parser, "compare the mosaic of a simulated night with its truth"),
    "catalogue": Command(
        OTHERS, serving.catalogue, serving.catalogue_parser, "write the built-in star catalogue for plate solvers"
    ),
    "completion": Command(
        OTHERS, serving.completion, serving.completion_parser, "let a shell complete commands and flags at the Tab key"
    ),
}


def main(argv: Sequence[str] | None = None, *, script: bool = False) -> int:
    """Run a command and return its exit code; errors are told in words, the traceback of unexpected ones goes to the log.

    script : as the script of the first release, whose arguments name no command
    """
    try:
        try:
            return _main(argv, script)
        finally:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has seen enough, as `head`; Python flushes once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def _main(argv: Sequence[str] | None, script: bool) -> int:
    if "_ARGCOMPLETE" in os.environ:  # a shell asks
        _complete(os.environ.get("COMP_LINE", "").split(), script)
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name that the terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    run: Callable[[list[str]], int] = _overview
    command = ""
    if script:
        run, command = making.run_or_window, "run"
    elif arguments and arguments[0] in COMMANDS:
        command = arguments.pop(0)
        run = COMMANDS[command].run
    try:
        return run(arguments)
    except WrongUse as wrong:
        _tell_programs(command, arguments, USAGE, wrong.text)
        raise
    except ZeMosaicError as error:  # before there is a log and a language
        print(f"zemosaic: {error}", file=sys.stderr)
        _tell_programs(command, arguments, code_of(error), str(error))
        return code_of(error)
    except KeyboardInterrupt:
        return STOPPED


def _tell_programs(command: str, arguments: Sequence[str], code: int, error: str) -> None:
    """What stops a command before it has begun, as JSON where that is wanted."""
    target = json_named(arguments)
    if target is not None:
        from zemosaic.cli.account import failed

        with suppress(OutputError):  # people have read the first error already, and that is the one to mend
            put_json(target, failed(command, code, error))


def _complete(words: list[str], script: bool) -> None:
    """Complete what follows the name of a command, else that name."""
    command = words[1] if len(words) > 1 and not script else ""
    if command in COMMANDS:
        serving.complete(COMMANDS[command].parser(), 2)
    else:
        serving.complete(making.run_parser() if script else _overview_parser(), 1)


def _overview(arguments: list[str]) -> int:
    parser = _overview_parser()
    if not arguments:
        parser.print_help()
        return USAGE
    if not arguments[0].startswith("-"):
        close = difflib.get_close_matches(arguments[0], COMMANDS, n=1) or ["run"]
        hint = f"did you mean `zemosaic {close[0]}`? `zemosaic --help` shows all of them"
        parser.error(f"there is no command {arguments[0]!r}; {hint}")
    if named := next((each for each in arguments if each in COMMANDS), None):
        parser.error(f"flags come after the command: zemosaic {named} ... {arguments[0]} ...")
    parser.parse_args(arguments)
    return USAGE


def _overview_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="zemosaic",
        description="Raw smart-telescope subs in, one seamless linear mosaic out. Subs are only ever read.",
        epilog="\n".join([*_story(), "zemosaic COMMAND --help says more of a command.", "", exit_code_text()]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="zemosaic COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"zemosaic {__version__}")
    command = parser.add_argument("command", metavar="COMMAND", choices=[*COMMANDS], help="one of those below")
    offer(command, {name: each.text for name, each in COMMANDS.items()})
    return parser


def _story() -> Iterator[str]:
    """The commands in the order in which people need them, an example of each."""
    for group, members in itertools.groupby(COMMANDS.items(), key=lambda item: item[1].group):
        yield f"{group}:"
        for name, command in members:
            yield f"  {name:<12}{command.text}"
            yield f"  {'':<12}$ {COMMAND_EXAMPLES[name][0]}"
        yield ""
