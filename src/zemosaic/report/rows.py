"""The table of frames as the page's script reads it: columns, rows of plain values, and lists of texts that repeat."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zemosaic.messages import sentence
from zemosaic.report.values import FrameLine, Report
from zemosaic.report.words import Words

__all__ = ["data_of"]

ABSOLUTE = r"(?<![\w.:/\\])(?:[a-z]:|\\)?[\\/](?:[^\\/:;()\"\n]+[\\/])+"
Cell = Callable[[FrameLine], object]


@dataclass(frozen=True)
class Column:
    """One property of the frames."""

    key: str
    cell: Cell
    digits: int | None = None  # after the point; None for texts
    width: float = 4.6  # rem, in the table; 0: among the details only
    find: bool = False  # whether the search looks into it
    repeats: bool = False  # whether few texts stand in many rows
    wide: bool = False  # whether it takes a line of its own among the details
    said: bool = False  # whether the engine said it, in English


COLUMNS = (
    Column("file", lambda f: Path(f.quality.file).name, width=23, find=True, wide=True),
    Column("state", lambda f: f.quality.state, width=9.6, find=True, repeats=True),
    Column("reason", lambda f: f.quality.reason or f.quality.remarks, width=17, find=True, wide=True, said=True),
    Column("weight", lambda f: f.quality.weight, 2, 5),
    Column("panel", lambda f: f.quality.panel, 0, 4.8),
    Column("time", lambda f: _clock(f.time), width=11.5, find=True),
    Column("exposure", lambda f: f.quality.exposure, 1, 5),
    Column("fwhm", lambda f: f.quality.fwhm_arcsec, 2, 5),
    Column("stars", lambda f: f.quality.stars, 0, 4.8),
    Column("sky", lambda f: f.quality.sky, 0, 5),
    Column("light", lambda f: 100.0 * f.quality.transparency, 0, 6),
    Column("uneven", lambda f: f.quality.uneven, 0, 7),
    Column("residual", lambda f: f.quality.residual, 2, 6),
    Column("placed", lambda f: f.placed, 3, 6),
    Column("rejected", lambda f: f.rejected, 2, 6),
    Column("round", lambda f: f.quality.roundness, 2, 0),
    Column("noise", lambda f: f.quality.noise, 2, 0),
    Column("clipped", lambda f: f.quality.clipped, 2, 0),
    Column("expected", lambda f: f.quality.expected, 0, 0),
    Column("common", lambda f: f.quality.common, 0, 0),
    Column("catalogue", lambda f: f.quality.catalogue, 0, 0),
    Column("filter", lambda f: f.quality.filter, width=0, find=True, repeats=True),
    Column("instrument", lambda f: f.quality.instrument, width=0, find=True, repeats=True),
    Column("folder", lambda f: str(Path(f.quality.file).parent), width=0, find=True, repeats=True, wide=True),
)


def data_of(report: Report, words: Words) -> dict[str, Any]:
    """What the script needs; states, filters, telescopes and folders are numbers of lists."""
    lists: dict[str, dict[object, int]] = {c.key: {} for c in COLUMNS if c.repeats}
    hidden = _folders(report)
    rows = [[_cell(column, column.cell(f), lists, words, hidden) for column in COLUMNS] for f in report.frames]
    states = [str(name) for name in lists["state"]]
    shown: dict[str, list[str]] = {key: [str(each) for each in known] for key, known in lists.items()}
    shown["state"] = [words.word("state", name) for name in states]
    shown["folder"] = [_below(folder, report.folder) for folder in shown["folder"]]
    return {
        "language": words.language,
        "columns": [_head(column, words) for column in COLUMNS],
        "rows": rows,
        "lists": shown,
        "states": states,
        "used": states.index("used") if "used" in states else -1,
        "words": {"count": words("report.frames.count", shown="{shown}", all="{all}")},
    }


def _head(column: Column, words: Words) -> dict[str, Any]:
    return {
        "key": column.key,
        "name": words(f"report.column.{column.key}"),
        "digits": column.digits,
        "width": column.width,
        "find": column.find,
        "list": column.key if column.repeats else None,
        "hidden": column.width == 0,
        "wide": column.wide,
    }


def _cell(
    column: Column, value: object, lists: dict[str, dict[object, int]], words: Words, hidden: re.Pattern[str]
) -> object:
    if column.repeats:
        known = lists[column.key]
        return known.setdefault(value, len(known))
    if isinstance(value, tuple):
        return ", ".join(words(f"remark.{key}", value=figure) for key, figure in value)
    if isinstance(value, float):
        return round(value, column.digits or 0) if math.isfinite(value) else None
    if column.said:
        return sentence(hidden.sub("", str(value)), words)
    return None if value == -1 else value


def _folders(report: Report) -> re.Pattern[str]:
    """What of a reason tells of someone's disk: folders of frames, and the folders of any absolute path."""
    folders = sorted({str(Path(f.quality.file).parent) for f in report.frames}, key=len, reverse=True)
    known = [re.escape(folder) + r"[\\/]" for folder in folders if Path(folder).is_absolute()]
    return re.compile("|".join([*known, ABSOLUTE]), re.IGNORECASE)


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S") if math.isfinite(time) else ""


def _below(folder: str, common: str) -> str:
    """A folder as seen from the one that holds all: short, and telling nothing of whose disk it is on."""
    return folder.removeprefix(common).lstrip("/\\") if common else folder
