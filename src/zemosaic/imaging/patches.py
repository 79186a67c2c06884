"""Patches of frames that share what they see: the coarse space of large systems."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["patches"]

IntArray = NDArray[np.int64]

SHARED = 0.3  # of the frame's things, that a member shares with the first frame of its patch


def patches(frame: IntArray, thing: IntArray, n_frames: int, n_things: int) -> IntArray:
    """(n_frames,) number of the patch of each frame; frames of a patch share a good part of the things that its first sees.

    frame, thing : (n,) which frame sees which thing (star, square of sky), with numbers from 0.

    Greedy: the first frame that has no patch opens one and takes the free frames that share enough with it.
    """
    sees = sp.csr_array((np.ones(len(frame), np.float32), (frame, thing)), shape=(n_frames, n_things))
    seen_by = sp.csr_array(sees.T)
    patch = np.full(n_frames, -1, np.int64)
    count = 0
    for first in range(n_frames):
        if patch[first] >= 0:
            continue
        patch[first] = count
        things = sees.indices[sees.indptr[first] : sees.indptr[first + 1]]
        others = [seen_by.indices[seen_by.indptr[t] : seen_by.indptr[t + 1]] for t in things]
        if others:
            near, shared = np.unique(np.concatenate(others), return_counts=True)
            free = (patch[near] < 0) & (shared >= SHARED * len(things))
            patch[near[free]] = count
        count += 1
    return patch
