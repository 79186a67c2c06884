"""Parallel work behind `concurrent.futures`: a pool of spawned processes, or threads; results in the order of the tasks.

A task is a module-level function and one picklable object of paths and numbers. Any `Executor` serves `run_each`;
the pool made here also survives the death of its workers.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import textwrap
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from zemosaic.errors import Cancelled, WorkerError
from zemosaic.spread import Spread, one_by_one

__all__ = [
    "MAIN_MEMORY",
    "WorkerPool",
    "Workers",
    "cores",
    "free_memory",
    "memory_budget",
    "open_executor",
    "open_threads",
    "run_each",
    "worker_count",
]

Task = TypeVar("Task")
Result = TypeVar("Result")

THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
MOST_WORKERS = 61  # Windows waits for no more than 63 handles at a time
MAIN_MEMORY = 350 * 2**20  # bytes, of the process that leads
WORKER_MEMORY = 600 * 2**20  # bytes: interpreter with its libraries ~250 MB, one S50 frame in work ~350 MB
AUTOMATIC_SHARE = 0.6  # of the free memory; the rest is for the page cache and the user's other programs
LEAST_MEMORY = 2**30  # bytes
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
KEPT_ARRAY, KEPT_TOGETHER = 64 * 2**20, 192 * 2**20  # bytes
POLL = 0.2  # s between two looks at `cancelled`
_starting = threading.Lock()  # held while a process starts without the main module


class Workers(Executor):
    """Processes that run tasks, here or on other machines."""

    workers: int  # tasks at a time
    memory: int = 0  # bytes that they have together; 0 = those of this machine
    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)  # what a future ends with when its worker died

    def peak(self) -> int:
        """Bytes that this process and its workers have held together at most, each by itself; 0 where nobody tells."""
        return 0


class WorkerPool(Workers):
    """Spawned worker processes; a pool that broke because a worker died is replaced at the next submit."""

    def __init__(self, workers: int) -> None:
        self.workers = max(1, min(workers, MOST_WORKERS))
        self._pool = self._fresh()

    def _fresh(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        with _interrupts_held(), _main_module_hidden():
            try:
                return self._pool.submit(fn, *args, **kwargs)
            except BrokenExecutor:
                self._pool = self._fresh()
                return self._pool.submit(fn, *args, **kwargs)

    def peak(self) -> int:
        found = [_peak(pid) for pid in (os.getpid(), *self._pool._processes)]
        return 0 if 0 in found else sum(found)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _peak(pid: int) -> int:
    """Largest resident set of a process so far, bytes; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def open_executor(workers: int) -> WorkerPool:
    """A pool of `workers` processes; use it in a `with` statement.

    BLAS and OpenMP are held to one thread in the children, whose environment says so before a task loads them; this process
    and its environment stay as they are.
    """
    return WorkerPool(workers)


@contextlib.contextmanager
def open_threads(count: int) -> Iterator[Spread]:
    """Threads of this process for work on arrays that lets go of the interpreter; with one, the caller does it all.

    What does the work changes no bit of it.
    """
    if count < 2:
        yield one_by_one
        return
    with ThreadPoolExecutor(count) as pool:
        yield pool.map


def run_each(
    executor: Executor,
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    in_flight: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Result]:
    """Results of `function` for each task, in the order of the tasks, at most `in_flight` of them under way.

    When a worker dies, the tasks that were under way are retried once, one at a time, so that nobody shares the
    memory and the culprit is known. Exceptions of the function itself pass through.

    Raises
    ------
    WorkerError
        A worker died on the retry as well; the message names the task.
    Cancelled
        `cancelled()` became true; tasks that had not begun are withdrawn.
    """
    width = in_flight or 2 * getattr(executor, "workers", cores())
    upcoming = iter(tasks)
    running: deque[tuple[Task, Future[Result]]] = deque()
    try:
        while True:
            for task in islice(upcoming, width - len(running)):
                running.append((task, executor.submit(function, task)))
            if not running:
                return
            _await([running[0][1]], cancelled)
            if not _lost(executor, running[0][1]):
                yield running.popleft()[1].result()
                continue
            _await([future for _, future in running], cancelled)
            while running:
                task, future = running[0]
                if _lost(executor, future):
                    future = _retried(executor, function, task, cancelled)
                running.popleft()
                yield future.result()
    finally:
        for _, future in running:
            future.cancel()


