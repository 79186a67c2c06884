"""Stars of a frame: places, widths, and fluxes that can be compared between frames of different seeing."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import sep
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.imaging.chromatic import Plane, colour_shift
from zemosaic.imaging.demosaic import LUMINANCE_SIGMA, luminance
from zemosaic.imaging.noise import colour_index
from zemosaic.imaging.photometry import GAUSS, PIXEL_SIGMA, bands, fluxes
from zemosaic.imaging.places import fit_places
from zemosaic.kernels import stars as kernels
from zemosaic.model import ColourShift, Stars

__all__ = ["StarsFound", "measure_stars"]

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

BACKGROUND_CELL = 64  # px
DETECTION = 4.0  # sigma of the luminance, in which stars are searched
MIN_PIXELS = 5
DEBLEND_LEVELS = 16
MOST_STARS = 400
REGIONS = (8, 5)  # along the longer and the shorter side
STARS_PER_REGION = 5
# Radius of the aperture over the FWHM of what is measured: 99.8 % of a Gaussian, so that the few per cent by which the
# FWHM is uncertain move the flux by 0.1 %, where 1.0 FWHM (93.8 %) would move it by 1 %.
APERTURE = 1.5
# The S/N is that of the luminance in this radius: for a Gaussian on sky noise the best possible position error,
# sqrt(2) sigma / (S/N of a fit), is then 0.42 FWHM / snr.
SNR_APERTURE = 1.2
FAINTEST_SNR = 3.0
ROUGHLY = 3  # parts of a pixel along each axis, in a first guess of a star's place
SATURATION = 0.95
CORE = 2.5  # px, within which a full pixel makes a star saturated
GOOD_SNR = 20.0
GOOD_PEAK = 15.0  # sigma of the luminance
FEWEST_GOOD = 5
TYPICAL = 150  # brightest detections that give a first idea of the FWHM
SUB_OBJECTS = 16384  # pieces of one detection that sep may look at: the Milky Way's clouds hold thousands
FRAME_FWHM = (1.0, 15.0)  # px; what looks sharper is a frame of cosmic hits, what looks wider holds no stars
SHARPEST = 0.5  # of the frame's FWHM; what is narrower is no star: cosmic hits, pairs of hot pixels
WIDEST = 2.0  # what is wider is a galaxy, a nebula's knot or several stars
MOST_ELONGATED = 10.0
DISTURBING = 0.005  # flux of a neighbour over the star's
SHIFT_SNR, SHIFT_STARS = 15.0, 80  # stars from which the shift between the colours is taken: S/N, and at most so many


@dataclass(frozen=True)
class StarsFound:
    """Stars and what they say about the frame; NaN when there is no good star."""

    stars: Stars
    fwhm: float  # px, median of good stars
    elongation: float  # median of good stars
    shift: ColourShift | None = None  # of the colours against green; None: mono, or too few stars


@dataclass(frozen=True)
class _Cutouts:
    """Squares around stars: pixel indices (n, k, k), clipped into the frame, and distances from the star."""

    iy: NDArray[np.intp]
    ix: NDArray[np.intp]
    dx: DoubleArray
    dy: DoubleArray
    inside: BoolArray


def _cutouts(x: DoubleArray, y: DoubleArray, half: int, shape: tuple[int, int]) -> _Cutouts:
    steps = np.arange(-half, half + 1)
    ix = np.rint(x).astype(np.intp)[:, None, None] + steps[None, None, :]
    iy = np.rint(y).astype(np.intp)[:, None, None] + steps[None, :, None]
    ix, iy = np.broadcast_arrays(ix, iy)
    inside = (ix >= 0) & (ix < shape[1]) & (iy >= 0) & (iy < shape[0])
    dx, dy = ix - x[:, None, None], iy - y[:, None, None]
    return _Cutouts(iy.clip(0, shape[0] - 1), ix.clip(0, shape[1] - 1), dx, dy, inside)


def _spread_choice(x: DoubleArray, y: DoubleArray, flux: DoubleArray, shape: tuple[int, int]) -> NDArray[np.intp]:
    """Indices of the stars to keep, brightest first: the best of every region of the frame, then the brightest of all."""
    order = np.argsort(-flux, kind="stable")
    ny, nx = REGIONS if shape[0] >= shape[1] else REGIONS[::-1]
    region = (y[order] * ny / shape[0]).astype(int).clip(0, ny - 1) * nx
    region += (x[order] * nx / shape[1]).astype(int).clip(0, nx - 1)
    grouped = np.argsort(region, kind="stable")
    first = np.searchsorted(region[grouped], region[grouped])
    rank = np.empty(len(order), int)
    rank[grouped] = np.arange(len(order)) - first
    place = np.where(rank < STARS_PER_REGION, np.arange(len(order)), len(order) + np.arange(len(order)))
    kept = np.argsort(place, kind="stable")[:MOST_STARS]
    return order[np.sort(kept)]


def _half_light_fwhm(image: FloatArray, x: DoubleArray, y: DoubleArray, reach: DoubleArray) -> DoubleArray:
    """Gaussian-equivalent FWHM, px, of the frame itself: twice the half-light radius, less the luminance's blur."""
    radius = np.empty(len(x))
    kernels.half_light_radii(image, x, y, reach, radius)
    squared = (2 * radius) ** 2 - GAUSS**2 * (LUMINANCE_SIGMA**2 + PIXEL_SIGMA**2)
    return np.sqrt(np.maximum(squared, 0.0))


