"""Time and memory of phases, of this process and of those that it started."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from zemosaic.stopwatch import Stopwatch


def test_what_is_held_only_meanwhile_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zemosaic.stopwatch.EVERY", 0.02)
    watch = Stopwatch()
    with watch.phase("idle", 1):
        time.sleep(0.05)
    with watch.phase("busy", 2):
        held = np.ones(300 * 2**17)  # 300 MB
        time.sleep(0.2)
        del held
    idle, busy = watch.times
    assert (idle.name, busy.name, busy.items) == ("idle", "busy", 2)
    assert busy.memory - idle.memory == pytest.approx(300, abs=40) and busy.seconds >= 0.2


def test_processes_that_were_started_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zemosaic.stopwatch.EVERY", 0.02)
    watch = Stopwatch()
    with watch.phase("alone", 0):
        time.sleep(0.05)
    code = "import time; held = bytes(b'x' * 200_000_000); print('ready', flush=True); time.sleep(60)"
    with (
        watch.phase("together", 0),
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None and child.stdout.readline()
        time.sleep(0.2)
        child.kill()
    alone, together = watch.times
    assert together.memory - alone.memory > 180


@pytest.mark.parametrize("error", [psutil.AccessDenied(1), psutil.NoSuchProcess(1), PermissionError(13, "no")])
def test_a_system_that_lists_no_processes_ends_no_run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def hidden(_process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
        raise error

    monkeypatch.setattr("zemosaic.stopwatch.EVERY", 0.01)
    monkeypatch.setattr(psutil.Process, "children", hidden)
    watch = Stopwatch()
    with watch.phase("scan", 0):
        time.sleep(0.05)
    assert watch.times[0].memory > 20


def test_a_phase_that_failed_is_not_kept() -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="no"), watch.phase("scan", 0):
        raise ValueError("no")
    assert watch.times == []
