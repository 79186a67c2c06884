"""What an assembly takes of the disk, seen while it is at work."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["SAMPLES", "DiskUse"]

SAMPLES = ".samples"  # how names of files end that hold samples
PAUSE = 50.0  # times as long as a look took, until the next one


class DiskUse:
    """What some folders have held together at most, as far as it was looked at.

    scratch : a folder with files of others too, of which samples alone count
    """

    def __init__(self, folders: Sequence[Path], scratch: Path | None = None) -> None:
        self._folders, self._scratch = folders, scratch
        self.most = 0  # bytes
        self._next = 0.0  # s, when it is worth the time to look again

    def look(self, *, now: bool = False, besides: int = 0) -> None:
        """Look at the folders, if it is time, or `now`; `besides` are bytes in other places."""
        began = time.monotonic()
        if began < self._next and not now:
            return
        self.most = max(self.most, besides + sum(self._sizes()))
        self._next = time.monotonic() + PAUSE * (time.monotonic() - began)

    def _sizes(self) -> Iterator[int]:
        for top in self._folders:
            for folder, _, names in os.walk(top):  # folders that a worker removes meanwhile are no error to it
                yield from (_size(Path(folder, name)) for name in names)
        if self._scratch is not None and self._scratch.is_dir():
            yield from map(_size, self._scratch.glob(f"*{SAMPLES}"))


def _size(path: Path) -> int:
    """Bytes of a file; 0 when a worker has removed it meanwhile."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
