"""How the widgets get their texts."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Words"]


class Words(Protocol):
    """The text of a key in the user's language, its places filled in; `zemosaic.messages.Messages` is one."""

    def __call__(self, key: str, /, **values: object) -> str: ...
