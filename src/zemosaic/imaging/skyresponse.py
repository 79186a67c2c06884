"""The sensor response once more, from the sky: stars give F to some 0.4 %, which bends the background by 1 % of a nebula.

F multiplies the sky too. Where sky gradients and levels differ between frames, F times a plane is not a plane: the
response leaves a cubic pattern in proportion to each frame's gradient, and one of rho^4 in proportion to its level. Neither
looks like a sky. What does look like one, the curvature (rho^2) of a single frame, is given to the frame's own sky,
within what skies do.

A pedestal (some firmwares add one of several hundred ADU) is not vignetted, and no header tells it. Divided by F with the rest it
bends every sky alike: 1000 ADU on a sky of 220 bent the background by 33 % of the nebula, and F with it, against the stars.
So it is an unknown of its own: what of the sky F does not explain, in proportion to 1 / F. It comes out to some 5 ADU.

The stars' result and its covariance are the prior. Few stars on a small or single field show no vignetting, where the sky does
beyond doubt: 24 subs of 420 x 560 px with 12 % of it, whose stars knew the corners to 7 %, had a background of 12 to 24 % of the
nebula. What all skies have in common, moonlight or a city, is no vignetting, so `shows_response` asks for more than that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zemosaic.imaging.response import RADIAL_TERMS, is_significant, radial_powers, response
from zemosaic.imaging.schur import Modes, TwoBlockSystem
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import SkyFit
from zemosaic.imaging.skymodes import CURVED, SkySplines
from zemosaic.imaging.skyproblem import SkyProblem, SkySums, block_diagonal, normal_sky, sky_problem
from zemosaic.imaging.skysurface import PLANE, surface_basis
from zemosaic.spread import Spread, one_by_one

__all__ = ["COMMON_CURVATURE", "Sensors", "refine_response", "shows_response", "with_sensors"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Sky brightness that falls by 1/e in 20 degrees (light pollution) has 6 % of gradient and 0.05 % of curvature over a field of
# 1.3 degrees.
OWN = CURVED  # terms of a frame: its plane and its curvature
CURVATURE = 0.002  # of the sky level: standard deviation of a frame's own rho^2 term
# Whatever else a telescope leaves in all its skies, in proportion to them: second order (the sky's own), third and fourth (its
# flat, stray light). Two real S50 have waves of 0.2 %: taken for vignetting times a steady gradient they made corners of 117 %.
# of the sky level: standard deviations of the terms. The two S50 differ by 0.3 % in the second order
QUADRATIC, HIGHER = 0.005, 0.003
PATTERNS = 12  # surfaces from the second to the fourth order
WEAK = 0.3  # prior standard deviation of a coefficient in the equations of one channel, taken out again
ROUGH, TOLERANCE = 1e-3, 1e-6  # of the residual's length: for errors of coefficients (two digits), and for coefficients
TILE = 4  # times the extent of a frame
ENOUGH_FRAMES = 1000  # tell F better than SYSTEMATIC; more would only take more time
SYSTEMATIC = 0.001  # of a coefficient: what the model of sky and response may be wrong
# covariance of the coefficients: all skies may have a curvature of 1 % of their level in common, which looks like a response
COMMON_CURVATURE = 0.01**2 * np.eye(RADIAL_TERMS)
SENSOR = RADIAL_TERMS + 1  # unknowns of an instrument: its response, and a level that is there without light
CERTAIN = 5.0  # errors, beyond which a pedestal is no chance: nights without one come to 3


@dataclass(frozen=True)
class Sensors:
    """What all frames of an instrument have in common."""

    response: FloatArray  # (instruments, terms)
    pedestal: FloatArray  # (instruments,) ADU, a level that is there without light
    # (instruments,) ADU, standard deviation of the pedestal; empty before the sky has told it
    pedestal_error: FloatArray = field(default_factory=lambda: np.zeros(0))


def refine_response(
    cells: SkyCells,
    fit: SkyFit,
    gain: FloatArray,
    spacing: float,
    instrument: IntArray,
    before: Sensors,
    stars: FloatArray,
    covariance: FloatArray,
    raised: BoolArray,
    spread: Spread = one_by_one,
) -> tuple[Sensors, FloatArray]:
    """Sensors from stars and sky together; covariance (instruments, terms, terms) of the coefficients of their responses.

    cells : corrected for `before`; fit : their sky fit with order 1; instrument : (frames,)
    stars, covariance : the coefficients from the stars; raised : (instruments,) whether there may be a pedestal.
    spread : who does the channels.
    """
    coefficients = before.response
    cells, residual, weight, chosen = _enough(cells, fit, len(gain))
    gain, instrument = gain[chosen], instrument[chosen]
    problem = sky_problem(cells, len(gain), spacing, 1)
    n = len(coefficients) * SENSOR
    information, off = np.zeros((n, n)), np.zeros((len(coefficients), SENSOR))
    for k, block in enumerate(covariance):
        here = slice(k * SENSOR, k * SENSOR + RADIAL_TERMS)
        information[here, here] = np.linalg.inv(block)
    off[:, :RADIAL_TERMS] = stars - coefficients
    pull = information @ off.ravel()
    known = [_Channel(residual[:, c], weight[:, c], cells.value[:, c], gain[:, c]) for c in range(gain.shape[1])]
    # green tells most; the others' precision is its own, by how much light and noise they have
    middle = len(known) // 2
    precision = _precision_of(cells, known[middle], problem, instrument, coefficients, spread)
    shares = [channel.information / known[middle].information for channel in known]

    def change_of(c: int) -> FloatArray:
        return _change(cells, known[c], problem, instrument, coefficients, shares[c] * precision)

    for channel, share, change in zip(known, shares, spread(change_of, range(len(known)))):
        unit = np.ones((len(coefficients), SENSOR))
        unit[:, RADIAL_TERMS] = 1.0 / channel.level  # of a pedestal in ADU, which all channels have in common
        told = unit.ravel()[:, None] * (share * precision)
        information = information + told * unit.ravel()
        pull = pull + told @ change
    return _settled(information, pull, before, raised, known[middle].level)


def _settled(
    information: FloatArray, pull: FloatArray, before: Sensors, raised: BoolArray, level: float
) -> tuple[Sensors, FloatArray]:
    """Sensors from the equations of their changes, without pedestals that may be chance; covariance of the coefficients.

    level : ADU, of the sky
    """
    n = len(raised)
    start = np.column_stack([before.response, before.pedestal])
    last = np.arange(n) * SENSOR + RADIAL_TERMS
    while True:
        change = np.zeros((n, SENSOR))
        change[~raised, RADIAL_TERMS] = -before.pedestal[~raised]
        free = np.setdiff1d(np.arange(n * SENSOR), last[~raised])
        total = np.zeros_like(information)
        total[np.ix_(free, free)] = np.linalg.inv(information[np.ix_(free, free)])
        change.ravel()[free] = (total @ (pull - information @ change.ravel()))[free]
        refined = start + change
        error = np.sqrt(total.diagonal()[last])
        lost = np.maximum(-refined[:, :RADIAL_TERMS].sum(axis=1), 1e-9)  # of the light, in the corners
        error = np.hypot(error, CURVATURE * level / lost)
        chance = raised & (refined[:, RADIAL_TERMS] < CERTAIN * error)
        if not chance.any():
            break
        raised = raised & ~chance
    blocks = [total[k : k + RADIAL_TERMS, k : k + RADIAL_TERMS] for k in range(0, n * SENSOR, SENSOR)]
    covariance = np.array(blocks) + SYSTEMATIC**2 * np.eye(RADIAL_TERMS)
    return Sensors(refined[:, :RADIAL_TERMS], refined[:, RADIAL_TERMS], error), covariance


def shows_response(coefficients: FloatArray, covariance: FloatArray) -> bool:
    """Whether coefficients of `refine_response` that no star has shown are light lost, and more than skies have in common."""
    brightest = float(response(coefficients.tolist(), np.linspace(0.0, 1.0, 21)).max())
    return brightest <= 1.0 and is_significant(coefficients, covariance + COMMON_CURVATURE)


def with_sensors(cells: SkyCells, instrument: IntArray, before: Sensors, after: Sensors) -> SkyCells:
    """Cells corrected for the sensors `after` instead of `before`."""
    ratio, pedestal = np.ones(len(cells)), np.zeros(len(cells))
    rho2 = cells.u**2 + cells.v**2
    for k, less in enumerate(after.pedestal - before.pedestal):
        here = instrument[cells.frame] == k
        flat = response(after.response[k].tolist(), rho2[here])
        ratio[here], pedestal[here] = response(before.response[k].tolist(), rho2[here]) / flat, less / flat
    value, variance = cells.value * ratio[:, None] - pedestal[:, None], cells.variance * ratio[:, None] ** 2
    return SkyCells(cells.frame, cells.x, cells.y, cells.u, cells.v, cells.omega, value, variance)


@dataclass(frozen=True)
class _Channel:
    residual: FloatArray  # (cells,) ADU
    weight: FloatArray  # (cells,) ADU^-2
    value: FloatArray  # (cells,) ADU
    gain: FloatArray  # (frames,)

    @property
    def level(self) -> float:
        """ADU, the unit of a pedestal."""
        return max(float(np.nanmedian(np.abs(self.value - self.residual))), 1e-6)

    @property
    def information(self) -> float:
        """About a factor on the sky, with all else known."""
        return float(np.nansum(self.weight * (self.value - self.residual) ** 2))


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
    columns = {each.name: getattr(cells, each.name)[here] for each in fields(cells)}
    columns["frame"] = number[columns["frame"]]
    return SkyCells(**columns), fit.residual[here], fit.weight[here], chosen


@dataclass(frozen=True)
class _Equations:
    """Of one channel: all frames' planes and curvatures, and the coefficients last."""

    system: TwoBlockSystem
    right: FloatArray
    shared_right: FloatArray


