"""Frames on disk with catalogue stars in them, for programs that want an image; with the true solution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from star_lists import frame_at, solution_at, stars_from
from zemosaic.catalogue import load_catalogue
from zemosaic.imaging.projection import sky_to_pixel
from zemosaic.model import Frame, FrameKind, Solution, Stars

SHAPE = (1000, 1400)  # (h, w)
SCALE = 3.0  # arcsec/px


def starry(path: Path, ra: float, dec: float, *, turn: float = 0.4, parity: int = 1) -> tuple[Frame, Stars, Solution]:
    """A mono frame of uint16 with the stars of Tycho-2, 60 fainter ones and noise; its star list; the truth."""
    rng = np.random.default_rng(5)
    true = solution_at(ra, dec, scale=SCALE, turn=turn, parity=parity, shape=SHAPE, corner=0.0)
    sky = load_catalogue().cone(ra, dec, 0.8)
    x, y = sky_to_pixel(true, sky.ra, sky.dec)
    kept = (x > 8) & (y > 8) & (x < SHAPE[1] - 9) & (y < SHAPE[0] - 9)
    flux = 40.0 * 10 ** (-0.4 * (sky.vt[kept] - 16.0))
    x = np.concatenate([x[kept], rng.uniform(8, SHAPE[1] - 9, 60)])
    y = np.concatenate([y[kept], rng.uniform(8, SHAPE[0] - 9, 60)])
    flux = np.concatenate([flux, 0.5 * flux.min() * rng.random(60)])
    image = rng.normal(1000.0, 8.0, SHAPE)
    for at_x, at_y, light in zip(x, y, flux, strict=True):
        i, j = round(at_x), round(at_y)
        v, u = np.mgrid[j - 7 : j + 8, i - 7 : i + 8]
        image[v, u] += light / 14.2 * np.exp(-0.5 * ((u - at_x) ** 2 + (v - at_y) ** 2) / 1.5**2)
    fits.writeto(path, np.clip(np.rint(image), 0, 65535).astype(np.uint16))
    frame = frame_at(ra, dec, scale=SCALE * 1.005, shape=SHAPE, path=str(path), kind=FrameKind.MONO, bayer=None)
    return frame, stars_from(x, y, flux), true
