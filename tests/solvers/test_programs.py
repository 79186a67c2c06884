"""Running programs of others: in our folder, with an end, whatever they do."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from zemosaic.errors import FrameError, SettingsError
from zemosaic.solvers.programs import find_program, run_program, scratch_folder

PYTHON = sys.executable


def test_a_program_runs_in_our_folder_without_a_shell(tmp_path):
    code = "import os, sys; print(os.getcwd(), sys.argv[1:], sys.stdin.read()); sys.exit(3)"
    with scratch_folder(tmp_path / "été & co") as folder:
        finished = run_program([PYTHON, "-c", code, "-f", "$HOME; *", "a b'"], folder, 20.0)
        assert finished.code == 3
        assert f"{folder} ['-f', '$HOME; *', \"a b'\"] " in finished.output
        assert sorted(path.name for path in folder.iterdir()) == ["output.txt"]
    assert list((tmp_path / "été & co").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path):
    """Parent and child both write their id and sleep; the child holds on to the output."""
    child = "import os, time; open('child', 'w').write(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(FrameError, match=r"found nothing in 1\.5 s and was stopped"):
        run_program([PYTHON, "-c", parent], tmp_path, 1.5)
    assert time.monotonic() - began < 10.0
    number = int((tmp_path / "child").read_text())
    for _ in range(50):
        if not _alive(number):
            break
        time.sleep(0.1)
    assert not _alive(number)


def _alive(number: int) -> bool:
    status = Path(f"/proc/{number}/stat")
    if status.exists():
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc/self").exists()


def test_a_program_that_cannot_start_is_a_frame_without_solution(tmp_path):
    with pytest.raises(FrameError, match="absent cannot be started"):
        run_program([tmp_path / "absent"], tmp_path, 1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_programs_are_found_by_setting_path_and_place(tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("set", "on path", "usual")]
    for place in places:
        place.mkdir()
        (place / "tool").write_text("#!/bin/sh\n")
        (place / "tool").chmod((place / "tool").stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(places[1]))
    for setting in (places[0], places[0] / "tool"):
        assert find_program(str(setting), ("tool",), [places[2]]) == places[0] / "tool"
    assert find_program("", ("other", "tool"), [places[2]]) == places[1] / "tool"
    monkeypatch.setenv("PATH", "")
    assert find_program("", ("other", "tool"), [tmp_path, places[2]]) == places[2] / "tool"
    assert find_program("", ("other",), places) is None
    (places[0] / "tool").chmod(0o644)
    with pytest.raises(SettingsError, match="is no program and holds no tool"):
        find_program(str(places[0]), ("tool",), places)
