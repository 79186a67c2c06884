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

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.sparse.csgraph import connected_components

from zemosaic.imaging.patches import patches
from zemosaic.imaging.response import RADIAL_TERMS, is_significant, radial_powers
from zemosaic.imaging.schur import TwoBlockSystem
from zemosaic.imaging.startable import StarTable, median_by

__all__ = ["GainFit", "fit_gains"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MIN_SNR = 10.0  # expected S/N of a measurement that takes part
FLOOR = (0.003, 0.05)  # relative error of the brightest stars, least and most: variables, PSF; the data choose between
BRIGHT = 0.02  # relative error from the sky below which a measurement tells of the other errors
STEADY = 0.03  # expected error below which a star tells of uneven cloud
FEWEST_BRIGHT = 60  # for the noise of bright stars of an instrument and channel
NOISE_BINS = 4
RESPONSE_PRIOR = 0.3  # standard deviation of r1, r2
# of ln(a_c / a_green) about the mean of instrument and night, least and most: haze is nearly grey; the data choose between
COLOUR_PRIOR = (0.001, 0.02)
# variance of a frame's colour over that from its own stars' errors: 1.2 to 1.8 where all have one colour
COLOUR_NOISE = 1.5
CATALOGUE_PRIOR = 0.08 * np.log(10.0) / 2.5  # 0.08 mag between VT and green flux
FREE_PRIOR = 10.0  # of ln a, ln S: only removes exact degeneracies
# the first one is plain least squares: telescopes whose fluxes differ by 3 and that share few of their stars start so far from
# each other that robust weights would take what they share for outliers
STEPS = (
    ("wide", np.inf),
    ("log", 6.0),
    ("log", 4.0),
    ("linear", 4.685),
    ("linear", 4.685),
    ("linear", 4.685),
    ("linear", 4.685),
)
TINT_LIMIT = 5.0  # sigma, beyond which a frame's colour counts no more
TINT_STEP = 2  # steps that are left when the colours of frames are looked at
ROUGH, FINAL = 1e-6, 1e-8  # tolerances of the equations of a step that others follow, and of the last
MIN_ANCHORS = 3  # catalogue stars that tie a group of frames without common stars to the others


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


@dataclass(frozen=True)
class _State:
    ln_gain: FloatArray  # (frames, channels)
    ln_star: FloatArray  # (stars, channels)
    coefficients: FloatArray  # (instruments, RADIAL_TERMS)
    colour: FloatArray  # (nights, channels)
    zero: float
    floor: float
    photon: FloatArray  # (instruments, channels) ADU
    tint: float = COLOUR_PRIOR[1]  # of the colours of frames
    converged: bool = True


def fit_gains(table: StarTable, *, with_response: bool = True) -> GainFit:
    """Solve for gains and response; a response that is not significant is taken as flat and the gains solved again."""
    n_instruments = int(table.instrument.max()) + 1
    active = np.full(n_instruments, with_response)
    powers = radial_powers(table.rho2)
    patch = patches(table.frame, table.star, len(table.instrument), len(table.vt))
    state = _iterate(table, powers, _start(table, n_instruments), active, patch, STEPS)
    covariance = _response_covariance(table, powers, state, patch)
    for k in range(n_instruments):
        active[k] = with_response and is_significant(state.coefficients[k], covariance[k])
    if with_response and not active.all():
        flat = replace(state, coefficients=np.where(active[:, None], state.coefficients, 0.0))
        state = _iterate(table, powers, flat, active, patch, STEPS[-3:])
    return _result(table, powers, state, active, covariance)


def _start(table: StarTable, n_instruments: int) -> _State:
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
    return _State(
        ln_gain,
        np.nan_to_num(ln_star, nan=-50.0),  # below any flux: takes part in nothing
        np.zeros((n_instruments, RADIAL_TERMS)),
        np.zeros((nights, table.channels)),
        start_zero,
        FLOOR[1],
        np.zeros((n_instruments, table.channels)),
    )


def _iterate(
    table: StarTable,
    powers: FloatArray,
    state: _State,
    active: BoolArray,
    patch: IntArray,
    steps: tuple[tuple[str, float], ...],
) -> _State:
    """Robust Gauss-Newton steps; each re-reads residuals and weights from the current state."""
    for left, (form, cut) in zip(reversed(range(len(steps))), steps):
        residual, variance, expected = _residuals(table, powers, state, form)
        takes_part = expected >= MIN_SNR
        floor, photon = _bright_noise(table, powers, state, residual, np.where(takes_part, variance, np.inf))
        state = replace(state, floor=floor, photon=photon)
        variance = variance + _excess(table, powers, state)
        weight = np.where(takes_part, _tukey(residual / np.sqrt(variance), cut) / variance, 0.0)
        residual, tolerance = np.where(takes_part, residual, 0.0), ROUGH if left else FINAL
        state = _step(table, powers, state, active, residual, weight, patch, tolerance)
        if left == TINT_STEP:
            state = replace(state, tint=_tint(table, state, weight))
    return state


def _tint(table: StarTable, state: _State, weight: FloatArray) -> float:
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


def _model(table: StarTable, powers: FloatArray, state: _State) -> tuple[FloatArray, FloatArray]:
    """Expected fluxes (n, channels) and the response (n,)."""
    shape = 1.0 + np.einsum("nk,nk->n", powers, state.coefficients[table.instrument[table.frame]])
    shape = np.maximum(shape, 0.05)
    return np.exp(state.ln_gain[table.frame] + state.ln_star[table.star]) * shape[:, None], shape


def _residuals(
    table: StarTable, powers: FloatArray, state: _State, form: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Relative residuals, their variance from measurement, and the expected S/N (0: no data), each (n, channels)."""
    model, _ = _model(table, powers, state)
    usable = np.isfinite(table.flux) & (table.error > 0)
    if form == "wide":  # nobody knows yet what to expect
        usable &= table.flux > MIN_SNR * table.error
        residual = np.log(np.where(usable, table.flux / model, 1.0))
        relative = np.where(usable, table.error / np.where(usable, table.flux, 1.0), 1.0)
        return residual, relative**2, np.where(usable, 1.0 / relative, 0.0)
    if form == "log":
        usable &= table.flux > 0.05 * model
        residual = np.log(np.where(usable, table.flux / model, 1.0))
    else:
        residual = np.where(usable, table.flux / model - 1.0, 0.0)
    relative = np.where(usable, table.error / model, 1.0)
    return residual, relative**2, np.where(usable, 1.0 / relative, 0.0)


def _bright_noise(
    table: StarTable, powers: FloatArray, state: _State, residual: FloatArray, variance: FloatArray
) -> tuple[float, FloatArray]:
    """The floor and the photon terms (instruments, channels) that explain the scatter of bright stars.

    residual : (n, channels) relative. variance : from the sky; infinite for what does not take part.

    Squared scatter, less the sky's, against 1 / flux in bins of flux; a star's own mean takes part of the scatter of its few
    measurements away, which is given back.
    """
    model, _ = _model(table, powers, state)
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


def _excess(table: StarTable, powers: FloatArray, state: _State) -> FloatArray:
    """Relative variance (n, channels) beside the sky's: photons and the floor."""
    model, _ = _model(table, powers, state)
    return state.photon[table.instrument[table.frame]] / model + state.floor**2


def _tukey(normalised: FloatArray, cut: float) -> FloatArray:
    """Tukey's biweight."""
    t = np.clip(np.abs(normalised) / cut, 0.0, 1.0)
    result: FloatArray = (1.0 - t * t) ** 2
    return result


def _own_size(state: _State) -> int:
    return state.ln_gain.size + state.coefficients.size + state.colour.size + 1


def _system(
    table: StarTable,
    powers: FloatArray,
    state: _State,
    active: BoolArray,
    residual: FloatArray,
    weight: FloatArray,
    patch: IntArray,
) -> tuple[TwoBlockSystem, FloatArray, FloatArray]:
    """Normal equations of one Gauss-Newton step: the system and both right-hand sides.

    Own unknowns: ln a (frame, channel), coefficients of F, colour, zero. Sums are taken over the measurements as they come: a
    matrix of all derivatives would need 300 bytes for each.
    """
    slope = powers / _model(table, powers, state)[1][:, None]
    own, right_own = _own_sums(table, state, residual, weight, slope)
    cross, shared, right_shared = _star_sums(table, state, residual, weight, slope)
    prior, prior_right = _priors(table, state, active)
    anchor_weight, anchor_residual = _anchors(table, state)
    size, n_stars = _own_size(state), len(table.vt)
    reference = np.arange(n_stars) * table.channels + table.reference
    last = np.full(n_stars, size - 1)
    zero = sp.csr_array(([float(anchor_weight.sum())], ([size - 1], [size - 1])), shape=own.shape)
    zero_cross = sp.csr_array((-anchor_weight, (last, reference)), shape=cross.shape)
    shared[reference] += anchor_weight
    right_shared[reference] += anchor_weight * anchor_residual
    right_own = right_own + prior_right
    right_own[-1] -= float(anchor_weight @ anchor_residual)
    together = _coarse(patch, table.channels, size)
    system = TwoBlockSystem(own + prior + zero, cross + zero_cross, sp.diags_array(shared), coarse=together)
    return system, right_own, right_shared


def _own_sums(
    table: StarTable, state: _State, residual: FloatArray, weight: FloatArray, slope: FloatArray
) -> tuple[sp.csr_array, FloatArray]:
    """What the measurements say of the own unknowns: normal matrix and right-hand side."""
    n_frames, channels = state.ln_gain.shape
    size, first, number = _own_size(state), state.ln_gain.size, table.instrument[table.frame]
    rows, columns, values, right = [], [], [], np.zeros(size)

    def add(row: IntArray, column: IntArray, value: NDArray[np.generic]) -> None:
        rows.append(row)
        columns.append(column)
        values.append(value)

    for c in range(channels):
        gain = np.arange(n_frames) * channels + c
        add(gain, gain, np.bincount(table.frame, weight[:, c], n_frames))
        right[gain] = np.bincount(table.frame, weight[:, c] * residual[:, c], n_frames)
        for t in range(RADIAL_TERMS):
            own = first + table.instrument * RADIAL_TERMS + t
            mixed = np.bincount(table.frame, weight[:, c] * slope[:, t], n_frames)
            add(gain, own, mixed)
            add(own, gain, mixed)
    total, pull = weight.sum(axis=1), np.sum(weight * residual, axis=1)
    telescopes = np.arange(len(state.coefficients)) * RADIAL_TERMS + first
    for t in range(RADIAL_TERMS):
        right[telescopes + t] = np.bincount(number, pull * slope[:, t], len(telescopes))
        for s in range(RADIAL_TERMS):
            both = np.bincount(number, total * slope[:, t] * slope[:, s], len(telescopes))
            add(telescopes + t, telescopes + s, both)
    place = (np.concatenate(rows), np.concatenate(columns))
    return sp.csr_array((np.concatenate(values), place), shape=(size, size)), right


def _star_sums(
    table: StarTable, state: _State, residual: FloatArray, weight: FloatArray, slope: FloatArray
) -> tuple[sp.csr_array, FloatArray, FloatArray]:
    """What the measurements say of the stars: cross matrix, diagonal and right-hand side."""
    channels, n_stars = table.channels, len(table.vt)
    size, first = _own_size(state), state.ln_gain.size
    pairs, which = np.unique(table.instrument[table.frame] * n_stars + table.star, return_inverse=True)
    telescope, star = np.divmod(pairs, n_stars)
    cross = sp.csr_array((size, n_stars * channels))
    shared, right = np.zeros(n_stars * channels), np.zeros(n_stars * channels)
    for c in range(channels):
        here = np.arange(n_stars) * channels + c
        shared[here] = np.bincount(table.star, weight[:, c], n_stars) + FREE_PRIOR**-2
        right[here] = np.bincount(table.star, weight[:, c] * residual[:, c], n_stars)
        place = (table.frame * channels + c, table.star * channels + c)
        cross = cross + sp.csr_array((weight[:, c], place), shape=cross.shape)
        for t in range(RADIAL_TERMS):
            value = np.bincount(which, weight[:, c] * slope[:, t], len(pairs))
            place = (first + telescope * RADIAL_TERMS + t, star * channels + c)
            cross = cross + sp.csr_array((value, place), shape=cross.shape)
    return cross, shared, right


def _coarse(patch: IntArray, channels: int, size: int) -> sp.csr_array:
    """(size, patches * channels): the gains of a patch in one channel together."""
    rows = np.arange(len(patch) * channels)
    columns = (patch[:, None] * channels + np.arange(channels)).ravel()
    return sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, int(columns.max()) + 1))


