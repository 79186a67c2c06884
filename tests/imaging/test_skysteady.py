"""Skies of a night that turn steadily tie its panels together; those that do not are left to the cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_skyfit import LEVEL, SPACING, Night, observe

from zemosaic.imaging.skyfit import fit_sky

FRAMES, PANELS = 32, 4
TURN = np.linspace(0.0, 4.0 * np.pi, FRAMES)
STEADY = 0.2 * LEVEL * np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
ONE_NIGHT = np.zeros(FRAMES, int)


@pytest.fixture(scope="module")
def strip() -> Night:
    """Four panels in a row in turn, under skies without any gradient."""
    row = [(0.61 * k, 0.0) for k in range(PANELS)]
    return observe(FRAMES, row, gradient=0.0, turning=1.0, sigma=120.0)


def error(strip: Night, slopes: np.ndarray, night: np.ndarray | None) -> np.ndarray:
    """(panels, 2) by how much the slopes of the panels are wrong against each other, with these gradients (frames, 2), ADU."""
    cells = strip.cells
    light = np.sum(slopes[cells.frame] * np.stack([cells.u, cells.v], axis=1), axis=1)
    fit = fit_sky(replace(cells, value=cells.value + light[:, None]), strip.gain, SPACING, night=night)
    off = (fit.sky[:, 0, 1:3] - slopes) / strip.gain
    panel = np.array([off[strip.panel == k].mean(axis=0) for k in range(PANELS)])
    return np.asarray(panel - panel.mean(axis=0))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def test_a_steady_night_holds_its_panels_straight(strip) -> None:
    """Lengths of the gradients scatter by 10 % all the same."""
    rng = np.random.default_rng(5)
    slopes = STEADY * rng.uniform(0.82, 1.18, (FRAMES, 1))
    assert rms(error(strip, slopes, ONE_NIGHT)) < 0.7 * rms(error(strip, slopes, None))


def test_gradients_that_go_their_own_ways_tell_nothing(strip) -> None:
    way = np.random.default_rng(6).uniform(0.0, 2.0 * np.pi, FRAMES)
    slopes = 0.2 * LEVEL * np.stack([np.cos(way), np.sin(way)], axis=1)
    assert rms(error(strip, slopes, ONE_NIGHT)) < 1.1 * rms(error(strip, slopes, None))


def test_a_panel_at_a_time_is_no_evidence(strip) -> None:
    """Each panel has a gradient of its own, and what its frames have in common may be time as well as place."""
    slopes = np.array([[90.0, 0.0], [0.0, 90.0], [20.0, -60.0], [-50.0, 10.0]])[strip.panel]
    alone = error(strip, slopes, None)
    later = np.argsort(strip.panel, kind="stable")
    assert (np.diff(strip.panel[later]) >= 0).all()
    cells = strip.cells
    light = np.sum(slopes[cells.frame] * np.stack([cells.u, cells.v], axis=1), axis=1)
    time = np.empty(FRAMES)
    time[later] = np.arange(FRAMES)
    fit = fit_sky(
        replace(cells, value=cells.value + light[:, None]), strip.gain, SPACING, time=time, night=ONE_NIGHT
    )  # fmt: skip
    off = (fit.sky[:, 0, 1:3] - slopes) / strip.gain
    panel = np.array([off[strip.panel == k].mean(axis=0) for k in range(PANELS)])
    assert rms(panel - panel.mean(axis=0) - alone) < 0.5 * rms(alone)


def test_a_night_does_not_tie_the_panels_of_another(strip) -> None:
    """The last panel was taken another night, with another gradient."""
    slopes = np.where(strip.panel[:, None] == PANELS - 1, [60.0, -90.0], STEADY)
    nights = (strip.panel == PANELS - 1).astype(int)
    alone, tied = error(strip, slopes, None), error(strip, slopes, nights)
    assert np.abs(tied - alone)[-1].max() < 3.0 * rms(alone)
    assert rms(tied) < 1.1 * rms(alone)


def test_frames_far_from_the_turn_are_left_to_their_cells(strip) -> None:
    """A lamp beside the telescope: two frames of a panel in the middle of the night."""
    slopes = STEADY.copy()
    slopes[[9, 13]] += [200.0, 100.0]
    assert rms(error(strip, slopes, ONE_NIGHT)) < 0.8 * rms(error(strip, slopes, None))
