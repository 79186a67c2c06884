"""Which detections of a frame take part in the refinement, and how well their places are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zemosaic.model import Stars

__all__ = ["centroid_sigma", "chosen_detections"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CENTROID_FLOOR = 0.025  # px, pixelation and seeing: 0.023 on real subs; more where the frame's own scatter says so
POOR_FLOOR = 0.25  # px, saturated or blended stars, when there are no better ones
ENOUGH = 15  # good stars in a frame, above which the poor ones are left out
MAX_SIGHTINGS = 200_000  # over all frames
STARS_PER_FRAME = (40, 300)  # least and most that are used, brightest first


def chosen_detections(stars: Sequence[Stars]) -> list[IntArray]:
    """Detections of each frame that take part: good ones where there are enough, brightest first."""
    least, most = STARS_PER_FRAME
    limit = int(np.clip(MAX_SIGHTINGS // max(len(stars), 1), least, most))
    chosen = []
    for s in stars:
        usable = np.isfinite(s.x) & np.isfinite(s.y) & (s.snr > 0)
        good = usable & ~s.saturated & ~s.blended
        chosen.append(np.flatnonzero(good if good.sum() >= ENOUGH else usable)[:limit])
    return chosen


def centroid_sigma(stars: Stars) -> FloatArray:
    """(n,) px per axis, error of a position."""
    poor = stars.saturated | stars.blended
    return np.hypot(stars.place_err, np.where(poor, POOR_FLOOR, CENTROID_FLOOR))
