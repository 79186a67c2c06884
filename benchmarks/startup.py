"""How long it takes until something shows: help, a command's help, the engine's libraries, the window.

    python benchmarks/startup.py [PROGRAM ...]

PROGRAM : what starts ZeMosaic; default: this Python with `-m zemosaic`. For the executable: `python benchmarks/startup.py
dist/zemosaic`. Seconds by the clock and of the processor (with all child processes), the best of three. The window needs Xvfb and
xdotool; the processor's time is that until it is visible.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import psutil

TRIES = 3
IMPORTS = ("import zemosaic", "import zemosaic.cli", "import zemosaic.gui.window", "import zemosaic.api")


def command(words: Sequence[str]) -> tuple[float, float]:
    """Clock and processor of a command that ends by itself."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used


def window(words: Sequence[str], display: str) -> tuple[float, float]:
    """The same of the window, until it is visible."""
    environment, began = os.environ | {"DISPLAY": display}, time.perf_counter()
    with subprocess.Popen([*words, "gui"], env=environment) as program:
        search = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "^ZeMosaic$"]
        subprocess.run(search, env=environment, stdout=subprocess.DEVNULL, timeout=120, check=True)
        clock = time.perf_counter() - began
        process = psutil.Process(program.pid)
        used = sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))
        program.terminate()
    return clock, used


def best(what: str, run: Callable[[], tuple[float, float]]) -> None:
    tries = [run() for _ in range(TRIES)]
    print(
        f"{what:<32} {min(clock for clock, _ in tries):6.2f} s  {min(used for _, used in tries):6.2f} s of the processor"
    )


def main() -> None:
    program = sys.argv[1:] or [sys.executable, "-m", "zemosaic"]
    for flags in (["--version"], ["--help"], ["run", "--help"], ["doctor"]):
        best(" ".join(["zemosaic", *flags]), lambda flags=flags: command([*program, *flags]))
    if not sys.argv[1:]:
        for code in IMPORTS:
            best(code, lambda code=code: command([sys.executable, "-c", code]))
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        print("window: needs Xvfb and xdotool")
        return
    reader, writer = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x720x24"], pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as answer:
        display = f":{answer.readline().strip()}"
    best("zemosaic gui, window visible", lambda: window(program, display))
    server.terminate()
    server.wait()


if __name__ == "__main__":
    main()
