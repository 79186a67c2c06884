"""What the project promises from outside: public names, entry points, generated files, pinned ranges."""

from __future__ import annotations

import importlib
import os
import pkgutil
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import zemosaic
from zemosaic.messages import LANGUAGES
from zemosaic.settings import Settings
from zemosaic.settings_files import load_settings, parse_json

ROOT = Path(__file__).parents[1]


def modules() -> list[str]:
    found = [info.name for info in pkgutil.walk_packages(zemosaic.__path__, "zemosaic.")]
    return ["zemosaic", *(name for name in found if not name.endswith("__main__"))]


@pytest.mark.parametrize("name", modules())
def test_every_module_imports_and_has_the_names_it_announces(name: str) -> None:
    module = importlib.import_module(name)
    announced = getattr(module, "__all__", [])
    assert len(set(announced)) == len(announced)
    for each in announced:
        assert hasattr(module, each), each


def test_the_error_tree_is_the_one_that_is_drawn() -> None:
    from zemosaic import errors

    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert name in drawn
        assert issubclass(getattr(errors, name), errors.ZeMosaicError)


def test_requirements_are_those_of_the_package() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [line for line in lines if not line.startswith("#")] == project["dependencies"]


def test_generated_files_are_current() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "build_docs.py"))
    advice = "run `make docs`"
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == tool["settings_page"](), advice
    assert (ROOT / "zemosaic_config.json").read_text(encoding="utf-8") == tool["sample_config"](), advice
    for language in LANGUAGES:
        path = ROOT / "src" / "zemosaic" / "locales" / f"{language}.json"
        assert path.read_text(encoding="utf-8") == tool["locale"](language), advice


def test_the_sample_settings_are_the_defaults_whether_commented_or_not(tmp_path: Path) -> None:
    assert load_settings(folder=ROOT)[0] == Settings()
    text = (ROOT / "zemosaic_config.json").read_text(encoding="utf-8").replace('  // "', '  "')
    assert set(parse_json(text)) == set(Settings.model_fields)
    (tmp_path / "zemosaic_config.json").write_text(text, encoding="utf-8")
    settings, notes = load_settings(folder=tmp_path)
    assert settings == Settings() and len(notes) == 1


@pytest.mark.parametrize("command", [["run_zemosaic.py"], ["-m", "zemosaic", "run"]])
def test_entry_points_run_the_same_command(command: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, *command, "IN"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "INPUT and OUTPUT are needed" in done.stderr


def test_the_version_is_the_newest_of_the_changelog() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if "## [" in line]
    assert f"[{zemosaic.__version__}]" in next(line for line in headings if "Unreleased" not in line)
