"""The same tasks on an existing dask.distributed cluster over a shared file system (extra `cluster`).

Measured with distributed 2026.8: identical live submits run once unless pure=False; keyword arguments of submit such as
`workers` are taken by dask, so a task is one positional object; `shutdown(cancel_futures=True)` is refused. Tasks of a worker
that died are run again by the scheduler, three times (its `allowed-failures`), then `KilledWorker` names them.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from zemosaic import __version__
from zemosaic.errors import OutputError, SettingsError
from zemosaic.execution import AUTOMATIC_SHARE, Workers

__all__ = ["Cluster", "open_cluster"]

Result = TypeVar("Result")
PATIENCE = 15.0  # s to reach the scheduler


class Cluster(Workers):
    """The workers of a running cluster behind `concurrent.futures`; closing it leaves the cluster running."""

    def __init__(self, client: Any, lost: type[Exception]) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self.lost = (lost,)
        threads, memory = zip(*client.run(_share).values())
        self.workers = sum(threads)
        self.memory = int(AUTOMATIC_SHARE * sum(memory))

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        future: Future[Result] = self._executor.submit(fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait and not cancel_futures)
        self._client.close()


def open_cluster(address: str, folder: Path) -> Cluster:
    """Connect to the scheduler at `address`; use it in a `with` statement.

    folder : existing, that all workers must see under the same path

    Raises
    ------
    SettingsError
        dask.distributed is not installed here, or nobody answers at the address.
    OutputError
        Workers that do not see the folder, or have another version of the program.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import resolve_address
    except ImportError as error:
        raise SettingsError('scheduler: a cluster needs dask.distributed; pip install "zemosaic[cluster]"') from error
    try:
        resolve_address(address)  # a client that finds no sense in an address is in its own way when it is thrown away
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"scheduler: nobody answers at {address} ({error}); start one with `dask scheduler` and give the address that it "
            "prints"
        ) from error
    try:
        _check(client, address, folder)
        return Cluster(client, KilledWorker)
    except (SettingsError, OutputError):
        client.close()
        raise


def _check(client: Any, address: str, folder: Path) -> None:
    """Every worker sees the folder and runs this version."""
    workers = list(client.scheduler_info(n_workers=-1)["workers"])
    if not workers:
        raise SettingsError(f"scheduler: {address} has no workers; start some with `dask worker {address}`")
    token = folder / f"seen-{uuid.uuid4().hex}"
    token.touch()
    try:
        seen = client.run(_sees, str(token), on_error="return")
    finally:
        with suppress(FileNotFoundError):
            token.unlink()
    for worker, answer in seen.items():
        if isinstance(answer, Exception):
            raise OutputError(f"worker {worker} cannot run ZeMosaic ({answer}): install version {__version__} there")
        there, version, python = answer
        if (version, python) != (__version__, sys.version_info[:2]):
            raise OutputError(
                f"worker {worker} has ZeMosaic {version} on Python {python[0]}.{python[1]}, this is {__version__} on "
                f"Python {sys.version_info[0]}.{sys.version_info[1]}: the same are needed everywhere"
            )
        if not there:
            raise OutputError(
                f"worker {worker} does not see {folder}: inputs and output must lie on a file system that all machines "
                "have under the same path"
            )


def _sees(path: str) -> tuple[bool, str, tuple[int, int]]:
    """On a worker: whether the file is there, and what runs it."""
    return Path(path).is_file(), __version__, sys.version_info[:2]


def _share(dask_worker: Any) -> tuple[int, int]:
    """On a worker: its threads, and its memory in bytes (all of the machine's where the worker has no limit)."""
    limit = dask_worker.memory_manager.memory_limit
    return dask_worker.state.nthreads, int(limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
