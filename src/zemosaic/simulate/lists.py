"""Star lists of a simulated night as the measurement would find them, without rendering a pixel.

What matters for astrometry is in them: position errors by signal to noise with a floor, stars that are too faint, merged
or pulled by a neighbour, saturated ones, false detections that stay on the sensor or come and go.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.imaging.chromatic import colour_weights
from zemosaic.imaging.demosaic import BAYER_SHARE, LUMINANCE_SIGMA
from zemosaic.imaging.photometry import GAUSS
from zemosaic.imaging.projection import sky_to_pixel
from zemosaic.model import Stars
from zemosaic.simulate.camera import FULL, response, transparency
from zemosaic.simulate.truth import Sub, Truth

__all__ = ["star_list"]

F64 = NDArray[np.float64]
SHARE = np.array(BAYER_SHARE)
APERTURE = 1.2  # of the FWHM in the luminance, as in the measurement
INSIDE = 0.92  # share of a star's light in it
ANNULUS = 1.1  # noise with that of the sky's level, over that without
CENTROID = 0.40  # position error = 0.40 FWHM / snr, the star's photons in the noise: measured on rendered frames
FAINTEST = 4.0  # S/N, below which half of the stars are missed
MISSED = 0.03  # of the stars above it
FLOOR = 0.02  # px per axis, seeing: stars of S/N > 100 on the real subs of M 94; on rendered frames 0.01
SATURATED_ERROR = 0.15  # px per axis
MERGED = 1.0  # FWHM of the luminance, within which the fainter star is not seen
BLENDED = 2.0  # and within which it disturbs
DISTURBING = 0.005  # flux over that of the star
MOST = 400
FIXED, PASSING = 2, 4.0  # false detections: hot pixels that were not recognised, and others, mean number


def star_list(truth: Truth, sub: Sub, rng: np.random.Generator) -> Stars:
    """What `imaging.stars.measure_stars` would find on a sub, nearly: compare `tests/test_astrometry.py`."""
    plan = truth.plan
    fwhm = _half_light_fwhm(sub.fwhm, plan.beta)
    width = math.hypot(fwhm, GAUSS * LUMINANCE_SIGMA)
    x, y = sky_to_pixel(sub.solution, truth.stars.ra, truth.stars.dec)
    near = (x > -width) & (y > -width) & (x < plan.width - 1 + width) & (y < plan.height - 1 + width)
    x, y, flux = x[near], y[near], truth.stars.flux[near]
    u, v = (x - 0.5 * (plan.width - 1)) / plan.radius, (y - 0.5 * (plan.height - 1)) / plan.radius
    dimmed = transparency(sub, u, v) * response(truth.instruments[sub.instrument].response, u * u + v * v)
    flux = flux * dimmed[:, None]
    light, sky = flux @ SHARE, ANNULUS * math.sqrt(math.pi * SHARE @ np.square(sub.noise)) * APERTURE * width / INSIDE
    seen, blended, pull = _neighbours(x, y, light, fwhm / GAUSS, width)
    seen &= (x >= 0) & (y >= 0) & (x <= plan.width - 1) & (y <= plan.height - 1) & (rng.random(len(x)) >= MISSED)
    seen &= light / sky > FAINTEST * np.exp(0.2 * rng.standard_normal(len(x)))
    alpha2 = (0.5 * sub.fwhm) ** 2 / (2.0 ** (1.0 / plan.beta) - 1.0)
    saturated = flux.max(axis=1) * (plan.beta - 1.0) / (np.pi * alpha2) > 0.95 * FULL
    sigma = np.hypot(CENTROID * fwhm * np.sqrt(sky**2 + light / plan.gain) / light, FLOOR)
    sigma = np.where(saturated, SATURATED_ERROR, sigma)[:, None]
    place = np.column_stack([x, y]) + pull + sigma * rng.standard_normal((len(x), 2))
    if sub.shift:
        place += colour_weights(flux, sub.noise, filtered=True) @ np.array(sub.shift)
    noise = np.sqrt(sky**2 + flux / plan.gain) * rng.standard_normal(flux.shape)
    columns = place[seen], (flux + noise)[seen], saturated[seen], blended[seen], sigma[seen, 0]
    return _table(fwhm, sky, columns, _false(truth, sub, sky, rng))


def _half_light_fwhm(fwhm: float, beta: float) -> float:
    """px, of the Gaussian with the half-light radius of a Moffat profile: what is measured."""
    return fwhm * math.sqrt((2.0 ** (1.0 / (beta - 1.0)) - 1.0) / (2.0 ** (1.0 / beta) - 1.0))


def _neighbours(
    x: F64, y: F64, light: F64, sigma: float, width: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], F64]:
    """Which stars are seen by themselves, which are disturbed, and (n, 2) px how far neighbours pull their places.

    A Gaussian fitted to a star of flux 1 with another of flux q at distance d moves by q d exp(-d^2 / 4 sigma^2), to first order.
    """
    pairs = cKDTree(np.column_stack([x, y])).query_pairs(BLENDED * width, output_type="ndarray")
    bright, faint = np.where((light[pairs[:, 0]] >= light[pairs[:, 1]])[:, None], pairs, pairs[:, ::-1]).T
    offset = np.column_stack([x[faint] - x[bright], y[faint] - y[bright]])
    distance = np.hypot(*offset.T)
    seen, blended, pull = np.ones(len(x), bool), np.zeros(len(x), bool), np.zeros((len(x), 2))
    seen[faint[distance < MERGED * width]] = False
    disturbing = light[faint] > DISTURBING * light[bright]
    blended[bright[disturbing]] = True
    blended[faint] = True
    ratio = light[faint] / light[bright] * np.exp(-((0.5 * distance / sigma) ** 2))
    np.add.at(pull, bright, ratio[:, None] * offset)
    return seen, blended, pull


def _false(truth: Truth, sub: Sub, sky: float, rng: np.random.Generator) -> tuple[F64, F64]:
    """Places (n, 2) and fluxes (n, 3) of detections that are no stars."""
    hot, passing = truth.hot[sub.instrument], rng.poisson(PASSING)
    fixed = np.column_stack([hot.x[:FIXED], hot.y[:FIXED]]) + rng.normal(0.0, 0.1, (min(FIXED, len(hot.x)), 2))
    anywhere = rng.uniform(0.0, 1.0, (passing, 2)) * (truth.plan.width - 1, truth.plan.height - 1)
    flux = sky * FAINTEST * np.exp(rng.exponential(0.5, len(fixed) + passing))
    return np.concatenate([fixed, anywhere]), np.repeat(flux[:, None], 3, axis=1)


def _table(
    fwhm: float, sky: float, stars: tuple[F64, F64, NDArray[np.bool_], NDArray[np.bool_], F64], false: tuple[F64, F64]
) -> Stars:
    """Stars and false detections together, brightest first."""
    no = np.zeros(len(false[0]), bool)
    place, flux = np.concatenate([stars[0], false[0]]), np.concatenate([stars[1], false[1]])
    saturated, blended = np.concatenate([stars[2], no]), np.concatenate([stars[3], no])
    light = flux @ SHARE
    error = np.concatenate([stars[4], CENTROID * fwhm * sky / light[len(stars[4]) :]])
    order = np.argsort(-light, kind="stable")[:MOST]
    n = len(order)
    return Stars(
        x=place[order, 0], y=place[order, 1], flux=flux[order], flux_err=np.full((n, 3), sky), snr=light[order] / sky,
        place_err=error[order], fwhm=np.full(n, fwhm), elongation=np.full(n, 1.1), saturated=saturated[order],
        blended=blended[order],
    )  # fmt: skip
