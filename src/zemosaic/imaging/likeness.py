"""How alike scale and shears are among the frames of one spell: learnt from the frames themselves.

Refraction and focus move slowly: on real subs the scale scatters by 2e-5 to 7e-5 and the shears by 3e-5 within minutes, as
much as 60 stars a frame can tell. A frame of few stars is better known from its neighbours in time than by itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.adjustment import Cameras, Likeness, shapes

__all__ = ["learnt"]

FloatArray = NDArray[np.float64]
FEWEST = 6  # frames from whose scatter something can be learnt
TIGHTEST = 2e-5  # relative: no telescope is stiffer
OUTLIER = 4.0  # sigma, beyond which a frame is on its own: refocused, bent
MAD = 1.4826
TERMS = (slice(0, 1), slice(1, 3))  # scale; both shears, which are of one nature


def learnt(cameras: Cameras, likeness: Likeness, errors: FloatArray) -> Likeness:
    """The likeness with the scatter that the frames of each instrument show about the medians of their groups.

    cameras : refined with a loose likeness; errors : (f, 3) px, one sigma of their scale and shears
    """
    departure = _departures(shapes(cameras), likeness.group)
    tightness = likeness.tightness.copy()
    for number in range(len(cameras.k)):
        own = np.flatnonzero(cameras.instrument == number)
        for terms in TERMS:
            off, error = departure[own, terms], errors[own, terms]
            known = error <= 2.0 * np.median(error)
            if np.count_nonzero(known) < FEWEST * off.shape[1]:
                continue
            spread = (MAD * np.median(np.abs(off[known]))) ** 2 - np.median(error[known]) ** 2
            width = max(spread, float(np.median(cameras.radius[own]) * TIGHTEST) ** 2)
            alike = np.abs(off) < OUTLIER * np.sqrt(width + error**2)
            tightness[own, terms] = np.maximum(tightness[own, terms], np.where(alike, 1.0 / width, 0.0))
    return Likeness(likeness.group, tightness)


def _departures(values: FloatArray, group: NDArray[np.int64]) -> FloatArray:
    """(f, m) from the medians of the groups, widened for what the median of few follows its members."""
    off = np.empty_like(values)
    for g in range(int(group.max(initial=-1)) + 1):
        own = group == g
        count = np.count_nonzero(own)
        off[own] = (values[own] - np.median(values[own], axis=0)) * np.sqrt(count / max(count - 1.57, 0.5))
    return off
