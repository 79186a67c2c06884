"""Values of header cards: missing, empty and absurd ones are "" or NaN, never an error."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["Cards", "number", "text"]

Cards = Mapping[str, str]  # as `zemosaic.fits.cards` gives them


def text(header: Cards, *keys: str) -> str:
    """First of the cards that holds something; "" when none does."""
    return next((value for value in (header.get(key, "") for key in keys) if value), "")


def number(header: Cards, key: str) -> float:
    """A card as a finite number, also when it was written as text; NaN when it is missing or says something else."""
    try:
        value = float(header.get(key, "").replace("D", "E"))  # FITS allows 1.0D-4
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
