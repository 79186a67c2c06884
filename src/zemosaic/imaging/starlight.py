"""Light of the stars that no mask can hold, taken off the sky cells.

Where stars stand close, a mask of all of them would leave no sky. What stays in the cells is structure much finer than the nodes
of the common sky, which frames with other dithers average differently: over 4 x 1 panels of 420 x 560 px with 430 stars each it
left residuals of 13 ADU where the cells have a noise of 1.4, and a background that was bent by 11 % of the nebula. But the
fluxes of these stars are known from all frames together, far better than from one. So every listed star that stands alone is
taken off with a profile of the frame's width; blends, whose fluxes are not known, are masked first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.imaging.linking import unit_vectors
from zemosaic.imaging.skycells import MaskStars
from zemosaic.imaging.startable import median_by
from zemosaic.kernels.starlight import add_starlight

__all__ = ["Sightings", "SkyStars", "cell_light", "sky_stars"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

APERTURE = 1.5  # FWHM, radius in which fluxes were measured
WINGS = 2.0  # times the radius of its mask, where the profile of a star is cut
CROWDED = 3.0  # FWHM: apertures that overlap
MERGED = 1.0  # FWHM: two detections that may be one star
SWEEPS = 100  # of the fit of fluxes; three times as many change the errors of a crowded field by a third, of others by nothing
LEFT, LEFT_OF_BLENDS = 0.05, 0.3  # of a star's light may stay after it was taken off
# scale of a Moffat profile of exponent 3 over the FWHM of a Gaussian with the same half-light radius
ALPHA = 0.5 / np.sqrt(np.sqrt(2.0) - 1.0)
HELD = 1.0 - (1.0 + (APERTURE / ALPHA) ** 2) ** -2.0  # of the light, by the aperture


@dataclass(frozen=True)
class Sightings:
    """Detections of listed stars."""

    star: NDArray[np.int32]  # (n,) index in the list
    frame: NDArray[np.int32]  # (n,)
    flux: NDArray[np.float32]  # (n, channels) ADU, in the aperture
    u: NDArray[np.float32]  # (n,) offsets from the frame's centre over the half-diagonal
    v: NDArray[np.float32]  # (n,)
    saturated: BoolArray  # (n,)
    blended: BoolArray  # (n,)


@dataclass(frozen=True)
class SkyStars:
    """Stars of the common list: first those that are to be masked, as far as a mask can hold them."""

    place: MaskStars
    light: FloatArray  # (n, channels) ADU at gain 1, in all; 0 of those that cannot be taken off


def sky_stars(stars: MaskStars, sightings: Sightings, scale: FloatArray, fwhm: float) -> SkyStars:
    """The stars with their light, ordered by what of it would be left in the cells.

    scale : (n, channels) gain times response of each sighting; NaN in frames of which nothing is known. fwhm : deg, typical.
    """
    count = len(stars.ra)
    unclipped = np.where(sightings.saturated[:, None], np.nan, sightings.flux / (scale * HELD))
    measured = np.stack([median_by(sightings.star.astype(np.int64), f, count) for f in unclipped.T], axis=1)
    measured = np.maximum(np.nan_to_num(measured), 0.0)
    seen = np.bincount(sightings.star, minlength=count)
    flux, crowded, merged = _apart(stars, measured, fwhm)
    blended = crowded | (2 * np.bincount(sightings.star, sightings.blended, count) > seen)
    known = (seen > 1) & ~merged & (flux.max(axis=1) > 0.0)
    left = np.where(known, flux.sum(axis=1) * np.where(blended, LEFT_OF_BLENDS, LEFT), measured.sum(axis=1))
    saturated = (measured.sum(axis=1) == 0.0) & (np.bincount(sightings.star, sightings.saturated, count) > 0)
    order = np.lexsort((-left, ~saturated))
    place = MaskStars(stars.ra[order], stars.dec[order], stars.radius[order])
    return SkyStars(place, np.where(known[:, None], flux, 0.0)[order])


def _apart(stars: MaskStars, measured: FloatArray, fwhm: float) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Fluxes (n, channels) without what neighbours shine into the apertures; which have such; which stand too close to tell.

    None is below 0 or above what was measured. Detections too close to tell share their light, as far as others see it.
    """
    count = len(measured)
    crowded, merged = np.zeros(count, bool), np.zeros(count, bool)
    place = unit_vectors(stars.ra, stars.dec)
    pairs = (
        cKDTree(place).query_pairs(np.radians(CROWDED * fwhm), output_type="ndarray")
        if count > 1
        else np.zeros((0, 2), int)
    )
    distance = np.degrees(np.linalg.norm(place[pairs[:, 0]] - place[pairs[:, 1]], axis=1)) / fwhm
    merged[pairs[distance < MERGED]] = True
    crowded[pairs[distance >= MERGED]] = True
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    shares = sp.csr_array((np.tile(_shared(distance), 2), (rows, columns)), shape=(count, count))
    flux = np.stack([_within(sp.eye_array(count, format="csr") + shares, each) for each in measured.T], axis=1)
    return flux if len(pairs) else measured, crowded, merged


