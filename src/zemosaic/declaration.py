"""How a setting is declared in `settings`, and what can be asked about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import Field
from pydantic.fields import FieldInfo

__all__ = ["Declared", "choices", "of_field", "setting"]


def setting(
    default: Any,
    group: str,
    label: str,
    text: str,
    *,
    unit: str = "",
    limits: tuple[float, float] | None = None,
    zero: str = "",
    secret: bool = False,
) -> Any:
    """One setting; `label` is its short name for people, `text` what it does, a sentence or more.

    `limits` include both ends, `zero` says what 0 means where 0 lies outside of them. A text whose choices are not declared takes
    `unit` as the word for what it holds. A secret one is never shown.
    """
    extra: dict[str, Any] = {"group": group, "label": label, "unit": unit, "limits": limits, "zero": zero}
    return Field(default, description=text, json_schema_extra=extra, exclude=secret, repr=not secret)


@dataclass(frozen=True)
class Declared:
    """What is declared about one setting; the command line and the reference are made from it."""

    name: str
    kind: type  # bool, int, float or str
    choices: tuple[str, ...]  # of a str
    default: bool | int | float | str
    unit: str
    limits: tuple[float, float] | None  # both included
    zero: str  # what 0 means where it lies outside of the limits
    group: str
    label: str  # what people call it
    text: str  # what it does, a sentence or more
    secret: bool  # never shown

    def range_text(self) -> str:
        """The limits in words."""
        if self.limits is None:
            return ""
        least, most = self.limits
        text = f"at most {most:g}" if math.isinf(least) else f"from {least:g} to {most:g}"
        text += f" {self.unit}" if self.unit else ""
        return f"{text}, or 0 for: {self.zero}" if self.zero else text


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The words that a setting can be; none where its values are not listed."""
    annotation = field.annotation
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


def of_field(name: str, field: FieldInfo) -> Declared:
    """What is declared about the setting `name`."""
    extra: Any = field.json_schema_extra
    words = choices(field)
    kind: Any = str if words else field.annotation
    return Declared(name, kind, words, field.default, **extra, text=field.description or "", secret=bool(field.exclude))
