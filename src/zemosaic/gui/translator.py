"""The language of the window: one translator for all of it, and the widgets whose texts change with it."""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping
from typing import Any

from zemosaic.messages import LANGUAGES, Messages

__all__ = ["Texts", "Translator", "system_language"]

KILO = 1024.0


class Translator:
    """Looks up texts in the language of the moment; everybody holds the same one."""

    def __init__(self, language: str) -> None:
        self._messages = Messages(language)

    @property
    def language(self) -> str:
        return self._messages.language

    @property
    def messages(self) -> Messages:
        return self._messages

    def use(self, language: str) -> None:
        self._messages = Messages(language)

    def __call__(self, key: str, /, **values: object) -> str:
        return self._messages(key, **values)

    def duration(self, seconds: float) -> str:
        return self._messages.duration(seconds)

    def span(self, seconds: float) -> str:
        """A time that is only known to the second."""
        return self._messages.duration(round(seconds)).replace(".0 s", " s").replace(",0 s", " s")

    def size(self, megabytes: float) -> str:
        """Of memory or disk."""
        if megabytes < KILO:
            return self("gui.size.mb", value=megabytes)
        return self("gui.size.gb", value=megabytes / KILO)


class Texts:
    """Widgets and the keys of their texts."""

    def __init__(self, tr: Translator) -> None:
        self._tr = tr
        self._bound: dict[tuple[int, str], tuple[Any, str, str, Mapping[str, object]]] = {}

    def bind(self, widget: Any, key: str, option: str = "text", **values: object) -> None:
        """Give a widget its text, now and whenever the language changes; again for another one."""
        self._bound[id(widget), option] = (widget, key, option, values)
        widget.configure(**{option: self._tr(key, **values)})

    def retranslate(self) -> None:
        for widget, key, option, values in self._bound.values():
            widget.configure(**{option: self._tr(key, **values)})


def system_language() -> str:
    """The system's language if there are texts in it, else English."""
    names = [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    written = next(filter(None, names), "") or locale.getlocale()[0] or ""
    code = written[:2].lower()
    return code if code in LANGUAGES else {"fr": "fr"}.get(written.lower()[:6].replace("french", "fr"), "en")
