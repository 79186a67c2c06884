"""The sky view's geometry: where footprints lie, what is seen of them, what is hit. Arrays in, arrays out; no widgets here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zemosaic.imaging.projection import pixel_to_sky, tan_deproject
from zemosaic.model import Frame, Solution

__all__ = ["SkyFrame", "View", "containing", "fit", "footprint", "hull", "inside", "unit_vectors"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

FINEST = 0.25 / 3600.0  # deg/px: a frame of 2 degrees is then 29,000 px, less than X can draw
WIDEST = 110.0  # deg on the tangent plane, of the longer side of what is seen: about 88 degrees on the sky
MARGIN = 1.1  # of what is fitted
DIRECTIONS = 72  # in which a panel's outline is looked for


@dataclass(frozen=True)
class SkyFrame:
    """The footprint of one frame."""

    file: str
    panel: int  # -1: none yet
    target: str
    ra: tuple[float, float, float, float]  # deg, of the corners, in the order around the frame
    dec: tuple[float, float, float, float]
    solved: bool  # False: only as good as the header says, its angle unknown


def footprint(
    file: str, frame: Frame, solution: Solution | None, *, panel: int = -1, target: str = ""
) -> SkyFrame | None:
    """Where a frame lies: as it was solved, as the WCS in its header says, or upright around the place in its header.

    None where nothing is known of its place.
    """
    x, y = np.array([0, frame.width, frame.width, 0]) - 0.5, np.array([0, 0, frame.height, frame.height]) - 0.5
    known = solution or frame.wcs
    if known is not None:
        ra, dec = pixel_to_sky(known, x, y)
    elif math.isfinite(frame.ra + frame.dec + frame.scale):
        u, v = x - 0.5 * (frame.width - 1), y - 0.5 * (frame.height - 1)
        ra, dec = tan_deproject(u * frame.scale / 3600.0, v * frame.scale / 3600.0, frame.ra, frame.dec)
    else:
        return None
    corners = [tuple(map(float, each)) for each in (ra, dec)]
    return SkyFrame(file, panel, target, corners[0], corners[1], known is not None)  # type: ignore[arg-type]


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> FloatArray:
    """(..., 3) of positions in degrees."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


