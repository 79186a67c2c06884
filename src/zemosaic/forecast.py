"""What an assembly will need, told before a pixel moves, and how many of its tasks run at once."""

from __future__ import annotations

from zemosaic.events import Forecast
from zemosaic.model import Plan
from zemosaic.phases.assemble import Recipe, Widths
from zemosaic.settings import Settings

__all__ = ["ENOUGH_VISITS", "forecast", "widths"]

MEGA = 2.0**20
MAIN_MEMORY = 350 * 2**20  # bytes, of the process that leads
LOOK = 0.5  # time of a visit of the assembly over that of measuring a frame, S50 subs
USUAL = 0.3  # s to measure a frame, where nothing is known
KNOWN_SPREAD, GUESSED_SPREAD = 1.4, 2.0  # factors up and down of the forecast of time
ENOUGH_VISITS = 20  # of a run to learn the pace from


def forecast(plan: Plan, visits: int, workers: int, known: float | None, measured: float | None) -> Forecast:
    """Memory, disk and time of an assembly.

    known : seconds of a worker for a visit, of the last assembly in this workspace; measured : seconds of a worker to measure
    a frame today; None: nobody knows
    """
    spread = GUESSED_SPREAD if known is None else KNOWN_SPREAD
    pace = LOOK * (USUAL if measured is None else measured) if known is None else known
    busy = min(workers, max(1, len(plan.superblocks)))
    seconds = visits * pace / busy
    # the workspace and the files that are written hold the same planes once each
    return Forecast((MAIN_MEMORY + busy * plan.memory) / MEGA, 2 * plan.disk / MEGA, seconds / spread, seconds * spread)


def widths(settings: Settings, plan: Plan, recipe: Recipe, memory: int, workers: int) -> Widths:
    """How many tasks at once: no more than the memory that is there now holds, and than the user wants."""
    most = min(max(1, memory // plan.memory), settings.assembly_process_workers or workers)
    first, limit = most, settings.winsor_worker_limit
    if limit and recipe.rejection == "winsorized_sigma_clip" and any(block.depth for block in plan.superblocks):
        first = min(most, limit)
    return Widths(*(None if each >= workers else each for each in (first, most)))
