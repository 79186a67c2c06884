"""Where compiled kernels are kept when the usual places cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest

from zemosaic.kernel_cache import CACHE_VARIABLE, cache_folder, provide_cache
from zemosaic.kernels import _jit


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A user's cache and a folder for temporary files of the test's own; `file` is in the way of any folder below."""
    (tmp_path / "file").touch()
    found = {"cache": tmp_path / "cache", "temporary": tmp_path / "temporary", "never": tmp_path / "file" / "x"}
    found["temporary"].mkdir()
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: found["cache"])
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(found["temporary"]))
    monkeypatch.setattr(tempfile, "tempdir", str(found["temporary"]))
    return found


def test_kernels_are_kept_beside_their_source_where_that_can_be_written(
    places: dict[str, Path], tmp_path: Path
) -> None:
    assert cache_folder(tmp_path / "new") == tmp_path / "new"


def test_the_user_s_word_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "anywhere")
    provide_cache(_jit.__file__)
    assert os.environ[CACHE_VARIABLE] == "anywhere"


def test_a_changed_source_has_another_place_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = tmp_path / "callee.py", tmp_path / "caller.py"
    for file in kernels:
        file.write_text("1")
    monkeypatch.setenv(CACHE_VARIABLE, "")
    provide_cache(str(kernels[1]))
    first = Path(os.environ[CACHE_VARIABLE])
    kernels[0].write_text("2")
    os.utime(kernels[0], (0, 0))  # an archive may give all editions one time
    monkeypatch.setenv(CACHE_VARIABLE, "")
    provide_cache(str(kernels[1]))
    second = Path(os.environ[CACHE_VARIABLE])
    assert first != second and first.is_dir() and second.is_dir()
    os.utime(first, (0, 0))
    monkeypatch.setenv(CACHE_VARIABLE, "")
    provide_cache(str(kernels[1]))
    assert second.is_dir() and not first.exists()


def test_else_the_user_s_cache_then_a_private_temporary_folder(places: dict[str, Path]) -> None:
    assert cache_folder(places["never"]) == places["cache"] / "numba"
    places["cache"] = places["never"]
    first = cache_folder(places["never"])
    assert first is not None and first.parent == places["temporary"]
    assert cache_folder(places["never"]) == first


@pytest.mark.skipif(os.name == "nt", reason="folders for temporary files are not shared on Windows")
def test_a_folder_that_others_can_write_is_not_used(places: dict[str, Path]) -> None:
    places["cache"] = places["never"]
    open_to_all = cache_folder(places["never"])
    assert open_to_all is not None
    open_to_all.chmod(0o777)
    other = cache_folder(places["never"])
    assert other is not None and other != open_to_all and other.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.name == "nt", reason="the places are set with the variables of other systems")
def test_kernels_compile_without_home_and_writable_package(tmp_path: Path) -> None:
    """A copy of the package whose __pycache__ is a file, a home that is a file: nobody can write there, not even root."""
    package = tmp_path / "zemosaic"
    (package / "kernels").mkdir(parents=True)
    for name in ("__init__.py", "kernel_cache.py", "kernels/_jit.py", "kernels/radon.py"):
        (package / name).write_text((Path(_jit.__file__).parents[1] / name).read_text(encoding="utf-8"))
    for path in (package / "kernels" / "__init__.py", package / "kernels" / "__pycache__"):
        path.touch()
    (tmp_path / "home").touch()
    (tmp_path / "temporary").mkdir()
    gone = {CACHE_VARIABLE, "XDG_CACHE_HOME", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    environment |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(tmp_path)}
    code = "import zemosaic.kernels.radon, os; print(zemosaic.__file__, os.environ['NUMBA_CACHE_DIR'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    module, cache = done.stdout.split()
    assert Path(module).parent == package and tmp_path / "temporary" in Path(cache).parents
