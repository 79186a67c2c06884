"""Depth: the limiting magnitude against noise that is drawn, holes and thin places in maps."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.fits_writer import pack
from zemosaic.report.depth import gap, limiting_magnitude, middle_of, thin_spot
from zemosaic.report.maps import blocks, factor_of


def test_a_star_at_the_limit_has_a_signal_of_five_times_its_noise() -> None:
    """A Gaussian star fitted by its profile on white noise, 4000 times."""
    rng, sigma, width, zero_point = np.random.default_rng(1), 20.0, 1.5, 22.0
    y, x = np.mgrid[-9:10, -9:10]
    profile = np.exp(-0.5 * (x**2 + y**2) / width**2)
    profile /= profile.sum()
    limit = float(limiting_magnitude(np.array(1.0 / sigma**2), zero_point, 2.3548 * width))
    light = 10.0 ** (0.4 * (zero_point - limit))
    sky = light * profile + sigma * rng.standard_normal((4000, *profile.shape))
    fits = (sky * profile).sum(axis=(1, 2)) / (profile**2).sum()
    assert fits.mean() / fits.std() == pytest.approx(5.0, rel=0.03)


def test_no_weight_has_no_limit() -> None:
    assert np.isnan(limiting_magnitude(np.array([0.0, 1.0]), 22.0, 3.0)).tolist() == [True, False]


def test_the_largest_hole_is_found_where_it_is() -> None:
    weight = np.ones((60, 80))
    weight[20:36, 50:66] = 0.0
    weight[3, 3] = 0.0
    hole = gap(weight, 5.0)
    assert hole is not None and abs(hole.x - 57.5) <= 1.5 and abs(hole.y - 27.5) <= 1.5
    assert hole.share == pytest.approx(256 / (4800 - 257), abs=1e-6)
    assert gap(weight, 9.0) is None  # too small to count
    assert gap(np.zeros((5, 5)), 1.0) is None


def test_a_missing_corner_is_a_gap_and_the_border_is_none() -> None:
    weight = np.zeros((60, 80))
    weight[5:55, 5:75] = 1.0
    assert gap(weight, 3.0) is None
    weight[5:30, 5:40] = 0.0  # inside of the hull lies its half
    found = gap(weight, 3.0)
    assert found is not None and found.x < 40 and found.y < 30


def test_a_thin_part_counts_and_a_thin_border_does_not() -> None:
    weight = np.zeros((60, 80))
    weight[5:55, 5:75] = 0.2
    weight[7:53, 7:73] = 1.0
    assert thin_spot(weight, 3.0) is None
    weight[7:53, 55:73] = 0.4
    found = thin_spot(weight, 3.0)
    assert found is not None and 55 <= found.x < 73 and found.share == pytest.approx(0.3, abs=0.1)


def test_the_middle_of_a_polygon() -> None:
    values = np.full((40, 40), 7.0)
    values[10:20, 10:20] = 3.0
    square = np.array([11.0, 18.0, 18.0, 11.0]), np.array([11.0, 11.0, 18.0, 18.0])
    assert middle_of(values, *square) == 3.0
    assert np.isnan(middle_of(values, square[0] + 100.0, square[1]))
    assert np.isnan(middle_of(np.full((40, 40), np.nan), *square))


@pytest.mark.parametrize("shape", [(3, 37, 50), (37, 50)])
def test_blocks_are_means_of_green_with_north_on_top(tmp_path, shape, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from astropy.io import fits

    data = np.random.default_rng(2).random(shape).astype(np.float32)
    data[..., 0, 0] = np.nan
    fits.writeto(tmp_path / "map.fits", data)
    monkeypatch.setattr("zemosaic.report.maps.STRIP_BYTES", 4 * 3 * 50 * 9)  # several strips
    found = blocks(tmp_path / "map.fits", 4)
    pack(tmp_path / "map.fits", tmp_path / "map.fits.fz")
    np.testing.assert_array_equal(blocks(tmp_path / "map.fits.fz", 4), found)
    plane = np.nan_to_num(data if data.ndim == 2 else data[1])
    expected = [[plane[y : y + 4, x : x + 4].mean() for x in range(0, 50, 4)] for y in range(0, 37, 4)]
    np.testing.assert_allclose(found, expected[::-1], rtol=1e-6)
    assert factor_of(800, 20) == 1 and factor_of(801, 20) == 2
