"""assemble: two passes over the frames, frame-major inside each superblock, with the blot-back rejection between them.

1. provisional: every frame is corrected, resampled and added to a robust centre (`provisional_block`).
2. reject: the centre is blotted back onto each frame's raw pixels; those that the noise model cannot explain are written down
   (`reject_frames`), and what the frames of a sensor have in common is learnt (`learn_one`).
3. final: the frames again, without the pattern of their sensor, the rejected pixels filled from the model, one interpolation,
   inverse-variance mean (`final_block`).

Pixels do not depend on how the mosaic is cut into superblocks nor on the number of workers. Peak memory of a task: 72 bytes
per pixel of its superblock and channel, plus one frame in work (about 60 bytes per raw pixel; 84 in the rejection).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from zemosaic.events import PhaseProgress, Reporter
from zemosaic.execution import run_each
from zemosaic.model import Mosaic, Plan
from zemosaic.phases._assemble_blocks import BlockTask, final_block, provisional_block
from zemosaic.phases._assemble_canvas import create_canvas
from zemosaic.phases._assemble_frame import Exposure, Recipe
from zemosaic.phases._assemble_reject import Rejected, RejectTask, reject_frames
from zemosaic.phases._assemble_sensor import SensorFound, SensorTotals, batches, learn_one, with_maps

__all__ = ["Exposure", "Recipe", "Rejected", "SensorFound", "assemble", "visits"]

Task = TypeVar("Task", BlockTask, RejectTask)
Result = TypeVar("Result")


def assemble(
    plan: Plan,
    exposures: Mapping[int, Exposure],
    recipe: Recipe,
    folder: Path,
    sensors: Path,
    executor: Executor,
    reporter: Reporter,
) -> tuple[Mosaic, tuple[Rejected, ...], tuple[SensorFound, ...]]:
    """Assemble the mosaic of a plan into arrays under `folder`.

    Also what was rejected, frame by frame, and what was learnt of each sensor, whose maps are kept in `sensors`.
    """
    canvas = create_canvas(plan, folder, recipe.maps and recipe.reject)
    counter = _Counter(reporter, visits(plan, recipe))

    def blocks(of: Mapping[int, Exposure]) -> list[BlockTask]:
        return [
            BlockTask(plan.grid, plan.channels, b, tuple(of[i] for i in b.frames), recipe, canvas)
            for b in plan.superblocks
        ]

    for _ in counter.run(executor, provisional_block, blocks(exposures)):
        continue
    totals = SensorTotals(exposures, sensors)
    parts = batches(exposures, sensors) if recipe.reject else ()
    tasks = [RejectTask(plan.grid, tuple(exposures[i] for i in b.frames), recipe, canvas, b.sums) for b in parts]
    rejected = list[Rejected]()
    for batch, result in zip(parts, counter.run(executor, reject_frames, tasks)):
        rejected += result
        totals.add(batch)
    learnt = tuple(run_each(executor, learn_one, totals.tasks(), cancelled=reporter.cancelled))
    used = list(counter.run(executor, final_block, blocks(with_maps(exposures, learnt))))
    canvas.provisional.unlink()
    canvas.samples.unlink()
    contributed = tuple(sorted(set().union(*used)))
    mosaic = Mosaic(plan.grid, canvas.data, canvas.weight, canvas.coverage, canvas.rejected, contributed, canvas.sides)
    return mosaic, tuple(sorted(rejected, key=lambda r: r.frame_id)), learnt


def visits(plan: Plan, recipe: Recipe) -> int:
    """How often a frame is read: what the progress counts."""
    frames = {i for block in plan.superblocks for i in block.frames}
    return 2 * sum(len(block.frames) for block in plan.superblocks) + (len(frames) if recipe.reject else 0)


class _Counter:
    """Runs tasks and reports each that is done, in visits to frames, over all the passes."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total, self.done = reporter, total, 0

    def run(self, executor: Executor, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        for task, result in zip(tasks, run_each(executor, function, tasks, cancelled=self.reporter.cancelled)):
            self.done += len(task.exposures)
            self.reporter.emit(PhaseProgress("assemble", self.done, self.total))
            yield result
