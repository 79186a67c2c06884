"""What the form says about settings, in both languages, and what it makes of typed text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zemosaic.gui.setting_words import as_text, as_value, help_text, limits_text, matches, why_wrong
from zemosaic.messages import LANGUAGES, Messages
from zemosaic.settings import Settings, declared

ENGLISH, FRENCH = Messages("en"), Messages("fr")


@pytest.mark.parametrize("name", list(declared()))
def test_defaults_go_into_the_form_and_come_back(name: str) -> None:
    about = declared()[name]
    text = as_text(about.default)
    assert as_value(about, text) == about.default and type(as_value(about, text)) is type(about.default)
    assert why_wrong(about, text, ENGLISH) == ""


@given(st.floats(0.1, 10))
def test_numbers_come_back_with_point_or_comma(value: float) -> None:
    about = declared()["stacking_kappa_low"]
    text = as_text(value)
    assert as_value(about, text) == as_value(about, text.replace(".", ",")) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "typed", "english", "french"),
    [
        ("stacking_kappa_low", "12", "This must be 0.1 to 10 σ.", "Il faut : 0,1 à 10 σ."),
        ("stacking_kappa_low", "four", "Type a number.", "Entrez un nombre."),
        ("stacking_kappa_low", "", "Type a number.", "Entrez un nombre."),
        ("edge_taper", "1.5", "Type a whole number.", "Entrez un nombre entier."),
        ("stacking_winsor_limits", "0.7,0", "each from 0 to less than 0.5", "chacune de 0 à moins de 0.5"),
        ("file_weights", "old*=-1", "a weight above 0", "un poids supérieur à 0"),
    ],
)
def test_wrong_values_are_told_in_the_user_s_words(name: str, typed: str, english: str, french: str) -> None:
    assert english in why_wrong(declared()[name], typed, ENGLISH)
    assert french in why_wrong(declared()[name], typed, FRENCH)


@pytest.mark.parametrize("name", list(declared()))
@pytest.mark.parametrize("language", LANGUAGES)
def test_help_speaks_the_words_of_the_form(name: str, language: str) -> None:
    """No name of a setting or value in backticks; limits, default and the name in files are there."""
    about, tr = declared()[name], Messages(language)
    text = help_text(about, tr)
    assert "`" not in text and text.splitlines()[-1].endswith(name)
    assert about.limits is None or limits_text(about, tr) in text
    rest = text.rpartition("\n")[0]
    assert not [other for other in declared() if "_" in other and other in rest]
    assert not [choice for each in declared().values() for choice in each.choices if "_" in choice and choice in rest]


def test_the_help_of_a_choice_names_what_the_list_shows() -> None:
    text = help_text(declared()["resampling"], FRENCH)
    assert "« bicubique »" in text and "« Taille des gouttes »" in text


def test_search_looks_at_names_labels_groups_help_and_choices() -> None:
    found = {name for name, about in declared().items() if matches(about, "winsor", ENGLISH)}
    assert {"stacking_winsor_limits", "winsor_worker_limit", "stacking_rejection_algorithm"} <= found
    assert "edge_taper" not in found
    assert matches(declared()["edge_taper"], "FONDU bords", FRENCH)
    assert {name for name, about in declared().items() if matches(about, "", FRENCH)} == set(Settings.model_fields)
