"""A screen of their own for the tests of the window (Xvfb), and a root window whose callbacks may not fail."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

tkinter = pytest.importorskip("tkinter")

from person import FAST, Open, Person  # noqa: E402 - only where there is a tkinter

from zemosaic.gui.opening import Opening  # noqa: E402
from zemosaic.gui.theme import Theme  # noqa: E402
from zemosaic.gui.window import Window  # noqa: E402
from zemosaic.settings import Settings  # noqa: E402

SCREEN = "2560x1440x24"  # windows on it are 1280 x 720, but for the tests of high resolution


gone: list[bool] = []  # windows since the last time that garbage was collected


def pytest_runtest_logfinish() -> None:
    """Windows that are no more go here, in the main thread: Tcl ends the process when another thread collects one."""
    if gone:
        gone.clear()
        gc.collect()


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The name of a screen that only this test process uses; its number is chosen by Xvfb."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb")
    gc.freeze()  # what all tests share need not be looked through after each window
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
    gone.append(True)
    if failures:
        raise failures[0]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zemosaic.settings_files.user_file", lambda: tmp_path / "config" / "zemosaic_config.json")
    monkeypatch.setenv("LC_ALL", "C")


@pytest.fixture
def open_window(root: tkinter.Tk, config: None) -> Iterator[Open]:
    """Opens the window on the screen of the tests; whatever engine it has goes with the test."""
    opened: list[Window] = []

    def fill(*inputs: Path, output: Path | None = None, settings: Settings = FAST) -> Window:
        window = Window(root, Theme(root), Opening(inputs, output, settings, FAST, ()))
        root.geometry("1280x720+0+0")
        window.form.finish()
        root.update()
        opened.append(window)
        return window

    yield fill
    for window in opened:
        window._inquiry.forget()
        if window._engine is not None:
            window._engine.kill()
            window._engine.close()


@pytest.fixture
def person(root: tkinter.Tk) -> Person:
    return Person(root)
