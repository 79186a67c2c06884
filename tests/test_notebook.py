"""A real notebook: what its cells show, and what its kernel starts."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from zemosaic.messages import Messages
from zemosaic.reporters import Bars, PlainLines, terminal

SAYS = """
from zemosaic import printing
from zemosaic.events import PhaseFinished, PhaseProgress, PhaseStarted, Scanned, Warned
import zemosaic.notebooks
zemosaic.notebooks.LOOK_EVERY = 0.0
reporter = printing()
for event in (
    PhaseStarted("scan", 3),
    PhaseProgress("scan", 1, 3, "a.fit"),
    Warned("few stars"),
    PhaseProgress("scan", 3, 3, "c.fit"),
    PhaseFinished("scan", 1.0, Scanned(3, 30.0, 0)),
):
    reporter.emit(event)
"""
WORKS = """
import os, time
from zemosaic.execution import open_executor, run_each
with open_executor(1) as pool:
    print(*run_each(pool, os.path.basename, ["in a worker"]))
    print(*run_each(pool, time.sleep, [0.4] * 50, in_flight=1))
"""


# Runs these cells, interrupts the kernel when a worker has answered, prints what the cells have shown as JSON: kind and text.
KERNEL = """
import json, sys, threading
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel()
shown = []

def hear(message):
    kind, content = message["msg_type"], message["content"]
    if kind == "stream":
        shown.append((content["name"], content["text"]))
        if "in a worker" in content["text"]:
            threading.Timer(0.2, manager.interrupt_kernel).start()
    elif kind == "error":
        shown.append((kind, content["ename"]))
    elif "data" in content:
        shown.append((kind, content["data"]["text/plain"]))

for cell in sys.argv[1:]:
    client.execute_interactive(cell, output_hook=hear, timeout=60)
client.stop_channels()
manager.shutdown_kernel(now=True)
print(json.dumps(shown))
"""


def test_lines_move_on_and_an_interrupt_reaches_no_worker(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KERNEL, SAYS, WORKS]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    assert [tuple(each) for each in json.loads(done.stdout)] == [
        ("display_data", "Looking at headers ..."),
        ("update_display_data", "Looking at headers: 1 of 3 frames"),
        ("stdout", "Warning: few stars\n"),
        ("update_display_data", "Looking at headers: 3 of 3 frames"),
        ("update_display_data", "Looking at headers: 3 lights with 30.0 minutes of exposure, 0 other files (1.0 s)"),
        ("stdout", "in a worker\n"),
        ("error", "KeyboardInterrupt"),
    ]


@pytest.mark.parametrize(
    ("terminal_like", "environment", "kind"),
    [
        (True, {}, Bars),
        (True, {"JPY_PARENT_PID": "1"}, PlainLines),  # `!zemosaic run ...` in a cell
        (False, {"FORCE_COLOR": "1"}, PlainLines),
        (True, {"TERM": "dumb"}, PlainLines),
    ],
)
def test_bars_are_drawn_where_something_can_move(
    terminal_like: bool, environment: dict[str, str], kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal_like, raising=False)
    listener = terminal(stream, Messages("en"), None)
    listener.close()
    assert type(listener) is kind