def _equations(
    cells: SkyCells, known: _Channel, problem: SkyProblem, instrument: IntArray, coefficients: FloatArray
) -> _Equations:
    light = np.nan_to_num(known.value - known.residual)
    scale = known.gain[cells.frame] * cells.omega
    basis = _derivatives(cells, instrument, coefficients, light, known.level)
    sums = problem.sums(basis, scale, np.where(np.isfinite(known.residual), known.weight, 0.0), known.residual)
    own, right, cross = _by_sensor(sums, instrument, len(coefficients))
    own = own + sp.diags_array(_precision(known.level, len(known.gain), len(coefficients)))
    splines = SkySplines(problem.middle, problem.node_place, problem.side)
    moves = splines.on_frames(problem.axes, known.gain, CURVED)
    moves.resize((len(right), moves.shape[1]))  # patterns and coefficients have no part in it
    coarse = Modes(moves, splines.on_nodes())
    return _Equations(
        TwoBlockSystem(own, cross, normal_sky(problem, sums.shared), coarse=coarse), right, sums.shared_right
    )


def _precision_of(
    cells: SkyCells,
    known: _Channel,
    problem: SkyProblem,
    instrument: IntArray,
    coefficients: FloatArray,
    spread: Spread,
) -> FloatArray:
    """(n, n) what one channel's sky tells of the coefficients, with all skies free."""
    equations, n = _equations(cells, known, problem, instrument, coefficients), len(coefficients) * SENSOR

    def column(k: int) -> FloatArray:
        unit = np.zeros(len(equations.right))
        unit[len(unit) - n + k] = 1.0
        return equations.system.reduced_solve(unit, tolerance=ROUGH)[0][-n:]

    inverse = np.stack(list(spread(column, range(n))), axis=1)
    total: FloatArray = np.linalg.inv(0.5 * (inverse + inverse.T)) - np.eye(n) / WEAK**2
    return total


