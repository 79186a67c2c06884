"""Stars of a mosaic in every projection: where they are against the header, and how much of their light.

Nine frames of 5.6 x 4.8 degrees (112 x 96 px) around Dec +43 across RA 0 h, without noise, assembled with rejection.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from wide import SHAPE, combined, plane, star, wide_night
from zemosaic.imaging.warp import step_of
from zemosaic.phases.plan import Layout
from zemosaic.projections import NAMES

SCALE = 0.05  # deg/px


def main() -> None:
    centres = [(359.0 + 4 * i, 40.0 + 3 * j) for i in range(3) for j in range(3)]
    stars = [(358.5 + 2 * i + 0.1 * j, 39.6 + 1.7 * j + 0.1 * i) for i in range(5) for j in range(5)]
    print("| map | px | median, largest offset, px | light | px between nodes | s of CPU |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        night = wide_night(folder / "night", centres, stars, SCALE)
        for rotation in (0.0, 33.0):
            for projection in NAMES:
                began = time.process_time()
                mosaic = combined(night, folder / f"{projection}{rotation}", Layout(projection, rotation=rotation))
                seconds, grid, data = time.process_time() - began, mosaic.grid, plane(mosaic.data)
                half = round(8 * SCALE / grid.scale)
                seen = [star(data, grid, *place, SCALE, half) for place in stars]
                off, light = np.array([(each.off, each.flux) for each in seen if each is not None]).T
                steps = {step_of(solution, SHAPE, grid) for solution in night.solutions.values()}
                print(
                    f"| {projection} {rotation:g} | {grid.width} x {grid.height} | {np.median(off):.4f}, {off.max():.4f} "
                    f"| {light.min():.4f} to {light.max():.4f} | {min(steps)} to {max(steps)} | {seconds:.2f} |"
                )


if __name__ == "__main__":
    main()
