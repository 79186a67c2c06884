"""Commands for trying the program without subs of one's own: `simulate`, `score`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zemosaic.cli.flags import (
    JSON_TO_OUTPUT,
    add_json,
    add_settings,
    flag,
    json_target,
    new_parser,
    parsed,
    put_json,
    reader_of,
    settings_of,
    spelled_out,
)
from zemosaic.cli.session import DONE, FAILED, session

if TYPE_CHECKING:
    from zemosaic.events import Reporter
    from zemosaic.score import Metric

__all__ = ["score", "score_parser", "simulate", "simulate_parser"]


def simulate_parser() -> argparse.ArgumentParser:
    from zemosaic.simulate import NightPlan

    parser = new_parser("simulate", "OUTPUT [flags]", "Simulate a night of raw subs with a known truth.")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder for the subs and the truth")
    panels = "panels across and up (short for --panels-x and --panels-y). Example: --panels 3x2."
    parser.add_argument("--panels", metavar="2x2", help=panels)
    add_settings(parser, ["language", "num_processing_workers"])
    night = parser.add_argument_group("the night")
    for each in dataclasses.fields(NightPlan):
        given = str(each.default).strip("()").replace(", ", ",")
        given = (
            f'"{given}"' if " " in given or not given else given.lower() if isinstance(each.default, bool) else given
        )
        about = f"{each.metadata['about']}; default: {each.default}. Example: {flag(each.name)} {given}."
        reader = reader_of(type(each.default))
        night.add_argument(flag(each.name), dest=each.name, metavar="X", type=reader, help=about.replace("%", "%%"))
    return parser


def simulate(arguments: list[str]) -> int:
    from zemosaic.simulate import NightPlan

    parser = simulate_parser()
    defaults = {field.name: field.default for field in dataclasses.fields(NightPlan)}
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
        from zemosaic.simulate import simulate_night

        with open_executor(worker_count(settings.num_processing_workers)) as executor:
            simulate_night(output, night_plan, reporter, executor)

    return session(settings, notes, output, work)


def _across_and_up(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    across, _, up = text.lower().partition("x")
    if not (across.isdigit() and up.isdigit()):
        parser.error(f"--panels must be two whole numbers such as 2x2 (got {text!r})")
    return int(across), int(up)


def score_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "score", "MOSAIC TRUTH [--json [FILE]]", "Compare the mosaic of a simulated night with its truth."
    )
    parser.add_argument("mosaic", type=Path, metavar="MOSAIC", help="the mosaic's FITS file")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="truth.json of the night, or its folder")
    add_json(parser, "write the figures as JSON")
    return parser


def score(arguments: list[str]) -> int:
    parser = score_parser()
    given = parsed(parser, arguments)
    target = json_target(parser, given)
    from zemosaic.score import score as compared

    result = compared(given["mosaic"], given["truth"])
    if target != JSON_TO_OUTPUT:
        print(result.table())
    if target is not None:
        put_json(target, json.dumps(_plain(result.metrics), indent=1))
    return DONE if result.ok else FAILED


def _plain(metrics: Sequence[Metric]) -> list[dict[str, object]]:
    from zemosaic.frame_report import known

    return [{name: known(value) for name, value in vars(each).items()} | {"ok": each.ok} for each in metrics]
