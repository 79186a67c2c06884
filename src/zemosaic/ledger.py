"""The ledger of an output folder: one row per frame with exactly one state and its reason, and what is known about it.

It is what resume reads, what the report shows and what answers "why is my sub not in the picture?". This module is the
only place that knows SQL. One run writes; no write-ahead log, since output folders can be network shares.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from zemosaic.errors import OutputError
from zemosaic.model import Correction, Frame, FrameState, LeftOut, Measurement, Solution
from zemosaic.tables import MEASURE_VERSION, border_file, is_measurement

__all__ = ["LEFT", "WORKSPACE", "WRITTEN", "FrameRow", "Ledger", "from_json", "to_json"]

T = TypeVar("T")

WORKSPACE = "zemosaic_workspace"
WRITTEN, LEFT = (
    "finished",
    "left",
)  # what a mosaic that is on the disk is kept under; one of before everything was forgotten
SCHEMA = 2
COMMIT_EVERY = 1.0  # s; a commit a frame would cost 10 to 30 ms each on a hard disk
TABLES = """
CREATE TABLE IF NOT EXISTS frames (
    path TEXT PRIMARY KEY,
    id INTEGER,
    size INTEGER,
    mtime_ns INTEGER,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    frame TEXT,
    measurement TEXT,
    solution TEXT,
    correction TEXT,
    target TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS frames_by_id ON frames (id);
CREATE TABLE IF NOT EXISTS run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS phases (phase TEXT NOT NULL, seconds REAL NOT NULL, items INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class FrameRow:
    """All that is known about one file."""

    path: Path  # for people; bytes that are no UTF-8 are escaped
    state: FrameState
    reason: str  # one English sentence for a frame that is left out
    target: str  # folder of the mosaic that it belongs to; "" where there is one mosaic only, or none
    frame: Frame | None
    measurement: Measurement | None
    solution: Solution | None
    correction: Correction | None


class Ledger:
    """The open ledger of an output folder; use it in a `with` statement.

    While it is open no other run can open it; the lock ends with the process, however that ends.

    Raises
    ------
    OutputError
        On opening: the folder cannot be written, another run works in it, or the ledger cannot be read.
        Later: the disk is full or gone.
    """

    def __init__(self, output: Path) -> None:
        self.workspace = output / WORKSPACE
        self.path = self.workspace / "ledger.sqlite"
        self.measurements = self.workspace / "frames"
        try:
            self.workspace.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"{error.strerror}; choose another folder"
            raise OutputError(f"cannot write into the output folder {output}: {what}") from error
        with self._in_words():
            self._db = sqlite3.connect(self.path, timeout=1.0)
            try:
                self._prepare()
            except (sqlite3.Error, OutputError):
                self._db.close()
                raise
        self._committed = time.monotonic()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.execute("BEGIN EXCLUSIVE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA):
            raise OutputError(
                f"{self.path} was written by another version of ZeMosaic (its format is {version}, this version "
                f"writes {SCHEMA}): choose another output folder, or remove the folder {self.workspace}"
            )
        for statement in TABLES.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {SCHEMA}")
        self._db.commit()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending and let the next run in."""
        try:
            with self._in_words():
                self._db.commit()
        finally:
            self._db.close()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OutputError(
                    f"another run is at work in {self.workspace.parent}: wait until it ends, "
                    "or choose another output folder"
                ) from error
            raise OutputError.writing(self.path, error, self._largest_journal) from error
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"the ledger {self.path} is damaged ({error}): remove that file; the next run measures all frames again"
            ) from error

    @property
    def _largest_journal(self) -> int:
        """Bytes that a change of the ledger may need for a while: SQLite copies the pages that it changes."""
        return max(2**20, self.path.stat().st_size if self.path.is_file() else 0)

    def _write(self, statement: str, rows: Iterable[Sequence[object]], *, now: bool = False) -> None:
        with self._in_words():
            self._db.executemany(statement, rows)
            if now or time.monotonic() - self._committed > COMMIT_EVERY:
                self._db.commit()
                self._committed = time.monotonic()

    def _read(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        with self._in_words():
            return self._db.execute(statement, parameters).fetchall()

    def forget(self) -> None:
        """Begin anew: no row, and no file in the workspace but the ledger.

        What was written beside it is kept in mind, once `WRITTEN`, now `LEFT`: files that the new run does not make go with it.

        Raises OutputError when a file cannot be removed.
        """
        with self._in_words():
            for table in ("frames", "phases"):
                self._db.execute(f"DELETE FROM {table}")
            first = "CASE instr(key, '/') WHEN 0 THEN key ELSE substr(key, 1, instr(key, '/') - 1) END"
            self._db.execute(f"DELETE FROM run WHERE {first} NOT IN (?, ?) OR value = 'null'", [WRITTEN, LEFT])
            renamed = "UPDATE OR REPLACE run SET key = ? || substr(key, ?)"
            self._db.execute(f"{renamed} WHERE {first} = ?", [LEFT, len(WRITTEN) + 1, WRITTEN])
            self._db.commit()
        for path in self.workspace.iterdir():
            if path.is_dir():
                try:
                    shutil.rmtree(path)
                except OSError as error:
                    raise OutputError(f"cannot remove {path}: {error.strerror}; remove it by hand") from error

    # ---- frames

    def record_scan(self, frames: Sequence[Frame], left_out: Iterable[LeftOut]) -> None:
        """The files of this run: the frames start as found, or measured where what was measured still holds.

        It holds while path, size, modification time and digest are the same, and the way frames are measured. Files that
        are gone lose their row; solutions and corrections depend on all frames and are found anew.
        """
        kept = self.measured(frames)
        rows = [
            (
                _key(frame.path),
                frame.id,
                frame.size,
                frame.mtime_ns,
                FrameState.MEASURED if frame.id in kept else FrameState.FOUND,
                to_json(frame),
                to_json(kept[frame.id]) if frame.id in kept else None,
            )
            for frame in frames
        ]
        with self._in_words():
            self._db.execute("DELETE FROM frames")
        self._write(
            "INSERT INTO frames (path, id, size, mtime_ns, state, reason, frame, measurement) "
            "VALUES (?, ?, ?, ?, ?, '', ?, ?)",
            rows,
        )
        self.put("measure_version", MEASURE_VERSION)
        self.record_left_out(left_out)
        self._write("DELETE FROM phases", [()], now=True)
        self._remove_measurements_but({measurement.path.name for measurement in kept.values()})

    def _remove_measurements_but(self, kept: set[str]) -> None:
        """Files that no row knows (damaged, of another version, of subs that are gone) would only hold a name taken."""
        for path in self.measurements.glob("*.npz"):
            if path.name not in kept:
                path.unlink(missing_ok=True)
                border_file(path).unlink(missing_ok=True)

    def measured(self, frames: Sequence[Frame]) -> dict[int, Measurement]:
        """What an earlier run measured on these frames and still holds, by frame id."""
        if self.get("measure_version", int) != MEASURE_VERSION:
            return {}
        query = "SELECT path, size, mtime_ns, frame, measurement FROM frames WHERE measurement IS NOT NULL"
        known = {path: rest for path, *rest in self._read(query)}
        result = {}
        for frame in frames:
            size, mtime_ns, before, text = known.get(_key(frame.path), (None, None, "{}", None))
            if (size, mtime_ns, json.loads(before).get("digest")) != (frame.size, frame.mtime_ns, frame.digest):
                continue
            measurement = from_json(Measurement, text)
            # a file that is named after the place in the order is another frame's once the order has changed
            same_name = measurement.frame_id == frame.id or measurement.path.stem == frame.digest
            if same_name and is_measurement(measurement.path):
                result[frame.id] = dataclasses.replace(measurement, frame_id=frame.id)
        return result

    def record_measured(self, measurement: Measurement) -> None:
        self._write(
            "UPDATE frames SET state = ?, measurement = ? WHERE id = ?",
            [(FrameState.MEASURED, to_json(measurement), measurement.frame_id)],
        )

    def record_solved(self, solutions: Mapping[int, Solution]) -> None:
        self._write(
            "UPDATE frames SET state = ?, solution = ? WHERE id = ?",
            [(FrameState.SOLVED, to_json(solution), frame_id) for frame_id, solution in solutions.items()],
            now=True,
        )

    def record_targets(self, targets: Mapping[int, str]) -> None:
        """The folder of the mosaic that each frame belongs to."""
        self._write("UPDATE frames SET target = ? WHERE id = ?", [(name, i) for i, name in targets.items()], now=True)

    def record_matched(self, corrections: Mapping[int, Correction]) -> None:
        self._write(
            "UPDATE frames SET state = ?, correction = ? WHERE id = ?",
            [(FrameState.MATCHED, to_json(correction), frame_id) for frame_id, correction in corrections.items()],
            now=True,
        )

    def record_used(self, ids: Iterable[int]) -> None:
        self._write("UPDATE frames SET state = ? WHERE id = ?", [(FrameState.USED, each) for each in ids], now=True)

    def record_left_out(self, left_out: Iterable[LeftOut]) -> None:
        """Files that are not in the picture, and why; what was found out about them before stays."""
        self._write(
            "INSERT INTO frames (path, state, reason) VALUES (?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET state = excluded.state, reason = excluded.reason",
            [(_key(each.path), each.state, each.reason) for each in left_out],
        )

    def rows(self) -> list[FrameRow]:
        """All files: the frames in their order, then what the scan left out, by path."""
        columns = "path, state, reason, COALESCE(target, ''), frame, measurement, solution, correction"
        kinds = (Frame, Measurement, Solution, Correction)
        query = f"SELECT {columns} FROM frames ORDER BY id IS NULL, id, path"
        return [
            FrameRow(Path(path), FrameState(state), reason, target, *map(_optional, kinds, known))
            for path, state, reason, target, *known in self._read(query)
        ]

    # ---- the run

    def put(self, key: str, value: object) -> None:
        """Keep a value of the run: a dataclass, or anything that JSON knows."""
        self._write("INSERT OR REPLACE INTO run VALUES (?, ?)", [(key, to_json(value))], now=True)

    def get(self, key: str, kind: type[T]) -> T | None:
        """A kept value; None when there is none, or None was kept."""
        found = self._read("SELECT value FROM run WHERE key = ?", [key])
        return from_json(kind, found[0][0]) if found and found[0][0] != "null" else None

    def get_all(self, what: str, kind: type[T]) -> list[T]:
        """The values kept under a key and under the keys `what/...`, one a mosaic; without those that are None."""
        query = "SELECT value FROM run WHERE (key = ? OR substr(key, 1, ?) = ?) AND value <> 'null' ORDER BY key"
        return [from_json(kind, text) for (text,) in self._read(query, [what, len(what) + 1, f"{what}/"])]

    def record_phase(self, phase: str, seconds: float, items: int) -> None:
        """How long a phase took, and for how many frames or blocks."""
        self._write("INSERT INTO phases VALUES (?, ?, ?)", [(phase, seconds, items)], now=True)

    def phases(self) -> list[tuple[str, float, int]]:
        """(phase, seconds, items) of the last run, in order."""
        return [tuple(row) for row in self._read("SELECT phase, seconds, items FROM phases ORDER BY rowid")]


def _key(path: Path) -> str:
    """The path as text that SQLite takes: file names need not be UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _optional(kind: type[T], text: str | None) -> T | None:
    return None if text is None else from_json(kind, text)


def to_json(value: object) -> str:
    """Exact JSON of dataclasses of numbers, text, paths and tuples; floats round-trip, NaN and infinity included."""
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not go into the ledger")


def from_json(kind: type[T], text: str) -> T:
    """The value that `to_json` wrote, checked against the types of the dataclass."""
    hashable: Any = kind  # which mypy does not know of a type[T]
    value: T = _adapter(hashable).validate_python(json.loads(text))
    return value


@functools.cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
