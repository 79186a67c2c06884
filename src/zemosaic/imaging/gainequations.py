"""Normal equations of the gains: ln a, the response, colours of nights and a zero point, with the stars' ln S eliminated.

Sums are taken over the measurements as they come (`kernels.gains`): a matrix of all derivatives would need 300 bytes for each.
What is tied to what does not change from step to step: the cross matrix is laid out once and filled again in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zemosaic.imaging.patches import patches
from zemosaic.imaging.response import RADIAL_TERMS
from zemosaic.imaging.schur import Modes, TwoBlockSystem
from zemosaic.imaging.startable import StarTable
from zemosaic.kernels.gains import gain_sums

__all__ = ["Equations", "GainState", "tukey"]

FloatArray = NDArray[np.float64]
SmallArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

RESPONSE_PRIOR = 0.3  # standard deviation of r1, r2
CATALOGUE_PRIOR = 0.08 * np.log(10.0) / 2.5  # 0.08 mag between VT and green flux
FREE_PRIOR = 10.0  # of ln a, ln S: only removes exact degeneracies


@dataclass(frozen=True)
class GainState:
    """Where the iterations are."""

    ln_gain: FloatArray  # (frames, channels)
    ln_star: FloatArray  # (stars, channels)
    coefficients: FloatArray  # (instruments, RADIAL_TERMS)
    colour: FloatArray  # (nights, channels)
    zero: float
    floor: float
    photon: FloatArray  # (instruments, channels) ADU
    tint: float  # of the colours of frames
    converged: bool = True

    @property
    def own_size(self) -> int:
        """Unknowns beside the stars."""
        return self.ln_gain.size + self.coefficients.size + self.colour.size + 1


class Equations:
    """One Gauss-Newton step after the other; own unknowns: ln a (frame, channel), coefficients of F, colour, zero.

    table : its measurements ordered by frame.
    """

    def __init__(self, table: StarTable, n_instruments: int, n_nights: int) -> None:
        self._table, self._telescopes = table, n_instruments
        n_frames, n_stars, channels = len(table.instrument), len(table.vt), table.channels
        self._start = np.searchsorted(table.frame, np.arange(n_frames + 1))
        pairs, number = np.unique(table.instrument[table.frame] * n_stars + table.star, return_inverse=True)
        self._pair = number.astype(np.int32)
        self._n_pairs = len(pairs)
        telescope, star = np.divmod(pairs, n_stars)
        self._telescope_start = np.searchsorted(telescope, np.arange(n_instruments + 1))
        self._n_gain = n_frames * channels
        self._size = self._n_gain + n_instruments * RADIAL_TERMS + n_nights * channels + 1
        self._cross = self._laid_out(star.astype(np.int32))
        patch = patches(table.frame, table.star, n_frames, n_stars)
        self._together = _together(patch, channels, self._size)

    def _laid_out(self, star: NDArray[np.int32]) -> sp.csr_array:
        """The cross matrix (own, stars * channels) with its places: a weight per measurement and channel, slopes per pair of
        instrument and star, anchors.
        """
        table, channels = self._table, self._table.channels
        counts = np.diff(self._start)
        measured: NDArray[np.int32] = np.zeros(len(table.frame) * channels, np.int32)
        frame = np.repeat(np.arange(len(counts)), counts)
        first = channels * self._start[frame] + np.arange(len(frame)) - self._start[frame]
        for c in range(channels):
            measured[first + c * counts[frame]] = table.star * channels + c
        places = [measured]
        lengths = [np.repeat(counts, channels)]
        for k in range(self._telescopes):
            here = star[self._telescope_start[k] : self._telescope_start[k + 1]]
            row = (here[:, None] * channels + np.arange(channels)).ravel().astype(np.int32)
            places += [row] * RADIAL_TERMS
            lengths.append(np.full(RADIAL_TERMS, len(row)))
        n_stars = len(table.vt)
        nights = self._size - 1 - self._n_gain - self._telescopes * RADIAL_TERMS
        lengths += [np.zeros(nights, np.int64), np.array([n_stars])]
        places.append(np.arange(n_stars, dtype=np.int32) * channels + table.reference)
        starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        columns = np.concatenate(places)
        return sp.csr_array((np.zeros(len(columns)), columns, starts), shape=(self._size, n_stars * channels))

    @property
    def _n_gain_values(self) -> int:
        return len(self._table.frame) * self._table.channels

    def system(
        self, state: GainState, active: BoolArray, residual: SmallArray, weight: SmallArray
    ) -> tuple[TwoBlockSystem, FloatArray, FloatArray]:
        """The system of one step and both right-hand sides; the next call fills the same matrix again.

        active : (instruments,) whose response is free. residual, weight : (n, channels), weight 0 takes no part.
        """
        table, channels, n_stars = self._table, self._table.channels, len(self._table.vt)
        of_frame = np.zeros((len(table.instrument), channels, 2 + RADIAL_TERMS))
        normal, right = (
            np.zeros((self._telescopes, RADIAL_TERMS, RADIAL_TERMS)),
            np.zeros((self._telescopes, RADIAL_TERMS)),
        )
        of_star, of_pair = np.zeros((n_stars, channels, 2)), np.zeros((self._n_pairs, channels, RADIAL_TERMS))
        measured = (table.frame, table.star, self._pair, table.rho2, table.instrument, state.coefficients, self._start)
        sums = (of_frame, normal, right, of_star, of_pair, self._cross.data[: self._n_gain_values])
        gain_sums(*measured, residual, weight, *sums)
        prior, prior_right = _priors(table, state, active)
        anchor_weight, anchor_residual = _anchors(table, state)
        self._fill(of_pair, anchor_weight)
        shared, right_shared = of_star[..., 0] + FREE_PRIOR**-2, of_star[..., 1].copy()
        shared[:, table.reference] += anchor_weight
        right_shared[:, table.reference] += anchor_weight * anchor_residual
        right_own = prior_right
        right_own[: self._n_gain] += of_frame[..., 1].ravel()
        right_own[self._n_gain : self._n_gain + right.size] += right.ravel()
        right_own[-1] -= float(anchor_weight @ anchor_residual)
        own = self._own(of_frame, normal, float(anchor_weight.sum())) + prior
        # a coarse space made with the weights of an earlier step takes up to ten times the steps
        system = TwoBlockSystem(own, self._cross, shared.ravel(), coarse=Modes(self._together, order="MMD_AT_PLUS_A"))
        return system, right_own, right_shared.ravel()

    def _fill(self, of_pair: FloatArray, anchor_weight: FloatArray) -> None:
        """Slopes and anchors into the cross matrix."""
        at = self._n_gain_values
        for k in range(self._telescopes):
            here = of_pair[self._telescope_start[k] : self._telescope_start[k + 1]]
            for t in range(RADIAL_TERMS):
                values = here[..., t].ravel()
                self._cross.data[at : at + len(values)] = values
                at += len(values)
        self._cross.data[at:] = -anchor_weight

    def _own(self, of_frame: FloatArray, normal: FloatArray, zero: float) -> sp.csr_array:
        """What measurements and anchors say of the own unknowns."""
        channels, telescope = self._table.channels, self._table.instrument
        gain = np.arange(self._n_gain)
        sensor = self._n_gain + np.arange(normal.shape[0] * RADIAL_TERMS)
        rows, columns, values = [gain], [gain], [of_frame[..., 0].ravel()]
        for t in range(RADIAL_TERMS):
            own = np.repeat(self._n_gain + telescope * RADIAL_TERMS + t, channels)
            mixed = of_frame[..., 2 + t].ravel()
            rows += [gain, own]
            columns += [own, gain]
            values += [mixed, mixed]
        block = sensor.reshape(-1, RADIAL_TERMS)
        rows.append(np.broadcast_to(block[:, :, None], normal.shape).ravel())
        columns.append(np.broadcast_to(block[:, None, :], normal.shape).ravel())
        values.append(normal.ravel())
        last = np.array([self._size - 1])
        place = (np.concatenate([*rows, last]), np.concatenate([*columns, last]))
        return sp.csr_array((np.concatenate([*values, [zero]]), place), shape=(self._size, self._size))


def _together(patch: IntArray, channels: int, size: int) -> sp.csr_array:
    """(size, patches * channels): the gains of a patch in one channel together."""
    rows = np.arange(len(patch) * channels)
    columns = (patch[:, None] * channels + np.arange(channels)).ravel()
    return sp.csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, int(columns.max()) + 1))


def _priors(table: StarTable, state: GainState, active: BoolArray) -> tuple[sp.csr_array, FloatArray]:
    """Precision matrix and right-hand side of the priors on the own unknowns, about the current state."""
    channels, reference, n_frames = table.channels, table.reference, len(table.instrument)
    size, n_gain = state.own_size, state.ln_gain.size
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


def _anchors(table: StarTable, state: GainState) -> tuple[FloatArray, FloatArray]:
    """Weight and residual (stars,) of ln S = zero - VT ln(10) / 2.5 for stars with a catalogue magnitude."""
    ln_star = state.ln_star[:, table.reference]
    known = np.isfinite(table.vt) & (ln_star > -40.0)
    residual = np.where(known, state.zero - np.nan_to_num(table.vt) * np.log(10.0) / 2.5 - ln_star, 0.0)
    weight = np.where(known, tukey(residual / CATALOGUE_PRIOR, 6.0) / CATALOGUE_PRIOR**2, 0.0)
    return weight, residual


def tukey(normalised: FloatArray, cut: float) -> FloatArray:
    """Tukey's biweight."""
    t = np.clip(np.abs(normalised) / cut, 0.0, 1.0)
    result: FloatArray = (1.0 - t * t) ** 2
    return result
