"""Skies that no plane follows: curvature that turns is seen and leaves nothing, plain skies show none, nebulae stay whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_skyfit import LEVEL, PANELS, PEAK, SPACING, Light, Night, bend, in_one_panel, nebula, observe

from zemosaic.imaging.skyfit import SkyFit, fit_sky
from zemosaic.imaging.skyorder import LEAST_CURVATURE, curvature_seen

BEND = 0.03  # of the sky in the corners


def curved(night: Night, size: float) -> Night:
    """With a saddle on each sky that turns twice over the night."""
    frame, count = night.cells.frame, len(night.gain)
    turn = 4.0 * np.pi * np.arange(count) / count
    surfaces = size * LEVEL * np.stack([np.cos(turn), 2.0 * np.sin(turn), -np.cos(turn)], axis=1)
    u, v = night.cells.u, night.cells.v
    saddle = np.sum(surfaces[frame] * np.stack([u * u, u * v, v * v], axis=1), axis=1)
    sky = night.sky.copy()
    sky[:, 0, 3:6] += surfaces
    return replace(night, cells=replace(night.cells, value=night.cells.value + saddle[:, None]), sky=sky)


def planes(night: Night) -> SkyFit:
    return fit_sky(night.cells, night.gain, SPACING)


def rms(night: Night, fit: SkyFit) -> float:
    return float(np.sqrt(np.mean(bend(night, fit) ** 2)))


@pytest.mark.parametrize("light", [nebula, in_one_panel])
def test_curvature_that_turns_leaves_nothing_and_the_nebula_whole(light: Light) -> None:
    night = curved(observe(40, PANELS, seed=31, light=light), BEND)
    flat = planes(night)
    seen = curvature_seen(night.cells, flat)
    assert seen == pytest.approx(BEND, rel=0.4)
    bent = fit_sky(night.cells, night.gain, SPACING, order=2, curvature=0.5 * seen)
    assert bent.converged
    assert rms(night, bent) < min(0.006 * PEAK, 0.4 * rms(night, flat))
    np.testing.assert_allclose(bent.sky[:, 0, 3:6], night.sky[:, 0, 3:6], atol=0.2 * BEND * LEVEL)


def test_plain_skies_show_none_and_lose_little_where_it_is_asked_for() -> None:
    night = observe(40, PANELS, seed=32, light=in_one_panel)
    flat = planes(night)
    assert curvature_seen(night.cells, flat) == 0.0
    bent = fit_sky(night.cells, night.gain, SPACING, order=2, curvature=LEAST_CURVATURE)
    assert rms(night, bent) < rms(night, flat) + 0.002 * PEAK


def test_lone_frame_and_frames_without_data_show_none() -> None:
    night = curved(observe(4, PANELS[:1], seed=33), BEND)
    value = night.cells.value.copy()
    value[night.cells.frame == 1] = np.nan
    cells = replace(night.cells, value=value)
    assert curvature_seen(cells, fit_sky(cells, night.gain, SPACING)) > 0.0
    alone = observe(1, PANELS[:1], seed=34)
    assert curvature_seen(alone.cells, planes(alone)) == 0.0
