"""How much memory the engine holds and how much disk is taken and left, looked at in a thread."""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zemosaic.folders import existing_parent
from zemosaic.processes import memory_of_tree

__all__ = ["Usage", "UsageWatch"]

EVERY = 2.0  # s
DISK_SHARE = 20.0  # a look at the workspace may take a twentieth of the time
MEGA = 2.0**20


@dataclass(frozen=True)
class Usage:
    """MB; NaN is not known."""

    memory: float = math.nan  # of the engine's processes
    workspace: float = math.nan
    free: float = math.nan  # on the disk of the output


class UsageWatch:
    """Looks every few seconds until it is closed."""

    def __init__(self, pid: Callable[[], int | None], output: Path, workspace: Path) -> None:
        self._pid, self._output, self._workspace = pid, output, workspace
        self._closed = threading.Event()
        self.now = Usage()
        threading.Thread(target=self._work, daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _work(self) -> None:
        size, due = math.nan, 0.0
        while not self._closed.wait(EVERY if self.now.free == self.now.free else 0.2):
            pid = self._pid()
            if time.monotonic() >= due:
                began = time.monotonic()
                size = _size_of(self._workspace)
                due = time.monotonic() + DISK_SHARE * (time.monotonic() - began)
            free = shutil.disk_usage(existing_parent(self._output)).free
            self.now = Usage(math.nan if pid is None else memory_of_tree(pid) / MEGA, size / MEGA, free / MEGA)


def _size_of(folder: Path) -> float:
    """Bytes of the files below a folder."""
    total = 0.0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(where) / name).stat().st_size
            except OSError:  # removed meanwhile
                continue
    return total