def _priors(table: StarTable, state: _State, active: BoolArray) -> tuple[sp.csr_array, FloatArray]:
    """Precision matrix and right-hand side of the priors on the own unknowns, about the current state."""
    channels, reference, n_frames = table.channels, table.reference, len(table.instrument)
    size, n_gain = _own_size(state), state.ln_gain.size
    tight = np.where(active, RESPONSE_PRIOR, 1e-6)
    precision = np.full(size, FREE_PRIOR**-2)
    precision[n_gain : n_gain + state.coefficients.size] = np.repeat(tight**-2, RADIAL_TERMS)
    value = np.concatenate([np.zeros(n_gain), state.coefficients.ravel(), np.zeros(state.colour.size + 1)])
    rows, columns, entries, residuals = [], [], [], []
    for k, c in enumerate(c for c in range(channels) if c != reference):
        row = k * n_frames + np.arange(n_frames)
        gain = np.arange(n_frames) * channels
        night = n_gain + state.coefficients.size + table.night * channels + c
        rows += [row, row, row]
        columns += [gain + c, gain + reference, night]
        entries += [np.ones(n_frames), -np.ones(n_frames), -np.ones(n_frames)]
        residuals.append(state.colour[table.night, c] - (state.ln_gain[:, c] - state.ln_gain[:, reference]))
    if not rows:
        return sp.csr_array(sp.diags_array(precision)), -precision * value
    colour = sp.csr_array(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(residuals) * n_frames, size),
    )
    right = colour.T @ np.concatenate(residuals) / state.tint**2 - precision * value
    return sp.csr_array(sp.diags_array(precision) + colour.T @ colour / state.tint**2), right


