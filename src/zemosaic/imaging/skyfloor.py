"""The tilt of the mosaic, which no overlap can tell: a gradient that all frames share is a plane of the sky itself.

Two guesses, per connected component and channel. Where the frames' own gradients turn round the compass (field rotation,
several nights), their mean is nothing: the solution of minimum norm, which the sky fit gives. Where they do not, that mean would
be left in the mosaic as a ramp of gradient times size. There the dark floor of the mosaic has no ramp: a plane through the lowest
tenth of the sky is taken off. The floor says which, for one field as for many: gradients that scatter by A in every direction
leave less than A in their mean unless they turn by less than 220 degrees.

Measured on log-normal nebulae that fill 80 % of the sky: rms error of the floor 1.6 % of the 99th percentile for 2 x 2
panels and 1.7 % for a single field, where the mean gradient left 21 % and 12 %; 0.5 % where the nebula fills 40 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["floor_plane", "tilt"]

FloatArray = NDArray[np.float64]

FLOOR = 0.1  # quantile: 0.05 to 0.3 give 1.3, 1.6, 2.3 and 2.9 % (above); dust and artefacts lie below the floor
STEPS = 60
TURNING = 1.0  # of the scatter of the gradients: a smaller tilt of the floor is the nebula's


def tilt(place: FloatArray, value: FloatArray, weight: FloatArray, gradients: FloatArray) -> FloatArray:
    """Slopes (2,) along x and y, to be taken off the sky `value` (n,) of one component.

    place : (n, 2) x and y. weight : (n,) of the values, their share of the area.
    gradients : (frames, 2) per unit of x and y, about their mean.
    """
    slope = floor_plane(place, value, weight)[1:]
    scatter = np.linalg.eigvalsh(gradients.T @ gradients / len(gradients))[0]
    return np.zeros(2) if slope @ slope <= TURNING**2 * max(scatter, 0.0) else slope


def floor_plane(place: FloatArray, value: FloatArray, weight: FloatArray) -> FloatArray:
    """(3,) constant and slopes of the plane below which a share `FLOOR` of the weight lies.

    Quantile regression (Koenker & Bassett 1978) by iteratively reweighted least squares.
    """
    size = max(float(np.ptp(place, axis=0).max()), 1e-9)
    design = np.column_stack([np.ones(len(place)), place / size])
    smallest = 1e-3 * float(np.std(value)) + 1e-9
    plane: FloatArray = np.zeros(3)
    share = weight
    for _ in range(STEPS):
        before = plane
        root = np.sqrt(share)
        plane = np.asarray(np.linalg.lstsq(design * root[:, None], value * root, rcond=None)[0], np.float64)
        if np.abs(plane - before).max() < 0.1 * smallest:
            break
        away = value - design @ plane
        share = weight * np.where(away > 0, FLOOR, 1.0 - FLOOR) / np.maximum(np.abs(away), smallest)
    coefficients: FloatArray = plane / np.array([1.0, size, size])
    return coefficients
