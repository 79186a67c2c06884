"""Steps within a panel, where what one telescope or night sees ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_skyfit import SPACING, Night, observe

from zemosaic.imaging.seams import OTHERS, _together, _View, _without, frame_steps, rim_differences
from zemosaic.imaging.skyfit import SkyFit, fit_sky

ONE_FIELD = [(0.0, 0.0)]


@pytest.fixture(scope="module")
def turned() -> tuple[Night, SkyFit]:
    """Two telescopes on one field, 69.5 degrees apart, frames in turn."""
    night = observe(16, ONE_FIELD, seed=8, curved=((), ()))
    return night, fit_sky(night.cells, night.gain, SPACING)


def lifted(night: Night, fit: SkyFit, side: np.ndarray, step: float) -> SkyFit:
    """With so much more light in the frames of side 0."""
    return replace(
        fit, residual=fit.residual + step * (side[night.cells.frame] == 0)[:, None] * night.gain[night.cells.frame]
    )


def test_a_step_where_one_telescope_ends_within_another(turned) -> None:
    night, fit = turned
    side = np.arange(16) % 2
    (clean,), rim = rim_differences(night.cells, fit, night.gain, side, np.zeros(2, int), SPACING)
    assert (clean.first, clean.second) == (0, 1) and clean.n_cells > 100
    assert abs(clean.difference[0]) < 5 * clean.error[0]
    (stepped,), _ = rim_differences(
        night.cells, lifted(night, fit, side, 3.0), night.gain, side, np.zeros(2, int), SPACING
    )
    assert stepped.difference[0] - clean.difference[0] == pytest.approx(3.0, abs=0.1)
    middle = np.hypot(night.cells.u, night.cells.v) < 0.2
    assert rim.any() and not (rim & middle).any()  # the rims lie where a short side ends
    steps, errors = frame_steps(night.cells, fit, night.gain, np.zeros(16, int), rim)
    assert np.isfinite(steps).all() and (errors > 0).all()
    assert np.isnan(frame_steps(night.cells, fit, night.gain, np.zeros(16, int))[0]).all()


def test_nights_that_see_the_same_have_no_rims() -> None:
    """The frames of one telescope in two nights: nothing but dither is between them."""
    night = observe(8, ONE_FIELD, seed=8, turning=0.3)
    fit, side = fit_sky(night.cells, night.gain, SPACING), np.arange(8) // 4
    found, rim = rim_differences(night.cells, fit, night.gain, side, np.zeros(2, int), SPACING)
    assert found == () and not rim.any()


def test_of_more_than_two_each_meets_the_others(turned) -> None:
    night, fit = turned
    side = np.where(np.arange(16) % 2 == 0, 0, 1 + np.arange(16) // 8)
    found, _ = rim_differences(night.cells, lifted(night, fit, side, 3.0), night.gain, side, np.zeros(3, int), SPACING)
    assert [(d.first, d.second) for d in found] == [(0, OTHERS), (1, OTHERS), (2, OTHERS)]
    assert found[0].difference[0] == pytest.approx(3.0, abs=0.5)
    assert found[1].difference[0] < -1.0 and found[2].difference[0] < -1.0
    side = np.arange(16) % 2
    assert (
        rim_differences(night.cells, fit, night.gain, side, np.arange(2), SPACING)[0] == ()
    )  # each in a panel of its own


def test_what_the_others_have_is_what_is_left_without_one():
    rng = np.random.default_rng(1)
    views = []
    for number in range(30):
        patch = np.sort(rng.choice(300, rng.integers(5, 150), replace=False))
        views.append(
            _View(number, patch, rng.normal(size=(3, len(patch))), rng.uniform(0.1, 5.0, size=(3, len(patch))))
        )
    everybody, sides = _together(views)
    for one in views:
        found, (expected, _) = _without(one, everybody, sides), _together([v for v in views if v is not one])
        assert np.array_equal(found.patch, expected.patch)
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9)
