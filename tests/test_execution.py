"""The pool of processes: order, bounds, errors, deaths, cancelling."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from zemosaic.errors import Cancelled, FrameError, WorkerError
from zemosaic.execution import (
    WORKER_MEMORY,
    WorkerPool,
    cores,
    free_memory,
    memory_budget,
    open_executor,
    open_threads,
    run_each,
    worker_count,
)


@dataclass(frozen=True)
class Job:
    number: int
    once: Path | None = None  # dies while this file is absent
    always: bool = False  # dies every time


def square(job: Job) -> int:
    if job.always:
        os._exit(3)
    if job.once is not None and not job.once.exists():
        job.once.touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    if job.number == 13:
        raise FrameError("frame 13 is damaged")
    return job.number**2


def slow_first(number: int) -> int:
    time.sleep(0.2 if number == 0 else 0.0)
    return number


def environment(name: str) -> tuple[str | None, bool]:
    return os.environ.get(name), signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with open_executor(2) as executor:
        yield executor


def test_results_come_in_the_order_of_the_tasks(pool: WorkerPool) -> None:
    assert list(run_each(pool, slow_first, range(7))) == list(range(7))
    assert list(run_each(pool, slow_first, [])) == []


def test_workers_have_one_thread_and_ignore_ctrl_c(pool: WorkerPool) -> None:
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"]
    assert list(run_each(pool, environment, names)) == [("1", True)] * 4


def test_an_error_of_the_function_passes_through(pool: WorkerPool) -> None:
    results = run_each(pool, square, [Job(2), Job(13)])
    assert next(results) == 4
    with pytest.raises(FrameError, match="frame 13"):
        next(results)


def test_a_dead_worker_costs_no_result(pool: WorkerPool, tmp_path: Path) -> None:
    jobs = [Job(n, once=tmp_path / f"{n}" if n in (3, 8) else None) for n in range(12)]
    assert list(run_each(pool, square, jobs)) == [n**2 for n in range(12)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "8"]


def test_a_task_that_kills_twice_is_named_and_the_others_are_not_lost(pool: WorkerPool) -> None:
    done = []
    with pytest.raises(WorkerError, match=r"square of Job\(number=5, .*memory"):
        for result in run_each(pool, square, [Job(n, always=n == 5) for n in range(9)]):
            done.append(result)
    assert done == [0, 1, 4, 9, 16]
    assert list(run_each(pool, square, [Job(4)])) == [16]  # the pool lives on


def test_no_more_than_in_flight_are_under_way() -> None:
    asked: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            asked.append(number)
            yield number

    with ThreadPoolExecutor(2) as executor:
        for done, _ in enumerate(run_each(executor, slow_first, tasks(), in_flight=3), start=1):
            assert len(asked) <= done + 2  # the one just handed out, and two under way


def test_cancelling_stops_soon_and_withdraws_what_has_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.3)
        return number

    with ThreadPoolExecutor(1) as executor, pytest.raises(Cancelled):
        list(run_each(executor, work, range(50), in_flight=40, cancelled=lambda: len(begun) >= 1))
    assert len(begun) <= 2


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_workers_do_not_outlive_a_parent_that_was_killed() -> None:
    code = (
        "import os, time\n"
        "from zemosaic.execution import open_executor\n"
        "pool = open_executor(1)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        if not alive(worker):
            return
        time.sleep(0.1)
    pytest.fail(f"worker {worker} is still there")


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    state = Path(f"/proc/{process}/stat")
    if state.parent.parent.joinpath("self").exists():
        return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return subprocess.run(["ps", "-p", str(process)], capture_output=True).returncode == 0


def test_workers_and_memory_follow_the_settings() -> None:
    assert worker_count(3) == 3
    assert worker_count(-1, memory=100 * WORKER_MEMORY) == min(cores(), 61)
    assert worker_count(0, memory=1) == 1
    assert memory_budget(2.5) == int(2.5 * 2**30)
    assert memory_budget(0) >= 2**30
    assert 2**26 < free_memory() < 2**50


def test_threads_work_side_by_side_and_one_is_the_caller() -> None:
    meeting = threading.Barrier(2, timeout=30.0)

    def meet(item: int) -> tuple[int, int]:
        meeting.wait()  # two have to be there at once
        return item, threading.get_ident()

    with open_threads(2) as spread:
        met = list(spread(meet, range(4)))
    assert [item for item, _ in met] == [0, 1, 2, 3] and threading.get_ident() not in {who for _, who in met}
    with open_threads(1) as spread:
        assert list(spread(lambda item: (item, threading.get_ident()), [5])) == [(5, threading.get_ident())]


def _faults_of_a_second_array(size: int) -> int:
    """Pages that the system has to clear for an array like one that was just freed."""
    import resource  # not on Windows

    faults = 0
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(size)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_worker_keeps_the_memory_of_a_frame_s_arrays() -> None:
    with open_executor(1) as executor:
        pages = [executor.submit(_faults_of_a_second_array, size).result() for size in (33 << 20, 128 << 20)]
    assert pages[0] < 5  # else 8448, or 17 huge ones
    assert pages[1] > 60