def _change(
    cells: SkyCells,
    known: _Channel,
    problem: SkyProblem,
    instrument: IntArray,
    coefficients: FloatArray,
    precision: FloatArray,
) -> FloatArray:
    """(n,) change of the coefficients that one channel's sky asks for, which tells them with this precision."""
    equations, n = _equations(cells, known, problem, instrument, coefficients), len(coefficients) * SENSOR
    change = equations.system.solve(equations.right, equations.shared_right, tolerance=TOLERANCE).own[-n:]
    # it was shrunk by the weak prior: (precision + prior) @ change = precision @ (unshrunk change)
    shrunk = precision @ change + change / WEAK**2
    return np.asarray(np.linalg.lstsq(precision, shrunk, rcond=1e-9)[0], np.float64)


def _derivatives(
    cells: SkyCells, instrument: IntArray, coefficients: FloatArray, light: FloatArray, level: float
) -> FloatArray:
    """(cells, OWN + PATTERNS + SENSOR) derivatives by the plane and curvature of the frame, and by the patterns, the response
    and the pedestal (over `level`) of its instrument."""
    rho2 = cells.u**2 + cells.v**2
    powers = radial_powers(rho2)
    flat = 1.0 + np.einsum("nt,nt->n", powers, coefficients[instrument[cells.frame]])
    own = [np.ones(len(cells)), cells.u, cells.v, rho2]
    count = np.maximum(np.bincount(cells.frame), 1)
    mean = (np.bincount(cells.frame, light) / count)[cells.frame]
    patterns = surface_basis(cells.u, cells.v, PLANE + PATTERNS)[:, PLANE:] * mean[:, None]
    return np.column_stack([*own, patterns, powers * (light / flat)[:, None], level * (1.0 / flat - 1.0)])


def _by_sensor(
    sums: SkySums, instrument: IntArray, n_instruments: int
) -> tuple[sp.csr_array, FloatArray, sp.csr_array]:
    """Own matrix, right-hand side and cross matrix of all frames' terms, the instruments' patterns, and their coefficients."""
    n_frames, terms = sums.own_right.shape
    rows = np.arange(n_frames * terms).reshape(n_frames, terms)
    first, last = n_frames * OWN, n_frames * OWN + n_instruments * PATTERNS
    pattern = first + instrument[:, None] * PATTERNS + np.arange(PATTERNS)
    radial = last + instrument[:, None] * SENSOR + np.arange(SENSOR)
    place = np.column_stack([np.arange(first).reshape(n_frames, OWN), pattern, radial])
    size = last + n_instruments * SENSOR
    add = sp.csr_array((np.ones(place.size), (place.ravel(), rows.ravel())), shape=(size, n_frames * terms))
    own = sp.csr_array(add @ block_diagonal(sums.own) @ add.T)
    return own, add @ sums.own_right.ravel(), sp.csr_array(add @ sums.cross)


def _precision(level: float, n_frames: int, n_instruments: int) -> FloatArray:
    """Of the priors on all unknowns."""
    frame = [*(1e-9 * (level * 1e-3) ** -2,) * PLANE, (CURVATURE * level) ** -2]
    pattern = [*(QUADRATIC**-2,) * 3, *(HIGHER**-2,) * (PATTERNS - 3)]
    return np.concatenate(
        [
            np.tile(frame, n_frames),
            np.tile(pattern, n_instruments),
            np.full(n_instruments * SENSOR, WEAK**-2),
        ]
    )
