"""Thin cloud as a plane of transparency, against planted planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zemosaic.imaging.cloud import cloud_planes, cloud_shape, without_cloud
from zemosaic.imaging.gains import fit_gains
from zemosaic.imaging.startable import StarTable

FRAMES, STARS = 16, 120
PLANES = {2: (0.25, 0.1), 7: (-0.1, 0.3), 8: (0.05, -0.02)}


def observe(planes: dict[int, tuple[float, float]], outliers: float = 0.03) -> tuple[StarTable, np.ndarray]:
    """One field seen by all frames, dithered, a tenth of the stars at S/N 10 and the brightest at 300; and the planes."""
    rng = np.random.default_rng(7)
    flux = 1000.0 * (0.1 + rng.random(STARS)) ** -1.2
    frame, star = np.repeat(np.arange(FRAMES), STARS), np.tile(np.arange(STARS), FRAMES)
    u, v = (np.tile(half * rng.uniform(-1.0, 1.0, STARS), FRAMES) for half in (0.49, 0.87))
    truth = np.zeros((FRAMES, 2))
    for k, plane in planes.items():
        truth[k] = plane
    gain = rng.uniform(0.5, 1.0, FRAMES)
    expected = (gain[frame] * flux[star] * cloud_shape(truth[frame], u, v))[:, None] * np.ones(3)
    error = np.full(expected.shape, 50.0)
    seen = expected * (1.0 + 0.005 * rng.normal(size=expected.shape)) + error * rng.normal(size=expected.shape)
    wrong = rng.random(len(frame)) < outliers
    seen[wrong] *= rng.uniform(0.3, 3.0, (wrong.sum(), 1))
    one = np.zeros(FRAMES, np.int64)
    return StarTable(frame, star, seen, error, u * u + v * v, one, one, np.full(STARS, np.nan), u, v), truth


def found(table: StarTable) -> np.ndarray:
    planes, fit = np.zeros((FRAMES, 2)), fit_gains(table, with_response=False)
    for _ in range(3):
        planes = cloud_planes(table, fit, planes)
        flux, error = without_cloud(table, planes)
        fit = fit_gains(replace(table, flux=flux, error=error), with_response=False)
    return planes


def test_planes_are_found_and_the_clear_frames_have_none() -> None:
    table, truth = observe(PLANES)
    np.testing.assert_allclose(found(table), truth, atol=0.012)
    clear = [k for k in range(FRAMES) if k not in PLANES]
    assert not found(table)[clear].any()


def test_clear_frames_have_none_whatever_their_outliers() -> None:
    assert not found(observe({}, outliers=0.15)[0]).any()


def test_where_no_majority_is_clear_none_is_called_cloudy() -> None:
    assert not found(observe(dict.fromkeys(range(8), (0.2, 0.0)))[0]).any()


def test_shape_stays_positive() -> None:
    assert cloud_shape(np.array([3.0, 0.0]), np.array([-0.9, 0.0]), np.zeros(2)).tolist() == [0.2, 1.0]
