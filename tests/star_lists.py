"""Star lists as a telescope would see them: catalogue stars, faint ones, false detections; with the true solution."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from zemosaic.catalogue import load_catalogue
from zemosaic.imaging.projection import pixel_to_sky, sky_to_pixel, tan_deproject
from zemosaic.model import Distortion, Frame, FrameKind, Solution, Stars

S50 = (1920, 1080)  # (h, w)
S50_SCALE = 2.374  # arcsec/px


def stars_from(x, y, flux) -> Stars:
    flux = np.asarray(flux, float)
    order = np.argsort(-flux)
    n = len(flux)
    return Stars(
        x=np.asarray(x, float)[order],
        y=np.asarray(y, float)[order],
        flux=np.repeat(flux[order][:, None], 3, axis=1),
        flux_err=np.ones((n, 3)),
        snr=flux[order] / 10.0,
        place_err=14.7 / np.maximum(flux[order], 1e-3),
        fwhm=np.full(n, 3.5),
        elongation=np.ones(n),
        saturated=np.zeros(n, bool),
        blended=np.zeros(n, bool),
    )


def frame_at(ra=math.nan, dec=math.nan, *, scale=S50_SCALE * 1.008, shape=S50, path="a/sub.fit", **other) -> Frame:
    frame = Frame(
        id=0, path=Path(path), size=1, mtime_ns=1, digest="", kind=FrameKind.BAYER, width=shape[1], height=shape[0],
        bayer="GRBG", instrument="S50", camera="", telescope="", target="", filter="", exposure=10.0, gain=80.0,
        temperature=20.0, date_obs="", ra=ra, dec=dec, scale=scale, saturation=65520.0,
    )  # fmt: skip
    return replace(frame, **other)


def away(ra, dec, distance, angle):
    """A position at a distance (degrees) from another, at an angle (radians)."""
    alpha, delta = tan_deproject(distance * np.sin(angle), distance * np.cos(angle), ra, dec)
    return (float(alpha), float(delta)) if np.ndim(alpha) == 0 else (alpha, delta)


def solution_at(ra, dec, *, scale=S50_SCALE, turn=0.0, parity=1, shape=S50, corner=1.5) -> Solution:
    """A true solution; `turn` in radians, `corner` px of cubic distortion in the corners."""
    c, s = math.cos(turn) * scale / 3600, math.sin(turn) * scale / 3600
    half = 0.5 * math.hypot(*shape)
    return Solution(
        ra=ra, dec=dec, x=(shape[1] - 1) / 2, y=(shape[0] - 1) / 2, cd=(c, -parity * s, s, parity * c),
        distortion=Distortion(k3=corner / half, radius=half),
    )  # fmt: skip


def seen(rng, true: Solution, *, shape=S50, faint=80, missing=0.2, spurious=0.3, noise=0.15) -> Stars:
    """What is detected: `missing` of the catalogue stars absent, `spurious` of the bright detections not stars.

    Magnitudes differ from VT by 0.4 mag (colours, filters).
    """
    h, w = shape
    scale = math.sqrt(abs(np.linalg.det(np.array(true.cd).reshape(2, 2))))
    sky = load_catalogue().cone(true.ra, true.dec, 0.51 * math.hypot(h, w) * scale)
    x, y = sky_to_pixel(true, sky.ra, sky.dec)
    magnitude = sky.vt + rng.normal(0, 0.4, len(x))
    kept = (x > 0) & (y > 0) & (x < w - 1) & (y < h - 1) & (rng.random(len(x)) >= missing)
    x, y, magnitude = x[kept], y[kept], magnitude[kept]
    false = round(spurious * len(x) / (1 - spurious))
    x = np.concatenate([x + rng.normal(0, noise, len(x)), rng.uniform(0, w, false + faint)])
    y = np.concatenate([y + rng.normal(0, noise, len(y)), rng.uniform(0, h, false + faint)])
    dim = 12.0 + 2.0 * np.sqrt(rng.random(faint))
    magnitude = np.concatenate([magnitude, rng.choice(magnitude, false), dim])
    return stars_from(x, y, 10 ** (-0.4 * (magnitude - 20)))


def with_stars(rng, stars: Stars, true: Solution, ra, dec, *, shape=S50, noise=0.1) -> Stars:
    """The same list with stars at given places of the sky, brightest first; one in seven is not detected."""
    x, y = sky_to_pixel(true, ra, dec)
    flux = 3000.0 * 10 ** (-1.2 * np.arange(len(x)) / len(x))
    kept = (x > 0) & (y > 0) & (x < shape[1] - 1) & (y < shape[0] - 1) & (rng.random(len(x)) > 0.15)
    x, y = x + rng.normal(0, noise, len(x)), y + rng.normal(0, noise, len(y))
    columns = [(stars.x, x), (stars.y, y), (stars.flux[:, 0], flux)]
    return stars_from(*(np.concatenate([a, b[kept]]) for a, b in columns))


def corner_error(found: Solution, true: Solution, shape=S50) -> float:
    """Largest distance, px, between two solutions over the middle of the frame's sides and its centre."""
    h, w = shape
    x, y = np.array([0, w - 1, 0.5 * w, 0.5 * w, 0.5 * w]), np.array([0.5 * h, 0.5 * h, 0, h - 1, 0.5 * h])
    px, py = sky_to_pixel(true, *pixel_to_sky(found, x, y))
    return float(np.max(np.hypot(px - x, py - y)))
