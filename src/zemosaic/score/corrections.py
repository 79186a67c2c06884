"""How true the corrections of the frames are, without a mosaic: what they would leave in it, free of noise.

A mosaic is the weighted mean of (D / F' - B') / (a' Omega) with the corrections a', F', B'. With the true D = F (a S Omega + B)
in the place of the pixels this shows what they do to extended light and to stars, in a second instead of an assembly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from zemosaic.imaging.calibrate import Feather, border_weight, response_at
from zemosaic.imaging.cloud import cloud_shape
from zemosaic.imaging.demosaic import BAYER_SHARE
from zemosaic.imaging.projection import pixel_area, pixel_to_sky, sky_to_pixel
from zemosaic.imaging.skysurface import surface_at
from zemosaic.kernels.render import sample_periodic
from zemosaic.model import Correction, Solution
from zemosaic.score.smooth import CELL, background, panel_step
from zemosaic.simulate.camera import response, transparency
from zemosaic.simulate.truth import Sub, Truth

__all__ = ["CorrectionScore", "judge_corrections", "vignetting_rms"]

F64 = NDArray[np.float64]
POINTS = 3  # to a side of a cell
# noise of a pixel of an assembled mosaic over that of the mean of its samples as if they were independent, R G B: debayering
# and interpolation average over neighbours
PIXEL_RATIO = (0.39, 0.55, 0.39)


@dataclass(frozen=True)
class CorrectionScore:
    """Of the worst channel."""

    gain: float  # mmag, rms over frames of the gain in the middle of the frame
    zonal: float  # mmag, rms over the mosaic of what the corrections do to a star's light
    vignetting: float  # %, rms over the frame, worst instrument
    background: float  # % of the nebula's 99th percentile, rms over cells of `CELL` px
    untilted: float  # %, a plane off as well
    largest: float  # %
    step: float  # between the levels of panels beside a polynomial, in units of the noise of a pixel (`panel_step`)
    seam: float  # largest mean difference of two panels over the sky that both see, in the same units; no bend counts


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over frames on the points (rows, columns) of the mosaic, per channel."""

    weight: F64  # (3, rows, columns)
    light: F64  # of the corrected light without stars
    factor: F64  # on a star's light
    frames: NDArray[np.int32]  # (panels, rows, columns), or of one panel (1, rows, columns)
    nebula: F64  # (3, rows, columns)


def vignetting_rms(truth: tuple[float, ...], found: tuple[float, ...], shape: tuple[int, int]) -> float:
    """%, rms over a frame of (h, w) of found over true response, about its mean: a constant is in the gains."""
    height, width = shape
    y, x = np.ogrid[-1.0:1.0:65j, -1.0:1.0:65j]
    rho2 = ((x * width) ** 2 + (y * height) ** 2) / (width**2 + height**2)
    ratio = response(found, rho2) / response(truth, rho2)
    return float(100.0 * np.std(ratio / np.mean(ratio)))


def judge_corrections(truth: Truth, corrections: Mapping[str, Correction]) -> CorrectionScore:
    """The figures of corrections, given by file name of the sub."""
    used = [(sub, corrections[sub.name]) for sub in truth.subs if sub.name in corrections]
    panels = _sums(truth, used)
    sums = _together(panels)
    seen = sums.weight[1] > 0
    figures = []
    for c in range(3):
        with np.errstate(divide="ignore", invalid="ignore"):
            factor, light = sums.factor[c] / sums.weight[c], sums.light[c] / sums.weight[c]
        scale = float(np.median(factor[seen]))
        cells = _cells(light / scale - sums.nebula[c], seen)
        p99 = float(np.percentile(sums.nebula[c][seen], 99))
        rms, largest, untilted = background(cells, p99)
        zones = 2500.0 * np.log10(_cells(factor, seen) / scale)
        noise = PIXEL_RATIO[c] / float(np.sqrt(np.median(sums.weight[c][seen]))) / scale
        level = np.where(seen, light / scale - sums.nebula[c], np.nan)
        step = panel_step(level, sums.frames, sums.frames.sum(axis=0)) / noise
        seam = _seam([(each.light[c], each.weight[c]) for each in panels]) / scale / noise
        true = [sub.transparency * truth.instruments[sub.instrument].colours[c] for sub, _ in used]
        gains = np.array([correction.gain[c] for _, correction in used]) / true
        gain = 2500.0 * float(np.std(np.log10(gains)))
        figures.append((gain, float(np.nanstd(zones)), rms, untilted, largest, step, seam))
    gain, zonal, rms, untilted, largest, step, seam = (float(max(column)) for column in zip(*figures))
    shape = truth.plan.height, truth.plan.width
    flat = max(vignetting_rms(truth.instruments[s.instrument].response, c.response, shape) for s, c in used)
    return CorrectionScore(gain, zonal, flat, rms, untilted, largest, step, seam)


