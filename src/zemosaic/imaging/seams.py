"""What corrections leave where sides meet: panels that share sky, telescopes or nights that end within a panel, single frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import ndimage

from zemosaic.imaging.skycells import SkyCells
from zemosaic.imaging.skyfit import SkyFit

__all__ = ["OTHERS", "Difference", "frame_steps", "panel_differences", "rim_differences"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

RIPPLE_CERTAIN = 3.0  # errors of a mean square
OTHERS = -1  # all other sides of the panel together
RIM = 2  # patches from where a side ends, within which it is compared with what goes on
AROUND = np.ones((3, 3), bool)  # patches; what only one side sees in a narrower strip than this is dither


@dataclass(frozen=True)
class Difference:
    """Mean difference between two sides over sky that both see, mosaic units."""

    first: int
    second: int
    n_cells: int  # patches of sky
    difference: FloatArray  # (channels,) first minus second
    error: FloatArray  # (channels,) expected from the noise
    ripple: FloatArray  # (channels,) rms of what varies from patch to patch, as far as it is certainly more than noise


@dataclass(frozen=True)
class _View:
    """What a side has of the patches of sky that it sees."""

    number: int
    patch: IntArray  # (n,) ascending
    mean: FloatArray  # (channels, n) residual, mosaic units
    variance: FloatArray  # (channels, n)

    def at(self, some: BoolArray) -> _View:
        return _View(self.number, self.patch[some], self.mean[:, some], self.variance[:, some])


def panel_differences(
    cells: SkyCells, fit: SkyFit, gain: FloatArray, panel: IntArray, n_panels: int
) -> tuple[Difference, ...]:
    """Residual steps between panels after matching, where they see the same patches of sky.

    panel : (frames,) number of the panel of each frame, -1 = none.
    """
    views = _views(cells, fit, gain, panel, n_panels)
    starts = np.cumsum([0, *(len(view.patch) for view in views)])
    patches = np.concatenate([view.patch for view in views])
    shape = n_panels, int(fit.patch.max()) + 1
    sharing = sp.csr_array((np.ones(len(patches), np.int32), patches, starts), shape=shape)
    pairs = sp.coo_array(sp.triu(sharing @ sharing.T, 1))
    return tuple(_difference(views[a], views[b]) for a, b in sorted(zip(*pairs.coords)))


def rim_differences(
    cells: SkyCells, fit: SkyFit, gain: FloatArray, side: IntArray, panel: IntArray, spacing: float
) -> tuple[tuple[Difference, ...], BoolArray]:
    """Steps where one side of a panel ends within the others, and (cells,) which cells lie there.

    Both sides of a panel that has two are compared with each other, of more each with all others of the panel (`OTHERS`).
    Sides that see the same sky but for their dither have no rims.

    side : (frames,) number of each frame's side, -1 = none; panel : (sides,) in which it lies. spacing : deg, of the fit.
    """
    views = _views(cells, fit, gain, side, len(panel))
    cell = np.unique(fit.patch, return_index=True)[1]
    place = np.floor(np.stack([cells.y[cell], cells.x[cell]], axis=1) / spacing).astype(np.int64)
    found, near = list[Difference](), [np.zeros(0, np.int64)]
    for number in np.unique(panel):
        members = [views[k] for k in np.flatnonzero(panel == number) if len(views[k].patch)]
        if len(members) < 2:
            continue
        everybody, sides = _together(members)
        for one in members[: 1 if len(members) == 2 else None]:
            others = members[1] if len(members) == 2 else _without(one, everybody, sides)
            rim = one.at(_ends(place, one.patch, others.patch))
            if len(np.intersect1d(rim.patch, others.patch)):
                found.append(_difference(rim, others))
                near += [each.number * len(cell) + rim.patch for each in members]
    number = side[cells.frame]
    return tuple(found), (number >= 0) & np.isin(number * len(cell) + fit.patch, np.unique(np.concatenate(near)))


def frame_steps(
    cells: SkyCells, fit: SkyFit, gain: FloatArray, panel: IntArray, rim: BoolArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Mean residual of each frame over the sky that another panel sees too, or on a rim, and its error from the noise.

    gain : (frames, channels). panel : (frames,) number of each frame's panel, -1 = none. rim : (cells,) of `rim_differences`.
    Returns two (frames, channels), ADU at gain 1; NaN for a frame without such sky.
    """
    n_frames, channels = gain.shape
    number = panel[cells.frame]
    pairs = np.unique(np.stack([fit.patch[number >= 0], number[number >= 0]]), axis=1)
    panels = np.bincount(pairs[0], minlength=int(fit.patch.max()) + 1)
    shares = (number >= 0) & (panels[fit.patch] > 1)
    shared = np.flatnonzero(shares if rim is None else shares | rim)
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


