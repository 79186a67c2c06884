"""Blind solving over the whole sky: share solved, false ones and time by size of field, on generated star lists.

python benchmarks/blind.py 60

A fifth of the catalogue stars is missing, a third of the bright detections is spurious; any turn, both parities.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from star_lists import corner_error, frame_at, seen, solution_at
from zemosaic.errors import FrameError
from zemosaic.solvers import frame_hint
from zemosaic.solvers.blind import BlindSolver, index_folder, load_index, make_index

FIELDS = (
    (0.7, (1080, 1920)),
    (0.7, (1920, 1920)),
    (1.27, (1920, 1080)),  # Seestar S50
    (2.5, (2160, 3840)),
    (5.0, (3000, 4000)),
)  # deg, long side; px


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    folder = index_folder()
    if not folder.is_dir():
        start = time.perf_counter()
        make_index(folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        print(f"index of {size:.0f} MB made in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    load_index()
    print(f"index opened in {time.perf_counter() - start:.3f} s")
    rng, solver = np.random.default_rng(5), BlindSolver()
    for degrees, shape in FIELDS:
        scale = 3600.0 * degrees / max(shape)
        solved, false, times = 0, 0, []
        for _ in range(trials):
            ra, dec = rng.uniform(0.0, 360.0), math.degrees(math.asin(rng.uniform(-1.0, 1.0)))
            true = solution_at(ra, dec, scale=scale, turn=rng.uniform(0, 6.28), parity=rng.choice([-1, 1]), shape=shape)
            stars = seen(rng, true, shape=shape, faint=int(rng.choice([20, 80, 400])))
            frame = replace(frame_at(shape=shape), scale=math.nan)
            start = time.perf_counter()
            try:
                found = solver.solve(stars, frame, frame_hint(frame, 1.5))
                right = corner_error(found, true, shape) < 6.0
                solved, false = solved + right, false + (not right)
            except FrameError:
                found = None
            times.append(time.perf_counter() - start)
        print(
            f"{degrees} degrees, {shape[1]} x {shape[0]}: {solved} of {trials} solved, {false} false; first {times[0]:.2f} s, "
            f"median {np.median(times):.3f} s, p95 {np.percentile(times, 95):.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
