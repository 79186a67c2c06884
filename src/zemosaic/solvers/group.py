"""Solutions against those of their group: one telescope has one scale, one parity, and points about where it says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from zemosaic.imaging.projection import angular_separation, pixel_scale, tan_project
from zemosaic.model import Frame, Solution
from zemosaic.solvers import parity

__all__ = ["false_solutions"]

SCALE_SPREAD = 0.015  # relative: focus moves it by 0.3 %, two telescopes of a model differ by 0.15 %
FEWEST = 3  # solutions that make a group
FEWEST_POINTINGS = 5  # ... that show where a mount points relative to what it says
POINTING = 0.5  # deg, beyond the search radius or the spread of the group's pointing


def false_solutions(frames: Sequence[Frame], solutions: Mapping[int, Solution], radius: float) -> dict[int, str]:
    """Frames whose solution is impossible, and why; `radius` (deg) is how far a frame was searched from its header."""
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.id in solutions:
            groups[frame.instrument].append(frame)
    reasons: dict[int, str] = {}
    for group in groups.values():
        found = [solutions[frame.id] for frame in group]
        for check in (_scale, _parity, lambda f, s: _position(f, s, radius)):
            for frame, reason in zip(group, check(group, found), strict=True):
                if reason:
                    reasons.setdefault(frame.id, reason)
    return reasons


def _scale(frames: Sequence[Frame], solutions: Sequence[Solution]) -> list[str]:
    scales = np.array([pixel_scale(solution) for solution in solutions])
    usual = float(np.median(scales))
    return [
        f'Its solution has {scale:.3f}"/px, the others of this telescope {usual:.3f}"/px: a wrong solution.'
        if len(frames) >= FEWEST and abs(scale / usual - 1.0) > SCALE_SPREAD
        else ""
        for scale in scales
    ]


def _parity(frames: Sequence[Frame], solutions: Sequence[Solution]) -> list[str]:
    signs = [parity(solution) for solution in solutions]
    usual = sum(signs)
    return [
        "Its solution is mirrored against the others of this telescope: a wrong solution."
        if len(frames) >= FEWEST and sign * usual < 0
        else ""
        for sign in signs
    ]


def _position(frames: Sequence[Frame], solutions: Sequence[Solution], radius: float) -> list[str]:
    """Against the header's position, and against how the group lies relative to its headers."""
    ra, dec = (np.array([getattr(solution, name) for solution in solutions]) for name in ("ra", "dec"))
    said_ra, said_dec = (np.array([getattr(frame, name) for frame in frames]) for name in ("ra", "dec"))
    away = angular_separation(ra, dec, said_ra, said_dec)
    offset = np.array([tan_project(*place) for place in zip(ra, dec, said_ra, said_dec, strict=True)])
    known = np.isfinite(offset).all(axis=1)
    reasons = []
    for i in range(len(frames)):
        reason = ""
        if away[i] > radius + POINTING:
            reason = f"Its solution lies {away[i]:.1f} degrees from where its header points: a wrong solution."
        elif known[i] and np.count_nonzero(known) >= FEWEST_POINTINGS:
            usual = np.median(offset[known], axis=0)
            distance = np.hypot(*(offset[known] - usual).T)
            limit = POINTING + 5.0 * float(np.median(distance))
            if np.hypot(*(offset[i] - usual)) > limit:
                reason = (
                    f"Its solution lies {np.hypot(*(offset[i] - usual)):.1f} degrees from where the telescope pointed "
                    "by its other frames: a wrong solution."
                )
        reasons.append(reason)
    return reasons
