"""The sky of the simulator: real stars, faint stars and a nebula, the same for every sub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from zemosaic.imaging.projection import angular_separation, tan_deproject, tan_project
from zemosaic.kernels.render import sample_periodic
from zemosaic.simulate.plan import NightPlan

__all__ = ["Disc", "Nebula", "SkyStars", "StarSource", "draw_nebula", "draw_stars", "grid_lattice"]

F64 = NDArray[np.float64]
CHANNELS = 3
STAR_COLOURS = (0.80, 1.0, 0.70)  # R, G, B response of the sensor to a star of mean colour
COLOUR_SPREAD = 0.3  # mag, of R - G and G - B
VT_SPREAD = 0.08  # mag, between VT and the green band
CATALOGUE_LIMIT = 11.5  # mag: faint stars are drawn from here on
COUNTS_SLOPE = 0.33  # dex per mag, of star counts around magnitude 13 at middle galactic latitude
NEBULA_PITCH = 10.0  # arcsec, of the map; its structure ends at about 2.5 pixels of the map
NEBULA_SLOPE = -3.0  # of the power spectrum of ln S
NEBULA_COLOURS = (1.3, 1.0, 0.65)


class _Cone(Protocol):
    @property
    def ra(self) -> F64: ...
    @property
    def dec(self) -> F64: ...
    @property
    def vt(self) -> F64: ...


class StarSource(Protocol):
    """What the simulator needs of the star catalogue."""

    def cone(self, ra: float, dec: float, radius_deg: float, faintest: float | None = None) -> _Cone: ...


@dataclass(frozen=True)
class Disc:
    """A piece of the sky that must have stars: degrees."""

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True)
class SkyStars:
    """True stars, brightest first."""

    ra: F64  # (n,) deg
    dec: F64  # (n,) deg
    flux: F64  # (n, 3) ADU at transparency 1
    catalogued: NDArray[np.bool_]  # (n,) in the star catalogue


@dataclass(frozen=True)
class Nebula:
    """Surface brightness on a periodic map in the tangent plane at (ra, dec)."""

    ra: float  # deg
    dec: float  # deg
    pitch: float  # deg per pixel of the map
    data: NDArray[np.float32]  # (3, n, n) ADU per reference pixel at transparency 1

    @cached_property
    def coefficients(self) -> F64:
        """Of the cubic B-spline through `data`."""
        planes = [ndimage.spline_filter(plane.astype(np.float64), order=3, mode="grid-wrap") for plane in self.data]
        return np.stack(planes)

    def position(self, ra: ArrayLike, dec: ArrayLike) -> tuple[F64, F64]:
        """Pixels (x, y) of the map of sky positions."""
        xi, eta = tan_project(ra, dec, self.ra, self.dec)
        half = 0.5 * self.data.shape[-1]
        return xi / self.pitch + half, eta / self.pitch + half

    def render(self, ra: F64, dec: F64, step: int, shape: tuple[int, int], colours: NDArray[np.int64]) -> F64:
        """Brightness on pixels whose sky positions are given on a lattice (see `grid_lattice`)."""
        out = np.empty(shape)
        x, y = self.position(ra, dec)
        sample_periodic(self.coefficients, colours, x, y, step, out)
        return out


def grid_lattice(shape: tuple[int, int], step: int) -> tuple[F64, F64]:
    """Pixel positions (x, y) of lattice nodes every `step` px that enclose an array of `shape`."""
    rows, columns = ((n - 1) // step + 2 for n in shape)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64) * step
    return x, y


def draw_stars(plan: NightPlan, source: StarSource, discs: Sequence[Disc], rng: np.random.Generator) -> SkyStars:
    """Catalogue stars and faint ones in all discs, each once."""
    ra, dec, vt, known = [], [], [], []
    for k, disc in enumerate(discs):
        found = source.cone(disc.ra, disc.dec, disc.radius)
        faint_ra, faint_dec, faint_vt = _faint_stars(plan, disc, rng)
        disc_ra, disc_dec = np.concatenate([found.ra, faint_ra]), np.concatenate([found.dec, faint_dec])
        new = np.ones(disc_ra.size, bool)
        for other in discs[:k]:
            new &= angular_separation(disc_ra, disc_dec, other.ra, other.dec) > other.radius
        ra.append(disc_ra[new])
        dec.append(disc_dec[new])
        vt.append(np.concatenate([found.vt, faint_vt])[new])
        known.append((np.arange(disc_ra.size) < len(found.ra))[new])
    return _as_stars(plan, rng, np.concatenate(ra), np.concatenate(dec), np.concatenate(vt), np.concatenate(known))


def _faint_stars(plan: NightPlan, disc: Disc, rng: np.random.Generator) -> tuple[F64, F64, F64]:
    """Uniform on the disc, counts rising by `COUNTS_SLOPE` to `plan.faintest`."""
    if plan.faintest <= CATALOGUE_LIMIT:
        return np.empty(0), np.empty(0), np.empty(0)
    area = 2.0 * np.pi * (1.0 - np.cos(np.radians(disc.radius))) * np.degrees(1.0) ** 2
    share = 10.0 ** (COUNTS_SLOPE * (CATALOGUE_LIMIT - plan.faintest))  # of the stars, already in the catalogue
    n = rng.poisson(plan.star_density * area * (1.0 - share))
    mag = plan.faintest + np.log10(rng.uniform(share, 1.0, n)) / COUNTS_SLOPE
    distance = np.arccos(1.0 - rng.uniform(0.0, 1.0, n) * (1.0 - np.cos(np.radians(disc.radius))))
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    offset = np.degrees(np.tan(distance))
    ra, dec = tan_deproject(offset * np.sin(angle), offset * np.cos(angle), disc.ra, disc.dec)
    return ra, dec, mag


def _as_stars(
    plan: NightPlan, rng: np.random.Generator, ra: F64, dec: F64, vt: F64, known: NDArray[np.bool_]
) -> SkyStars:
    order = np.argsort(vt, kind="stable")
    ra, dec, vt, known = ra[order], dec[order], vt[order], known[order]
    error = plan.catalogue_error / 3600.0 * rng.standard_normal((2, ra.size))
    dec = np.clip(dec + error[0], -90.0, 90.0)
    ra = np.mod(ra + error[1] / np.maximum(np.cos(np.radians(dec)), 1e-6), 360.0)
    green = 10.0 ** (0.4 * (plan.zero_point - vt + VT_SPREAD * rng.standard_normal(ra.size)))
    colour = COLOUR_SPREAD * rng.standard_normal((ra.size, 2))
    tint = np.stack([10.0 ** (0.4 * colour[:, 0]), np.ones(ra.size), 10.0 ** (-0.4 * colour[:, 1])], axis=1)
    if plan.dual_band:  # green and blue pixels see the same line
        tint[:, 2] = 1.0
    return SkyStars(ra, dec, green[:, None] * tint * np.array(STAR_COLOURS), known)


def draw_nebula(plan: NightPlan, extent: float, rng: np.random.Generator) -> Nebula:
    """A log-normal fractal with structure from `extent` degrees down to half an arcminute, channels partly alike."""
    size = 64
    while size * NEBULA_PITCH / 3600.0 < extent:
        size *= 2
    common = _fractal(size, rng)
    data = np.empty((CHANNELS, size, size), np.float32)
    for channel, level in enumerate(NEBULA_COLOURS):
        field = 0.96 * common + 0.28 * _fractal(size, rng)
        bright = np.exp(1.1 * field)
        bright = np.maximum(bright - np.quantile(bright, 1.0 - plan.nebula_cover), 0.0)
        bright = ndimage.gaussian_filter(bright, 1.0, mode="wrap")
        data[channel] = bright * (level * plan.nebula / max(np.quantile(bright, 0.99), 1e-9))
    if plan.dual_band:
        data[2] = data[1] * (STAR_COLOURS[2] / STAR_COLOURS[1])
    return Nebula(plan.ra, plan.dec, NEBULA_PITCH / 3600.0, data)


def _fractal(size: int, rng: np.random.Generator) -> F64:
    """Periodic Gaussian random field with a power-law spectrum, mean 0, deviation 1."""
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    amplitude = np.where(k > 0, np.maximum(k, 1.0 / size) ** (0.5 * NEBULA_SLOPE), 0.0) * np.exp(-((k / 0.25) ** 2))
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * amplitude, s=(size, size))
    return np.asarray((field - field.mean()) / field.std())
