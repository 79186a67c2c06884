"""The preview: a small picture, stretched."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from zemosaic.chunks import opened, put_file
from zemosaic.imaging.display import block_mean
from zemosaic.imaging.stretch import autostretch
from zemosaic.model import Mosaic
from zemosaic.phases._export_strips import Pixels, Progress, strips

__all__ = ["PREVIEW_PIXELS", "write_preview"]

PREVIEW_PIXELS = 4_500_000  # at most, about a field of the S50 twice


def write_preview(path: Path, mosaic: Mosaic, version: str, progress: Progress) -> None:
    """North up, east left; PNG rows begin at the top, FITS rows at the bottom."""
    data, weight = _small_mosaic(mosaic, progress)
    picture = autostretch(data, weight, overwrite=True)[::-1]
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", f"ZeMosaic {version}")
    png = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(png, format="PNG", pnginfo=note)
    put_file(path, png.getbuffer())


def _small_mosaic(mosaic: Mosaic, progress: Progress) -> tuple[Pixels, Pixels]:
    """Block means of the mosaic, (channels, h, w), and of its weight over the channels, (h, w)."""
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
    return data, weight


def _show_rejected(small: Pixels, total: Pixels, values: Pixels, factor: int) -> None:
    """Put what the mosaic holds without a weight, where all samples were rejected, where there is nothing else in the picture.

    A satellite's trail would be a black notch in what a single frame saw.
    """
    empty = total == 0
    if empty.any():
        small[empty] = block_mean(values, np.isfinite(values).astype(np.float32), factor)[0][empty]
