"""Gains and response from star fluxes, against planted truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from zemosaic.imaging.gains import fit_gains
from zemosaic.imaging.response import frame_coordinates, response
from zemosaic.imaging.startable import StarTable, brightest_of_each, median_by

WIDTH, HEIGHT = 1080, 1920
TRUE_RESPONSE = {0: (-0.09, -0.03), 1: (-0.14, 0.04)}  # 12 % and 10 % less light in the corners
CHECK = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True)
class Night:
    """A simulated set of star measurements and its truth."""

    table: StarTable
    gain: np.ndarray  # (frames, 3)


def observe(
    frames: int,
    pointings: list[tuple[float, float]],
    *,
    seed: int = 1,
    dither: float = 30.0,
    angles: tuple[float, ...] = (0.0,),
    outliers: float = 0.03,
    catalogue: bool = True,
    density: float = 700.0,
    sky: float = 250.0,
    photon: float = 0.25,
    told: bool = True,
    floor: float = 0.01,
    colour: float = 0.005,
) -> Night:
    """Frames that visit pointings (px) in turn, instrument k turned by angles[k]; `density` stars per frame area.

    colour : scatter of the gains of a frame about their mean.
    photon : ADU per electron. told : whether the errors have the photons' noise in them.
    """
    rng = np.random.default_rng(seed)
    spread = np.ptp(np.array(pointings), axis=0) + 2 * HEIGHT
    low = np.min(np.array(pointings), axis=0) - HEIGHT
    n_stars = int(density * spread[0] * spread[1] / (WIDTH * HEIGHT))
    x, y = low[0] + spread[0] * rng.random(n_stars), low[1] + spread[1] * rng.random(n_stars)
    green = 2000.0 * rng.pareto(1.1, n_stars).clip(0, 200) + 800.0
    flux = green[:, None] * np.stack(
        [rng.normal(0.5, 0.1, n_stars), np.ones(n_stars), rng.normal(0.6, 0.1, n_stars)], 1
    )
    flux = np.maximum(flux, 10.0)
    vt = 24.0 - 2.5 * np.log10(green) + rng.normal(0, 0.08, n_stars)
    vt[(green < np.sort(green)[-n_stars // 12]) | (not catalogue)] = np.nan
    instrument = np.arange(frames) * len(angles) // frames
    gain = (
        rng.uniform(0.5, 1.0, frames)[:, None] * rng.normal(1.0, colour, (frames, 3)) * (1 + 0.4 * instrument[:, None])
    )
    rows = []
    for i in range(frames):
        cx, cy = np.array(pointings[i % len(pointings)]) + dither * rng.uniform(-1, 1, 2)
        t = np.radians(angles[instrument[i]])
        u = np.cos(t) * (x - cx) + np.sin(t) * (y - cy) + (WIDTH - 1) / 2
        v = -np.sin(t) * (x - cx) + np.cos(t) * (y - cy) + (HEIGHT - 1) / 2
        on = np.flatnonzero((u > 10) & (u < WIDTH - 10) & (v > 10) & (v < HEIGHT - 10))
        rho2 = np.sum(np.square(frame_coordinates(u[on], v[on], WIDTH, HEIGHT)), axis=0)
        expected = gain[i] * flux[on] * response(TRUE_RESPONSE[instrument[i]], rho2)[:, None]
        sky_error = np.array([sky, 0.75 * sky, sky])
        error = np.sqrt(sky_error**2 + photon * expected)
        seen = expected * (1 + floor * rng.normal(size=expected.shape)) + error * rng.normal(size=expected.shape)
        wrong = rng.random(len(on)) < outliers
        seen[wrong] *= rng.uniform(0.3, 3.0, (wrong.sum(), 1))
        found = seen[:, 1] > 5 * error[:, 1]
        rows.append(
            (
                np.full(found.sum(), i),
                on[found],
                seen[found],
                (error if told else sky_error + 0 * error)[found],
                rho2[found],
                *frame_coordinates(u[on][found], v[on][found], WIDTH, HEIGHT),
            )
        )
    frame, star, seen, error, rho2, along, across = (np.concatenate(c) for c in zip(*rows))
    table = StarTable(frame, star, seen, error, rho2, instrument, instrument, vt, along, across)
    return Night(table, gain)


FOUR_PANELS = [(0.0, 0.0), (900.0, 0.0), (0.0, 1600.0), (900.0, 1600.0)]


def relative(gain: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Gain errors about their median: the common scale is a convention."""
    ratio = gain / truth
    return ratio / np.median(ratio, axis=0) - 1.0


