"""What an assembly will need, told before a pixel moves, and how many of its tasks run at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zemosaic.events import Forecast
from zemosaic.execution import MAIN_MEMORY
from zemosaic.model import Plan
from zemosaic.phases.assemble import Recipe, Widths
from zemosaic.settings import Settings

__all__ = [
    "ENOUGH_LOOKS",
    "GUESSED_SPREAD",
    "KNOWN_SPREAD",
    "LOOK",
    "MEGA",
    "USUAL",
    "Pace",
    "forecast",
    "over_limit",
    "pace",
    "widths",
]

LOOK = "pace of assembling"  # what the ledger calls the seconds of a worker for a look
MEGA = 2.0**20
USUAL = 0.3  # s to measure a frame, where nothing is known
COMPILING = 1.4  # time that a computer new to the program takes for the kernels of the assembly over that for those that measure
COMPILED_IN = 45.0  # s that the kernels of the assembly take on a slow or busy computer
KNOWN_SPREAD, GUESSED_SPREAD = 1.4, 2.5  # factors up and down of the forecast of time
ENOUGH_LOOKS = 10.0  # of a run to learn the pace from
BEGINNING = 2  # frames a worker, of whose time the start of the workers and the compiling of kernels is a part
FEWEST = 4  # frames after these that tell a pace


@dataclass(frozen=True)
class Pace:
    """How fast frames were measured."""

    frame: float  # s of a worker
    start: float  # s until the workers had begun, and compiled what this computer did not know yet


def pace(ends: Sequence[float], workers: int) -> Pace | None:
    """From the times, s since the phase began, at which frames were done, in their order; None when they are too few.

    What the first ones took longer is the start.
    """
    first = BEGINNING * workers
    if len(ends) < first + FEWEST:
        return None
    frame = (ends[-1] - ends[first - 1]) * workers / (len(ends) - first)
    return Pace(frame, max(0.0, ends[first - 1] - first * frame / workers))


def forecast(
    plan: Plan,
    looks: float,
    workers: int,
    known: float | None,
    measured: Pace | None,
    *,
    compiled: bool = True,
    besides: int = 0,
) -> Forecast:
    """Memory, disk and time of an assembly.

    looks : its work, see `zemosaic.phases.assemble.Assembly.looks`
    known : seconds of a worker for a look, of the last assembly in this workspace, which has compiled the kernels
    measured : how fast frames were measured. None: nobody knows
    compiled : this computer has compiled kernels of the assembly before
    besides : bytes of disk of the large pictures
    """
    guess = Pace(USUAL, 0.0) if measured is None else measured
    spread, each = (GUESSED_SPREAD, guess.frame) if known is None else (KNOWN_SPREAD, known)
    busy = min(workers, max(1, len(plan.superblocks)))
    seconds = looks * each / busy
    start = COMPILING * guess.start if known is None else 0.0
    if not compiled:
        start = max(start, COMPILED_IN)
    # the workspace and the files that are written hold the same planes once each
    memory, disk = MAIN_MEMORY + busy * plan.memory, 2 * plan.disk + besides
    return Forecast(memory / MEGA, disk / MEGA, seconds / spread, seconds * spread + start)


def over_limit(told: Forecast, settings: Settings) -> str:
    """What to say of an assembly that will need more than `memory_limit`; "" where it fits, or other machines do the work."""
    limit = 1024.0 * settings.memory_limit
    if settings.scheduler or not limit or told.memory <= limit:
        return ""
    return (
        f"the assembly will need about {told.memory:.0f} MB of memory, more than the {limit:.0f} MB of memory_limit: "
        "raise it, or begin anew with --fresh, which cuts the mosaic into smaller parts"
    )


def widths(settings: Settings, plan: Plan, recipe: Recipe, memory: int, workers: int) -> Widths:
    """How many tasks at once: no more than the memory that is there now holds, and than the user wants."""
    most = min(max(1, memory // plan.memory), settings.assembly_process_workers or workers)
    first, limit = most, settings.winsor_worker_limit
    if limit and recipe.rejection == "winsorized_sigma_clip" and any(block.depth for block in plan.superblocks):
        first = min(most, limit)
    return Widths(*(None if each >= workers else each for each in (first, most)))
