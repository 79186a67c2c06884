"""Settings: precedence, names of the first release, tolerant JSON, errors in words."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from zemosaic.errors import SettingsError
from zemosaic.first_release import NO_EFFECT, RENAMED, RENAMED_VALUES
from zemosaic.messages import LANGUAGES, load_locale
from zemosaic.patterns import patterns, weights_by_pattern
from zemosaic.settings import Settings, declared, fractions
from zemosaic.settings_files import load_settings, parse_json, refused

ROOT = Path(__file__).parents[1]
FIRST_RELEASE = {
    "astap_executable_path": "",
    "astap_data_directory_path": "",
    "astap_default_search_radius": 3.0,
    "astap_default_downsample": 2,
    "astap_default_sensitivity": 100,
    "language": "en",
    "num_processing_workers": -1,
    "stacking_normalize_method": "linear_fit",
    "stacking_weighting_method": "noise_plus_fwhm",
    "stacking_rejection_algorithm": "winsorized_sigma_clip",
    "stacking_kappa_low": 3.0,
    "stacking_kappa_high": 3.0,
    "stacking_winsor_limits": "0.05,0.05",
    "stacking_final_combine_method": "mean",
    "apply_radial_weight": False,
    "radial_feather_fraction": 0.8,
    "radial_shape_power": 2.0,
    "min_radial_weight_floor": 0,
    "use_gpu_phase5": False,
    "gpu_id_phase5": 0,
    "gpu_selector": "",
    "final_assembly_method": "reproject_coadd",
    "solver_method": "ansvr",
    "astrometry_local_path": "",
    "astrometry_api_key": "secret",
    "save_final_as_uint16": False,
    "coadd_use_memmap": True,
    "coadd_memmap_dir": "",
    "coadd_cleanup_memmap": True,
    "assembly_process_workers": 0,
    "auto_limit_frames_per_master_tile": True,
    "max_raw_per_master_tile": 0,
    "winsor_worker_limit": 4,
    "apply_master_tile_crop": True,
    "master_tile_crop_percent": 18.0,
    "axis_order": "HWC",
    "cluster_threshold": 0.5,
}


def write(path: Path, **values: object) -> Path:
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_later_sources_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = write(tmp_path / "user.json", edge_taper=10, stacking_kappa_low=5, stacking_kappa_high=5, language="fr")
    monkeypatch.setattr("zemosaic.settings_files.user_file", lambda: user)
    (tmp_path / "here").mkdir()
    write(tmp_path / "here" / "zemosaic_config.json", edge_taper=20, stacking_kappa_low=6, stacking_kappa_high=6)
    named = write(tmp_path / "named.json", edge_taper=30, stacking_kappa_low=7)
    settings, notes = load_settings({"edge-taper": "40"}, files=[named], folder=tmp_path / "here")
    assert (settings.edge_taper, settings.stacking_kappa_low, settings.stacking_kappa_high) == (40, 7.0, 6.0)
    assert settings.language == "fr" and settings.output_scale == 0.0
    assert [line for line in notes if "read from" in line] == [
        f"settings read from {path}" for path in (user, tmp_path / "here" / "zemosaic_config.json", named)
    ]


def test_a_file_of_the_first_release_is_accepted_and_every_difference_said_once(tmp_path: Path) -> None:
    settings, notes = load_settings(files=[write(tmp_path / "old.json", **FIRST_RELEASE)], folder=tmp_path)
    assert settings.stacking_weighting_method == "noise_fwhm"
    assert settings.stacking_rejection_algorithm == "winsorized_sigma_clip"
    assert settings.solver_method == "auto" and settings.final_assembly_method == "reproject_coadd"
    assert fractions(settings.stacking_winsor_limits) == (0.05, 0.05) and settings.auto_limit_frames_per_master_tile
    assert settings.cluster_panel_threshold == 0.5 and settings.apply_master_tile_crop
    said = "\n".join(notes)
    for name in FIRST_RELEASE:
        assert said.count(name) == (name in NO_EFFECT or name == "solver_method")
    assert "secret" not in said and "did you mean" not in said


def test_solver_settings_of_the_first_release(tmp_path: Path) -> None:
    old = write(tmp_path / "solver_settings.json", solver_choice="NONE", api_key="secret", timeout=60, downsample=2)
    settings, notes = load_settings(files=[old], folder=tmp_path)
    assert settings.solver_method == "header"
    assert (settings.astrometry_api_key, settings.solver_timeout, settings.astap_default_downsample) == (
        "secret",
        60,
        2,
    )
    assert [line for line in notes if "no effect" in line or "no setting" in line] == []
    assert "secret" not in repr(settings) + settings.model_dump_json() + "".join(notes)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("solver_choice", "ASTAP", "astap"),
        ("solver_choice", "ASTROMETRY", "astrometry_net"),
        ("solver_choice", "ANSVR", "astrometry_net"),
        ("solver_choice", "NONE", "header"),
        ("solver-choice", "ANSVR", "astrometry_net"),
        ("solver_method", "ansvr", "auto"),
        ("solver_method", "ASTAP", "astap"),
    ],
)
def test_the_solvers_of_the_first_release(tmp_path: Path, name: str, value: str, meant: str) -> None:
    assert load_settings({name: value}, folder=tmp_path)[0].solver_method == meant


def test_ansvr_of_the_first_release_sets_nothing(tmp_path: Path) -> None:
    """Every one of its files has it: a solver that was chosen elsewhere stays."""
    chosen = write(tmp_path / "solver.json", solver_choice="ASTAP")
    old = write(tmp_path / "config.json", solver_method="ansvr")
    settings, notes = load_settings(files=[chosen, old], folder=tmp_path)
    assert settings.solver_method == "astap"
    assert len([line for line in notes if "solver_method = ansvr sets nothing" in line]) == 1


def test_every_number_of_workers_from_0_down_is_automatic() -> None:
    assert Settings(num_processing_workers=-2).num_processing_workers == -2


@pytest.mark.parametrize("name", [about.name for about in declared().values() if about.kind is str])
@pytest.mark.parametrize("value", [None, 123456, {"a": 1}])
def test_text_that_is_no_text_is_refused_in_words(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=rf"{name} must be (text|one of)") as caught:
        load_settings(files=[write(tmp_path / "bad.json", **{name: value})], folder=tmp_path)
    assert name != "astrometry_api_key" or str(value) not in str(caught.value)


def test_all_errors_of_a_file_come_at_once_in_words(tmp_path: Path) -> None:
    bad = write(
        tmp_path / "bad.json", stacking_kappa_low=11, apply_radial_weight="maybe", edge_taper=2.5, language="de"
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(files=[bad], folder=tmp_path)
    message = str(caught.value)
    assert str(bad) in message
    assert "stacking_kappa_low must be from 0.1 to 10 sigma (got 11)" in message
    assert "apply_radial_weight must be true or false (got 'maybe')" in message
    assert "edge_taper must be a whole number (got 2.5)" in message
    assert "language must be one of en, fr (got 'de')" in message


def test_settings_of_a_script_are_refused_in_words_all_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(edge_taper=-3, memory_limit="much", edge_tapper=4, downsample=2, force_lum=True, astrometry_api_key=5)
    assert str(caught.value).split("\n  ") == [
        "settings:",
        "astrometry_api_key must be text",
        "edge_taper must be from 1 to 1000 px (got -3)",
        "memory_limit must be a number (got 'much')",
        "there is no setting 'edge_tapper'; did you mean 'edge_taper'?",
        "there is no setting 'downsample' any more; it is called 'astap_default_downsample'",
        f"there is no setting 'force_lum' any more: {NO_EFFECT['force_lum']}",
    ]
    again = pickle.loads(pickle.dumps(caught.value))
    assert [(each.name, each.kind) for each in again.wrong[:4]] == [
        ("astrometry_api_key", "str"), ("edge_taper", "limits"), ("memory_limit", "float"), ("edge_tapper", "unknown")
    ]  # fmt: skip
    assert caught.value.__suppress_context__  # a traceback shows these words, not pydantic's


def test_an_unknown_name_warns_and_offers_the_nearest(tmp_path: Path) -> None:
    _, notes = load_settings({"stacking_kapa_low": 3}, folder=tmp_path)
    assert notes == [
        "command line: there is no setting 'stacking_kapa_low'; it is ignored; did you mean 'stacking_kappa_low'?"
    ]


@pytest.mark.parametrize("text", ["", "{", '{"edge_taper": 3 "language": "en"}', "[1]", '{"a": 1}}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(SettingsError, match=r"broken\.json"):
        load_settings(files=[tmp_path / "broken.json"], folder=tmp_path)


def test_a_syntax_error_names_line_and_column_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        '{\n  /* two\n  lines */ "edge_taper": 3, // here\n  "language": "en"\n  "a": 1\n}'
    )
    with pytest.raises(SettingsError, match=r"c\.json, line 5, column 3: expecting ',' delimiter"):
        load_settings(files=[tmp_path / "c.json"], folder=tmp_path)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.json"):
        load_settings(files=[tmp_path / "absent.json"], folder=tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_plain_json_means_the_same(value: Any) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value
    assert parse_json(json.dumps(value, indent=1)) == value


def test_comments_fences_and_trailing_commas_are_spaces() -> None:
    text = '```json\n{ // a "quote\n  "a": "// # /* ,] not a comment", # b\n  /* "c": 1,\n*/ "d": [1, 2, ], \n}\n```\n'
    assert parse_json(text) == {"a": "// # /* ,] not a comment", "d": [1, 2]}


@given(st.sampled_from([about for about in declared().values() if about.limits]), st.floats(-1e4, 1e4))
def test_limits_hold_for_every_number(about: Any, value: float) -> None:
    number = round(value) if about.kind is int else value
    inside = about.limits[0] <= number <= about.limits[1] or (about.zero != "" and number == 0)
    if inside:
        assert getattr(Settings(**{about.name: number}), about.name) == number
    else:
        with pytest.raises(SettingsError, match=r"must be (from|at most)"):
            Settings(**{about.name: number})


def test_the_declaration_is_complete_and_consistent() -> None:
    for about in declared().values():
        assert about.text.endswith(".") and about.group
        assert bool(about.choices) == (about.kind is str and about.unit not in ("path", "text"))
        assert (about.limits is not None) == (about.kind in (int, float)), about.name
        assert about.default == getattr(Settings(**{about.name: about.default}), about.name)  # defaults are legal
    assert not set(NO_EFFECT) & set(Settings.model_fields)
    assert set(RENAMED.values()) <= set(Settings.model_fields)
    for name, values in RENAMED_VALUES.items():
        about = declared()[RENAMED.get(name, name)]
        choices = {"true", "false"} if about.kind is bool else {*about.choices, ""}
        assert {new for new, _ in values.values()} <= choices
        assert about.kind is bool or not set(values) & choices


@pytest.mark.parametrize(
    ("given_as", "meant"),
    [("0.05,0.05", (0.05, 0.05)), (" 0, .49 ", (0.0, 0.49)), ("[0.1, 0.2]", (0.1, 0.2)), ([0.05, 0.1], (0.05, 0.1))],
)
def test_winsor_limits_are_two_fractions(given_as: Any, meant: tuple[float, float]) -> None:
    assert fractions(Settings(stacking_winsor_limits=given_as).stacking_winsor_limits) == meant


@pytest.mark.parametrize(
    "text", ["", "0.05", "0.05,0.5", "-0.1,0.1", "a,b", "0.1,0.1,0.1", "nan,0", [], [0.1], [0, None]]
)
def test_other_winsor_limits_are_refused_in_words(tmp_path: Path, text: Any) -> None:
    with pytest.raises(SettingsError, match=r"stacking_winsor_limits must be two fractions .* less than 0\.5"):
        load_settings({"stacking_winsor_limits": text}, folder=tmp_path)


def test_the_limit_on_frames_can_be_switched_off_as_it_was(tmp_path: Path) -> None:
    assert not load_settings({"no_auto_limit_frames": "true"}, folder=tmp_path)[0].auto_limit_frames_per_master_tile
    assert load_settings({}, folder=tmp_path)[0].auto_limit_frames_per_master_tile


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().edge_taper = 3  # type: ignore[misc]


def test_nan_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "n.json").write_text('{"output_scale": NaN}')
    with pytest.raises(SettingsError, match="output_scale must be a number"):
        load_settings(files=[tmp_path / "n.json"], folder=tmp_path)


@pytest.mark.parametrize("text", ["a", "a=", "=1", "a=0", "a=-1", "a=b", "a=inf", "a=1;b"])
def test_weights_by_hand_are_checked(text):
    with pytest.raises(SettingsError, match="weight above 0"):
        Settings.model_validate({"file_weights": text})


def test_weights_by_hand_are_read():
    assert weights_by_pattern(" a b*.fit = 0.5;x=y?=2; ") == (("a b*.fit", 0.5), ("x=y?", 2.0))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("stacking_kappa_low", "4", ""),
        ("stacking_kappa_low", "four", "float"),
        ("stacking_kappa_low", "11", "limits"),
        ("edge_taper", "1.5", "int"),
        ("memory_limit", 0, ""),
        ("memory_limit", 0.5, "limits"),
        ("resampling", "nearest", "choice"),
        ("rejection_maps", "perhaps", "bool"),
        ("stacking_winsor_limits", "0.6,0", "stacking_winsor_limits"),
        ("file_weights", "old*", "file_weights"),
        ("scheduler", 3, "str"),
    ],
)
def test_why_a_value_is_refused_in_a_word(name: str, value: object, why: str) -> None:
    assert refused(name, value) == why


def test_every_setting_is_called_something_in_every_language() -> None:
    for language in LANGUAGES:
        texts = load_locale(language)
        for about in declared().values():
            assert len(texts[f"setting.{about.name}"]) <= 40 and texts[f"setting.{about.name}.help"].endswith(".")
            assert texts[f"group.{about.group}"]
            assert all(texts[f"choice.{about.name}.{choice}"] for choice in about.choices)
            assert about.unit in ("", "text", "path") or texts[f"unit.{about.unit}"]


def test_groups_are_in_one_piece() -> None:
    groups = [about.group for about in declared().values()]
    assert sum(first != second for first, second in pairwise(groups)) == len(set(groups)) - 1


def test_files_to_leave_out_are_a_text_or_a_list() -> None:
    assert patterns(Settings(exclude_files=" *cloudy*;; b.fit; *cloudy*").exclude_files) == ("*cloudy*", "b.fit")
    assert patterns(Settings.model_validate({"exclude_files": ["a.fit", "b.fit"]}).exclude_files) == ("a.fit", "b.fit")
    assert patterns("") == ()
