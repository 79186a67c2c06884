"""Both ways to the provisional mosaic, every rejection and the median on one simulated night: scores against its truth."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from zemosaic.events import Event, PhaseFinished
from zemosaic.pipeline import make_mosaic
from zemosaic.score import Score, score
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, load_truth, simulate_night

REJECTIONS = ("none", "kappa_sigma", "winsorized_sigma_clip", "linear_fit_clip")
CASES = [
    (method, rejection, combine)
    for method, combine in (("incremental", "mean"), ("reproject_coadd", "mean"), ("reproject_coadd", "median"))
    for rejection in REJECTIONS
]
FIGURES = (
    "noise efficiency",
    "outliers",
    "satellite trails, on axis",
    "satellite trails, 3-5 px off",
    "hot pixels, on",
    "FWHM over that of the subs",
    "photometry, 1.48 MAD",
)


class Clock:
    """Keeps how long the assembly took."""

    seconds = 0.0

    def emit(self, event: Event) -> None:
        if isinstance(event, PhaseFinished) and event.phase == "assemble":
            self.seconds = event.seconds

    def cancelled(self) -> bool:
        return False


def channels(judged: Score, name: str) -> str:
    """The figure of each channel, where the score tells it."""
    detail = next(metric.detail for metric in judged.metrics if metric.name == name).split(";")[0]
    each = re.findall(r"[RGB] (-?[0-9.]+|nan)", detail)
    return " ".join(each) if len(each) == 3 else f"{judged[name]:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder for the night and its mosaics; a night that is there is used")
    parser.add_argument("--subs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--memory", type=float, default=0.0, help="GB, memory_limit")
    parser.add_argument(
        "--small", action="store_true", help="subs of 480 x 640 px with brighter stars, a trail on 40 %% of them"
    )
    parser.add_argument(
        "--only", default="", help="such as reproject_coadd,kappa_sigma,median; several separated by semicolons"
    )
    options = parser.parse_args()
    small = {
        "width": 480, "height": 640, "scale": 4.5, "zero_point": 23.5, "gain": 0.5, "star_density": 900.0, "satellites": 0.4
    }  # fmt: skip
    plan = NightPlan(subs=options.subs, **(small if options.small else {}))  # type: ignore[arg-type]
    folder = options.folder / "night"
    if not (folder / "truth.json").is_file() or load_truth(folder).plan != plan:
        simulate_night(folder, plan, Clock())
    print("| assembly | rejection | combination | s | " + " | ".join(FIGURES) + " |")
    print("|---|---|---|---:|" + "---:|" * len(FIGURES))
    chosen = [tuple(case.split(",")) for case in options.only.split(";")] if options.only else CASES
    for method, rejection, combine in chosen:
        settings = Settings.model_validate(
            {
                "final_assembly_method": method,
                "stacking_rejection_algorithm": rejection,
                "stacking_final_combine_method": combine,
                "num_processing_workers": options.workers,
                "memory_limit": options.memory,
            }
        )
        clock = Clock()
        (outputs,) = make_mosaic([folder / "lights"], options.folder / "mosaic", settings, clock)
        judged = score(outputs.mosaic, folder)
        values = " | ".join(channels(judged, name) for name in FIGURES)
        print(f"| {method} | {rejection} | {combine} | {clock.seconds:.1f} | {values} |", flush=True)


if __name__ == "__main__":
    main()