def _elongations(image: FloatArray, x: DoubleArray, y: DoubleArray, fwhm: float) -> DoubleArray:
    """Major over minor axis, 1 to MOST_ELONGATED, from moments under a round Gaussian weight.

    The product of two Gaussians has the sum of their inverse covariances: so the weight is taken out again, then the
    blur of the luminance. NaN where noise leaves no moments.
    """
    spread = math.hypot(fwhm / GAUSS, LUMINANCE_SIGMA)
    cut = _cutouts(x, y, math.ceil(3 * spread), image.shape)
    light = np.exp(-0.5 * (cut.dx**2 + cut.dy**2) / spread**2) * image[cut.iy, cut.ix] * cut.inside
    total = light.sum(axis=(1, 2))
    total[total <= 0] = np.nan
    mx, my = (light * cut.dx).sum(axis=(1, 2)) / total, (light * cut.dy).sum(axis=(1, 2)) / total
    xx = (light * cut.dx**2).sum(axis=(1, 2)) / total - mx**2
    yy = (light * cut.dy**2).sum(axis=(1, 2)) / total - my**2
    xy = (light * cut.dx * cut.dy).sum(axis=(1, 2)) / total - mx * my
    half, turn = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    axes = []
    for moment in (half - turn, half + turn):
        inverse = 1 / np.clip(moment, 1e-3 * spread**2, None) - 1 / spread**2
        axes.append(1 / np.maximum(inverse, 1e-3 / spread**2) - LUMINANCE_SIGMA**2)
    minor = np.maximum(axes[0], (0.1 * spread) ** 2)
    ratio: DoubleArray = np.sqrt(np.maximum(axes[1], minor) / minor)
    return np.minimum(ratio, MOST_ELONGATED)


def _disturbed(x: DoubleArray, y: DoubleArray, flux: DoubleArray, reach: float) -> BoolArray:
    """Whether another detection within `reach` px has more than DISTURBING of a detection's flux."""
    pairs = cKDTree(np.column_stack([x, y])).query_pairs(reach, output_type="ndarray")
    out = np.zeros(len(x), np.bool_)
    for one, other in (pairs.T, pairs.T[::-1]):
        out[one[flux[other] > DISTURBING * flux[one]]] = True
    return out


@dataclass(frozen=True)
class _Detections:
    x: DoubleArray
    y: DoubleArray
    fwhm: DoubleArray  # px
    saturated: BoolArray
    blended: BoolArray
    frame_fwhm: float  # px, median of the good ones

    def take(self, index: NDArray[np.intp] | BoolArray) -> _Detections:
        columns = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "frame_fwhm"}
        return replace(self, **columns)


def _near(mask: BoolArray, x: DoubleArray, y: DoubleArray, radius: float) -> BoolArray:
    """Whether a pixel of the mask lies within a radius, px, of each place."""
    cut = _cutouts(x, y, math.ceil(radius), mask.shape)
    hit = mask[cut.iy, cut.ix] & cut.inside & (cut.dx**2 + cut.dy**2 <= radius**2)
    return np.asarray(hit.any(axis=(1, 2)))


