"""A night low above the horizon: the air lifts blue above red, in a direction that turns with the field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sep

from nights import BRIGHT, Recorder, assembled, rows, simulated
from zemosaic.score.scene import load_scene
from zemosaic.simulate import load_truth

LOW = replace(BRIGHT, subs=6, satellites=0.0, nebula=0.0, dispersion=0.5)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("low"), LOW)


def offsets(mosaic, truth):
    """(n, 3, 2) px of the mosaic, places of bright lone stars in each colour against the truth."""
    scene = load_scene(mosaic, truth)
    x, y = scene.star_positions
    flux = scene.truth.stars.flux[:, 1]
    inside = (x > 60) & (y > 60) & (x < scene.shape[1] - 60) & (y < scene.shape[0] - 60)
    bright = np.flatnonzero(inside & (flux > 1e4) & (scene.truth.stars.flux.max(axis=1) < 4e5))
    alone = [k for k in bright if flux[np.hypot(x - x[k], y - y[k]) < 16].sum() < 1.02 * flux[k]]
    places = []
    for plane in scene.data:
        image = np.ascontiguousarray(np.nan_to_num(plane - np.nanmedian(plane)))
        at_x, at_y, _ = sep.winpos(image, x[alone], y[alone], 1.7)
        places.append(np.column_stack([at_x - x[alone], at_y - y[alone]]))
    return np.stack(places, axis=1)


def test_colours_lie_on_each_other(night, tmp_path):
    """Without the shift red is 0.29 px off, blue 0.37 px."""
    output = tmp_path / "mosaic"
    off = offsets(assembled(night.lights, output, Recorder()).mosaic, night.truth)
    assert len(off) > 12
    places = np.median(off, axis=0)
    assert np.abs(places[[0, 2]] - places[1]).max() < 0.05, places
    assert np.abs(places[1]).max() < 0.05, places
    found = np.array([row.solution.shift for row in rows(output)])
    true = np.array([sub.shift for sub in load_truth(night.truth).subs])
    np.testing.assert_allclose(found.mean(axis=0), true.mean(axis=0), atol=0.03)
