"""H-alpha and OIII from what the colours of a sensor see through a dual-band filter.

Red pixels see H-alpha (656.3 nm), green and blue pixels OIII (500.7 nm). A colour plane of the mosaic comes from the raw pixels
of that colour alone, whatever interpolates it, so sums of planes mix no line into another. The mean over the subs with inverse
variances of green and blue together is the same as that of the two means; with fixed shares it is linear, and no edge of a sub
can show.

Green and blue pixels respond differently to OIII. Through the filter they see the same narrow band of every star, so the ratio of
a star's fluxes in the two is that of the responses, whatever its colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LineMix", "flux_ratio", "hydrogen", "oxygen"]

FloatArray = NDArray[np.float64]
FEWEST_STARS = 10  # for the ratio of the responses
CLEAR = 20.0  # S/N of a star in both colours
LEAST_OXYGEN = 1e-3  # of green, that blue pixels must see to take part


@dataclass(frozen=True)
class LineMix:
    """A line as a linear combination of the mosaic's planes: sum share[c] * plane[c] + constant."""

    name: str  # for files and headers
    share: tuple[float, float, float]  # R, G, B
    constant: float  # ADU, keeps the sky's level
    origin: str  # one sentence

    def values(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w) of planes (3, h, w); NaN where one that takes part has no data."""
        total = np.full(planes.shape[1:], self.constant, np.float32)
        for share, plane in zip(self.share, planes, strict=True):
            if share:
                total += np.float32(share) * plane
        return total

    def weight(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w) inverse variance from those of the planes (3, h, w); 0 is no data."""
        variance = np.zeros(weights.shape[1:], np.float32)
        with np.errstate(divide="ignore"):
            for share, plane in zip(self.share, weights, strict=True):
                if share:
                    variance += np.float32(share) ** 2 / plane
            inverse: NDArray[np.float32] = (1.0 / variance).astype(np.float32)
        return np.nan_to_num(inverse, copy=False, nan=0.0, posinf=0.0)


def flux_ratio(
    green: FloatArray, blue: FloatArray, error_green: FloatArray, error_blue: FloatArray
) -> tuple[float, int]:
    """Light of a star in green over that in blue, median over clear measurements, and how many these are."""
    with np.errstate(invalid="ignore"):
        clear = (green > CLEAR * error_green) & (blue > CLEAR * error_blue)
    count = int(np.count_nonzero(clear))
    return (float(np.median(green[clear] / blue[clear])) if count else float("nan")), count


def hydrogen() -> LineMix:
    """H-alpha, from red pixels."""
    return LineMix("Ha", (1.0, 0.0, 0.0), 0.0, "H-alpha (656.3 nm) from the red pixels alone.")


def oxygen(
    ratio: float, stars: int, information: tuple[float, float], level: tuple[float, float], limit: int = FEWEST_STARS
) -> LineMix:
    """OIII, in the unit of green, from green and blue pixels by their inverse variances.

    ratio : response of green over blue, from so many measurements of `stars`; with fewer than `limit` green is taken alone
    information : inverse variance of a mosaic pixel in green and in blue. level : ADU, mean sky of the mosaic in both.
    """
    if stars < limit or not LEAST_OXYGEN < 1.0 / ratio < 1.0 / LEAST_OXYGEN:
        few = f"OIII (500.7 nm) from the green pixels alone: only {stars} stars tell how blue ones respond to it."
        return LineMix("OIII", (0.0, 1.0, 0.0), 0.0, few)
    both = information[0], information[1] / ratio**2
    green, blue = both[0] / sum(both), ratio * both[1] / sum(both)
    origin = (
        f"OIII (500.7 nm) from green and blue pixels, {green:.3f} G + {blue:.3f} B; green responds {ratio:.3f} times "
        f"as much as blue ({stars} measurements of stars)."
    )
    return LineMix("OIII", (0.0, green, blue), level[0] - green * level[0] - blue * level[1], origin)
