"""Opening the window, and saying why there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zemosaic import cli
from zemosaic.gui.opening import Opening

ROOT = Path(__file__).parents[2]
HIDE = "import sys; sys.modules[{name!r}] = None; import importlib.util as u; find = u.find_spec\n"
HIDE += "u.find_spec = lambda name, *rest: None if name == {name!r} else find(name, *rest)\n"


def started(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | environment
    variables["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("tkinter", [], ["python3-tk", "zemosaic run INPUT OUTPUT"]),
        ("tkinter", ["--language", "fr"], ["Pas de fenêtre sans tkinter", "python3-tk"]),
        ("sv_ttk", [], ["package sv_ttk", 'pip install "zemosaic[gui]"']),
        ("nothing", [], ["No window can be opened here", "ssh -X"]),
    ],
)
def test_what_is_missing_is_told_and_the_command_line_works(name: str, flags: list[str], words: list[str]) -> None:
    done = started(HIDE.format(name=name) + f"from zemosaic.cli import main; sys.exit(main(['gui', *{flags!r}]))")
    assert done.returncode == cli.session.NO_WINDOW == 5 and "Traceback" not in done.stderr
    for each in words:
        assert each in done.stderr
    again = started(HIDE.format(name=name) + "from zemosaic.cli import main; main(['run', '--help'])")
    assert again.returncode == 0 and "--memory-limit" in again.stdout


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Opening]:
    """What windows would have been opened with."""
    found: list[Opening] = []
    monkeypatch.setattr("zemosaic.gui.launch.open_window", lambda opening: not found.append(opening))
    monkeypatch.chdir(tmp_path)
    return found


def test_the_window_is_filled_in_from_the_flags(opened: list[Opening], tmp_path: Path) -> None:
    (tmp_path / "zemosaic_config.json").write_text('{"edge_taper": 40}')
    assert cli.main(["gui", "IN", "IN2", "OUT", "--memory-limit", "3"]) == 0
    assert cli.main(["--coadd_use_memmap", "--coadd_memmap_dir", "/scratch", "-W", "2"], script=True) == 0
    assert cli.main(["gui", "IN"]) == 0
    first, script, lone = opened
    assert first.inputs == (tmp_path / "IN", tmp_path / "IN2") and first.output == tmp_path / "OUT"
    assert (first.settings.memory_limit, first.settings.edge_taper) == (3.0, 40)
    assert (first.kept.memory_limit, first.kept.edge_taper) == (0.0, 40)
    assert script.inputs == () and script.output is None
    assert script.settings.coadd_memmap_dir == "/scratch" and script.settings.winsor_worker_limit == 2
    assert lone.inputs == (tmp_path / "IN",) and lone.output is None


def test_the_script_of_the_first_release_runs_with_folders(opened: list[Opening], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):  # INPUT without OUTPUT is no window
        cli.main(["IN"], script=True)
    assert cli.main([str(tmp_path / "IN"), str(tmp_path / "OUT")], script=True) == 3  # IN is not there
    assert not opened
