"""Peak memory of assembly and export, all processes together, for more and more subs on the same mosaic, or on a wide one.

Linux only (/proc). Small frames of noise with known solutions on one field, so that thousands are written in a minute; the same
`memory_limit` for all.
"""

from __future__ import annotations

import argparse
import math
import threading
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

from throughput import MB, family, numbers
from zemosaic.events import Silent
from zemosaic.execution import open_executor
from zemosaic.imaging.calibrate import Feather
from zemosaic.model import Correction, Frame, FrameKind, Solution
from zemosaic.phases.assemble import Assembly, Exposure, Recipe
from zemosaic.phases.export import Provenance, export
from zemosaic.phases.plan import Layout, SideBySide, group_frames, make_grid, make_plan

PROVENANCE = Provenance(
    groups=1, listed=1, normalization="none", weighting="noise_variance", rejection="kappa_sigma", kappa_low=4.0,
    kappa_high=4.0, combine="mean", assembly="incremental", resampling="lanczos3", pixfrac=math.nan, radial_weight=False,
    zero_point=math.nan, zero_point_scatter=math.nan, version="", input_hash="", solvers=(), astrometric_rms=math.nan,
    relative_rms=math.nan,
)  # fmt: skip
WIDTH, HEIGHT, SCALE, SKY, NOISE = 400, 300, 6.6e-4, 900.0, 10.0


def exposures(folder: Path, count: int, side: int) -> dict[int, Exposure]:
    """Frames on one field, or along the diagonal of a square of so many px."""
    rng = np.random.default_rng(1)
    made = {}
    np.savez(folder / "measured.npz", damaged=np.zeros(0, np.intp))
    for k in range(count):
        path = folder / f"{k}.fit"
        if not path.exists():
            fits.writeto(path, rng.normal(SKY, NOISE, (HEIGHT, WIDTH)).astype(np.uint16))
        about, measured = path.stat(), folder / "measured.npz"
        frame = Frame(
            k, path, about.st_size, about.st_mtime_ns, str(k), FrameKind.BAYER, WIDTH, HEIGHT, "GRBG", "one", "", "", "",
            "", 10.0, 80.0, 20.0, "", 83.0, -5.0, 3600 * SCALE, 65535.0,
        )  # fmt: skip
        x, y = rng.uniform(-60, 60, 2) + max(side - WIDTH - 120, 0) * (k / max(count - 1, 1) - 0.5)
        solution = Solution(83.0, -5.0, WIDTH / 2 + x, HEIGHT / 2 + y, (-SCALE, 0.0, 0.0, SCALE))
        correction = Correction(k, (1.0,) * 3, ((SKY, 0.0, 0.0),) * 3, (), 250.0)
        rejected = folder / "rejected" / f"{k}.npz"
        made[k] = Exposure(frame, solution, correction, (NOISE,) * 3, (SKY,) * 3, 0.0, rejected, measured)
    return made


def peak_of(folder: Path, count: int, memory: int, workers: int, joint: bool, side: int) -> tuple[str, float, float]:
    """(size, MB, s) of an assembly with its export."""
    known = exposures(folder, count, side)
    frames, solutions = [e.frame for e in known.values()], {i: e.solution for i, e in known.items()}
    grid = make_grid(frames, solutions, Layout())
    samples = SideBySide() if joint else None
    plan = make_plan(
        frames, solutions, group_frames(frames, solutions), grid, memory=memory, workers=workers, samples=samples
    )
    work = Assembly(plan, known, Recipe(Feather(), (0.0,) * 3), folder / "mosaic", folder / "sensors")
    peak, done = [0], threading.Event()

    def follow() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], sum(1024 * numbers(pid, "smaps_rollup").get("Pss", 0) for pid in family()))

    follower = threading.Thread(target=follow, daemon=True)
    with open_executor(workers) as executor:
        follower.start()
        began = time.monotonic()
        mosaic = work.run(executor, Silent()).mosaic
        export(mosaic, frames, PROVENANCE, folder, Silent())
        seconds = time.monotonic() - began
        done.set()
        follower.join()
    return f"{grid.width} x {grid.height}", peak[0] / MB, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder for the subs")
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=float, default=2.0, help="GB")
    parser.add_argument("--joint", action="store_true", help="samples side by side where they fit")
    parser.add_argument("--side", type=int, default=0, help="px of a wide and sparse mosaic")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print("| subs | mosaic, px | peak memory, MB | s |")
    print("|---:|---|---:|---:|")
    for count in options.counts:
        size, memory, seconds = peak_of(
            options.folder, count, int(options.memory * 2**30), options.workers, options.joint, options.side
        )
        print(f"| {count} | {size} | {memory:.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
