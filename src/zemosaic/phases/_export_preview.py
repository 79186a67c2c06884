"""The preview, a small picture of the mosaic, and its thumbnail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from zemosaic.chunks import opened, put_file
from zemosaic.imaging.display import block_mean
from zemosaic.imaging.gradient import Gradient, fit_gradient
from zemosaic.imaging.stretch import AS_USUAL, Development, Style, develop, eight_bit
from zemosaic.model import Grid, Mosaic
from zemosaic.phases._export_healpix import pixels_of
from zemosaic.phases._export_strips import Pixels, Progress, strips

__all__ = ["PREVIEW_PIXELS", "Look", "Pictures", "profile_of", "srgb", "write_preview"]

PREVIEW_PIXELS = 4_500_000  # at most, about a field of the S50 twice
THUMBNAIL = 480  # px, longer side
JPEG_BYTES, JPEG_COLLECTED = 1.0, 4.0  # bytes a pixel of the file, and of the one beside it in which it is collected
HIPS_BYTES = {"png": 2.5, "jpeg": 1.0}  # a pixel of a tile that shows the mosaic
ALL_LEVELS = 4 / 3  # pixels of all sizes that one zooms through, over those of the largest
CREATED = slice(24, 36)  # bytes of an ICC profile that say when it was made


@dataclass(frozen=True)
class Pictures:
    """What pictures there are besides the preview, and how all of them look; nothing of it touches the FITS files."""

    style: Style = AS_USUAL
    flat: bool = False  # a smooth gradient of the sky taken off
    clear: bool = False  # no data is transparent, in PNG and TIFF
    tiff: bool = False
    jpeg: bool = False
    zoom: bool = False  # a page to zoom into
    hips: str = "none"  # or the form of its tiles: "png", "jpeg" (stretched), "fits" (linear)

    @property
    def tiled(self) -> bool:
        """Whether there is a HiPS of the stretched picture."""
        return self.hips in ("png", "jpeg")

    @property
    def large(self) -> bool:
        """Whether there is a picture with all pixels of the mosaic."""
        return self.tiff or self.jpeg or self.zoom or self.tiled

    def disk(self, grid: Grid, channels: int) -> int:
        """Bytes of the large ones, at most as a rule: a TIFF as if nothing could be deflated, JPEGs of a very grainy sky.

        Of 18 real subs of M 94 (4.36 megapixels in colour) they are 3.6, 0.2 and 0.2 bytes a pixel.
        """
        tiff = 2 * (channels + self.clear)
        each = tiff * self.tiff + (JPEG_COLLECTED + JPEG_BYTES) * self.jpeg + JPEG_BYTES * ALL_LEVELS * self.zoom
        shown, all_of_tiles = pixels_of(grid)
        tiles = 4 * channels * all_of_tiles if self.hips == "fits" else HIPS_BYTES.get(self.hips, 0.0) * shown
        return math.ceil((each + JPEG_COLLECTED * self.tiled) * grid.width * grid.height + tiles)


@dataclass(frozen=True)
class Look:
    """What the small picture tells the large ones."""

    known: Development | None  # None: there is no data
    gradient: Gradient | None  # None: it stays
    weight: Pixels  # (h, w) of the small picture
    factor: int  # px of the mosaic, side of one of its pixels

    def coordinates(self, start: int, stop: int, axis: int) -> NDArray[np.float64]:
        """Those of the gradient, of mosaic pixels along an axis of the weight."""
        places = (np.arange(start, stop) - 0.5 * (self.factor - 1)) / self.factor
        return np.asarray(2 * places / max(self.weight.shape[axis] - 1, 1) - 1)


def write_preview(
    path: Path, thumbnail: Path, mosaic: Mosaic, pictures: Pictures, version: str, progress: Progress
) -> Look:
    """The mosaic as it lies; PNG rows begin at the top, FITS rows at the bottom."""
    data, weight, factor = _small_mosaic(mosaic, progress)
    covered = np.isfinite(data).all(axis=0) & (weight > 0)
    gradient = fit_gradient(data, weight) if pictures.flat else None
    if gradient is not None:
        gradient.take_off(data, *(np.linspace(-1, 1, weight.shape[axis]) for axis in (1, 0)))
    known = develop(data, weight, pictures.style)
    picture = eight_bit(data)[::-1]
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", f"ZeMosaic {version}")
    opaque = Image.fromarray(np.ascontiguousarray(picture))
    image = opaque.copy()
    if pictures.clear:
        image.putalpha(Image.fromarray(np.where(covered[::-1], np.uint8(255), np.uint8(0))))
    _put(path, image, "PNG", pnginfo=note, **profile_of(picture))
    opaque.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    _put(thumbnail, opaque, "JPEG", quality=88, optimize=True, **profile_of(picture))
    return Look(known, gradient, weight, factor)


def _put(path: Path, image: Image.Image, form: str, **options: Any) -> None:
    file = BytesIO()
    image.save(file, format=form, **options)
    put_file(path, file.getbuffer())


def profile_of(picture: NDArray[Any]) -> dict[str, bytes]:
    """The colours of a picture, as Pillow takes them; a grey one needs no profile."""
    return {"icc_profile": srgb()} if picture.ndim == 3 else {}


@cache
def srgb() -> bytes:
    """An ICC profile of sRGB, the same at every time of the day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[CREATED] = bytes((7, 0xD0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # the year 2000
    return bytes(profile)


def _small_mosaic(mosaic: Mosaic, progress: Progress) -> tuple[Pixels, Pixels, int]:
    """Block means of the mosaic, (channels, h, w), and of its weight over the channels, (h, w); px along a block."""
    factor = math.ceil(math.sqrt(mosaic.grid.width * mosaic.grid.height / PREVIEW_PIXELS))
    height, width = -(-mosaic.grid.height // factor), -(-mosaic.grid.width // factor)
    channels = opened(mosaic.data).shape[0]
    data, weight = np.empty((channels, height, width), np.float32), np.zeros((height, width), np.float32)
    row = 0
    both = zip(
        progress.counted(strips(mosaic.data, mosaic, factor)), strips(mosaic.weight, mosaic, factor), strict=True
    )
    for values, weights in both:
        rows = -(-values.shape[1] // factor)
        for channel in range(channels):
            small, total = block_mean(values[channel], weights[channel], factor)
            _show_rejected(small, total, values[channel], factor)
            data[channel, row : row + rows] = small
            weight[row : row + rows] += total / channels
        row += rows
    weight[(weight == 0) & np.isfinite(data).all(axis=0)] = np.min(weight[weight > 0], initial=np.inf)
    return data, weight, factor


def _show_rejected(small: Pixels, total: Pixels, values: Pixels, factor: int) -> None:
    """Put what the mosaic holds without a weight, where all samples were rejected, where there is nothing else in the picture.

    A satellite's trail would be a black notch in what a single frame saw.
    """
    empty = total == 0
    if empty.any():
        small[empty] = block_mean(values, np.isfinite(values).astype(np.float32), factor)[0][empty]
