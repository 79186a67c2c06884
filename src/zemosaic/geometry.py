"""What people write for angles, places on the sky and sizes of a picture."""

from __future__ import annotations

import math
import re

__all__ = ["angle", "place", "size"]

DECIMAL_COMMA = re.compile(r"[^.]*\d,\d[^.]*")  # or one between two numbers: nobody knows
MARKS = re.compile(r"[hmsd:,;°'′\"″]", re.IGNORECASE)
SIZE = re.compile(
    r"(?P<w>\d+\.?\d*|\.\d+)\s*(?:[x×,\s]\s*(?P<h>\d+\.?\d*|\.\d+))?\s*(?P<unit>deg|degrees|°|px)?", re.IGNORECASE
)


def angle(text: str) -> float | None:
    """Degrees of "north" (0) or of a number; None of "frames". ValueError says what is expected."""
    word = text.strip().lower()
    if word in ("north", "frames"):
        return 0.0 if word == "north" else None
    try:
        degrees = float(word)
    except ValueError:
        degrees = math.nan
    if not -360.0 <= degrees <= 360.0:
        raise ValueError("must be north, frames, or an angle in degrees, as in 35.5")
    return degrees % 360.0


def place(text: str) -> tuple[float, float] | None:
    """RA and Dec in degrees; None of "". Sexagesimal right ascensions are hours. ValueError says what is expected."""
    if not text.strip():
        return None
    try:
        if DECIMAL_COMMA.fullmatch(text):
            raise ValueError(text)
        ra, dec = _position(MARKS.sub(" ", text).split())
    except ValueError:
        ra = dec = math.nan
    if not (0.0 <= ra < 360.0 and -90.0 <= dec <= 90.0):
        raise ValueError(
            "must be right ascension and declination, decimals with a point and no comma between two digits, as in "
            '"10.68 +41.27" (degrees) or "0 42 44 +41 16 09"'
        )
    return ra, dec


def _position(parts: list[str]) -> tuple[float, float]:
    """Degrees of two numbers, or of sexagesimal ones, of which the declination has a sign. ValueError when they are neither."""
    if len(parts) == 2:
        return float(parts[0]), float(parts[1])
    begin = next((k for k, part in enumerate(parts) if part[0] in "+-"), 0)
    hours, degrees = _sexagesimal(parts[:begin]), _sexagesimal([parts[begin].lstrip("+-"), *parts[begin + 1 :]])
    return 15.0 * hours, -degrees if parts[begin][0] == "-" else degrees


def _sexagesimal(parts: list[str]) -> float:
    whole, *rest = [float(part) for part in parts] or [math.nan]
    if len(rest) not in (1, 2) or not all(0.0 <= part < 60.0 for part in rest):
        raise ValueError(f"{' '.join(parts)} is not sexagesimal")
    return whole + sum(part / 60.0**k for k, part in enumerate(rest, 1))


def size(text: str) -> tuple[float, float, bool] | None:
    """Width, height and whether they are degrees, else px; None of "". One number is a square.

    ValueError says what is expected.
    """
    if not text.strip():
        return None
    found = None if DECIMAL_COMMA.fullmatch(text) else SIZE.fullmatch(text.strip())
    width = float(found["w"]) if found else math.nan
    height = float(found["h"]) if found and found["h"] else width
    degrees = bool(found and (found["unit"] or "px").lower() != "px")
    least, most = (1e-3, 360.0) if degrees else (16.0, 1e6)
    if not (least <= width <= most and least <= height <= most):
        raise ValueError(
            "must be a width and a height, decimals with a point and no comma between two digits, as in "
            '"3000 x 2000" (px) or "3 x 2.5 deg"'
        )
    return width, height, degrees
