"""Every key and flag of the first release: accepted, and either honoured or said once to have no effect.

The tables are those of its `zemosaic_config.json`, its `solver_settings.json` and its command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zemosaic.cli import main, making
from zemosaic.first_release import NO_EFFECT, RENAMED
from zemosaic.gui.opening import Opening
from zemosaic.settings import Settings
from zemosaic.settings_files import load_settings

ROOT = Path(__file__).parents[1]

# key, value as it was written, what it means today (None: said to have no effect)
CONFIG: list[tuple[str, object, tuple[str, object] | None]] = [
    ("astap_executable_path", "C:/astap/astap.exe", ("astap_executable_path", "C:/astap/astap.exe")),
    ("astap_data_directory_path", "C:/astap", ("astap_data_directory_path", "C:/astap")),
    ("astap_default_search_radius", 3.0, ("astap_default_search_radius", 3.0)),
    ("astap_default_downsample", 4, ("astap_default_downsample", 4)),
    ("astap_default_sensitivity", 100, None),
    ("language", "fr", ("language", "fr")),
    ("num_processing_workers", 3, ("num_processing_workers", 3)),
    ("stacking_normalize_method", "sky_mean", ("stacking_normalize_method", "sky_mean")),
    ("stacking_normalize_method", "none", ("stacking_normalize_method", "none")),
    ("stacking_weighting_method", "noise_plus_fwhm", ("stacking_weighting_method", "noise_fwhm")),
    ("stacking_weighting_method", "noise_fwhm", ("stacking_weighting_method", "noise_fwhm")),
    ("stacking_weighting_method", "none", ("stacking_weighting_method", "none")),
    *(
        ("stacking_rejection_algorithm", each, ("stacking_rejection_algorithm", each))
        for each in ("none", "winsorized_sigma_clip", "linear_fit_clip")
    ),
    ("stacking_kappa_low", 3.0, ("stacking_kappa_low", 3.0)),
    ("stacking_kappa_high", 2.5, ("stacking_kappa_high", 2.5)),
    ("stacking_winsor_limits", "0.1,0.1", ("stacking_winsor_limits", "0.1,0.1")),
    ("stacking_final_combine_method", "median", ("stacking_final_combine_method", "median")),
    ("apply_radial_weight", True, ("apply_radial_weight", True)),
    ("radial_feather_fraction", 0.9, ("radial_feather_fraction", 0.9)),
    ("radial_shape_power", 3.0, ("radial_shape_power", 3.0)),
    ("min_radial_weight_floor", 0.1, ("min_radial_weight_floor", 0.1)),
    ("use_gpu_phase5", True, None),
    ("gpu_id_phase5", 1, None),
    ("gpu_selector", "GPU 0", None),
    ("final_assembly_method", "reproject_coadd", ("final_assembly_method", "reproject_coadd")),
    ("solver_method", "ansvr", None),
    ("solver_method", "astap", ("solver_method", "astap")),
    ("astrometry_local_path", "/usr/share/astrometry", ("astrometry_local_path", "/usr/share/astrometry")),
    ("astrometry_api_key", "abc", ("astrometry_api_key", "abc")),
    ("save_final_as_uint16", True, ("save_final_as_uint16", True)),
    ("coadd_use_memmap", False, ("coadd_use_memmap", False)),
    ("coadd_memmap_dir", "D:/scratch", ("coadd_memmap_dir", "D:/scratch")),
    ("coadd_cleanup_memmap", True, ("coadd_cleanup_memmap", True)),
    ("assembly_process_workers", 2, ("assembly_process_workers", 2)),
    ("auto_limit_frames_per_master_tile", False, ("auto_limit_frames_per_master_tile", False)),
    ("max_raw_per_master_tile", 50, ("max_raw_per_master_tile", 50)),
    ("winsor_worker_limit", 2, ("winsor_worker_limit", 2)),
    ("apply_master_tile_crop", True, ("apply_master_tile_crop", True)),
    ("master_tile_crop_percent", 10.0, ("master_tile_crop_percent", 10.0)),
    ("axis_order", "CHW", ("axis_order", "chw")),
    ("cluster_panel_threshold", 0.5, ("cluster_panel_threshold", 0.5)),
    ("cluster_threshold", 0.4, ("cluster_panel_threshold", 0.4)),
]
SOLVER: list[tuple[str, object, tuple[str, object] | None]] = [
    ("solver_choice", "ASTAP", ("solver_method", "astap")),
    ("solver_choice", "ASTROMETRY", ("solver_method", "astrometry_net")),
    ("solver_choice", "ANSVR", ("solver_method", "astrometry_net")),
    ("solver_choice", "NONE", ("solver_method", "header")),
    ("api_key", "abc", ("astrometry_api_key", "abc")),
    ("timeout", 90, ("solver_timeout", 90.0)),
    ("downsample", 4, ("astap_default_downsample", 4)),
    ("force_lum", True, None),
]
FLAGS: list[tuple[str, str, object]] = [  # as typed, the setting, its value
    ("--final_assembly_method reproject_coadd", "final_assembly_method", "reproject_coadd"),
    ("--final-assembly-method=reproject_coadd", "final_assembly_method", "reproject_coadd"),
    ("--coadd_use_memmap", "coadd_use_memmap", True),
    ("--coadd_memmap_dir D:/scratch", "coadd_memmap_dir", "D:/scratch"),
    ("--coadd_cleanup_memmap", "coadd_cleanup_memmap", True),
    ("--no_auto_limit_frames", "auto_limit_frames_per_master_tile", False),
    ("--no-auto-limit-frames", "auto_limit_frames_per_master_tile", False),
    ("--assembly_process_workers 2", "assembly_process_workers", 2),
    ("-W 3", "winsor_worker_limit", 3),
    ("-W3", "winsor_worker_limit", 3),
    ("--winsor-workers 3", "winsor_worker_limit", 3),
    ("--max-raw-per-master-tile 40", "max_raw_per_master_tile", 40),
    ("--max_raw_per_master_tile=40", "max_raw_per_master_tile", 40),
    ("--solver-settings solver_settings.json", "solver_method", "astap"),
    ("--solver_settings solver_settings.json", "astap_default_downsample", 4),
    ("--config zemosaic_old.json", "stacking_kappa_low", 2.0),
]
EXAMPLE = (
    "python run_zemosaic.py INPUT OUTPUT --config zemosaic_old.json --final_assembly_method reproject_coadd --coadd_use_memmap "
    "--coadd_memmap_dir scratch --coadd_cleanup_memmap --no_auto_limit_frames --assembly_process_workers 4 -W 6 "
    "--max-raw-per-master-tile 50 --solver-settings solver_settings.json"
)


@pytest.mark.parametrize(("key", "value", "meant"), [*CONFIG, *SOLVER])
def test_every_key_is_honoured_or_said_once_to_have_no_effect(
    tmp_path: Path, key: str, value: object, meant: tuple[str, object] | None
) -> None:
    """By file and, in the words of the command line, by flag."""
    (tmp_path / "old.json").write_text(json.dumps({key: value}))
    by_file = load_settings(files=[tmp_path / "old.json"], folder=tmp_path)
    by_flag = load_settings({key.replace("_", "-"): str(value)}, folder=tmp_path)
    for settings, notes in (by_file, by_flag):
        said = [note for note in notes if "read from" not in note]
        if meant is None:
            assert len(said) == 1 and key in said[0] and ("no effect" in said[0] or "sets nothing" in said[0])
            assert settings == Settings()
        else:
            name, expected = meant
            assert said == [] and getattr(settings, name) == expected and settings.model_fields_set == {name}
            assert expected != getattr(Settings(), name), "the test would see nothing of it"


def test_the_tables_are_whole() -> None:
    keys = {key for key, _, _ in CONFIG}
    assert {key for key, _, meant in (*CONFIG, *SOLVER) if meant is None} == {*NO_EFFECT, "solver_method"}
    flags = {words.split()[0].split("=")[0].lstrip("-").replace("-", "_") for words, _, _ in FLAGS}
    assert set(RENAMED) <= keys | {key for key, _, _ in SOLVER} | flags
    sample = (ROOT / "tests" / "test_settings.py").read_text()
    assert all(f'"{key}"' in sample for key in keys - {"cluster_panel_threshold"})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a run or the window was asked for, in a working folder with the files of the first release."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "INPUT").mkdir()
    (tmp_path / "zemosaic_old.json").write_text(
        '```json\n{\n  "stacking_kappa_low": 2.0 // fence and comment\n}\n```\n'
    )
    (tmp_path / "solver_settings.json").write_text('{"solver_choice": "ASTAP", "downsample": 4, "force_lum": false}')
    found: list[Any] = []

    def session(settings: Settings, notes: list[str], output: Path, *_: object, **__: object) -> int:
        found.append((settings, notes, output))
        return 0

    monkeypatch.setattr(making, "session", session)
    monkeypatch.setattr("zemosaic.gui.launch.open_window", lambda opening: not found.append(opening))
    return found


@pytest.mark.parametrize(("words", "name", "value"), FLAGS)
@pytest.mark.parametrize("where", ["before", "after"])
def test_every_flag_is_honoured_before_and_after_the_folders(
    asked: list[Any], words: str, name: str, value: object, where: str
) -> None:
    folders = ["INPUT", "OUTPUT"]
    given = [*words.split(), *folders] if where == "before" else [*folders, *words.split()]
    assert main(given, script=True) == 0
    ((settings, _, output),) = asked
    assert getattr(settings, name) == value and output.name == "OUTPUT"


def test_the_example_works_as_printed(asked: list[Any]) -> None:
    assert main(EXAMPLE.split()[2:], script=True) == 0
    ((settings, notes, _),) = asked
    assert settings == Settings(
        final_assembly_method="reproject_coadd", coadd_use_memmap=True, coadd_memmap_dir="scratch", coadd_cleanup_memmap=True,
        auto_limit_frames_per_master_tile=False, assembly_process_workers=4, winsor_worker_limit=6, max_raw_per_master_tile=50,
        solver_method="astap", astap_default_downsample=4, stacking_kappa_low=2.0,
    )  # fmt: skip
    assert [note for note in notes if "no effect" in note] == [
        f"{Path.cwd() / 'solver_settings.json'}: no effect of force_lum: {NO_EFFECT['force_lum']}"
    ] or [note.partition("solver_settings.json")[2] for note in notes if "no effect" in note] == [
        f": no effect of force_lum: {NO_EFFECT['force_lum']}"
    ]


def test_without_folders_the_window_opens_filled_in(asked: list[Any]) -> None:
    assert main(["--final_assembly_method", "reproject_coadd", "--coadd_use_memmap", "-W", "2"], script=True) == 0
    (opening,) = asked
    assert isinstance(opening, Opening) and opening.inputs == () and opening.output is None
    assert (opening.settings.final_assembly_method, opening.settings.winsor_worker_limit) == ("reproject_coadd", 2)


def test_the_script_itself_takes_the_example(tmp_path: Path) -> None:
    """Up to the point where an input is missing."""
    (tmp_path / "zemosaic_old.json").write_text("{}")
    (tmp_path / "solver_settings.json").write_text("{}")
    words = [sys.executable, str(ROOT / "run_zemosaic.py"), *EXAMPLE.split()[2:]]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 3 and "INPUT: this input does not exist" in done.stderr
