"""What a sensor makes of the sky: one raw frame from the truth.

D = F P (a S Omega + B) + dark current + hot pixels + pedestal, P from pixel to pixel; then photon noise, read noise, the cut
at 0 and at 65535, whole ADU.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.projection import pixel_area, pixel_to_sky, sky_to_pixel
from zemosaic.imaging.skysurface import surface_at
from zemosaic.kernels.render import add_stars
from zemosaic.simulate.plan import NightPlan
from zemosaic.simulate.sky import SkyStars, grid_lattice
from zemosaic.simulate.truth import HotPixels, Sub, Truth

__all__ = [
    "dark_light",
    "digitised",
    "expected",
    "hot_pixels",
    "raw_frame",
    "response",
    "sensitivity",
    "star_light",
    "star_radius",
    "transparency",
    "unit_coordinates",
]

F64 = NDArray[np.float64]
LATTICE = 32  # px between sky positions; bilinear between them is good to 0.002 px with 1.5 px of distortion
FAINTEST_LIGHT = 0.05  # ADU per pixel where the wings of a star are cut
SMEAR_STEP = 0.5  # px between the images that make a trailed star
FULL = 65535
PSF_CORE = 2.5  # FWHM, smallest radius of a star's stamp


def unit_coordinates(plan: NightPlan) -> tuple[F64, F64]:
    """Frame coordinates (u, v): (w,) and (h, 1), 0 in the centre, in units of the half-diagonal."""
    u = (np.arange(plan.width, dtype=np.float64) - 0.5 * (plan.width - 1)) / plan.radius
    v = (np.arange(plan.height, dtype=np.float64) - 0.5 * (plan.height - 1)) / plan.radius
    return u, v[:, None]


def response(terms: tuple[float, ...], rho2: F64) -> F64:
    """F = 1 + r1 rho^2 + r2 rho^4 + ..."""
    factor = np.ones_like(rho2)
    for k, term in enumerate(terms, 1):
        factor += term * rho2**k
    return factor


def transparency(sub: Sub, u: F64, v: F64) -> F64:
    """a at frame coordinates."""
    return sub.transparency * (1.0 + sub.cloud[0] * u + sub.cloud[1] * v)


def star_radius(flux: F64, fwhm: float, beta: float) -> F64:
    """px, where a Moffat profile has fallen to `FAINTEST_LIGHT`."""
    alpha2 = (0.5 * fwhm) ** 2 / (2.0 ** (1.0 / beta) - 1.0)
    peak = flux * (beta - 1.0) / (np.pi * alpha2)
    reach = np.sqrt(alpha2 * np.maximum((peak / FAINTEST_LIGHT) ** (1.0 / beta) - 1.0, 0.0))
    return np.asarray(np.maximum(reach, PSF_CORE * fwhm))


def star_light(stars: SkyStars, sub: Sub, plan: NightPlan) -> F64:
    """(h, w) ADU of all stars at transparency 1, no vignetting."""
    out = np.zeros((plan.height, plan.width))
    x, y = sky_to_pixel(sub.solution, stars.ra, stars.dec)
    radius = star_radius(stars.flux.max(axis=1), sub.fwhm, plan.beta)
    near = (x > -radius) & (x < plan.width + radius) & (y > -radius) & (y < plan.height + radius)
    x, y, flux, radius = x[near], y[near], stars.flux[near], radius[near]
    images = 1 + int(np.ceil(np.hypot(*sub.smear) / SMEAR_STEP))
    colours = cfa_colours(plan.bayer)
    for t in (np.arange(images) - 0.5 * (images - 1)) / images:
        for (dx, dy), share in _by_place(sub, flux / images):
            at_x, at_y = x + t * sub.smear[0] + dx, y + t * sub.smear[1] + dy
            add_stars(out, colours, at_x, at_y, share, sub.fwhm, plan.beta, radius)
    return out


def _by_place(sub: Sub, flux: F64) -> list[tuple[tuple[float, float], F64]]:
    """Shifts, px, and what of the fluxes (n, channels) falls there: all of it on one place without dispersion."""
    if not sub.shift:
        return [((0.0, 0.0), flux)]
    return [(place, flux * (np.arange(flux.shape[1]) == c)) for c, place in enumerate(sub.shift)]


def expected(truth: Truth, sub: Sub) -> F64:
    """(h, w) ADU without noise and without the pedestal."""
    plan = truth.plan
    instrument = truth.instruments[sub.instrument]
    shape = (plan.height, plan.width)
    colours = cfa_colours(plan.bayer)
    u, v = unit_coordinates(plan)
    x, y = grid_lattice(shape, LATTICE)
    nebula = truth.nebula.render(*pixel_to_sky(sub.solution, x, y), LATTICE, shape, colours)
    for c, (dx, dy) in enumerate(sub.shift):
        here = np.tile(colours == c, (shape[0] // 2, shape[1] // 2))
        moved = truth.nebula.render(*pixel_to_sky(sub.solution, x - dx, y - dy), LATTICE, shape, colours)
        nebula[here] = moved[here]
    nebula *= _relative_area(sub, plan, u, v)
    light = star_light(truth.stars, sub, plan)
    light += nebula
    light *= transparency(sub, u, v)
    for j in (0, 1):
        for i in (0, 1):
            light[j::2, i::2] *= instrument.colours[colours[j, i]]
            light[j::2, i::2] += surface_at(sub.sky[colours[j, i]], u[i::2], v[j::2])
    if sub.trail is not None:
        light += _trail_light(sub, shape)
    light *= response(instrument.response, u * u + v * v)
    light *= sensitivity(plan, sub.instrument)
    light += dark_light(truth, sub.instrument)
    return light


def sensitivity(plan: NightPlan, instrument: int) -> F64 | float:
    """(h, w) factor of every pixel on the light that it sees, 1 on average; fixed."""
    if plan.pixel_response == 0.0:
        return 1.0
    rng = np.random.default_rng([plan.seed, 4, instrument])
    return 1.0 + plan.pixel_response * np.clip(rng.standard_normal((plan.height, plan.width)), -4.0, 4.0)


def dark_light(truth: Truth, instrument: int) -> F64:
    """(h, w) ADU that a sub of the night gathers without any light: dark current and hot pixels."""
    plan, hot = truth.plan, truth.hot[instrument]
    dark = np.zeros((plan.height, plan.width))
    if plan.dark_current > 0.0:
        dark = plan.dark_current * np.random.default_rng([plan.seed, 5, instrument]).standard_exponential(dark.shape)
    dark[hot.y, hot.x] += hot.brightness
    return dark


def raw_frame(truth: Truth, sub: Sub, rng: np.random.Generator) -> NDArray[np.uint16]:
    """(h, w) uint16, as the telescope would save it."""
    return digitised(truth.plan, expected(truth, sub), rng)


def digitised(plan: NightPlan, signal: F64, rng: np.random.Generator) -> NDArray[np.uint16]:
    """(h, w) uint16: what the camera saves where `signal` ADU are expected above the pedestal."""
    frame = rng.poisson(np.maximum(signal, 0.0) * plan.gain) / plan.gain
    frame += plan.read_noise_adu * rng.standard_normal(frame.shape, np.float32)
    frame += plan.pedestal
    return np.clip(np.rint(frame, out=frame), 0, FULL, out=frame).astype(np.uint16)


def _relative_area(sub: Sub, plan: NightPlan, u: F64, v: F64) -> F64:
    """Omega on all pixels: solid angle over that of the plan's pixel; order 2 in rho^2 is exact to 1e-6."""
    rho2 = np.linspace(0.0, 1.0, 9)
    offset = np.sqrt(rho2 / 2.0) * plan.radius
    area = pixel_area(sub.solution, sub.solution.x + offset, sub.solution.y + offset) * (3600.0 / plan.scale) ** 2
    c2, c1, c0 = np.polyfit(rho2, area, 2)
    r2 = u * u + v * v
    return np.asarray(c0 + r2 * (c1 + r2 * c2))


