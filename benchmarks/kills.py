"""kill -9 at random moments, over and over in one folder: the last run ends with the bits of a run that nothing disturbed.

Each run is a command line of its own on two workers; what is killed is the process that leads (its workers follow it).
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

from astropy.io import fits

from zemosaic.events import Silent
from zemosaic.simulate import NightPlan, simulate_night


def command(lights: Path, output: Path) -> list[str]:
    flags = ["--num-processing-workers", "2", "--memory-limit", "2"]
    return [sys.executable, "-m", "zemosaic", "run", str(lights), str(output), *flags]


def pixels(folder: Path) -> list[bytes]:
    return [fits.getdata(path).tobytes() for path in sorted(folder.glob("zemosaic_MT*.fits"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder for the night and its mosaics")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--subs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plan = NightPlan(width=480, height=640, scale=4.5, subs=options.subs, zero_point=23.5, gain=0.5)
    lights = simulate_night(options.folder, plan, Silent()).lights
    began = time.monotonic()
    subprocess.run(command(lights, options.folder / "whole"), check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - began
    rng, ends, done, anew = random.Random(options.seed), 0, 0.0, list[str]()
    while ends < options.kills:
        process = subprocess.Popen([*command(lights, options.folder / "killed"), *anew], stdout=subprocess.DEVNULL)
        wait, anew = rng.uniform(0.05, 0.35) * whole, []
        try:
            process.wait(wait)
            anew = ["--fresh"]  # it got through: once more
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            ends, done = ends + 1, done + wait
    began = time.monotonic()
    subprocess.run(command(lights, options.folder / "killed"), check=True, stdout=subprocess.DEVNULL)
    last = time.monotonic() - began
    same = pixels(options.folder / "whole") == pixels(options.folder / "killed")
    print(
        f"{options.kills} kills of a run of {whole:.0f} s, {done:.0f} s until the last, then {last:.0f} s to the end: ",
        end="",
    )
    print("the same bits" if same else "OTHER BITS")
    sys.exit(not same)


if __name__ == "__main__":
    main()
