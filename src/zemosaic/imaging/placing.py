"""Solutions fitted to places on the sky that somebody else calculated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.distortion import bend, fit_terms, nodes, typical
from zemosaic.imaging.projection import pixel_to_sky, tan_deproject, tan_project
from zemosaic.model import Distortion, Polynomial, Solution

__all__ = ["REACH", "frame_nodes_of", "shared_distortions", "solution_through", "with_distortion"]

FloatArray = NDArray[np.float64]
REACH = 32.0  # px beyond the frame: lattices over a frame end there
ORDERS = (1, 2, 3, 4, 5, 7, 9)  # that are tried; SIP knows no more than 9, TPV than 7
STRAIGHT = 0.02  # px: what stays below it is no distortion
CLOSE = 0.005  # px: an order that comes as close is enough
TANGENT_STEPS = 3


def frame_nodes_of(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """(x, y) px where `solution_through` wants to know the sky, over a frame of `shape` (h, w) and a little beyond."""
    (x, y), (a, b), (p, q) = _centre(shape), _reach(shape), nodes()
    return x + a * p, y + b * q


def _centre(shape: tuple[int, int]) -> tuple[float, float]:
    return 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)


def _reach(shape: tuple[int, int]) -> tuple[float, float]:
    return 0.5 * shape[1] + REACH, 0.5 * shape[0] + REACH


def solution_through(ra: FloatArray, dec: FloatArray, shape: tuple[int, int]) -> tuple[Solution, float]:
    """The solution about a frame's centre of which these are the places, with a distortion where they need one.

    Parameters
    ----------
    ra, dec : deg, of the pixels that `frame_nodes_of` names, whatever the projection that they come from; finite.

    Returns
    -------
    The solution, and its largest error in px: infinite when the places lie on a line or half a sky apart.
    """
    (x, y), (a, b), (p, q) = _centre(shape), _reach(shape), nodes()
    middle = len(ra) // 2
    ra0, dec0 = float(ra[middle]), float(dec[middle])
    solution = Solution(ra0, dec0, x, y, (0.0, 0.0, 0.0, 0.0))
    error = np.inf
    for order in ORDERS:
        for _ in range(2):  # the second time about the tangent point that the first has found
            plane = np.stack(tan_project(ra, dec, ra0, dec0), axis=1)
            if not np.isfinite(plane).all():
                return solution, np.inf
            terms, worst = fit_terms(p, q, plane, order)
            ra0, dec0 = (float(value) for value in tan_deproject(terms[0, 0], terms[0, 1], ra0, dec0))
        cd = (terms[1:3] / [[a], [b]]).T
        if not abs(np.linalg.det(cd)) > 0.0:
            return solution, np.inf
        error = worst / np.sqrt(abs(np.linalg.det(cd)))
        if error < (STRAIGHT if order == 1 else CLOSE):
            break
    polynomial = None
    if order > 1:
        move = np.linalg.solve(cd, terms[3:].T)
        polynomial = Polynomial(tuple(map(float, move[0])), tuple(map(float, move[1])), (a, b))
    matrix = (float(cd[0, 0]), float(cd[0, 1]), float(cd[1, 0]), float(cd[1, 1]))
    radius = 0.5 * float(np.hypot(*shape))
    return Solution(ra0, dec0, x, y, matrix, Distortion(radius=radius, polynomial=polynomial)), float(error)


def with_distortion(solution: Solution, distortion: Distortion, shape: tuple[int, int]) -> Solution:
    """The solution about the frame's centre with another distortion that comes closest to it over the frame."""
    x, y = _centre(shape)
    p, q = nodes()
    at_x, at_y = x + 0.5 * shape[1] * p, y + 0.5 * shape[0] * q
    ra, dec = pixel_to_sky(solution, at_x, at_y)
    u, v = bend(distortion, at_x - x, at_y - y)
    ra0, dec0 = (float(value) for value in pixel_to_sky(solution, x, y))
    design = np.stack([np.ones_like(u), u, v], axis=1)
    for _ in range(TANGENT_STEPS):
        plane = np.stack(tan_project(ra, dec, ra0, dec0), axis=1)
        terms = np.linalg.lstsq(design, plane, rcond=None)[0]
        ra0, dec0 = (float(value) for value in tan_deproject(terms[0, 0], terms[0, 1], ra0, dec0))
    cd = (float(terms[1, 0]), float(terms[2, 0]), float(terms[1, 1]), float(terms[2, 1]))
    return replace(solution, ra=ra0, dec=dec0, x=x, y=y, cd=cd, distortion=distortion)


def shared_distortions(
    solutions: Sequence[Solution], instruments: Sequence[str], shapes: Sequence[tuple[int, int]]
) -> tuple[list[Solution], list[int]]:
    """Frames of one instrument get one polynomial, the median of what their headers say; with the number of each one's group.

    Where fewer than half of the frames have one, the others stay without and make a group of their own: then the headers are
    too few to speak for the instrument. An instrument whose frames do not share their distortion (stacks) needs several names.
    """
    groups: dict[tuple[str, tuple[int, int], bool], list[int]] = {}
    for i, (solution, instrument, shape) in enumerate(zip(solutions, instruments, shapes, strict=True)):
        groups.setdefault((instrument, shape, solution.distortion.polynomial is not None), []).append(i)
    for (instrument, shape, stated), members in list(groups.items()):
        if not stated and len(groups.get((instrument, shape, True), [])) >= len(members):
            groups[instrument, shape, True] += groups.pop((instrument, shape, False))
    result, numbers = list(solutions), [0] * len(solutions)
    for number, ((_, shape, stated), members) in enumerate(groups.items()):
        said = [p for p in (solutions[i].distortion.polynomial for i in members) if p is not None]
        polynomial = typical(said) if stated else None
        for i in members:
            numbers[i] = number
            if solutions[i].distortion.polynomial != polynomial:
                bent = Distortion(radius=0.5 * float(np.hypot(*shape)), polynomial=polynomial)
                result[i] = with_distortion(solutions[i], bent, shape)
    return result, numbers
