"""What is shipped: the wheel, the sdist, the recipe of the executable, the icon."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import struct
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from PIL import Image

import zemosaic

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "zemosaic"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_wheel_holds_all_that_a_run_needs_and_nothing_else(tmp_path: Path) -> None:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
        scripts = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert Path(built).name == f"zemosaic-{zemosaic.__version__}-py3-none-any.whl"
    inside = {
        str(path.relative_to(ROOT / "src"))
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == {name for name in names if not name.startswith(f"zemosaic-{zemosaic.__version__}.dist-info/")}
    for name in (
        "py.typed",
        "locales/fr.json",
        "data/tycho2_stars.npy",
        "report/assets/page.html",
        "gui/icons/zemosaic-32.png",
    ):
        assert f"zemosaic/{name}" in names
    assert "zemosaic = zemosaic.cli:main" in scripts and "GNU" not in metadata.partition("License-Expression")[0]
    for extra in PROJECT["optional-dependencies"]:
        assert f"Provides-Extra: {extra}" in metadata
    assert {"gui", "cluster", "web", "dev"} <= set(PROJECT["optional-dependencies"])


def test_the_sdist_is_enough_to_build_and_to_test(tmp_path: Path) -> None:
    (built,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "pyproject.toml", "src/zemosaic/cli/__init__.py", "tests/conftest.py", "docs/settings.md", "zemosaic_config.json",
        "requirements.txt", "run_zemosaic.py", "compile/zemosaic.spec", "icon/zemosaic.ico", "README.fr.md", "CONTRIBUTING.md",
    ):  # fmt: skip
        assert name in names
    assert not any(re.match(r"(\.venv|demo|dist|build)(/|$)", name) for name in names)


# ---- the executable


def test_the_recipe_names_every_library_and_excludes_none_of_them() -> None:
    spec = (ROOT / "compile" / "zemosaic.spec").read_text(encoding="utf-8")
    wanted = [
        *PROJECT["dependencies"],
        *(each for extra in ("gui", "hips") for each in PROJECT["optional-dependencies"][extra]),
    ]
    names = {re.match(r"[\w-]+", each)[0].replace("-", "_") for each in wanted}  # type: ignore[index]
    tree = {
        t.id: n.value
        for n in ast.parse(spec).body
        if isinstance(n, ast.Assign)
        for t in n.targets
        if isinstance(t, ast.Name)
    }
    copied = set(ast.literal_eval(tree["LIBRARIES"]).split())
    assert copied == names | {"zemosaic"}, "`zemosaic doctor` looks for their versions"
    excluded = ast.literal_eval(tree["UNUSED"])
    assert not names & set(excluded)
    sources = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    imported = re.findall(r"^ *(?:import|from) ([a-z]\S+)", sources, re.MULTILINE)
    optional = {"distributed"}  # of the extra `cluster`
    assert {each for each in excluded if any(m == each or m.startswith(f"{each}.") for m in imported)} <= optional


@pytest.mark.parametrize("name", ["build_zemosaic.sh", "check.sh"])
def test_scripts_are_good_shell(name: str) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    assert subprocess.run(["bash", "-n", str(ROOT / "compile" / name)]).returncode == 0


def test_both_builds_take_the_same_steps() -> None:
    """What cannot be run on Linux is kept to what can."""
    unix, windows = ((ROOT / "compile" / f"build_zemosaic.{ending}").read_bytes().decode() for ending in ("sh", "bat"))
    assert windows.count("\r\n") == windows.count("\n")

    def steps(script: str) -> list[str]:
        script = re.sub(r'"\$\(echo build/wheel/zemosaic-\*\.whl\)|"%%w(?=\[)', '"WHEEL', script.replace("\\", "/"))
        script = re.sub(r'build/wheel/zemosaic-\*\.whl|"%%w"', "WHEEL", script)
        return [" ".join(step).strip() for step in re.findall(r"-m (pip|PyInstaller|venv) ([^|\r\n]*)", script)]

    assert steps(unix) == steps(windows) and len(steps(unix)) == 6


def test_the_start_of_the_executable_ends_in_workers_and_opens_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("multiprocessing.freeze_support", lambda: asked.append("worker?"))
    monkeypatch.setattr("zemosaic.cli.main", lambda arguments: asked.append(arguments) or 0)
    for arguments in ([], ["run", "A", "B"]):
        monkeypatch.setattr("sys.argv", ["zemosaic.exe", *arguments])
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "compile" / "start.py"), run_name="__main__")
        assert caught.value.code == 0
    assert asked == ["worker?", ["gui"], "worker?", ["run", "A", "B"]]


# ---- the icon


def test_the_icon_is_the_one_that_is_drawn() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "build_icon.py"))
    for size in tool["OF_WINDOW"][:3]:
        kept = np.asarray(Image.open(SOURCE / "gui" / "icons" / f"zemosaic-{size}.png")).astype(int)
        assert np.abs(kept - np.asarray(tool["draw"](size)).astype(int)).max() <= 2, "python tools/build_icon.py"
        assert kept.shape == (size, size, 4) and kept[0, 0, 3] < 30 and kept[size // 2, size // 2].min() >= 250
    data = (ROOT / "icon" / "zemosaic.ico").read_bytes()
    _, kind, count = struct.unpack("<HHH", data[:6])
    sizes = [data[6 + 16 * k] or 256 for k in range(count)]
    assert kind == 1 and tuple(sizes) == tool["SIZES"]
    with Image.open(ROOT / "icon" / "zemosaic.ico") as icon:
        assert icon.size == (256, 256)
