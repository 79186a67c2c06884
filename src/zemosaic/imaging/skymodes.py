"""Smooth surfaces of the whole sky, as the frames would follow them: the coarse space of the sky's equations.

What conjugate gradients find last is a wide bend of the sky that all frames follow together. Quadratic B-splines over the
mosaic hold such bends nearly exactly: each frame takes value and slopes (and curvature) of the spline at its middle. Sky of
2 000 frames with 30 neighbours each, to 1e-8: 310 steps with planes of patches of frames, 49 with splines
whose knots lie a short side apart (with knots at 0.7 of it 38, and a factor that takes 0.8 GB for 100 000 frames).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zemosaic.imaging.skysurface import PLANE

__all__ = ["CURVED", "among", "smooth_modes"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CURVED = PLANE + 1  # terms of a surface 1, u, v, u^2 + v^2
# distance of the knots in short sides of a frame: 49 steps for 2 000 frames; 0.7 makes 38, no fewer for 10 000
KNOTS = 1.0
SPLINES = 9  # that are not 0 at a place


def smooth_modes(middle: FloatArray, axes: FloatArray, gain: FloatArray, side: float, terms: int) -> sp.csr_array:
    """(frames * terms, splines): surfaces of the frames, by term, under each B-spline of the sky.

    middle : (frames, 2) x, y of each frame's middle. axes : (frames, 2, 2) d(u, v) / d(x, y). gain : (frames,).
    side : short side of a frame, in the unit of x and y. terms : 1 (constant), 3 (plane) or `CURVED`.
    """
    knots = KNOTS * side
    column, along_x = _splines(middle[:, 0] / knots)
    row, along_y = _splines(middle[:, 1] / knots)
    value = _products(along_x[0], along_y[0])
    modes = np.zeros((len(gain), terms, SPLINES))  # frame, its term, spline
    modes[:, 0] = value
    if terms >= PLANE:
        slopes = np.stack([_products(along_x[1], along_y[0]), _products(along_x[0], along_y[1])], axis=1) / knots
        modes[:, 1:PLANE] = np.linalg.inv(axes.transpose(0, 2, 1)) @ slopes
    if terms == CURVED:  # u^2 + v^2 is det(axes) (x^2 + y^2), whose Laplacian is 4
        laplacian = (_products(along_x[2], along_y[0]) + _products(along_x[0], along_y[2])) / knots**2
        modes[:, PLANE] = laplacian / (4.0 * np.abs(np.linalg.det(axes)))[:, None]
    modes *= gain[:, None, None]
    place = (row * (int(column.max()) + 1))[:, :, None] + column[:, None, :]
    splines = np.unique(place.reshape(len(gain), SPLINES), return_inverse=True)[1].reshape(len(gain), SPLINES)
    rows = np.arange(len(gain) * terms).reshape(len(gain), terms)
    rows, splines = (np.broadcast_to(each, modes.shape) for each in (rows[:, :, None], splines[:, None, :]))
    shape = (len(gain) * terms, int(splines.max()) + 1)
    return sp.csr_array((modes.ravel(), (rows.ravel(), splines.ravel())), shape=shape)


def among(modes: sp.csr_array, terms: int, own: int, size: int) -> sp.csr_array:
    """(size, splines): the same modes where each frame has `own` unknowns, of which they move the first `terms`."""
    entries = modes.tocoo()
    frame, term = np.divmod(entries.coords[0], terms)
    return sp.csr_array((entries.data, (frame * own + term, entries.coords[1])), shape=(size, modes.shape[1]))


def _splines(place: FloatArray) -> tuple[IntArray, FloatArray]:
    """Numbers (n, 3) of the quadratic B-splines that are not 0 at each place, from 0; and (3, n, 3) their values, first and
    second derivatives. Knots lie half-way between integers.
    """
    nearest = np.rint(place)
    off = place - nearest
    value = [0.5 * (0.5 - off) ** 2, 0.75 - off**2, 0.5 * (0.5 + off) ** 2]
    slope = [off - 0.5, -2.0 * off, off + 0.5]
    bend = [np.ones_like(off), np.full_like(off, -2.0), np.ones_like(off)]
    first = (nearest - nearest.min()).astype(np.int64)
    return first[:, None] + np.arange(3), np.array([value, slope, bend]).transpose(0, 2, 1)


def _products(along_x: FloatArray, along_y: FloatArray) -> FloatArray:
    """(n, SPLINES) products of three values along each axis, y major."""
    return (along_y[:, :, None] * along_x[:, None, :]).reshape(len(along_x), SPLINES)
