"""The commands. What one needs is imported when it runs."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zemosaic.cli.flags import (
    add_settings,
    flag,
    new_parser,
    parsed,
    reader_of,
    refuse_doubtful,
    setting_switches,
    settings_of,
    spelled_out,
)
from zemosaic.cli.session import DONE, FAILED, NO_WINDOW, USAGE, session
from zemosaic.folders import check_inputs, why_no_output

if TYPE_CHECKING:
    from zemosaic.events import Reporter
    from zemosaic.settings import Settings

__all__ = ["catalogue", "gui", "inspect", "run", "run_or_window", "score", "simulate"]

COMMAND_TEXTS = {
    "run": "Make a mosaic of the raw subs in files and folders.",
    "gui": "Open the window, filled in with what is given.",
}


def run(arguments: list[str]) -> int:
    parser, given = _asked_of_run("run", "INPUT [INPUT ...] OUTPUT [flags]", arguments)
    fresh = given.pop("fresh", False)
    *inputs, output = given.pop("paths") or [Path()]
    if not inputs:
        parser.error("INPUT and OUTPUT are needed; `zemosaic gui` opens a window for choosing them")
    settings, notes = settings_of(given)
    inputs, output = [_absolute(path) for path in inputs], _absolute(output)
    _check_folders(parser, inputs, output)

    def work(reporter: Reporter) -> None:
        from zemosaic.ledger import Ledger
        from zemosaic.pipeline import make_mosaic

        if fresh:
            with Ledger(output) as ledger:
                ledger.forget()
        make_mosaic(inputs, output, settings, reporter)

    return session(settings, notes, output, work)


def _asked_of_run(command: str, usage: str, arguments: Sequence[str]) -> tuple[argparse.ArgumentParser, dict[str, Any]]:
    """The parser of a run's flags, and what was given."""
    from zemosaic.settings import declared

    parser = new_parser(command, usage, COMMAND_TEXTS[command])
    parser.add_argument(
        "paths", nargs="*", metavar="INPUT ... OUTPUT", type=Path, default=[], help="what to read; where to write"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="begin anew: forget what earlier runs into OUTPUT found out"
    )
    add_settings(parser, list(declared()))
    switches = setting_switches()
    given = parsed(parser, spelled_out(arguments, switches))
    refuse_doubtful(parser, arguments, switches, given["paths"])
    return parser, given


def gui(arguments: list[str]) -> int:
    from zemosaic.gui.launch import Opening, open_window

    _, given = _asked_of_run("gui", "[INPUT ... [OUTPUT]] [flags]", arguments)
    given.pop("fresh", None)
    paths = [_absolute(path) for path in given.pop("paths")]
    inputs, output = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, None)
    kept, _ = settings_of({name: value for name, value in given.items() if name in ("config", "solver_settings")})
    settings, notes = settings_of(given)
    return DONE if open_window(Opening(tuple(inputs), output, settings, kept, tuple(notes))) else NO_WINDOW


def run_or_window(arguments: list[str]) -> int:
    """The script of the first release: a run with INPUT and OUTPUT, else the window, filled in from the flags."""
    _, given = _asked_of_run("run", "[INPUT ... OUTPUT] [flags]", arguments)
    return run(arguments) if given["paths"] else gui(arguments)


def inspect(arguments: list[str]) -> int:
    from zemosaic.settings import declared

    text = "Show a table of the subs and what is known of each, without a mosaic."
    parser = new_parser("inspect", "INPUT [INPUT ...] [--output OUTPUT] [--csv FILE] [--json FILE] [flags]", text)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", type=Path, help="what to read")
    keep = "folder that keeps what was measured, for a later run into the same folder; default: nothing is kept"
    parser.add_argument("--output", metavar="OUTPUT", type=Path, help=keep)
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write the table as CSV")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table as JSON")
    add_settings(parser, list(declared()))
    switches = setting_switches()
    given = parsed(parser, spelled_out(arguments, switches))
    inputs = [_absolute(path) for path in given.pop("inputs")]
    output, csv, json = (_absolute(given.pop(name)) if name in given else None for name in ("output", "csv", "json"))
    for file in (csv, json, output):
        if file is not None and any(file == path or path in file.parents for path in inputs if path.is_dir()):
            parser.error(f"{file} lies in an input; nothing is ever written there: choose another place")
    settings, notes = settings_of(given)
    folder, code = output or Path(tempfile.mkdtemp(prefix="zemosaic-")), USAGE
    try:
        _check_folders(parser, inputs, folder)
        code = session(settings, notes, folder, lambda reporter: _shown(inputs, folder, csv, json, settings, reporter))
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


