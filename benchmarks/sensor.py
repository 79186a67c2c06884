"""The sensors' own marks: fixed pattern in the mosaic, learnt and not; hot pixels caught, starlight lost."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from zemosaic.events import Silent
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.projection import pixel_to_sky, sky_to_pixel
from zemosaic.pipeline import make_mosaic
from zemosaic.score import score
from zemosaic.score.scene import Scene, load_scene
from zemosaic.score.smooth import residual_of
from zemosaic.score.starlight import judge_stars
from zemosaic.settings import Settings
from zemosaic.simulate import Night, NightPlan, load_truth, simulate_night
from zemosaic.simulate.camera import star_light
from zemosaic.simulate.night import DRIFT

SMALL = NightPlan(width=480, height=640, scale=4.5, panels_x=1, panels_y=1, star_density=200.0, nebula=50.0, seed=3)
CLEAN = replace(SMALL, dark_current=8.0)  # 16 % of the noise, as two real S50 have
STILL = replace(CLEAN, dither=0.0, drift=40.0, rotation=0.0)
NIGHTS = {
    "dithered": CLEAN,
    "drifting": STILL,
    "pattern of 40 %": replace(CLEAN, dark_current=20.0),
    "the same with 10 darks, biases, flats": replace(CLEAN, dark_current=20.0, pedestal=300.0, calibration=10),
}
SHARP = replace(SMALL, hot_density=800.0, warm_density=2000.0, satellites=0.0, star_density=500.0)
FWHMS = (2.0, 2.5, 3.4)  # px
LAGS = range(6, 25, 2)  # px along the drift


def mosaic_of(night: Night, output: Path, settings: Settings, learn: bool = True) -> Path:
    least = "zemosaic.phases._assemble_sensor.LEAST_FRAMES"
    if night.calibration:
        settings = settings.model_copy(update={"calibration_folder": str(night.calibration)})
    with patch(least, 8 if learn else 10**9):
        (outputs,) = make_mosaic([night.lights], output, settings, Silent())
    return outputs.mosaic


def along_drift(scene: Scene) -> float:
    """Correlation of the residual in green between pixels 6 to 24 px apart along the drift of the field."""
    stars = judge_stars(scene)
    residual = residual_of(scene, 1, stars.scale[1], stars.fwhm)
    z = np.where(scene.frames >= scene.frames.max() // 2, residual.rough / residual.best, np.nan)
    z[np.abs(z) > 6] = np.nan
    middle = scene.truth.subs[len(scene.truth.subs) // 2].solution
    x, y = middle.x + np.array([0.0, DRIFT[0]]), middle.y + np.array([0.0, DRIFT[1]])
    mx, my = sky_to_pixel(scene.wcs, *pixel_to_sky(middle, x, y))
    values = []
    for lag in LAGS:
        dx, dy = round(float(lag * np.diff(mx)[0])), round(float(lag * np.diff(my)[0]))
        values.append(np.nanmean(z * np.roll(z, (-dy, -dx), (0, 1))))
    return float(np.mean(values) / np.nanmean(z * z))


def print_nights(folder: Path, subs: int, settings: Settings) -> None:
    print("| night | learnt | noise efficiency R G B | along drift | outliers | hot, on | hot, off | trails |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for k, (name, plan) in enumerate(NIGHTS.items()):
        night = simulate_night(folder / f"night_{k}", replace(plan, subs=subs), Silent())
        for learn in (False, True):
            mosaic = mosaic_of(night, folder / f"mosaic_{k}_{learn}", settings, learn)
            found = score(mosaic, night.truth)
            noise = next(m.detail for m in found.metrics if m.name == "noise efficiency")
            marks = ("outliers", "hot pixels, on", "hot pixels, 1-3 px off", "satellite trails, on axis")
            cells = " | ".join(f"{found[mark]:.3f}" for mark in marks)
            correlation = along_drift(load_scene(mosaic, night.truth))
            efficiency = " ".join(word for word in noise.split() if word not in "RGB")
            print(f"| {name} | {'yes' if learn else 'no'} | {efficiency} | {correlation:.3f} | {cells} |", flush=True)


def print_stars(folder: Path, subs: int, settings: Settings) -> None:
    print("\n| FWHM, px | hot 5-8 sigma | 8 sigma and more | light lost, peak 3-8 sigma | 8-20 | 20-100 | above |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for fwhm in FWHMS:
        plan = replace(SHARP, subs=subs, fwhm=(fwhm, fwhm + 0.05))
        night = simulate_night(folder / f"stars_{fwhm}", plan, Silent())
        output = folder / f"sharp_{fwhm}"
        mosaic_of(night, output, settings)
        caught, lost = judged(night, output / "zemosaic_workspace" / "rejected")
        level, hit = caught.T
        peak, share = lost.T
        shares = [hit[(level >= low) & (level < high)].mean() for low, high in ((5, 8), (8, np.inf))]
        bins = [
            share[(peak >= low) & (peak < high)].mean() for low, high in ((3, 8), (8, 20), (20, 100), (100, np.inf))
        ]
        print(f"| {fwhm} | " + " | ".join(f"{100 * value:.3f} %" for value in (*shares, *bins)) + " |", flush=True)


def judged(night: Night, rejected: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2) sigma of each hot pixel, whether it is rejected; (m, 2) peak of each star in sigma, share of its light lost."""
    truth = load_truth(night.truth)
    plan = truth.plan
    sigma_of = cfa_colours(plan.bayer)
    caught, lost = [], []
    for k, sub in enumerate(truth.subs):
        mask = np.zeros((plan.height, plan.width), bool)
        mask.flat[np.load(rejected / f"{k}.npz")["places"]] = True
        sigma = np.array(sub.noise)[np.tile(sigma_of, (plan.height // 2, plan.width // 2))]
        hot = truth.hot[sub.instrument]
        inner = (np.minimum(hot.x, plan.width - 1 - hot.x) > 12) & (np.minimum(hot.y, plan.height - 1 - hot.y) > 12)
        y, x = hot.y[inner], hot.x[inner]
        caught.append(np.column_stack([hot.brightness[inner] / sigma[y, x], mask[y, x]]))
        marks = np.zeros_like(mask)
        marks[hot.y, hot.x] = True
        light = star_light(truth.stars, sub, plan) * sub.transparency
        for sx, sy in np.column_stack(sky_to_pixel(sub.solution, truth.stars.ra, truth.stars.dec)):
            if 14 < sx < plan.width - 14 and 14 < sy < plan.height - 14:
                cut = np.s_[int(sy) - 8 : int(sy) + 9, int(sx) - 8 : int(sx) + 9]
                yy, xx = np.mgrid[cut]
                core = np.where(np.hypot(xx - sx, yy - sy) < 1.5 * sub.fwhm, light[cut], 0.0)
                if not marks[cut].any():
                    lost.append(((light[cut] / sigma[cut]).max(), (core * mask[cut]).sum() / core.sum()))
    return np.concatenate(caught), np.array(lost)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder for the nights and their mosaics")
    parser.add_argument("--subs", type=int, default=60)
    parser.add_argument("--workers", type=int, default=-1)
    options = parser.parse_args()
    settings = Settings(num_processing_workers=options.workers)
    print_nights(options.folder, options.subs, settings)
    print_stars(options.folder, max(options.subs // 4, 8), settings)


if __name__ == "__main__":
    main()
