"""The fit of places against least squares with all unknowns at once."""

import numpy as np
import pytest

from zemosaic.kernels.places import fit_gaussians

GRBG = np.array([[1, 0], [2, 1]])
S, HALF, RIDGE = 1.5, 5, 1e-6


def naive_fit(raw, colours, sigma, x, y, steps):
    """Place and error of one star: the whole design matrix, weights from the light of the step before."""
    rows, columns = np.mgrid[round(y) - HALF : round(y) + HALF + 1, round(x) - HALF : round(x) + HALF + 1]
    inside = (rows >= 0) & (columns >= 0) & (rows < raw.shape[0]) & (columns < raw.shape[1])
    rows, columns = rows[inside], columns[inside]
    channel = colours[rows % 2, columns % 2]
    rows, columns, channel = (a[channel >= 0] for a in (rows, columns, channel))
    values, noise = raw[rows, columns].astype(float), sigma[channel]
    one_of = (channel[:, None] == np.arange(len(sigma))).astype(float)
    weight = 1 / noise**2

    def solved(design, right):
        normal = design.T @ (design * weight[:, None])
        normal += np.diag(RIDGE * np.diag(normal) + 1e-30)
        return np.linalg.solve(normal, design.T @ (weight * right)), normal

    step = 0
    while True:
        dx, dy = columns - x, rows - y
        profile = np.exp(-0.5 * (dx**2 + dy**2) / S**2)
        linear = np.hstack([one_of * profile[:, None], one_of])
        found, _ = solved(linear, values)
        star = one_of @ found[: len(sigma)] * profile
        slopes = np.stack([star * dx, star * dy], axis=1) / S**2
        change, normal = solved(np.hstack([slopes, linear]), values - linear @ found)
        if step == steps:
            return x, y, np.sqrt(0.5 * np.trace(np.linalg.inv(normal)[:2, :2]))
        step += 1
        x, y = np.array([x, y]) + np.clip(change[:2], -0.5, 0.5)
        weight = 1 / noise**2 / (1 + np.maximum(star, 0) / np.maximum(one_of @ found[len(sigma) :], noise))


@pytest.mark.parametrize("colours", [GRBG, np.zeros((2, 2), int), np.where(GRBG == 2, 0, -1)])
def test_places_are_those_of_least_squares(colours):
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:60, :70]
    x, y = np.array([20.3, 44.9, 3.2, 66.0]), np.array([31.8, 12.2, 57.1, 30.4])
    raw = 300 + rng.normal(0, 8, rows.shape)
    for a, b in zip(x, y, strict=True):
        raw += 900 * np.exp(-0.5 * ((columns - a) ** 2 + (rows - b) ** 2) / S**2)
    raw = (raw * np.array([0.7, 1.0, 1.2])[GRBG[rows % 2, columns % 2]]).astype(np.float32)
    sigma = np.array([8.0, 9.0, 7.0])[: colours.max() + 1]
    place, error = np.empty((4, 2)), np.empty(4)
    x, y = x + rng.uniform(-0.4, 0.4, 4), y + rng.uniform(-0.4, 0.4, 4)
    fit_gaussians(raw, colours, sigma, x, y, HALF, S, 5, 0.5, RIDGE, place, error)
    for k in range(4):
        expected = naive_fit(raw, colours, sigma, x[k], y[k], 5)
        assert (*place[k], error[k]) == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_without_pixels_a_star_stays_where_it_is_and_its_error_is_unknown():
    place, error = np.empty((1, 2)), np.empty(1)
    far = np.array([500.0])
    fit_gaussians(np.ones((9, 9), np.float32), GRBG, np.ones(3), far, far, HALF, S, 5, 0.5, RIDGE, place, error)
    assert tuple(place[0]) == (500.0, 500.0)
    assert error[0] > 1e9 or not np.isfinite(error[0])
