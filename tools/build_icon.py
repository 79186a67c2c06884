"""Draw the icon: four panels of a night sky that meet without a seam, and a star where they do.

    python tools/build_icon.py

Writes `icon/zemosaic.png`, `icon/zemosaic.ico` (executable, Windows) and the sizes that the window uses. Each size is drawn by
itself, from the same figures, so that the small ones keep what counts.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
WINDOW = ROOT / "src" / "zemosaic" / "gui" / "icons"
SIZES = (16, 24, 32, 48, 64, 128, 256)
OF_WINDOW = (16, 32, 48, 128)
FINE = 8  # samples of a pixel along each side

Array = NDArray[np.float64]
NIGHT = (10, 16, 40)
PANELS = (  # middle, turn in degrees, colour
    (-0.30, -0.28, -7.0, (44, 96, 180)),
    (0.29, -0.31, 5.0, (108, 70, 178)),
    (-0.28, 0.30, 4.0, (28, 132, 150)),
    (0.30, 0.28, -5.0, (196, 74, 118)),
)
HALF, ROUND, EDGE = 0.37, 0.06, 0.030  # of a panel: half its side, its corners, its frame
STARS = ((-0.52, -0.46, 0.05), (0.47, -0.55, 0.04), (-0.40, 0.52, 0.045), (0.55, 0.40, 0.05), (0.20, 0.58, 0.03))


def _box(x: Array, y: Array, half: float, corner: float) -> Array:
    """Distance to a square with round corners; negative inside."""
    dx, dy = np.abs(x) - half + corner, np.abs(y) - half + corner
    outside = np.hypot(np.maximum(dx, 0.0), np.maximum(dy, 0.0))
    return outside + np.minimum(np.maximum(dx, dy), 0.0) - corner


def draw(size: int) -> Image.Image:
    """The icon, `size` px wide, with a transparent surrounding."""
    n = size * FINE
    place = (np.arange(n) + 0.5) / n * 2.0 - 1.0
    x, y = np.meshgrid(place, place)
    shape = _box(x, y, 0.99 if size < 32 else 0.96, 0.30)
    pixels = np.zeros((n, n, 3))
    pixels[:] = NIGHT
    pixels += (18.0 * (1.0 - y) * 0.5)[..., None]
    x, y = (axis / (1.3 if size < 32 else 1.16) for axis in (x, y))  # small ones have no room to give away
    for left, top, turn, colour in PANELS:
        a = np.radians(turn)
        u, v = np.cos(a) * (x - left) + np.sin(a) * (y - top), -np.sin(a) * (x - left) + np.cos(a) * (y - top)
        distance = _box(u, v, HALF + 0.03, ROUND)
        inside = (distance < 0.0)[..., None]
        cover = 0.82 if size > 24 else 0.95
        pixels = np.where(inside, (1 - cover) * pixels + cover * np.asarray(colour, float), pixels)
        if size >= 32:
            frame = (np.abs(distance + EDGE / 2) < EDGE / 2)[..., None]
            pixels = np.where(frame, 0.6 * pixels + 0.4 * 255.0, pixels)
    glow = np.exp(-(x**2 + y**2) / (2 * 0.30**2)) * 0.75
    pixels = pixels * (1 - glow[..., None]) + np.asarray((255, 232, 190), float) * glow[..., None]
    for left, top, width in STARS if size >= 32 else ():
        light = np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * (width * 0.7) ** 2))
        pixels = pixels * (1 - light[..., None]) + 255.0 * light[..., None]
    reach, thick = (0.62, 0.055) if size >= 32 else (0.66, 0.11)
    spikes = np.maximum(
        (np.abs(x) < thick * (1 - np.abs(y) / reach)) & (np.abs(y) < reach),
        (np.abs(y) < thick * (1 - np.abs(x) / reach)) & (np.abs(x) < reach),
    )
    core = np.hypot(x, y) < (0.13 if size >= 32 else 0.19)
    pixels = np.where((spikes | core)[..., None], 255.0, pixels)
    alpha = (shape < 0.0) * 255.0
    premultiplied = (
        np.dstack([pixels * alpha[..., None] / 255.0, alpha]).reshape(size, FINE, size, FINE, 4).mean((1, 3))
    )
    opacity = np.maximum(premultiplied[..., 3:], 1e-6) / 255.0
    shown = np.dstack([premultiplied[..., :3] / opacity, premultiplied[..., 3]])
    return Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))


def ico(images: dict[int, Image.Image]) -> bytes:
    """A Windows icon of all sizes, each as PNG."""
    parts = {size: _png(image) for size, image in images.items()}
    head, body, offset = struct.pack("<HHH", 0, 1, len(parts)), b"", 6 + 16 * len(parts)
    for size, data in parts.items():
        head += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(data), offset + len(body))
        body += data
    return head + body


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    images = {size: draw(size) for size in SIZES}
    (ROOT / "icon").mkdir(exist_ok=True)
    WINDOW.mkdir(exist_ok=True)
    (ROOT / "icon" / "zemosaic.png").write_bytes(_png(images[256]))
    (ROOT / "icon" / "zemosaic.ico").write_bytes(ico(images))
    for size in OF_WINDOW:
        (WINDOW / f"zemosaic-{size}.png").write_bytes(_png(images[size]))


if __name__ == "__main__":
    main()
