"""A folder with a page to zoom into the mosaic: it opens from the disk in any browser, without a network.

Pictures of all sizes lie in tiles (`tiles/LEVEL/COLUMN_ROW.jpg`, level 0 with all pixels, each next one half as large), and
`index.html` shows those that are in sight. Memory: 3 bytes x 4 TILE x the width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zemosaic.chunks import put_file
from zemosaic.errors import OutputError
from zemosaic.imaging.projection import grid_to_sky
from zemosaic.messages import LANGUAGES, load_locale
from zemosaic.model import Grid

__all__ = ["PAGE", "TILE", "Tiles", "own_pages", "sky_table"]

PAGE = "index.html"
TILE = 512  # px
QUALITY = 88  # of a JPEG
STEPS = 40  # of the table of sky positions, along the longer side
TEXTS = "zoom."  # what the keys of the page's texts begin with

Bytes = NDArray[np.uint8]


def own_pages(folder: Path) -> Iterator[Path]:
    """What an earlier run has put into the folder of a page, the page first."""
    if (folder / PAGE).is_file():
        yield folder / PAGE
    yield from (path for path in folder.glob("tiles/*/*_*.jpg") if path.stem.replace("_", "").isdigit())


class Tiles:
    """Takes the picture in bands of TILE rows (the last one may have fewer) and writes the tiles, then the page.

    A page that is there is removed first and written last: while there is one, all of it is there. Raises OutputError.
    """

    def __init__(self, folder: Path, grid: Grid, title: str) -> None:
        self._folder, self._grid, self._title = folder, grid, title
        self.levels = 1 + math.ceil(math.log2(max(1.0, max(grid.width, grid.height) / TILE)))
        self._waiting: list[Bytes | None] = [None] * self.levels  # rows of each level that make no row of tiles yet
        self._rows = [0] * self.levels  # of tiles, written
        try:
            for old in [*own_pages(folder)]:
                old.unlink()
            for level in range(self.levels):
                (folder / "tiles" / f"{level}").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError.writing(folder, error) from error

    @property
    def page(self) -> Path:
        return self._folder / PAGE

    def add(self, picture: Bytes) -> None:
        """The next rows, (rows, width, 3) or (rows, width, 1)."""
        self._put(0, picture)

    def finish(self) -> Path:
        """Write what waits, and the page."""
        for level in range(self.levels):
            rest = self._waiting[level]
            if rest is not None:
                self._row(level, rest)
        put_file(self.page, self._html().encode("utf-8"))
        return self.page

    def _put(self, level: int, picture: Bytes) -> None:
        before = self._waiting[level]
        rows = picture if before is None else np.concatenate([before, picture])
        while len(rows) >= TILE:
            self._row(level, rows[:TILE])
            rows = rows[TILE:]
        self._waiting[level] = rows.copy() if len(rows) else None

    def _row(self, level: int, rows: Bytes) -> None:
        """Write a row of tiles, and hand it on at half its size."""
        for left in range(0, rows.shape[1], TILE):
            tile = np.ascontiguousarray(rows[:, left : left + TILE])
            file = BytesIO()
            Image.fromarray(tile if tile.shape[2] == 3 else tile[..., 0]).save(file, "JPEG", quality=QUALITY)
            put_file(self._folder / "tiles" / f"{level}" / f"{left // TILE}_{self._rows[level]}.jpg", file.getbuffer())
        self._rows[level] += 1
        if level + 1 < self.levels:
            self._put(level + 1, _half(rows))

    def _html(self) -> str:
        data = {
            "title": self._title,
            "width": self._grid.width,
            "height": self._grid.height,
            "tile": TILE,
            "levels": self.levels,
            "scale": 3600.0 * self._grid.scale,
            "sky": sky_table(self._grid),
            "texts": {language: _texts(language) for language in LANGUAGES},
        }
        template = resources.files("zemosaic.phases").joinpath("assets", "zoom.html").read_text(encoding="utf-8")
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return template.replace("{{data}}", text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))


def _half(rows: Bytes) -> Bytes:
    """Means of 2 x 2 px; a single row or column at the end is its own mean."""
    h, w, channels = rows.shape
    out = np.empty((-(-h // 2), -(-w // 2), channels), np.uint8)
    for left in range(0, w, 8 * TILE):
        part = rows[:, left : left + 8 * TILE]
        even = np.pad(part, ((0, h % 2), (0, part.shape[1] % 2), (0, 0)), mode="edge").astype(np.uint16)
        total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
        out[:, left // 2 : (left + part.shape[1] + 1) // 2] = (total + 2) // 4
    return out


def sky_table(grid: Grid) -> dict[str, object]:
    """Directions to the sky (x, y, z of unit vectors) on a lattice of picture pixels, between which the page interpolates.

    Columns 0, step, 2 step... from the left, rows from the top, as far as the last pixel or beyond it.
    """
    step = max(1, math.ceil(max(grid.width, grid.height) / STEPS))
    columns, rows = (math.ceil(max(1, size - 1) / step) + 1 for size in (grid.width, grid.height))
    x, top = np.meshgrid(step * np.arange(columns), step * np.arange(rows))
    ra, dec = (np.radians(each) for each in grid_to_sky(grid, x, grid.height - 1.0 - top))
    directions = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    directions = np.nan_to_num(directions)  # no direction beyond the edge of a map
    return {"step": step, "columns": columns, "rows": rows, "xyz": np.round(directions.ravel(), 9).tolist()}


def _texts(language: str) -> dict[str, str]:
    found = load_locale(language).items()
    return {key.removeprefix(TEXTS): text for key, text in found if key.startswith(TEXTS)}
