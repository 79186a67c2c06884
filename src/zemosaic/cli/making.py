"""Commands that make mosaics: `run`, `gui`, and the script of the first release, which is one or the other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zemosaic.cli.flags import (
    add_json,
    add_settings,
    json_target,
    new_parser,
    parsed,
    put_json,
    refuse_doubtful,
    setting_switches,
    settings_of,
    spelled_out,
)
from zemosaic.cli.session import DONE, NO_WINDOW, session
from zemosaic.folders import absolute, check_inputs, why_no_output

if TYPE_CHECKING:
    from zemosaic.events import Reporter

__all__ = ["check_folders", "gui", "gui_parser", "keep_out_of", "run", "run_or_window", "run_parser"]


def run_parser(usage: str = "INPUT [INPUT ...] OUTPUT [flags]") -> argparse.ArgumentParser:
    parser = _with_flags("run", usage, "Make a mosaic of the raw subs in files and folders.")
    fresh = "begin anew: forget what earlier runs into OUTPUT found out. Example: --fresh."
    parser.add_argument("--fresh", action="store_true", help=fresh)
    add_json(parser, "write what was made, what is left out and why, as JSON")
    return parser


def gui_parser() -> argparse.ArgumentParser:
    return _with_flags("gui", "[INPUT ... [OUTPUT]] [flags]", "Open the window, filled in with what is given.")


def _with_flags(command: str, usage: str, text: str) -> argparse.ArgumentParser:
    from zemosaic.settings import declared

    parser = new_parser(command, usage, text)
    paths = "folders and files to read; the last one is the folder to write to"
    parser.add_argument("paths", nargs="*", metavar="INPUT ... OUTPUT", type=Path, default=[], help=paths)
    add_settings(parser, list(declared()))
    return parser


def _given(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, Any]:
    switches = setting_switches()
    given = parsed(parser, spelled_out(arguments, switches))
    refuse_doubtful(parser, arguments, switches, given["paths"])
    return given


def run(arguments: list[str]) -> int:
    parser = run_parser()
    given = _given(parser, arguments)
    fresh, target = given.pop("fresh", False), json_target(parser, given)
    *inputs, output = given.pop("paths") or [Path()]
    if not inputs:
        parser.error("INPUT and OUTPUT are needed; `zemosaic gui` opens a window for choosing them")
    settings, notes = settings_of(given)
    inputs, output = [absolute(path) for path in inputs], absolute(output)
    keep_out_of(parser, inputs, [target], output)
    check_folders(parser, inputs, output)
    account = None
    if target is not None:
        from zemosaic.cli.account import Account

        account = Account(output)

    def work(reporter: Reporter) -> None:
        from zemosaic.ledger import Ledger
        from zemosaic.pipeline import make_mosaic

        if fresh:
            with Ledger(output) as ledger:
                ledger.forget()
        make_mosaic(inputs, output, settings, reporter)

    code = session(settings, notes, output, work, account)
    if account is not None and target is not None:
        put_json(target, account.text(code))
    return code


def gui(arguments: list[str]) -> int:
    from zemosaic.gui.launch import open_window
    from zemosaic.gui.opening import Opening

    given = _given(gui_parser(), arguments)
    paths = [absolute(path) for path in given.pop("paths")]
    inputs, output = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, None)
    kept, _ = settings_of({name: value for name, value in given.items() if name in ("config", "solver_settings")})
    settings, notes = settings_of(given)
    return DONE if open_window(Opening(tuple(inputs), output, settings, kept, tuple(notes))) else NO_WINDOW


def run_or_window(arguments: list[str]) -> int:
    """The script of the first release: a run with INPUT and OUTPUT, else the window, filled in from the flags."""
    given = _given(run_parser("[INPUT ... OUTPUT] [flags]"), arguments)
    return run(arguments) if given["paths"] else gui(arguments)


def keep_out_of(
    parser: argparse.ArgumentParser, inputs: Sequence[Path], written: Sequence[Path | None], output: Path | None = None
) -> None:
    """Refuse to write a file into an input; `output` is none of it where it lies within one."""
    for file in filter(None, written):
        for path in inputs:
            inside = file == path or path in file.parents
            free = output is not None and path in output.parents and output in file.parents
            if inside and not free and path.is_dir():
                parser.error(f"{file} lies in an input; nothing is ever written there: choose another place")


def check_folders(parser: argparse.ArgumentParser, inputs: Sequence[Path], output: Path) -> None:
    """Refuse, before anything is written, an output full of subs, inputs that are not there, an output in use."""
    why = why_no_output(inputs, output)
    if why:
        parser.error(why)
    check_inputs(inputs)
    if (output / "zemosaic_workspace").is_dir():
        from zemosaic.ledger import Ledger

        Ledger(output).close()  # refuses where another run is at work, before this one writes into that one's log
