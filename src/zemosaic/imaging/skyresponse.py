"""The sensor response once more, from the sky: stars give F to some 0.4 %, which bends the background by 1 % of a nebula.

F multiplies the sky too. Where sky gradients and levels differ between frames, F times a plane is not a plane: the
response leaves a cubic pattern in proportion to each frame's gradient, and one of rho^4 in proportion to its level. Neither
looks like a sky. What does look like one, the curvature (rho^2) of a single frame, is given to the frame's own sky,
within what skies do.

The stars' result and its covariance are the prior: the sky refines a response that stars have shown, it invents none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zemosaic.imaging.response import RADIAL_TERMS, radial_powers, response
from zemosaic.imaging.schur import TwoBlockSystem
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import SkyFit, SkyProblem, normal_sky, sky_problem, together

__all__ = ["refine_response", "with_response"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Sky brightness that falls by 1/e in 20 degrees (light pollution) has 6 % of gradient and 0.05 % of curvature over a field of
# 1.3 degrees.
CURVATURE = 0.002  # of the sky level: standard deviation of a frame's own rho^2 term
WEAK = 0.3  # prior standard deviation of a coefficient in the equations of one channel, taken out again
ROUGH, TOLERANCE = 1e-3, 1e-6  # of the residual's length: for errors of coefficients (two digits), and for coefficients
TILE = 4  # times the extent of a frame
ENOUGH_FRAMES = 1000  # tell F better than SYSTEMATIC; more would only take more time
SYSTEMATIC = 0.001  # of a coefficient: what the model of sky and response may be wrong


def refine_response(
    cells: SkyCells,
    fit: SkyFit,
    gain: FloatArray,
    spacing: float,
    instrument: IntArray,
    coefficients: FloatArray,
    covariance: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Coefficients (instruments, terms) and their covariance (instruments, terms, terms) from stars and sky together.

    cells : divided by the response `coefficients`; fit : their sky fit with order 1; instrument : (frames,)
    covariance : of the coefficients from the stars.
    """
    cells, residual, weight, chosen = _enough(cells, fit, len(gain))
    gain, instrument = gain[chosen], instrument[chosen]
    problem = sky_problem(cells, len(gain), spacing, 1)
    n = coefficients.size
    prior = np.zeros((n, n))
    for k, block in enumerate(covariance):
        here = slice(k * RADIAL_TERMS, (k + 1) * RADIAL_TERMS)
        prior[here, here] = np.linalg.inv(block)
    information, pull = prior, np.zeros(n)
    for c in range(gain.shape[1]):
        known = _Channel(residual[:, c], weight[:, c], cells.value[:, c], gain[:, c])
        change, precision = _from_channel(cells, known, problem, instrument, coefficients)
        information = information + precision
        pull = pull + precision @ change
    refined = coefficients + np.asarray(np.linalg.solve(information, pull), np.float64).reshape(coefficients.shape)
    total = np.linalg.inv(information)
    blocks = [total[k : k + RADIAL_TERMS, k : k + RADIAL_TERMS] for k in range(0, n, RADIAL_TERMS)]
    return refined, np.array(blocks) + SYSTEMATIC**2 * np.eye(RADIAL_TERMS)


def with_response(cells: SkyCells, instrument: IntArray, before: FloatArray, after: FloatArray) -> SkyCells:
    """Cells divided by the response `after` instead of `before`, both (instruments, terms)."""
    ratio = np.ones(len(cells))
    rho2 = cells.u**2 + cells.v**2
    for k in range(len(before)):
        here = instrument[cells.frame] == k
        ratio[here] = response(before[k].tolist(), rho2[here]) / response(after[k].tolist(), rho2[here])
    value, variance = cells.value * ratio[:, None], cells.variance * ratio[:, None] ** 2
    return SkyCells(cells.frame, cells.x, cells.y, cells.u, cells.v, cells.omega, value, variance)


@dataclass(frozen=True)
class _Channel:
    residual: FloatArray  # (cells,) ADU
    weight: FloatArray  # (cells,) ADU^-2
    value: FloatArray  # (cells,) ADU
    gain: FloatArray  # (frames,)


