"""The form of the settings, as a person uses it."""

from __future__ import annotations

import tkinter as tk
from itertools import groupby
from pathlib import Path
from tkinter import ttk

import pytest
import sv_ttk

from zemosaic.gui.presets import BUILT_IN, Presets
from zemosaic.gui.settings_form import SettingsForm
from zemosaic.gui.tips import Tip
from zemosaic.messages import Messages
from zemosaic.settings import Settings, declared


class Language:
    """A translator whose language can be switched."""

    def __init__(self) -> None:
        self.messages = Messages("en")

    def __call__(self, key: str, /, **values: object) -> str:
        return self.messages(key, **values)


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def form(root: tk.Tk, tmp_path: Path, heard: list[str]) -> SettingsForm:
    presets = Presets(tmp_path / "presets.json")
    widget = SettingsForm(root, Language(), presets=presets, on_change=lambda: heard.append("change"))
    widget.pack(fill="both", expand=True)
    widget.finish()
    root.update()
    heard.clear()
    return widget


def editor(form: SettingsForm, name: str) -> ttk.Entry:
    found = form.row(name).editor
    assert isinstance(found, ttk.Entry)  # spin boxes and combo boxes are entries too
    return found


def typed(form: SettingsForm, name: str, text: str) -> None:
    entry = editor(form, name)
    entry.delete(0, "end")
    entry.insert(0, text)
    form.update()


def texts(widget: tk.Misc) -> list[str]:
    """All that can be read inside a widget."""
    found = (
        [str(widget.cget("text"))] if isinstance(widget, (ttk.Label, ttk.Button)) and widget.winfo_ismapped() else []
    )
    if isinstance(widget, ttk.Combobox):
        found += [str(each) for each in widget.cget("values")]
    return found + [text for child in widget.winfo_children() for text in texts(child)]


def test_every_setting_is_there_under_its_group_with_its_default(form: SettingsForm) -> None:
    assert form.values() == Settings().model_dump() | {"astrometry_api_key": ""}
    assert form.settings() == Settings() and form.changed() == {} and form.problems() == {}
    shown = texts(form)
    for group, members in groupby(declared().values(), key=lambda about: about.group):
        assert form.group_titles()[group] == group[:1].upper() + group[1:]
        assert all(about.label in shown for about in members)


def test_what_is_typed_is_a_setting_and_is_marked_as_changed(form: SettingsForm, heard: list[str]) -> None:
    typed(form, "edge_taper", "40")
    assert form.changed() == {"edge_taper": 40} and heard
    assert form.group_titles()["stacking"] == "Stacking (1)"
    assert not form.row("edge_taper").reset.instate(["disabled"]) and form.row("output_scale").reset.instate(
        ["disabled"]
    )
    form.row("edge_taper").reset.invoke()
    assert form.changed() == {} and editor(form, "edge_taper").get() == "80"
    assert form.group_titles()["stacking"] == "Stacking"


def test_wrong_values_are_marked_where_they_are_typed(form: SettingsForm) -> None:
    typed(form, "stacking_kappa_high", "40")
    assert editor(form, "stacking_kappa_high").instate(["invalid"])
    assert form.problems() == {"stacking_kappa_high": "This must be 0.1 to 10 σ."} and form.settings() is None
    assert "This must be 0.1 to 10 σ." in texts(form.row("stacking_kappa_high"))
    assert form.group_titles()["stacking"].startswith("⚠")
    typed(form, "stacking_kappa_high", "4,5")
    settings = form.settings()
    assert settings is not None and settings.stacking_kappa_high == 4.5
    assert not editor(form, "stacking_kappa_high").instate(["invalid"])


def test_settings_that_do_not_go_together_are_told(form: SettingsForm) -> None:
    combine = editor(form, "stacking_final_combine_method")
    assert isinstance(combine, ttk.Combobox)
    combine.current(1)
    combine.event_generate("<<ComboboxSelected>>")
    form.update()
    assert list(form.problems()) == ["stacking_final_combine_method"]
    form.set_values({"stacking_final_combine_method": "median", "final_assembly_method": "reproject_coadd"})
    assert form.settings() == Settings(stacking_final_combine_method="median", final_assembly_method="reproject_coadd")