def simulate(arguments: list[str]) -> int:
    from zemosaic.simulate import NightPlan, simulate_night

    parser = new_parser("simulate", "OUTPUT [flags]", "Simulate a night of raw subs with a known truth.")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder for the subs and the truth")
    parser.add_argument("--panels", metavar="2x2", help="panels across and up (short for --panels-x and --panels-y)")
    add_settings(parser, ["language", "num_processing_workers"])
    night = parser.add_argument_group("the night")
    defaults = {field.name: field.default for field in dataclasses.fields(NightPlan)}
    for each in dataclasses.fields(NightPlan):
        reader, about = reader_of(type(each.default)), f"{each.metadata['about']}; default: {each.default}"
        night.add_argument(flag(each.name), dest=each.name, metavar="X", type=reader, help=about.replace("%", "%%"))
    switches = [name for name, default in defaults.items() if isinstance(default, bool)]
    given = parsed(parser, spelled_out(arguments, switches))
    output, panels = given.pop("output"), given.pop("panels", None)
    plan: dict[str, Any] = {name: given.pop(name) for name in defaults if name in given}
    if panels is not None:
        plan["panels_x"], plan["panels_y"] = _across_and_up(parser, panels)
    night_plan = NightPlan(**plan)
    settings, notes = settings_of(given)

    def work(reporter: Reporter) -> None:
        from zemosaic.execution import open_executor, worker_count

        with open_executor(worker_count(settings.num_processing_workers)) as executor:
            simulate_night(output, night_plan, reporter, executor)

    return session(settings, notes, output, work)


def _across_and_up(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    across, _, up = text.lower().partition("x")
    if not (across.isdigit() and up.isdigit()):
        parser.error(f"--panels must be two whole numbers such as 2x2 (got {text!r})")
    return int(across), int(up)


def score(arguments: list[str]) -> int:
    from zemosaic.score import score as compared

    parser = new_parser("score", "MOSAIC TRUTH", "Compare the mosaic of a simulated night with its truth.")
    parser.add_argument("mosaic", type=Path, metavar="MOSAIC", help="the mosaic's FITS file")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="truth.json of the night, or its folder")
    given = parsed(parser, arguments)
    result = compared(given["mosaic"], given["truth"])
    print(result.table())
    return DONE if result.ok else FAILED


def catalogue(arguments: list[str]) -> int:
    from zemosaic.astap_database import LAYOUTS, write_astap_database
    from zemosaic.catalogue import load_catalogue

    parser = new_parser(
        "catalogue",
        "export --format astap DIR [flags]",
        "Write the built-in star catalogue (Tycho-2) for other programs.",
    )
    parser.add_argument("action", choices=["export"], metavar="export", help="what to do")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder for the files; made when absent")
    parser.add_argument("--format", required=True, choices=["astap"], help="whose format")
    parser.add_argument("--cells", choices=list(LAYOUTS), help="only the database with so many areas; default: both")
    given = parsed(parser, arguments)
    for layout in [LAYOUTS[given["cells"]]] if "cells" in given else LAYOUTS.values():
        written = write_astap_database(load_catalogue(), given["folder"], layout)
        print(f"{written} stars in {layout.cells.sum()} files {given['folder'] / layout.name}_*{layout.suffix}")
    return DONE


def _absolute(path: Path) -> Path:
    """The same for all ways to say it; a link to a file keeps its name, which tells lights from stacks."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def _check_folders(parser: argparse.ArgumentParser, inputs: Sequence[Path], output: Path) -> None:
    """Refuse, before anything is written, an output full of subs, inputs that are not there, an output in use."""
    why = why_no_output(inputs, output)
    if why:
        parser.error(why)
    check_inputs(inputs)
    if (output / "zemosaic_workspace").is_dir():
        from zemosaic.ledger import Ledger

        Ledger(output).close()  # refuses where another run is at work, before this one writes into that one's log
