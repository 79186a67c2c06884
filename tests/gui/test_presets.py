"""Presets: those built in are good settings, the user's own survive in their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from zemosaic.errors import SettingsError
from zemosaic.gui.presets import BUILT_IN, PERSONAL, Presets, completed
from zemosaic.messages import LANGUAGES, load_locale
from zemosaic.settings import Settings, declared, lacks_side_by_side


@pytest.mark.parametrize("key", list(BUILT_IN))
def test_built_in_presets_are_settings_that_go_together(key: str) -> None:
    settings = Settings.model_validate(completed(BUILT_IN[key], {}))
    assert not lacks_side_by_side(settings) and settings != Settings()
    for language in LANGUAGES:
        assert {f"gui.settings.preset.{key}", f"gui.settings.preset.{key}.help"} <= set(load_locale(language))


def test_a_preset_leaves_alone_what_is_personal_and_resets_the_rest() -> None:
    now = {"language": "fr", "file_weights": "a*=2", "edge_taper": 20, "astrometry_api_key": "mine"}
    values = completed({"resampling": "bilinear"}, now)
    assert values["language"] == "fr" and values["file_weights"] == "a*=2" and values["astrometry_api_key"] == "mine"
    assert values["edge_taper"] == declared()["edge_taper"].default and values["resampling"] == "bilinear"
    assert set(PERSONAL) <= set(declared())


def test_presets_are_kept_without_secrets_and_defaults(tmp_path: Path) -> None:
    presets = Presets(tmp_path / "new" / "presets.json")
    assert presets.load() == {}
    presets.save("Voie lactée", {"edge_taper": 20, "resampling": "lanczos3", "astrometry_api_key": "mine"})
    presets.save("second", {"rejection_maps": True})
    again = Presets(presets.path)
    assert again.load() == {"Voie lactée": {"edge_taper": 20}, "second": {"rejection_maps": True}}
    assert "mine" not in presets.path.read_text(encoding="utf-8")
    again.save("second", {"edge_taper": 30})
    again.remove("Voie lactée")
    assert presets.load() == {"second": {"edge_taper": 30}}
    assert [path.name for path in presets.path.parent.iterdir()] == ["presets.json"]


def test_values_that_mean_nothing_any_more_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "presets.json"
    path.write_text('{"old": {"edge_taper": 20, "edge_tapper": 1, "resampling": "nearest", "language": "fr"}}')
    assert Presets(path).load() == {"old": {"edge_taper": 20}}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_a_broken_file_is_told_and_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "presets.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"presets\.json"):
        Presets(path).load()
    with pytest.raises(SettingsError, match=r"presets\.json"):
        Presets(path).save("new", {})
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["", "x" * 61])
def test_a_preset_needs_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="1 to 60"):
        Presets(tmp_path / "presets.json").save(name, {})
