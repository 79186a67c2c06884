"""The columns of the table of frames: what each shows and by what it sorts. No widgets here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from zemosaic.gui.words import Words
from zemosaic.messages import sentence
from zemosaic.quality import FrameQuality

__all__ = ["COLUMNS", "Column", "cells", "reason_words"]

UNKNOWN = "–"
NAME_WIDTH = 35  # characters of a file's name, its end: names of subs differ there
PERCENT = 100.0


@dataclass(frozen=True)
class Column:
    """One column; numbers sort and filter as numbers, everything else as words."""

    key: str  # of its text and in filters
    heading: str  # key of its text
    value: Callable[[FrameQuality], float | str]
    form: str = ""  # of a number
    width: int = 70  # px at 96 dpi

    @property
    def is_number(self) -> bool:
        return bool(self.form)


def _name(path: str) -> str:
    """The file's name; PurePath takes ten times as long."""
    return path.replace("\\", "/").rpartition("/")[2]


def _count(value: int) -> float:
    return math.nan if value < 0 else float(value)


COLUMNS = (
    Column("file", "inspect.file", lambda row: _name(row.file), width=290),
    Column("state", "inspect.state", lambda row: row.state, width=130),
    Column("reason", "gui.table.reason", lambda row: row.reason, width=240),
    Column("fwhm", "inspect.fwhm", lambda row: row.fwhm_arcsec, ".1f", 64),
    Column("round", "inspect.round", lambda row: row.roundness, ".2f", 64),
    Column("stars", "gui.table.stars", lambda row: _count(row.stars), ".0f", 64),
    Column("expected", "gui.table.expected", lambda row: row.expected, ".0f", 72),
    Column("light", "inspect.light", lambda row: PERCENT * row.transparency, ".0f", 72),
    Column("uneven", "inspect.uneven", lambda row: row.uneven, ".0f", 96),
    Column("sky", "inspect.sky", lambda row: row.sky, ".0f", 64),
    Column("noise", "inspect.noise", lambda row: row.noise, ".1f", 64),
    Column("weight", "inspect.weight", lambda row: row.weight, ".2f", 64),
    Column("residual", "gui.table.residual", lambda row: row.residual, ".2f", 80),
    Column("panel", "inspect.panel", lambda row: _count(row.panel), ".0f", 64),
    Column("target", "inspect.target", lambda row: row.target, width=110),
    Column("filter", "inspect.filter", lambda row: row.filter, width=80),
    Column("instrument", "inspect.instrument", lambda row: row.instrument, width=200),
    Column("date", "gui.table.date", lambda row: row.date_obs, width=160),
    Column("exposure", "gui.table.exposure", lambda row: row.exposure, ".0f", 90),
)


def reason_words(row: FrameQuality, tr: Words) -> str:
    """Why a frame is left out; of one that is not, what stands out."""
    return sentence(row.reason, tr) or ", ".join(tr(f"remark.{key}", value=value) for key, value in row.remarks)


def cells(row: FrameQuality, tr: Words) -> tuple[str, ...]:
    """What the table shows of a frame, one text a column."""
    found, point = [], tr("gui.point")
    for column in COLUMNS:
        value = column.value(row)
        if column.key == "state":
            found.append(tr(f"state.{value}"))
        elif column.key == "reason":
            found.append(reason_words(row, tr))
        elif isinstance(value, float):
            found.append(UNKNOWN if math.isnan(value) else format(value, column.form).replace(".", point))
        elif column.key == "file":
            found.append(value if len(value) <= NAME_WIDTH else "…" + value[1 - NAME_WIDTH :])
        else:
            found.append(value or UNKNOWN)
    return tuple(found)