def _views(cells: SkyCells, fit: SkyFit, gain: FloatArray, side: IntArray, n_sides: int) -> list[_View]:
    """What each side sees; side : (frames,) numbers, -1 = none.

    Residuals about the common sky are averaged, so that cells need not coincide. Only patches that a side sees are kept: of
    200 panels, each sees about 1 % of all patches.
    """
    n_patches = int(fit.patch.max()) + 1
    inside = side[cells.frame] >= 0
    place = side[cells.frame[inside]] * n_patches + fit.patch[inside]
    places, number = np.unique(place, return_inverse=True)  # sorted by side, then by patch
    means, variances = np.empty((2, gain.shape[1], len(places)))
    for c in range(gain.shape[1]):
        scale = (gain[cells.frame, c] * cells.omega)[inside]
        weight = fit.weight[inside, c] * scale**2
        total = np.bincount(number, weight, len(places))
        matched = np.nan_to_num(fit.residual[inside, c]) / scale
        with np.errstate(divide="ignore", invalid="ignore"):
            means[c] = np.bincount(number, weight * matched, len(places)) / total
            variances[c] = 1.0 / total
    seen = np.all(np.isfinite(means), axis=0)
    means, variances = means[:, seen], variances[:, seen]
    sides, patches = np.divmod(places[seen], n_patches)
    starts = np.searchsorted(sides, np.arange(n_sides + 1))
    return [_View(k, patches[a:b], means[:, a:b], variances[:, a:b]) for k, (a, b) in enumerate(pairwise(starts))]


def _together(views: Sequence[_View]) -> tuple[_View, IntArray]:
    """The weighted mean of several sides, and (n,) how many of them see each of its patches."""
    patch, number, sides = np.unique(
        np.concatenate([view.patch for view in views]), return_inverse=True, return_counts=True
    )
    mean, variance = (np.concatenate(each, axis=1) for each in zip(*((view.mean, view.variance) for view in views)))
    total = np.stack([np.bincount(number, weight) for weight in 1.0 / variance])
    means = np.stack([np.bincount(number, weighted) for weighted in mean / variance])
    return _View(OTHERS, patch, means / total, 1.0 / total), sides


def _without(one: _View, everybody: _View, sides: IntArray) -> _View:
    """What the other sides have of the patches that they see; taken off, so that a thousand sides are no million pairs."""
    at = np.searchsorted(everybody.patch, one.patch)
    left = sides.copy()
    left[at] -= 1
    weight, weighted = 1.0 / everybody.variance, everybody.mean / everybody.variance
    weight[:, at] -= 1.0 / one.variance
    weighted[:, at] -= one.mean / one.variance
    seen = left > 0
    weight, weighted = weight[:, seen], weighted[:, seen]
    return _View(OTHERS, everybody.patch[seen], weighted / weight, 1.0 / weight)


def _ends(place: IntArray, one: IntArray, other: IntArray) -> BoolArray:
    """Which patches of `one` lie within `RIM` of where one of both sides goes on alone.

    place : (patches, 2) row and column of all. Holes, which masked stars make, are no rims.
    """
    low = place[np.concatenate([one, other])].min(axis=0) - 1
    size = place[np.concatenate([one, other])].max(axis=0) - low + 2
    covered = []
    for patches in (one, other):
        seen = np.zeros(size, bool)
        seen[tuple((place[patches] - low).T)] = True
        covered.append(ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(seen, 2), AROUND))[2:-2, 2:-2])
    alone = [ndimage.binary_opening(a & ~b, AROUND) for a, b in (covered, covered[::-1])]
    rim = ndimage.binary_dilation(alone[0] | alone[1], AROUND, iterations=RIM)
    near: BoolArray = rim[tuple((place[one] - low).T)]
    return near


def _difference(first: _View, second: _View) -> Difference:
    both, a, b = np.intersect1d(first.patch, second.patch, assume_unique=True, return_indices=True)
    weight = 1.0 / (first.variance[:, a] + second.variance[:, b])
    total = weight.sum(axis=1)
    apart = first.mean[:, a] - second.mean[:, b]
    difference = np.sum(weight * apart, axis=1) / total
    noise = (1.0 + RIPPLE_CERTAIN * np.sqrt(2.0 / len(both))) / np.mean(weight, axis=1)
    ripple = np.sqrt(np.maximum(np.sum(weight * apart**2, axis=1) / total - noise, 0.0))
    return Difference(first.number, second.number, len(both), difference, 1.0 / np.sqrt(total), ripple)
