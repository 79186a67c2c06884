"""The star lists of all frames as one table: detections linked, compared with the catalogue, chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from zemosaic.catalogue import Catalogue
from zemosaic.imaging.linking import chord, link_stars, unit_vectors
from zemosaic.imaging.projection import angular_separation, pixel_scale, pixel_to_sky
from zemosaic.imaging.response import frame_coordinates, half_diagonal, response_to_stars
from zemosaic.imaging.skycells import mean_places
from zemosaic.imaging.startable import StarTable, brightest_of_each, median_by
from zemosaic.model import Frame, Group, Measurement, Solution, Stars
from zemosaic.tables import load_stars

__all__ = ["Item", "Linked", "column", "link_items", "load_items", "star_table"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LINK_TOLERANCE = 3.0  # arcsec between detections of one star after the global refinement
CATALOGUE_TOLERANCE = 4.0  # arcsec: Tycho-2 positions carry no proper motion
MAX_DETECTIONS = 4_000_000  # of all frames together, for the links and the mask: about 250 bytes each
FEWEST_DETECTIONS = 40  # per frame, however many frames there are
MAX_MEASUREMENTS = 500_000  # of stars, all frames together, for the gains
FEWEST_STARS = 30  # per frame, however many frames there are


@dataclass(frozen=True)
class Item:
    """A frame with what was measured on it."""

    frame: Frame
    measurement: Measurement
    solution: Solution
    stars: Stars
    ra: FloatArray  # (n,) deg, of the stars
    dec: FloatArray  # (n,) deg

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
class Linked:
    """All detections of all frames as columns."""

    frame: IntArray  # (n,) index of the frame
    row: IntArray  # (n,) index in the frame's list
    star: IntArray  # (n,) number of the star, -1 = none
    place: FloatArray  # (n, 3) unit vector


def load_items(
    frames: Sequence[Frame], measured: Mapping[int, Measurement], solutions: Mapping[int, Solution]
) -> list[Item]:
    """The frames that have both, with their stars; of very many frames the brightest ones only."""
    known = [frame for frame in frames if frame.id in solutions and frame.id in measured]
    most = max(FEWEST_DETECTIONS, MAX_DETECTIONS // max(len(known), 1))
    return [_load_item(frame, measured[frame.id], solutions[frame.id], most) for frame in known]


def _load_item(frame: Frame, measurement: Measurement, solution: Solution, most: int) -> Item:
    every = load_stars(measurement.path)
    stars = every
    if len(every) > most:  # copies: parts would keep the whole lists in memory, 15 kB a frame
        stars = Stars(**{field.name: getattr(every, field.name)[:most].copy() for field in fields(Stars)})
    ra, dec = pixel_to_sky(solution, stars.x, stars.y)
    return Item(frame, measurement, solution, stars, ra, dec)


def link_items(inputs: Sequence[Item]) -> Linked:
    brightness = [i.stars.flux[:, i.frame.reference] for i in inputs]
    ids = link_stars([i.ra for i in inputs], [i.dec for i in inputs], brightness, LINK_TOLERANCE)
    counts = [len(i.stars) for i in inputs]
    return Linked(
        frame=np.repeat(np.arange(len(inputs)), counts),
        row=np.concatenate([np.arange(n) for n in counts]),
        star=np.concatenate(ids).astype(np.int64),
        place=np.concatenate([unit_vectors(i.ra, i.dec) for i in inputs]),
    )


def column(inputs: Sequence[Item], name: str) -> NDArray[np.float64]:
    """One column of the star lists of all frames."""
    return np.concatenate([getattr(i.stars, name) for i in inputs])


def star_table(inputs: Sequence[Item], linked: Linked, groups: Sequence[Group], catalogue: Catalogue) -> StarTable:
    """Measurements for the gains: clean stars that two frames or the catalogue know, at most so many a frame."""
    clean = (linked.star >= 0) & ~column(inputs, "saturated").astype(bool) & ~column(inputs, "blended").astype(bool)
    n = int(linked.star.max(initial=-1)) + 1
    seen = np.bincount(linked.star[clean], minlength=n)
    vt = _catalogue_magnitudes(inputs, linked, n, groups, catalogue)
    clean &= ((seen > 1) | np.isfinite(vt))[linked.star] if n else False
    flux = column(inputs, "flux")
    reference = inputs[0].frame.reference
    brightness = median_by(linked.star[clean], flux[clean, reference], n)
    most = max(FEWEST_STARS, MAX_MEASUREMENTS // len(inputs))
    chosen = np.flatnonzero(clean)[brightest_of_each(linked.frame[clean], brightness[linked.star[clean]], most)]
    known, star = np.unique(linked.star[chosen], return_inverse=True)
    u, v = (np.concatenate(each) for each in zip(*(_offsets(i) for i in inputs)))
    known_response, rho2 = np.concatenate([_response(i) for i in inputs]), np.concatenate([_rho2(i) for i in inputs])
    return StarTable(
        frame=linked.frame[chosen],
        star=star,
        flux=flux[chosen] / known_response[chosen, None],
        error=column(inputs, "flux_err")[chosen] / known_response[chosen, None],
        rho2=rho2[chosen],
        instrument=_numbered([i.sensor for i in inputs]),
        night=_numbered([f"{i.frame.instrument} {i.frame.date_obs[:10]}" for i in inputs]),
        vt=vt[known],
        u=u[chosen],
        v=v[chosen],
    )


def _response(item: Item) -> FloatArray:
    """(n,) what the fluxes of a frame's stars have to be divided by; 1 where nobody knows yet."""
    if item.measurement.flat is None:
        return np.ones(len(item.stars))
    return response_to_stars(item.measurement.flat, item.solution, item.stars.x, item.stars.y, *item.size)


def _rho2(item: Item) -> FloatArray:
    """(n,) squared distance of a frame's stars to its centre; 0, where any response is 1, when a flat has told it."""
    if item.measurement.flat is not None:
        return np.zeros(len(item.stars))
    u, v = _offsets(item)
    return u * u + v * v


def _offsets(item: Item) -> tuple[FloatArray, FloatArray]:
    """(n,) u and v of a frame's stars: offsets from its centre over the half-diagonal."""
    return frame_coordinates(item.stars.x, item.stars.y, *item.size)


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
