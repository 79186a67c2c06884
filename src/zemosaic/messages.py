"""Texts for people, by key, in the user's language; only the edges (command line, window) use them."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

__all__ = ["LANGUAGES", "Messages", "load_locale"]

LANGUAGES = ("en", "fr")


@cache
def load_locale(language: str) -> dict[str, str]:
    """All texts of a language by key."""
    source = resources.files("zemosaic") / "locales" / f"{language}.json"
    texts: dict[str, str] = json.loads(source.read_text(encoding="utf-8"))
    return texts


class Messages:
    """Looks up texts: `messages("run.done", seconds=12.0)`."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self._texts = load_locale(language)

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key`, of `key.one` where it counts frames (`frames`, `used`), there is one, and the key is there."""
        one = f"{key}.one"
        lone = 1 in (values.get("frames"), values.get("used")) and one in self._texts
        return self._texts[one if lone else key].format(**values)

    def word(self, kind: str, name: str) -> str:
        """A name of the engine (phase, unit, state) in the user's words; the name itself where nobody wrote them."""
        return self._texts.get(f"{kind}.{name}", name)

    def duration(self, seconds: float) -> str:
        """For people: 8.2 s, 3 min 20 s, 2 h 05 min."""
        if seconds < 60:
            return f"{seconds:.1f} s"
        minutes, rest = divmod(round(seconds), 60)
        if minutes < 60:
            return f"{minutes} min {rest:02d} s"
        return f"{minutes // 60} h {minutes % 60:02d} min"
