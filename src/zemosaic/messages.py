"""Texts for people, by key, in the user's language; only the edges (command line, window) use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from importlib import resources

__all__ = ["LANGUAGES", "Messages", "load_locale", "recognised", "sentence"]

LANGUAGES = ("en", "fr")


@cache
def load_locale(language: str) -> dict[str, str]:
    """All texts of a language by key."""
    source = resources.files("zemosaic") / "locales" / f"{language}.json"
    texts: dict[str, str] = json.loads(source.read_text(encoding="utf-8"))
    return texts


class _WithComma(float):
    def __format__(self, spec: str) -> str:
        return super().__format__(spec).replace(".", ",")


class Messages:
    """Looks up texts: `messages("run.done", seconds=12.0)`."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._texts = load_locale(language)

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key`, or of `key.one.NAME` where the count NAME is 1 and there is such a text.

        Counts are whole numbers, or their digits. French texts have a comma in their decimal fractions.
        """
        lone = (f"{key}.one.{name}" for name, value in values.items() if str(value) == "1")
        told = next((one for one in lone if one in self._texts), key)
        if self.language == "fr":
            values = {name: _WithComma(value) if isinstance(value, float) else value for name, value in values.items()}
        return self._texts[told].format(**values)

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def word(self, kind: str, name: str) -> str:
        """A name of the engine (phase, unit, state) in the user's words; the name itself where nobody wrote them."""
        return self._texts.get(f"{kind}.{name}", name)

    def seam_place(self, first: int, second: int, sets: tuple[str, str]) -> str:
        """Between which panels a seam lies, or which sets of frames of one (see `zemosaic.sides`)."""
        if not any(sets):
            return self("seam.between", first=first, second=second)
        return self("seam.within", panel=first, one=sets[0], other=sets[1] or self("seam.others"))

    def duration(self, seconds: float) -> str:
        """For people: 8.2 s, 3 min 20 s, 2 h 05 min."""
        if seconds < 60:
            return f"{_WithComma(seconds) if self.language == 'fr' else seconds:.1f} s"
        minutes, rest = divmod(round(seconds), 60)
        if minutes < 60:
            return f"{minutes} min {rest:02d} s"
        return f"{minutes // 60} h {minutes % 60:02d} min"


FILE_BEFORE = re.compile(r"(.*?\.(?:fits?|fts)(?:\.[gf]z)?: )(.+)", re.IGNORECASE | re.DOTALL)
NEXT = re.compile(r"(?<=[.?]) (?=[A-Z]|astrometry\.net: )")  # between two sentences

LIST = ", "  # between the parts of a place that is called "list"


def recognised(english: str) -> tuple[str, dict[str, str]] | None:
    """The key of a sentence that the engine said, and what fills its places; None where it is none of `said.*`."""
    lower = english.lower()
    for fragment, pattern, key in _said():
        if fragment in lower and (found := pattern.fullmatch(english)):
            return key, found.groupdict()
    return None


def sentence(english: str, tr: Callable[..., str]) -> str:
    """What the engine said in English in the user's words, one sentence after the other; what nobody has translated as it is.

    tr : gives the text of a key, as `Messages` does
    """
    if "\n" in english:  # several, a line each
        return "\n".join(line[: -len(line.lstrip())] + sentence(line.lstrip(), tr) for line in english.split("\n"))
    parts = NEXT.split(english)
    if (begun := _begun(parts)) is not None:
        key, places, end = begun
        text = tr(key, **{name: _placed(name, place, tr) for name, place in places.items()})
        text = text[:1].upper() + text[1:] if english[:1].isupper() else text
        return f"{text} {sentence(' '.join(parts[end:]), tr)}" if end < len(parts) else text
    if before := FILE_BEFORE.fullmatch(english):
        return before[1] + sentence(before[2], tr)
    return f"{parts[0]} {sentence(' '.join(parts[1:]), tr)}" if len(parts) > 1 else english


def _placed(name: str, place: str, tr: Callable[..., str]) -> str:
    """What fills a place, in the user's words; parts of a list one by one."""
    return LIST.join(sentence(each, tr) for each in place.split(LIST)) if name == "list" else sentence(place, tr)


def _begun(parts: list[str]) -> tuple[str, dict[str, str], int] | None:
    """The text that the first sentences are, its places, and how many sentences it takes; None where nobody wrote it.

    As many as one text has, but what fills a place takes the next sentence in only where nothing else fits.
    """
    found = {end: recognised(" ".join(parts[:end])) for end in range(len(parts), 0, -1)}
    whole = {end: text for end, text in found.items() if text is not None}
    alone = (end for end, text in whole.items() if not any(NEXT.search(place) for place in text[1].values()))
    end = next(alone, min(whole, default=0))
    return (*whole[end], end) if end else None


@cache
def _said() -> list[tuple[str, re.Pattern[str], str]]:
    """The longest fixed part of each sentence, in lower case, its pattern, its key; the most telling first."""
    result = []
    for key, text in load_locale("en").items():
        if key.startswith("said.") or key.endswith(".zero"):  # what 0 means, within what a setting must be
            pieces = re.split(r"\{(\w+)\}", text)
            fixed, names = pieces[::2], pieces[1::2]
            body = re.escape(fixed[0])
            for name, piece in zip(names, fixed[1:], strict=True):
                body += f"(?P<{name}>.+?)" + re.escape(piece)
            result.append((max(fixed, key=len).lower(), re.compile(body, re.IGNORECASE | re.DOTALL), key))
    return sorted(result, key=lambda each: -len(each[0]))
