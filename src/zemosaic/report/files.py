"""The report and its data as files beside the mosaic, each whole or absent."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from jinja2 import TemplateError

from zemosaic.errors import FrameError, OutputError
from zemosaic.frame_report import csv_text, known, plain_rows
from zemosaic.frame_report import write_report as write_text
from zemosaic.report.collect import collect
from zemosaic.report.names import CSV, JSON, report_path
from zemosaic.report.page import page
from zemosaic.report.sources import Source
from zemosaic.report.values import Report
from zemosaic.report.words import Words

__all__ = ["as_csv", "as_json", "write_report"]


def write_report(source: Source) -> Path:
    """Write the page, and its data as JSON and CSV, and return the page's path.

    Raises
    ------
    OutputError
        A file cannot be written, one of the mosaic's not be read, or the page not be made.
    """
    preview = source.outputs.preview
    target = report_path(preview)
    try:
        report = collect(source)
        text = page(report, source.grid, Words(source.settings.language))
    except (FrameError, OSError, TemplateError) as error:
        raise OutputError(f"{target}: no report could be made of the mosaic's files ({error}); run again") from error
    write_text(target, text)
    write_text(report_path(preview, JSON), as_json(report))
    write_text(report_path(preview, CSV), as_csv(report))
    return target


def as_csv(report: Report) -> str:
    """A line per frame, the first line the names of the columns; unknown values are empty."""
    return csv_text(_frames(report))


def as_json(report: Report) -> str:
    """All of the report but its maps, which the FITS files hold; unknown values are null."""
    told = {field.name: getattr(report, field.name) for field in dataclasses.fields(Report)}
    told["preview"] = report.preview.name
    told["advice"] = [{"key": each.key} | dict(each.values) for each in report.advice]
    del told["maps"], told["outlines"], told["frames"]
    head = json.dumps(_plain(told), indent=1, ensure_ascii=False).removesuffix("\n}")
    frames = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in _frames(report))  # a line each
    return f'{head},\n "frames": [\n  {frames}\n ]\n}}\n'


def _frames(report: Report) -> list[dict[str, object]]:
    rows = plain_rows([line.quality for line in report.frames])
    return [
        row | {"placed": known(line.placed), "rejected": known(line.rejected)} for row, line in zip(rows, report.frames)
    ]


def _plain(value: object) -> object:
    """Dataclasses as objects, numbers that are not known as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return known(value) if isinstance(value, float) else value