def _trail_light(sub: Sub, shape: tuple[int, int]) -> F64:
    """(h, w) ADU of a satellite: a line with the width of the stars."""
    if sub.trail is None:
        return np.zeros(shape)
    y, x = np.ogrid[0 : shape[0], 0 : shape[1]]
    across = (y - sub.trail.y) * np.cos(sub.trail.angle) - (x - sub.trail.x) * np.sin(sub.trail.angle)
    sigma = sub.fwhm / 2.3548
    return np.asarray(sub.trail.brightness * np.exp(-0.5 * np.minimum((across / sigma) ** 2, 100.0)))


def hot_pixels(plan: NightPlan, rng: np.random.Generator) -> HotPixels:
    """Fixed hot (>= 6 sigma of the sky) and warm (1 to 6 sigma) pixels at places of their own."""
    pixels = plan.width * plan.height
    hot, warm = (rng.poisson(density * pixels / 1e6) for density in (plan.hot_density, plan.warm_density))
    place = rng.permutation(pixels)[: hot + warm]
    brightness = np.concatenate([6.0 * np.exp(rng.exponential(1.0, hot)), rng.uniform(1.0, 6.0, warm)])
    brightness = np.minimum(brightness * plan.sky_noise, 60000.0)
    return HotPixels((place % plan.width).astype(np.int32), (place // plan.width).astype(np.int32), brightness)
