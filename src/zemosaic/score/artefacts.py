"""What should have been rejected and was not: outliers, satellite trails, hot pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.projection import pixel_to_sky, sky_to_pixel
from zemosaic.score.scene import Scene
from zemosaic.score.smooth import Residual

__all__ = ["ArtefactScore", "judge_artefacts"]

F64 = NDArray[np.float64]
DEPTH, TRAIL_DEPTH = (
    4,
    6,
)  # subs at least: with fewer a wrong sample cannot be told from the others, a faint wing from noise
OUTLIER = 6.0  # sigma
HOT = 6.0  # sigma of the sky in one sub: fixed pixels from here on count
OFF_AXIS = (3.0, 4.0, 5.0)  # px beside a trail
RING = (1.5, 2.5)  # px around a hot pixel
DIRECTIONS = 8


@dataclass(frozen=True)
class ArtefactScore:
    """Of one channel; residuals in units of the noise of the mosaic's pixels; NaN where there is nothing to see."""

    outliers: float  # per megapixel, beyond 6 sigma
    trail_on: float
    trail_off: float
    worst_trail: float  # the trail with the largest mean on its axis
    hot_on: float
    hot_off: float


def judge_artefacts(scene: Scene, residual: Residual) -> ArtefactScore:
    """Outliers and hot pixels of one channel where at least `DEPTH` subs overlap, trails where `TRAIL_DEPTH` do."""
    score = np.where(scene.frames >= DEPTH, residual.rough / residual.sigma, np.nan)
    valid = np.isfinite(score)
    beyond = np.count_nonzero(np.abs(score[valid]) > OUTLIER)
    outliers = 1e6 * beyond / max(int(np.count_nonzero(valid)), 1)
    deep = np.where(scene.frames >= TRAIL_DEPTH, score, np.float32(np.nan))
    on, off = [], []
    for sub in scene.truth.subs:
        if sub.trail is not None:
            on.append(_values(deep, *scene.trail_line(sub, 0.0)))
            off += [_values(deep, *scene.trail_line(sub, side * d)) for d in OFF_AXIS for side in (-1.0, 1.0)]
    each = [float(np.mean(values)) for values in on if values.size]
    hot_on, hot_off = _hot_pixels(scene, score)
    return ArtefactScore(
        outliers=outliers,
        trail_on=_mean(on),
        trail_off=_mean(off),
        worst_trail=max(each, key=abs, default=float("nan")),
        hot_on=hot_on,
        hot_off=hot_off,
    )


def _hot_pixels(scene: Scene, score: NDArray[np.float32]) -> tuple[float, float]:
    """Mean over the places where the hot pixels of every sub fall, and in a ring around them."""
    on, off = [], []
    limit = HOT * scene.truth.plan.sky_noise
    angles = np.arange(DIRECTIONS) * 2.0 * np.pi / DIRECTIONS
    for sub in scene.truth.subs:
        hot = scene.truth.hot[sub.instrument]
        x, y = (axis[hot.brightness >= limit].astype(np.float64) for axis in (hot.x, hot.y))
        on.append(_values(score, *sky_to_pixel(scene.wcs, *pixel_to_sky(sub.solution, x, y))))
        for radius in RING:
            ring_x, ring_y = x[:, None] + radius * np.cos(angles), y[:, None] + radius * np.sin(angles)
            place = sky_to_pixel(scene.wcs, *pixel_to_sky(sub.solution, ring_x.ravel(), ring_y.ravel()))
            off.append(_values(score, *place))
    return _mean(on), _mean(off)


def _values(score: NDArray[np.float32], x: F64, y: F64) -> NDArray[np.float32]:
    """Nearest pixels of `score` that have a value."""
    i, j = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (i >= 0) & (i < score.shape[1]) & (j >= 0) & (j < score.shape[0])
    values = score[j[inside], i[inside]]
    return np.asarray(values[np.isfinite(values)])


def _mean(parts: list[NDArray[np.float32]]) -> float:
    values = np.concatenate(parts) if parts else np.empty(0)
    return float(np.mean(values)) if values.size else float("nan")
