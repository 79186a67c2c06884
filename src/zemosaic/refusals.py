"""What people read where settings cannot be: pydantic's findings in the project's words, and names that are meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from zemosaic.declaration import Declared
from zemosaic.errors import SettingsError, WrongSetting
from zemosaic.first_release import NO_EFFECT, RENAMED

__all__ = ["in_words", "suggestion"]

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
MOST_LIKE = 3  # settings that are named for one that is not there


def in_words(error: ValidationError, settings: Mapping[str, Declared], source: str) -> SettingsError:
    """All that pydantic found wrong.

    settings : those that there are
    source : where the values come from, for people
    """
    wrong = [_wrong(dict(detail), settings) for detail in error.errors()]
    return SettingsError("\n  ".join([f"{source}:", *(each.words for each in wrong)]), wrong)


def _wrong(detail: Mapping[str, Any], settings: Mapping[str, Declared]) -> WrongSetting:
    """One error of pydantic: the setting, what is expected, what was got."""
    name = str(detail["loc"][0]) if detail["loc"] else ""
    if name not in settings:
        return WrongSetting(name, "unknown", _unknown(name, settings))
    about = settings[name]
    kind = _kind(detail, about)
    match kind:
        case "choice":
            expected = "must be one of " + ", ".join(about.choices)
        case "bool" | "int" | "float" | "str":
            expected = f"must be {KINDS[about.kind]}"
        case _:
            expected = str(detail["ctx"]["error"])
    if about.secret:  # is never shown
        return WrongSetting(name, kind, f"{name} {expected}")
    got = str(detail["input"])
    got = got if re.fullmatch("[-+.0-9]+", got) else repr(detail["input"])
    return WrongSetting(name, kind, f"{name} {expected} (got {got})")


def _unknown(name: str, settings: Mapping[str, Declared]) -> str:
    if name in RENAMED:
        return f"there is no setting {name!r} any more; it is called {RENAMED[name]!r}"
    if name in NO_EFFECT:
        return f"there is no setting {name!r} any more: {NO_EFFECT[name]}"
    return f"there is no setting {name!r}{suggestion(name, settings)}"


def _kind(detail: Mapping[str, Any], about: Declared) -> str:
    if about.choices:
        return "choice"
    if detail["type"] == "value_error":
        return "limits" if about.limits else about.name
    return about.kind.__name__


def suggestion(name: str, settings: Iterable[str]) -> str:
    """'; did you mean ...?' for a name that is close to that of a setting, today's or the first release's, else nothing."""
    known = list(settings)
    names = [*known, *NO_EFFECT, *RENAMED]
    close = difflib.get_close_matches(name, names, n=1)
    if not close and (word := difflib.get_close_matches(name, {w for each in names for w in each.split("_")}, n=1)):
        close = [each for each in known if word[0] in each.split("_")]
    return f"; did you mean {', '.join(map(repr, close))}?" if 0 < len(close) <= MOST_LIKE else ""
