"""What a process and those that it has started hold of this machine's memory."""

from __future__ import annotations

import math

import psutil

__all__ = ["memory_of_tree"]


def memory_of_tree(pid: int) -> float:
    """Resident bytes, each process by itself; of the first alone where the system lists no others; NaN when it has gone."""
    try:
        leader = psutil.Process(pid)
    except (psutil.Error, OSError):
        return math.nan
    try:
        started = leader.children(recursive=True)
    except (psutil.Error, OSError):  # a table of processes that changes while it is read, or that a container hides
        started = []
    return float(sum(map(_held, (leader, *started))))


def _held(process: psutil.Process) -> int:
    """Resident bytes; 0 of a process that has just ended, or of which the system does not tell."""
    try:
        return int(process.memory_info().rss)
    except (psutil.Error, OSError):
        return 0
