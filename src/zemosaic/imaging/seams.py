"""What single frames contribute to the steps between panels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import SkyFit

__all__ = ["frame_steps"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def frame_steps(cells: SkyCells, fit: SkyFit, gain: FloatArray, panel: IntArray) -> tuple[FloatArray, FloatArray]:
    """Mean residual of each frame over the sky that another panel sees too, and its error from the noise.

    gain : (frames, channels). panel : (frames,) number of each frame's panel, -1 = none.
    Returns two (frames, channels), ADU at gain 1; NaN for a frame without such sky.
    """
    n_frames, channels = gain.shape
    number = panel[cells.frame]
    pairs = np.unique(np.stack([fit.patch[number >= 0], number[number >= 0]]), axis=1)
    panels = np.bincount(pairs[0], minlength=int(fit.patch.max()) + 1)
    shared = np.flatnonzero((number >= 0) & (panels[fit.patch] > 1))
    frame = cells.frame[shared]
    steps, errors = np.full((2, n_frames, channels), np.nan)
    for c in range(channels):
        scale = gain[frame, c] * cells.omega[shared]
        weight = fit.weight[shared, c] * scale**2
        total = np.bincount(frame, weight, n_frames)
        known = total > 0
        sums = np.bincount(frame, weight * np.nan_to_num(fit.residual[shared, c]) / scale, n_frames)
        steps[known, c] = sums[known] / total[known]
        errors[known, c] = 1.0 / np.sqrt(total[known])
    return steps, errors
