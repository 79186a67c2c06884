"""Made-up frames for the tests of the table and the sky view."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from zemosaic.quality import FrameQuality

BAD = {
    "trailed": "Its stars are 2.4 times as long as wide; at most 2 are taken.",
    "clouded": "Its stars have 10 % of the usual light.",
    "damaged": "The file ends after 1011 rows of 1920.",
}
ONE = FrameQuality(
    file="/night/a.fit", state="used", reason="", target="M 31", filter="LP", instrument="S50", panel=0,
    date_obs="2025-01-14T22:00:00", exposure=10.0, fwhm=3.5, fwhm_arcsec=8.3, roundness=0.9, stars=200, expected=210.0,
    sky=900.0, noise=21.0, clipped=0.0, transparency=1.0, uneven=30.0, common=60, catalogue=25, residual=0.5, weight=1.0,
    remarks=(),
)  # fmt: skip


def frames(count: int) -> tuple[FrameQuality, ...]:
    """Frames of a night, one in ten of them left out; a damaged one has no figures."""
    chance = random.Random(count)
    rows = []
    for number in range(count):
        state = chance.choice(list(BAD)) if number % 10 == 9 else "used"
        known = state != "damaged"
        rows.append(
            replace(
                ONE,
                file=f"/night/Light_M 31_{number:05d}.fit",
                state=state,
                reason=BAD.get(state, ""),
                panel=number % 4,
                fwhm_arcsec=round(chance.gauss(8.5, 0.8), 1) if known else math.nan,
                stars=chance.randint(80, 400) if known else -1,
                transparency=chance.gauss(1.0, 0.1) if known else math.nan,
                remarks=(("soft", 1.5),) if number % 50 == 1 else (),
            )
        )
    return tuple(rows)
