"""Scores of simulated nights against their truth: the standard night by several seeds, and the difficult ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from photometry import NIGHTS as CORRECTED
from zemosaic.events import Silent
from zemosaic.pipeline import make_mosaic
from zemosaic.score import Score, score
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, simulate_night

NIGHTS: dict[str, dict[str, object]] = {
    "standard": {},
    "seed 2": {"seed": 2},
    "seed 3": {"seed": 3},
    "clipped": {"clipped": True},
    "two telescopes": {"instruments": 2},
    "RA 0 h": {"ra": 0.02, "dec": 5.0},
    "Dec +88": {"ra": 40.0, "dec": 88.2},
    "galactic pole": {"ra": 192.86, "dec": 27.13},
    "isolated panel": {"isolated": 3.0},
    "trails and clouds": {"satellites": 0.5, "clouded": 0.1, "trailed": 0.1},
    **{name: changes for name, changes in CORRECTED.items() if name.startswith(("equatorial", "alt-azimuth"))},
}


def judged(folder: Path, subs: int, changes: dict[str, object], settings: Settings) -> Score:
    night = simulate_night(folder, NightPlan(**{"subs": subs, **changes}), Silent())  # type: ignore[arg-type]
    (outputs,) = make_mosaic([night.lights], folder / "mosaic", settings, Silent())
    return score(outputs.mosaic, night.truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder for the nights and their mosaics")
    parser.add_argument("--subs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=-1)
    parser.add_argument("--only", default="", help="names separated by commas: " + ", ".join(NIGHTS))
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(NIGHTS)
    settings = Settings(num_processing_workers=options.workers)
    scores = {}
    for name in names:
        folder = options.folder / name.replace(" ", "_")
        scores[name] = judged(folder, options.subs, NIGHTS[name], settings)
        print(f"{name}: {'all goals met' if scores[name].ok else 'goals missed'}", flush=True)
    print("\n| figure | goal | " + " | ".join(names) + " |")
    print("|---|---:|" + "---:|" * len(names))
    for k, metric in enumerate(scores[names[0]].metrics):
        goal = "" if metric.goal is None else f"{'>=' if metric.at_least else '<='} {metric.goal:g} {metric.unit}"
        cells = [scores[name].metrics[k] for name in names]
        values = " | ".join(f"{m.value:.3f}" if m.ok else f"**{m.value:.3f}**" for m in cells)
        print(f"| {metric.name} | {goal} | {values} |")


if __name__ == "__main__":
    main()
