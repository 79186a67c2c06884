"""Both ways to the provisional mosaic, every rejection and the median on one simulated night: scores against its truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from zemosaic.events import Event, PhaseFinished
from zemosaic.pipeline import make_mosaic
from zemosaic.score import score
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, simulate_night

CASES = (
    ("incremental", "kappa_sigma", "mean"),
    ("reproject_coadd", "kappa_sigma", "mean"),
    ("reproject_coadd", "winsorized_sigma_clip", "mean"),
    ("reproject_coadd", "linear_fit_clip", "mean"),
    ("reproject_coadd", "kappa_sigma", "median"),
    ("incremental", "none", "mean"),
)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder for the night and its mosaics")
    parser.add_argument("--subs", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    plan = NightPlan(
        width=480, height=640, scale=4.5, subs=options.subs, zero_point=23.5, gain=0.5, star_density=900.0, satellites=0.4
    )  # fmt: skip
    night = simulate_night(options.folder / "night", plan, Clock())
    print("| assembly | rejection | combination | s | " + " | ".join(FIGURES) + " |")
    print("|---|---|---|---:|" + "---:|" * len(FIGURES))
    for method, rejection, combine in CASES:
        settings = Settings.model_validate(
            {
                "final_assembly_method": method,
                "stacking_rejection_algorithm": rejection,
                "stacking_final_combine_method": combine,
                "num_processing_workers": options.workers,
            }
        )
        clock = Clock()
        (outputs,) = make_mosaic([night.lights], options.folder / "mosaic", settings, clock)
        judged = score(outputs.mosaic, night.truth)
        values = " | ".join(f"{judged[name]:.3f}" for name in FIGURES)
        print(f"| {method} | {rejection} | {combine} | {clock.seconds:.1f} | {values} |", flush=True)


if __name__ == "__main__":
    main()