@pytest.mark.parametrize("dimmer", [0.3, 0.03])
def test_telescopes_of_other_apertures_that_share_few_stars(dimmer: float) -> None:
    """Most stars of each are its own: a start from medians takes what they share for outliers. Also 10 s beside 300 s."""
    night = observe(16, [(0.0, 0.0)] * 8 + [(900.0, 0.0)] * 8, angles=(0.0, 0.0), catalogue=False, sky=25.0)
    second = night.table.instrument == 1
    factor = np.where(second, dimmer, 1.0)[:, None] * np.where(second[:, None], (1.2, 1.0, 0.8), 1.0)
    of_rows = factor[night.table.frame]
    table = replace(night.table, flux=night.table.flux * of_rows, error=night.table.error * of_rows)
    error = relative(fit_gains(table).gain, night.gain * factor)
    assert np.abs(error[second].mean(axis=0) - error[~second].mean(axis=0)).max() < 0.005


def test_mosaic_of_four_panels() -> None:
    night = observe(60, FOUR_PANELS)
    fit = fit_gains(night.table)
    error = relative(fit.gain, night.gain)
    assert fit.converged
    assert np.std(error[:, 1]) < 0.002
    assert max(abs(np.mean(error[p::4, 1])) for p in range(4)) < 0.001
    assert np.std(error, axis=0).max() < 0.003
    assert np.median(fit.gain, axis=0) == pytest.approx(1.0)
    shape = response(fit.response[0], CHECK) / response(TRUE_RESPONSE[0], CHECK) - 1.0
    assert np.sqrt(np.mean(shape**2)) < 0.003
    assert np.unique(fit.component).size == 1


def test_two_telescopes_turned_against_each_other() -> None:
    night = observe(60, FOUR_PANELS, angles=(0.0, 69.5), seed=2)
    fit = fit_gains(night.table)
    assert np.std(relative(fit.gain, night.gain), axis=0).max() < 0.003
    for k in (0, 1):
        shape = response(fit.response[k], CHECK) / response(TRUE_RESPONSE[k], CHECK) - 1.0
        assert np.sqrt(np.mean(shape**2)) < 0.003


def test_gains_do_not_depend_on_how_faint_the_stars_are() -> None:
    """Frames of half the transparency see their faint stars only when noise lifts them: no bias from that."""
    night = observe(40, FOUR_PANELS[:1], sky=900.0, outliers=0.0, seed=3)
    error = relative(fit_gains(night.table).gain, night.gain)[:, 1]
    dim = night.gain[:, 1] < np.median(night.gain[:, 1])
    assert abs(np.mean(error[dim]) - np.mean(error[~dim])) < 0.003


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_tiny_dither_does_not_run_away(seed: int) -> None:
    night = observe(30, FOUR_PANELS[:1], dither=2.0, density=150.0, seed=seed)
    fit = fit_gains(night.table)
    corner = float(response(fit.response[0], 1.0))
    assert fit.response[0] == () or abs(corner - 0.88) < 0.06
    assert fit.response_error[0] > 0.01  # and it knows that it does not know
    assert np.std(relative(fit.gain, night.gain)[:, 1]) < 0.006


def test_flat_sensor_stays_flat() -> None:
    night = observe(20, FOUR_PANELS[:1], dither=2.0, density=150.0, seed=7)
    shape = response(TRUE_RESPONSE[0], night.table.rho2)[:, None]
    flat = replace(night.table, flux=night.table.flux / shape, error=night.table.error / shape)
    assert fit_gains(flat).response == ((),)


def test_panels_without_common_stars_meet_through_the_catalogue() -> None:
    night = observe(20, [(0.0, 0.0), (9000.0, 0.0)], seed=8)
    fit = fit_gains(night.table)
    assert np.unique(fit.component).size == 2
    error = relative(fit.gain, night.gain)[:, 1]
    assert np.std(error[::2]) < 0.003 and np.std(error[1::2]) < 0.003
    assert abs(np.median(error[::2]) - np.median(error[1::2])) < 0.08


