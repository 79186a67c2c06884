"""The radial sensor response."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.response import frame_coordinates, half_diagonal, is_significant, radial_powers, response


def test_coordinates_are_zero_in_the_centre_and_one_in_the_corner_of_the_frame() -> None:
    u, v = frame_coordinates([539.5, -0.5, 1079.5], [959.5, -0.5, -0.5], 1080, 1920)
    np.testing.assert_allclose(np.hypot(u, v), [0.0, 1.0, 1.0])
    assert half_diagonal(1080, 1920) == pytest.approx(1101.4535)


def test_response_is_one_in_the_centre_and_agrees_with_its_powers() -> None:
    rho2 = np.linspace(0.0, 1.0, 9)
    coefficients = (-0.09, -0.03)
    np.testing.assert_allclose(response(coefficients, rho2), 1.0 + radial_powers(rho2) @ np.array(coefficients))
    assert response(coefficients, 0.0) == 1.0
    assert response(coefficients, 1.0) == pytest.approx(0.88)
    np.testing.assert_array_equal(response((), rho2), 1.0)


def test_significance_weighs_the_coefficients_together() -> None:
    """Two coefficients, each uncertain, whose sum is well known: the corner decides."""
    covariance = 0.05**2 * np.array([[1.0, -0.98], [-0.98, 1.0]])
    assert is_significant(np.array([-0.06, -0.06]), covariance)
    assert not is_significant(np.array([-0.06, 0.06]), covariance)
    assert not is_significant(np.array([-0.9, -0.9]), 1e-6 * np.eye(2)), "no sensor loses all its light"
