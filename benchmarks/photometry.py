"""How true gains, sensor response and skies of simulated nights are: as matched, or as they went into an assembled mosaic."""

from __future__ import annotations

import argparse
import time
from dataclasses import astuple
from pathlib import Path

from zemosaic.events import Silent
from zemosaic.execution import open_executor
from zemosaic.ledger import Ledger
from zemosaic.model import Correction, Frame, LeftOut, Measurement, Solution
from zemosaic.phases.match import Limits, MatchResult, match
from zemosaic.phases.measure import measure
from zemosaic.phases.plan import group_frames
from zemosaic.phases.scan import scan
from zemosaic.phases.solve import solve
from zemosaic.pipeline import make_mosaic
from zemosaic.score.corrections import judge_corrections
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, load_truth, simulate_night
from zemosaic.solvers.external import NOBODY

GOALS = "goals: zonal 5 mmag, vignetting 0.25 %, background 0.5 % (2 x 2) and 1 % (4 x 4), step and seam 0.1 sigma"
FOUR = {"subs": 192, "panels_x": 4, "panels_y": 4}
SMALL = {"width": 420, "height": 560, "scale": 5.0, "zero_point": 24.0, "gain": 0.5, "star_density": 900.0}
NIGHTS: dict[str, dict[str, object]] = {
    "standard": {},
    "seed 3": {"seed": 3},
    "galactic pole": {"ra": 192.86, "dec": 27.13},
    "clipped": {"clipped": True},
    "isolated panel": {"isolated": 3.0},
    "clouds": {"clouded": 0.2},
    "equatorial 2 x 2": {"subs": 48, "transparency": (0.5, 1.0), "rotation": 0.0, "seed": 11},
    "alt-azimuth 2 x 2": {"subs": 48, "transparency": (0.5, 1.0), "rotation": 20.0, "seed": 12},
    "equatorial 4 x 4": {**FOUR, "transparency": (0.5, 1.0), "rotation": 0.0, "seed": 13},
    "alt-azimuth 4 x 4": {**FOUR, "transparency": (0.5, 1.0), "rotation": 20.0, "seed": 14},
    "small 2 x 2": {**SMALL, "subs": 24},
    "small 2 x 2, seed 2": {**SMALL, "subs": 24, "seed": 2},
    "small 4 x 1": {**SMALL, "subs": 32, "panels_x": 4, "panels_y": 1},
    "small 4 x 1, seed 2": {**SMALL, "subs": 32, "panels_x": 4, "panels_y": 1, "seed": 2},
    "small 1 x 4": {**SMALL, "subs": 32, "panels_x": 1, "panels_y": 4},
    "small 1 x 4, seed 2": {**SMALL, "subs": 32, "panels_x": 1, "panels_y": 4, "seed": 2},
    "small 2 x 2, seed 3": {**SMALL, "subs": 24, "seed": 3},
    "small 4 x 1, seed 3": {**SMALL, "subs": 32, "panels_x": 4, "panels_y": 1, "seed": 3},
    "small 1 x 4, seed 3": {**SMALL, "subs": 32, "panels_x": 1, "panels_y": 4, "seed": 3},
    "small 2 x 2, seed 4": {**SMALL, "subs": 24, "seed": 4},
    "small 4 x 1, seed 4": {**SMALL, "subs": 32, "panels_x": 4, "panels_y": 1, "seed": 4},
    "small 1 x 4, seed 4": {**SMALL, "subs": 32, "panels_x": 1, "panels_y": 4, "seed": 4},
}


def known(folder: Path, changes: dict[str, object]) -> tuple[list[Frame], list[Measurement], dict[int, Solution]]:
    """Frames, measurements and solutions of a night; simulated and measured at the first call, remembered by the ledger."""
    plan = NightPlan(**changes)  # type: ignore[arg-type]
    if not (folder / "truth.json").is_file() or load_truth(folder).plan != plan:
        simulate_night(folder, plan, Silent())
    with Ledger(folder / "matched") as ledger:
        frames = list(scan([folder / "lights"], folder / "matched", Silent()).frames)
        ledger.record_scan(frames, ())
        have = ledger.measured(frames)
        with open_executor(1) as executor:
            for result in measure([f for f in frames if f.id not in have], ledger.measurements, executor, Silent()):
                if not isinstance(result, LeftOut):
                    ledger.record_measured(result)
                    have[result.frame_id] = result
            measurements = list(have.values())
            usable = [f for f in frames if f.id in have]
            solved = solve(
                usable, measurements, method="auto", search_radius=3.0, external=NOBODY, executor=executor,
                reporter=Silent(),
            )  # fmt: skip
    return usable, measurements, dict(solved.solutions)


def matched(frames: list[Frame], measurements: list[Measurement], solutions: dict[int, Solution]) -> MatchResult:
    usable = [f for f in frames if f.id in solutions]
    settings = Settings()
    groups = group_frames(usable, solutions, settings.cluster_panel_threshold)
    limits = Limits(settings.min_transparency, settings.max_unevenness)
    return match(
        usable, measurements, solutions, groups, normalize="linear_fit", weighting=settings.stacking_weighting_method,
        limits=limits, reporter=Silent(),
    )  # fmt: skip


def assembled(folder: Path) -> dict[str, Correction]:
    """The corrections that a mosaic of the night is made with, after the second iteration of the skies."""
    make_mosaic([folder / "lights"], folder / "mosaic", Settings(), Silent())
    with Ledger(folder / "mosaic") as ledger:
        return {row.path.name: row.correction for row in ledger.rows() if row.correction is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder for the nights; they are kept for the next call")
    parser.add_argument("--only", default="", help="names separated by semicolons: " + "; ".join(NIGHTS))
    parser.add_argument(
        "--second", action="store_true", help="assemble them too, for the skies of the second iteration"
    )
    options = parser.parse_args()
    print(GOALS)
    print(
        "| night | gains, mmag | zonal, mmag | vignetting, % | background, % | without plane, % | largest, % | step | seam | s |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name in options.only.split(";") if options.only else NIGHTS:
        folder = options.folder / name.replace(" ", "_")
        night = known(folder, NIGHTS[name])
        began = time.process_time()
        result = matched(*night)
        took = time.process_time() - began
        by_name = {f.path.name: result.corrections[f.id] for f in night[0] if f.id in result.corrections}
        tables = {name: by_name} | ({f"{name}, second iteration": assembled(folder)} if options.second else {})
        for label, corrections in tables.items():
            figures = astuple(judge_corrections(load_truth(folder), corrections))
            print(f"| {label} | " + " | ".join(f"{value:.3f}" for value in figures) + f" | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
