"""The sky of all frames in cells: as measured, stars masked or taken off, or as a mosaic leaves it; what skies are fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.errors import Cancelled
from zemosaic.events import PhaseProgress, Reporter
from zemosaic.imaging.cloud import cloud_shape
from zemosaic.imaging.demosaic import BAYER_SHARE
from zemosaic.imaging.linking import chord, unit_vectors
from zemosaic.imaging.projection import pixel_area, pixel_to_sky, sky_to_pixel
from zemosaic.imaging.response import frame_coordinates, half_diagonal, response
from zemosaic.imaging.sky import CELL
from zemosaic.imaging.skycells import (
    MaskStars,
    SkyCells,
    bin_factor,
    common_stars,
    covered_area,
    frame_cells,
    join,
    mask_radius,
    star_mask,
    thinned,
)
from zemosaic.imaging.skysurface import surface_at
from zemosaic.imaging.starlight import WINGS, Sightings, SkyStars, cell_light, sky_stars
from zemosaic.model import Correction, FrameKind
from zemosaic.phases._match_stars import BATCH, Detections, Item, Linked, offsets
from zemosaic.tables import load_mesh

__all__ = ["Brightness", "Ground", "Listed", "left_cells", "listed_stars", "sky_cells", "with_light"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LONE_STAR_SNR = 30.0  # a star that only one frame lists is masked from this S/N
NODE_SPACING = 64.0  # px, of the common sky; two cells where they are smaller, one where they are larger
MOST_SIGHTINGS = 1_000_000  # of stars, all frames together, that tell their light: 32 bytes each
LARGEST_LIT = 4  # cells to a side that are averaged; of larger ones no stars are taken off, which takes 1 ms a frame


@dataclass(frozen=True)
class Listed:
    """Stars whose surroundings no frame's sky may use, brightest first, and what is known of their light."""

    mask: MaskStars
    sightings: Sightings
    fwhm: float  # deg, typical


@dataclass(frozen=True)
class Brightness:
    """What starlight is multiplied by in each frame."""

    gain: FloatArray  # (frames, channels)
    response: Sequence[tuple[float, ...]]  # of the sensor
    cloud: FloatArray  # (frames, 2)

    def at(self, frame: IntArray, u: FloatArray, v: FloatArray) -> FloatArray:
        """(n, channels) in frames at offsets (u, v) from their centres over the half-diagonal."""
        flat = np.ones(len(frame))
        for coefficients in set(self.response):
            here = np.array([r == coefficients for r in self.response])[frame]
            flat[here] = response(coefficients, (u * u + v * v)[here])
        factor: FloatArray = self.gain[frame] * (flat * cloud_shape(self.cloud[frame], u, v))[:, None]
        return factor


