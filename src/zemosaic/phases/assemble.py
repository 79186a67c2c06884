"""assemble: two passes over the frames, frame-major inside each superblock, with the blot-back rejection between them.

1. provisional: every frame is corrected, resampled and added to a robust centre (`provisional_block`).
2. reject: the centre is blotted back onto each frame's raw pixels; those that the noise model cannot explain are written down
   (`reject_frame`).
3. final: the frames again, the rejected pixels filled from the model, one interpolation, inverse-variance mean (`final_block`).

Pixels do not depend on how the mosaic is cut into superblocks nor on the number of workers. Peak memory of a task: 72 bytes
per pixel of its superblock and channel, plus one frame in work (about 60 bytes per raw pixel).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from zemosaic.events import PhaseProgress, Reporter
from zemosaic.execution import run_each
from zemosaic.model import Mosaic, Plan
from zemosaic.phases._assemble_blocks import BlockTask, final_block, provisional_block
from zemosaic.phases._assemble_canvas import create_canvas
from zemosaic.phases._assemble_frame import Exposure, Recipe
from zemosaic.phases._assemble_reject import FrameTask, Rejected, reject_frame

__all__ = ["Exposure", "Recipe", "Rejected", "assemble", "visits"]

Task = TypeVar("Task")


def assemble(
    plan: Plan,
    exposures: Mapping[int, Exposure],
    recipe: Recipe,
    folder: Path,
    executor: Executor,
    reporter: Reporter,
) -> tuple[Mosaic, tuple[Rejected, ...]]:
    """Assemble the mosaic of a plan into arrays under `folder`; also what was rejected, frame by frame."""
    canvas = create_canvas(plan, folder, recipe.maps and recipe.reject)
    blocks = [
        BlockTask(plan.grid, plan.channels, b, tuple(exposures[i] for i in b.frames), recipe, canvas)
        for b in plan.superblocks
    ]
    frames = [FrameTask(plan.grid, exposures[i], recipe, canvas) for i in sorted(exposures)] if recipe.reject else []
    counter = _Counter(reporter, visits(plan, recipe))
    counter.run(executor, provisional_block, blocks)
    rejected = counter.run(executor, reject_frame, frames)
    used = counter.run(executor, final_block, blocks)
    canvas.provisional.unlink()
    canvas.samples.unlink()
    contributed = tuple(sorted(set().union(*used)))
    mosaic = Mosaic(plan.grid, canvas.data, canvas.weight, canvas.coverage, canvas.rejected, contributed, canvas.sides)
    return mosaic, tuple(rejected)


def visits(plan: Plan, recipe: Recipe) -> int:
    """How often a frame is read: what the progress counts."""
    frames = {i for block in plan.superblocks for i in block.frames}
    return 2 * sum(len(block.frames) for block in plan.superblocks) + (len(frames) if recipe.reject else 0)


class _Counter:
    """Runs tasks and reports each that is done, in visits to frames, over all the passes."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total, self.done = reporter, total, 0

    def run(self, executor: Executor, function: Callable[[Task], Any], tasks: Sequence[Task]) -> list[Any]:
        results = []
        for task, result in zip(tasks, run_each(executor, function, tasks, cancelled=self.reporter.cancelled)):
            self.done += len(task.exposures) if isinstance(task, BlockTask) else 1
            self.reporter.emit(PhaseProgress("assemble", self.done, self.total))
            results.append(result)
        return results