def test_panels_without_any_tie_have_median_gain_one_each() -> None:
    night = observe(20, [(0.0, 0.0), (9000.0, 0.0)], seed=8, catalogue=False)
    fit = fit_gains(night.table)
    assert np.median(fit.gain[::2, 1]) == pytest.approx(np.median(fit.gain[1::2, 1]), rel=1e-3)
    tied = night.table.star[night.table.frame % 2 == 1]
    assert np.nanmedian(fit.star_flux[np.unique(tied), 1]) > 0


def test_faint_red_and_blue_lean_on_green() -> None:
    """Where red and blue are lost in the noise their gains follow the green one instead of the noise."""
    night = observe(30, FOUR_PANELS[:1], sky=3000.0, density=100.0, seed=9)
    error = relative(fit_gains(night.table).gain, night.gain)
    assert np.std(error[:, [0, 2]] - error[:, 1:2], axis=0).max() < 0.015


@pytest.mark.parametrize(("colour", "most"), [(0.0, 0.0011), (0.02, 0.006)])
def test_frames_have_one_colour_as_far_as_they_show_it(colour: float, most: float) -> None:
    """Two hundredths of haze are followed; where there are none, the three channels tell of one transparency together."""
    night = observe(40, FOUR_PANELS, colour=colour, density=250.0, seed=5)
    fit = fit_gains(night.table)
    error = relative(fit.gain, night.gain)
    assert np.std(error[:, 0] - error[:, 1]) < most
    assert np.std(error[:, 2] - error[:, 1]) < most


def test_bad_frame_is_known_by_its_chi2() -> None:
    night = observe(20, FOUR_PANELS[:1], seed=10)
    flux = night.table.flux.copy()
    cloudy = night.table.frame == 3
    flux[cloudy] *= np.random.default_rng(0).uniform(0.6, 1.4, (cloudy.sum(), 1))
    fit = fit_gains(replace(night.table, flux=flux))
    assert fit.chi2[3] > 10 * np.median(fit.chi2)
    assert fit.scatter[3] > 0.1 > 0.03 > np.median(fit.scatter)
    assert 0.7 < np.median(fit.chi2) < 1.4


def test_photons_are_found_in_the_scatter() -> None:
    """10 ADU per electron: stars of 1e5 ADU scatter by 1 %, of which the errors say nothing."""
    night = observe(24, FOUR_PANELS, seed=12, photon=10.0, told=False, floor=0.0, sky=400.0)
    fit = fit_gains(night.table)
    np.testing.assert_allclose(fit.photon, 10.0, rtol=0.3)
    assert fit.floor < 0.006
    assert np.std(relative(fit.gain, night.gain)[:, 1]) < 0.003


def test_mono() -> None:
    night = observe(20, FOUR_PANELS, seed=11)
    mono = replace(night.table, flux=night.table.flux[:, 1:2], error=night.table.error[:, 1:2])
    fit = fit_gains(mono)
    assert fit.gain.shape == (20, 1)
    assert np.std(relative(fit.gain, night.gain[:, 1:2])) < 0.0035


def test_frame_without_stars_has_gain_one() -> None:
    night = observe(12, FOUR_PANELS[:1], seed=12)
    keep = night.table.frame != 5
    table = replace(
        night.table,
        **{name: getattr(night.table, name)[keep] for name in ("frame", "star", "flux", "error", "rho2")},
    )
    fit = fit_gains(table)
    assert fit.gain[5] == pytest.approx(1.0)
    assert fit.common[5] == 0 and np.isnan(fit.chi2[5])


def test_median_by() -> None:
    index = np.array([2, 0, 0, 2, 0, 2, 1])
    values = np.array([1.0, 5.0, 1.0, 3.0, 2.0, 9.0, np.nan])
    np.testing.assert_array_equal(median_by(index, values, 4), [2.0, np.nan, 3.0, np.nan])


def test_brightest_of_each_frame() -> None:
    frame = np.array([0, 1, 0, 1, 0, 1])
    brightness = np.array([5.0, 1.0, 9.0, 2.0, 7.0, 3.0])
    np.testing.assert_array_equal(brightest_of_each(frame, brightness, 2), [2, 3, 4, 5])
    np.testing.assert_array_equal(brightest_of_each(frame, brightness, 9), np.arange(6))
