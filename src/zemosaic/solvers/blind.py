"""Frames that know neither where they point nor their scale: quads of their stars among those of the whole sky.

The index is made from the packed catalogue once and kept in the user's cache folder (15 s and 145 MB where it was
measured); it is mapped, not read. Frames in which no whole quad is recognised are tried with three stars of each.
Guesses are verified like any other hypothesis, with the size of the whole search counted.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import platformdirs

from zemosaic.catalogue import BAND_CELLS, Catalogue, cell_of, load_catalogue
from zemosaic.errors import FrameError
from zemosaic.imaging.projection import angular_separation
from zemosaic.imaging.quads import BANDS, Guess, QuadIndex, build_index, guesses
from zemosaic.imaging.triples import guesses_of_threes
from zemosaic.imaging.verification import FEWEST, Verdict, verify
from zemosaic.model import Frame, Solution, Stars
from zemosaic.solvers import Hint

__all__ = ["FIELD", "BlindSolver", "index_folder", "load_index", "make_index"]

FIELD = (0.45, 6.5)  # deg, long sides of frames that the quads serve
FORMAT = 2  # of the index; another one gets another folder
REACH = 1.05  # in diagonals: a guess may stand in a corner of the frame


class BlindSolver:
    """Recognises a frame anywhere on the sky; what its hint does know narrows the search.

    Parameters
    ----------
    index : QuadIndex, optional
        Made or loaded at the first use when not given.
    """

    name = "blind"

    def __init__(self, catalogue: Catalogue | None = None, index: QuadIndex | None = None) -> None:
        self.catalogue = catalogue or load_catalogue()
        self._index = index

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """See `zemosaic.solvers.Solver`."""
        if len(stars) < FEWEST:
            raise FrameError(f"{len(stars)} stars were found, at least {FEWEST} are needed to solve.")
        looked_at = 0
        for verdict in self.verdicts(stars, frame, hint):
            if verdict.holds:
                return replace(verdict.solution, solver=self.name)
            looked_at += 1
        least, most = _scales(frame, hint)
        raise FrameError(
            f"No field of the whole sky is recognised in its {len(stars)} stars, between {3600 * least:.2f} and "
            f'{3600 * most:.2f}"/px; {looked_at} similar patterns were looked at.'
        )

    def verdicts(self, stars: Stars, frame: Frame, hint: Hint) -> Iterator[Verdict]:
        """Verdicts on the guesses, best supported first."""
        shape = (frame.height, frame.width)
        x, y = np.ascontiguousarray(stars.x), np.ascontiguousarray(stars.y)
        index = self._index if self._index is not None else load_index()
        search = (x, y, shape, index, BAND_CELLS, _scales(frame, hint), hint.parity)
        for found in chain(guesses(*search), guesses_of_threes(*search)):
            for guess in found:
                reach = REACH * math.hypot(*shape) * abs(guess.multiplier)
                if _elsewhere(guess, hint, reach):
                    continue
                sky = self.catalogue.cone(guess.ra, guess.dec, reach)
                yield verify(_solution(guess), x, y, sky.ra, sky.dec, shape, math.ceil(guess.tested))


def _scales(frame: Frame, hint: Hint) -> tuple[float, float]:
    """deg/px, least and most."""
    side = max(frame.width, frame.height)
    if math.isfinite(hint.scale) and hint.scale > 0.0:
        unit = hint.scale / 3600.0
        return unit * (1.0 - hint.scale_tolerance), unit * (1.0 + hint.scale_tolerance)
    return FIELD[0] / side, FIELD[1] / side


def _elsewhere(guess: Guess, hint: Hint, reach: float) -> bool:
    """True when a known position rules the guess out."""
    return bool(angular_separation(guess.ra, guess.dec, hint.ra, hint.dec) > hint.radius + reach)


def _solution(guess: Guess) -> Solution:
    re, im, sign = guess.multiplier.real, guess.multiplier.imag, guess.parity
    return Solution(ra=guess.ra, dec=guess.dec, x=guess.x, y=guess.y, cd=(re, -sign * im, im, sign * re))


@lru_cache(maxsize=1)
def load_index() -> QuadIndex:
    """The index of the packed catalogue, from the cache folder; made there when absent."""
    folder = index_folder()
    if not folder.is_dir():
        return make_index(folder)
    return QuadIndex(
        **{field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(QuadIndex)}
    )


def index_folder() -> Path:
    """Where the index of this catalogue, in this format and with these bands, is kept."""
    what = f"{FORMAT} {len(load_catalogue())} {BANDS}"
    name = f"quads-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    return platformdirs.user_cache_path("zemosaic", appauthor=False) / name


def make_index(folder: Path) -> QuadIndex:
    """Make the index and keep it; a cache folder that cannot be written costs 15 s a process and nothing else."""
    stars = load_catalogue().cone(0.0, 90.0, 180.0)
    cell, _, _ = cell_of(stars.ra, stars.dec)
    index = build_index(stars.ra, stars.dec, stars.vt, cell, int(BAND_CELLS.sum()))
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    try:
        temporary.mkdir(parents=True)
        for field in fields(QuadIndex):
            np.save(temporary / f"{field.name}.npy", getattr(index, field.name))
        temporary.rename(folder)
    except OSError:  # no space, no rights, or another process was faster: the one in memory serves
        shutil.rmtree(temporary, ignore_errors=True)
    return index
