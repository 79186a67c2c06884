"""What the form says about a setting, and how typed text becomes a value: no widgets here."""

from __future__ import annotations

import math
import re

from zemosaic.declaration import Declared
from zemosaic.gui.words import Words
from zemosaic.settings import declared
from zemosaic.settings_files import refused

__all__ = ["as_text", "as_value", "choice_words", "help_text", "limits_text", "matches", "why_wrong"]

Value = bool | int | float | str


def as_text(value: object) -> str:
    """A value as the form shows it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def as_value(about: Declared, text: str) -> Value:
    """What was typed as a value of the setting's kind; the text itself where it is none (`why_wrong` says so).

    Numbers may have a decimal comma.
    """
    typed = text.strip()
    if about.kind is bool:
        return typed == "1"
    if about.kind is str:
        return typed
    try:
        return int(typed) if about.kind is int else float(typed.replace(",", "."))
    except ValueError:
        return typed


def why_wrong(about: Declared, text: str, tr: Words) -> str:
    """Why what was typed cannot be used, in the user's words; "" when it can."""
    why = refused(about.name, as_value(about, text))
    if not why:
        return ""
    if why == "limits":
        return tr("gui.settings.wrong.limits", limits=limits_text(about, tr))
    return tr(f"gui.settings.wrong.{why}")


def _unit(about: Declared, tr: Words) -> str:
    return "" if about.unit in ("", "text", "path") else tr(f"unit.{about.unit}")


def limits_text(about: Declared, tr: Words) -> str:
    """The limits with their unit, and what 0 means outside of them; "" where there are none."""
    unit = _unit(about, tr)
    space = "" if unit in ("", "°") or unit.startswith('"') else " "
    if about.limits is None:
        return unit
    least, most = about.limits
    if math.isinf(least):
        text = tr("gui.settings.at_most", most=most)
    else:
        text = tr("gui.settings.from_to", least=least, most=most)
    text += f"{space}{unit}"
    return tr("gui.settings.or_zero", limits=text, zero=tr(f"setting.{about.name}.zero")) if about.zero else text


def choice_words(about: Declared, tr: Words) -> list[str]:
    return [tr(f"choice.{about.name}.{choice}") for choice in about.choices]


def default_text(about: Declared, tr: Words) -> str:
    if about.kind is bool:
        return tr("gui.settings.on" if about.default else "gui.settings.off")
    if about.choices:
        return tr(f"choice.{about.name}.{about.default}")
    return as_text(about.default) or tr("gui.settings.empty")


def help_text(about: Declared, tr: Words) -> str:
    """The whole help: name, what it does in the words of the form, limits, default, and its name in files and flags."""
    known = declared()

    def in_words(found: re.Match[str]) -> str:
        name = found[1]
        if name in about.choices:
            return tr("gui.settings.quoted", name=tr(f"choice.{about.name}.{name}"))
        if name in known:
            return tr("gui.settings.quoted", name=tr(f"setting.{name}"))
        owners = [each for each in known.values() if name in each.choices]
        if len(owners) == 1:
            return tr("gui.settings.quoted", name=tr(f"choice.{owners[0].name}.{name}"))
        return name

    lines = [tr(f"setting.{about.name}"), re.sub("`([^`]+)`", in_words, tr(f"setting.{about.name}.help")), ""]
    if limits := limits_text(about, tr):
        lines.append(tr("gui.settings.help.limits", limits=limits))
    lines.append(tr("gui.settings.help.default", default=default_text(about, tr)))
    lines.append(tr("gui.settings.help.name", name=about.name))
    return "\n".join(lines)


def matches(about: Declared, needle: str, tr: Words) -> bool:
    """Whether all words of a search appear in the setting's name, label, group, help or choices."""
    parts = [about.name, tr(f"setting.{about.name}"), tr(f"group.{about.group}"), tr(f"setting.{about.name}.help")]
    text = " ".join([*parts, *choice_words(about, tr)]).casefold()
    return all(word in text for word in needle.casefold().split())
