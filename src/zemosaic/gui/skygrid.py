"""Lines of right ascension and declination over a view, with their labels. No widgets here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.gui.skygeometry import View

__all__ = ["GridLine", "dec_text", "grid_lines", "ra_text"]

FloatArray = NDArray[np.float64]

APART = 110.0  # px between lines, at least
RA_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600)  # s of time
DEC_STEPS = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000, 54000)  # arcsec
POINTS = 49  # of a line
LOOK = 25  # points along each side of a view, to find what it covers
SECONDS = 240.0  # of time in a degree
EDGE = 4.0  # px from the edge of the view, where labels stand


@dataclass(frozen=True)
class GridLine:
    """One line on the canvas."""

    points: FloatArray  # (n, 2) px
    label: str
    at: tuple[float, float] | None  # px, of the label: at the lower edge for RA, at the left one for DEC; None: nowhere


def ra_text(degrees: float, step: float) -> str:
    """Right ascension to the precision of a step in s of time: 5h34m, 5h34m20s."""
    seconds = round(degrees % 360.0 * SECONDS) % 86400
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{hours}h"
    if step < 3600:
        text += f"{minutes:02d}m"
    if step < 60:
        text += f"{seconds:02d}s"
    return text


def dec_text(degrees: float, step: float) -> str:
    """Declination to the precision of a step in arcsec: +41°, +41°16', +41°16'10\"."""
    seconds = round(abs(degrees) * 3600.0)
    whole, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{'−' if degrees < 0 and (whole or rest) else '+'}{whole}°"
    if step < 3600:
        text += f"{minutes:02d}'"
    if step < 60:
        text += f'{seconds:02d}"'
    return text


def grid_lines(view: View) -> list[GridLine]:
    """The lines of a view, those of right ascension first."""
    x, y = np.meshgrid(np.linspace(0, view.width, LOOK), np.linspace(0, view.height, LOOK))
    ra, dec = view.to_sky(x, y)
    low, high = float(dec.min()), float(dec.max())
    west, east = _spread(ra, view)
    for pole in (90.0, -90.0):
        px, py = view.of_sky(0.0, pole)
        if 0 <= px <= view.width and 0 <= py <= view.height:
            west, east = view.ra - 180.0, view.ra + 180.0
            low, high = min(low, pole), max(high, pole)
    dec_step = _step(DEC_STEPS, view.scale * 3600.0)
    narrow = max(math.cos(math.radians(view.dec)), math.radians(view.radius) * 0.5, 1e-3)
    ra_step = _step(RA_STEPS, view.scale * SECONDS / narrow)
    return [
        *_meridians(view, ra_step, (west, east), (low, high)),
        *_parallels(view, dec_step, (west, east), (low, high)),
    ]


def _spread(ra: FloatArray, view: View) -> tuple[float, float]:
    """The range of right ascension around the centre's, which may pass 0 h."""
    away = (ra - view.ra + 180.0) % 360.0 - 180.0
    return view.ra + float(away.min()), view.ra + float(away.max())


def _step(steps: tuple[int, ...], per_pixel: float) -> int:
    return next((step for step in steps if step / per_pixel >= APART), steps[-1])


def _meridians(view: View, step: int, ra: tuple[float, float], dec: tuple[float, float]) -> list[GridLine]:
    lines = []
    along = np.linspace(max(dec[0], -90.0), min(dec[1], 90.0), POINTS)
    first, last = math.ceil(ra[0] * SECONDS / step), math.floor(ra[1] * SECONDS / step)
    whole = round(360.0 * SECONDS / step)
    for number in range(first, min(last, first + whole - 1) + 1):
        degrees = number * step / SECONDS
        points = _seen(view.of_sky(np.full(POINTS, degrees), along))
        if len(points) > 1:
            lines.append(GridLine(points, ra_text(degrees, step), _crossing(points, 1, view.height - EDGE, view)))
    return lines


def _parallels(view: View, step: int, ra: tuple[float, float], dec: tuple[float, float]) -> list[GridLine]:
    lines = []
    along = np.linspace(ra[0], ra[1], 2 * POINTS)
    for number in range(math.ceil(dec[0] * 3600.0 / step), math.floor(dec[1] * 3600.0 / step) + 1):
        degrees = number * step / 3600.0
        if abs(degrees) >= 90.0:
            continue
        points = _seen(view.of_sky(along, np.full(len(along), degrees)))
        if len(points) > 1:
            lines.append(GridLine(points, dec_text(degrees, step), _crossing(points, 0, EDGE, view)))
    return lines


def _seen(points: FloatArray) -> FloatArray:
    """Without what lies on the far side of the sky, or farther away than X can draw."""
    return points[np.isfinite(points).all(axis=1) & (np.abs(points) < 30000).all(axis=1)]


def _crossing(points: FloatArray, axis: int, level: float, view: View) -> tuple[float, float] | None:
    """Where a line first crosses x = level (axis 0) or y = level (axis 1) inside the view."""
    value, other = points[:, axis] - level, points[:, 1 - axis]
    longest = view.width if axis else view.height
    for k in np.flatnonzero((value[:-1] <= 0) != (value[1:] <= 0)):
        share = value[k] / (value[k] - value[k + 1])
        place = float(other[k] + share * (other[k + 1] - other[k]))
        if 0 <= place <= longest:
            return (place, level) if axis else (level, place)
    return None
