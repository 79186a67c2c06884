"""Gains of the frames and sensor response of the instruments from the fluxes of common stars.

Model of star j on frame i in channel c: f_ijc = a_ic S_jc F_k(rho_ij), solved for ln a, ln S and the coefficients of F by robust
least squares (Gauss-Newton steps, Tukey weights). The star fluxes S are eliminated (see `schur`).

No selection bias: after a first pass on logarithms, residuals are taken linear in the flux (f / model - 1), their variance
comes from the model's flux, and a measurement takes part when its *expected* signal-to-noise ratio is high enough, whatever was
measured. That variance is the sky's in the aperture, the photons' (in proportion to 1 / flux, per instrument and channel: the
electrons per ADU are not in the headers), and a floor.

Weakly held directions have priors: coefficients of F are small, the colour of a frame's transparency is that of its
instrument and night, and, where catalogue magnitudes are known, the star fluxes follow them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from zemosaic.imaging.gainequations import Equations, GainState
from zemosaic.imaging.gaingroups import anchored, components
from zemosaic.imaging.response import RADIAL_TERMS, is_significant
from zemosaic.imaging.startable import StarTable, median_by
from zemosaic.kernels.gains import LINEAR, LOG, WIDE, gain_residuals, gain_weights

__all__ = ["GainFit", "fit_gains"]

FloatArray = NDArray[np.float64]
SmallArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MIN_SNR = 10.0  # expected S/N of a measurement that takes part
STEADY = 0.03  # expected error below which a star tells of uneven cloud
FLOOR = (0.003, 0.05)  # relative error of the brightest stars, least and most: variables, PSF; the data choose between
MEASURED = ("frame", "star", "flux", "error", "rho2", "u", "v")  # columns of the table with a row per measurement
BRIGHT = 0.02  # relative error from the sky below which a measurement tells of the other errors
FEWEST_BRIGHT = 60  # for the noise of bright stars of an instrument and channel
NOISE_BINS = 4
# of ln(a_c / a_green) about the mean of instrument and night, least and most: haze is nearly grey; the data choose between
COLOUR_PRIOR = (0.001, 0.02)
# variance of a frame's colour over that from its own stars' errors: 1.2 to 1.8 where all have one colour
COLOUR_NOISE = 1.5
# the first one is plain least squares: telescopes whose fluxes differ by 3 and that share few of their stars start so far from
# each other that robust weights would take what they share for outliers
STEPS = (
    (WIDE, np.inf),
    (LOG, 6.0),
    (LOG, 4.0),
    (LINEAR, 4.685),
    (LINEAR, 4.685),
    (LINEAR, 4.685),
    (LINEAR, 4.685),
)
TINT_LIMIT = 5.0  # sigma, beyond which a frame's colour counts no more
TINT_STEP = 2  # steps that are left when the colours of frames are looked at
ROUGH, FINAL = 1e-6, 1e-8  # tolerances of the equations of a step that others follow, and of the last


@dataclass(frozen=True)
class GainFit:
    """The solution; gains are scaled so that their median over frames is 1 in each channel."""

    gain: FloatArray  # (frames, channels)
    response: tuple[tuple[float, ...], ...]  # per instrument; () = flat, or not significantly different
    response_covariance: FloatArray  # (instruments, terms, terms) of the coefficients, as far as the stars tell
    star_flux: FloatArray  # (stars, channels) ADU at gain 1; NaN when no measurement took part
    scatter: FloatArray  # (frames,) robust relative scatter of bright stars about the model; NaN when too few
    chi2: FloatArray  # (frames,) robust mean square of normalised residuals: 1 for a frame like the others
    common: IntArray  # (frames,) stars that took part and were seen by other frames too
    component: IntArray  # (frames,) frames with the same number are linked by common stars
    floor: float  # relative error of the brightest stars that the data asked for
    photon: FloatArray  # (instruments, channels) ADU: photons add photon / flux to the relative variance
    converged: bool

    @property
    def response_error(self) -> FloatArray:
        """(instruments,) standard deviation of F in the corners."""
        error: FloatArray = np.sqrt(self.response_covariance.sum(axis=(1, 2)))
        return error


def fit_gains(table: StarTable, *, with_response: bool = True) -> GainFit:
    """Solve for gains and response; a response that is not significant is taken as flat and the gains solved again.

    Memory: about 150 bytes per star measurement in three channels, beside the table.
    """
    n_instruments = int(table.instrument.max()) + 1
    fit = _Fit(_by_frame(table), n_instruments)
    active = np.full(n_instruments, with_response)
    state = fit.iterate(_start(fit.table, n_instruments), active, STEPS)
    covariance = fit.response_covariance(state)
    for k in range(n_instruments):
        active[k] = with_response and is_significant(state.coefficients[k], covariance[k])
    if with_response and not active.all():
        flat = replace(state, coefficients=np.where(active[:, None], state.coefficients, 0.0))
        state = fit.iterate(flat, active, STEPS[-3:])
    return fit.result(state, active, covariance)


def _by_frame(table: StarTable) -> StarTable:
    """The measurements ordered by frame."""
    if np.all(np.diff(table.frame) >= 0):
        return table
    order = np.argsort(table.frame, kind="stable")
    columns = {each.name: getattr(table, each.name) for each in fields(StarTable)}
    moved = {name: column[order] for name, column in columns.items() if len(column) == len(order) and name in MEASURED}
    return StarTable(**(columns | moved))


def _start(table: StarTable, n_instruments: int) -> GainState:
    """Medians of logarithms: star fluxes for equal gains, gains for these, and star fluxes again."""
    n_frames, n_stars = len(table.instrument), len(table.vt)
    usable = (table.flux > 0) & (table.flux > MIN_SNR * table.error)
    ln_flux = np.log(np.where(usable, table.flux, np.nan))
    ln_gain = np.zeros((n_frames, table.channels))
    ln_star = np.zeros((n_stars, table.channels))
    for c in range(table.channels):
        for _ in range(2):
            star = median_by(table.star, ln_flux[:, c] - ln_gain[table.frame, c], n_stars)
            gain = median_by(table.frame, ln_flux[:, c] - star[table.star], n_frames)
            ln_gain[:, c] = np.nan_to_num(gain)
        ln_star[:, c] = median_by(table.star, ln_flux[:, c] - ln_gain[table.frame, c], n_stars)
    nights = int(table.night.max()) + 1
    zero = table.vt * np.log(10.0) / 2.5 + ln_star[:, table.reference]
    start_zero = float(np.nanmedian(zero)) if np.isfinite(zero).any() else 0.0
    return GainState(
        ln_gain,
        np.nan_to_num(ln_star, nan=-50.0),  # below any flux: takes part in nothing
        np.zeros((n_instruments, RADIAL_TERMS)),
        np.zeros((nights, table.channels)),
        start_zero,
        FLOOR[1],
        np.zeros((n_instruments, table.channels)),
        COLOUR_PRIOR[1],
    )


class _Fit:
    """Measurements, what the present state leaves of them, and their equations."""

    def __init__(self, table: StarTable, n_instruments: int) -> None:
        self.table = table
        self._equations = Equations(table, n_instruments, int(table.night.max()) + 1)
        self._residual, self._variance, self._model, self._weight = (
            np.empty(table.flux.shape, np.float32) for _ in range(4)
        )

    def _look(self, state: GainState, form: int) -> None:
        """Residuals, their variances and expected fluxes."""
        table = self.table
        measured = (table.frame, table.star, table.flux, table.error, table.rho2, table.instrument)
        unknowns = (state.ln_gain, state.ln_star, state.coefficients)
        gain_residuals(*measured, *unknowns, form, MIN_SNR, self._residual, self._variance, self._model)

    def _weigh(self, state: GainState, cut: float) -> None:
        table = self.table
        known = (self._residual, self._variance, self._model, state.photon, state.floor)
        gain_weights(table.frame, table.instrument, *known, cut, self._weight)

    def iterate(self, state: GainState, active: BoolArray, steps: tuple[tuple[int, float], ...]) -> GainState:
        """Robust Gauss-Newton steps; each re-reads residuals and weights from the current state."""
        for left, (form, cut) in zip(reversed(range(len(steps))), steps):
            self._look(state, form)
            floor, photon = _bright_noise(self.table, state, self._residual, self._variance, self._model)
            state = replace(state, floor=floor, photon=photon)
            self._weigh(state, cut)
            state = self._step(state, active, ROUGH if left else FINAL)
            if left == TINT_STEP:
                state = replace(state, tint=_tint(self.table, state, self._weight))
        return state

    def _step(self, state: GainState, active: BoolArray, tolerance: float) -> GainState:
        system, right_own, right_shared = self._equations.system(state, active, self._residual, self._weight)
        solution = system.solve(right_own, right_shared, tolerance=tolerance)
        n_gain, n_response = state.ln_gain.size, state.coefficients.size
        gain, coefficients, colour = np.split(solution.own[:-1], [n_gain, n_gain + n_response])
        limited = np.clip(state.coefficients + coefficients.reshape(state.coefficients.shape), -0.9, 0.9)
        return replace(
            state,
            ln_gain=state.ln_gain + np.clip(gain, -3, 3).reshape(state.ln_gain.shape),
            ln_star=state.ln_star + np.clip(solution.shared, -3, 3).reshape(state.ln_star.shape),
            coefficients=limited,
            colour=state.colour + colour.reshape(state.colour.shape),
            zero=state.zero + float(solution.own[-1]),
            converged=solution.converged,
        )

    def _settle(self, state: GainState) -> FloatArray:
        """Final residuals and weights; (n, channels) normalised residuals, NaN where nothing took part."""
        self._look(state, LINEAR)
        self._weigh(state, STEPS[-1][1])
        return np.stack([self._normalised(state, c)[0] for c in range(self.table.channels)], axis=1)

    def _normalised(self, state: GainState, channel: int) -> tuple[FloatArray, FloatArray]:
        """(n,) residuals over their standard deviation, and that; NaN where nothing took part."""
        number = self.table.instrument[self.table.frame]
        photons = state.photon[number, channel] / self._model[:, channel]
        deviation = np.sqrt(self._variance[:, channel] + photons + state.floor**2)
        taking_part = np.isfinite(self._variance[:, channel])
        return np.where(taking_part, self._residual[:, channel] / deviation, np.nan), deviation

    def response_covariance(self, state: GainState) -> FloatArray:
        """Covariance (instruments, terms, terms) of the response coefficients with everything else free."""
        scale = max(1.0, _scale(self._settle(state)))
        n_instruments = len(state.coefficients)
        self._residual[:] = 0.0
        system = self._equations.system(state, np.ones(n_instruments, bool), self._residual, self._weight)[0]
        first = state.ln_gain.size
        covariance = np.zeros((n_instruments, RADIAL_TERMS, RADIAL_TERMS))
        for k in range(n_instruments):
            columns = first + k * RADIAL_TERMS + np.arange(RADIAL_TERMS)
            for t, column in enumerate(columns):
                unit = np.zeros(state.own_size)
                unit[column] = scale**2
                covariance[k, :, t] = system.reduced_solve(unit, tolerance=ROUGH)[0][columns]
        return 0.5 * (covariance + covariance.transpose(0, 2, 1))

    def result(self, state: GainState, active: BoolArray, covariance: FloatArray) -> GainFit:
        table, reference = self.table, self.table.reference
        self._look(state, LINEAR)
        self._weigh(state, STEPS[-1][1])
        normalised, deviation = self._normalised(state, reference)
        used = self._weight[:, reference] > 0
        n_frames, n_stars = len(table.instrument), len(table.vt)
        seen = np.bincount(table.star[used], minlength=n_stars)
        common = np.bincount(table.frame[used & (seen[table.star] > 1)], minlength=n_frames)
        component = components(table, used)
        ln_gain, ln_star = anchored(table, state, component, used)
        middle = np.log(np.median(np.exp(ln_gain), axis=0))
        bright = np.where(deviation < STEADY, np.abs(normalised * deviation), np.nan)
        # the median of chi^2 with one degree of freedom is 0.4549
        chi2 = median_by(table.frame, normalised**2, n_frames) / 0.4549
        with np.errstate(over="ignore"):
            star_flux = np.where(ln_star > -40.0, np.exp(np.minimum(ln_star + middle, 60.0)), np.nan)
        return GainFit(
            gain=np.exp(ln_gain - middle),
            response=tuple(tuple(map(float, c)) if a else () for c, a in zip(state.coefficients, active)),
            response_covariance=covariance,
            star_flux=star_flux,
            scatter=1.4826 * median_by(table.frame, bright, n_frames),
            chi2=np.where(common >= 3, chi2, np.nan),
            common=common,
            component=component,
            floor=state.floor,
            photon=state.photon,
            converged=state.converged,
        )


def _tint(table: StarTable, state: GainState, weight: SmallArray) -> float:
    """Scatter of the frames' colours beyond what the errors of their stars explain, from a fit with the weakest prior."""
    n_frames, reference = len(table.instrument), table.reference
    known = np.stack([np.bincount(table.frame, column, n_frames) for column in weight.T], axis=1)
    excess, count = 0.0, 0
    for c in range(table.channels):
        some = (known[:, c] > 0) & (known[:, reference] > 0)
        if c == reference or not some.any():
            continue
        variance = COLOUR_NOISE * (1.0 / known[some, c] + 1.0 / known[some, reference])
        colour = (state.ln_gain[:, c] - state.ln_gain[:, reference] - state.colour[table.night, c])[some]
        square = (colour * (1.0 + variance / state.tint**2)) ** 2  # what it was before the prior drew it in
        excess += float(np.sum(np.minimum(square, TINT_LIMIT**2 * variance) - variance))
        count += len(square)
    if not count:
        return state.tint
    return float(np.sqrt(np.clip(excess / count, COLOUR_PRIOR[0] ** 2, COLOUR_PRIOR[1] ** 2)))


