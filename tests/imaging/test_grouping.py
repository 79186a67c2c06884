"""Panels from pointings."""

import numpy as np

from zemosaic.imaging.grouping import central, group_pointings, mean_direction, unit_vectors


def test_dithered_panels_are_told_apart_even_where_they_overlap():
    rng = np.random.default_rng(1)
    centres = [(359.7, 10.0), (0.3, 10.0), (359.7, 10.9), (0.3, 10.9)]
    truth = np.repeat(np.arange(4), 30)
    ra = np.array([centres[k][0] for k in truth]) + rng.normal(0, 0.03, 120)
    dec = np.array([centres[k][1] for k in truth]) + rng.normal(0, 0.03, 120)
    labels = group_pointings(ra % 360, dec, 0.29)
    np.testing.assert_array_equal(labels, truth)


def test_one_pointing_is_one_panel_and_the_pole_is_a_place():
    assert group_pointings(np.array([10.0]), np.array([20.0]), 0.3).tolist() == [0]
    around = np.linspace(0, 330, 12)
    assert set(group_pointings(around, np.full(12, 89.95), 0.3)) == {0}
    ra, dec = mean_direction(unit_vectors(np.array([359.0, 1.0]), np.array([0.0, 0.0])))
    assert min(ra, 360 - ra) < 1e-9 and abs(dec) < 1e-9


def test_the_central_frame_is_found_across_zero_hours_and_near_a_pole() -> None:
    assert central(0.1, 20.0, {3: (359.8, 20.0), 5: (0.9, 20.0)}) == 3
    assert central(10.0, 89.0, {1: (40.0, 89.0), 2: (10.0, 88.0)}) == 1
