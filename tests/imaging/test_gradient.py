"""The gradient that pictures may leave out: found under stars and a nebula, which stay."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.gradient import fit_gradient

SHAPE = (240, 320)
U, V = np.linspace(-1, 1, SHAPE[1]), np.linspace(-1, 1, SHAPE[0])
TILT = (
    60.0 * U[None] - 35.0 * V[:, None] + 20.0 * U[None] ** 2,
    25.0 * V[:, None] + 0.0 * U[None],
    0.0 * U[None] + 0.0 * V[:, None],
)


def sky(nebula: float = 0.0, seed: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three channels with tilts of their own, stars, a nebula on an eighth of the picture; its weight; the nebula."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    cloud = nebula * np.exp(-((xx - 200) ** 2 + (yy - 100) ** 2) / (2 * 25.0**2))
    data = np.stack([800.0 + tilt + cloud for tilt in TILT]) + rng.normal(0, 10, (3, *SHAPE))
    for x, y in rng.integers(3, 237, (150, 2)):
        data[:, y - 1 : y + 2, x - 1 : x + 2] += 900.0
    weight = np.ones(SHAPE, np.float32)
    weight[:30, :50] = 0.0
    data[:, :30, :50] = np.nan
    return data.astype(np.float32), weight, cloud


@pytest.mark.parametrize("nebula", [0.0, 150.0])
def test_the_sky_becomes_flat_and_what_is_on_it_stays(nebula: float) -> None:
    data, weight, cloud = sky(nebula)
    flat = data.copy()
    fit_gradient(data, weight).take_off(flat, U, V)
    dark = (cloud < 1.0) & (weight > 0)
    for before, after in zip(data, flat):
        cells = [after[r : r + 40, c : c + 40][dark[r : r + 40, c : c + 40]] for r in (0, 200) for c in (60, 280)]
        assert np.ptp([np.median(cell) for cell in cells]) < 8.0
        assert np.nanmedian(after) == pytest.approx(np.nanmedian(before), abs=8.0)
        lifted = np.median(after[95:105, 195:205]) - np.median(after[dark])
        assert lifted == pytest.approx(nebula, abs=12.0)


def test_a_level_sky_is_left_as_it_is() -> None:
    data = np.random.default_rng(1).normal(500, 10, (1, *SHAPE)).astype(np.float32)
    terms = fit_gradient(data, np.ones(SHAPE, np.float32)).terms
    assert np.abs(terms).max() < 1.0


def test_too_little_sky_tells_of_no_gradient() -> None:
    data, weight, _ = sky()
    weight[60:], weight[:, 90:] = 0.0, 0.0
    assert not np.any(fit_gradient(data, weight).terms)
