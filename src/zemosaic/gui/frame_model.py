"""The rows of the table of frames in the order and choice that the user wants: no widgets here."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.gui.frame_columns import COLUMNS, Column, reason_words
from zemosaic.gui.words import Words
from zemosaic.model import FrameState
from zemosaic.quality import FrameQuality

__all__ = ["ALL", "EXCLUDED", "LEFT_OUT", "USABLE", "FrameModel"]

IntArray = NDArray[np.int64]

ALL, USABLE, LEFT_OUT, EXCLUDED = "all", "usable", "left_out", "excluded"  # besides the states themselves
GOOD = frozenset({FrameState.FOUND, FrameState.MEASURED, FrameState.SOLVED, FrameState.MATCHED, FrameState.USED})
TRANSLATED = ("state", "reason")  # columns
CHUNK = 1000  # rows looked at between two chances to interrupt: 1 to 3 ms
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
CONDITION = re.compile(r"([^<>=]+)(<=|>=|<|>|=)(-?[0-9]+(?:[.,][0-9]*)?)")


@dataclass(frozen=True)
class _Condition:
    column: Column
    compare: Callable[[float, float], bool]
    limit: float

    def fits(self, row: FrameQuality) -> bool:
        value = self.column.value(row)
        return isinstance(value, float) and self.compare(value, self.limit)


class FrameModel:
    """Rows, their order and which of them are shown.

    `order` holds the numbers of the rows that are shown, as they are shown. Sorting is stable; unknown values come last in
    both directions.
    """

    def __init__(self, tr: Words) -> None:
        self._tr = tr
        self.rows: tuple[FrameQuality, ...] = ()
        self.order: IntArray = np.zeros(0, np.int64)
        self.place: dict[str, int] = {}  # number of the row, by file
        self.sorted_by, self.reverse = "", False
        self._texts: list[str] = []  # what a search looks at, of the first rows
        self._ranks: dict[str, tuple[IntArray, int]] = {}

    def set_rows(self, rows: Sequence[FrameQuality]) -> None:
        self.rows = tuple(rows)
        self.place = {row.file: number for number, row in enumerate(self.rows)}
        self._texts, self._ranks = [], {}
        self.order = self._sorted(np.arange(len(self.rows)))

    def forget_words(self) -> None:
        """After a change of the language: what is sorted or looked for by its translation."""
        self._texts = []
        self._ranks = {key: rank for key, rank in self._ranks.items() if key not in TRANSLATED}

    def states(self) -> list[tuple[str, int]]:
        """The states that occur and how often, the most frequent first."""
        return Counter(row.state for row in self.rows).most_common()

    def sort(self, key: str, *, reverse: bool) -> None:
        """Sort what is shown by a column; "" is the order in which the rows came."""
        self.sorted_by, self.reverse = key, reverse
        self.order = self._sorted(np.sort(self.order))

    def choose(self, words: str, state: str, excluded: Collection[str]) -> Iterator[None]:
        """Show only the rows that fit; a chunk of rows a step, and `order` is set after the last.

        words : all have to appear in the row's texts; `name>number` (also < <= >= =) compares the column of that name
        state : a state, ALL, USABLE (not left out so far), LEFT_OUT, or EXCLUDED (by the user)
        """
        conditions, needles = self._understood(words)
        keep = np.zeros(len(self.rows), bool)
        for first in range(0, len(self.rows), CHUNK):
            chunk = self.rows[first : first + CHUNK]
            if needles and len(self._texts) < first + len(chunk):
                self._texts.extend(self._searched(row) for row in chunk)
            for number, row in enumerate(chunk, first):
                keep[number] = (
                    _in_state(row, state, excluded)
                    and all(condition.fits(row) for condition in conditions)
                    and all(needle in self._texts[number] for needle in needles)
                )
            yield
        self.order = self._sorted(np.flatnonzero(keep))

    def _understood(self, words: str) -> tuple[list[_Condition], list[str]]:
        """Conditions on numbers, and what has to appear."""
        names = {column.key: column for column in COLUMNS if column.is_number}
        names |= {re.sub(r"\W", "", self._tr(column.heading)).casefold(): column for column in names.values()}
        conditions, needles = [], []
        for word in words.casefold().split():
            found = CONDITION.fullmatch(word)
            column = names.get(re.sub(r"\W", "", found[1])) if found else None
            if found and column:
                conditions.append(_Condition(column, COMPARISONS[found[2]], float(found[3].replace(",", "."))))
            else:
                needles.append(word)
        return conditions, needles

    def _searched(self, row: FrameQuality) -> str:
        words = (self._tr(f"state.{row.state}"), reason_words(row, self._tr))
        return " ".join((row.file, row.target, row.filter, row.instrument, row.date_obs, *words)).casefold()

    def _sorted(self, numbers: IntArray) -> IntArray:
        if not self.sorted_by or not len(numbers):
            return numbers[::-1] if self.reverse else numbers
        rank, unknown = self._rank(self.sorted_by)
        mine = rank[numbers]
        if self.reverse:
            mine = np.where(mine == unknown, unknown, unknown - 1 - mine)
        return numbers[np.argsort(mine, kind="stable")]

    def _rank(self, key: str) -> tuple[IntArray, int]:
        """The place of each row among all in a column (equal values share one), and that of unknown values, the last."""
        if key not in self._ranks:
            column = next(each for each in COLUMNS if each.key == key)
            if column.is_number:
                values: NDArray[np.generic] = np.array([column.value(row) for row in self.rows], float)
                known = ~np.isnan(values.astype(float))
            else:
                words = [self._word(column, row) for row in self.rows]
                places = {word: place for place, word in enumerate(sorted(set(words)))}
                values = np.array([places[word] for word in words])
                known = np.array([bool(word) for word in words])
            rank = np.full(len(self.rows), len(self.rows), np.int64)
            rank[known] = np.unique(values[known], return_inverse=True)[1]
            self._ranks[key] = rank, len(self.rows)
        return self._ranks[key]

    def _word(self, column: Column, row: FrameQuality) -> str:
        if column.key == "state":
            return self._tr(f"state.{row.state}").casefold()
        if column.key == "reason":
            return reason_words(row, self._tr).casefold()
        return str(column.value(row)).casefold()


def _in_state(row: FrameQuality, state: str, excluded: Collection[str]) -> bool:
    if state == ALL:
        return True
    if state == EXCLUDED:
        return row.file in excluded
    if state in (USABLE, LEFT_OUT):
        return (row.state in GOOD and row.file not in excluded) == (state == USABLE)
    return row.state == state
