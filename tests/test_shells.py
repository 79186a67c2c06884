"""The Tab key in real shells, switched on as `zemosaic completion --help` says."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from zemosaic.cli.serving import SHELLS

pty = pytest.importorskip("pty", reason="needs a terminal of Unix")

START_FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}
# completes as the real one does; what it is told to do it writes down
PROGRAM = """#!/bin/sh
if [ -n "$_ARGCOMPLETE" ] || [ "$1" = completion ]; then exec {python} -m zemosaic "$@"; fi
printf '%s\\n' "$@" >"$HOME/told"
"""
PATIENCE = 30.0  # s
DRAWING = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07|[=>()][B0]?)|\r")


class Terminal:
    """A shell that believes that somebody types."""

    def __init__(self, shell: str, home: Path) -> None:
        environment = {
            "HOME": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}", "TERM": "xterm", "LANG": "C.UTF-8",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }  # fmt: skip
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(home)
            os.execvpe(shell, [shell], environment)
        self.shown = ""

    def type(self, keys: str, until: str) -> None:
        """Wait until what is shown after the keys ends in a text."""
        os.write(self.terminal, keys.encode())
        self.shown = ""
        self.wait(until)

    def wait(self, until: str) -> None:
        end = time.monotonic() + PATIENCE
        while until not in DRAWING.sub("", self.shown):
            assert time.monotonic() < end, f"{until!r} does not come: {self.shown!r}"
            if select.select([self.terminal], [], [], 0.2)[0]:
                self.shown += os.read(self.terminal, 4096).decode(errors="replace")

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)


@pytest.mark.parametrize("shell", START_FILES)
def test_the_tab_key_completes_commands_flags_and_values(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    program, start = tmp_path / "bin" / "zemosaic", tmp_path / START_FILES[shell]
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    start.parent.mkdir(parents=True, exist_ok=True)
    line, where = re.split(r" {3,}", SHELLS[shell])
    assert where.endswith(start.name)
    start.write_text(f"{line}\necho BEGINS\n")
    terminal = Terminal(shell, tmp_path)
    try:
        terminal.wait("BEGINS")
        assert "not found" not in terminal.shown
        terminal.type("zemosaic insp\t", "zemosaic inspect ")
        terminal.type("IN --final-ass\t", "--final-assembly-method")
        terminal.type(" rep\t", "reproject_coadd")
        os.write(terminal.terminal, b"\r")
        end = time.monotonic() + PATIENCE
        while not (tmp_path / "told").is_file() or not (tmp_path / "told").read_text().endswith("coadd\n"):
            assert time.monotonic() < end, terminal.shown
            time.sleep(0.05)
    finally:
        terminal.close()
    assert (tmp_path / "told").read_text().split() == ["inspect", "IN", "--final-assembly-method", "reproject_coadd"]
