"""The same frames through ZeMosaic, SWarp and reproject, side by side: time, memory, and scores against the truth.

A simulated night is solved and matched once. Its frames, corrected by that (one photometric scale, sky taken off) and
debayered bilinearly, go to SWarp (LANCZOS3; CLIPPED and WEIGHTED, a channel at a time) and to
`reproject.mosaicking.reproject_and_coadd` (bilinear interpolation, weighted mean) as FITS files with a TAN header and
constant weights; writing these files is not counted. ZeMosaic's figures are those of its assembly, which starts from the
raw subs. So all do the same work: resample, reject, combine. The night has no distortion, which TAN headers could not say.

Needs SWarp (Debian: swarp) and reproject, Linux (`/proc`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from reproject import reproject_interp
from reproject.mosaicking import reproject_and_coadd
from scipy.ndimage import map_coordinates

from throughput import MB, PERIOD, family, numbers
from zemosaic.events import Event, PhaseFinished, PhaseStarted, Silent
from zemosaic.fits import read_raw
from zemosaic.imaging.calibrate import STEP, Feather, calibration
from zemosaic.imaging.demosaic import bilinear, cfa_colours
from zemosaic.ledger import FrameRow, Ledger
from zemosaic.model import FrameState, Grid
from zemosaic.pipeline import make_mosaic
from zemosaic.score import Score, score
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, simulate_night

CHANNELS = "rgb"
PEERS = ("SWarp CLIPPED", "SWarp WEIGHTED", "reproject")
SHARE = np.sqrt([0.25, 0.5, 0.25])  # of the pixels that see a colour: noise of a debayered plane over large areas
FIGURES = (
    "astrometry, median", "photometry, rms", "FWHM over that of the subs", "background, rms without plane",
    "step between panels", "noise efficiency", "outliers", "satellite trails, on axis", "satellite trails, 3-5 px off",
    "hot pixels, on",
)  # fmt: skip
GRID_CARDS = ("NAXIS1", "NAXIS2", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2",
              "CD1_1", "CD1_2", "CD2_1", "CD2_2")  # fmt: skip
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """Wall and CPU seconds, and peak memory, of what ran inside `measured`."""

    wall: float = 0.0
    cpu: float = 0.0
    memory: int = 0  # bytes, all processes, shared pages once
    done: threading.Event = field(default_factory=threading.Event)

    def sample(self) -> None:
        while not self.done.wait(PERIOD):
            used = sum(1024 * numbers(pid, "smaps_rollup").get("Pss", 0) for pid in family())
            self.memory = max(self.memory, used)


def cpu_seconds() -> float:
    """Of this process, all below it, and those of them that have ended."""
    total = 0
    for pid in family():
        try:
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:  # it has ended meanwhile
            continue
    return total / TICKS


@contextmanager
def measured() -> Iterator[Cost]:
    cost = Cost()
    watcher = threading.Thread(target=cost.sample, daemon=True)
    began, before = time.monotonic(), cpu_seconds()
    watcher.start()
    yield cost
    cost.wall, cost.cpu = time.monotonic() - began, cpu_seconds() - before
    cost.done.set()
    watcher.join()


class AssemblyWatch:
    """A reporter that measures the assembly and nothing else."""

    def __init__(self) -> None:
        self.cost = Cost()
        self._stack: list[object] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "assemble":
            context = measured()
            self.cost = context.__enter__()
            self._stack.append(context)
        if isinstance(event, PhaseFinished) and event.phase == "assemble":
            self._stack.pop().__exit__(None, None, None)  # type: ignore[attr-defined]

    def cancelled(self) -> bool:
        return False


@dataclass(frozen=True)
class Job:
    """What the peers get."""

    folder: Path
    mosaic: Path  # ours
    header: fits.Header  # of its grid, two axes
    shape: tuple[int, int]
    planes: dict[str, list[Path]]  # by channel
    weights: dict[str, list[Path]]


def corrected(row: FrameRow, grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(h, w, 3) a frame in mosaic units, debayered, and (3,) its constant inverse variance."""
    frame, solution, correction, measurement = row.frame, row.solution, row.correction, row.measurement
    if frame is None or solution is None or correction is None or measurement is None:
        raise ValueError(f"{row.path} was not used")
    sigma = tuple(np.asarray(measurement.sigma) / SHARE)
    shape = frame.height, frame.width
    lattices = calibration(correction, solution, sigma, grid, shape, Feather(), False, (0.0, 0.0, 0.0))
    colours = np.tile(cfa_colours(frame.bayer), (frame.height // 2, frame.width // 2))
    y, x = np.mgrid[0 : frame.height, 0 : frame.width]
    place = [y / STEP, x / STEP, colours]
    scale, offset = (map_coordinates(a, place, order=1) for a in (lattices.scale, lattices.offset))
    raw = np.asarray(read_raw(frame), np.float32) * scale - offset
    middle = frame.height // 2 // STEP, frame.width // 2 // STEP
    return bilinear(raw.astype(np.float32), frame.bayer), 1.0 / np.asarray(lattices.variance[middle], float)


def prepare(night: Path, mosaic: Path, folder: Path) -> Job:
    """Write what the peers read."""
    header = fits.getheader(mosaic)
    grid = Grid(
        header["CRVAL1"], header["CRVAL2"], header["CD2_2"], header["NAXIS1"], header["NAXIS2"],
        header["CRPIX1"] - 1, header["CRPIX2"] - 1,
    )  # fmt: skip
    with Ledger(night / "mosaic") as ledger:
        rows = [row for row in ledger.rows() if row.state is FrameState.USED]
    planes: dict[str, list[Path]] = {c: [] for c in CHANNELS}
    weights: dict[str, list[Path]] = {c: [] for c in CHANNELS}
    for k, row in enumerate(rows):
        image, inverse_variance = corrected(row, grid)
        solution = row.solution
        assert solution is not None
        cards = fits.Header()
        cards.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=solution.ra, CRVAL2=solution.dec)
        cards.update(CRPIX1=solution.x + 1, CRPIX2=solution.y + 1)
        cards.update(zip(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), map(float, np.ravel(solution.cd)), strict=True))
        for c, channel in enumerate(CHANNELS):
            path = folder / f"{channel}{k:04d}.fits"
            fits.writeto(path, image[..., c], cards, overwrite=True)
            weight = path.with_suffix(".weight.fits")
            flat = np.full(image.shape[:2], inverse_variance[c], np.float32)
            fits.writeto(weight, flat, cards, overwrite=True)
            planes[channel].append(path)
            weights[channel].append(weight)
    output = fits.Header([fits.Card("NAXIS", 2), *(header.cards[key] for key in GRID_CARDS)])
    return Job(folder, mosaic, output, (grid.height, grid.width), planes, weights)


