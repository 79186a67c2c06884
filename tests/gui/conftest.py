"""A screen of their own for the tests of the window (Xvfb), and a root window whose callbacks may not fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

tkinter = pytest.importorskip("tkinter")
SCREEN = "1280x720x24"


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The name of a screen that only this test process uses; its number is chosen by Xvfb."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", SCREEN, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as answer:
        number = answer.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def root(display: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tkinter.Tk]:
    """A Tk window on that screen; what its callbacks raise fails the test."""
    monkeypatch.setenv("DISPLAY", display)
    window = tkinter.Tk()
    failures: list[BaseException] = []
    window.report_callback_exception = lambda kind, error, trace: failures.append(error)
    window.geometry("1280x720+0+0")
    yield window
    window.update()
    window.destroy()
    if failures:
        raise failures[0]
