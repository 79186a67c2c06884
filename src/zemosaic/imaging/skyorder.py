"""Skies that no plane follows: how far the residuals of planes show a curvature of the frames' own skies.

Twilight, the moon through haze and domes of light bend a sky by more than a plane holds. A second order in every frame costs
precision where it is not needed (a bend of the whole mosaic is the sum of bends of its frames), so it takes evidence, and gets
a prior: zero, with the scatter that the residuals show. What all skies have in common cannot be told from the mosaic's own shape
and stays there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import SkyFit
from zemosaic.imaging.skysurface import BENT, PLANE, surface_basis
from zemosaic.kernels.skyfit import surface_sums

__all__ = ["LEAST_CURVATURE", "curvature_seen"]

FloatArray = NDArray[np.float64]

# of the sky's level, of a coefficient: what is allowed for where a second order is asked for anyhow
LEAST_CURVATURE = 0.002
FEWEST_CELLS = 50  # of a frame


def curvature_seen(cells: SkyCells, fit: SkyFit) -> float:
    """Standard deviation of second-order coefficients over the level of the sky, of the worst channel; 0 without evidence.

    cells, fit : their fit with planes. Evidence is the Bayesian information criterion (Schwarz 1978, Ann. Statist. 6, 461) of
    three more terms per frame over all frames.
    """
    basis, frames = surface_basis(cells.u, cells.v, BENT), len(fit.component)
    found = [0.0]
    for c in range(cells.value.shape[1]):
        weight = np.where(np.isfinite(fit.residual[:, c]), fit.weight[:, c], 0.0)
        root, left = np.sqrt(weight)[:, None], np.nan_to_num(fit.residual[:, c])
        normal, right = np.zeros((frames, BENT, BENT)), np.zeros((frames, BENT, 1))
        surface_sums(cells.frame, basis * root, left[:, None] * root, normal, right)
        count = np.bincount(cells.frame, weight > 0, frames)
        some = count >= FEWEST_CELLS
        if not some.any():
            continue
        covariance = np.linalg.pinv(normal[some], rcond=1e-9, hermitian=True)
        bend = np.einsum("nij,njk->ni", covariance, right[some])[:, PLANE:]
        covariance = covariance[:, PLANE:, PLANE:]
        chi2 = np.einsum("ni,ni->n", bend, np.linalg.solve(covariance, bend[..., None])[..., 0])
        if np.sum(chi2 - (BENT - PLANE) * np.log(count[some])) > 0.0:
            beyond = np.mean(bend**2, axis=1) - np.einsum("nii->n", covariance) / (BENT - PLANE)
            level = np.maximum(np.abs(fit.sky[some, c, 0]), 1e-6)
            found.append(float(np.sqrt(max(0.0, np.mean(beyond / level**2)))))
    return max(found)
