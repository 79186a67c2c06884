"""Pictures are made in a thread: of what is asked for, only the newest; the window fetches what is ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from zemosaic.errors import ZeMosaicError

__all__ = ["Painter"]

Picture = TypeVar("Picture")


class Painter(Generic[Picture]):
    """Runs the newest of the jobs that it was given; those that were overtaken are never begun.

    pause : s between two pictures at least
    """

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause
        self._wanted: Callable[[], Picture] | None = None
        self._ready: Picture | None = None
        self._failure = ""
        self._change = threading.Condition()
        self._closed = False
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, job: Callable[[], Picture]) -> None:
        with self._change:
            self._wanted = job
            self._change.notify()

    def fetch(self) -> Picture | None:
        """The picture that is ready, once."""
        with self._change:
            ready, self._ready = self._ready, None
            return ready

    def failure(self) -> str:
        """Why the last job gave none, once; "" when it did."""
        with self._change:
            failure, self._failure = self._failure, ""
            return failure

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify()

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._wanted is not None)
                if self._closed:
                    return
                job, self._wanted = self._wanted, None
            if job is None:
                continue
            try:
                picture = job()
            except (ZeMosaicError, OSError) as error:
                with self._change:
                    self._failure = str(error)
            else:
                with self._change:
                    self._ready = picture
            time.sleep(self._pause)
