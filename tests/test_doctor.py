"""`zemosaic doctor`: what is found, what is missing, what to do."""

from __future__ import annotations

import importlib.metadata
import json
import tomllib
from pathlib import Path

import pytest

from zemosaic import doctor
from zemosaic.catalogue import DATA
from zemosaic.cli import main
from zemosaic.cli.checkup import as_json, as_text
from zemosaic.doctor import Finding, examined, in_range, requirements
from zemosaic.gui.checkup import window_found
from zemosaic.kernel_cache import CACHE_VARIABLE
from zemosaic.messages import LANGUAGES, Messages, load_locale
from zemosaic.settings import Settings

ROOT = Path(__file__).parents[1]


def test_a_whole_computer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    by_subject = {row["subject"]: row for row in told["findings"]}
    assert told["ok"] and {"python", "catalogue", "memory", "disk", "cores", "kernels", "window"} <= set(by_subject)
    disk = by_subject["disk"]["values"]
    assert disk["path"] == str(tmp_path) and disk["write"] > 1 and disk["free"] > 0 and list(tmp_path.iterdir()) == []
    assert by_subject["catalogue"]["values"]["stars"] == 1875170
    file = tmp_path / "doctor.json"
    assert main(["doctor", str(tmp_path / "not there yet"), "--json", str(file), "--language", "fr"]) == 0
    shown = capsys.readouterr().out
    assert "Catalogue d'étoiles : 1875170" in shown and json.loads(file.read_text())["ok"]


def test_everything_that_can_be_found_has_words_in_each_language() -> None:
    texts = [key.split(".")[1:] for key in load_locale("en") if key.startswith("doctor.") and key.count(".") == 2]
    found = [(subject, kind) for subject, kind in texts if subject not in ("state", "end")]
    source = Path(doctor.__file__).read_text() + Path(window_found.__code__.co_filename).read_text()
    assert [each for each in found if not all(f'"{word}"' in source for word in each)] == []
    for language in LANGUAGES:
        for subject in {subject for subject, _ in found}:
            assert load_locale(language)[f"doctor.{subject}"]


def test_what_is_missing_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "scipy")}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    monkeypatch.setattr(doctor, "requirements", lambda: {"numpy": "<3,>=2.0", "scipy": "<1.0", "sep": ">=1.4"})
    monkeypatch.setattr(doctor, "find_astap", lambda _: None)
    monkeypatch.setattr(doctor, "find_solve_field", lambda _: (None, (), None))
    monkeypatch.setattr(doctor, "free_memory", lambda: 2**30)
    monkeypatch.setattr(doctor, "_speed", lambda _: (12.0, 0.0))
    monkeypatch.setattr(doctor, "LEAST_DISK", 0.0)
    (tmp_path / "tycho2_cells.npy").write_bytes(b"x")
    (tmp_path / "tycho2_stars.npy").symlink_to(DATA / "tycho2_stars.npy")
    monkeypatch.setattr(doctor, "DATA", tmp_path)
    findings = examined(Settings(), tmp_path)
    found = {(each.subject, each.kind): each.state for each in findings}
    assert found["libraries", "other"] == found["memory", "little"] == found["disk", "slow"] == doctor.POOR
    assert found["libraries", "absent"] == found["catalogue", "damaged"] == doctor.BROKEN
    assert {found[each] for each in (("astap", "absent"), ("extra", "theme"), ("astrometry_net", "absent"))} == {
        doctor.ABSENT
    }
    text = as_text(findings, Messages("en"))
    for words in (
        'python -m pip install "sep>=1.4"',
        'python -m pip install "zemosaic[gui]"',
        "Install ZeMosaic again",
        "apt install astrometry.net",
        "writes only 12 MB/s",
        "Something that is needed is missing or wrong",
    ):
        assert words in text
    assert json.loads(as_json(findings, Messages("en")))["ok"] is False


def test_something_broken_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "no-astap"
    assert main(["doctor", str(tmp_path), "--astap-executable-path", str(missing)]) == 1
    assert f"{missing} is no program" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert doctor._disk(tmp_path) == Finding(
        "disk", "broken", "refused", {"path": str(tmp_path), "why": "Permission denied"}
    )


def test_the_budget_of_memory_follows_the_flag() -> None:
    assert doctor._memory(Settings(memory_limit=3)).values["budget"] == 3.0


def test_cold_and_warm_kernels_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(doctor, "lasting_cache", lambda _: True)
    assert doctor._kernels().kind == "cold"
    for name in ("resample", "stars"):
        (tmp_path / f"{name}.f-1.py311.nbi").touch()
    assert (doctor._kernels().kind, doctor._kernels().values["count"]) == ("warm", 2)
    monkeypatch.undo()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path.parent))
    assert doctor._kernels().kind == "temporary"


@pytest.mark.parametrize(
    ("version", "versions", "fits"),
    [
        ("2.4.6", "<3,>=2.0", True),
        ("3.0", "<3,>=2.0", False),
        ("1.26.4", "<3,>=2.0", False),
        ("2.0", "<3,>=2.0", True),
        ("2026.8.0", ">=2025.1", True),
        ("3.0rc1", "<3", False),
        ("1", "", True),
    ],
)
def test_ranges_of_versions(version: str, versions: str, fits: bool) -> None:
    assert in_range(version, versions) is fits


def test_requirements_are_read_from_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(f"{each}; extra == 'gui'" for each in project["optional-dependencies"]["gui"])]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: lines)
    assert requirements()["numpy"] == ">=2.0,<3" and len(requirements()) == len(project["dependencies"])
    assert list(requirements("gui")) == [name for _, extra, name in doctor.EXTRAS if extra == "gui"]
    optional = project["optional-dependencies"]
    assert all(any(each.startswith(name) for each in optional[extra]) for _, extra, name in doctor.EXTRAS)


def test_without_a_screen_the_window_is_absent_and_that_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    found = window_found()
    assert found.state in (doctor.ABSENT, doctor.OK)
    assert "{" not in as_text([found], Messages("en"))
