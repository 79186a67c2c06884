"""Which frames were taken in one night, wherever on Earth: nights are apart by hours without a frame, calendar dates are not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

__all__ = ["DAYTIME", "evening", "nights"]

DAYTIME = timedelta(hours=6)  # without a frame between two nights


def nights(telescopes: Sequence[str], dates: Sequence[str]) -> list[str]:
    """The evening's date of the night of each frame; frames of a telescope are of one night unless `DAYTIME` lies between them.

    dates : ISO 8601, UTC; "" or what is no date gives "".
    """
    known = dict[str, list[tuple[datetime, int]]]()
    for k, (telescope, date) in enumerate(zip(telescopes, dates, strict=True)):
        try:
            known.setdefault(telescope, []).append((datetime.fromisoformat(date).replace(tzinfo=None), k))
        except ValueError:
            continue
    result = [""] * len(dates)
    for taken in known.values():
        last, name = datetime.min, ""
        for time, k in sorted(taken):
            if time - last > DAYTIME:
                name = evening(time)
            last, result[k] = time, name
    return result


def evening(time: datetime) -> str:
    """The date on which a night began whose first frame this is, by the noon of UTC."""
    return (time - timedelta(hours=12)).date().isoformat()
