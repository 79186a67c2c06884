"""Order and choice of the rows of the table."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from frames import ONE, frames
from hypothesis import given, settings
from hypothesis import strategies as st

from zemosaic.gui.frame_columns import COLUMNS, cells
from zemosaic.gui.frame_model import ALL, CHUNK, EXCLUDED, GOOD, LEFT_OUT, USABLE, FrameModel
from zemosaic.messages import LANGUAGES, Messages, load_locale
from zemosaic.model import FrameState

ROWS = frames(300)


def model(language: str = "en") -> FrameModel:
    made = FrameModel(Messages(language))
    made.set_rows(ROWS)
    return made


def chosen(made: FrameModel, words: str = "", state: str = ALL, excluded: frozenset[str] = frozenset()) -> list[int]:
    for _ in made.choose(words, state, excluded):
        continue
    return made.order.tolist()


@pytest.mark.parametrize("key", [column.key for column in COLUMNS])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_column_sorts_stably_with_unknown_values_last(key: str, reverse: bool) -> None:
    made = model()
    made.sort(key, reverse=reverse)
    column = next(each for each in COLUMNS if each.key == key)

    def shown(number: int) -> float | str:
        value = column.value(ROWS[number])
        if isinstance(value, float):
            return value
        at = [each.key for each in COLUMNS].index(key)
        return cells(ROWS[number], Messages("en"))[at].casefold() if key in ("state", "reason") else value.casefold()

    known = [n for n in range(len(ROWS)) if shown(n) not in ("", "–") and shown(n) == shown(n)]
    unknown = [n for n in range(len(ROWS)) if n not in set(known)]
    assert made.order.tolist() == sorted(known, key=shown, reverse=reverse) + unknown


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([8.0, 8.5, math.nan]), max_size=12))
def test_the_longest_and_the_empty_table_sort_too(values: list[float]) -> None:
    made = FrameModel(Messages())
    made.set_rows([replace(ONE, file=str(n), fwhm_arcsec=value) for n, value in enumerate(values)])
    made.sort("fwhm", reverse=True)
    order = made.order.tolist()
    assert sorted(order) == list(range(len(values)))
    known = [values[n] for n in order if not math.isnan(values[n])]
    assert known == sorted(known, reverse=True)


def test_words_are_looked_for_in_names_states_reasons_and_remarks() -> None:
    assert chosen(model(), "_00017") == [17]
    clouded = [n for n, row in enumerate(ROWS) if row.state == "clouded"]
    assert clouded and chosen(model(), "usual light") == clouded
    assert chosen(model("fr"), "NUAGES") == clouded
    assert chosen(model(), "fwhm times") == [n for n, row in enumerate(ROWS) if row.remarks and not row.reason]
    assert chosen(model(), "nothing of the kind") == []


def test_numbers_are_compared_by_the_columns_name_in_both_languages() -> None:
    soft = [n for n, row in enumerate(ROWS) if row.fwhm_arcsec > 9.0]
    assert (
        soft and chosen(model(), "fwhm>9") == chosen(model(), 'FWHM">9.0') == chosen(model("fr"), 'fwhm">9,0') == soft
    )
    few = [n for n in soft if ROWS[n].stars <= 150]
    assert chosen(model("fr"), "étoiles<=150 fwhm>9") == few
    assert chosen(model(), "stars=-1") == []  # unknown is no number


def test_states_and_the_user_s_own_choice() -> None:
    out = frozenset({ROWS[0].file, ROWS[9].file})
    bad = [n for n, row in enumerate(ROWS) if row.state != "used"]
    assert chosen(model(), state=USABLE, excluded=out) == [n for n in range(300) if n not in {0, *bad}]
    assert chosen(model(), state=LEFT_OUT, excluded=out) == sorted({0, *bad})
    assert chosen(model(), state=EXCLUDED, excluded=out) == [0, 9]
    assert chosen(model(), state="trailed") == [n for n in bad if ROWS[n].state == "trailed"]
    assert sum(count for _, count in model().states()) == 300


def test_choosing_is_done_in_chunks() -> None:
    made = FrameModel(Messages())
    made.set_rows(frames(5 * CHUNK + 1))
    assert sum(1 for _ in made.choose("light", ALL, frozenset())) == 6


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_can_be_shown(language: str) -> None:
    for state in FrameState:
        texts = cells(replace(ONE, state=state), Messages(language))
        assert load_locale(language)[f"state.{state}"] in texts and len(texts) == len(COLUMNS)
    assert set(FrameState) > GOOD
