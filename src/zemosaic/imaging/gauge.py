"""Corrections that were found anew, held to those of a mosaic that is finished where the equations leave them free, or nearly so.

Free are a common factor on all gains, and a plane that is added to the mosaic and taken off the skies of all frames. Nearly
free is how panels bend against each other: their skies are planes that only narrow overlaps hold together, and every frame that
joins moves all of them a little. While few frames join, and all that moves less than `FREE` of the noise, frames that were
there keep their corrections, and those that join are moved to meet them: the mean change of the mosaic's sky is taken off
theirs, of each the plane that is nearest to it on its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from zemosaic.imaging.change import How, Look, moved
from zemosaic.imaging.cloud import cloud_shape
from zemosaic.imaging.projection import pixel_area, pixel_scale, pixel_to_sky, sky_to_grid
from zemosaic.model import Correction, Grid

__all__ = ["held", "stepped"]

FloatArray = NDArray[np.float64]
PARTS = 6  # cells along the shorter side of a frame
SIDE = 3  # places along each side of a frame where its sky is fitted
FREE = 0.5  # of the noise of a pixel: beyond, what joined has told something
FAR = 4.0  # sigma beyond which a cell does not count for the plane of the whole mosaic


def held(
    before: Mapping[str, Look], now: Mapping[str, Look], grid: Grid, how: How, *, tilted: bool, closely: bool
) -> tuple[dict[str, Correction], tuple[float, ...]]:
    """The corrections of now, held to those of before, and by what factor this makes light brighter, per channel.

    before, now : by a name that a frame keeps; at least one is in both
    tilted : whether skies have slopes; else only their levels are held
    closely : hold panels against each other too, if they move little, not only the whole
    """
    common = [name for name in now if name in before]
    ratios = [np.array(now[n].correction.gain) / before[n].correction.gain for n in common]
    factor = np.median(ratios, axis=0)
    looks = {n: replace(look, correction=_with_gain(look.correction, factor)) for n, look in now.items()}
    field = _Field(grid, list(looks.values()))
    changes = [field.change(before[n], looks[n], how) for n in common]
    terms = 3 if tilted else 1
    whole = _whole_plane(field, changes, terms)
    planes, kept = dict.fromkeys(looks, whole), set[str]()
    if closely:
        left, noise = field.mean([_less(c, whole, field) for c in changes])
        if float(np.max(np.abs(left) / noise, initial=0.0)) <= FREE:
            kept.update(common)
            for n in looks.keys() - kept:
                at = field.near(looks[n])
                planes[n] = whole + _plane(field.on(at), left[at], terms)
    corrections = {
        n: replace(before[n].correction, frame_id=look.correction.frame_id)
        if n in kept
        else _with_sky(look, planes[n], grid)
        for n, look in looks.items()
    }
    return corrections, tuple(map(float, factor))


def stepped(
    today: Mapping[str, Look],
    held: Mapping[str, Look],
    panels: Mapping[int, Sequence[str]],
    pairs: Sequence[tuple[int, int]],
    grid: Grid,
    how: How,
) -> list[FloatArray]:
    """By how much more ADU of the mosaic the first panel of each pair lies above the second where both see, (channels,) each.

    today, held : how frames are brought into the mosaic, and how they were to be, by name
    panels : names of their frames
    """
    field = _Field(grid, list(today.values()))
    seen = {
        number: field.sums([field.change(today[n], held[n], how) for n in names])
        for number, names in panels.items()
        if any(number in pair for pair in pairs) and names
    }
    steps = []
    for first, second in pairs:
        (one, w1), (other, w2) = seen[first], seen[second]
        both = (w1 > 0) & (w2 > 0)
        apart = np.divide(one, w1, out=np.zeros_like(one), where=both) - np.divide(
            other, w2, out=np.zeros_like(other), where=both
        )
        steps.append(apart.sum(axis=(0, 1)) / np.maximum(both.sum(axis=(0, 1)), 1))
    return steps


@dataclass(frozen=True)
class _Cells:
    """What a frame says of cells of the mosaic."""

    at: tuple[NDArray[np.intp], NDArray[np.intp]]  # (n,) row and column
    weight: FloatArray  # (n, channels)
    sky: FloatArray  # (n, channels) ADU of the mosaic


class _Field:
    """Cells over a grid."""

    def __init__(self, grid: Grid, looks: list[Look]) -> None:
        sides = [min(look.shape) * pixel_scale(look.solution) for look in looks]
        self.grid, self.cell = grid, max(1.0, float(np.median(sides)) / (3600.0 * grid.scale * PARTS))
        outlines = [self._outline(look) for look in looks]
        low = np.min([outline.min(axis=1) for outline in outlines], axis=0)
        high = np.max([outline.max(axis=1) for outline in outlines], axis=0)
        self.x, self.y = (np.arange(a, b + self.cell, self.cell) for a, b in zip(low, high))

    def _outline(self, look: Look) -> FloatArray:
        height, width = look.shape
        corners = np.array([0, width - 1, width - 1, 0]), np.array([0, 0, height - 1, height - 1])
        return np.array(sky_to_grid(self.grid, *pixel_to_sky(look.solution, *corners)))

    def near(self, look: Look) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the cells in the box around a frame."""
        (x, y) = self._outline(look)
        rows = np.flatnonzero((self.y >= y.min()) & (self.y <= y.max()))
        columns = np.flatnonzero((self.x >= x.min()) & (self.x <= x.max()))
        row, column = np.meshgrid(rows, columns, indexing="ij")
        return row.ravel(), column.ravel()

    def change(self, before: Look, after: Look, how: How) -> _Cells:
        row, column = self.near(before)
        inside, change = moved(before, after, self.grid, self.x[column], self.y[row], how)
        return _Cells((row[inside], column[inside]), change.after, change.sky)

    def on(self, at: tuple[NDArray[np.intp], NDArray[np.intp]]) -> FloatArray:
        """(n, 3): 1 and the place of cells, px from the tangent point."""
        x, y = self.x[at[1]] - self.grid.x, self.y[at[0]] - self.grid.y
        return np.stack([np.ones_like(x), x, y], axis=-1)

    def sums(self, cells: list[_Cells]) -> tuple[FloatArray, FloatArray]:
        """(ny, nx, channels) over frames: of the weighted sky, and of the weights."""
        total, weight = (np.zeros((len(self.y), len(self.x), cells[0].sky.shape[1])) for _ in range(2))
        for each in cells:
            total[each.at] += each.weight * each.sky
            weight[each.at] += each.weight
        return total, weight

    def mean(self, cells: list[_Cells]) -> tuple[FloatArray, FloatArray]:
        """(ny, nx, channels) weighted mean over frames, and the noise there, infinite where no frame is.

        Where there is none the mean is that of the nearest cell with one.
        """
        total, weight = self.sums(cells)
        known = weight > 0
        noise = np.where(known, 1.0 / np.sqrt(np.where(known, weight, 1.0)), np.inf)
        if not known.any():
            return total, noise
        mean = np.divide(total, weight, out=np.zeros_like(total), where=known)
        row, column = distance_transform_edt(~known[..., 0], return_distances=False, return_indices=True)
        return mean[row, column], noise


