"""All frames of the sky view as arrays: where they lie, which panel and target they belong to. No widgets here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from zemosaic.gui.skygeometry import SkyFrame, View, containing, hull, inside, unit_vectors

__all__ = ["SkyFrames"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class SkyFrames:
    """Some frames, and where a view has them.

    quads : (n, 4, 2) px of the canvas, NaN on the far side of the sky; as of the last `look`
    """

    def __init__(self, frames: Sequence[SkyFrame] = ()) -> None:
        self.all = tuple(frames)
        self.vectors = unit_vectors(
            np.array([each.ra for each in frames]).reshape(-1, 4),
            np.array([each.dec for each in frames]).reshape(-1, 4),
        )
        self.targets = sorted({each.target for each in frames if each.target})
        codes = {each: code for code, each in enumerate(sorted({(f.target, f.panel) for f in frames if f.panel >= 0}))}
        self._panels = np.array([codes.get((each.target, each.panel), -1) for each in frames], np.int64)
        self._numbers = [number for _, number in codes]  # of the panels, as people call them: each target counts anew
        self._hulls: dict[int, FloatArray] = {}
        self.quads: FloatArray = np.zeros((0, 4, 2))

    def __len__(self) -> int:
        return len(self.all)

    def look(self, view: View) -> None:
        self.quads = view.of_vectors(self.vectors)

    def of_target(self, target: str) -> FloatArray:
        """(n, 4, 3) corners of the frames of a target, of all where it is ""."""
        return self.vectors[[each.target == target for each in self.all]] if target else self.vectors

    def seen(self, view: View) -> IntArray:
        """Numbers of the frames that can be seen."""
        with np.errstate(invalid="ignore"):
            low, high = self.quads.min(axis=1), self.quads.max(axis=1)
            return np.flatnonzero(((high >= 0) & (low <= (view.width, view.height))).all(axis=1))

    def outlined(self) -> Iterator[None]:
        """Find the outlines of panels, one a step, which `panels` has afterwards."""
        for panel in np.unique(self._panels[self._panels >= 0]).tolist():
            if panel not in self._hulls:
                self._hulls[panel] = hull(self.vectors[self._panels == panel])
                yield

    def panels(self, view: View) -> list[tuple[int, FloatArray]]:
        """Number and outline, (n, 2) px, of each panel that can be drawn."""
        lines = [(self._numbers[panel], view.of_vectors(line)) for panel, line in self._hulls.items()]
        return [each for each in lines if _drawable(each[1], view)]

    def under(self, x: float, y: float) -> list[int]:
        """Numbers of the frames at a place of the canvas, the one with the nearest centre first."""
        there = np.flatnonzero(np.isfinite(self.quads).all(axis=(1, 2)))
        return [int(each) for each in there[containing(self.quads[there], x, y)]]

    def caught(self, lasso: FloatArray) -> list[int]:
        """Numbers of the frames whose centres a lasso, (n, 2) px, holds."""
        if not len(self.quads):
            return []
        found: list[int] = np.flatnonzero(inside(self.quads.mean(axis=1), lasso)).tolist()
        return found

    def files(self, numbers: Sequence[int]) -> set[str]:
        return {self.all[k].file for k in numbers}

    def of_panels(self, numbers: Sequence[int]) -> set[str]:
        """All files of the panels of some frames; those that belong to none stand for themselves."""
        panels = np.unique(self._panels[list(numbers)])
        alike = np.isin(self._panels, panels[panels >= 0])
        alike[list(numbers)] = True
        return self.files(np.flatnonzero(alike).tolist())


def _drawable(line: FloatArray, view: View) -> bool:
    """Whether an outline is there at all, touches the view, and is not larger than X can draw."""
    if len(line) < 3 or not np.isfinite(line).all() or np.abs(line).max() > 30000:
        return False
    low, high = line.min(axis=0), line.max(axis=0)
    return bool((high >= 0).all() and (low <= (view.width, view.height)).all())
