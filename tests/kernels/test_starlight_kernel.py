"""Starlight in cells against a slow, obvious twin."""

import numpy as np
import pytest

from zemosaic.kernels.starlight import add_starlight


def naive_light(x, y, flux, radius, alpha, size, cell):
    width, height = size
    out = np.zeros((-(-height // cell), -(-width // cell), flux.shape[1]))
    for k in range(len(x)):
        for j in range(height):
            for i in range(width):
                away = np.hypot(i - x[k], j - y[k])
                if away <= radius[k]:
                    out[j // cell, i // cell] += flux[k] * 2 / (np.pi * alpha**2) * (1 + (away / alpha) ** 2) ** -3
    return out


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (16, 12), (37, 23)])
@pytest.mark.parametrize("stars", [0, 1, 9])
def test_cells(size, stars):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-10, size[0] + 10, stars), rng.uniform(-10, size[1] + 10, stars)
    flux, radius = rng.uniform(0, 1000, (stars, 3)), rng.uniform(0.1, 15.0, stars)
    expected = naive_light(x, y, flux, radius, 2.1, size, 5)
    out = np.zeros_like(expected)
    add_starlight(x, y, flux, radius, 2.1, size, 5, out)
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-12)
