"""Thin cloud that is thicker on one side of a frame: transparency as a plane, a (1 + cu u + cv v), where the stars ask for it.

Only frames whose stars show it beyond doubt get one: a plane that all frames share is a plane of the stars' own brightness
and cannot be told, so most frames must have none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.gains import GainFit
from zemosaic.imaging.response import response
from zemosaic.imaging.startable import StarTable

__all__ = ["cloud_planes", "cloud_shape", "without_cloud"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EVIDENCE = 40.0  # chi^2 of two degrees of freedom: one frame in 5e8 by chance
THINNEST = 0.03  # of the light between the centre and a corner: less than that may be the sensor's
FEWEST_STARS = 12  # in a frame
MOST_FRAMES = 0.5  # share of the frames of a telescope that may have one
FAINTEST = 10.0  # expected S/N
CUT, ROUNDS = 4.685, 6  # of Tukey's biweight
LEAST_LIGHT = 0.2  # of the light in the centre, where a plane would fall to nothing


def cloud_planes(table: StarTable, fit: GainFit, former: FloatArray) -> FloatArray:
    """(frames, 2) cu, cv, better than the former ones with which `fit` was made; 0 where there is no evidence."""
    n_frames = len(table.instrument)
    logarithm, variance = _residuals(table, fit)
    logarithm -= np.log(cloud_shape(former[table.frame], table.u, table.v))[:, None]
    design = np.stack([np.ones(len(table.frame)), table.u, table.v], axis=1)
    change, weight = np.zeros((n_frames, 3)), 1.0 / variance
    for _ in range(ROUNDS):
        normal, right = np.zeros((n_frames, 3, 3)), np.zeros((n_frames, 3))
        each, pull = weight.sum(axis=1), np.sum(weight * logarithm, axis=1)
        for i in range(3):
            right[:, i] = np.bincount(table.frame, pull * design[:, i], n_frames)
            for j in range(3):
                normal[:, i, j] = np.bincount(table.frame, each * design[:, i] * design[:, j], n_frames)
        normal += 1e-6 * np.eye(3)
        change = np.asarray(np.linalg.solve(normal, right[..., None])[..., 0], np.float64)
        away = (logarithm - np.sum(change[table.frame] * design, axis=1)[:, None]) / np.sqrt(variance)
        spread = max(1.0, 1.4826 * float(np.median(np.abs(away[weight > 0])))) if np.any(weight > 0) else 1.0
        t = np.clip(np.abs(away) / (CUT * spread), 0.0, 1.0)
        weight = np.where(variance < np.inf, (1.0 - t * t) ** 2 / variance, 0.0)
    covariance = np.linalg.inv(normal)[:, 1:, 1:] * spread**2
    planes = former + change[:, 1:]
    chi2 = np.einsum("ni,nij,nj->n", planes, np.linalg.inv(covariance), planes)
    count = np.bincount(table.frame, np.any(weight > 0, axis=1), n_frames)
    found = (chi2 > EVIDENCE) & (np.hypot(*planes.T) > THINNEST) & (count >= FEWEST_STARS)
    for number in np.unique(table.instrument):
        same = table.instrument == number
        if np.mean(found[same]) > MOST_FRAMES:
            found[same] = False
    return np.where(found[:, None], planes, 0.0)


def _residuals(table: StarTable, fit: GainFit) -> tuple[FloatArray, FloatArray]:
    """(n, channels) logarithms of the fluxes over the model's, and their variances; infinite for what takes no part."""
    number = table.instrument[table.frame]
    shape = np.ones(len(table.frame))
    for k, coefficients in enumerate(fit.response):
        shape[number == k] = response(coefficients, table.rho2[number == k])
    model = fit.gain[table.frame] * fit.star_flux[table.star] * shape[:, None]
    good = np.isfinite(model) & np.isfinite(table.flux) & (table.flux > 0.05 * model) & (table.error > 0)
    model = np.where(good, model, 1.0)
    variance = (table.error / model) ** 2
    good &= variance < FAINTEST**-2.0
    variance = np.where(good, variance + fit.photon[number] / model + fit.floor**2, np.inf)
    return np.where(good, np.log(np.where(good, table.flux, 1.0) / model), 0.0), variance


def cloud_shape(plane: FloatArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """Transparency at (u, v) over that in the middle of the frame; plane (..., 2), u and v offsets over the half-diagonal."""
    shape: FloatArray = np.maximum(1.0 + plane[..., 0] * u + plane[..., 1] * v, LEAST_LIGHT)
    return shape


def without_cloud(table: StarTable, planes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fluxes and errors (n, channels) as they would be if the whole frame were as clear as its middle."""
    shape = cloud_shape(planes[table.frame], table.u, table.v)[:, None]
    return table.flux / shape, table.error / shape
