"""Patterns of file names: `*` is anything, `?` one character, capitals or not.

What stands in double quotes is meant to the letter: `"a;b*.fit"` is the file of that name (`""` is one quote in it).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["Patterns", "as_pattern", "fitting", "is_wild", "meant", "patterns", "weights_by_pattern"]

PART = re.compile(
    r'\s*"(?:[^"]|"")*"[^;]*|[^;]+'
)  # between semicolons; those in quotes that a part begins with are letters
LETTERS = re.compile(r'"((?:[^"]|"")*)"', re.DOTALL)  # a part that is meant to the letter
SIGNS = ';*?"'


class Patterns:
    """Patterns to compare files with.

    A pattern is compared with the file's name; one with a slash with the end of its path, whole folders at a time. Patterns
    without `*` and `?` are looked up, so that thousands of them cost no more than one.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self.all = tuple(dict.fromkeys(patterns))
        self._plain: dict[str, list[str]] = {}  # those that differ in capitals only are one and the same
        for each in self.all:
            if not is_wild(each):
                self._plain.setdefault(_folded(meant(each)), []).append(each)
        self._wild = {each: re.compile(_expression(each)) for each in self.all if is_wild(each)}

    def of(self, path: str) -> tuple[str, ...]:
        """Those that a file fits."""
        whole = _folded(path)
        fits = [each for each, expression in self._wild.items() if expression.fullmatch(whole)]
        if self._plain:
            parts = whole.split("/")
            ends = ("/".join(parts[k:]) for k in range(len(parts)))
            fits += [each for end in ends for each in self._plain.get(end, ())]
        return tuple(fits)


def fitting(paths: Iterable[Path], patterns: Sequence[str]) -> tuple[frozenset[Path], tuple[str, ...]]:
    """The files that fit a pattern, and the patterns that fit none."""
    known = Patterns(patterns)
    hits = {path: found for path in paths if (found := known.of(str(path)))}
    busy = {each for found in hits.values() for each in found}
    return frozenset(hits), tuple(each for each in known.all if each not in busy)


def as_pattern(path: str) -> str:
    """A pattern that fits this file and no other: its path, in quotes where a sign in it would mean something else."""
    plain = path == path.strip() and not any(sign in path for sign in SIGNS)
    return path if plain else '"' + path.replace('"', '""') + '"'


def meant(pattern: str) -> str:
    """What stands in the quotes of a pattern; the pattern itself where there are none."""
    letters = LETTERS.fullmatch(pattern)
    return letters[1].replace('""', '"') if letters else pattern


def weights_by_pattern(text: str) -> tuple[tuple[str, float], ...]:
    """Patterns of file names and their weights, "pattern=weight; ..."; ValueError says what is expected."""
    found = []
    for part in filter(None, (each.strip() for each in PART.findall(text))):
        pattern, _, number = part.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not (pattern.strip() and 0.0 < weight < math.inf):
            raise ValueError(
                f"{part!r}: expected a pattern of file names, =, and a weight above 0, as in old_panel*=0.5"
            )
        found.append((pattern.strip(), weight))
    return tuple(found)


def patterns(text: str) -> tuple[str, ...]:
    """The parts of a text between its semicolons, each once; quotes stay."""
    return tuple(dict.fromkeys(filter(None, (each.strip() for each in PART.findall(text)))))


def _folded(text: str) -> str:
    return text.replace("\\", "/").casefold()


def is_wild(pattern: str) -> bool:
    """Whether it can fit several names."""
    return not LETTERS.fullmatch(pattern) and ("*" in pattern or "?" in pattern)


def _expression(pattern: str) -> str:
    """As a regular expression for whole paths; `*` stays within the name where the pattern has no slash."""
    any_one = "." if "/" in _folded(pattern) else "[^/]"
    parts = {"*": f"{any_one}*", "?": any_one}
    return "(?s:(?:.*/)?" + "".join(parts.get(each, re.escape(each)) for each in _folded(pattern)) + ")"
