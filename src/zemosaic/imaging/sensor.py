"""What the frames of one sensor have in common, pixel by pixel: its fixed pattern, its hot, dead and noisy pixels.

Each frame's residuals against the provisional mosaic are added up in sensor coordinates (`SensorSums`), in constant memory.
A dithered sky is independent of the pixel, so that the mean residual of a pixel is its own offset; where the field did
not move the offset is in the mosaic and not in the residuals, and nothing is found. What is found is believed only as far as
two halves of the frames agree on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import expit, ndtr

from zemosaic.kernels import sensor as kernels

__all__ = ["LEAST_FRAMES", "SensorMap", "SensorSums", "lasting", "learn_sensor"]

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LEAST_FRAMES = 8  # of one sensor: with fewer the error of an offset is larger than 0.35 of the noise of a pixel
LEAST_SAMPLES = 4  # frames behind the model of a pixel; with fewer the model follows the frame itself
MEDIAN_VARIANCE = 1.57  # of a median over that of a mean, Gaussian noise
# sky noise: where the model varies more around a pixel there are stars, and their seeing is not the sensor's
CALM = 1.0
CUT = 4.0  # sigma: one satellite or cosmic hit weighs no more than that
CELL = 64  # px: what is smoother than that is sky, vignetting or dust, and others' business
CREDIBLE = 5.0  # times its error that the common variance of two halves must have
ALONE = 4.2  # sigma: of a pixel beyond, one in a thousand, its own mean is believed and not the pattern's modest spread
HOT = 3.0  # sky noise: a pixel further out is left out instead of corrected
NOISY = 2.5  # times the variance of the others: such a pixel adds more noise than it takes away
LASTING_FRAMES, LASTING_SHARE = 3, 0.2  # frames, and share of a sensor's, in which a pixel is damaged
SURE = 6.0  # sigma, of the verdict on a single pixel: none of the 2e6 good ones is lost


def lasting(damaged: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Flat places of pixels that so many frames of a sensor show to be damaged that the others must not be trusted.

    damaged : flat places of the damaged pixels of each frame. A pixel of 4.2 sigma stands out by 5 in a fifth of the frames; by
    chance, once in 2e6 pixels and frames, none does so three times.
    """
    if not damaged:
        return np.zeros(0, np.int64)
    places, times = np.unique(np.concatenate(damaged), return_counts=True)
    often: NDArray[np.int64] = places[times >= max(LASTING_FRAMES, LASTING_SHARE * len(damaged))]
    return often


class SensorSums:
    """Sums over frames of one sensor; `planes` is (4, h, w) float32, see `zemosaic.kernels.sensor.add_residuals`."""

    def __init__(self, planes: Float32Array) -> None:
        self.planes = planes

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> SensorSums:
        return cls(np.zeros((4, *shape), np.float32))

    def add_frame(
        self,
        raw: Float32Array,
        expected: Float32Array,
        tolerated: Float32Array,
        spread: Float32Array,
        samples: NDArray[np.uint16],
        skipped: BoolArray,
        sigma: FloatArray,
    ) -> None:
        """Add one frame; arrays (h, w) in ADU, NaN in `tolerated` is no model; sigma (2, 2) of the sky at (y % 2, x % 2)."""
        limits = (LEAST_SAMPLES, MEDIAN_VARIANCE, CALM, CUT)
        at = sigma.astype(np.float32)
        kernels.add_residuals(raw, expected, tolerated, spread, samples, skipped, at, limits, self.planes)


@dataclass(frozen=True)
class SensorMap:
    """What is wrong with the pixels of a sensor."""

    offset: Float32Array  # (h, w) ADU, to be taken off every frame
    bad: BoolArray  # (h, w) hot, dead or noisy: to be left out
    pattern: (
        float  # rms of the fixed pattern over the noise of a frame, without its single pixels; 0 when none was found
    )


