"""The star lists of all frames as one table: detections linked, compared with the catalogue, chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.catalogue import Catalogue
from zemosaic.imaging.linking import chord, link_stars, unit_vectors
from zemosaic.imaging.projection import angular_separation, pixel_scale, pixel_to_sky
from zemosaic.imaging.response import half_diagonal, response_to_stars
from zemosaic.imaging.skycells import mean_places
from zemosaic.imaging.startable import StarTable, brightest_of_each, median_by
from zemosaic.model import Frame, Group, Measurement, Solution
from zemosaic.nights import nights
from zemosaic.tables import load_stars

__all__ = [
    "Detections",
    "Item",
    "Linked",
    "link_stars_of",
    "load_detections",
    "offsets",
    "star_table",
    "times_of",
    "usable_items",
]

FloatArray = NDArray[np.float64]
SmallArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

LINK_TOLERANCE = 3.0  # arcsec between detections of one star after the global refinement
CATALOGUE_TOLERANCE = 4.0  # arcsec: Tycho-2 positions carry no proper motion
MAX_DETECTIONS = 4_000_000  # of all frames together, for the links and the mask: about 120 bytes each
FEWEST_DETECTIONS = 40  # per frame, however many frames there are
MAX_MEASUREMENTS = 500_000  # of stars, all frames together, for the gains
FEWEST_STARS = 30  # per frame, however many frames there are
BATCH = 1000  # frames whose arrays are put together


@dataclass(frozen=True)
class Item:
    """A frame with what is known of it."""

    frame: Frame
    measurement: Measurement
    solution: Solution

    @property
    def scale(self) -> float:
        """deg/px"""
        return pixel_scale(self.solution) / 3600.0

    @property
    def size(self) -> tuple[int, int]:
        return self.frame.width, self.frame.height

    @property
    def sensor(self) -> str:
        """What shares a response: frames of an instrument, with a flat or without."""
        return f"{self.frame.instrument} flat-fielded" if self.measurement.flat is not None else self.frame.instrument


@dataclass(frozen=True)
class Detections:
    """The star lists of all frames as columns, in single precision where that is finer than any error."""

    count: IntArray  # (frames,) detections of each
    x: SmallArray  # (n,) px
    y: SmallArray  # (n,) px
    flux: SmallArray  # (n, channels) ADU
    flux_err: SmallArray  # (n, channels) ADU
    snr: SmallArray  # (n,)
    saturated: NDArray[np.bool_]  # (n,)
    blended: NDArray[np.bool_]  # (n,)
    ra: FloatArray  # (n,) deg
    dec: FloatArray  # (n,) deg

    @property
    def frame(self) -> IntArray:
        """(n,) index of the frame."""
        return np.repeat(np.arange(len(self.count)), self.count)


@dataclass(frozen=True)
class Linked:
    """Which star each detection is, and where."""

    star: IntArray  # (n,) number of the star, -1 = none
    place: FloatArray  # (n, 3) unit vector


def usable_items(
    frames: Sequence[Frame], measured: Mapping[int, Measurement], solutions: Mapping[int, Solution]
) -> list[Item]:
    """The frames that have both."""
    known = [frame for frame in frames if frame.id in solutions and frame.id in measured]
    return [Item(frame, measured[frame.id], solutions[frame.id]) for frame in known]


def load_detections(inputs: Sequence[Item]) -> Detections:
    """Their stars; of very many frames the brightest ones only. Arrays of single frames, 6 kB beside their values, are put
    together soon.
    """
    most = max(FEWEST_DETECTIONS, MAX_DETECTIONS // max(len(inputs), 1))
    batches, batch = [], list[Detections]()
    for item in inputs:
        batch.append(_load(item, most))
        if len(batch) == BATCH:
            batches.append(_joined(batch))
            batch = []
    return _joined([*batches, *batch])


def _load(item: Item, most: int) -> Detections:
    stars = load_stars(item.measurement.path)
    x, y = stars.x[:most], stars.y[:most]
    ra, dec = pixel_to_sky(item.solution, x, y)
    return Detections(
        count=np.array([len(x)]),
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        flux=stars.flux[:most].astype(np.float32),
        flux_err=stars.flux_err[:most].astype(np.float32),
        snr=stars.snr[:most].astype(np.float32),
        saturated=stars.saturated[:most].copy(),
        blended=stars.blended[:most].copy(),
        ra=ra,
        dec=dec,
    )


def _joined(parts: Sequence[Detections]) -> Detections:
    names = [field.name for field in fields(Detections)]
    return Detections(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def link_stars_of(detections: Detections, reference: int) -> Linked:
    """Detections of the same star, compared in the channel `reference`."""
    ends = np.cumsum(detections.count)[:-1]
    ra, dec = np.split(detections.ra, ends), np.split(detections.dec, ends)
    ids = link_stars(ra, dec, np.split(detections.flux[:, reference], ends), LINK_TOLERANCE)
    return Linked(np.concatenate(ids), unit_vectors(detections.ra, detections.dec))


def star_table(
    inputs: Sequence[Item], detections: Detections, linked: Linked, groups: Sequence[Group], catalogue: Catalogue
) -> StarTable:
    """Measurements for the gains: clean stars that two frames or the catalogue know, at most so many a frame."""
    clean = (linked.star >= 0) & ~detections.saturated & ~detections.blended
    n = int(linked.star.max(initial=-1)) + 1
    seen = np.bincount(linked.star[clean], minlength=n)
    vt = _catalogue_magnitudes(inputs, linked, n, groups, catalogue)
    clean &= ((seen > 1) | np.isfinite(vt))[linked.star] if n else False
    reference, frame = inputs[0].frame.reference, detections.frame
    brightness = median_by(linked.star[clean], detections.flux[clean, reference], n)
    most = max(FEWEST_STARS, MAX_MEASUREMENTS // len(inputs))
    chosen = np.flatnonzero(clean)[brightest_of_each(frame[clean], brightness[linked.star[clean]], most)]
    known, star = np.unique(linked.star[chosen], return_inverse=True)
    frame = frame[chosen]
    u, v = offsets(inputs, frame, detections.x[chosen], detections.y[chosen])
    flux, error = detections.flux[chosen].astype(np.float64), detections.flux_err[chosen].astype(np.float64)
    rho2 = u * u + v * v
    for index, here in _flat_fielded(inputs, frame):
        response = _response(inputs[index], detections.x[chosen[here]], detections.y[chosen[here]])
        flux[here] /= response[:, None]
        error[here] /= response[:, None]
        rho2[here] = 0.0  # where any response is 1
    return StarTable(
        frame=frame,
        star=star.astype(np.int64),
        flux=flux,
        error=error,
        rho2=rho2,
        instrument=_numbered([i.sensor for i in inputs]),
        night=_numbered(_nights([i.frame for i in inputs])),
        vt=vt[known],
        u=u,
        v=v,
    )


def _nights(frames: Sequence[Frame]) -> list[str]:
    """Instrument and night of each frame, as one text."""
    instruments = [frame.instrument for frame in frames]
    dates = nights(instruments, [frame.date_obs for frame in frames])
    return [f"{instrument} {night}" for instrument, night in zip(instruments, dates)]


def times_of(inputs: Sequence[Item]) -> FloatArray | None:
    """(frames,) s, when each was begun; None when a header does not say."""
    dates = [item.frame.date_obs for item in inputs]
    if not all(dates):
        return None
    try:
        return np.array([datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() for date in dates])
    except ValueError:
        return None


def _flat_fielded(inputs: Sequence[Item], frame: IntArray) -> Iterator[tuple[int, slice]]:
    """Frames whose response a flat has told, and their measurements; frame : (n,) ascending."""
    for index, item in enumerate(inputs):
        if item.measurement.flat is not None:
            first, last = np.searchsorted(frame, [index, index + 1])
            yield index, slice(int(first), int(last))


def _response(item: Item, x: SmallArray, y: SmallArray) -> FloatArray:
    """(n,) what the fluxes of stars of a flat-fielded frame have to be divided by."""
    return response_to_stars(item.measurement.flat or (), item.solution, x, y, *item.size)


def offsets(inputs: Sequence[Item], frame: IntArray, x: SmallArray, y: SmallArray) -> tuple[FloatArray, FloatArray]:
    """(n,) u and v of stars: offsets from the centres of their frames over the half-diagonal."""
    sizes = np.array([item.size for item in inputs], float)
    radius = 0.5 * np.hypot(*sizes.T)[frame]
    width, height = sizes[frame].T
    return (x - 0.5 * (width - 1)) / radius, (y - 0.5 * (height - 1)) / radius


def _numbered(names: Sequence[str]) -> IntArray:
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int64)


def _catalogue_magnitudes(
    inputs: Sequence[Item], linked: Linked, n_stars: int, groups: Sequence[Group], catalogue: Catalogue
) -> FloatArray:
    """VT of each star; NaN where the catalogue has none, or several compete."""
    stars = _catalogue_stars(inputs, groups, catalogue)
    vt = np.full(n_stars, np.nan)
    if len(stars) < 2:
        return vt
    named = linked.star >= 0
    place = mean_places(linked.star[named], linked.place[named], n_stars)
    distance, index = cKDTree(unit_vectors(stars[:, 0], stars[:, 1])).query(place, k=2)
    limit = chord(CATALOGUE_TOLERANCE)
    alone = (distance[:, 0] < limit) & (distance[:, 1] > 2 * limit)
    vt[alone] = stars[index[alone, 0], 2]
    return vt


def _catalogue_stars(inputs: Sequence[Item], groups: Sequence[Group], catalogue: Catalogue) -> FloatArray:
    """(n, 3) ra, dec (deg) and VT of the catalogue stars around the panels, each once."""
    cones = [np.zeros((0, 3))]
    centre = {i.frame.id: (i.solution.ra, i.solution.dec) for i in inputs}
    half = max(half_diagonal(i.frame.width, i.frame.height) * i.scale for i in inputs)
    for group in groups:
        members = np.array([centre[k] for k in group.frames if k in centre])
        if not len(members):
            continue
        radius = float(angular_separation(members[:, 0], members[:, 1], group.ra, group.dec).max()) + half
        stars = catalogue.cone(group.ra, group.dec, min(radius, 90.0))
        cones.append(np.column_stack([stars.ra, stars.dec, stars.vt]))
    every: FloatArray = np.unique(np.concatenate(cones), axis=0)
    return every
