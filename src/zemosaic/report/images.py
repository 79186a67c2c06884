"""Pictures as text inside of the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zemosaic.report.values import FloatArray

__all__ = ["RAMP", "SMALL", "Picture", "map_image", "picture"]

PICTURE, SMALL = 2000, 640  # px, longer side
# dark to bright, even in lightness, told apart by colour-blind eyes: corner colours of a ramp from night blue over green to sand
RAMP = ((18, 22, 60), (32, 60, 120), (28, 105, 135), (40, 150, 125), (120, 190, 95), (215, 215, 95), (250, 240, 190))
LEVELS = 256


@dataclass(frozen=True)
class Picture:
    address: str  # with the picture itself
    width: int  # px
    height: int


def picture(path: Path, longest: int = PICTURE, quality: int = 88) -> Picture:
    """A picture file as a JPEG in a data address, not larger than `longest`."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return Picture(_address(small, "JPEG", quality=quality, optimize=True), small.width, small.height)


def map_image(values: FloatArray, least: float, most: float) -> str:
    """A map in the colours of the ramp as a PNG in a data address; clear where there is no data."""
    known = np.isfinite(values)
    share = np.clip((np.where(known, values, least) - least) / (most - least), 0.0, 1.0)
    indices = np.where(known, 1 + share * (LEVELS - 2), 0.0).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(_table().tobytes())
    return _address(image, "PNG", transparency=0)


def _table() -> NDArray[np.uint8]:
    """(LEVELS, 3) the ramp, after a level for no data."""
    stops = np.linspace(1, LEVELS - 1, len(RAMP))
    columns = [np.interp(np.arange(LEVELS), stops, [colour[k] for colour in RAMP]) for k in range(3)]
    return np.column_stack(columns).astype(np.uint8)


def _address(image: Image.Image, form: str, **options: bool | int) -> str:
    file = io.BytesIO()
    image.save(file, format=form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