def learn_sensor(
    first: SensorSums, second: SensorSums, period: int, smear: Callable[[Float32Array], Float32Array] | None = None
) -> SensorMap:
    """The map of a sensor from the sums over two halves of its frames.

    period : 2 with a colour filter array, whose four phases are looked at by themselves; 1 without
    smear : what a pattern (h, w) puts into the models that the frames were compared with (`zemosaic.imaging.smear`); None where
        the field moved so that this is nothing. That part of the pattern cannot be told from the sky, and what is found of it is
        what other things left in the model: it is not believed.
    """
    total = first.planes + second.planes
    halves = [_Means(each.planes[1], each.planes[2]).roughness(period) for each in (first, second)]
    whole = _Means(total[1], total[2]).roughness(period)
    means, weights = [half.mean for half in halves], [half.weight for half in halves]
    offset = np.zeros(total.shape[1:], np.float32)
    for axis in (0, 1):  # columns, rows
        lines = _line_offsets([mean - offset for mean in means], weights, axis, period)
        offset += _spread_lines(lines, offset.shape, axis, period)
    variance, scatter = _common([mean - offset for mean in means], weights)
    error2 = (scatter / np.maximum(whole.weight, 1e-30)).astype(np.float32)
    alone, pattern = _believed(_uncut(whole.mean - offset, total), error2, variance)
    pattern += offset
    if smear is not None:
        pattern -= smear(pattern)
    noise = float(np.median(_noise(total)[total[0] > 0])) if (total[0] > 0).any() else 1.0
    bad = _hot(whole.mean, error2, total) | _noisy(total)
    return SensorMap(pattern + alone, bad, float(np.sqrt(variance)) / noise)