def _within(mixing: sp.csr_array, measured: FloatArray) -> FloatArray:
    """Fluxes (n,), none below 0 or above what was measured, whose mixture is nearest to it in least squares; 0 measured: unknown.

    Without bounds the equations are ill-conditioned in dense fields: with 5 neighbours within 3 FWHM, of which the nearest are a
    FWHM off, their exact solution was wrong by 14 to 35 times the mean flux, with 9 at 1.3 FWHM by 900 times.
    Accelerated projected gradient (Beck and Teboulle 2009); for entries >= 0 row sums of the normal matrix bound its steps.
    """
    known = sp.diags_array((measured > 0.0).astype(float)) @ mixing
    step = 1.0 / np.maximum(known.T @ (known @ np.ones_like(measured)), 1.0)
    flux, ahead, momentum = measured, measured, 1.0
    for _ in range(SWEEPS):
        better = np.clip(ahead - step * (known.T @ (known @ ahead - measured)), 0.0, measured)
        after = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        ahead = better + (momentum - 1.0) / after * (better - flux)
        flux, momentum = better, after
    return flux


def _shared(distance: FloatArray) -> FloatArray:
    """Light of a star so far off (FWHM) in an aperture, over that in its own: a Moffat profile, summed over the aperture."""
    y, x = np.mgrid[-APERTURE:APERTURE:61j, -APERTURE:APERTURE:61j]
    inside = x * x + y * y <= APERTURE**2
    at = np.linspace(0.0, CROWDED, 31)
    light = np.array([np.sum((1.0 + ((x[inside] - d) ** 2 + y[inside] ** 2) / ALPHA**2) ** -3.0) for d in at])
    share: FloatArray = np.interp(distance, at, light / light[0])
    return share


def cell_light(
    x: FloatArray, y: FloatArray, flux: FloatArray, radius: FloatArray, fwhm: float, size: tuple[int, int], cell: int
) -> FloatArray:
    """(ny, nx, channels) ADU, mean over the pixels of each cell, of stars at (x, y) with so much light (n, channels).

    radius : (n,) px, of their masks; fwhm : px, of a Gaussian with the same half-light radius; size : (width, height) px
    """
    width, height = size
    sums = np.zeros((-(-height // cell), -(-width // cell), flux.shape[1]))
    shining = flux.any(axis=1)
    x, y, flux, reach = x[shining], y[shining], flux[shining], WINGS * radius[shining]
    add_starlight(x, y, np.ascontiguousarray(flux), reach, ALPHA * fwhm, size, cell, sums)
    columns, rows = (np.minimum(cell, n - np.arange(0, n, cell)) for n in size)
    light: FloatArray = sums / (rows[:, None] * columns)[..., None]
    return light
