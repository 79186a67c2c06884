"""A real scheduler and two worker processes: the same bits as on one machine; a killed worker costs its tasks only."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nights import FIELD, Recorder, assembled, same_bits, simulated
from zemosaic.cluster import open_cluster
from zemosaic.errors import OutputError, SettingsError
from zemosaic.events import Event, PhaseProgress
from zemosaic.execution import run_each

DASK = [sys.executable, "-m", "dask"]


@dataclass
class Fleet:
    address: str
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("cluster")
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))  # for `_pid`
    file, environment = folder / "scheduler.json", os.environ | {"PYTHONPATH": path}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    host = ["--host", "127.0.0.1"]
    scheduler = subprocess.Popen([*DASK, "scheduler", "--port", "0", *common, *host], **quiet)
    started = [scheduler]
    try:
        worker = [*DASK, "worker", "--nworkers", "1", "--nthreads", "1", "--no-nanny", "--memory-limit", "2GB"]
        workers = [
            subprocess.Popen([*worker, "--local-directory", str(folder), *common, *host], **quiet) for _ in range(2)
        ]
        started += workers
        yield Fleet(_address(file, 2), workers)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _address(file: Path, workers: int) -> str:
    """Of the scheduler, once its workers are there."""
    from distributed import Client

    deadline = time.monotonic() + 60.0
    while not file.is_file() or not file.read_text().endswith("}"):
        assert time.monotonic() < deadline, "the scheduler did not start"
        time.sleep(0.1)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)
        return str(client.scheduler.address)


def _pid(task: float) -> int:
    time.sleep(task)
    return os.getpid()


def test_tasks_run_on_the_workers_in_order_and_alike_ones_more_than_once(fleet, tmp_path):
    with open_cluster(fleet.address, tmp_path) as cluster:
        assert cluster.workers == 2
        assert cluster.memory == pytest.approx(0.6 * 4e9, rel=0.01)
        pids = list(run_each(cluster, _pid, [0.05] * 20))
    assert set(pids) == {worker.pid for worker in fleet.workers}
    assert list(tmp_path.iterdir()) == []


def test_what_a_user_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("zemosaic.cluster.PATIENCE", 1.0)
    with pytest.raises(SettingsError, match=re.escape("nobody answers at tcp://127.0.0.1:9")):
        open_cluster("tcp://127.0.0.1:9", tmp_path)
    with pytest.raises(SettingsError, match="nobody answers at no address"):
        open_cluster("no address", tmp_path)
    with pytest.raises(SettingsError, match="nobody answers at foo"):
        open_cluster(
            "foo", tmp_path
        )  # without a port; nothing is said by what is thrown away either (warnings are errors)
    gc.collect()


def test_workers_that_do_not_see_the_folder(fleet, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "touch", lambda self: None)  # as on a disk that only this machine has
    with pytest.raises(OutputError, match="does not see"):
        open_cluster(fleet.address, tmp_path)


class Killer(Recorder):
    """Kills a worker of the fleet when the first frame of the assembly is done."""

    def __init__(self, victim: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.victim = victim

    def emit(self, event: Event) -> None:
        super().emit(event)
        if isinstance(event, PhaseProgress) and event.phase == "assemble" and self.victim.poll() is None:
            self.victim.send_signal(signal.SIGKILL)
            self.victim.wait()


def test_same_bits_as_on_one_machine_though_a_worker_is_killed(fleet, tmp_path):
    """Last of this module: it leaves one worker."""
    night = simulated(tmp_path / "night", FIELD)
    here = assembled(night.lights, tmp_path / "here")
    recorder = Killer(fleet.workers[1])
    there = assembled(night.lights, tmp_path / "there", recorder, pool=True, scheduler=fleet.address)
    assert fleet.workers[1].returncode == -signal.SIGKILL
    assert same_bits(here, there)
