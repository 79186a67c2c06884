"""Solutions against those of their group: one telescope has one scale, one parity, points about where it says, turns slowly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from zemosaic.imaging.projection import angular_separation, pixel_scale, tan_project
from zemosaic.model import Frame, Solution
from zemosaic.solvers import parity, rotation

__all__ = ["false_solutions"]

SCALE_SPREAD = 0.015  # relative: focus moves it by 0.3 %, two telescopes of a model differ by 0.15 %
FEWEST = 3  # solutions that make a group
FEWEST_POINTINGS = 5  # ... that show where a mount points relative to what it says
MOST_SHEAR = 0.02  # of a matrix against the nearest similarity
TURN = 10.0  # deg, from the frames before and after, where these agree within `TURN_SPREAD`
TURN_SPREAD = 2.0  # deg
AROUND = 2  # frames before and as many after
SAME_POINTING = 0.3  # deg: a telescope that slews to another target turns its field at once
POINTING = 0.5  # deg, beyond the search radius or the spread of the group's pointing


def false_solutions(frames: Sequence[Frame], solutions: Mapping[int, Solution], radius: float) -> dict[int, str]:
    """Frames whose solution is impossible, and why; `radius` (deg) is how far a frame was searched from its header."""
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.id in solutions:
            groups[frame.instrument].append(frame)
    reasons: dict[int, str] = {}
    for group in groups.values():
        for frame in group:
            if reason := _impossible(solutions[frame.id]):
                reasons[frame.id] = reason
        group = sorted((frame for frame in group if frame.id not in reasons), key=lambda frame: frame.id)
        found = [solutions[frame.id] for frame in group]
        if not group:
            continue
        for check in (_scale, _parity, lambda f, s: _position(f, s, radius), _rotation):
            for frame, reason in zip(group, check(group, found), strict=True):
                if reason:
                    reasons.setdefault(frame.id, reason)
    return reasons


def _impossible(solution: Solution) -> str:
    """Why a solution is none, whatever the others say; NaN would pass every comparison below."""
    if not np.isfinite([solution.ra, solution.dec, solution.x, solution.y, *solution.cd]).all():
        return "Its solution holds no numbers: a wrong solution."
    largest, smallest = np.linalg.svd(np.reshape(solution.cd, (2, 2)), compute_uv=False)
    if not smallest > (1.0 - MOST_SHEAR) * largest:
        return "Its solution has pixels that are no squares, or none at all: a wrong solution."
    return ""


def _rotation(frames: Sequence[Frame], solutions: Sequence[Solution]) -> list[str]:
    """Against the frames just before and after of the same pointing; a mount that flips turns by 180 degrees."""
    angle = np.radians([2.0 * rotation(solution) for solution in solutions])  # doubled: a flip is no difference
    ra, dec = (np.array([getattr(solution, name) for solution in solutions]) for name in ("ra", "dec"))
    reasons = []
    for i in range(len(frames)):
        near = [k for k in range(i - AROUND, i + AROUND + 1) if k != i and 0 <= k < len(frames)]
        same = [k for k in near if angular_separation(ra[k], dec[k], ra[i], dec[i]) < SAME_POINTING]
        reason = ""
        if len(same) == 2 * AROUND:
            usual = np.angle(np.sum(np.exp(1j * angle[same])))
            spread = np.degrees(np.abs(np.angle(np.exp(1j * (angle[same] - usual))))).max() / 2.0
            off = np.degrees(abs(np.angle(np.exp(1j * (angle[i] - usual))))) / 2.0
            if spread < TURN_SPREAD and off > TURN:
                reason = (
                    f"Its field is turned by {off:.0f} degrees against the frames before and after: a wrong solution."
                )
        reasons.append(reason)
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
    astray, limit = np.zeros(len(frames)), np.inf
    if np.count_nonzero(known) >= FEWEST_POINTINGS:
        astray[known] = np.hypot(*(offset[known] - np.median(offset[known], axis=0)).T)
        limit = POINTING + 5.0 * float(np.median(astray[known]))
    reasons = []
    for from_header, from_others in zip(away, astray, strict=True):
        reason = ""
        if from_header > radius + POINTING:
            reason = f"Its solution lies {from_header:.1f} degrees from where its header points: a wrong solution."
        elif from_others > limit:
            reason = (
                f"Its solution lies {from_others:.1f} degrees from where the telescope pointed "
                "by its other frames: a wrong solution."
            )
        reasons.append(reason)
    return reasons
