"""Which processes do the work: those of this machine, as many as its memory allows, or those of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zemosaic.cluster import open_cluster
from zemosaic.execution import MAIN_MEMORY, Workers, memory_budget, open_executor, worker_count
from zemosaic.phases.plan import TASK_OVERHEAD
from zemosaic.settings import Settings

__all__ = ["assemblers", "local_workers", "memory_for_tasks", "memory_of", "open_workers"]

LEAST_PER_WORKER = TASK_OVERHEAD + 2**27  # bytes; more workers than that would break memory_limit


def open_workers(settings: Settings, workspace: Path) -> Workers:
    """The workers of a run."""
    if settings.scheduler:
        return open_cluster(settings.scheduler, workspace.resolve())
    return open_executor(local_workers(settings, memory_for_tasks(settings)))


def memory_for_tasks(settings: Settings) -> int:
    """Bytes that the workers of this machine may use: what the process that leads needs is not theirs."""
    return memory_budget(settings.memory_limit) - MAIN_MEMORY


def local_workers(settings: Settings, memory: int) -> int:
    """How many workers this machine gets, so that each has the memory of a task."""
    return min(worker_count(settings.num_processing_workers, memory), max(1, memory // LEAST_PER_WORKER))


def memory_of(settings: Settings, executor: Workers) -> int:
    """Bytes that all tasks together may use; those of a cluster do not share them with the process that leads."""
    if not settings.scheduler:
        return memory_for_tasks(settings)
    if settings.memory_limit == 0 and executor.memory:
        return executor.memory
    return memory_budget(settings.memory_limit)


@contextmanager
def assemblers(settings: Settings, executor: Workers) -> Iterator[Workers]:
    """The workers of the assembly: those of the other phases, or more where the user wants more."""
    wanted = settings.assembly_process_workers
    if wanted <= executor.workers or settings.scheduler:
        yield executor
        return
    with open_executor(wanted) as more:
        yield more
