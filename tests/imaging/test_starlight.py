"""Light of stars: how much of it is known, and where it falls."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.skycells import MaskStars
from zemosaic.imaging.starlight import Sightings, _apart, _shared, cell_light, sky_stars
from zemosaic.kernels.render import add_stars

FWHM = 3.4  # px
SCALE = 5.0 / 3600.0  # deg
GREY = np.zeros((2, 2), np.int64)
# a Moffat profile of exponent 4: FWHM over that of a Gaussian with the same half-light radius
SHARP = np.sqrt((2.0**0.25 - 1.0) / (2.0 ** (1.0 / 3.0) - 1.0))


def in_aperture(light: np.ndarray, x: float, y: float) -> float:
    j, i = np.indices(light.shape)
    return float(light[np.hypot(i - x, j - y) <= 1.5 * FWHM].sum())


def night(x: np.ndarray, flux: np.ndarray, frames: int = 5) -> tuple[MaskStars, Sightings, np.ndarray]:
    """Stars in a row, as frames of rising gain measured them on pixels of a rendered picture."""
    light = np.zeros((80, 640))
    y = np.full(len(x), 40.0)
    add_stars(light, GREY, x, y, flux[:, None], SHARP * FWHM, 4.0, np.full(len(x), 60.0))
    seen = np.array([in_aperture(light, *place) for place in zip(x, y)])
    star, frame = np.tile(np.arange(len(x)), frames), np.repeat(np.arange(frames), len(x))
    gain = 0.5 + 0.2 * frame[:, None]
    none = np.zeros(len(star))
    table = np.tile(seen, frames)[:, None] * gain
    flags = np.zeros(len(star), bool)
    sightings = Sightings(
        star.astype(np.int32), frame.astype(np.int32), table.astype(np.float32), none, none, flags, flags
    )
    return MaskStars(10.0 + x * SCALE, np.zeros(len(x)), np.full(len(x), 8.0 * SCALE)), sightings, gain


def test_fluxes_are_told_apart_where_apertures_overlap() -> None:
    x = np.array([100.0, 200.0, 206.0, 300.0, 308.0, 400.0, 402.0])
    flux = np.array([9e3, 2e4, 5e3, 6e3, 6e3, 4e3, 8e3])
    stars, sightings, gain = night(x, flux)
    known = sky_stars(stars, sightings, gain, FWHM * SCALE)
    found = dict(zip(np.rint((known.place.ra - 10.0) / SCALE), known.light[:, 0]))
    near = np.array([0.0, 5e3, 2e4, 6e3, 6e3])
    for place, true, other in zip(x[:5], flux, near):
        assert abs(found[place] - true) < 0.04 * true + 0.08 * other
    seen = dict(zip(sightings.star[: len(x)], sightings.flux[: len(x), 0] / 0.5))
    assert seen[2] > 1.5 * flux[2]  # as it was measured
    assert found[400.0] == found[402.0] == 0.0  # closer than a FWHM: one star, perhaps
    # masked first: those that cannot be taken off, then what would leave most
    assert set(np.rint((known.place.ra[:2] - 10.0) / SCALE)) == {400.0, 402.0}
    assert np.rint((known.place.ra[2] - 10.0) / SCALE) == 200.0
    assert np.rint((known.place.ra[-1] - 10.0) / SCALE) == 100.0


def test_saturated_stars_and_those_seen_once_are_masked_and_not_taken_off() -> None:
    x = np.array([100.0, 200.0, 300.0])
    stars, sightings, gain = night(x, np.array([9e3, 8e3, 7e3]))
    sightings.saturated[:] = sightings.star == 1
    once = (sightings.star != 2) | (sightings.frame == 0)
    columns = {name: value[once] for name, value in vars(sightings).items()}
    known = sky_stars(stars, Sightings(**columns), gain[once], FWHM * SCALE)
    np.testing.assert_array_equal(np.rint((known.place.ra - 10.0) / SCALE), [200.0, 300.0, 100.0])
    assert known.light[0, 0] == known.light[1, 0] == 0.0 < known.light[2, 0]


def test_stars_of_frames_of_which_nothing_is_known_are_masked_last() -> None:
    """They have no light that is known, like saturated ones, but are as faint as any."""
    x = np.array([100.0, 200.0, 300.0])
    stars, sightings, gain = night(x, np.array([9e3, 8e3, 7e3]))
    sightings.saturated[:] = sightings.star == 1
    known = sky_stars(stars, sightings, np.where(sightings.star[:, None] == 2, np.nan, gain), FWHM * SCALE)
    np.testing.assert_array_equal(np.rint((known.place.ra - 10.0) / SCALE), [200.0, 100.0, 300.0])
    assert known.light[2, 0] == 0.0


@pytest.mark.parametrize("side", [21.0, 15.0])
def test_crowded_fields(side: float) -> None:
    """300 stars with 5 or 9 neighbours within 3 FWHM: far more is known than nothing, and no star gets too much light."""
    rng, stars = np.random.default_rng(1), np.zeros((0, 2))
    while len(stars) < 300:
        one = rng.uniform(0.0, 1.3 * side, 2)
        if np.hypot(*(stars - one).T).min(initial=9.0) >= 1.0 or rng.uniform() < 0.02:
            stars = np.vstack([stars, one])
    light = 10.0 ** (2.0 + 2.0 * rng.power(1.0, (300, 1)) ** 4)
    apart = np.linalg.norm(stars[:, None] - stars, axis=2)
    share = np.interp(apart, np.linspace(0.0, 3.0, 31), _shared(np.linspace(0.0, 3.0, 31)), right=0.0)
    share *= np.where(np.eye(300, dtype=bool), 1.0, rng.normal(1.0, 0.05, share.shape))  # profiles differ
    seen = np.maximum(share @ light + rng.normal(0.0, 20.0, light.shape), 0.0)
    place = MaskStars(10.0 + stars[:, 0] * 1e-3, stars[:, 1] * 1e-3, np.full(300, 3e-3))
    found, _, merged = _apart(place, seen, 1e-3)
    error = (found - light)[~merged]
    assert np.all(found >= 0.0) and np.all(found <= seen)
    assert np.sqrt(np.mean(error**2)) < 0.25 * np.sqrt(np.mean(light[~merged] ** 2))
    assert abs(error.sum()) < 0.1 * light[~merged].sum()


def test_no_stars() -> None:
    stars, sightings, gain = night(np.zeros(0), np.zeros(0))
    known = sky_stars(stars, sightings, gain, FWHM * SCALE)
    assert len(known.place.ra) == 0 and known.light.shape == (0, 1)


@pytest.mark.parametrize("beta", [3.0, 4.0])
def test_light_of_a_star_leaves_the_cells(beta: float) -> None:
    """A rendered star, of another profile too: what is left of it, cell by cell, is below 3 % of its light."""
    size, cell, flux = (136, 88), 16, 2e4
    half = np.sqrt((2.0 ** (1.0 / beta) - 1.0) / (2.0 ** (1.0 / (beta - 1.0)) - 1.0))
    for x, y in ((70.3, 40.1), (63.8, 48.2), (2.0, 80.0)):
        light = np.zeros(size[::-1])
        place = np.array([x]), np.array([y])
        add_stars(light, GREY, *place, np.array([[flux]]), half * FWHM, beta, np.array([60.0]))
        rows = np.add.reduceat(light, np.arange(0, size[1], cell), axis=0)
        sums = np.add.reduceat(rows, np.arange(0, size[0], cell), axis=1)
        pixels = np.minimum(cell, size[1] - np.arange(0, size[1], cell))[:, None] * np.minimum(
            cell, size[0] - np.arange(0, size[0], cell)
        )
        found = cell_light(*place, np.array([[flux]]), np.array([12.0]), FWHM, size, cell)[..., 0]
        assert np.abs(sums - found * pixels).max() < 0.03 * flux
