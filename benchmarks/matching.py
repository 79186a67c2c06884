"""Photometric matching at scale: generated measurements of a wide mosaic, time and memory by number of frames.

python benchmarks/matching.py 1000 10000 100000 --neighbours 30

Frames at random places, each of which shares sky with so many others (a place is seen by a quarter as many frames);
100 stars a frame, sky meshes of 16 px as of a Seestar S50 (110 kB a frame: 11 GB of scratch for 100 000). With --keep FOLDER
the measurements stay there and are taken from there the next time. They are made in a process of their own, so that its time
and memory do not count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import pickle
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from zemosaic.catalogue import load_catalogue
from zemosaic.events import Silent
from zemosaic.execution import open_threads
from zemosaic.imaging.grouping import group_pointings
from zemosaic.imaging.projection import pixel_to_sky, sky_to_pixel, tan_deproject, tan_project
from zemosaic.model import Frame, FrameKind, Group, Measurement, SkyMesh, Solution, Stars
from zemosaic.phases.match import Limits, match
from zemosaic.tables import save_measurement

WIDTH, HEIGHT, SCALE, CELL = 1080, 1920, 2.374, 16  # px, px, arcsec/px, px
DENSE = (
    120  # neighbours of a frame; with fewer the pixels are smaller, so that the mosaic is no wider than a plane allows
)
STARS = 100  # a frame
SKY, NOISE = 1000.0, 20.0  # ADU
TELESCOPES = 3
CENTRE = (180.0, 20.0)


@dataclass(frozen=True)
class Night:
    frames: list[Frame]
    measurements: list[Measurement]
    solutions: dict[int, Solution]
    gain: np.ndarray  # (frames,) true
    slope: np.ndarray  # (frames, 2) true, ADU from the centre to the corner along u and v


def night(count: int, neighbours: float, folder: Path) -> Night:
    """Frames at random places of a square, with the same stars and the same sky."""
    rng = np.random.default_rng(count)
    scale = SCALE * min(1.0, np.sqrt(neighbours / DENSE))
    wide, high = WIDTH * scale / 3600, HEIGHT * scale / 3600
    side = np.sqrt(count * wide * high / (neighbours / 4))
    middle = rng.uniform(-0.5, 0.5, (count, 2)) * side
    total = int(STARS * (side + 2) ** 2 / (wide * high))
    place = rng.uniform(-0.5, 0.5, (total, 2)) * (side + 2)
    flux = 3000.0 * (1.0 + rng.pareto(1.1, total).clip(0, 100))
    ra, dec = tan_deproject(place[:, 0], place[:, 1], *CENTRE)
    tree = cKDTree(place)
    gain, slope = rng.uniform(0.5, 1.0, count), rng.normal(0.0, 0.1 * SKY, (count, 2))
    frames, measurements, solutions = [], [], {}
    for i in range(count):
        at = tan_deproject(middle[i, 0], middle[i, 1], *CENTRE)
        turn, unit = 0.1 * rng.normal(), scale / 3600
        c, s = unit * np.cos(turn), unit * np.sin(turn)
        solution = Solution(float(at[0]), float(at[1]), 0.5 * (WIDTH - 1), 0.5 * (HEIGHT - 1), (c, -s, s, c))
        near = np.array(tree.query_ball_point(middle[i], 1.4 * np.hypot(wide, high) / 2), dtype=int)
        stars = _stars(rng, solution, ra[near], dec[near], gain[i] * flux[near])
        path = folder / f"{i}.npz"
        save_measurement(path, stars, SkyMesh(_mesh(rng, solution, gain[i], slope[i]), CELL))
        frames.append(_frame(i, i % TELESCOPES, scale))
        measurements.append(Measurement(i, path, (SKY,) * 3, (NOISE,) * 3, 3.5, 1.1, len(stars), 0.0))
        solutions[i] = solution
    return Night(frames, measurements, solutions, gain, slope)


def _frame(number: int, telescope: int, scale: float) -> Frame:
    name = f"S50_{telescope} 2.90um 250mm 1x1 {WIDTH}x{HEIGHT}"
    date = f"2026-03-{1 + number // 5000:02d}T{number % 5000 // 250:02d}:00:00"
    what = (name, "S50", "S50", "generated", "IRCUT", 10.0, 80.0, 20.0, date)
    return Frame(
        number, Path(f"{number}.fit"), 0, 0, "", FrameKind.BAYER, WIDTH, HEIGHT, "GRBG", *what, 0.0, 0.0, scale, 65535.0
    )


def _stars(rng, solution, ra, dec, flux) -> Stars:
    x, y = sky_to_pixel(solution, ra, dec)
    inside = (x > 5) & (x < WIDTH - 6) & (y > 5) & (y < HEIGHT - 6)
    x, y, flux = x[inside], y[inside], flux[inside]
    order = np.argsort(-flux)
    x, y, flux = x[order], y[order], flux[order]
    shape = 1.0 - 0.12 * _rho2(x, y)
    error, no = np.full((len(x), 3), 400.0), np.zeros(len(x), bool)
    return Stars(
        x=x + rng.normal(0, 0.05, len(x)),
        y=y + rng.normal(0, 0.05, len(x)),
        flux=(flux * shape)[:, None] + rng.normal(0, error),
        flux_err=error,
        snr=flux / 400.0,
        place_err=np.full(len(x), 0.05),
        fwhm=np.full(len(x), 3.5),
        elongation=np.ones(len(x)),
        saturated=no,
        blended=no,
    )


def _rho2(x, y):
    return ((x - 0.5 * (WIDTH - 1)) ** 2 + (y - 0.5 * (HEIGHT - 1)) ** 2) / (0.25 * (WIDTH**2 + HEIGHT**2))


def _mesh(rng, solution, gain, slope):
    """Sky with a slope, and a smooth nebula that all frames see; vignetted like the stars."""
    y, x = np.mgrid[CELL / 2 : HEIGHT : CELL, CELL / 2 : WIDTH : CELL]
    corner = 0.5 * np.hypot(WIDTH, HEIGHT)
    u, v = (x - 0.5 * (WIDTH - 1)) / corner, (y - 0.5 * (HEIGHT - 1)) / corner
    xi, eta = tan_project(*pixel_to_sky(solution, x, y), *CENTRE)
    light = gain * 100.0 * np.sin(3.0 * xi) * np.sin(2.0 * eta) + SKY + slope[0] * u + slope[1] * v
    mean = (light * (1.0 - 0.12 * (u * u + v * v)))[..., None] + rng.normal(0, 2 * NOISE / CELL, (*x.shape, 3))
    return mean.astype(np.float32)


def kept_night(count: int, neighbours: float, folder: Path) -> Night:
    """The night in the folder, made now if it is not there."""
    index = folder / "night.pickle"
    if not index.exists():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as maker:
            maker.submit(_make, count, neighbours, folder).result()
    return Night(**pickle.loads(index.read_bytes()))


def _make(count: int, neighbours: float, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "night.pickle").write_bytes(pickle.dumps(vars(night(count, neighbours, folder))))


def measure(count: int, neighbours: float, keep: Path | None, threads: int) -> None:
    with open_threads(threads) as spread, tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        made = kept_night(count, neighbours, Path(scratch) if keep is None else keep / f"{count}_{neighbours:g}")
        ra = np.array([made.solutions[i].ra for i in range(count)])
        dec = np.array([made.solutions[i].dec for i in range(count)])
        labels = group_pointings(ra, dec, 0.3)
        groups = [_group(k, np.flatnonzero(labels == k), ra, dec) for k in range(labels.max() + 1)]
        load_catalogue()
        print(f"{count} frames made in {time.perf_counter() - start:.0f} s, {len(groups)} panels", flush=True)
        start, used = time.perf_counter(), time.process_time()
        result = match(
            made.frames,
            made.measurements,
            made.solutions,
            groups,
            normalize="linear_fit",
            weighting="noise_variance",
            limits=Limits(faintest=0.15, uneven=0.35),
            reporter=Silent(),
            spread=spread,
        )
        took, cpu = time.perf_counter() - start, time.process_time() - used
    kept = np.array(sorted(result.corrections))
    ratio = np.array([result.corrections[i].gain[1] for i in kept]) / made.gain[kept]
    slope = np.array([result.corrections[i].sky[1][1:3] for i in kept]) - made.slope[kept]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  match: {took:.0f} s ({cpu:.0f} s of the processor), peak {peak:.2f} GB; {len(kept)} used; gains "
        f"{1085.7 * ratio.std() / ratio.mean():.2f} mmag rms, slopes {slope.std():.2f} ADU of {0.1 * SKY:.0f}; "
        f"response in the corners {[round(float(1 + sum(r)), 3) for r in result.response.values()]} (0.88)",
        flush=True,
    )


def _group(number: int, members, ra, dec) -> Group:
    return Group(number, float(ra[members].mean()), float(dec[members].mean()), tuple(map(int, members)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[1000], help="numbers of frames")
    parser.add_argument("--neighbours", type=float, default=DENSE, help="frames that share sky with a frame")
    parser.add_argument("--keep", type=Path, help="folder for the measurements")
    parser.add_argument("--threads", type=int, default=2, help="threads")
    given = parser.parse_args()
    for number in given.counts:
        measure(number, given.neighbours, given.keep, given.threads)