def listed_stars(inputs: Sequence[Item], detections: Detections, linked: Linked) -> Listed:
    """The common list of stars, from the detections of all frames."""
    snr = np.nan_to_num(detections.snr).astype(np.float64)
    width = np.array([i.measurement.fwhm * i.scale for i in inputs])
    typical = np.nanmedian(width) if np.isfinite(width).any() else 4 * inputs[0].scale
    width, frame = np.where(np.isfinite(width), width, typical), detections.frame
    radius = mask_radius(snr, width[frame], detections.saturated)
    lone = LONE_STAR_SNR if len(inputs) > 1 else 0.0
    mask, number = common_stars(linked.star, linked.place, radius, snr, lone)
    rank = np.arange(len(frame)) - np.repeat(np.cumsum(detections.count) - detections.count, detections.count)
    here = np.flatnonzero((number >= 0) & (rank < max(1, MOST_SIGHTINGS // len(inputs))))  # brightest first in a frame
    u, v = offsets(inputs, frame[here], detections.x[here], detections.y[here])
    sightings = Sightings(
        star=number[here].astype(np.int32),
        frame=frame[here].astype(np.int32),
        flux=detections.flux[here],
        u=u.astype(np.float32),
        v=v.astype(np.float32),
        saturated=detections.saturated[here],
        blended=detections.blended[here],
    )
    return Listed(mask, sightings, float(typical))


def with_light(listed: Listed, kept: IntArray, brightness: Brightness) -> SkyStars:
    """The listed stars with their light, as the frames that are `kept` show it; brightness : of these frames."""
    seen = listed.sightings
    number = np.full(int(max(kept.max(), seen.frame.max(initial=0))) + 1, -1)
    number[kept] = np.arange(len(kept))
    here = number[seen.frame] >= 0
    seen = Sightings(**{each.name: getattr(seen, each.name)[here] for each in fields(seen)})
    scale = brightness.at(number[seen.frame], seen.u.astype(np.float64), seen.v.astype(np.float64))
    return sky_stars(listed.mask, seen, scale, listed.fwhm)


def _plane(inputs: Sequence[Item]) -> tuple[float, float]:
    """Tangent point (ra, dec) amid all frames."""
    x, y, z = unit_vectors([i.solution.ra for i in inputs], [i.solution.dec for i in inputs]).sum(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


@dataclass(frozen=True)
class Ground:
    """How the sky is divided into cells, and the stars that none of them may hold."""

    plane: tuple[float, float]  # deg, tangent point (ra, dec) amid all frames
    area: float  # square degrees of a pixel with omega = 1
    bins: int  # cells to a side that are averaged
    spacing: float  # deg, between nodes of the common sky
    masked: MaskStars


def _ground(inputs: Sequence[Item], stars: SkyStars, cell: int, cells: int) -> Ground:
    """cell : px; cells : of all frames together."""
    plane, bins = _plane(inputs), bin_factor(cells)
    outlines = [(i.solution, (i.frame.width, i.frame.height)) for i in inputs]
    covered = covered_area(outlines, plane, 0.1 * min(i.frame.width * i.scale for i in inputs))
    area = float(np.median([pixel_area(i.solution, i.solution.x, i.solution.y) for i in inputs]))
    spacing = max(min(NODE_SPACING, 2.0 * bins * cell), bins * cell) * float(np.median([i.scale for i in inputs]))
    return Ground(plane, area, bins, spacing, thinned(stars.place, covered, cell * inputs[0].scale))


def sky_cells(
    inputs: Sequence[Item], brightness: Brightness, stars: SkyStars, reporter: Reporter
) -> tuple[SkyCells, Ground]:
    """The sky cells of all frames, stars masked or taken off, and what they lie on.

    Raises Cancelled when the user asked to stop.
    """
    first = load_mesh(inputs[0].measurement.path)
    ground = _ground(inputs, stars, first.cell, len(inputs) * first.mean.shape[0] * first.mean.shape[1])
    around = _Around(stars, ground.masked, ground.bins <= LARGEST_LIT)
    parts, batch = list[SkyCells](), list[SkyCells]()
    for k, item in enumerate(inputs):
        if reporter.cancelled():
            raise Cancelled("stopped while the sky backgrounds were read; the next run of the same command goes on")
        batch.append(_frame_cells(k, item, brightness, around, ground))
        if len(batch) == BATCH:
            parts.append(join(batch))
            batch = []
        reporter.emit(PhaseProgress("match", k + 1, len(inputs), item.frame.path.name))
    return join([*parts, *batch]), ground


def left_cells(
    inputs: Sequence[Item],
    corrections: Sequence[Correction],
    left: Callable[[int], NDArray[np.float32]],
    ground: Ground,
) -> SkyCells | None:
    """Cells of all frames with their sky as it was found, and what a mosaic that was made with it leaves of their pixels.

    None when no frame tells anything.

    left : gives of a frame, by its id, the mean residual (ny, nx, channels) in cells of CELL px, ADU; NaN is no data; none at
        all of a frame that tells nothing
    """
    around = _Around(
        SkyStars(ground.masked, np.zeros((len(ground.masked.ra), inputs[0].frame.channels))), ground.masked
    )
    parts, batch = list[SkyCells](), list[SkyCells]()
    for k, (item, correction) in enumerate(zip(inputs, corrections, strict=True)):
        mean = left(item.frame.id)
        if mean.size:
            batch.append(_left_cells(k, item, correction, mean, around, ground))
        if len(batch) == BATCH:
            parts.append(join(batch))
            batch = []
    return join([*parts, *batch]) if parts or batch else None


def _left_cells(
    index: int, item: Item, correction: Correction, mean: NDArray[np.float32], around: _Around, ground: Ground
) -> SkyCells:
    masked = around.of(item, mean.shape[:2], CELL)[0]
    masked |= ~np.isfinite(mean).all(axis=2)
    cells = _cells_of(index, item, mean, masked, CELL, correction.response, ground)
    sky = np.stack([surface_at(each, cells.u, cells.v) for each in correction.sky], axis=1)
    omega = cells.omega * cloud_shape(np.array(correction.cloud), cells.u, cells.v)
    return replace(cells, value=cells.value + sky, omega=omega)


class _Around:
    """Stars around a frame: those that are masked, and the light of the others, which is taken off."""

    def __init__(self, stars: SkyStars, masked: MaskStars, lit: bool = False) -> None:
        self._masked = len(masked.ra)
        self._lit = lit and bool(stars.light[self._masked :].any())
        self._place, self._light = (stars.place, stars.light) if self._lit else (masked, stars.light[:0])
        some = len(self._place.ra) > 0
        self._tree = cKDTree(unit_vectors(self._place.ra, self._place.dec)) if some else None
        self._reach = float(WINGS * self._place.radius.max(initial=0.0))

    def of(self, item: Item, shape: tuple[int, int], cell: int) -> tuple[NDArray[np.bool_], FloatArray | None]:
        """(ny, nx) masked cells; (ny, nx, channels) ADU at gain 1 of starlight in the others, None for none."""
        if self._tree is None:
            return np.zeros(shape, bool), None
        frame, place = item.frame, self._place
        centre = pixel_to_sky(item.solution, 0.5 * (frame.width - 1), 0.5 * (frame.height - 1))
        reach = half_diagonal(frame.width, frame.height) * item.scale + self._reach
        near = np.sort(self._tree.query_ball_point(unit_vectors(*centre), chord(3600.0 * 1.05 * reach))).astype(int)
        hidden, open_ = near[near < self._masked], near[near >= self._masked]
        stars = MaskStars(place.ra[hidden], place.dec[hidden], place.radius[hidden])
        masked = star_mask(stars, item.solution, item.scale, shape, cell)
        if masked.mean() > 0.9:  # a globular cluster fills the frame: stars are better than no sky at all
            masked[:] = False
        width = item.measurement.fwhm
        if not (self._lit and np.isfinite(width)):
            return masked, None
        x, y = sky_to_pixel(item.solution, place.ra[open_], place.dec[open_])
        return masked, cell_light(x, y, self._light[open_], place.radius[open_] / item.scale, width, item.size, cell)


def _frame_cells(index: int, item: Item, brightness: Brightness, around: _Around, ground: Ground) -> SkyCells:
    mesh = load_mesh(item.measurement.path)
    mean, shape = mesh.mean, (mesh.mean.shape[0], mesh.mean.shape[1])
    masked, light = around.of(item, shape, mesh.cell)
    if light is not None:
        mean = mean - (light * _on_cells(index, item, brightness, shape, mesh.cell)).astype(np.float32)
    return _cells_of(index, item, mean, masked, mesh.cell, brightness.response[index], ground)


def _cells_of(
    index: int,
    item: Item,
    mean: NDArray[np.float32],
    masked: NDArray[np.bool_],
    cell: int,
    response: tuple[float, ...],
    ground: Ground,
) -> SkyCells:
    sigma = np.maximum(np.asarray(item.measurement.sigma), 1e-3)
    share = np.ones(1) if item.frame.kind is FrameKind.MONO else np.array(BAYER_SHARE)
    noise = sigma / (cell * np.sqrt(share))
    flat_fielded = item.measurement.flat is not None
    return frame_cells(
        index, mean, masked, cell, item.solution, item.size, response, noise, ground.plane, ground.area, ground.bins,
        flat_fielded,
    )  # fmt: skip


def _on_cells(index: int, item: Item, brightness: Brightness, shape: tuple[int, int], cell: int) -> FloatArray:
    """(ny, nx, channels) what starlight is multiplied by in the middle of each cell."""
    j, i = np.mgrid[0 : shape[0], 0 : shape[1]]
    u, v = frame_coordinates((i.ravel() + 0.5) * cell - 0.5, (j.ravel() + 0.5) * cell - 0.5, *item.size)
    factor = brightness.at(np.full(u.size, index), u, v)
    return factor.reshape(*shape, -1)