@dataclass(frozen=True)
class _Means:
    """Weighted sums of residuals as a mean per pixel; 0 with weight 0 where nothing was seen."""

    weight: Float32Array  # ADU^-2
    total: Float32Array  # ADU^-1

    @property
    def mean(self) -> Float32Array:
        result: Float32Array = np.divide(self.total, self.weight, out=np.zeros_like(self.total), where=self.weight > 0)
        return result

    def roughness(self, period: int) -> _Means:
        """Without what is smoother than CELL px, each phase of the colour filter array by itself."""
        total = self.total.copy()
        for y in range(period):
            for x in range(period):
                here = np.s_[y::period, x::period]
                total[here] -= self.weight[here] * _smooth(self.weight[here], self.total[here], CELL // period)
        return _Means(self.weight, total)


def _smooth(weight: Float32Array, total: Float32Array, cell: int) -> Float32Array:
    """Means in cells, bilinear between their centres."""
    h, w = weight.shape
    rows, columns = max(h // cell, 1), max(w // cell, 1)
    cuts = [np.linspace(0, n, parts + 1).astype(int)[:-1] for n, parts in ((h, rows), (w, columns))]
    sums = [np.add.reduceat(np.add.reduceat(a, cuts[0], axis=0, dtype=float), cuts[1], axis=1) for a in (weight, total)]
    mean = np.divide(sums[1], sums[0], out=np.zeros_like(sums[0]), where=sums[0] > 0)
    y = (np.arange(h) + 0.5) * rows / h - 0.5
    x = (np.arange(w) + 0.5) * columns / w - 0.5
    rough: Float32Array = map_coordinates(mean, np.meshgrid(y, x, indexing="ij"), np.float32, order=1, mode="nearest")
    return rough


def _common(means: list[Float32Array], weights: list[Float32Array]) -> tuple[float, float]:
    """Variance that two halves have in common, 0 when it is not significant, and that of a mean of weight 1.

    The halves' noise is independent: the mean of their product is the variance of the pattern, whatever the noise is. Pixels
    beyond 4 sigma are another matter and left out.
    """
    seen = (weights[0] > 0) & (weights[1] > 0)
    a, b = (m[seen] for m in means)
    wa, wb = (w[seen] for w in weights)
    if a.size < 2:
        return 0.0, 1.0
    scatter = float((1.4826 * np.median(np.abs(a - b) / np.sqrt(1.0 / wa + 1.0 / wb))) ** 2)
    spread = [1.4826 * float(np.median(np.abs(half))) for half in (a, b)]
    core = (np.abs(a) < 4.0 * spread[0]) & (np.abs(b) < 4.0 * spread[1])
    if not core.any():
        return 0.0, scatter
    variance = float(np.mean((a[core] * b[core]).astype(np.float64)))
    error = scatter * float(np.sqrt(np.mean(1.0 / (wa[core].astype(np.float64) * wb[core])) / core.sum()))
    return (variance if variance > CREDIBLE * error else 0.0), scatter


def _line_offsets(means: list[Float32Array], weights: list[Float32Array], axis: int, period: int) -> Float32Array:
    """Offsets of whole columns (axis 0) or rows (axis 1), (period, n): those of each phase along the line by themselves."""
    lines, loads = [], []
    for mean, weight in zip(means, weights):
        m, w = (mean, weight) if axis == 0 else (mean.T, weight.T)
        load = np.stack([w[k::period].sum(axis=0, dtype=np.float64) for k in range(period)])
        total = np.stack([(m[k::period] * w[k::period]).sum(axis=0, dtype=np.float64) for k in range(period)])
        lines.append(np.divide(total, load, out=np.zeros_like(total), where=load > 0).astype(np.float32))
        loads.append(load.astype(np.float32))
    variance, scatter = _common(lines, loads)
    weight = loads[0] + loads[1]
    mean = np.divide(lines[0] * loads[0] + lines[1] * loads[1], weight, out=np.zeros_like(weight), where=weight > 0)
    if variance == 0.0:
        return np.zeros_like(mean)
    shrunk: Float32Array = mean * variance / (variance + scatter / np.maximum(weight, np.float32(1e-30)))
    return shrunk


def _spread_lines(lines: Float32Array, shape: tuple[int, ...], axis: int, period: int) -> Float32Array:
    """(h, w) of the offsets of lines."""
    along = np.arange(shape[axis]) % period
    return lines[along] if axis == 0 else lines[along].T


def _believed(mean: Float32Array, error2: Float32Array, variance: float) -> tuple[Float32Array, Float32Array]:
    """The most likely offset of each pixel, in two parts: as a pixel by itself, and as one of the pattern.

    The pattern is normal with `variance`, but for one pixel in a thousand that may have any offset: a mean beyond `ALONE` sigma
    is such a pixel's (the posterior mean of a mixture of the two, with the wide one flat).
    """
    z2 = mean**2 / (variance + error2)
    alone = expit(0.5 * (z2 - ALONE**2))
    narrow = variance / (variance + error2)
    return (mean * alone).astype(np.float32), (mean * (1.0 - alone) * narrow).astype(np.float32)


def _noise(total: Float32Array) -> Float32Array:
    """(h, w) ADU, of one frame, the harmonic mean over frames; 0 where nothing was seen."""
    result: Float32Array = np.sqrt(np.divide(total[0], total[1], out=np.zeros_like(total[0]), where=total[1] > 0))
    return result


def _uncut(mean: Float32Array, total: Float32Array) -> Float32Array:
    """The means that residuals would have if they had not been cut at CUT sigma, for means up to HOT sigma and a little more.

    E[min(z, k)] of a normal z with mean m and sigma 1 is m - (phi(k - m) - (k - m) Phi(m - k)).
    """
    true = np.linspace(0.0, HOT + 0.7, 64)
    gap = CUT - true
    cut = true - (np.exp(-0.5 * gap**2) / np.sqrt(2.0 * np.pi) - gap * ndtr(-gap))
    noise = np.maximum(_noise(total), np.float32(1e-30))
    restored: Float32Array = (np.sign(mean) * noise * np.interp(np.abs(mean) / noise, cut, true)).astype(np.float32)
    return np.where(total[0] > 0, restored, np.float32(0.0))


def _hot(mean: Float32Array, error2: Float32Array, total: Float32Array) -> BoolArray:
    """Pixels that are further out than a correction could mend: hot and dead ones."""
    far: BoolArray = (np.abs(mean) > HOT * _noise(total)) & (mean**2 > SURE**2 * error2) & (total[0] > 0)
    return far


def _noisy(total: Float32Array) -> BoolArray:
    """Pixels whose residuals vary more than those of the others: telegraph noise, hot pixels after a dark.

    The sum of squares is compared with the chi^2 distribution (Wilson & Hilferty 1931, PNAS 17, 684: its cube root is normal).
    """
    freedom = total[0] - 1.0
    square = total[3] - np.divide(total[2] ** 2, total[1], out=np.zeros_like(total[1]), where=total[1] > 0)
    enough = freedom >= LEAST_FRAMES - 1
    if not enough.any():
        return np.zeros(total.shape[1:], bool)
    relative = np.divide(square, freedom, out=np.zeros_like(square), where=enough)
    relative /= max(float(np.median(relative[enough])), 1e-30)
    width = 2.0 / (9.0 * np.maximum(freedom, 1.0))
    normal = (np.cbrt(np.maximum(relative, 0.0)) - (1.0 - width)) / np.sqrt(width)
    result: BoolArray = enough & (relative > NOISY) & (normal > SURE)
    return result
