"""Numbers, times and places as the reader's language writes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from zemosaic.messages import Messages
from zemosaic.seams import size_told

__all__ = ["Words"]

UNKNOWN = "–"
NARROW_SPACE = "\u202f"


class Words(Messages):
    """The texts of a language, and how it writes figures."""

    def number(self, value: float | None, digits: int = 0) -> str:
        """With the language's comma and thousands; a dash when it is not known."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        text = f"{value:,.{digits}f}"
        if float(text.replace(",", "")) == 0.0:
            text = text.lstrip("-")
        text = text.replace(",", NARROW_SPACE)
        return (text.replace(".", ",") if self.language == "fr" else text).replace("-", "−")

    def seam(self, visible: float) -> str:
        """The size of a seam, see `size_told`."""
        text = size_told(visible) if math.isfinite(visible) else UNKNOWN
        return text.replace(".", ",") if self.language == "fr" else text

    def time(self, seconds: float) -> str:
        """8.2 s, 3 min 20 s, 2 h 05 min; a dash when it is not known."""
        if not math.isfinite(seconds):
            return UNKNOWN
        return f"{self.number(seconds, 1)} s" if seconds < 60 else self.duration(seconds)

    def place(self, ra: float, dec: float) -> str:
        """20h 51m 00s  +44° 12′"""
        if not math.isfinite(ra + dec):
            return UNKNOWN
        return f"{self.hours(ra, seconds=True)} {self.degrees(dec)}"

    def hours(self, ra: float, *, seconds: bool) -> str:
        """Right ascension in hours, to the second or to the minute."""
        total = round(ra / 15.0 * 3600.0) if seconds else 60 * round(ra / 15.0 * 60.0)
        total %= 86400
        text = f"{total // 3600}h {total // 60 % 60:02d}m"
        return f"{text} {total % 60:02d}s" if seconds else text

    def degrees(self, dec: float) -> str:
        """Declination to the minute of arc."""
        total = round(abs(dec) * 60.0)
        return f"{'−' if dec < 0 else '+'}{total // 60}° {total % 60:02d}′"

    def when(self, time: float) -> str:
        """Date and minute of seconds since 1970, UTC."""
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M") if math.isfinite(time) else UNKNOWN
