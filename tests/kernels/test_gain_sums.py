"""Sums over star measurements against slow twins, with data that are missing and frames that have no stars."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.kernels.gains import LINEAR, LOG, WIDE, gain_residuals, gain_sums, gain_weights

FRAMES, STARS, TERMS, SNR = 5, 7, 2, 10.0
INSTRUMENT = np.array([0, 1, 0, 1, 1])
COEFFICIENTS = np.array([[-0.1, -0.02], [-0.9, -0.9]])  # the second one falls to the least shape


@pytest.fixture(params=[1, 3])
def measured(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    rng, channels = np.random.default_rng(request.param), request.param
    frame = np.sort(rng.choice([0, 1, 3, 4], 40))  # the third frame has no stars
    flux = rng.lognormal(7.0, 1.0, (40, channels))
    flux[3], flux[4, 0], flux[5], flux[6, -1] = np.nan, -20.0, 1e-3, np.inf
    error = rng.uniform(1.0, 300.0, (40, channels))
    error[7], error[8, 0] = 0.0, np.nan
    return {
        "frame": frame,
        "star": rng.integers(0, STARS, 40),
        "flux": flux,
        "error": error,
        "rho2": rng.uniform(0.0, 1.0, 40),
        "ln_gain": rng.normal(0.0, 0.3, (FRAMES, channels)),
        "ln_star": rng.normal(7.0, 0.5, (STARS, channels)),
    }


def seen(m: dict[str, np.ndarray], form: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    residual, variance, model = (np.empty(m["flux"].shape, np.float32) for _ in range(3))
    of = (m["frame"], m["star"], m["flux"], m["error"], m["rho2"], INSTRUMENT, m["ln_gain"], m["ln_star"])
    gain_residuals(*of, COEFFICIENTS, form, SNR, residual, variance, model)
    return residual, variance, model


def shapes(m: dict[str, np.ndarray]) -> np.ndarray:
    r1, r2 = COEFFICIENTS[INSTRUMENT[m["frame"]]].T
    return np.maximum(1.0 + r1 * m["rho2"] + r2 * m["rho2"] ** 2, 0.05)


@pytest.mark.parametrize("form", [WIDE, LOG, LINEAR])
def test_residuals_are_those_of_the_model(measured: dict[str, np.ndarray], form: int) -> None:
    residual, variance, model = seen(measured, form)
    m, shape = measured, shapes(measured)
    for i, c in np.ndindex(residual.shape):
        flux, error = m["flux"][i, c], m["error"][i, c]
        expected = np.exp(m["ln_gain"][m["frame"][i], c] + m["ln_star"][m["star"][i], c]) * shape[i]
        assert model[i, c] == pytest.approx(expected, rel=1e-5)
        snr = (flux if form == WIDE else expected) / error if error > 0 and np.isfinite(flux) else 0.0
        if snr < SNR or (form == LOG and flux <= 0.05 * expected):
            assert residual[i, c] == 0.0 and variance[i, c] == np.inf
            continue
        ratio = flux / expected
        assert residual[i, c] == pytest.approx(ratio - 1.0 if form == LINEAR else np.log(ratio), rel=1e-4, abs=1e-6)
        assert variance[i, c] == pytest.approx(snr**-2, rel=1e-5)
    assert np.isfinite(variance).any() and np.isinf(variance).any()


@pytest.mark.parametrize("cut", [np.inf, 3.0])
def test_weights_are_inverse_variances_times_tukeys_biweight(measured: dict[str, np.ndarray], cut: float) -> None:
    residual, variance, model = seen(measured, LINEAR)
    photon = np.random.default_rng(4).uniform(0.0, 2.0, (2, residual.shape[1]))
    weight = np.empty_like(residual)
    gain_weights(measured["frame"], INSTRUMENT, residual, variance, model, photon, 0.01, cut, weight)
    total = variance + photon[INSTRUMENT[measured["frame"]]] / model + 0.01**2
    t = np.clip(np.abs(residual) / (np.sqrt(total) * cut), 0.0, 1.0)
    wanted = np.where(np.isfinite(variance), (1.0 - t * t) ** 2 / total, 0.0)
    np.testing.assert_allclose(weight, wanted, rtol=1e-4, atol=1e-6)
    assert (wanted > 0).any()


def test_sums_are_those_of_the_whole_design_matrix(measured: dict[str, np.ndarray]) -> None:
    m, (residual, variance, _) = measured, seen(measured, LINEAR)
    weight = np.where(np.isfinite(variance), 1.0 / variance, 0.0).astype(np.float32)
    channels = weight.shape[1]
    pairs, pair = np.unique(INSTRUMENT[m["frame"]] * STARS + m["star"], return_inverse=True)
    start = np.searchsorted(m["frame"], np.arange(FRAMES + 1))
    of_frame, of_star = np.zeros((FRAMES, channels, 2 + TERMS)), np.zeros((STARS, channels, 2))
    normal, right, of_pair = np.zeros((2, TERMS, TERMS)), np.zeros((2, TERMS)), np.zeros((len(pairs), channels, TERMS))
    cross = np.full(weight.size, np.nan)
    table = (m["frame"], m["star"], pair.astype(np.int32), m["rho2"], INSTRUMENT, COEFFICIENTS, start)
    gain_sums(*table, residual, weight, of_frame, normal, right, of_star, of_pair, cross)

    slope = np.stack([m["rho2"], m["rho2"] ** 2], axis=1) / shapes(m)[:, None]
    for c in range(channels):
        w, wr = weight[:, c].astype(float), weight[:, c].astype(float) * residual[:, c]
        rows = np.column_stack([w, wr, w[:, None] * slope])
        for f in range(FRAMES):
            here = m["frame"] == f
            np.testing.assert_allclose(of_frame[f, c], rows[here].sum(axis=0), rtol=1e-6, atol=1e-6)
            at = channels * start[f] + c * (start[f + 1] - start[f])
            np.testing.assert_array_equal(cross[at : at + here.sum()], weight[here, c])
        for s in range(STARS):
            np.testing.assert_allclose(of_star[s, c], rows[m["star"] == s, :2].sum(axis=0), rtol=1e-6, atol=1e-6)
        for p in range(len(pairs)):
            np.testing.assert_allclose(of_pair[p, c], rows[pair == p, 2:].sum(axis=0), rtol=1e-6, atol=1e-6)
    number, total, pull = INSTRUMENT[m["frame"]], weight.sum(axis=1), (weight * residual).sum(axis=1)
    for k in range(2):
        here = number == k
        np.testing.assert_allclose(normal[k], (slope[here].T * total[here]) @ slope[here], rtol=1e-5)
        np.testing.assert_allclose(right[k], slope[here].T @ pull[here], rtol=1e-4, atol=1e-4)
