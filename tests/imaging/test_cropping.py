"""The largest rectangle that is deep enough."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.cropping import CELL, deep_part
from zemosaic.kernels.rectangle import largest_rectangle


def naive(mask: np.ndarray) -> int:
    """Area of the largest rectangle: all of them are tried."""
    h, w = mask.shape
    sums = np.pad(mask.astype(int).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    most = 0
    for y0 in range(h):
        for x0 in range(w):
            area = np.add.outer(np.arange(h - y0) + 1, np.zeros(w - x0, int)) * (np.arange(w - x0) + 1)
            full = sums[y0 + 1 :, x0 + 1 :] - sums[y0, x0 + 1 :] - sums[y0 + 1 :, [x0]] + sums[y0, x0] == area
            most = max(most, int((area * full).max(initial=0)))
    return most


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (13, 17)])
def test_no_rectangle_is_larger(share, shape):
    rng = np.random.default_rng(int(100 * share))
    for _ in range(10):
        mask = rng.random(shape) < share
        y0, y1, x0, x1 = largest_rectangle(mask)
        assert mask[y0:y1, x0:x1].all() and (y1 - y0) * (x1 - x0) == naive(mask)


def strips(weight: np.ndarray, rows: int):
    return (weight[:, y : y + rows] for y in range(0, weight.shape[1], rows))


def weights() -> np.ndarray:
    """Two channels, deep in the middle, half as deep around it, an empty border, and a strip that only one frame has seen."""
    weight = np.zeros((2, 400, 500), np.float32)
    weight[:, 20:380, 30:470] = 2.0
    weight[:, 60:340, 64:432] = 4.0
    weight[:, 380:400, 30:90] = 0.2
    weight[1] *= 3.0
    return weight


@pytest.mark.parametrize("rows", [16, 64, 400])
def test_the_part_has_the_depth_that_is_asked_for(rows):
    weight = weights()
    y0, y1, x0, x1 = deep_part(strips(weight, rows), 0.9)
    assert (weight[0, y0:y1, x0:x1] == 4.0).all()
    assert y1 - y0 >= 280 - 2 * CELL and x1 - x0 >= 368 - 2 * CELL
    y0, y1, x0, x1 = deep_part(strips(weight, rows), 0.4)
    assert (weight[0, y0:y1, x0:x1] >= 2.0).all() and y1 - y0 >= 360 - 2 * CELL


def test_single_pixels_that_were_rejected_cut_nothing():
    weight = weights()
    whole = deep_part(strips(weight, 64), 0.9)
    rng = np.random.default_rng(1)
    weight[:, rng.integers(0, 400, 600), rng.integers(0, 500, 600)] = 0.0
    assert deep_part(strips(weight, 64), 0.9) == whole
    weight[:, 200:204, :] = np.nan  # but a gap does
    y0, y1, _, _ = deep_part(strips(weight, 64), 0.9)
    assert y1 <= 204 or y0 >= 200


def test_the_end_of_the_data_is_no_line_of_the_part():
    """A row is 1/16 of a cell: one that is empty would be within what may lack."""
    weight = np.ones((1, 128, 160), np.float32)
    weight[:, 0] = weight[:, :, 159] = 0.0
    y0, y1, x0, x1 = deep_part(strips(weight, 64), 0.5)
    assert (y0, y1, x0, x1) == (16, 128, 0, 144)


def test_every_channel_counts():
    weight = weights()
    weight[1, :, 250:] *= 0.1
    assert deep_part(strips(weight, 64), 0.5)[3] <= 256


def test_nothing_is_deep_enough():
    assert deep_part(strips(np.zeros((1, 64, 64), np.float32), 16), 0.5) is None
    assert deep_part(iter(()), 0.5) is None
