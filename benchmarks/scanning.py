"""How many headers a second are scanned from a warm cache, and in how much memory."""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from astropy.io import fits

from zemosaic.events import Silent
from zemosaic.phases.scan import scan
from zemosaic.simulate import NightPlan, simulate_night

FOLDER = 1000  # files each
BLOCK = 2880


def copies(sub: Path, folder: Path, number: int) -> None:
    """Subs of 64 x 64 px with the header of a simulated one, each with pixels and a time of its own."""
    cards = fits.getheader(sub)
    cards["NAXIS1"] = cards["NAXIS2"] = 64
    header = cards.tostring().encode()
    at = header.index(b"DATE-OBS= '") + len(b"DATE-OBS= '")
    rng = np.random.default_rng(1)
    for k in range(number):
        target = folder / f"night{k // FOLDER:03d}" / f"Light_{k:06d}.fit"
        target.parent.mkdir(parents=True, exist_ok=True)
        day, second = divmod(10 * k, 86400)
        stamp = f"2025-{1 + day // 28:02d}-{1 + day % 28:02d}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        pixels = rng.integers(0, 1000, (64, 64)).astype(">i2").tobytes()
        card = header[:at] + stamp.encode() + header[at + len(stamp) :]
        target.write_bytes(card + pixels.ljust(3 * BLOCK, b"\0"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder for the files")
    parser.add_argument("--files", type=int, default=100_000)
    options = parser.parse_args()
    night = simulate_night(options.folder / "night", NightPlan(subs=1, panels_x=1, panels_y=1), Silent())
    copies(night.subs[0], options.folder / "subs", options.files)
    for turn in ("first", "second"):
        began, used = time.monotonic(), time.process_time()
        found = scan([options.folder / "subs"], options.folder / "out", Silent())
        wall, cpu = time.monotonic() - began, time.process_time() - used
        rate = options.files / wall
        print(
            f"{turn}: {len(found.frames)} lights, {wall:.1f} s ({cpu:.1f} s of CPU), {rate:.0f} headers/s", flush=True
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
