"""Patterns of file names: `*` is anything, `?` one character, capitals or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["as_patterns", "fitting"]


def fitting(paths: Iterable[Path], patterns: Sequence[str]) -> tuple[frozenset[Path], tuple[str, ...]]:
    """The files that fit a pattern, and the patterns that fit none.

    A pattern is compared with the file's name; one with a slash with the end of its path, whole folders at a time. Patterns
    without `*` and `?` are looked up, so that thousands of them cost no more than one.
    """
    plain = {_folded(each): each for each in patterns if not _is_wild(each)}
    wild = {each: re.compile(_expression(each)) for each in patterns if _is_wild(each)}
    found, busy = set[Path](), set[str]()
    for path in paths:
        whole = _folded(str(path))
        parts = whole.split("/")
        names = ["/".join(parts[k:]) for k in range(len(parts))]
        fits = [plain[name] for name in names if name in plain]
        fits += [each for each, expression in wild.items() if expression.fullmatch(whole)]
        if fits:
            found.add(path)
            busy.update(_folded(each) for each in fits)
    return frozenset(found), tuple(each for each in patterns if _folded(each) not in busy)


def as_patterns(paths: Iterable[Path]) -> tuple[str, ...]:
    """Patterns that fit these files, in order: their paths, with `?` where a character would mean something else."""
    return tuple(sorted(re.sub(r"[;*]", "?", str(path)) for path in paths))


def _folded(text: str) -> str:
    return text.replace("\\", "/").casefold()


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _expression(pattern: str) -> str:
    """As a regular expression for whole paths; `*` stays within the name where the pattern has no slash."""
    any_one = "." if "/" in _folded(pattern) else "[^/]"
    parts = {"*": f"{any_one}*", "?": any_one}
    return "(?s:(?:.*/)?" + "".join(parts.get(each, re.escape(each)) for each in _folded(pattern)) + ")"