def _cells(points: F64, seen: NDArray[np.bool_]) -> F64:
    """Means of the points of each cell; NaN where less than half of it is seen."""
    rows, columns = (n // POINTS for n in points.shape)
    shape = rows, POINTS, columns, POINTS
    good = seen[: rows * POINTS, : columns * POINTS].reshape(shape)
    value = np.where(good, points[: rows * POINTS, : columns * POINTS].reshape(shape), 0.0)
    count = good.sum(axis=(1, 3))
    return np.where(2 * count > POINTS**2, value.sum(axis=(1, 3)) / np.maximum(count, 1), np.nan)


def _points(truth: Truth, used: list[tuple[Sub, Correction]]) -> tuple[F64, F64]:
    """Sky positions of a square grid over all frames."""
    plan = truth.plan
    step = plan.scale / 3600.0
    plane = Solution(plan.ra, plan.dec, 0.0, 0.0, (-step, 0.0, 0.0, step))
    corners = [
        sky_to_pixel(plane, *pixel_to_sky(sub.solution, np.array([0, plan.width] * 2), np.repeat([0, plan.height], 2)))
        for sub, _ in used
    ]
    x, y = (np.concatenate([corner[k] for corner in corners]) for k in (0, 1))
    pitch = CELL / POINTS
    at_x, at_y = np.meshgrid(np.arange(x.min(), x.max(), pitch), np.arange(y.min(), y.max(), pitch))
    return pixel_to_sky(plane, at_x, at_y)


def _sums(truth: Truth, used: list[tuple[Sub, Correction]]) -> list[_Sums]:
    """Of each panel."""
    ra, dec = _points(truth, used)
    nebula, count = _nebula(truth, ra, dec), 1 + max(sub.panel for sub in truth.subs)
    panels = []
    for _ in range(count):
        weight, light, factor = np.zeros((3, 3, *ra.shape))
        panels.append(_Sums(weight, light, factor, np.zeros((1, *ra.shape), np.int32), nebula))
    for sub, correction in used:
        _add(truth, sub, correction, ra, dec, panels[sub.panel])
    return panels


def _together(panels: list[_Sums]) -> _Sums:
    """Of the whole mosaic."""
    weight, light, factor = (
        np.sum(each, axis=0) for each in zip(*((panel.weight, panel.light, panel.factor) for panel in panels))
    )
    return _Sums(weight, light, factor, np.concatenate([panel.frames for panel in panels]), panels[0].nebula)


def _seam(panels: list[tuple[F64, F64]]) -> float:
    """ADU: largest mean difference between two panels' own mosaics, sums of weighted light and of weights, where both see."""
    found = [0.0]
    for (one, w1), (other, w2) in combinations(panels, 2):
        both = (w1 > 0) & (w2 > 0)
        if np.count_nonzero(both) >= POINTS:
            weight = w1[both] * w2[both] / (w1[both] + w2[both])
            apart = one[both] / w1[both] - other[both] / w2[both]
            found.append(abs(float(np.average(apart, weights=weight))))
    return max(found)


def _nebula(truth: Truth, ra: F64, dec: F64) -> F64:
    """(3, rows, columns) ADU per reference pixel."""
    planes = np.empty((3, *ra.shape))
    x, y = truth.nebula.position(ra, dec)
    x, y = (np.pad(np.ascontiguousarray(k), ((0, 1), (0, 1)), mode="edge") for k in (x, y))
    for c in range(3):
        sample_periodic(truth.nebula.coefficients, np.full((2, 2), c, np.int64), x, y, 1, planes[c])
    return planes


def _add(truth: Truth, sub: Sub, correction: Correction, ra: F64, dec: F64, sums: _Sums) -> None:
    """One frame: the true light through its corrections, with the weight that the assembly gives."""
    plan = truth.plan
    x, y = sky_to_pixel(sub.solution, ra, dec)
    rise = border_weight(x, y, Feather().margins(plan.width, plan.height), (plan.height, plan.width))
    here = rise > 0
    rise, x, y = rise[here], x[here], y[here]
    u, v = (x - 0.5 * (plan.width - 1)) / plan.radius, (y - 0.5 * (plan.height - 1)) / plan.radius
    instrument = truth.instruments[sub.instrument]
    flat = response(instrument.response, u * u + v * v)
    found = response_at(correction, u, v)
    omega = pixel_area(sub.solution, x, y) / (plan.scale / 3600.0) ** 2
    sums.frames[0][here] += 1
    for c, share in enumerate(BAYER_SHARE):
        sky, gain = surface_at(sub.sky[c], u, v), transparency(sub, u, v) * instrument.colours[c]
        raw = flat * (gain * omega * sums.nebula[c][here] + sky)
        clear = correction.gain[c] * cloud_shape(np.array(correction.cloud), u, v)
        raw += plan.pedestal - correction.pedestal
        light = (raw / found - surface_at(correction.sky[c], u, v)) / (clear * omega)
        noise = sub.noise[c] / np.sqrt(share) / (found * clear * omega)
        weight = correction.weight * rise / noise**2
        sums.weight[c][here] += weight
        sums.light[c][here] += weight * light
        sums.factor[c][here] += weight * flat * gain / (found * clear)
