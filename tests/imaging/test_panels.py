"""Where ready-made stacks have data, and how noisy they are over areas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from zemosaic.imaging.panels import FAR, area_noise, edge_weight, inside_distance


def picture(planes: int = 3) -> np.ndarray:
    data = np.random.default_rng(3).normal(100.0, 5.0, (planes, 120, 160)).astype(np.float32)
    return data if planes > 1 else data[0]


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_distance_from_a_border_without_data(planes, nothing):
    data = picture(planes)
    data[..., :, :30] = nothing
    data[..., 60, 100] = 0.0  # a dark pixel of the picture
    distance = inside_distance(data)
    assert (distance[:, :30] == 0).all()
    np.testing.assert_array_equal(distance[:, 30:], np.broadcast_to(np.arange(1, 131), (120, 130)))


def test_hole_counts_and_a_plane_of_zeros_does_not():
    data = picture()
    data[:, 40:50, 70:80] = 0.0
    data[0, :20] = 0.0  # no red at the lower border is a colour
    distance = inside_distance(data)
    assert (distance[40:50, 70:80] == 0).all()
    assert np.count_nonzero(distance == 0) == 100


def test_picture_without_border():
    assert inside_distance(picture()) is None


def test_weight_rises_from_the_border():
    weight = edge_weight(np.array([0, 1, 21, 41, 81, FAR], np.uint16), 80.0)
    assert weight == pytest.approx([0.0, 0.0, 0.4375, 0.75, 1.0, 1.0])


def test_noise_of_areas_sees_what_neighbours_share():
    rng, pixel = np.random.default_rng(5), 4.0
    white = rng.normal(0.0, pixel, (400, 400))
    smooth = gaussian_filter(white, 0.8)
    ramp = np.linspace(0.0, 500.0, 400)[:, None]
    (same,) = area_noise((white + ramp).astype(np.float32), (pixel,))
    assert same == pytest.approx(pixel, rel=0.08)
    own = float(np.std(smooth))
    (shared,) = area_noise((smooth + ramp).astype(np.float32), (own,))
    assert own < 0.5 * pixel
    assert 0.8 * pixel < shared < pixel  # over 8 px a part of it is still shared across the border of the boxes
