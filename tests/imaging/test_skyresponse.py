"""The response from the sky: a wrong one found by the stars is put right, and a sky of its own curvature misleads little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_skyfit import PANELS, RESPONSE, SPACING, observe

from zemosaic.imaging.response import response
from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import fit_sky
from zemosaic.imaging.skyresponse import CERTAIN, Sensors, refine_response, shows_response, with_sensors

RHO2 = np.linspace(0.0, 1.0, 11)
TRUE = np.array([RESPONSE])
STARS = 0.02**2 * np.array([[[1.0, -0.9], [-0.9, 1.0]]])  # 0.9 % in the corners


def error(coefficients: np.ndarray) -> float:
    return float(np.sqrt(np.mean((response(coefficients.tolist(), RHO2) - response(RESPONSE, RHO2)) ** 2)))


NONE_RAISED = np.zeros(1, bool)


def flat(response: np.ndarray) -> Sensors:
    return Sensors(response, np.zeros(len(response)))


def refine(cells: SkyCells, gain: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    instrument = np.zeros(len(gain), int)
    divided = with_sensors(cells, instrument, flat(TRUE), flat(wrong))
    fit = fit_sky(divided, gain, SPACING)
    found, known = refine_response(
        divided, fit, gain, SPACING, instrument, flat(wrong), wrong, STARS, raised=NONE_RAISED
    )
    return found.response, known


@pytest.mark.parametrize(("gradient", "left"), [(0.2, 0.001), (0.05, 0.004)])
def test_a_wrong_response_is_put_right(gradient: float, left: float) -> None:
    night = observe(32, PANELS, gradient=gradient, seed=21)
    wrong = TRUE + np.array([[-0.015, 0.03]])
    refined, covariance = refine(night.cells, night.gain, wrong)
    assert error(wrong[0]) > 0.006
    assert error(refined[0]) < left
    assert np.sqrt(covariance.sum()) < 0.5 * np.sqrt(STARS.sum())


def test_a_right_response_stays_although_every_sky_is_curved() -> None:
    """0.1 % of curvature in every sky, always of the same sign."""
    night = observe(32, PANELS, seed=22)
    rho2 = night.cells.u**2 + night.cells.v**2
    curved = replace(night.cells, value=night.cells.value + 0.9 * rho2[:, None])
    refined, covariance = refine(curved, night.gain, TRUE)
    assert error(refined[0]) < 0.002
    assert abs(refined.sum() - TRUE.sum()) < 3 * np.sqrt(covariance.sum())


IGNORANT = np.array([[[0.15**2, -0.9 * 0.15**2], [-0.9 * 0.15**2, 0.15**2]]])  # stars that know the corners to 7 %


def found_by_sky(cells: SkyCells, gain: np.ndarray) -> tuple[np.ndarray, bool]:
    """Coefficients that the sky finds in cells of one telescope, in two rounds, and whether they are believed."""
    instrument, nothing = np.zeros(len(gain), int), np.zeros((1, 2))
    found = nothing
    for _ in range(2):
        divided = with_sensors(cells, instrument, flat(nothing), flat(found))
        fit = fit_sky(divided, gain, SPACING)
        sensors, known = refine_response(
            divided, fit, gain, SPACING, instrument, flat(found), nothing, IGNORANT, raised=NONE_RAISED
        )
        found = sensors.response
    return found[0], shows_response(found[0], known[0])


def test_a_vignetting_that_few_stars_do_not_show_is_seen_in_the_sky() -> None:
    night = observe(32, PANELS, gradient=0.2, seed=21)
    raw = with_sensors(night.cells, np.zeros(32, int), flat(TRUE), flat(np.zeros((1, 2))))
    found, believed = found_by_sky(raw, night.gain)
    assert believed and error(found) < 0.005
    assert not found_by_sky(night.cells, night.gain)[1]  # a flat sensor


def test_what_skies_have_in_common_and_light_that_grows_outwards_is_no_vignetting() -> None:
    known = 0.005**2 * np.array([[1.0, -0.9], [-0.9, 1.0]])
    assert shows_response(np.array([-0.1, -0.02]), known)
    assert not shows_response(np.array([-0.02, 0.0]), known)
    assert not shows_response(np.array([0.1, 0.04]), known)
    assert not shows_response(np.array([-0.1, 0.15]), known)
    assert not shows_response(np.array([-0.1, -0.02]), 1000 * known)


def test_two_instruments_are_told_apart() -> None:
    night = observe(32, PANELS, seed=23)
    instrument = np.arange(32) // 16
    before = np.vstack([TRUE, TRUE])
    wrong = before + np.array([[-0.01, 0.02], [0.01, -0.015]])
    divided = with_sensors(night.cells, instrument, flat(before), flat(wrong))
    fit = fit_sky(divided, night.gain, SPACING)
    stars = np.repeat(STARS, 2, axis=0)
    refined, _ = refine_response(
        divided, fit, night.gain, SPACING, instrument, flat(wrong), wrong, stars, raised=np.zeros(2, bool)
    )
    assert error(refined.response[0]) < 0.0015 and error(refined.response[1]) < 0.0015


@pytest.mark.parametrize("pedestal", [0.0, 250.0, 800.0])
def test_a_level_that_is_there_without_light_is_told_from_the_response(pedestal: float) -> None:
    """One of two telescopes has a pedestal below a sky of 900 ADU; the stars know both responses to 0.4 %."""
    night = observe(32, PANELS, gradient=0.2, seed=26)
    instrument, true = np.arange(32) // 16, np.vstack([TRUE, TRUE])
    raised = Sensors(true, np.array([0.0, pedestal]))
    cells = with_sensors(night.cells, instrument, raised, flat(true))
    stars, covariance = true + np.array([[0.003, -0.002], [-0.004, 0.006]]), np.repeat(0.2 * STARS, 2, axis=0)
    sensors = flat(true)
    for _ in range(5):
        before = sensors
        fit = fit_sky(cells, night.gain, SPACING)
        sensors, _ = refine_response(
            cells, fit, night.gain, SPACING, instrument, before, stars, covariance, raised=np.ones(2, bool)
        )
        cells = with_sensors(cells, instrument, before, sensors)
    assert sensors.pedestal[0] == 0.0
    assert sensors.pedestal[1] == pytest.approx(pedestal, abs=0.06 * pedestal)  # 0.5 of its error, 28 ADU of 250
    assert 0.0 < CERTAIN * sensors.pedestal_error[1] < pedestal or not pedestal
    assert error(sensors.response[0]) < 0.002 and error(sensors.response[1]) < 0.002


def pedestal_told(stars: np.ndarray) -> float:
    """Of 12 frames without a pedestal under skies that hardly change, by stars that claim to know the corners to 0.2 %."""
    night = observe(12, PANELS, gradient=0.02, seed=31)
    cells, instrument, sensors = night.cells, np.zeros(12, int), flat(TRUE)
    for _ in range(3):
        before = sensors
        fit = fit_sky(cells, night.gain, SPACING)
        sensors, _ = refine_response(
            cells, fit, night.gain, SPACING, instrument, before, stars, 0.05 * STARS, raised=np.ones(1, bool)
        )
        cells = with_sensors(cells, instrument, before, sensors)
    return float(sensors.pedestal[0])


def test_no_pedestal_is_told_of_constant_skies_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stars that are wrong by ten times what they say make one of more than two errors, which is not believed."""
    wrong = TRUE + np.array([[-0.02, 0.0]])
    assert pedestal_told(TRUE) == pedestal_told(wrong) == 0.0
    monkeypatch.setattr("zemosaic.imaging.skyresponse.CERTAIN", 2.0)
    assert pedestal_told(wrong) > 50.0


