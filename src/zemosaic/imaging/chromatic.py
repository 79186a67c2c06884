"""Where red and blue light falls on a frame, against green: the air is a prism.

Between 460 and 620 nm the refraction of the air differs by 1" times tan z (Filippenko 1982, PASP 94, 715): on a frame taken 36
degrees above the horizon blue was found 0.19 px above and red 0.13 px below green. The shift is the same all over a frame.

A peaked star that is sampled every second pixel is drawn towards the pixels of its colour or away from them (0.3 px at worst
on real frames): an odd function of its place in the pattern, whose first harmonic is fitted along with the shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.places import places_in_colour
from zemosaic.imaging.robust import MEDIAN_NORM, robust_weight
from zemosaic.model import ColourShift, Stars

__all__ = ["Plane", "at_green", "colour_shift", "colour_weights", "settled_shifts"]

F64 = NDArray[np.float64]

GREEN = 1
FEWEST = 6  # stars
ERRORS = (0.04, 0.3)  # px per axis of one star in one colour: least that is believed, most that is used
FARTHEST = 1.0  # px, of a star in one colour from green
PHASE = 0.2  # px, prior of the amplitude of what the pattern does
STEPS = 6
EVIDENCE = 13.8  # chi^2 of two numbers that chance exceeds once in a thousand


@dataclass(frozen=True)
class Plane:
    """The pixels of one colour."""

    image: NDArray[np.float32]  # (h, w) ADU
    own: NDArray[np.bool_]  # (2, 2) which pixels (y % 2, x % 2) have the colour
    sigma: float  # ADU, their sky noise

    @property
    def corner(self) -> tuple[int, int] | None:
        """(x, y) of the one pixel in four that has the colour; None when it is not one in four."""
        ys, xs = np.nonzero(self.own)
        return (int(xs[0]), int(ys[0])) if len(xs) == 1 else None


def colour_shift(planes: Sequence[Plane], x: F64, y: F64, fwhm: float) -> ColourShift | None:
    """The shift of each channel, from good stars; None when there are fewer than FEWEST.

    planes : R, G, B; x, y : (n,) px; fwhm : px
    """
    if len(x) < FEWEST:
        return None
    green, green_error = places_in_colour(planes[GREEN].image, planes[GREEN].own, planes[GREEN].sigma, x, y, fwhm)
    place, error = [(0.0, 0.0)] * len(planes), [0.0] * len(planes)
    for c in (c for c in range(len(planes)) if c != GREEN):
        plane = planes[c]
        found, own_error = places_in_colour(plane.image, plane.own, plane.sigma, x, y, fwhm)
        offset = found - green
        sigma = np.hypot(np.hypot(own_error, green_error), ERRORS[0])
        used = (sigma <= ERRORS[1]) & (np.abs(offset).max(axis=1) <= FARTHEST)  # NaN is not used
        if np.count_nonzero(used) < FEWEST:
            return None
        phase = np.zeros_like(offset) if plane.corner is None else np.sin(np.pi * (green - plane.corner))
        place[c], error[c] = _common(offset[used], phase[used], sigma[used])
    return ColourShift(tuple(place), tuple(error))


def _common(offset: F64, phase: F64, sigma: F64) -> tuple[tuple[float, float], float]:
    """Shift (x, y) that all stars share beside an amplitude times their phase, and its error per axis, px."""
    weight, scatter = np.ones(len(offset)), 1.0
    design = np.zeros((len(offset), 2, 3))
    design[:, :, :2], design[:, :, 2] = np.eye(2), phase
    normal = np.eye(3)
    found = np.zeros(3)
    for step in range(STEPS):
        w = weight / (sigma * scatter) ** 2
        normal = np.einsum("nak,n,nal->kl", design, w, design) + np.diag([0.0, 0.0, PHASE**-2])
        found = np.linalg.solve(normal, np.einsum("nak,n,na->k", design, w, offset))
        norm = np.linalg.norm(offset - design @ found, axis=1) / sigma
        scatter = max(1.0, float(np.median(norm)) / MEDIAN_NORM)
        weight = robust_weight(norm / scatter, strict=step > 1)
    error = math.sqrt(0.5 * np.trace(np.linalg.inv(normal)[:2, :2]))
    return (float(found[0]), float(found[1])), error


def settled_shifts(
    measured: Sequence[ColourShift | None], group: Sequence[int]
) -> list[tuple[tuple[float, float], ...]]:
    """The shift of each frame is that of its group; () where no channel has one that chance does not explain.

    Within a quarter of an hour the air's shift changes by less than 0.02 px, while that of a single real frame of 20 stars is
    known to 0.05 to 0.1 px: what differs from frame to frame is what unround stars do to the fit.

    group : number of each frame's spell, in which air, height and filter stay about the same.
    """
    settled: list[tuple[tuple[float, float], ...]] = [()] * len(measured)
    for number in set(group):
        members = [i for i in range(len(measured)) if group[i] == number]
        known = [shift for i in members if (shift := measured[i]) is not None]
        if not known:
            continue
        places = [(0.0, 0.0)] * len(known[0].place)
        for c in (c for c in range(len(places)) if c != GREEN):
            own, error = np.array([shift.place[c] for shift in known]), np.array([shift.error[c] for shift in known])
            places[c] = _of_group(own, error)
        if any(place != (0.0, 0.0) for place in places):
            for i in members:
                settled[i] = tuple(places)
    return settled


def _of_group(own: F64, error: F64) -> tuple[float, float]:
    """Mean of a group's shifts (n, 2) px with the errors (n,); 0 when it could be chance."""
    weight, scatter = np.ones(len(own)), 1.0
    mean, variance = np.zeros(2), 1.0
    for step in range(STEPS):
        share = weight / np.square(scatter * error)
        mean, variance = (share @ own) / share.sum(), 1.0 / share.sum()
        norm = np.linalg.norm(own - mean, axis=1) / error
        # the mean follows its members: of two their distance from it is 1 / sqrt(2) of what it ought to be
        scatter = max(1.0, float(np.median(norm)) / MEDIAN_NORM * math.sqrt(len(own) / max(len(own) - 1, 1)))
        weight = robust_weight(norm / scatter, strict=step > 1)
    significant = mean @ mean > EVIDENCE * variance
    return (float(mean[0]), float(mean[1])) if significant else (0.0, 0.0)


def colour_weights(flux: F64, sigma: Sequence[float], filtered: bool) -> F64:
    """(n, channels) how much each colour of a star counts in a place that was fitted to all; they add up to 1.

    flux : (n, channels) ADU; sigma : (channels,) ADU. Behind a filter array green has two pixels for one of red or blue and each
    colour its own amplitude; of a mean of three planes each gives what it has.
    """
    light = np.nan_to_num(np.maximum(flux, 0.0))
    weight = np.square(light / np.asarray(sigma)) * (1.0, 2.0, 1.0) if filtered else light
    return np.asarray(weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-30))


def at_green(stars: Stars, shift: Sequence[tuple[float, float]], weights: F64) -> tuple[F64, F64]:
    """Where the green light of stars falls, (x, y) px, from places that were fitted to all colours."""
    dx, dy = (weights @ np.array(shift)).T
    return stars.x - dx, stars.y - dy