def test_help_appears_on_f1_and_by_resting_there(form: SettingsForm, monkeypatch: pytest.MonkeyPatch) -> None:
    form.show_setting("stacking_kappa_low")
    form.update()
    row = form.row("stacking_kappa_low")
    row.editor.focus_force()
    form.update()
    row.editor.event_generate("<F1>")
    assert row.tip.shown.startswith("Kappa low\nRejection of pixels that are too dark.")
    assert "0.1 to 10 σ" in row.tip.shown and "Default: 4" in row.tip.shown
    row.editor.event_generate("<Key>", keysym="a")
    assert row.tip.shown == ""
    monkeypatch.setattr("zemosaic.gui.tips.DELAY", 1)
    other = form.row("stacking_kappa_high")
    other.editor.event_generate("<Enter>")
    done = tk.BooleanVar(form, False)
    form.after(50, lambda: done.set(True))
    form.wait_variable(done)
    assert other.tip.shown.startswith("Kappa high") and isinstance(other.tip, Tip)


def test_search_and_only_what_is_changed(form: SettingsForm) -> None:
    form.search("winsor")
    form.finish()
    form.update()
    assert form.row("stacking_winsor_limits").winfo_ismapped() and not form.row("language").winfo_ismapped()
    form.search("no such thing at all")
    form.finish()
    form.update()
    assert "No setting fits this search." in texts(form)
    form.search("")
    typed(form, "edge_taper", "40")
    form.only_changed(True)
    form.finish()
    form.update()
    shown = [name for name in declared() if form.row(name).winfo_ismapped()]
    assert shown == ["edge_taper"]


def test_show_setting_brings_it_into_view_whatever_was_searched(form: SettingsForm) -> None:
    form.search("language")
    form.finish()
    form.show_setting("fits_compression")
    form.update()
    row = form.row("fits_compression")
    assert form.winfo_rooty() < row.winfo_rooty() < form.winfo_rooty() + form.winfo_height()
    assert form.focus_get() in (row.editor, None)  # None: the window has not got the focus of the screen


def test_presets_are_taken_saved_and_removed(form: SettingsForm) -> None:
    bar = form.presets
    typed(form, "edge_taper", "40")
    bar.name.set("Fast look")
    bar.save()
    form.update()
    assert any("built in" in text for text in texts(bar))
    bar.name.set("mine")
    bar.save()
    assert bar.box.get() == "mine" and len(bar.box.cget("values")) == len(BUILT_IN) + 1
    bar.box.current(0)
    bar.box.event_generate("<<ComboboxSelected>>")
    form.update()
    assert form.changed() == BUILT_IN["fast_look"]
    bar.box.current(len(BUILT_IN))
    bar.box.event_generate("<<ComboboxSelected>>")
    form.update()
    assert form.changed() == {"edge_taper": 40}
    bar.forget()
    assert len(bar.box.cget("values")) == len(BUILT_IN) and form.changed() == {"edge_taper": 40}


def test_the_wheel_scrolls_and_changes_no_value(form: SettingsForm) -> None:
    form.set_values({"astap_default_downsample": 2})
    entry = editor(form, "astap_default_downsample")
    before = form.values()
    entry.event_generate("<Button-5>", x=5, y=5)
    entry.event_generate("<Button-4>", x=5, y=5)
    entry.event_generate("<Button-5>", x=5, y=5)
    form.update()
    assert form.values() == before and form.scrolled_by() > 0


def test_language_is_switched_live_and_nothing_english_stays(root: tk.Tk, tmp_path: Path) -> None:
    language = Language()
    form = SettingsForm(root, language, presets=Presets(tmp_path / "presets.json"))
    form.pack(fill="both", expand=True)
    form.finish()
    root.update()
    language.messages = Messages("fr")
    form.retranslate()
    form.finish()
    root.update()
    shown = texts(form)
    same = {
        "ASTAP",
        "English",
        "Français",
        "Lanczos-3",
        "CFA drizzle",
        "Compression",
        "Projection",
        "Rotation",
        "Centre",
        "Normalisation",
        "NaN",
        "HWC",
        "CHW",
    }
    for name, about in declared().items():
        assert Messages("fr")(f"setting.{name}") in shown
        assert about.label in same or about.label not in shown, name
    assert form.group_titles()["stacking"] == "Empilement"


def test_hidden_settings_keep_their_values(root: tk.Tk, tmp_path: Path) -> None:
    form = SettingsForm(
        root, Language(), hidden=("language",), values={"language": "fr"}, presets=Presets(tmp_path / "p")
    )
    form.finish()
    assert form.values()["language"] == "fr" and "language" not in form.group_titles()
    form.set_values({"language": "en", "edge_taper": 3})
    assert form.changed() == {"edge_taper": 3}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_dim_and_wrong_words_keep_their_colours_when_the_theme_changes(
    form: SettingsForm, root: tk.Tk, theme: str
) -> None:
    sv_ttk.set_theme(theme, root)
    root.update()
    dim = [each for each in form.row("edge_taper").winfo_children() if str(each.cget("style")) == "Dim.TLabel"]
    assert len(dim) == 1 and str(dim[0].cget("foreground")) == ""
