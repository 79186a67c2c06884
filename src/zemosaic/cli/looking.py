"""Commands that look without making: `inspect`, `plan`, `doctor`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from zemosaic.cli.flags import (
    JSON_TO_OUTPUT,
    add_json,
    add_settings,
    json_target,
    new_parser,
    parsed,
    put_json,
    setting_switches,
    settings_of,
    spelled_out,
)
from zemosaic.cli.making import check_folders, keep_out_of
from zemosaic.cli.session import DONE, FAILED, USAGE, session
from zemosaic.folders import absolute

if TYPE_CHECKING:
    from zemosaic.events import Reporter
    from zemosaic.settings import Settings

__all__ = ["doctor", "doctor_parser", "inspect", "inspect_parser", "plan", "plan_parser"]


def inspect_parser() -> argparse.ArgumentParser:
    from zemosaic.settings import declared

    text = "Show a table of the subs and what is known of each, without a mosaic."
    parser = new_parser("inspect", "INPUT [INPUT ...] [--output OUTPUT] [--csv FILE] [--json [FILE]] [flags]", text)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", type=Path, help="folders and files to read")
    keep = "folder that keeps what was measured, for a later run into the same folder; default: nothing is kept"
    parser.add_argument("--output", metavar="OUTPUT", type=Path, help=f'{keep}. Example: --output "M 31 mosaic".')
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write the table as CSV. Example: --csv subs.csv.")
    add_json(parser, "write the table as JSON")
    add_settings(parser, list(declared()))
    return parser


def inspect(arguments: list[str]) -> int:
    parser = inspect_parser()
    given = parsed(parser, spelled_out(arguments, setting_switches()))
    inputs, target = [absolute(path) for path in given.pop("inputs")], json_target(parser, given)
    output, csv = (absolute(given.pop(name)) if name in given else None for name in ("output", "csv"))
    keep_out_of(parser, inputs, [csv, target, output])
    settings, notes = settings_of(given)

    def work(folder: Path, out: TextIO, reporter: Reporter) -> None:
        from zemosaic.frame_report import as_csv, as_json, as_text, write_report
        from zemosaic.messages import Messages
        from zemosaic.pipeline import inspect_frames

        table = inspect_frames(inputs, folder, settings, reporter)
        print(as_text(table, Messages(settings.language)), file=out)
        if csv is not None:
            write_report(csv, as_csv(table))
            print(csv, file=out)
        if target is not None:
            put_json(target, as_json(table))

    return _in_a_session(parser, settings, notes, inputs, output, target, work)


def _in_a_session(
    parser: argparse.ArgumentParser,
    settings: Settings,
    notes: Sequence[str],
    inputs: Sequence[Path],
    output: Path | None,
    target: Path | None,
    work: Callable[[Path, TextIO, Reporter], None],
) -> int:
    """Work in the folder `output`, or in one that goes afterwards; people read on standard error where JSON goes to the other."""
    from zemosaic.cli.account import Account, failed

    account = Account(output) if target is not None else None
    folder, code = output or Path(tempfile.mkdtemp(prefix="zemosaic-")), USAGE
    out = sys.stderr if target == JSON_TO_OUTPUT else sys.stdout
    try:
        check_folders(parser, inputs, folder)
        code = session(settings, notes, folder, lambda reporter: work(folder, out, reporter), account, out)
    finally:
        if output is None and code != FAILED:  # what is said of a failure names the log in there
            shutil.rmtree(folder, ignore_errors=True)
    if code != DONE and account is not None and target is not None:
        put_json(target, failed("", code, account.error))
    return code


def plan_parser() -> argparse.ArgumentParser:
    from zemosaic.settings import declared

    text = (
        "Tell what a run of INPUT would make and need - mosaics, memory, disk, time - and draw where the subs lie,\n"
        "from the headers alone: nothing is measured, no mosaic is made."
    )
    parser = new_parser("plan", "INPUT [INPUT ...] OUTPUT [--picture FILE] [--json [FILE]] [flags]", text)
    paths = "folders and files to read; the last one is the folder that a run would write to"
    parser.add_argument("paths", nargs="+", metavar="INPUT ... OUTPUT", type=Path, help=paths)
    picture = "where the drawing goes (PNG; several mosaics: a number before its ending); default: zemosaic_plan.png in OUTPUT"
    parser.add_argument("--picture", metavar="FILE", type=Path, help=f"{picture}. Example: --picture plan.png.")
    add_json(parser, "write the forecast as JSON")
    add_settings(parser, list(declared()))
    return parser


def plan(arguments: list[str]) -> int:
    parser = plan_parser()
    given = parsed(parser, spelled_out(arguments, setting_switches()))
    target = json_target(parser, given)
    *inputs, output = [absolute(path) for path in given.pop("paths")]
    if not inputs:
        parser.error("INPUT and OUTPUT are needed: a run needs room in OUTPUT, and may find earlier work there")
    picture = absolute(given.pop("picture")) if "picture" in given else output / "zemosaic_plan.png"
    keep_out_of(parser, inputs, [picture, target], output)
    check_folders(parser, inputs, output)
    settings, notes = settings_of(given)

    def work(_: Path, out: TextIO, reporter: Reporter) -> None:
        from zemosaic.messages import Messages
        from zemosaic.outlook import layouts, look_ahead, look_at_headers
        from zemosaic.plan_report import as_json, as_text, draw_plans

        lights = look_at_headers(inputs, output, settings, reporter)
        laid_out = layouts(lights, settings, output)
        ahead = look_ahead(lights, output, settings)
        messages = Messages(settings.language)
        drawn = draw_plans(laid_out, picture, messages)
        print(as_text(lights, laid_out, ahead, messages, drawn), file=out)
        if target is not None:
            put_json(target, json.dumps(as_json(lights, laid_out, ahead, drawn), indent=1, ensure_ascii=False))

    return _in_a_session(parser, settings, notes, inputs, None, target, work)


def doctor_parser() -> argparse.ArgumentParser:
    text = "Look at this computer - Python, libraries, solvers, memory, disk, window - and say what is missing and what to do."
    parser = new_parser("doctor", "[FOLDER] [--json [FILE]] [flags]", text)
    where = "folder whose disk is tried, as OUTPUT of a run; default: the working folder"
    parser.add_argument("folder", nargs="?", metavar="FOLDER", type=Path, default=Path(), help=where)
    add_json(parser, "write the findings as JSON")
    add_settings(
        parser,
        ["language", "astap_executable_path", "astap_data_directory_path", "astrometry_local_path", "memory_limit"],
    )
    return parser


def doctor(arguments: list[str]) -> int:
    parser = doctor_parser()
    given = parsed(parser, spelled_out(arguments, setting_switches()))
    target = json_target(parser, given)
    from zemosaic.cli.checkup import as_json, as_text, examined
    from zemosaic.doctor import BROKEN
    from zemosaic.folders import existing_parent
    from zemosaic.messages import Messages

    folder = existing_parent(absolute(given.pop("folder")))
    settings, notes = settings_of(given)
    findings = examined(settings, folder)
    if target != JSON_TO_OUTPUT:
        print("\n".join([as_text(findings, Messages(settings.language)), *notes]))
    if target is not None:
        put_json(target, as_json(findings, Messages("en")))
    return FAILED if any(finding.state == BROKEN for finding in findings) else DONE
