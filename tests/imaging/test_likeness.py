"""How alike scales and shears are is learnt from the frames."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.adjustment import Cameras, loose, shapes
from zemosaic.imaging.likeness import TIGHTEST, learnt

RADIUS = 1100.0  # px
ERROR = 3e-5  # relative, one sigma of a frame's scale and shears


def cameras(rng, scale_scatter, shear_scatter, spells=10, frames=12, odd=()):
    """Spells of different scale and shears, in which frames scatter; `odd` ones were refocused."""
    count = spells * frames
    group = np.repeat(np.arange(spells), frames)
    scale = 1.0 + rng.normal(0, 5e-4, spells)[group] + rng.normal(0, np.hypot(scale_scatter, ERROR), count)
    shear = rng.normal(0, 3e-4, (spells, 2))[group] + rng.normal(0, np.hypot(shear_scatter, ERROR), (count, 2))
    scale[list(odd)] += 4e-3
    matrix = np.array([[scale + shear[:, 0], shear[:, 1]], [shear[:, 1], scale - shear[:, 0]]]).transpose(2, 0, 1)
    basis = np.broadcast_to(np.eye(3), (count, 3, 3))
    one = Cameras(basis, matrix * 1e-5, np.full(count, RADIUS), np.zeros(count, np.int64), np.zeros((1, 2)))
    return one, group


def widths(one, group):
    """Relative, of the likeness that is learnt."""
    errors = np.full((len(group), 3), ERROR * RADIUS)
    return learnt(one, loose(one, group), errors).tightness ** -0.5 / RADIUS


def test_scatter_within_spells_is_found():
    one, group = cameras(np.random.default_rng(1), 8e-5, 4e-5)
    scale, plus, cross = np.median(widths(one, group), axis=0)
    assert scale == pytest.approx(8e-5, rel=0.3)
    assert plus == cross == pytest.approx(4e-5, rel=0.4)


def test_no_frame_is_held_tighter_than_telescopes_are_stiff():
    one, group = cameras(np.random.default_rng(2), 0.0, 0.0)
    assert widths(one, group).min() == pytest.approx(TIGHTEST)


def test_a_refocused_frame_is_on_its_own():
    one, group = cameras(np.random.default_rng(3), 5e-5, 3e-5, odd=[17])
    tightness = widths(one, group)
    assert tightness[17, 0] == pytest.approx(loose(one, group).tightness[17, 0] ** -0.5 / RADIUS)
    assert np.median(tightness[:, 0]) < 1e-4


def test_of_few_frames_nothing_is_learnt():
    one, group = cameras(np.random.default_rng(4), 5e-5, 3e-5, spells=1, frames=5)
    assert np.array_equal(widths(one, group)[:, 0], loose(one, group).tightness[:, 0] ** -0.5 / RADIUS)


def test_shapes_are_scale_and_shears():
    one, _ = cameras(np.random.default_rng(5), 0.0, 0.0, spells=1, frames=1)
    wide = Cameras(one.basis, one.cd @ np.diag([1.0004, 0.9996]), one.radius, one.instrument, one.k)
    assert shapes(wide)[0, 1] - shapes(one)[0, 1] == pytest.approx(4e-4 * RADIUS, rel=0.01)
