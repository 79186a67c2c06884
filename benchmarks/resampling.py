"""Every way to resample on one simulated night: sharpness, noise, photometry, and the time of a core."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import numpy as np

from zemosaic.events import Silent
from zemosaic.fits import read_image
from zemosaic.pipeline import make_mosaic
from zemosaic.score import score
from zemosaic.score.scene import BOX, Scene, boxes_of, load_scene
from zemosaic.score.smooth import residual_of
from zemosaic.score.starlight import judge_stars
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, simulate_night

CASES: dict[str, dict[str, object]] = {
    "lanczos3": {"resampling": "lanczos3"},
    "bicubic": {"resampling": "bicubic"},
    "bilinear": {"resampling": "bilinear"},
    **{f"cfa, {p:g} px": {"resampling": "cfa", "drizzle_pixfrac": p} for p in (2.0, 1.4, 1.0, 0.7, 0.5)},
}
HEAD = (
    "resampling", "FWHM over the subs', R G B", "efficiency, R G B", "measured over promised noise, R G B",
    "noise of a pixel over the best, R G B", "photometry, mmag", "outliers per Mpx", "trail off axis, sigma",
    "s of a core a sub",
)  # fmt: skip


def noise(scene: Scene, weight: Path, channel: int, scale: float, fwhm: float) -> tuple[float, float]:
    """Of means in boxes, over what the weight map promises; of single pixels, over the best possible."""
    residual = residual_of(scene, channel, scale, fwhm)
    promised = np.asarray(read_image(weight), np.float32)[channel] * np.float32(scale**2)
    rough = np.where(scene.near_trail | (scene.frames < 3), np.nan, residual.rough)
    boxes = boxes_of(rough, share=1.0) * np.sqrt(boxes_of(promised)) * BOX
    pixels = residual.rough / residual.best
    return tuple(float(1.4826 * np.nanmedian(np.abs(each))) for each in (boxes, pixels))  # type: ignore[return-value]


def row(name: str, folder: Path, lights: Path, truth: Path, workers: int, subs: int) -> str:
    settings = Settings.model_validate({**CASES[name], "num_processing_workers": workers})
    before = os.times()
    (outputs,) = make_mosaic([lights], folder, settings, Silent())
    after = os.times()
    seconds = sum(after[:4]) - sum(before[:4])
    judged, scene = score(outputs.mosaic, truth), load_scene(outputs.mosaic, truth)
    details = {metric.name: metric.detail for metric in judged.metrics}
    stars = judge_stars(scene)
    noises = [noise(scene, outputs.weight, c, stars.scale[c], stars.fwhm) for c in range(3)]
    cells = [
        name,
        " ".join(f"{value:.3f}" for value in stars.sharpness),
        " ".join(re.findall(r"[0-9.]+", details["noise efficiency"])),
        " ".join(f"{boxes:.3f}" for boxes, _ in noises),
        " ".join(f"{pixels:.2f}" for _, pixels in noises),
        f"{judged['photometry, 1.48 MAD']:.2f}",
        f"{judged['outliers']:.1f}",
        f"{judged['satellite trails, 3-5 px off']:.3f}",
        f"{seconds / subs:.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="folder for the nights and their mosaics; nights that are there are used"
    )
    parser.add_argument("--subs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--fwhm", default="2.9,3.8;2.0,2.7", help="px, ranges of the seeing of each night")
    parser.add_argument("--only", default="", help="names separated by semicolons: " + "; ".join(CASES))
    parser.add_argument("--small", action="store_true", help="subs of 480 x 640 px, brighter stars")
    options = parser.parse_args()
    small = {"width": 480, "height": 640, "scale": 4.5, "zero_point": 23.5, "gain": 0.5, "star_density": 900.0}
    for seeing in options.fwhm.split(";"):
        low, high = (float(each) for each in seeing.split(","))
        plan = NightPlan(subs=options.subs, fwhm=(low, high), **(small if options.small else {}))  # type: ignore[arg-type]
        folder = options.folder / f"{low:g}_{high:g}"
        if not (folder / "night").is_dir():
            simulate_night(folder / "night", plan, Silent())
        lights = folder / "night" / "lights"
        make_mosaic(
            [lights],
            folder / "mosaic",
            Settings(num_processing_workers=options.workers, resampling="bilinear"),
            Silent(),
        )
        print(f"\nFWHM of the subs {low:g} to {high:g} px\n\n| " + " | ".join(HEAD) + " |")
        print("|---|" + "---:|" * (len(HEAD) - 1))
        for name in options.only.split(";") if options.only else CASES:
            print(row(name, folder / "mosaic", lights, folder / "night", options.workers, options.subs), flush=True)


if __name__ == "__main__":
    main()