def _retried(
    executor: Executor, function: Callable[[Task], Result], task: Task, cancelled: Callable[[], bool] | None
) -> Future[Result]:
    future = executor.submit(function, task)
    _await([future], cancelled)
    if _lost(executor, future):
        name = textwrap.shorten(repr(task), 300, placeholder=" ...")
        raise WorkerError(
            f"a worker process died twice on the same task ({getattr(function, '__name__', function)} of {name}). "
            "Most often the system ended it for want of memory: close other programs, or lower memory_limit "
            "or num_processing_workers, and start the same command again; what was done is kept"
        )
    return future


def _lost(executor: Executor, future: Future[Any]) -> bool:
    """Whether a finished future has no result because a worker died."""
    return isinstance(future.exception(), getattr(executor, "lost", BrokenExecutor))


def _await(futures: list[Future[Any]], cancelled: Callable[[], bool] | None) -> None:
    waiting = set(futures)
    while True:
        if cancelled is not None and cancelled():
            raise Cancelled("as you asked; the same command takes over what was measured")
        waiting = wait(waiting, timeout=None if cancelled is None else POLL).not_done
        if not waiting:
            return


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process started inside is deaf to Ctrl-C from its first instruction (where the system can do that)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _main_module_hidden() -> Iterator[None]:
    """A process started inside does not run the user's script once more.

    A spawned process imports the main module of its parent, for functions that lie there; a script without
    `if __name__ == "__main__"` would then start all over in each worker. Tasks are functions of this package, so none is needed.
    """
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _start_worker() -> None:
    """First thing in a worker: one thread, deaf to Ctrl-C (the parent decides), gone when the parent is gone."""
    os.environ.update(dict.fromkeys((*THREAD_LIMITS, "NUMBA_NUM_THREADS"), "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_freed_memory()
    threading.Thread(target=_follow_parent, daemon=True).start()


def _keep_freed_memory() -> None:
    """Let the C library keep what a frame's arrays leave for those of the next one, where it can be told (glibc).

    Otherwise it gives arrays of 8 MB back to the system and gets them anew, zeroed page by page: 23 of 180 ms of measuring a sub.
    Larger ones, the sums of a superblock, still go back.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(MMAP_THRESHOLD, KEPT_ARRAY)
        libc.mallopt(TRIM_THRESHOLD, KEPT_TOGETHER)


def _follow_parent() -> None:
    """End this worker when its parent was killed; a worker left behind would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(setting: int, memory: int | None = None) -> int:
    """Number of workers: the setting, or when it is 0 or less as many as the cores and `memory` (bytes) allow."""
    if setting > 0:
        return min(setting, MOST_WORKERS)
    budget = memory_budget(0.0) if memory is None else memory
    return max(1, min(cores(), budget // WORKER_MEMORY, MOST_WORKERS))


def memory_budget(limit: float) -> int:
    """Bytes that a run may use: `limit` in GB (2^30 bytes), or when it is 0 60 % of the free memory, at least 1 GB."""
    if limit > 0:
        return int(limit * 2**30)
    return max(LEAST_MEMORY, int(AUTOMATIC_SHARE * free_memory()))


def free_memory() -> int:
    """Bytes that can be had without swapping, inside the limits of a container."""
    if sys.platform == "win32":
        return _free_memory_windows()
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return min(int(lines["MemAvailable"].split()[0]) * 1024, _free_in_container())
    # macOS tells no figure for reclaimable memory without its own library: half of what is built in
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _free_in_container() -> int:
    """What the control group (version 2) leaves; a huge number without a limit."""
    folder = Path("/sys/fs/cgroup")
    limit, used = folder / "memory.max", folder / "memory.current"
    if not limit.exists() or limit.read_text().strip() == "max":
        return sys.maxsize
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    reclaimable = int(statistics.get("inactive_file", 0))
    return max(0, int(limit.read_text()) - int(used.read_text()) + reclaimable)


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 5),
    )


def _free_memory_windows() -> int:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # noqa: B009 - absent elsewhere
    return int(status.free)