def _enough(cells: SkyCells, fit: SkyFit, n_frames: int) -> tuple[SkyCells, FloatArray, FloatArray, IntArray]:
    """Cells, residuals and weights of frames that suffice, numbered anew, and which these frames are.

    Whole tiles of sky are taken, by lot: frames that overlap tell more than those here and there.
    """
    count = np.maximum(np.bincount(cells.frame, minlength=n_frames), 1)
    x, y = (np.bincount(cells.frame, at, n_frames) / count for at in (cells.x, cells.y))
    side = TILE * float(np.ptp(cells.x[cells.frame == cells.frame[0]]))
    place = np.stack([np.floor(x / side), np.floor(y / side)], axis=1)
    tile = np.unique(place, axis=0, return_inverse=True)[1].ravel()
    lot = np.random.default_rng(0).permutation(int(tile.max()) + 1)[tile]
    chosen = np.flatnonzero(lot <= np.sort(lot)[min(n_frames, ENOUGH_FRAMES) - 1])
    number = np.full(n_frames, -1)
    number[chosen] = np.arange(len(chosen))
    here = number[cells.frame] >= 0
    columns = {field.name: getattr(cells, field.name)[here] for field in fields(cells)}
    columns["frame"] = number[columns["frame"]]
    return SkyCells(**columns), fit.residual[here], fit.weight[here], chosen


def _from_channel(
    cells: SkyCells, known: _Channel, problem: SkyProblem, instrument: IntArray, coefficients: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Change of the coefficients (n,) that one channel's sky asks for, and its precision (n, n)."""
    weight, gain, residual = known.weight, known.gain, np.nan_to_num(known.residual)
    light = np.nan_to_num(known.value) - residual
    scale = gain[cells.frame] * cells.omega
    design = sp.csr_array(problem.design.multiply(scale[:, None]))
    columns, precision = _columns(cells, problem, instrument, coefficients, light, len(gain))
    weighted = sp.csr_array(columns.multiply(weight[:, None]))
    own = columns.T @ weighted + sp.diags_array(precision)
    n = coefficients.size
    moving = together(cells, problem, gain)
    rest = sp.csr_array((len(gain) + n, moving.shape[1]))
    coarse = sp.csr_array(sp.vstack([moving, rest]))
    system = TwoBlockSystem(own, weighted.T @ design, normal_sky(problem, design, weight), coarse=coarse)
    inverse = np.zeros((n, n))
    for k in range(n):
        unit = np.zeros(columns.shape[1])
        unit[columns.shape[1] - n + k] = 1.0
        inverse[:, k] = system.reduced_solve(unit, tolerance=ROUGH)[0][-n:]
    total = np.linalg.inv(0.5 * (inverse + inverse.T))
    change = system.solve(weighted.T @ residual, design.T @ (weight * residual), tolerance=TOLERANCE).own[-n:]
    data = total - np.eye(n) / WEAK**2
    # `change` was shrunk by the weak prior: total @ change = data @ (unshrunk change)
    return np.asarray(np.linalg.lstsq(data, total @ change, rcond=1e-9)[0], np.float64), data


def _columns(
    cells: SkyCells,
    problem: SkyProblem,
    instrument: IntArray,
    coefficients: FloatArray,
    light: FloatArray,
    n_frames: int,
) -> tuple[sp.csr_array, FloatArray]:
    """Derivatives of the cells by planes, frame curvatures and response coefficients, and the precision of their priors."""
    rho2 = cells.u**2 + cells.v**2
    powers = radial_powers(rho2)
    rows = np.arange(len(cells))
    curvature = sp.csr_array((rho2, (rows, cells.frame)), shape=(len(cells), n_frames))
    k = instrument[cells.frame]
    flat = 1.0 + np.einsum("nt,nt->n", powers, coefficients[k])
    slopes = powers * (light / flat)[:, None]
    place = k[:, None] * RADIAL_TERMS + np.arange(RADIAL_TERMS)
    shape = (len(cells), coefficients.size)
    sensor = sp.csr_array((slopes.ravel(), (np.repeat(rows, RADIAL_TERMS), place.ravel())), shape=shape)
    level = max(float(np.median(np.abs(light))), 1e-6)
    precision = np.concatenate(
        [
            np.full(problem.own.shape[1], 1e-9 * (level * 1e-3) ** -2),
            np.full(n_frames, (CURVATURE * level) ** -2),
            np.full(coefficients.size, WEAK**-2),
        ]
    )
    return sp.csr_array(sp.hstack([problem.own, curvature, sensor])), precision