def _detect(light: FloatArray, full: BoolArray, damaged: BoolArray | None) -> _Detections | None:
    """Take the sky off the luminance, in place, and find what looks like a star; None when nothing does."""
    # the luminance holds little more than every second pixel of it, which takes a quarter of the time
    background = sep.Background(np.ascontiguousarray(light[::2, ::2]), bw=BACKGROUND_CELL // 2, bh=BACKGROUND_CELL // 2)
    kernels.subtract_coarse(light, np.asarray(background.back(), np.float32))
    rms = background.globalrms
    # sep clears its whole stack first: room for what it can hold, not for the frame (27 ms of 39)
    sep.set_extract_pixstack(np.count_nonzero(light > DETECTION * rms) + light.shape[1])
    sep.set_sub_object_limit(SUB_OBJECTS)
    found = sep.extract(light, DETECTION * rms, minarea=MIN_PIXELS, filter_kernel=None, deblend_nthresh=DEBLEND_LEVELS)
    found = found[np.argsort(-found["flux"], kind="stable")]
    if len(found) == 0:
        return None
    rough = _half_light_fwhm(light, found["x"][:TYPICAL], found["y"][:TYPICAL], 6 * found["a"][:TYPICAL])
    scale = float(np.clip(np.nanmedian(rough), *FRAME_FWHM)) if np.isfinite(rough).any() else FRAME_FWHM[0]
    reach = 2 * math.hypot(scale, GAUSS * LUMINANCE_SIGMA)
    disturbed = _disturbed(found["x"], found["y"], found["flux"], reach)
    kept = _spread_choice(found["x"], found["y"], found["flux"], light.shape)
    x, y, peak = found["x"][kept], found["y"][kept], found["peak"][kept] / rms
    fwhm = _half_light_fwhm(light, x, y, np.full(len(x), reach))
    if not np.isfinite(fwhm).any():
        return None
    saturated = _near(full, x, y, CORE)
    blended = disturbed[kept]
    if damaged is not None:
        blended |= _near(damaged, x, y, scale)
    good = ~saturated & ~blended & (peak > GOOD_PEAK)
    frame_fwhm = float(np.clip(_typical(fwhm, good, ~saturated), *FRAME_FWHM))
    return _Detections(x, y, fwhm, saturated, blended, frame_fwhm)


def _typical(values: DoubleArray, good: BoolArray, fair: BoolArray) -> float:
    """Median over the good ones; over the fair ones when there are too few, over all when there is nothing else."""
    known = np.isfinite(values)
    for choice in (good & known, fair & known):
        if choice.sum() >= FEWEST_GOOD:
            return float(np.median(values[choice]))
    return float(np.median(values[known])) if known.any() else float("nan")


def _nothing(channels: int) -> StarsFound:
    empty, none = np.zeros(0), np.zeros(0, np.bool_)
    table = np.zeros((0, channels))
    stars = Stars(empty, empty, table, table, empty, empty, empty, empty, none, none)
    return StarsFound(stars, float("nan"), float("nan"))


def measure_stars(
    data: FloatArray,
    pattern: str | None,
    sigma: tuple[float, ...],
    saturation: float | FloatArray,
    damaged: BoolArray | None = None,
) -> StarsFound:
    """Find and measure up to MOST_STARS stars, brightest first.

    data : (h, w) or (3, h, w) float32, ADU; single damaged pixels replaced (`zemosaic.imaging.sky.repaired`)
    sigma : ADU, noise of one sky pixel per channel
    saturation : ADU, one for all or (h, w); NaN when unknown
    damaged : (h, w) bool, the replaced pixels; stars on top of one are called blended

    The FWHM is that of a Gaussian with the same half-light radius, in the frame as it is, with the width of its pixels
    and without the blur of the luminance.
    """
    light = luminance(data.mean(axis=0) if data.ndim == 3 else data)
    brightest = data.max(axis=0) if data.ndim == 3 else data
    found = _detect(light, brightest >= SATURATION * saturation, damaged)
    if found is None:
        return _nothing(len(sigma))
    found = found.take(found.fwhm >= SHARPEST * found.frame_fwhm)
    fwhm = found.frame_fwhm
    width = math.hypot(fwhm, GAUSS * LUMINANCE_SIGMA)
    frame = data.mean(axis=0) if data.ndim == 3 else data
    noise = np.array(sigma) if data.ndim == 2 else np.ones(1)
    x, y, _ = sep.winpos(light, found.x, found.y, width / GAUSS, subpix=ROUGHLY)
    near = np.hypot(x - found.x, y - found.y) < fwhm  # else it ran away to a neighbour
    x, y = np.where(near, x, found.x), np.where(near, y, found.y)
    place, place_err = fit_places(frame, colour_index(pattern), noise, x, y, fwhm)
    x, y = place.T
    measured_in = bands(data, light, pattern, sigma)
    total, error = fluxes(measured_in[0], x, y, fwhm, SNR_APERTURE)
    measured = [fluxes(band, x, y, fwhm, APERTURE) for band in measured_in[1:]]
    reach = APERTURE * width
    border = (x < reach) | (y < reach) | (x > light.shape[1] - 1 - reach) | (y > light.shape[0] - 1 - reach)
    elongation = _elongations(light, x, y, fwhm)
    order = np.argsort(-total, kind="stable")
    order = order[total[order] >= FAINTEST_SNR * error]
    stars = Stars(
        x=x[order],
        y=y[order],
        flux=np.column_stack([flux for flux, _ in measured])[order],
        flux_err=np.tile([sky_error for _, sky_error in measured], (len(order), 1)),
        snr=total[order] / error,
        place_err=place_err[order],
        fwhm=found.fwhm[order],
        elongation=elongation[order],
        saturated=found.saturated[order],
        blended=(found.blended | border | (found.fwhm > WIDEST * fwhm))[order],
    )
    good = ~stars.saturated & ~stars.blended
    elongated = _typical(stars.elongation, good & (stars.snr > GOOD_SNR), ~stars.saturated)
    bright = np.flatnonzero(good & (stars.snr > SHIFT_SNR))[:SHIFT_STARS]
    return StarsFound(stars, fwhm, elongated, _shift(data, pattern, sigma, stars.x[bright], stars.y[bright], fwhm))


def _shift(
    data: FloatArray, pattern: str | None, sigma: tuple[float, ...], x: DoubleArray, y: DoubleArray, fwhm: float
) -> ColourShift | None:
    if data.ndim == 3:
        planes = [Plane(plane, np.ones((2, 2), np.bool_), s) for plane, s in zip(data, sigma, strict=True)]
    elif pattern is not None:
        planes = [Plane(data, colour_index(pattern) == c, s) for c, s in enumerate(sigma)]
    else:
        return None
    return colour_shift(planes, x, y, fwhm)
