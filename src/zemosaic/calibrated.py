"""Frames with the sensor's own marks taken off: what measure and assemble read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zemosaic.fits import read_raw
from zemosaic.imaging.masters import applied, full_level
from zemosaic.model import Frame, Masters

__all__ = ["calibrated", "full_levels", "read_calibrated"]

Float32Array = NDArray[np.float32]


def read_calibrated(frame: Frame, masters: Masters | None, rows: slice | None = None) -> Float32Array:
    """Pixels of a frame, or rows of it, as `zemosaic.fits.read_raw` gives them, calibrated.

    Returns
    -------
    (h, w) or (3, h, w) float32, ADU; NaN is no data: BLANK, and the bad pixels that darks and flats have shown.
    """
    return calibrated(read_raw(frame, rows), masters, rows)


def calibrated(raw: NDArray[Any], masters: Masters | None, rows: slice | None = None) -> Float32Array:
    """Raw pixels, the given rows of the frame, calibrated."""
    if masters is None:
        return applied(raw, None, None)
    return applied(raw, _rows(masters.dark, rows), _rows(masters.flat, rows))


def full_levels(frame: Frame, masters: Masters | None) -> Float32Array | float:
    """ADU at which each pixel, calibrated, is full: (h, w), or one number for all."""
    if masters is None:
        return frame.saturation
    return full_level(frame.saturation, _rows(masters.dark, None), _rows(masters.flat, None))


def _rows(path: Path | None, rows: slice | None) -> Any:
    """Rows of an array on disk, mapped: the processes of a machine share its memory."""
    return None if path is None else np.load(path, mmap_mode="r")[rows or slice(None)]