def _bright_noise(
    table: StarTable, state: GainState, residual: SmallArray, variance: SmallArray, model: SmallArray
) -> tuple[float, FloatArray]:
    """The floor and the photon terms (instruments, channels) that explain the scatter of bright stars.

    residual : (n, channels) relative. variance : from the sky; infinite for what does not take part. model : expected flux, ADU.

    Squared scatter, less the sky's, against 1 / flux in bins of flux; a star's own mean takes part of the scatter of its few
    measurements away, which is given back.
    """
    number = table.instrument[table.frame]
    photon, rests = np.zeros_like(state.photon), []
    for k, c in np.ndindex(photon.shape):
        bright = np.flatnonzero((number == k) & (variance[:, c] < BRIGHT**2))
        seen = np.bincount(table.star[bright], minlength=len(table.vt))[table.star[bright]]
        bright, seen = bright[seen > 1], seen[seen > 1]
        if len(bright) < FEWEST_BRIGHT:
            continue
        spread = residual[bright, c] * np.sqrt(seen / (seen - 1.0))
        bins = np.array_split(np.argsort(model[bright, c], kind="stable"), NOISE_BINS)
        scatter = np.array([(1.4826 * np.median(np.abs(spread[some]))) ** 2 for some in bins])
        sky = np.array([np.median(variance[bright[some], c]) for some in bins])
        inverse = np.array([np.median(1.0 / model[bright[some], c]) for some in bins])
        design = np.stack([np.ones(NOISE_BINS), inverse], axis=1) / scatter[:, None]
        (rest, photon[k, c]), _ = nnls(design, (scatter - sky) / scatter)
        rests.append(rest)
    if not rests:
        return state.floor, photon
    return float(np.sqrt(np.clip(np.median(rests), FLOOR[0] ** 2, FLOOR[1] ** 2))), photon


def _scale(normalised: FloatArray) -> float:
    """Robust standard deviation of normalised residuals; 1 when there are none."""
    some = np.isfinite(normalised)
    return 1.4826 * float(np.median(np.abs(normalised[some]))) if some.any() else 1.0
