"""Global refinement at scale: generated star lists of a mosaic, time and memory by number of frames.

python benchmarks/refine.py 1000 5000 20000
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from zemosaic.imaging.projection import angular_separation, moved, pixel_to_sky, sky_to_pixel, tan_deproject
from zemosaic.imaging.refine import refine
from zemosaic.model import Distortion, Solution, Stars

SHAPE = (1920, 1080)
SCALE = 2.374  # arcsec/px
STARS = 60  # a frame
PER_PANEL = 400  # frames
DENSITY = 120.0  # stars per square degree, of which 44 are in the catalogue


def night(frames: int) -> tuple[list[Solution], list[Solution], list[Stars], tuple[np.ndarray, np.ndarray]]:
    """Truth, first solutions, star lists and catalogue of a square of panels that overlap by a third."""
    rng = np.random.default_rng(frames)
    side = max(1, round(np.sqrt(frames / PER_PANEL)))
    step_x, step_y = 0.66 * SHAPE[1] * SCALE / 3600, 0.66 * SHAPE[0] * SCALE / 3600
    half_x, half_y = 0.5 * side * step_x + 0.5, 0.5 * side * step_y + 0.8
    total = int(DENSITY * 4 * half_x * half_y)
    xi, eta = rng.uniform(-half_x, half_x, total), rng.uniform(-half_y, half_y, total)
    ra, dec = tan_deproject(xi, eta, 300.0, 30.0)
    flux = np.sort(10 ** rng.uniform(2.3, 5, total))[::-1]
    known = int(total * 44 / DENSITY)
    catalogue = tan_deproject(
        xi[:known] + rng.normal(0, 0.25 / 3600, known), eta[:known] + rng.normal(0, 0.25 / 3600, known), 300.0, 30.0
    )
    by_xi = np.argsort(xi, kind="stable")
    truth, first, stars = [], [], []
    half = 0.5 * np.hypot(*SHAPE)
    for i in range(frames):
        panel = i * side * side // frames
        centre = ((panel % side - 0.5 * (side - 1)) * step_x, (panel // side - 0.5 * (side - 1)) * step_y)
        centre = np.array(centre) + rng.normal(0, 0.02, 2)
        place = tan_deproject(*centre, 300.0, 30.0)
        turn, unit = 0.3 * rng.normal(), SCALE / 3600 * (1 + 1e-4 * rng.normal())
        c, s = unit * np.cos(turn), unit * np.sin(turn)
        bend = Distortion(1.5 / half, 0.0, half)
        true = Solution(float(place[0]), float(place[1]), 539.5, 959.5, (c, -s, s, c), bend)
        reach = 0.75
        near = by_xi[np.searchsorted(xi[by_xi], centre[0] - reach) : np.searchsorted(xi[by_xi], centre[0] + reach)]
        near = np.sort(near[np.abs(eta[near] - centre[1]) < reach])
        x, y = sky_to_pixel(true, ra[near], dec[near])
        inside = (x > 5) & (x < SHAPE[1] - 6) & (y > 5) & (y < SHAPE[0] - 6) & (rng.random(len(x)) < 0.9)
        n = min(STARS, np.count_nonzero(inside))
        x, y, light = x[inside][:n], y[inside][:n], flux[near][inside][:n]
        snr = light / np.sqrt(light + 2500)
        photons = 0.42 * 3.5 / snr
        noise = np.hypot(photons, 0.05)
        no = np.zeros(n, bool)
        stars.append(
            Stars(
                x=x + rng.normal(0, noise),
                y=y + rng.normal(0, noise),
                flux=light[:, None],
                flux_err=light[:, None] / snr[:, None],
                snr=snr,
                place_err=photons,
                fwhm=np.full(n, 3.5),
                elongation=np.ones(n),
                saturated=no,
                blended=no,
            )
        )
        truth.append(true)
        off = rng.normal(0, 0.3 / 3600, 2)
        start = moved(true, true.ra + off[0] / np.cos(np.radians(true.dec)), true.dec + off[1])
        first.append(Solution(start.ra, start.dec, 539.5, 959.5, start.cd))
    return truth, first, stars, catalogue


def main() -> None:
    for frames in map(int, sys.argv[1:] or ("1000", "5000")):
        truth, first, stars, catalogue = night(frames)
        before = resource.getrusage(resource.RUSAGE_SELF)
        wall = time.perf_counter()
        result = refine(first, stars, [0] * frames, catalogue, [SHAPE] * frames)
        after = resource.getrusage(resource.RUSAGE_SELF)
        x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, 1079, 4), np.linspace(0, 1919, 5)))
        some = range(0, frames, max(1, frames // 500))
        pairs = [(pixel_to_sky(truth[i], x, y), pixel_to_sky(result.solutions[i], x, y)) for i in some]
        error = 3600 * np.array([angular_separation(*t, *s) for t, s in pairs])
        print(
            f"{frames} frames: {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.1f} CPU s, "
            f"{time.perf_counter() - wall:.1f} s, lists {before.ru_maxrss / 1e6:.2f} GB, peak {after.ru_maxrss / 1e6:.2f} GB; "
            f'absolute error median {np.median(error):.3f}", p95 {np.percentile(error, 95):.3f}"; '
            f'residual {np.nanmedian(result.residual_bright):.3f} px; catalogue {result.catalogue_rms:.2f}"',
            flush=True,
        )


if __name__ == "__main__":
    main()