def _whole_plane(field: _Field, changes: list[_Cells], terms: int) -> FloatArray:
    """(3, channels) plane through the changes of all frames; cells that are far from it do not count."""
    at = tuple(np.concatenate([c.at[k] for c in changes]) for k in range(2))
    weight, values = (np.concatenate([getattr(c, what) for c in changes]) for what in ("weight", "sky"))
    places = field.on((at[0], at[1]))
    plane = np.zeros((3, values.shape[1]))
    good = weight > 0
    for c in range(values.shape[1]):
        chosen = good[:, c]
        for _ in range(5):
            plane[:, c] = _plane(places[chosen], values[chosen, c : c + 1], terms)[:, 0]
            off = np.abs(values[:, c] - places @ plane[:, c])
            chosen = good[:, c] & (off <= FAR * 1.4826 * np.median(off[good[:, c]]))
    return plane


def _plane(places: FloatArray, values: FloatArray, terms: int) -> FloatArray:
    """(3, channels) plane nearest to values at places; 0 without any."""
    plane = np.zeros((3, values.shape[1]))
    if len(places):
        plane[:terms] = np.linalg.lstsq(places[:, :terms], values, rcond=None)[0]
    return plane


def _less(cells: _Cells, plane: FloatArray, field: _Field) -> _Cells:
    return replace(cells, sky=cells.sky - field.on(cells.at) @ plane)


def _with_gain(correction: Correction, factor: FloatArray) -> Correction:
    return replace(correction, gain=tuple(map(float, np.array(correction.gain) / factor)))


def _with_sky(look: Look, plane: FloatArray, grid: Grid) -> Correction:
    """The correction with a sky that is more by a plane of the mosaic."""
    correction, (height, width) = look.correction, look.shape
    y, x = (a.ravel() for a in np.mgrid[0 : height - 1 : SIDE * 1j, 0 : width - 1 : SIDE * 1j])
    u, v = (x - 0.5 * (width - 1)) / correction.radius, (y - 0.5 * (height - 1)) / correction.radius
    mx, my = sky_to_grid(grid, *pixel_to_sky(look.solution, x, y))
    if correction.flat_fielded:
        x, y = np.full_like(x, 0.5 * (width - 1)), np.full_like(y, 0.5 * (height - 1))
    area = pixel_area(look.solution, x, y) / grid.scale**2 * cloud_shape(np.array(correction.cloud), u, v)
    more = np.stack([np.ones_like(mx), mx - grid.x, my - grid.y], axis=-1) @ plane
    more *= area[:, None] * np.array(correction.gain)
    terms = np.linalg.lstsq(np.stack([np.ones_like(u), u, v], axis=-1), more, rcond=None)[0]
    sky = [list(surface) for surface in correction.sky]
    for surface, added in zip(sky, terms.T):
        for k, value in enumerate(added[: len(surface)]):
            surface[k] += float(value)
    return replace(correction, sky=tuple(map(tuple, sky)))
