"""Speed by phase, bytes read over bytes of input, and peak memory of all processes, on a simulated night.

Subs per second, and seconds of a processor core a sub, which say more on a machine that others use as well. Linux only: memory,
reads and processor time come from /proc. Reads are counted by the system call (`rchar`), so that the page cache makes no
difference; those of libraries and of the star catalogue are in the first phases' figures.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from astropy.io import fits

from zemosaic.events import Event, PhaseFinished, PhaseStarted, Silent
from zemosaic.pipeline import make_mosaic
from zemosaic.settings import Settings
from zemosaic.simulate import NightPlan, simulate_night

PERIOD = 0.1  # s between two looks at the processes
MB = 2**20


def family(first: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [first]
    for each in found:
        found += children.get(each, [])
    return found


def numbers(pid: int, name: str) -> dict[str, int]:
    """`key: value` lines of a file of a process; nothing when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key: int(value.split()[0]) for key, value in pairs if value.split() and value.split()[0].isdigit()}


def ticks(pid: int) -> int:
    """What a process has worked, in clock ticks, for itself and for the system; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


@dataclass
class Watch:
    """Samples memory and reads of all processes; also the reporter that knows which phase is on."""

    seconds: dict[str, float] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    phase: str = ""
    started: int = 0
    worked: dict[str, float] = field(default_factory=dict)  # s of the processor
    begun: float = 0.0
    ticks: dict[int, int] = field(default_factory=dict)  # of each process, also of those that have ended
    reads: dict[int, int] = field(default_factory=dict)  # of each process, also of those that have ended
    own: float = 0.0  # s of the processor for looking, which are no work of the program
    done: threading.Event = field(default_factory=threading.Event)

    def emit(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self.phase, self.started, self.begun = event.phase, self.look(), self.processor()
        if isinstance(event, PhaseFinished):
            self.seconds[event.phase] = event.seconds
            self.read[event.phase] = self.look() - self.started
            self.worked[event.phase] = self.processor() - self.begun
            self.phase = ""

    def cancelled(self) -> bool:
        return False

    def look(self) -> int:
        """Bytes read so far; notes the memory. Shared pages count once: proportional set sizes."""
        memory, began = 0, time.thread_time()
        for pid in family(os.getpid()):
            memory += 1024 * numbers(pid, "smaps_rollup").get("Pss", 0)
            self.reads[pid] = max(self.reads.get(pid, 0), numbers(pid, "io").get("rchar", 0))
            self.ticks[pid] = max(self.ticks.get(pid, 0), ticks(pid))
        self.peak[self.phase] = max(self.peak.get(self.phase, 0), memory)
        self.own += time.thread_time() - began
        return sum(self.reads.values())

    def processor(self) -> float:
        """Seconds that all processes together have worked, as of the last look, without the looking."""
        return sum(self.ticks.values()) / os.sysconf("SC_CLK_TCK") - self.own

    def follow(self) -> None:
        while not self.done.wait(PERIOD):
            self.look()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="folder for the night and its mosaic; a night that is there is used again"
    )
    parser.add_argument("--subs", type=int, default=60)
    parser.add_argument("--panels", type=int, default=2, help="in each direction")
    parser.add_argument("--workers", type=int, default=-1)
    parser.add_argument("--memory", type=float, default=0.0, help="GB")
    parser.add_argument("--small", action="store_true", help="subs of 480 x 640 px")
    options = parser.parse_args()
    plan = NightPlan(subs=options.subs, panels_x=options.panels, panels_y=options.panels)
    if options.small:
        plan = replace(plan, width=480, height=640)
    lights = options.folder / "lights"
    if not lights.is_dir():
        simulate_night(options.folder, plan, Silent())
    size = sum(path.stat().st_size for path in lights.iterdir())
    watch, began = Watch(), time.monotonic()
    follower = threading.Thread(target=watch.follow, daemon=True)
    follower.start()
    settings = Settings(num_processing_workers=options.workers, memory_limit=options.memory)
    make_mosaic([lights], options.folder / "mosaic", settings, watch)
    total = time.monotonic() - began
    watch.done.set()
    follower.join()
    header = fits.getheader(next(lights.iterdir()))
    print(f"{options.subs} subs of {header['NAXIS1']} x {header['NAXIS2']} px, {size / MB:.0f} MB\n")
    print("| phase | s | subs/s | s of a core a sub | bytes read over input | peak memory, MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for phase, seconds in watch.seconds.items():
        rate = options.subs / max(seconds, 1e-3)
        reads = watch.read[phase] / size
        core = watch.worked[phase] / options.subs
        print(
            f"| {phase} | {seconds:.1f} | {rate:.2f} | {core:.3f} | {reads:.2f} | {watch.peak.get(phase, 0) / MB:.0f} |"
        )
    everything = sum(watch.read.values()) / size
    peak = max(watch.peak.values()) / MB
    core = sum(watch.worked.values()) / options.subs
    print(f"| all | {total:.1f} | {options.subs / total:.2f} | {core:.3f} | {everything:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
