"""The built-in solver: pattern matching against the packed catalogue; nothing to install."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from zemosaic.catalogue import CatalogueStars, load_catalogue
from zemosaic.errors import FrameError
from zemosaic.imaging.matching import Search, hypotheses, to_plane, to_solution
from zemosaic.imaging.projection import tan_deproject
from zemosaic.imaging.verification import FEWEST, Verdict, verify
from zemosaic.model import Frame, Solution, Stars
from zemosaic.solvers import Hint

__all__ = ["CatalogueSolver"]

MARGIN = 1.03  # the cone reaches a little farther than the frame's corners
LARGEST_PART = 2.0  # deg: one plane serves that far, and its pairs of catalogue stars are still few


class Reference(Protocol):
    """Where stars are known to be: the packed catalogue, or a solved frame."""

    def cone(self, ra: float, dec: float, radius_deg: float) -> CatalogueStars: ...


class CatalogueSolver:
    """Pairs of image stars against pairs of catalogue stars around the hint, verified against chance."""

    name = "catalogue"

    def __init__(self, catalogue: Reference | None = None) -> None:
        self.catalogue = catalogue or load_catalogue()

    def solve(self, stars: Stars, frame: Frame, hint: Hint) -> Solution:
        """See `zemosaic.solvers.Solver`."""
        if not hint.complete:
            missing = "pixel scale" if math.isfinite(hint.ra) and math.isfinite(hint.dec) else "position"
            raise FrameError(
                f"The header gives no {missing} (RA and DEC, pixel size and focal length are looked for), "
                "and no solved frame of its folder helps."
            )
        if len(stars) < FEWEST:
            raise FrameError(f"{len(stars)} stars were found, at least {FEWEST} are needed to solve.")
        best: Verdict | None = None
        for verdict in self.verdicts(stars, frame, hint):
            if verdict.holds:
                return replace(verdict.solution, solver=self.name)
            best = verdict if best is None or verdict.false_alarms < best.false_alarms else best
        raise FrameError(_refusal(stars, hint, best))

    def verdicts(self, stars: Stars, frame: Frame, hint: Hint) -> Iterator[Verdict]:
        """Verdicts on the hypotheses that deserve one, as they are found."""
        parts = _parts(hint)
        for part in parts:
            yield from self._part(stars, frame, part, len(parts))

    def _part(self, stars: Stars, frame: Frame, hint: Hint, parts: int) -> Iterator[Verdict]:
        shape = (frame.height, frame.width)
        unit = hint.scale / 3600.0
        reach = hint.radius + 0.5 * math.hypot(*shape) * unit * MARGIN
        sky = self.catalogue.cone(hint.ra, hint.dec, reach)
        plane_x, plane_y = to_plane(sky.ra, sky.dec, hint.ra, hint.dec)
        turned = math.isfinite(hint.rotation)
        search = Search(
            radius=hint.radius / unit,
            scale_tolerance=hint.scale_tolerance,
            parity=hint.parity,
            turn=math.radians(hint.rotation) if turned else 0.0,
            turn_tolerance=math.radians(hint.rotation_tolerance) if turned else math.pi,
        )
        x, y = np.ascontiguousarray(stars.x), np.ascontiguousarray(stars.y)
        for hypothesis in hypotheses(x, y, shape, plane_x / unit, plane_y / unit, search):
            start = to_solution(hypothesis, shape, hint.ra, hint.dec, unit)
            yield verify(start, x, y, sky.ra, sky.dec, shape, hypothesis.tested * parts)


def _parts(hint: Hint) -> list[Hint]:
    """Circles of at most `LARGEST_PART` that cover the hint's, in rings, nearest first."""
    if hint.radius <= LARGEST_PART:
        return [hint]
    parts, step, ring = [], 1.4 * LARGEST_PART, 0
    while (distance := ring * step) < min(hint.radius, 180.0) + 0.5 * step:
        around = max(1, math.ceil(360.0 * math.sin(math.radians(min(distance, 180.0))) / step))
        for k in range(around):
            ra, dec = _at(hint.ra, hint.dec, distance, 360.0 * k / around)
            parts.append(replace(hint, ra=ra, dec=dec, radius=LARGEST_PART, rotation=math.nan))
        ring += 1
    return parts


def _at(ra: float, dec: float, distance: float, angle: float) -> tuple[float, float]:
    """Position at a distance from another, at a position angle; degrees."""
    if distance >= 90.0:
        ra, dec, distance, angle = (ra + 180.0) % 360.0, -dec, 180.0 - distance, -angle
    r = math.degrees(math.tan(math.radians(distance)))
    alpha, delta = tan_deproject(r * math.sin(math.radians(angle)), r * math.cos(math.radians(angle)), ra, dec)
    return float(alpha), float(delta)


def _refusal(stars: Stars, hint: Hint, best: Verdict | None) -> str:
    """Why there is no solution, in words."""
    found = "nothing similar was found"
    if best is not None:
        found = f"the best guess matches {best.matched} of {best.expected} catalogue stars, as chance could do too"
    return (
        f"No part of the sky within {hint.radius:.2g} degrees of RA {hint.ra:.3f} Dec {hint.dec:+.3f} fits its "
        f'{len(stars)} stars at {hint.scale:.3f}"/px (+-{100.0 * hint.scale_tolerance:.1g} %); {found}.'
    )
