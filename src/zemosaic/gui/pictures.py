"""What the window shows of mosaics, as bytes that Tk reads: the one that grows, and those that are finished. No widget.

Heavy libraries are imported when the first picture is made.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zemosaic.events import BlockMade, Made

if TYPE_CHECKING:
    from zemosaic.glance import Box, Glance
    from zemosaic.imaging.display import Level, Look

__all__ = ["KINDS", "Growing", "Shown", "Still", "View"]

KINDS = ("mosaic", "coverage", "weight")
LIVE = 900  # px, longest side of the picture that grows
WHOLE = 1600  # px, of a finished one
MARGIN = 0.25  # of a window that is read, around what is looked at
SHARP = 2.0  # screen px for a pixel from which on pixels are shown as squares


@dataclass(frozen=True)
class Shown:
    """A picture for the screen."""

    data: bytes  # PPM
    width: int
    height: int


def as_shown(picture: Any) -> Shown:
    """Of (h, w, 3) uint8."""
    height, width = picture.shape[:2]
    return Shown(b"P6 %d %d 255\n" % (width, height) + picture.tobytes(), width, height)


class Growing:
    """A mosaic while it is made: blocks are pasted as they come, the provisional ones below the final ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[BlockMade] = []
        self._path: Path | None = None
        self._canvas: Any = None
        self._final: Any = None  # where the final mosaic is

    def add(self, made: BlockMade) -> None:
        with self._lock:
            self._waiting.append(made)

    def paint(self, width: int, height: int) -> Shown | None:
        """What there is, to fit width x height px; None while there is nothing."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for made in waiting:
            self._paste(made)
        if self._canvas is None:
            return None
        return _fitted(self._canvas, width, height)

    def _paste(self, made: BlockMade) -> None:
        import numpy as np

        from zemosaic.chunks import DamagedError
        from zemosaic.glance import glance_at_block

        try:
            part = glance_at_block(made, LIVE)
        except DamagedError:  # made again in the meantime: the next word of it will show it
            return
        shape = len(part.data), part.height, part.width
        if self._canvas is None or self._canvas.shape != shape or self._path != made.path.parent:
            self._canvas = np.full(shape, np.nan, np.float32)
            self._final = np.zeros(shape[1:], bool)
            self._path = made.path.parent  # another target has another folder
        place = slice(part.top, part.top + part.data.shape[1]), slice(part.left, part.left + part.data.shape[2])
        there = np.isfinite(part.data).all(axis=0) & (made.final | ~self._final[place])
        self._canvas[:, place[0], place[1]][:, there] = part.data[:, there]
        self._final[place] |= there & made.final


def _fitted(canvas: Any, width: int, height: int) -> Shown:
    import numpy as np
    from PIL import Image

    from zemosaic.imaging.display import Look, levels, shown

    picture = Image.fromarray(shown(canvas, levels(canvas), Look()))
    zoom = min(width / picture.width, height / picture.height)
    size = max(1, round(picture.width * zoom)), max(1, round(picture.height * zoom))
    return as_shown(np.asarray(picture.resize(size, Image.Resampling.BILINEAR)))


@dataclass(frozen=True)
class View:
    """What of a picture is to be shown, and how: its centre in px of the mosaic, from the upper left corner (north up)."""

    kind: str
    x: float
    y: float
    zoom: float  # screen px for a px of the mosaic
    width: int  # screen px
    height: int
    look: Look | None = None  # None: as it suits the picture


class Still:
    """A mosaic that is finished, its coverage and its weight."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self._whole: dict[str, Glance] = {}
        self._window: dict[str, tuple[Box, Glance]] = {}
        self._levels: tuple[Level, ...] = ()

    def files(self, kind: str) -> Sequence[Path]:
        if kind == "mosaic":
            return (self.made.mosaic, *self.made.planes)
        file = self.made.coverage if kind == "coverage" else self.made.weight
        return () if file is None else (file,)

    def size(self) -> tuple[int, int]:
        """(width, height) px of the mosaic; reads it."""
        whole = self._of_all("mosaic")
        return whole.width * whole.factor, whole.height * whole.factor

    def paint(self, view: View) -> Shown:
        """The part of a picture that a view shows; black around it.

        Raises FrameError when a file cannot be read.
        """
        import numpy as np
        from PIL import Image

        part, (x, y, zoom) = self._part(view)
        image = Image.fromarray(self._coloured(view, part))
        half_width, half_height = 0.5 * view.width / zoom, 0.5 * view.height / zoom
        corners = x - half_width, y - half_height, x + half_width, y + half_height
        how = Image.Resampling.NEAREST if zoom >= SHARP else Image.Resampling.BILINEAR
        step = (corners[2] - corners[0]) / view.width, (corners[3] - corners[1]) / view.height
        data = (step[0], 0.0, corners[0], 0.0, step[1], corners[1])
        if zoom < 1.0:  # else pixels would be left out
            image, data = _smaller(image, zoom), tuple(value * zoom for value in data)  # type: ignore[assignment]
        return as_shown(np.asarray(image.transform((view.width, view.height), Image.Transform.AFFINE, data, how)))

    def _part(self, view: View) -> tuple[Glance, tuple[float, float, float]]:
        """What of a file serves a view, and the view's centre and zoom in pixels of that, from its upper left corner."""
        part = self._of_all(view.kind)
        if part.factor > 1 and view.zoom * part.factor > 1.2:
            part = self._near(view, part)
        bottom = part.height - part.top - part.data.shape[1]  # rows above it, north up
        return part, (view.x / part.factor - part.left, view.y / part.factor - bottom, view.zoom * part.factor)

    def _of_all(self, kind: str) -> Glance:
        if kind not in self._whole:
            self._whole[kind] = self._read(kind, WHOLE, None)
        return self._whole[kind]

    def _near(self, view: View, whole: Glance) -> Glance:
        """A window around what is looked at, in full resolution or nearly so."""
        width, height = whole.width * whole.factor, whole.height * whole.factor
        y = height - view.y
        wanted = [
            y - 0.5 * view.height / view.zoom, y + 0.5 * view.height / view.zoom,
            view.x - 0.5 * view.width / view.zoom, view.x + 0.5 * view.width / view.zoom,
        ]  # fmt: skip
        inside = _clipped(wanted, height, width, 0.0)
        known = self._window.get(view.kind)
        if known is not None and _covers(known[0], inside) and known[1].factor * view.zoom < 2.4:
            return known[1]
        box = _clipped(wanted, height, width, MARGIN)
        if box[1] - box[0] < 2 or box[3] - box[2] < 2:
            return whole
        longest = max(WHOLE, round(1.5 * max(view.width, view.height)))
        self._window[view.kind] = box, self._read(view.kind, longest, box)
        return self._window[view.kind][1]

    def _read(self, kind: str, longest: int, box: Box | None) -> Glance:
        from dataclasses import replace

        import numpy as np

        from zemosaic.glance import glance_at_file

        parts = [glance_at_file(path, longest, box, empty=True) for path in self.files(kind)]
        return replace(parts[0], data=np.concatenate([each.data for each in parts]))

    def _coloured(self, view: View, part: Glance) -> Any:
        from zemosaic.imaging.display import Look, levels, shown, shown_map

        if view.kind != "mosaic":
            return shown_map(part.data[min(1, len(part.data) - 1)])
        if not self._levels:
            self._levels = levels(self._of_all("mosaic").data)
        return shown(part.data, self._levels, view.look or Look())


def _smaller(image: Any, zoom: float) -> Any:
    from PIL import Image

    size = max(1, round(image.width * zoom)), max(1, round(image.height * zoom))
    return image.resize(size, Image.Resampling.BOX)


def _clipped(box: Sequence[float], height: int, width: int, margin: float) -> Box:
    y0, y1, x0, x1 = box
    dy, dx = margin * (y1 - y0), margin * (x1 - x0)
    return max(0, int(y0 - dy)), min(height, int(y1 + dy) + 1), max(0, int(x0 - dx)), min(width, int(x1 + dx) + 1)


def _covers(large: Box, small: Box) -> bool:
    return large[0] <= small[0] and large[1] >= small[1] and large[2] <= small[2] and large[3] >= small[3]
