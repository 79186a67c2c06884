"""Pictures with all pixels of a mosaic: what they take.

    python benchmarks/pictures.py WORK_FOLDER [--width 6000] [--height 4000] [--only preview "HiPS of png"]

A made-up colour mosaic, noise and stars, exported with the preview alone, with TIFF, JPEG and the page to zoom into, and with a
HiPS of each form; a process each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from zemosaic.chunks import create
from zemosaic.events import Silent
from zemosaic.model import Grid, Mosaic
from zemosaic.phases.export import Pictures, Provenance, export

TILE = 512  # px, that repeat
KINDS = {
    "preview": Pictures(),
    "all pictures": Pictures(tiff=True, jpeg=True, zoom=True),
    **{f"HiPS of {form}": Pictures(hips=form) for form in ("png", "jpeg", "fits")},
}
TOLD = Provenance(
    1, 1, "linear_fit", "noise_variance", "kappa_sigma", 4.0, 4.0, "mean", "incremental", "lanczos3", 1.0, False,
    20.0, 0.1, "0", "0", (), 0.2, 0.05,
)  # fmt: skip


def planes(folder: Path, width: int, height: int) -> Mosaic:
    rng = np.random.default_rng(1)
    tile = np.stack([sky + rng.normal(0.0, 10.0, (TILE, TILE)) for sky in (842.0, 996.0, 794.0)]).astype(np.float32)
    for y, x in rng.integers(5, TILE - 5, (40, 2)):
        tile[:, y - 1 : y + 2, x - 1 : x + 2] += rng.uniform(100.0, 5000.0)
    shape = (height, width)
    data, weight = (create(folder / n, (3, *shape), (3, 256, 256), np.float32) for n in ("data", "weight"))
    coverage = create(folder / "coverage", shape, (256, 256), np.uint16)
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            h, w = min(TILE, height - y), min(TILE, width - x)
            data.write((0, y, x), tile[:, :h, :w])
            weight.write((0, y, x), np.full((3, h, w), 0.01, np.float32))
            coverage.write((y, x), np.full((h, w), 12, np.uint16))
    grid = Grid(187.5, 41.1, 6.6e-4, width, height, width / 2, height / 2)
    return Mosaic(grid, folder / "data", folder / "weight", folder / "coverage", folder / "coverage", frames=())


def export_took(mosaic: Mosaic, output: Path, kind: str) -> str:
    """CPU, memory at most and what lies in tiles."""
    began = time.process_time()
    made = export(mosaic, [], TOLD, output, Silent(), pictures=KINDS[kind])
    took, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tiles = [path.stat().st_size for path in made.and_tiles if path not in made.files]
    return f"{kind}: {took:.1f} s of CPU, {peak:.0f} MB at most; {len(tiles)} tiles of {sum(tiles) / 2**20:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--only", nargs="+", choices=[*KINDS], default=[*KINDS])
    given = parser.parse_args()
    work, output = given.folder / "planes", given.folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    mosaic, spawn = planes(work, given.width, given.height), multiprocessing.get_context("spawn")
    for kind in given.only:
        with ProcessPoolExecutor(1, mp_context=spawn) as fresh:
            print(fresh.submit(export_took, mosaic, output, kind).result(), flush=True)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
