"""Both ways to the provisional mosaic, every rejection and the median: on a simulated night scores against its truth, on real
subs what each does to the mosaic of the default."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from zemosaic.events import Assembled, Event, PhaseFinished
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


REAL = (
    "rejected, %",
    "difference, median, sigma",
    "pixels more than 5 sigma apart, per Mpx",
    "noise over that of the first",
)
Picture = tuple[NDArray[np.float32], NDArray[np.float32]]  # data and weight, (3, h, w)


class Clock:
    """Keeps how long the assembly took, and what it rejected."""

    seconds = 0.0
    rejected = float("nan")  # %, of the raw pixels

    def emit(self, event: Event) -> None:
        if isinstance(event, PhaseFinished) and event.phase == "assemble":
            self.seconds = event.seconds
            if isinstance(event.outcome, Assembled):
                self.rejected = event.outcome.rejected

    def cancelled(self) -> bool:
        return False


def channels(judged: Score, name: str) -> str:
    """The figure of each channel, where the score tells it."""
    detail = next(metric.detail for metric in judged.metrics if metric.name == name).split(";")[0]
    each = re.findall(r"[RGB] (-?[0-9.]+|nan)", detail)
    return " ".join(each) if len(each) == 3 else f"{judged[name]:.3f}"


def compared(picture: Picture, first: Picture) -> list[str]:
    """How a mosaic differs from the first one, in units of a pixel's noise there, and its noise over that of the first."""
    (data, _), (base, weight) = picture, first
    apart = ((data - base) * np.sqrt(weight))[np.isfinite(data + base) & (weight > 0)]
    noise = []
    for each in (data, base):
        second = each[:, 1:-1, 2:] - 2 * each[:, 1:-1, 1:-1] + each[:, 1:-1, :-2]
        noise.append(np.nanmedian(np.abs(second), axis=(1, 2)))
    return [
        f"{np.median(np.abs(apart)):.3f}",
        f"{1e6 * np.mean(np.abs(apart) > 5.0):.0f}",
        " ".join(f"{ratio:.3f}" for ratio in noise[0] / noise[1]),
    ]


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
    parser.add_argument("--real", type=Path, help="folder of real subs, instead of a simulated night")
    options = parser.parse_args()
    small = {
        "width": 480, "height": 640, "scale": 4.5, "zero_point": 23.5, "gain": 0.5, "star_density": 900.0, "satellites": 0.4
    }  # fmt: skip
    plan = NightPlan(subs=options.subs, **(small if options.small else {}))  # type: ignore[arg-type]
    folder = options.real or options.folder / "night"
    if options.real is None and (not (folder / "truth.json").is_file() or load_truth(folder).plan != plan):
        simulate_night(folder, plan, Clock())
    figures = REAL if options.real else FIGURES
    print("| assembly | rejection | combination | s | " + " | ".join(figures) + " |")
    print("|---|---|---|---:|" + "---:|" * len(figures))
    chosen = [tuple(case.split(",")) for case in options.only.split(";")] if options.only else CASES
    first = None
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
        (outputs,) = make_mosaic([options.real or folder / "lights"], options.folder / "mosaic", settings, clock)
        if options.real:
            picture = fits.getdata(outputs.mosaic), fits.getdata(outputs.weight)
            first = first or picture
            values = " | ".join([f"{clock.rejected:.2f}", *compared(picture, first)])
        else:
            judged = score(outputs.mosaic, folder)
            values = " | ".join(channels(judged, name) for name in FIGURES)
        print(f"| {method} | {rejection} | {combine} | {clock.seconds:.1f} | {values} |", flush=True)


if __name__ == "__main__":
    main()
