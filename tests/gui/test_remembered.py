"""What the window remembers."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from zemosaic.gui import remembered
from zemosaic.gui.remembered import Remembered


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("zemosaic.settings_files.user_file", lambda: tmp_path / "new" / "zemosaic_config.json")
    return tmp_path / "new" / "window.json"


def test_what_was_saved_is_there_again(file: Path) -> None:
    what = Remembered("1200x700+5+6", "dark", "fr", ("/a", "/b é"), "/out", {"edge_taper": 40, "stacks": "use"})
    remembered.save(what)
    assert remembered.load() == what
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"theme": 3, "inputs": "x", "settings": [], "language": null}', '{"theme": "pink"}']
)
def test_a_file_that_makes_no_sense_is_a_first_start(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    assert remembered.load() == Remembered()


def test_without_a_file_it_is_a_first_start() -> None:
    assert remembered.load() == Remembered()