def swarp(job: Job, combine: str, memory: int) -> tuple[Cost, NDArray[np.float32]]:
    """A channel at a time; CLIPPED needs a gain for the photons of the stars."""
    cube = []
    with measured() as cost:
        for channel in CHANNELS:
            out = job.folder / f"swarp_{combine}_{channel}.fits"
            out.with_suffix(".head").write_text(job.header.tostring(sep="\n"))  # the grid, tangent point included
            names = job.folder / f"{channel}.list"
            names.write_text("".join(f"{path}\n" for path in job.planes[channel]))
            options = {
                "IMAGEOUT_NAME": out, "WEIGHTOUT_NAME": out.with_suffix(".weight.fits"), "COMBINE_TYPE": combine,
                "RESAMPLING_TYPE": "LANCZOS3", "OVERSAMPLING": 1, "SUBTRACT_BACK": "N", "WEIGHT_TYPE": "MAP_WEIGHT",
                "WEIGHT_SUFFIX": ".weight.fits", "GAIN_DEFAULT": 0.1, "FSCALASTRO_TYPE": "NONE", "RESAMPLE_DIR": job.folder,
                "NTHREADS": os.cpu_count(), "VERBOSE_TYPE": "QUIET", "WRITE_XML": "N", "COMBINE_BUFSIZE": memory,
                "MEM_MAX": memory, "VMEM_DIR": job.folder,
            }  # fmt: skip
            flags = [word for key, value in options.items() for word in (f"-{key}", str(value))]
            subprocess.run(["SWarp", f"@{names}", *flags], check=True, stderr=subprocess.DEVNULL)
            cube.append(out)
    data = np.stack([fits.getdata(path) for path in cube]).astype(np.float32)
    weight = np.stack([fits.getdata(path.with_suffix(".weight.fits")) for path in cube])
    return cost, np.where(weight > 0, data, np.float32(np.nan))


