"""True corrections leave nothing, and every planted error is seen by its own figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zemosaic.catalogue import load_catalogue
from zemosaic.imaging.projection import sky_to_pixel
from zemosaic.imaging.skysurface import TERMS
from zemosaic.model import Correction
from zemosaic.score.corrections import judge_corrections
from zemosaic.score.smooth import panel_step
from zemosaic.simulate import NightPlan
from zemosaic.simulate.night import imagine
from zemosaic.simulate.truth import Truth

PLAN = NightPlan(width=480, height=640, scale=5.0, subs=24, faintest=13.0)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return imagine(PLAN, load_catalogue())


@pytest.fixture(scope="module")
def perfect(truth) -> dict[str, Correction]:
    rest = (0.0,) * (TERMS - 3)
    return {
        s.name: Correction(
            k, (s.transparency,) * 3, tuple(b + rest for b in s.sky), truth.instruments[0].response, PLAN.radius
        )
        for k, s in enumerate(truth.subs)
    }


def test_true_corrections_leave_nothing(truth, perfect):
    found = judge_corrections(truth, perfect)
    assert max(vars(found).values()) < 1e-6


def test_a_common_factor_on_the_gains_is_a_matter_of_units(truth, perfect):
    halved = {name: replace(c, gain=(0.5 * c.gain[0], c.gain[1], c.gain[2])) for name, c in perfect.items()}
    assert max(vars(judge_corrections(truth, halved)).values()) < 1e-6


def test_a_panel_of_another_level_is_a_step(truth, perfect):
    panel = {s.name: s.panel for s in truth.subs}
    raised = {
        name: replace(c, sky=tuple((b[0] + 3.0 * (panel[name] == 2), *b[1:]) for b in c.sky))
        for name, c in perfect.items()
    }
    found = judge_corrections(truth, raised)
    assert found.step > 0.1 and found.background > 0.5 and found.zonal < 1e-6
    assert found.seam == pytest.approx(found.step, rel=0.1)


@pytest.mark.parametrize(("panels", "least"), [((4, 4), 0.3), ((2, 2), 0.0), ((1, 3), 0.0)])
def test_a_bend_is_no_step_and_hides_none(panels, least):
    """Residuals of 1 and of a smooth bend around it; without the bend in the regression it counts for `least` or more."""
    rows, columns = panels[0] * 40 + 10, panels[1] * 40 + 10
    frames = np.zeros((panels[0] * panels[1], rows, columns), np.int32)
    for k, (j, i) in enumerate(np.ndindex(*panels)):
        frames[k, 40 * j : 40 * j + 50, 40 * i : 40 * i + 50] = 12
    seen = frames.sum(axis=0)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    bend = 0.4 * x**2 + 0.3 * x * y - (0.2 * y**2 * x if len(frames) > 4 else 0.0)
    plane = np.concatenate([frames.reshape(len(frames), -1) / seen.ravel(), [x.ravel(), y.ravel()]])
    levels = np.linalg.lstsq(plane.T, bend.ravel(), rcond=None)[0][: len(frames)]
    assert np.ptp(levels) > least
    assert panel_step(bend, frames, seen) < 1e-9
    assert panel_step(bend + frames[0] / seen, frames, seen) == pytest.approx(1.0)


def test_a_tilt_of_all_frames_bends_nothing(truth, perfect):
    tilted = {name: replace(c, sky=tuple((b[0], b[1] + 2.0, *b[2:]) for b in c.sky)) for name, c in perfect.items()}
    found = judge_corrections(truth, tilted)
    assert found.background > 0.5 and found.vignetting < 1e-6


def test_a_bend_of_high_degree_is_no_seam():
    """A cubic across a row of panels, the same in all frames: steps for the regression, none where panels meet."""
    truth = imagine(replace(PLAN, panels_x=4, panels_y=1, subs=8, scale=2.5, rotation=0.0, angle=0.0), load_catalogue())
    first, corrections = truth.subs[0].solution, {}
    for k, s in enumerate(truth.subs):
        at = float(sky_to_pixel(first, s.solution.ra, s.solution.dec)[0] - first.x) / PLAN.radius - 2.0
        cubic = 3.0 * at**3, 9.0 * at**2, 0.0, 9.0 * at, 0.0, 0.0, 3.0
        sky = tuple(tuple(np.add(cubic, (*b, *(0.0,) * 4))) for b in s.sky)
        corrections[s.name] = Correction(k, (s.transparency,) * 3, sky, truth.instruments[0].response, PLAN.radius)
    found = judge_corrections(truth, corrections)
    assert found.step > 0.2 and found.seam < 0.1 * found.step
