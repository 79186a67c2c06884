"""Patterns of file names, against a slow and obvious twin."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zemosaic.patterns import as_pattern, fitting, patterns, weights_by_pattern

PATHS = [Path(each) for each in ("/data/M31/Light_0001.fit", "/data/M31/Light_0002.fit", "/data/old/Light_0001.fit")]


@pytest.mark.parametrize(
    ("pattern", "hits"),
    [
        ("Light_0001.fit", [0, 2]),
        ("light_0001.FIT", [0, 2]),
        ("*0001*", [0, 2]),
        ("Light_000?.fit", [0, 1, 2]),
        ("M31/*", [0, 1]),
        ("m31/light_0002.fit", [1]),
        ("M31\\Light_0002.fit", [1]),
        ("/data/old/Light_0001.fit", [2]),
        ("data/*", [0, 1, 2]),
        ("M31", []),
        ("ight_0001.fit", []),
        ("31/*", []),
        ("*M31*", []),  # without a slash it is the name
        ("*.[f]it", []),  # no other sign means anything
    ],
)
def test_what_a_pattern_fits(pattern: str, hits: list[int]) -> None:
    found, idle = fitting(PATHS, [pattern])
    assert found == {PATHS[k] for k in hits} and idle == (() if hits else (pattern,))


NAMES = st.text("ab.", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))


@given(st.lists(NAMES, max_size=6), st.lists(st.text("ab.*?", min_size=1, max_size=4), max_size=4))
def test_names_fit_as_in_a_shell(names: list[str], wanted: list[str]) -> None:
    paths = [Path("/x") / name for name in names]
    found, idle = fitting(paths, wanted)
    assert found == {path for path in paths if any(fnmatchcase(path.name, each) for each in wanted)}
    assert set(idle) == {each for each in wanted if not any(fnmatchcase(path.name, each) for path in paths)}


@given(st.lists(st.text('a;*?[ é"=', min_size=1, max_size=5), min_size=1, max_size=5, unique=True))
def test_patterns_of_files_fit_these_files_and_no_others(names: list[str]) -> None:
    paths = [Path("/x") / name for name in names]
    made = [as_pattern(str(path)) for path in paths]
    assert patterns("; ".join(made)) == tuple(made)
    found, idle = fitting(paths, made)
    assert found == set(paths) and idle == ()
    for path, each in zip(paths, made, strict=True):
        assert fitting(paths, [each])[0] == {path}
        assert weights_by_pattern(f"{each}=0.5") == ((each, 0.5),)


def test_a_quote_that_is_not_closed_is_a_letter() -> None:
    assert patterns('a"b; c; "d;e"; ""') == ('a"b', "c", '"d;e"', '""')


def test_thousands_of_names_are_looked_up() -> None:
    paths = [Path(f"/data/Light_{k}.fit") for k in range(20_000)]
    found, idle = fitting(paths, [as_pattern(str(path)) for path in paths[::2]])
    assert len(found) == 10_000 and idle == ()
