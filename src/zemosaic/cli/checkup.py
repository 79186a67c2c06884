"""The findings of `zemosaic doctor`: all of them, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from zemosaic import __version__
from zemosaic.doctor import ABSENT, BROKEN, OK, POOR, Finding
from zemosaic.doctor import examined as examined_without_window
from zemosaic.frame_report import known
from zemosaic.gui.checkup import window_found
from zemosaic.messages import Messages
from zemosaic.settings import Settings

__all__ = ["as_json", "as_text", "examined"]


def examined(settings: Settings, folder: Path) -> tuple[Finding, ...]:
    return (*examined_without_window(settings, folder), window_found())


def as_text(findings: Sequence[Finding], messages: Messages) -> str:
    """A line each, what to do below it, and how it stands at the end."""
    marks = {state: messages(f"doctor.state.{state}") for state in (OK, POOR, ABSENT, BROKEN)}
    width = max(map(len, marks.values()))
    lines = [f"ZeMosaic {__version__}"]
    for each in findings:
        text, advice = _words(each, messages)
        line = messages("doctor.line", subject=messages(f"doctor.{each.subject}"), text=text)
        lines.append(f"{marks[each.state]:<{width}}  {line}")
        lines += [f"{'':<{width}}  -> {advice}"] if advice else []
    broken = any(each.state == BROKEN for each in findings)
    good = all(each.state == OK for each in findings)
    return "\n".join([*lines, "", messages(f"doctor.end.{'broken' if broken else 'good' if good else 'enough'}")])


def _words(finding: Finding, messages: Messages) -> tuple[str, str]:
    """What was found, and what to do about it; "" where there is nothing to do."""
    key = f"doctor.{finding.subject}.{finding.kind}"
    todo = f"{key}.todo"
    return messages(key, **finding.values), messages(todo, **finding.values) if todo in messages else ""


def as_json(findings: Sequence[Finding], messages: Messages) -> str:
    """All findings with their values, texts in English."""
    rows = []
    for each in findings:
        text, advice = _words(each, messages)
        values = {name: known(value) for name, value in each.values.items()}
        rows.append({"subject": each.subject, "state": each.state, "text": text, "todo": advice, "values": values})
    ok = all(each.state != BROKEN for each in findings)
    return json.dumps({"version": __version__, "ok": ok, "findings": rows}, indent=1, ensure_ascii=False)
