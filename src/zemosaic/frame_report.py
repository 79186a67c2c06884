"""The table of frames for people and for programs: terminal, CSV, JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from zemosaic.errors import OutputError
from zemosaic.messages import Messages, sentence
from zemosaic.model import FrameState
from zemosaic.quality import FrameQuality, in_words

__all__ = ["as_csv", "as_json", "as_text", "csv_text", "known", "plain_rows", "write_report"]

NAME_WIDTH = 44  # characters of a file's name, its end: names of subs differ there
PLACES = ("target", "filter", "instrument", "panel")  # shown where the files differ in them
NUMBERS = ("fwhm", "round", "stars", "light", "uneven", "sky", "noise", "weight")
USABLE = (FrameState.MATCHED, FrameState.USED)
UNKNOWN = "-"


def as_text(table: Sequence[FrameQuality], messages: Messages) -> str:
    """A line per file, the remarks or the reason at its end, and a summary, in the user's language."""
    places = [name for name in PLACES if len({getattr(row, name) for row in table if row.state in USABLE}) > 1]
    head = [messages(f"inspect.{name}") for name in ("file", "state", *places, *NUMBERS, "remarks")]
    lines = [head, *(_cells(row, places, messages) for row in table)]
    width = [max(len(line[k]) for line in lines) for k in range(len(head) - 1)]
    aligned = [
        "  ".join(
            [
                *(
                    cell.ljust(n) if k < 2 + len(places) else cell.rjust(n)
                    for k, (cell, n) in enumerate(zip(line, width))
                ),
                line[-1],
            ]
        ).rstrip()
        for line in lines
    ]
    states = Counter(row.state for row in table if row.state not in USABLE)
    left_out = ", ".join(f"{n} × {messages.word('state', state)}" for state, n in states.most_common())
    usable = sum(row.state in USABLE for row in table)
    summary = messages("inspect.summary", usable=usable, files=len(table))
    return "\n".join([*aligned, "", summary, *([messages("inspect.left_out", states=left_out)] if states else [])])


def _cells(row: FrameQuality, places: Sequence[str], messages: Messages) -> list[str]:
    name = Path(row.file).name
    remarks = ", ".join(messages(f"remark.{key}", value=value) for key, value in row.remarks)
    return [
        name if len(name) <= NAME_WIDTH else "..." + name[3 - NAME_WIDTH :],
        messages.word("state", row.state),
        *(UNKNOWN if (value := getattr(row, name)) in ("", -1) else str(value) for name in places),
        _number(row.fwhm_arcsec, ".1f"),
        _number(row.roundness, ".2f"),
        UNKNOWN if row.stars < 0 else f"{row.stars}/{_number(row.expected, '.0f')}",
        _number(100.0 * row.transparency, ".0f"),
        _number(row.uneven, ".0f"),
        _number(row.sky, ".0f"),
        _number(row.noise, ".1f"),
        _number(row.weight, ".2f"),
        sentence(row.reason, messages) or remarks,
    ]


def _number(value: float, form: str) -> str:
    return UNKNOWN if math.isnan(value) else format(value, form)


def as_csv(table: Sequence[FrameQuality]) -> str:
    """All columns, the first line their names; unknown values are empty."""
    return csv_text(plain_rows(table))


def as_json(table: Sequence[FrameQuality]) -> str:
    """A list of objects; unknown values are null, remarks an object of figures."""
    return json.dumps(plain_rows(table), indent=1, ensure_ascii=False) + "\n"


def plain_rows(table: Sequence[FrameQuality]) -> list[dict[str, object]]:
    """The table for programs: unknown values are None, remarks a mapping of figures."""
    return [
        {name: known(value) for name, value in vars(row).items()}
        | {"remarks": {name: known(value) for name, value in row.remarks}}
        for row in table
    ]


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV, remarks as text; the first line holds the names of the columns, those of a frame where there is no row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0] if rows else [field.name for field in dataclasses.fields(FrameQuality)])
    for row in rows:
        writer.writerow(_csv_cell(value) for value in row.values())
    return out.getvalue()


def _csv_cell(value: object) -> object:
    if isinstance(value, Mapping):
        return in_words(value.items())
    return "" if value is None else value


def known(value: object) -> object:
    """None for what stands for an unknown value; numbers to five places."""
    unknown = (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and value == -1)
    return None if unknown else round(value, 5) if isinstance(value, float) else value


def write_report(path: Path, text: str) -> None:
    """Write a table to a file, whole or not at all.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another file.") from error