def _anchors(table: StarTable, state: _State) -> tuple[FloatArray, FloatArray]:
    """Weight and residual (stars,) of ln S = zero - VT ln(10) / 2.5 for stars with a catalogue magnitude."""
    ln_star = state.ln_star[:, table.reference]
    known = np.isfinite(table.vt) & (ln_star > -40.0)
    residual = np.where(known, state.zero - np.nan_to_num(table.vt) * np.log(10.0) / 2.5 - ln_star, 0.0)
    weight = np.where(known, _tukey(residual / CATALOGUE_PRIOR, 6.0) / CATALOGUE_PRIOR**2, 0.0)
    return weight, residual


def _step(
    table: StarTable,
    powers: FloatArray,
    state: _State,
    active: BoolArray,
    residual: FloatArray,
    weight: FloatArray,
    patch: IntArray,
    tolerance: float,
) -> _State:
    system, right_own, right_shared = _system(table, powers, state, active, residual, weight, patch)
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


def _weights(table: StarTable, powers: FloatArray, state: _State) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Final residuals, their standard deviation and weights (n, channels); NaN and weight 0 where nothing took part."""
    residual, variance, expected = _residuals(table, powers, state, "linear")
    takes_part = expected >= MIN_SNR
    total = variance + _excess(table, powers, state)
    weight = np.where(takes_part, _tukey(residual / np.sqrt(total), STEPS[-1][1]) / total, 0.0)
    return np.where(takes_part, residual, np.nan), np.sqrt(total), weight


def _response_covariance(table: StarTable, powers: FloatArray, state: _State, patch: IntArray) -> FloatArray:
    """Covariance (instruments, terms, terms) of the response coefficients with everything else free."""
    residual, deviation, weight = _weights(table, powers, state)
    n_instruments = len(state.coefficients)
    active = np.ones(n_instruments, bool)
    system = _system(table, powers, state, active, np.zeros_like(weight), weight, patch)[0]
    scale = max(1.0, _scale(residual / deviation))
    first = state.ln_gain.size
    covariance = np.zeros((n_instruments, RADIAL_TERMS, RADIAL_TERMS))
    for k in range(n_instruments):
        columns = first + k * RADIAL_TERMS + np.arange(RADIAL_TERMS)
        for t, column in enumerate(columns):
            unit = np.zeros(_own_size(state))
            unit[column] = scale**2
            covariance[k, :, t] = system.reduced_solve(unit, tolerance=ROUGH)[0][columns]
    return 0.5 * (covariance + covariance.transpose(0, 2, 1))


def _scale(normalised: FloatArray) -> float:
    """Robust standard deviation of normalised residuals; 1 when there are none."""
    some = np.isfinite(normalised)
    return 1.4826 * float(np.median(np.abs(normalised[some]))) if some.any() else 1.0


def _result(table: StarTable, powers: FloatArray, state: _State, active: BoolArray, covariance: FloatArray) -> GainFit:
    residual, deviation, weight = (a[:, table.reference] for a in _weights(table, powers, state))
    n_frames, n_stars = len(table.instrument), len(table.vt)
    used = weight > 0
    seen = np.bincount(table.star[used], minlength=n_stars)
    common = np.bincount(table.frame[used & (seen[table.star] > 1)], minlength=n_frames)
    component = _components(table, used, n_frames, n_stars)
    ln_gain, ln_star = _anchored(table, state, component, used)
    middle = np.log(np.median(np.exp(ln_gain), axis=0))
    bright = np.where(deviation < STEADY, np.abs(residual), np.nan)
    # the median of chi^2 with one degree of freedom is 0.4549
    chi2 = median_by(table.frame, (residual / deviation) ** 2, n_frames) / 0.4549
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


def _components(table: StarTable, used: BoolArray, n_frames: int, n_stars: int) -> IntArray:
    """Which frames are linked by stars that took part."""
    frame, star = table.frame[used], n_frames + table.star[used]
    graph = sp.csr_array((np.ones(len(frame)), (frame, star)), shape=(n_frames + n_stars,) * 2)
    labels = connected_components(graph, directed=False)[1][:n_frames]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _anchored(table: StarTable, state: _State, component: IntArray, used: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Components without catalogue stars float: their median gain is set to that of the anchored ones (or 1)."""
    known = used & np.isfinite(table.vt[table.star])
    pairs = np.unique(np.stack([component[table.frame[known]], table.star[known]]), axis=1)[0]
    anchors = np.bincount(pairs, minlength=int(component.max()) + 1)
    largest = int(np.bincount(component).argmax())
    held = anchors >= MIN_ANCHORS
    held[largest] = True
    if not (anchors[largest] >= MIN_ANCHORS):
        held[:] = False
        held[largest] = True
    centre = np.median(state.ln_gain[held[component]], axis=0)
    ln_gain, ln_star = state.ln_gain.copy(), state.ln_star.copy()
    for k in np.flatnonzero(~held):
        frames = component == k
        shift = centre - np.median(ln_gain[frames], axis=0)
        ln_gain[frames] += shift
        ln_star[np.unique(table.star[used & frames[table.frame]])] -= shift
    return ln_gain, ln_star
