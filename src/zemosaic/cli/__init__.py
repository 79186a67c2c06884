"""The command line: a thin shell over the library.

What a command needs is imported when it runs, so that help is quick.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zemosaic import __version__
from zemosaic.cli import commands
from zemosaic.cli.session import STOPPED, USAGE, code_of, exit_code_text
from zemosaic.errors import ZeMosaicError

__all__ = ["COMMANDS", "main"]


def main(argv: Sequence[str] | None = None, *, script: bool = False) -> int:
    """Run a command and return its exit code; errors are told in words, the traceback of unexpected ones goes to the log.

    script : as the script of the first release, whose arguments name no command
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name that the terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    run: Callable[[list[str]], int] | None = None
    if script:
        run = commands.run_or_window
    elif arguments and arguments[0] in COMMANDS:
        run = COMMANDS[arguments.pop(0)].run
    if run is not None:
        try:
            return run(arguments)
        except ZeMosaicError as error:  # before there is a log and a language
            print(f"zemosaic: {error}", file=sys.stderr)
            return code_of(error)
        except KeyboardInterrupt:
            return STOPPED
    return _overview(arguments)


def _overview(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="zemosaic",
        description="Raw smart-telescope subs in, one seamless linear mosaic out.",
        epilog="\n".join(
            ["commands:", *(f"  {name:<10}{command.text}" for name, command in COMMANDS.items()), "", exit_code_text()]
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


@dataclass(frozen=True)
class Command:
    run: Callable[[list[str]], int]
    text: str


COMMANDS = {
    "run": Command(commands.run, "make a mosaic of the raw subs in files and folders"),
    "gui": Command(commands.gui, "open the window"),
    "inspect": Command(commands.inspect, "show a table of the subs and what is known of each, without a mosaic"),
    "simulate": Command(commands.simulate, "simulate a night of raw subs with a known truth"),
    "score": Command(commands.score, "compare the mosaic of a simulated night with its truth"),
    "catalogue": Command(commands.catalogue, "write the built-in star catalogue for other programs"),
}
