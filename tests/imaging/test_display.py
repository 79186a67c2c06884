"""Mosaics on a screen: levels, the user's tone, maps."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.display import BACKGROUND, Level, Look, levels, shown, shown_map

SKY, NOISE = (200.0, 320.0, 180.0), 4.0


@pytest.fixture
def field() -> np.ndarray:
    """A sky in raw colours with white stars, seen by a sensor that is twice as sensitive in green; its first column is empty."""
    chance = np.random.default_rng(3)
    light = np.zeros((240, 200))
    light[chance.integers(0, 240, 400), chance.integers(0, 200, 400)] = 900.0
    data = [chance.normal(sky, NOISE, light.shape) + gain * light for sky, gain in zip(SKY, (1.0, 2.0, 0.8))]
    result = np.array(data, np.float32)
    result[:, :, 0] = np.nan
    return result


def test_levels_are_those_of_the_sky_and_stars_are_white(field: np.ndarray) -> None:
    found = levels(field)
    for level, sky, gain in zip(found, SKY, (1.0, 2.0, 0.8)):
        assert level.sky == pytest.approx(sky, abs=0.3)
        assert level.noise / level.balance == pytest.approx(NOISE, rel=0.1)
        assert level.balance * gain == pytest.approx(found[0].balance, rel=0.05)
    assert np.mean([level.balance for level in found]) == pytest.approx(1.0)


def test_the_sky_has_the_level_that_is_asked_for_and_no_data_is_black(field: np.ndarray) -> None:
    tone = levels(field)
    for background in (BACKGROUND, 0.3):
        picture = shown(field, tone, Look(midtones=background))
        assert picture.shape == (240, 200, 3) and picture.dtype == np.uint8
        assert np.median(picture[:, 1:], axis=(0, 1)) == pytest.approx([255 * background] * 3, abs=4)
        assert not picture[:, 0].any()


def test_north_is_up(field: np.ndarray) -> None:
    field[:, 200:] = field[:, :40] * 3.0
    picture = shown(field, levels(field), Look())
    assert picture[:40].mean() > picture[-40:].mean() + 50  # rows of a mosaic begin in the south


def test_saturation_and_black_point(field: np.ndarray) -> None:
    tone = levels(field)
    grey = shown(field, tone, Look(saturation=0.0)).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1
    strong, usual = (np.ptp(shown(field, tone, Look(saturation=s)), axis=2).mean() for s in (2.5, 1.0))
    assert strong > 1.5 * usual > 0
    dark, light = (np.mean(shown(field, tone, Look(black=b)) == 0) for b in (0.0, 5.0))
    assert dark > 0.3 and light < 0.05


def test_odd_pictures() -> None:
    nothing = np.full((3, 5, 4), np.nan, np.float32)
    assert levels(nothing) == (Level(0.0, 1.0, 0.0, 1.0),) * 3 and not shown(nothing, levels(nothing), Look()).any()
    flat = np.full((1, 5, 4), 7.0, np.float32)
    assert shown(flat, levels(flat), Look()).shape == (5, 4, 3)


def test_maps_are_brighter_where_there_is_more() -> None:
    values = np.zeros((4, 6), np.float32)
    values[1:] = np.arange(6)
    values[3, 5] = np.nan
    picture = shown_map(values)
    assert not picture[3].any() and not picture[0, 5].any()  # the southern row is below
    light = picture[1].sum(axis=1).astype(int)
    assert light[0] == 0 and (np.diff(light[1:]) > 0).all()
    assert not shown_map(np.zeros((3, 3), np.float32)).any()