def test_changing_the_sensor_and_back_changes_nothing() -> None:
    night = observe(2, PANELS[:1], seed=24)
    instrument = np.zeros(2, int)
    other = TRUE + 0.05
    one, two = Sensors(TRUE, np.array([3.0])), Sensors(other, np.array([20.0]))
    there = with_sensors(night.cells, instrument, one, two)
    assert np.abs(there.value - night.cells.value).max() > 10
    back = with_sensors(there, instrument, two, one)
    np.testing.assert_allclose(back.value, night.cells.value, rtol=1e-12)
    np.testing.assert_allclose(back.variance, night.cells.variance, rtol=1e-12)


def test_a_part_of_very_many_frames_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of whole tiles of sky are taken, and tell the response as well as all do within the errors."""
    night = observe(32, PANELS, gradient=0.2, seed=25)
    wrong = TRUE + np.array([[-0.015, 0.03]])
    every = refine(night.cells, night.gain, wrong)
    monkeypatch.setattr("zemosaic.imaging.skyresponse.ENOUGH_FRAMES", 8)
    monkeypatch.setattr("zemosaic.imaging.skyresponse.TILE", 0.5)
    part = refine(night.cells, night.gain, wrong)
    assert np.sqrt(part[1].sum()) > np.sqrt(every[1].sum())  # fewer frames know less
    assert abs(part[0].sum() - TRUE.sum()) < 3 * np.sqrt(part[1].sum())
    assert error(part[0][0]) < 0.7 * error(wrong[0])
