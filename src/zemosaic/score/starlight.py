"""From the stars of a mosaic: its scale, astrometry, photometry and sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.errors import InputError
from zemosaic.imaging.projection import pixel_scale
from zemosaic.kernels.render import add_stars
from zemosaic.score.scene import BOX, Scene
from zemosaic.simulate.camera import star_radius

__all__ = ["ISOLATION", "StarScore", "enclosed", "half_flux_diameter", "judge_stars", "zonal_error"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
APERTURE = 2.5  # FWHM: holds 0.994 of a Moffat profile of exponent 4, 0.2 % less when the seeing is 15 % worse
RING = (3.5, 5.5)  # FWHM, where the background of a star is measured
ISOLATION = (4.0, 0.02)  # no neighbours within so many FWHM with more than this share of the flux in sum
PHOTOMETRY_SNR = 200.0  # in the aperture
CENTROID_SNR = 60.0  # in the aperture: noise alone moves a centroid by 0.04" at the median
FEWEST = 3  # stars that make a scatter, or a zone
ZONE = 0.25  # of the height of a frame, side of a zone of the mosaic
FEWEST_ZONES = 4
OUTLYING = 4.0  # of the scatter in a zone
CEILING = 50000.0  # ADU at the peak of the sharpest sub above which a star may be saturated
EDGE = 2  # px beyond the ring that must have data too


@dataclass(frozen=True)
class StarScore:
    """What the stars say; per channel where it is a tuple."""

    scale: tuple[float, ...]  # mosaic units per ADU at transparency 1
    fwhm: float  # px of the mosaic, of the Moffat profile that stands for its stars
    astrometry: float  # arcsec, median distance to the true position
    offset: tuple[float, float]  # arcsec, median along x and y
    centroids: int
    scatter: tuple[float, ...]  # mmag, 1.48 MAD
    rms: tuple[float, ...]  # mmag
    stars: tuple[int, ...]
    zonal: tuple[float, ...]  # mmag, rms over zones of the mosaic
    sharpness: tuple[float, ...]  # FWHM from the half-flux radius over the subs'


@dataclass(frozen=True)
class _Targets:
    """Isolated, unsaturated stars of S/N > `CENTROID_SNR` in green, well inside the mosaic."""

    index: NDArray[np.int64]  # in the truth
    x: F64
    y: F64


def enclosed(radius: float, fwhm: float, beta: float) -> float:
    """Share of a Moffat profile inside `radius`."""
    alpha2 = (0.5 * fwhm) ** 2 / (2.0 ** (1.0 / beta) - 1.0)
    return float(1.0 - (1.0 + radius**2 / alpha2) ** (1.0 - beta))


def half_flux_diameter(image: F32, x: F64, y: F64, reach: float) -> F64:
    """px; half the light inside `reach` lies within half of it. Background must be 0."""
    radius, _ = sep.flux_radius(image, x, y, np.full(x.shape, reach), 0.5, subpix=5)
    return np.asarray(2.0 * radius)


def judge_stars(scene: Scene) -> StarScore:
    """Scale and profile first, in three rounds: each is needed to take neighbours and nebula off for the other."""
    plan = scene.truth.plan
    # of the subs with round stars, px of the mosaic
    seen = [
        sub.fwhm * pixel_scale(sub.solution) / pixel_scale(scene.wcs)
        for sub in scene.truth.subs
        if sub.smear == (0.0, 0.0)
    ]
    seeing = float(np.median(seen))
    fwhm, scale = 1.08 * seeing, [1.0, 1.0, 1.0]
    targets = _targets(scene, 1.1 * seeing)
    sizes = np.empty(0)
    for _ in range(3):
        sizes = _sizes(scene, targets, fwhm, 1, scale[1])
        fwhm = _matching_fwhm(float(np.median(sizes)), fwhm, plan.beta)
        fluxes = [_fluxes(scene, targets, fwhm, channel, scale[channel]) for channel in range(3)]
        scale = [_weighted_median(flux, np.minimum(snr, PHOTOMETRY_SNR) ** 2) for flux, snr in fluxes]
        if min(scale) <= 0.0:
            raise InputError(
                f"The scale of the mosaic against the true stars is {scale}: this is no mosaic of that night."
            )
    scatter, rms, count = zip(*(_scatter(flux[snr > PHOTOMETRY_SNR]) for flux, snr in fluxes), strict=True)
    zone = _zones(targets, ZONE * plan.height * plan.scale / pixel_scale(scene.wcs))
    dx, dy = _offsets(scene, targets, fwhm, scale[1])
    arcsec = pixel_scale(scene.wcs)
    reference = np.median([half_flux_diameter(*_stamp(each, plan.beta), APERTURE * fwhm)[0] for each in seen])
    return StarScore(
        scale=tuple(scale),
        fwhm=fwhm,
        astrometry=float(np.median(np.hypot(dx, dy))) * arcsec,
        offset=(float(np.median(dx)) * arcsec, float(np.median(dy)) * arcsec),
        centroids=len(dx),
        scatter=scatter,
        rms=rms,
        stars=count,
        zonal=tuple(zonal_error(2500.0 * np.log10(np.maximum(flux, 1e-3)), 1085.7 / snr, zone) for flux, snr in fluxes),
        sharpness=tuple(float(np.median(_sizes(scene, targets, fwhm, c, scale[c])) / reference) for c in range(3)),
    )


def _stamp(fwhm: float, beta: float) -> tuple[F32, F64, F64]:
    """A star without noise, off the middle of a pixel by a bit as stars are."""
    reach = int(8 * fwhm) + 4
    image = np.zeros((2 * reach + 1, 2 * reach + 1))
    x, y = np.array([reach + 0.27]), np.array([reach - 0.31])
    flux = np.full((1, 1), 1e4)
    add_stars(image, np.zeros((2, 2), np.int64), x, y, flux, fwhm, beta, star_radius(flux[:, 0], fwhm, beta))
    return image.astype(np.float32), x, y


def _matching_fwhm(size: float, start: float, beta: float) -> float:
    """The profile whose half-flux diameter is `size`: it grows in proportion but for the pixel, so two steps do."""
    fwhm = start
    for _ in range(2):
        fwhm *= size / float(half_flux_diameter(*_stamp(fwhm, beta), APERTURE * start)[0])
    return fwhm


def _targets(scene: Scene, fwhm: float) -> _Targets:
    stars, plan = scene.truth.stars, scene.truth.plan
    x, y = scene.star_positions
    here = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    tree = cKDTree(np.column_stack([x[here], y[here]]))
    sharpest = min(sub.fwhm for sub in scene.truth.subs)
    alpha2 = (0.5 * sharpest) ** 2 / (2.0 ** (1.0 / plan.beta) - 1.0)
    ceiling = CEILING * np.pi * alpha2 / (plan.beta - 1.0)
    green, brightest = stars.flux[:, 1], stars.flux.max(axis=1)
    margin = RING[1] * fwhm + EDGE
    inside = (x > margin) & (x < scene.shape[1] - 1 - margin) & (y > margin) & (y < scene.shape[0] - 1 - margin)
    faintest = np.quantile(green, 0.5)
    chosen = [
        k
        for k in np.flatnonzero(inside & (brightest < ceiling) & (green > faintest))
        if green[here[tree.query_ball_point((x[k], y[k]), ISOLATION[0] * fwhm)]].sum() < (1.0 + ISOLATION[1]) * green[k]
        and np.all(np.isfinite(scene.data[:, *_around(x[k], y[k], margin)]))
    ]
    index = np.array(chosen, np.int64)
    targets = _Targets(index, x[index], y[index])
    good = _snr(scene, targets, fwhm, 1) > CENTROID_SNR
    if not good.any():
        raise InputError("No isolated bright star lies in the mosaic: its scale and sharpness cannot be measured.")
    return _Targets(index[good], x[index][good], y[index][good])


def _around(x: float, y: float, reach: float) -> tuple[slice, slice]:
    return slice(int(y - reach), int(y + reach) + 2), slice(int(x - reach), int(x + reach) + 2)


def _residual(scene: Scene, fwhm: float, channel: int, scale: float) -> F32:
    """Mosaic at transparency 1 minus all that is true, 0 where there is no data."""
    residual: F32 = scene.data[channel] / np.float32(scale) - scene.nebula[channel] - scene.starlight(channel, fwhm)
    return np.nan_to_num(residual, copy=False)


def _ring_levels(residual: F32, targets: _Targets, fwhm: float) -> F64:
    """Median around each star."""
    inner, outer = RING[0] * fwhm, RING[1] * fwhm
    levels = np.zeros(len(targets.index))
    for k, (x, y) in enumerate(zip(targets.x, targets.y, strict=True)):
        part = _around(x, y, outer)
        rows, columns = np.ogrid[part]
        distance = np.hypot(rows - y, columns - x)
        levels[k] = np.median(residual[part][(distance > inner) & (distance < outer)])
    return levels


def _noise(scene: Scene, targets: _Targets, channel: int) -> F64:
    """ADU, best noise of one pixel at each star, as if pixels were independent."""
    information = scene.depth.information[channel]
    rows = np.minimum(targets.y.astype(int) // BOX, information.shape[0] - 1)
    columns = np.minimum(targets.x.astype(int) // BOX, information.shape[1] - 1)
    return np.asarray(BOX / np.sqrt(np.maximum(information[rows, columns], 1e-12)))


def _snr(scene: Scene, targets: _Targets, fwhm: float, channel: int) -> F64:
    pixels = np.pi * (APERTURE * fwhm) ** 2
    flux = scene.truth.stars.flux[targets.index, channel]
    sky = _noise(scene, targets, channel)
    share = 0.5 if channel == 1 else 0.25
    frames = np.maximum(scene.frames[targets.y.astype(int), targets.x.astype(int)], 1)
    photons = flux / (scene.truth.plan.gain * share * frames * 0.75)  # 0.75: mean of transparency times vignetting
    return np.asarray(flux / np.sqrt(pixels * sky**2 + photons))


def _fluxes(scene: Scene, targets: _Targets, fwhm: float, channel: int, scale: float) -> tuple[F64, F64]:
    """Measured over true flux of every target, and its signal to noise."""
    residual = _residual(scene, fwhm, channel, scale)
    radius = APERTURE * fwhm
    light, _, _ = sep.sum_circle(residual, targets.x, targets.y, radius, subpix=0)
    light = light - np.pi * radius**2 * _ring_levels(residual, targets, fwhm)
    true = scene.truth.stars.flux[targets.index, channel]
    ratio = 1.0 + light / (true * enclosed(radius, fwhm, scene.truth.plan.beta))
    return scale * ratio, _snr(scene, targets, fwhm, channel)


def _own_light(scene: Scene, targets: _Targets, fwhm: float, channel: int, scale: float) -> F32:
    """Residual plus the targets alone, background of each star not yet off."""
    image = np.zeros(scene.shape)
    flux = scene.truth.stars.flux[targets.index]
    beta = scene.truth.plan.beta
    radius = star_radius(flux.max(axis=1), fwhm, beta)
    add_stars(image, np.full((2, 2), channel, np.int64), targets.x, targets.y, flux, fwhm, beta, radius)
    return _residual(scene, fwhm, channel, scale) + image.astype(np.float32)


def _sizes(scene: Scene, targets: _Targets, fwhm: float, channel: int, scale: float) -> F64:
    """Half-flux diameters, px."""
    image = _own_light(scene, targets, fwhm, channel, scale)
    reach = APERTURE * fwhm
    sizes = np.empty(len(targets.index))
    for k, level in enumerate(_ring_levels(image, targets, fwhm)):
        part = _around(targets.x[k], targets.y[k], RING[1] * fwhm)
        cut = np.ascontiguousarray(image[part] - np.float32(level))
        at = np.array([targets.x[k] - part[1].start]), np.array([targets.y[k] - part[0].start])
        sizes[k] = half_flux_diameter(cut, *at, reach)[0]
    return sizes


def _offsets(scene: Scene, targets: _Targets, fwhm: float, scale: float) -> tuple[F64, F64]:
    """Windowed centroid minus true position, px, on green."""
    image = _own_light(scene, targets, fwhm, 1, scale)
    x, y, flag = sep.winpos(image, targets.x, targets.y, fwhm / 2.3548)
    good = np.asarray(flag) == 0
    return np.asarray(x - targets.x)[good], np.asarray(y - targets.y)[good]


def _weighted_median(values: F64, weights: F64) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, 0.5 * below[-1])])


def _scatter(ratio: F64) -> tuple[float, float, int]:
    """1.48 MAD and rms, mmag, and the number of stars; NaN when there are fewer than `FEWEST`."""
    if len(ratio) < FEWEST:
        return float("nan"), float("nan"), len(ratio)
    mag = -2500.0 * np.log10(np.maximum(ratio / np.median(ratio), 1e-3))
    return float(1.4826 * np.median(np.abs(mag - np.median(mag)))), float(np.std(mag)), len(ratio)


def _zones(targets: _Targets, side: float) -> NDArray[np.int64]:
    """(n,) number of the square of the mosaic in which each star lies."""
    place = np.stack([targets.x // side, targets.y // side], axis=1)
    return np.unique(place, axis=0, return_inverse=True)[1].ravel().astype(np.int64)


def zonal_error(value: F64, error: F64, zone: NDArray[np.int64]) -> float:
    """Standard deviation of the zones' own means: their scatter beyond what the scatter within zones explains; NaN with few.

    value : (n,), e.g. mmag; error : (n,) expected of each; zone : (n,) numbers. The variance between groups of the random-effects
    model by moments (DerSimonian & Laird 1986, Controlled Clinical Trials 7, 177), errors scaled to the scatter within zones.
    """
    weight = error**-2.0
    for _ in range(3):
        total = np.bincount(zone, weight)
        mean = np.bincount(zone, weight * value) / np.maximum(total, 1e-300)
        away = (value - mean[zone]) * np.sqrt(weight)
        count = np.bincount(zone, weight > 0)
        used = (weight > 0) & (count[zone] >= FEWEST)
        freedom = np.count_nonzero(used) - np.count_nonzero(count >= FEWEST)
        spread = float(np.sum(away[used] ** 2)) / max(int(freedom), 1)
        weight = np.where(np.abs(away) > OUTLYING * np.sqrt(spread), 0.0, weight)
    good = (count >= FEWEST) & (total > 0)
    if np.count_nonzero(good) < FEWEST_ZONES:
        return float("nan")
    mean, total = mean[good], total[good]
    between = float(np.sum(total * (mean - np.average(mean, weights=total)) ** 2)) - (len(mean) - 1) * spread
    return float(np.sqrt(max(0.0, between / (total.sum() - np.sum(total**2) / total.sum()))))
