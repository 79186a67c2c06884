"""Groups of frames without common stars: which there are, and their gains put on one scale."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from zemosaic.imaging.gainequations import GainState
from zemosaic.imaging.startable import StarTable

__all__ = ["anchored", "components"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MIN_ANCHORS = 3  # catalogue stars that tie a group of frames without common stars to the others


def components(table: StarTable, used: BoolArray) -> IntArray:
    """(frames,) number of the group; frames of one are linked by stars that took part.

    used : (n,) measurements.
    """
    n_frames, n_stars = len(table.instrument), len(table.vt)
    frame, star = table.frame[used], n_frames + table.star[used]
    graph = sp.csr_array((np.ones(len(frame)), (frame, star)), shape=(n_frames + n_stars,) * 2)
    labels = connected_components(graph, directed=False)[1][:n_frames]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def anchored(table: StarTable, state: GainState, component: IntArray, used: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Components without catalogue stars float: their median gain is set to that of the anchored ones (or 1)."""
    known = used & np.isfinite(table.vt[table.star])
    pairs = np.unique(np.stack([component[table.frame[known]], table.star[known]]), axis=1)[0]
    anchors = np.bincount(pairs, minlength=int(component.max()) + 1)
    largest = int(np.bincount(component).argmax())
    held = anchors >= MIN_ANCHORS
    held[largest] = True
    if not (anchors[largest] >= MIN_ANCHORS):
        held[:] = False
        held[largest] = True
    centre = np.median(state.ln_gain[held[component]], axis=0)
    ln_gain, ln_star = state.ln_gain.copy(), state.ln_star.copy()
    for k in np.flatnonzero(~held):
        frames = component == k
        shift = centre - np.median(ln_gain[frames], axis=0)
        ln_gain[frames] += shift
        ln_star[np.unique(table.star[used & frames[table.frame]])] -= shift
    return ln_gain, ln_star
