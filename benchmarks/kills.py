"""kill -9 at random moments, over and over in one folder: the last run ends with the bits of a run that nothing disturbed.

Each run is a command line of its own on two workers; what is killed is the process that leads (its workers follow it). Work is
counted in seconds of the processor of all processes together, which other programs do not lengthen. Linux only.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from astropy.io import fits

from throughput import PERIOD, family, ticks
from zemosaic.events import Silent
from zemosaic.simulate import NightPlan, simulate_night


def started(lights: Path, output: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "zemosaic", "run", str(lights), str(output), "--num-processing-workers", "2"]
    return subprocess.Popen([*command, "--memory-limit", "2", *flags], stdout=subprocess.DEVNULL)


def followed(process: subprocess.Popen[bytes], longest: float) -> tuple[bool, float]:
    """Whether a run ended within so many seconds by itself, and what it has worked, s of the processor."""
    worked, began = dict[int, int](), time.monotonic()
    while process.poll() is None and time.monotonic() - began < longest:
        worked |= {pid: max(worked.get(pid, 0), ticks(pid)) for pid in family(process.pid)}
        time.sleep(PERIOD)
    return process.poll() is not None, sum(worked.values()) / os.sysconf("SC_CLK_TCK")


def pixels(folder: Path) -> list[bytes]:
    return [fits.getdata(path).tobytes() for path in sorted(folder.glob("zemosaic_MT*.fits"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="empty folder for the night and its mosaics")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--subs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="subs of 1080 x 1920 px")
    options = parser.parse_args()
    plan = NightPlan(subs=options.subs)
    if not options.full:
        plan = replace(plan, width=480, height=640, scale=4.5, zero_point=23.5, gain=0.5)
    lights = simulate_night(options.folder, plan, Silent()).lights
    began = time.monotonic()
    _, whole = followed(started(lights, options.folder / "whole"), math.inf)
    took = time.monotonic() - began
    began = time.monotonic()
    _, idle = followed(started(lights, options.folder / "whole"), math.inf)
    rng, kills, ends, work, anew = random.Random(options.seed), 0, 1, 0.0, list[str]()
    while kills < options.kills:
        process = started(lights, options.folder / "killed", *anew)
        ended, worked = followed(process, rng.uniform(0.05, 0.35) * took)
        process.kill()
        process.wait()
        work += worked
        kills, ends = kills + (not ended), ends + ended
        anew = ["--fresh"] if ended else []  # it got through: once more
    work += followed(started(lights, options.folder / "killed"), math.inf)[1]
    same = pixels(options.folder / "whole") == pixels(options.folder / "killed")
    print(
        f"runs of {took:.0f} s by the clock, {whole:.0f} s of the processor; {ends} runs with {kills} kills: {work:.0f} s, "
        f"{(work - ends * whole) / kills:.1f} s lost by each, of it {idle:.1f} s for a start: {'same' if same else 'OTHER'} bits"
    )
    sys.exit(not same)


if __name__ == "__main__":
    main()