@dataclass(frozen=True)
class View:
    """What is seen: a tangent plane around its centre, north up, east left.

    Canvas pixels grow to the right and downwards from the upper left corner.
    """

    ra: float  # deg, of the centre
    dec: float
    scale: float  # deg/px at the centre
    width: int  # px
    height: int

    @property
    def radius(self) -> float:
        """deg on the sky, from the centre to a corner."""
        return math.degrees(math.atan(math.radians(self.scale) * 0.5 * math.hypot(self.width, self.height)))

    @property
    def field(self) -> float:
        """deg on the sky, from the left to the right."""
        return 2.0 * math.degrees(math.atan(math.radians(self.scale) * 0.5 * self.width))

    def of_vectors(self, vectors: FloatArray) -> FloatArray:
        """(..., 2) canvas x, y of (..., 3) unit vectors; NaN on the far side of the sky."""
        a, d = math.radians(self.ra), math.radians(self.dec)
        east = (-math.sin(a), math.cos(a), 0.0)
        north = (-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d))
        ahead = (math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d))
        turned = vectors @ np.array([east, north, ahead]).T
        depth = np.where(turned[..., 2] > 1e-3, turned[..., 2], np.nan) * math.radians(self.scale)
        x = 0.5 * self.width - turned[..., 0] / depth
        y = 0.5 * self.height - turned[..., 1] / depth
        return np.stack([x, y], axis=-1)

    def of_sky(self, ra: ArrayLike, dec: ArrayLike) -> FloatArray:
        """(..., 2) canvas x, y of positions in degrees; NaN on the far side of the sky."""
        return self.of_vectors(unit_vectors(ra, dec))

    def to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Positions (ra, dec), degrees, of canvas pixels."""
        xi = (0.5 * self.width - np.asarray(x, float)) * self.scale
        eta = (0.5 * self.height - np.asarray(y, float)) * self.scale
        return tan_deproject(xi, eta, self.ra, self.dec)

    def holding(self, ra: float, dec: float, x: float, y: float, scale: float) -> View:
        """Another scale and centre, so that a position of the sky lies at (x, y), as far as north up allows it.

        With (u, v) the standard coordinates of (x, y), sin dec = (sin d0 + v cos d0) / sqrt(1 + u^2 + v^2) gives the centre's
        declination d0 (Calabretta & Greisen 2002, A&A 395, 1077, turned round).
        """
        scale = min(max(scale, FINEST), WIDEST / max(self.width, self.height))
        u = math.radians((0.5 * self.width - x) * scale)
        v = math.radians((0.5 * self.height - y) * scale)
        sine = math.sin(math.radians(dec)) * math.sqrt((1.0 + u * u + v * v) / (1.0 + v * v))
        angle = math.asin(min(max(sine, -1.0), 1.0))
        candidates = [each - math.atan(v) for each in (angle, math.pi - angle, -math.pi - angle)]
        d0 = min(candidates, key=lambda each: abs(each - math.radians(self.dec)))
        d0 = min(max(d0, -0.5 * math.pi), 0.5 * math.pi)
        ra0 = ra - math.degrees(math.atan2(u, math.cos(d0) - v * math.sin(d0)))
        return replace(self, ra=ra0 % 360.0, dec=math.degrees(d0), scale=scale)

    def zoomed(self, factor: float, x: float, y: float) -> View:
        """Nearer by `factor`, with the sky at (x, y) held."""
        ra, dec = self.to_sky(x, y)
        return self.holding(float(ra), float(dec), x, y, self.scale / factor)

    def panned(self, dx: float, dy: float) -> View:
        """With the sky moved by so many pixels."""
        ra, dec = self.to_sky(0.5 * self.width, 0.5 * self.height)
        return self.holding(float(ra), float(dec), 0.5 * self.width + dx, 0.5 * self.height + dy, self.scale)

    def resized(self, width: int, height: int) -> View:
        return replace(self, width=width, height=height)


def fit(vectors: FloatArray, width: int, height: int) -> View:
    """The view that shows all of these (..., 3) unit vectors, or as much of them as a tangent plane can."""
    points = vectors.reshape(-1, 3)
    mean = points.mean(axis=0) if len(points) else np.array([1.0, 0.0, 0.0])
    if np.linalg.norm(mean) < 1e-6:  # all over the sky
        mean = points[0]
    ra = math.degrees(math.atan2(mean[1], mean[0])) % 360.0
    dec = math.degrees(math.atan2(mean[2], math.hypot(mean[0], mean[1])))
    widest = WIDEST / max(width, height)
    view = View(ra, dec, widest, width, height)
    for _ in range(2):  # the middle of what is seen is not the mean of the frames
        xy = view.of_vectors(points)
        there = np.isfinite(xy[:, 0])
        if not there.any():
            return view
        xy = xy[there]
        points = points[there][_outermost(xy)]  # from now on without the many in between
        ra, dec = (float(each) for each in view.to_sky(*(0.5 * (xy.min(axis=0) + xy.max(axis=0)))))
        view = replace(view, ra=ra, dec=dec)
    away = np.abs(view.of_vectors(points) - (0.5 * width, 0.5 * height))  # which near a pole turns with the centre
    share = float(np.nanmax(away / (0.5 * width, 0.5 * height), initial=0.0)) * MARGIN
    return replace(view, scale=min(max(view.scale * share, FINEST), widest))


def containing(quads: FloatArray, x: float, y: float) -> IntArray:
    """Which of (n, 4, 2) convex quadrilaterals hold a point, the one with the nearest centre first."""
    ahead = np.roll(quads, -1, axis=1) - quads
    cross = ahead[..., 0] * (y - quads[..., 1]) - ahead[..., 1] * (x - quads[..., 0])
    hit = np.flatnonzero((cross >= 0).all(axis=1) | (cross <= 0).all(axis=1))
    centre = quads[hit].mean(axis=1)
    return hit[np.argsort(np.hypot(centre[:, 0] - x, centre[:, 1] - y), kind="stable")]


def inside(points: FloatArray, lasso: FloatArray) -> BoolArray:
    """Which of (n, 2) points lie inside a closed line of (m, 2) points (even-odd rule); NaN lies outside."""
    result = np.zeros(len(points), bool)
    low, high = lasso.min(axis=0), lasso.max(axis=0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    x, y = points[near, 0], points[near, 1]
    odd = np.zeros(len(near), bool)
    for (x0, y0), (x1, y1) in zip(lasso, np.roll(lasso, -1, axis=0)):
        if y0 != y1:
            odd ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    result[near] = odd
    return result


def hull(vectors: FloatArray) -> FloatArray:
    """(m, 3) the outermost of (..., 3) unit vectors, in the order around them: an outline, seen from their middle."""
    points = vectors.reshape(-1, 3)
    view = fit(points, 1000, 1000)
    xy = view.of_vectors(points)
    known = np.flatnonzero(np.isfinite(xy[:, 0]))
    outline: FloatArray = points[known[_outermost(xy[known])]] if len(known) else points[known]
    return outline


def _outermost(points: FloatArray) -> IntArray:
    """Numbers of the outermost of (n, 2) points in each of many directions, in their order around the middle."""
    angle = np.linspace(0.0, 2.0 * math.pi, DIRECTIONS, endpoint=False)
    found: IntArray = np.array([np.argmax(points @ np.array([math.cos(a), math.sin(a)])) for a in angle])
    different = np.flatnonzero(np.diff(found, prepend=found[-1]))
    return found[different] if len(different) else found[:1]