def coadd(job: Job) -> tuple[Cost, NDArray[np.float32]]:
    """reproject's own mosaic: each frame interpolated, weighted mean; it rejects nothing."""
    cube = []
    with measured() as cost:
        for channel in CHANNELS:
            image, footprint = reproject_and_coadd(
                [str(path) for path in job.planes[channel]],
                job.header,
                shape_out=job.shape,
                input_weights=[str(path) for path in job.weights[channel]],
                reproject_function=reproject_interp,
                combine_function="mean",
            )
            cube.append(np.where(footprint > 0, image, np.nan))
    return cost, np.stack(cube).astype(np.float32)


def judged(job: Job, name: str, cube: NDArray[np.float32], truth: Path) -> Score:
    """The score of a peer's cube, in our header and with our coverage map, which says what all have seen."""
    path = job.folder / f"{name}.fits"
    header = fits.getheader(job.mosaic)
    fits.writeto(path, cube, header, overwrite=True)
    shutil.copy(job.mosaic.with_name(f"{job.mosaic.stem}_coverage.fits"), path.with_name(f"{path.stem}_coverage.fits"))
    return score(path, truth)


def table(costs: dict[str, Cost], scores: dict[str, Score]) -> None:
    print("| | " + " | ".join(costs) + " |\n|---|" + "---:|" * len(costs))
    rows: Sequence[tuple[str, Callable[[Cost], float]]] = (
        ("wall, s", lambda cost: cost.wall),
        ("CPU, s", lambda cost: cost.cpu),
        ("peak memory, MB", lambda cost: cost.memory / MB),
    )
    for name, value in rows:
        print(f"| {name} | " + " | ".join(f"{value(cost):.0f}" for cost in costs.values()) + " |")
    for name in FIGURES:
        unit = next(m.unit for m in next(iter(scores.values())).metrics if m.name == name)
        print(
            f"| {name}{f' ({unit})' if unit else ''} | " + " | ".join(f"{s[name]:.3f}" for s in scores.values()) + " |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder for the night and everything made of it")
    parser.add_argument("--subs", type=int, default=48)
    parser.add_argument("--memory", type=int, default=2048, help="MB that SWarp may use for combining")
    parser.add_argument("--beside", nargs="+", choices=PEERS, default=PEERS, help="the other programs (all)")
    options = parser.parse_args()
    night = simulate_night(options.folder / "night", NightPlan(subs=options.subs, distortion=0.0), Silent())
    watch = AssemblyWatch()
    (outputs,) = make_mosaic([night.lights], options.folder / "night" / "mosaic", Settings(), watch)
    costs, scores = {"ZeMosaic": watch.cost}, {"ZeMosaic": score(outputs.mosaic, night.truth)}
    peers = options.folder / "peers"
    peers.mkdir(exist_ok=True)
    job = prepare(options.folder / "night", outputs.mosaic, peers)
    for name in options.beside:
        program, _, combine = name.partition(" ")
        costs[name], cube = swarp(job, combine, options.memory) if program == "SWarp" else coadd(job)
        scores[name] = judged(job, name.lower().replace(" ", "_"), cube, night.truth)
    table(costs, scores)


if __name__ == "__main__":
    main()
