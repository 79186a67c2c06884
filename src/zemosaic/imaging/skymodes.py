"""Smooth surfaces of the whole sky, as the frames would follow them: the coarse space of the sky's equations.

What conjugate gradients find last is a wide bend of the sky that all frames follow together. Quadratic B-splines over the
mosaic hold such bends nearly exactly: each frame takes value and slopes (and curvature) of the spline at its middle, and the
sky under it is the spline too. Sky of frames with 30 neighbours each, to 1e-8: 310 steps for 2 000 frames with planes of
patches of frames, 40 with splines whose knots lie a short side apart; 47 for 10 000, and 45 for 100 000 to 1e-7. With the sky
from row sums of its matrix, and tangent planes at the mean of the cells that no star masks, these were 46, 120 and 297.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from zemosaic.imaging.dissection import dissection
from zemosaic.imaging.skysurface import PLANE

__all__ = ["CURVED", "SkySplines", "among"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CURVED = PLANE + 1  # terms of a surface 1, u, v, u^2 + v^2
# distance of the knots in short sides of a frame: 1.25 makes 55 steps of 45 for 100 000, and half the entries in the factors
KNOTS = 1.0
MOST = 16_000  # splines: 0.2 GB for each channel at work; of 100 000 frames knots are then 1.3 sides apart, a fifth more steps
APART = 5  # knots: splines that far from each other share few nodes
SPLINES = 9  # that are not 0 at a place


class SkySplines:
    """The B-splines of the whole sky that are not 0 at the middle of some frame or at a node.

    middle : (frames, 2) x, y of each frame's middle. nodes : (nodes, 2). side : short side of a frame, in the unit of x and y.
    """

    def __init__(self, middle: FloatArray, nodes: FloatArray, side: float) -> None:
        self._middle, self._nodes = middle, nodes
        self._lay(KNOTS * side)
        if len(self._known) > MOST:
            self._lay(self._knots * np.sqrt(len(self._known) / MOST))
        self._number = np.empty(len(self._known), np.int64)
        order = dissection(self._known % self._stride, self._known // self._stride, APART)
        self._number[order] = np.arange(len(order))

    def _lay(self, knots: float) -> None:
        """Splines with knots so far apart."""
        self._knots = knots
        nearest = np.rint(np.concatenate([self._middle, self._nodes]) / knots)
        self._first = nearest.min(axis=0)
        self._stride = int(np.ptp(nearest[:, 0])) + 3
        self._known = np.union1d(self._place(self._middle)[0], self._place(self._nodes)[0])

    def _place(self, at: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Places (n, SPLINES) of the splines around each position (n, 2), and (3, n, 3) what they are along x and along y."""
        column, along_x = _splines(at[:, 0] / self._knots, self._first[0])
        row, along_y = _splines(at[:, 1] / self._knots, self._first[1])
        place = row[:, :, None] * self._stride + column[:, None, :]
        return place.reshape(len(at), SPLINES), along_x, along_y

    def on_frames(self, axes: FloatArray, gain: FloatArray, terms: int) -> sp.csr_array:
        """(frames * terms, splines): surfaces of the frames, by term, under each spline.

        axes : (frames, 2, 2) d(u, v) / d(x, y). gain : (frames,). terms : 1 (constant), 3 (plane) or `CURVED`.
        """
        knots = self._knots
        place, along_x, along_y = self._place(self._middle)
        modes = np.zeros((len(gain), terms, SPLINES))  # frame, its term, spline
        modes[:, 0] = _products(along_x[0], along_y[0])
        if terms >= PLANE:
            slopes = np.stack([_products(along_x[1], along_y[0]), _products(along_x[0], along_y[1])], axis=1) / knots
            modes[:, 1:PLANE] = np.linalg.inv(axes.transpose(0, 2, 1)) @ slopes
        if terms == CURVED:  # u^2 + v^2 is det(axes) (x^2 + y^2), whose Laplacian is 4
            laplacian = (_products(along_x[2], along_y[0]) + _products(along_x[0], along_y[2])) / knots**2
            modes[:, PLANE] = laplacian / (4.0 * np.abs(np.linalg.det(axes)))[:, None]
        modes *= gain[:, None, None]
        return self._matrix(modes.reshape(-1, SPLINES), np.repeat(place, terms, axis=0))

    def on_nodes(self) -> sp.csr_array:
        """(nodes, splines) the sky that answers the frames' surfaces: minus the splines at each node."""
        place, along_x, along_y = self._place(self._nodes)
        return self._matrix(-_products(along_x[0], along_y[0]), place)

    def _matrix(self, values: FloatArray, place: IntArray) -> sp.csr_array:
        number = self._number[np.searchsorted(self._known, place)]
        starts = np.arange(len(place) + 1) * SPLINES
        return sp.csr_array((values.ravel(), number.ravel(), starts), shape=(len(place), len(self._known)))


def among(modes: sp.csr_array, terms: int, own: int, size: int) -> sp.csr_array:
    """(size, splines): the same modes where each frame has `own` unknowns, of which they move the first `terms`."""
    entries = modes.tocoo()
    frame, term = np.divmod(entries.coords[0], terms)
    return sp.csr_array((entries.data, (frame * own + term, entries.coords[1])), shape=(size, modes.shape[1]))


def _splines(place: FloatArray, first: float) -> tuple[IntArray, FloatArray]:
    """Numbers (n, 3) of the quadratic B-splines that are not 0 at each place, and (3, n, 3) their values, first and
    second derivatives. Knots lie half-way between integers; spline 0 is the lowest at the place `first`.
    """
    nearest = np.rint(place)
    off = place - nearest
    value = [0.5 * (0.5 - off) ** 2, 0.75 - off**2, 0.5 * (0.5 + off) ** 2]
    slope = [off - 0.5, -2.0 * off, off + 0.5]
    bend = [np.ones_like(off), np.full_like(off, -2.0), np.ones_like(off)]
    numbers = (nearest - first).astype(np.int64)[:, None] + np.arange(3)
    return numbers, np.array([value, slope, bend]).transpose(0, 2, 1)


def _products(along_x: FloatArray, along_y: FloatArray) -> FloatArray:
    """(n, SPLINES) products of three values along each axis, y major."""
    return (along_y[:, :, None] * along_x[:, None, :]).reshape(len(along_x), SPLINES)
