"""The picture behind the sky view: how many frames cover each place, and the stars. Arrays in, arrays out; no widgets here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["CELL", "CHUNK", "Coverage", "SkyPicture", "star_radii"]

FloatArray = NDArray[np.float64]

CELL = 3  # px of the canvas, side of a square in which frames are counted
CHUNK = 500  # frames counted between two chances to interrupt: 1 to 8 ms
GROUND = (11, 16, 30)  # RGB of the empty sky
SHADES = ((15, 34, 60), (18, 58, 92), (24, 88, 108), (58, 124, 120))  # few to many frames
STAR = (236, 240, 255)
LARGEST, SMALLEST = 4.5, 0.7  # px, radius of stars


class Coverage:
    """Counts, by square of `CELL` px, how many quadrilaterals hold its centre."""

    def __init__(self, width: int, height: int) -> None:
        self.shape = (-(-height // CELL), -(-width // CELL))
        self._edges = np.zeros((self.shape[0], self.shape[1] + 1), np.int64)  # +1 where one begins, -1 after its end

    def add(self, quads: FloatArray) -> None:
        """Add (n, 4, 2) convex quadrilaterals, canvas px: rows of squares, and in each the range between the two sides."""
        rows, columns = self.shape
        quads = quads[np.isfinite(quads).all(axis=(1, 2))] / CELL - 0.5  # centres of squares at integers
        low, high = quads[..., 1].min(axis=1), quads[..., 1].max(axis=1)
        quads = quads[(high >= 0) & (low <= rows - 1) & (quads[..., 0].max(axis=1) >= 0)]
        if not len(quads):
            return
        first = np.clip(np.ceil(quads[..., 1].min(axis=1)), 0, rows)
        last = np.clip(np.floor(quads[..., 1].max(axis=1)), -1, rows - 1)
        row = first[:, None] + np.arange(int((last - first).max(initial=-1)) + 1)
        left, right = np.full(row.shape, np.inf), np.full(row.shape, -np.inf)
        for k in range(4):
            (x0, y0), (x1, y1) = quads[:, k].T, quads[:, (k + 1) % 4].T
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (row - y0[:, None]) / (y1 - y0)[:, None]
                x = np.where((share >= 0) & (share <= 1), x0[:, None] + share * (x1 - x0)[:, None], np.nan)
            left, right = np.fmin(left, x), np.fmax(right, x)
        begin, end = np.clip(np.ceil(left), 0, columns), np.clip(np.floor(right) + 1, 0, columns)
        there = (row <= last[:, None]) & (end > begin)
        where = row[there].astype(np.int64) * (columns + 1)
        for column, sign in ((begin, 1), (end, -1)):
            flat = np.bincount(where + column[there].astype(np.int64), minlength=self._edges.size)
            self._edges += sign * flat.reshape(self._edges.shape)

    def count(self) -> NDArray[np.int64]:
        """(rows, columns) frames over each square."""
        return np.cumsum(self._edges[:, :-1], axis=1)


class SkyPicture:
    """Makes the picture of a view in steps."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.coverage = Coverage(width, height)

    def cover(self, quads: FloatArray) -> Iterator[None]:
        """Count (n, 4, 2) footprints, a chunk a step."""
        for first in range(0, len(quads), CHUNK):
            self.coverage.add(quads[first : first + CHUNK])
            yield

    def image(self, stars: FloatArray) -> Image.Image:
        """The picture with (n, 3) stars: x, y, radius in px."""
        count = self.coverage.count()
        small = Image.fromarray(_shaded(count))
        picture = small.resize((small.width * CELL, small.height * CELL), Image.Resampling.BILINEAR)
        pixels = np.array(picture.crop((0, 0, self.width, self.height)))
        for x, y, radius in stars:
            _add_star(pixels, float(x), float(y), float(radius))
        return Image.fromarray(pixels)


def star_radii(magnitudes: FloatArray) -> FloatArray:
    """px: the faintest that are shown are points, and each magnitude counts the same."""
    if not len(magnitudes):
        return magnitudes
    radii: FloatArray = np.clip(SMALLEST + 0.55 * (magnitudes.max() - magnitudes), SMALLEST, LARGEST)
    return radii


def _shaded(count: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(rows, columns, 3): the logarithm of the count, from few to as many as there are anywhere."""
    most = max(int(count.max(initial=0)), 1)
    share = np.log(np.maximum(count, 1)) / np.log(max(most, 2)) * (len(SHADES) - 1)
    shades = np.array(SHADES, float)
    colour = np.stack([np.interp(share, np.arange(len(SHADES)), shades[:, k]) for k in range(3)], axis=-1)
    colour[count == 0] = GROUND
    return colour.astype(np.uint8)


def _add_star(pixels: NDArray[np.uint8], x: float, y: float, radius: float) -> None:
    """Draw a disc with a soft edge."""
    reach = int(np.ceil(radius)) + 1
    x0, y0 = max(round(x) - reach, 0), max(round(y) - reach, 0)
    patch = pixels[y0 : max(round(y) + reach + 1, 0), x0 : max(round(x) + reach + 1, 0)]
    if not patch.size:
        return
    v, u = np.ogrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
    alpha = np.clip(radius + 0.5 - np.hypot(u - x, v - y), 0.0, 1.0)[..., None]
    patch[:] = patch + alpha * (np.array(STAR, float) - patch)
