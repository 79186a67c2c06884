"""Sky backgrounds from common sky, against planted truth: a nebula larger than the panels must survive."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from zemosaic.imaging import skycells
from zemosaic.imaging.projection import pixel_area, pixel_to_sky, tan_project
from zemosaic.imaging.response import frame_coordinates, response
from zemosaic.imaging.seams import panel_differences
from zemosaic.imaging.skycells import (
    MaskStars,
    SkyCells,
    bin_factor,
    frame_cells,
    join,
    mask_radius,
    only_frames,
    star_mask,
    thinned,
)
from zemosaic.imaging.skyfit import SkyFit, fit_sky
from zemosaic.imaging.skyfloor import floor_plane
from zemosaic.imaging.skysurface import TERMS, surface_basis
from zemosaic.model import Distortion, Solution

WIDTH, HEIGHT, CELL = 1080, 1920, 16
SCALE = 2.374 / 3600
RADIUS = 0.5 * np.hypot(WIDTH, HEIGHT)
PLANE = (10.68, 41.27)
SPACING = 64 * SCALE
LEVEL, PEAK = 900.0, 250.0  # ADU
RESPONSE = (-0.09, -0.03)
PANELS = [(0.0, 0.0), (0.61, 0.0), (0.0, 1.08), (0.61, 1.08)]  # deg, 14 % overlap

WAVES = (0.0, 0.0, 0.0, 0.1)  # u^3: 0.5 % of the sky across the columns, beside its plane
PATTERNS = (((-0.024, -0.008, 0.0), (-0.006, 0.002, 0.004)), ((), WAVES))
Light = Callable[[np.ndarray, np.ndarray], np.ndarray]


def nebula(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ADU above the sky, on the common plane in degrees: a broad cloud over all panels and a filament."""
    broad = np.exp(-0.5 * (((x - 0.2) / 0.55) ** 2 + ((y - 0.7) / 0.6) ** 2))
    ridge = np.exp(-0.5 * ((x - 0.4 - 0.2 * np.sin(4 * y)) / 0.06) ** 2)
    return PEAK * (0.75 * broad + 0.25 * ridge)


@dataclass(frozen=True)
class Night:
    cells: SkyCells
    gain: np.ndarray  # (frames, channels)
    sky: np.ndarray  # (frames, channels, TERMS) true B
    panel: np.ndarray  # (frames,)


def solution_at(dx: float, dy: float, turn: float) -> Solution:
    """A mirrored frame at an offset (deg) from the plane's tangent point, with 1.5 px of cubic distortion in the corners."""
    ra, dec = PLANE[0] + dx / np.cos(np.radians(PLANE[1] + dy)), PLANE[1] + dy
    c, s = SCALE * np.cos(np.radians(turn)), SCALE * np.sin(np.radians(turn))
    return Solution(
        ra, dec, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, (c, -s, s, c), Distortion(k3=1.5 / RADIUS, radius=RADIUS)
    )


def observe(
    frames: int,
    panels: list[tuple[float, float]],
    *,
    seed: int = 1,
    channels: int = 1,
    sigma: float = 59.0,
    gradient: float = 0.2,
    turning: float = 10.0,
    outliers: float = 0.0,
    dither: float = 0.02,
    around: float = 2 * np.pi,
    curved: Sequence[Sequence[float]] = ((),),
    light: Light | None = None,
) -> Night:
    """Frames over panels in turn; sky level +-20 %, gradients of `gradient` of the level that turn with the night.

    curved : terms above the plane of the sky of each telescope in units of its level; telescopes are 69.5 degrees apart.
    """
    rng = np.random.default_rng(seed)
    gain = rng.uniform(0.5, 1.0, (frames, channels))
    gain /= np.median(gain, axis=0)
    sky = np.zeros((frames, channels, TERMS))
    parts = []
    for i in range(frames):
        dx, dy = np.array(panels[i % len(panels)]) + dither * rng.uniform(-1, 1, 2)
        solution = solution_at(dx, dy, turning * rng.uniform(-1, 1) + 69.5 * (i % len(curved)))
        angle = around * i / frames + rng.normal(0, 0.5)
        slope = gradient * LEVEL * rng.uniform(0.5, 1.0)
        for c in range(channels):
            sky[i, c, :3] = LEVEL * rng.uniform(0.8, 1.2), slope * np.cos(angle), slope * np.sin(angle)
            own = curved[i % len(curved)]
            sky[i, c, 3 : 3 + len(own)] = sky[i, c, 0] * np.array(own)
        mean = mesh(solution, gain[i], sky[i], light or nebula) + sigma / np.sqrt(64) * rng.normal(
            size=(120, 68, channels)
        )
        wrong = rng.random(mean.shape[:2]) < outliers
        mean[wrong] += rng.exponential(300.0, (wrong.sum(), 1))
        noise = np.full(channels, sigma / np.sqrt(64))
        masked = rng.random(mean.shape[:2]) < 0.15
        parts.append(cells_of(i, mean.astype(np.float32), masked, solution, noise))
    return Night(join(parts), gain, sky, np.arange(frames) % len(panels))


def cells_of(i: int, mean: np.ndarray, masked: np.ndarray, solution: Solution, noise: np.ndarray) -> SkyCells:
    size = (WIDTH, HEIGHT)
    return frame_cells(i, mean, masked, CELL, solution, size, RESPONSE, noise, PLANE, SCALE**2, 2)


def mesh(solution: Solution, gain: np.ndarray, sky: np.ndarray, light: Light = nebula) -> np.ndarray:
    """(ny, nx, channels) noiseless mesh of a frame; the last column of cells is half as wide."""
    y, x = np.mgrid[0:120, 0:68] * 16.0 + 7.5
    x[:, -1] = (67 * 16 + WIDTH - 1) / 2
    u, v = frame_coordinates(x, y, WIDTH, HEIGHT)
    place = tan_project(*pixel_to_sky(solution, x, y), *PLANE)
    true = light(*place) * pixel_area(solution, x, y) / SCALE**2
    background = surface_basis(u, v, sky.shape[1]) @ sky.T
    return response(RESPONSE, u * u + v * v)[..., None] * (gain * true[..., None] + background)


def sky_error(night: Night, fit: SkyFit) -> np.ndarray:
    """Error of the sky that the mosaic would show (cells,), ADU."""
    cells = night.cells
    b = night.sky[cells.frame, 0] - fit.sky[cells.frame, 0]
    return np.sum(surface_basis(cells.u, cells.v) * b, axis=1) / (night.gain[cells.frame, 0] * cells.omega)


def step_between(night: Night, fit: SkyFit, first: int, second: int) -> float:
    """True difference (ADU) between the mean errors of two panels where both see the sky."""
    cells, values = night.cells, []
    for panel in (first, second):
        on = night.panel[cells.frame] == panel
        error = sky_error(night, fit)[on]
        n = int(fit.patch.max()) + 1
        count = np.bincount(fit.patch[on], minlength=n)
        values.append(np.where(count > 0, np.bincount(fit.patch[on], error, n) / np.maximum(count, 1), np.nan))
    return float(np.nanmean(values[0] - values[1]))


def bend(night: Night, fit: SkyFit) -> np.ndarray:
    """Error of the sky that the mosaic would show (cells,), ADU, without its mean and tilt: those are conventions."""
    cells = night.cells
    error = sky_error(night, fit)
    basis = np.stack([np.ones(len(cells)), cells.x, cells.y], axis=1)
    error = error - basis @ np.linalg.lstsq(basis, error, rcond=None)[0]
    n = int(fit.patch.max()) + 1
    count = np.bincount(fit.patch, minlength=n)
    return np.bincount(fit.patch, error, n) / np.maximum(count, 1)


@pytest.mark.parametrize("outliers", [0.0, 0.03])
def test_nebula_over_four_panels_survives(outliers: float) -> None:
    night = observe(60, PANELS, outliers=outliers)
    fit = fit_sky(night.cells, night.gain, SPACING)
    assert fit.converged
    for first, second in [(0, 1), (0, 2), (1, 3), (2, 3)]:
        assert abs(step_between(night, fit, first, second)) < 0.002 * PEAK
    assert np.sqrt(np.mean(bend(night, fit) ** 2)) < 0.004 * PEAK
    assert np.abs(bend(night, fit)).max() < 0.01 * PEAK


def test_frames_of_one_pointing_agree_to_the_noise() -> None:
    night = observe(20, PANELS[:1], turning=40.0, seed=2)
    fit = fit_sky(night.cells, night.gain, SPACING)
    error, cells = sky_error(night, fit), night.cells
    basis = np.stack([np.ones(len(cells)), cells.x, cells.y], axis=1)
    error = error - basis @ np.linalg.lstsq(basis, error, rcond=None)[0]  # the tilt of the sky is a convention
    means = np.bincount(cells.frame, error) / np.bincount(cells.frame)
    assert np.std(means) < 0.3  # ADU, of a sky of 900 with sigma 59 per pixel


def dark(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.zeros_like(x)


def in_one_panel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A nebula that fills the last panel, with dark sky in the others."""
    return PEAK * np.exp(-0.5 * (((x - 0.61) / 0.2) ** 2 + ((y - 1.08) / 0.35) ** 2))


def test_gauge_takes_the_levels_and_a_dark_sky_tells_the_gradients() -> None:
    night = observe(12, PANELS[:1], turning=0.0, dither=0.0, gradient=0.1, seed=3, light=dark)
    fit = fit_sky(night.cells, night.gain, SPACING)
    levels = [np.median(night.cells.value[night.cells.frame == i]) for i in range(12)]
    assert np.mean(fit.sky[:, 0, 0] - levels) == pytest.approx(0.0, abs=0.05)  # the tilt is taken off about the middle
    assert fit.level[0] == pytest.approx(np.sum(levels) / night.gain.sum())
    assert abs(np.median(fit.nodes)) < 1.0
    np.testing.assert_allclose(fit.sky[:, 0, 1:3], night.sky[:, 0, 1:3], atol=3.0)  # of 70


@pytest.mark.parametrize(("around", "seed"), [(0.0, 1), (np.pi / 3, 9), (2 * np.pi, 2), (4 * np.pi, 3)])
def test_gradient_that_all_frames_share_leaves_no_ramp(around: float, seed: int) -> None:
    """A nebula that fills a panel keeps its shape, its tilt included, under gradients of 20 % of a sky four times as bright.

    Whether they turn or not: the mean of those that turn once leaves 3 %, a heap of directions is not taken for a turn (14 %).
    """
    night = observe(40, PANELS, around=around, seed=seed, light=in_one_panel)
    error = sky_error(night, fit_sky(night.cells, night.gain, SPACING))
    assert np.std(error) < 0.015 * PEAK


def test_frame_alone_loses_its_level_and_its_tilt_and_nothing_else() -> None:
    night = observe(1, PANELS[:1], seed=4)
    fit = fit_sky(night.cells, night.gain, SPACING)
    assert fit.sky[0, 0, 0] == pytest.approx(np.median(night.cells.value), abs=2.0)
    assert np.percentile(np.abs(bend(night, fit)), 90) < 0.5
    slopes = floor_plane(np.stack([fit.node_x, fit.node_y], axis=1), fit.nodes[:, 0], np.ones(len(fit.nodes)))[1:]
    np.testing.assert_allclose(slopes, 0.0, atol=0.05 * PEAK)
    inner = np.abs(fit.residual[:, 0]) < 5 * 59 / 16
    assert inner.mean() > 0.99


@pytest.mark.parametrize("curved", PATTERNS)
def test_skies_of_two_telescopes_are_bent_alike(curved: Sequence[Sequence[float]]) -> None:
    """Two telescopes 69.5 degrees apart, each with its own pattern in the sky: planes leave edges, shared patterns none."""
    night = observe(18, PANELS[:1], gradient=0.05, seed=10, curved=curved)
    telescope = np.arange(18) % 2
    edges = [
        telescope_difference(night, fit_sky(night.cells, night.gain, SPACING, instrument=instrument), telescope)
        for instrument in (None, telescope)
    ]
    assert edges[0] > 1.5
    assert edges[1] < 0.4


def telescope_difference(night: Night, fit: SkyFit, telescope: np.ndarray) -> float:
    """Rms over the common sky of the difference between the errors of two telescopes, ADU."""
    error, n, means = sky_error(night, fit), int(fit.patch.max()) + 1, []
    for k in (0, 1):
        on = telescope[night.cells.frame] == k
        count = np.bincount(fit.patch[on], minlength=n)
        means.append(np.where(count > 10, np.bincount(fit.patch[on], error[on], n) / np.maximum(count, 1), np.nan))
    return float(np.sqrt(np.nanmean((means[0] - means[1]) ** 2)))


def test_pattern_that_the_data_do_not_tell_is_left_alone() -> None:
    night = observe(24, PANELS, gradient=0.1, seed=11)
    fits = [fit_sky(night.cells, night.gain, SPACING, instrument=i) for i in (None, np.zeros(24, np.int64))]
    planes, patterns = (sky_error(night, fit) for fit in fits)
    assert np.std(patterns - planes) < 0.1 * np.std(planes)


def test_isolated_panel_gets_the_sky_level_of_the_others() -> None:
    night = observe(16, [(0.0, 0.0), (4.0, 0.0)], gradient=0.0, seed=5)
    night.cells.value[night.cells.frame % 2 == 1] += 500.0
    fit = fit_sky(night.cells, night.gain, SPACING)
    assert set(fit.component) == {0, 1}
    far = fit.node_x > 2.0
    assert np.median(fit.nodes[far, 0]) == pytest.approx(np.median(fit.nodes[~far, 0]), abs=1.0)
    assert np.abs(fit.residual[:, 0]).mean() < 4.0


def test_constants_only() -> None:
    night = observe(12, PANELS, gradient=0.0, seed=6)
    fit = fit_sky(night.cells, night.gain, SPACING, order=0)
    np.testing.assert_array_equal(fit.sky[:, :, 1:], 0.0)
    error = (night.sky[:, 0, 0] - fit.sky[:, 0, 0]) / night.gain[:, 0]
    assert np.std(error - error.mean()) < 1.0


def test_channels_are_independent_and_missing_data_harmless() -> None:
    night = observe(8, PANELS[:2], channels=3, seed=7)
    together = fit_sky(night.cells, night.gain, SPACING)
    value = night.cells.value[:, 1:2].copy()
    single = replace(night.cells, value=value, variance=night.cells.variance[:, 1:2])
    alone = fit_sky(single, night.gain[:, 1:2], SPACING)
    np.testing.assert_allclose(together.sky[:, 1], alone.sky[:, 0], atol=1e-3)
    value[::7] = np.nan
    holes = fit_sky(single, night.gain[:, 1:2], SPACING)
    assert np.isfinite(holes.sky).all()
    assert np.isnan(holes.residual[::7]).all()


def test_panel_differences_find_a_planted_step() -> None:
    """A step that the model cannot take (half of each frame's overlap) shows with its sign, in units of its noise."""
    night = observe(24, PANELS[:2], seed=8)
    fit = fit_sky(night.cells, night.gain, SPACING)
    (clean,) = panel_differences(night.cells, fit, night.gain, night.panel, 2)
    assert (clean.first, clean.second) == (0, 1)
    assert abs(clean.difference[0]) < 5 * clean.error[0]
    residual = fit.residual + 3.0 * (night.panel[night.cells.frame] == 0)[:, None] * night.gain[night.cells.frame]
    (stepped,) = panel_differences(night.cells, replace(fit, residual=residual), night.gain, night.panel, 2)
    assert stepped.difference[0] - clean.difference[0] == pytest.approx(3.0, abs=0.1)
    assert stepped.n_cells > 20


def test_panel_differences_of_many_panels_take_little_memory() -> None:
    """200 panels in a row over 80,000 patches, each stepped by its number; dense arrays took 1.8 GB."""
    n_panels, n_patches = 200, 80_000
    panel = np.repeat(np.arange(n_panels), 600)
    patch = panel * (n_patches // n_panels) + np.tile(np.arange(600), n_panels)  # the last 200 are the next panel's too
    panel, patch = panel[patch < n_patches], patch[patch < n_patches]
    cells = SimpleNamespace(frame=panel, omega=np.ones(len(panel)))
    residual = np.repeat(panel[:, None] ** 2.0, 3, axis=1)
    fit = SimpleNamespace(patch=patch, weight=np.full(residual.shape, 0.25), residual=residual)
    tracemalloc.start()
    steps = panel_differences(cells, fit, np.ones((n_panels, 3)), np.arange(n_panels), n_panels)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert [(s.first, s.second, s.n_cells) for s in steps] == [(k, k + 1, 200) for k in range(n_panels - 1)]
    np.testing.assert_allclose([s.difference[0] for s in steps], [-2 * k - 1 for k in range(n_panels - 1)])
    np.testing.assert_allclose([s.error for s in steps], np.sqrt(8.0 / 200))


@pytest.mark.parametrize("together", [1, 3, 500])
def test_covered_area_counts_each_place_once(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    """Seven frames in a row, each half over the one before it: four frames' area, however many are counted at once."""
    monkeypatch.setattr(skycells, "TOGETHER", together)
    width, height = 1080, 1920
    frames = [(solution_at(0.5 * k * width * SCALE, 0.0, 0.0), (width, height)) for k in range(7)]
    area = skycells.covered_area(frames, PLANE, 0.1 * width * SCALE)
    assert area == pytest.approx(4 * width * height * SCALE**2, rel=0.1)
    assert area == skycells.covered_area(frames[::-1] * 2, PLANE, 0.1 * width * SCALE)


def test_star_mask_takes_the_same_sky_in_every_frame() -> None:
    star = MaskStars(np.array([PLANE[0] + 0.05]), np.array([PLANE[1] + 0.1]), np.array([20 * SCALE]))
    for turn in (0.0, 69.5):
        solution = solution_at(0.01, -0.02, turn)
        masked = star_mask(star, solution, SCALE, (120, 68), CELL)
        y, x = np.mgrid[0:120, 0:68] * 16.0 + 7.5
        ra, dec = pixel_to_sky(solution, x, y)
        away = np.hypot((ra - star.ra[0]) * np.cos(np.radians(star.dec[0])), dec - star.dec[0]) / SCALE
        assert masked[away < 20].all()
        assert not masked[away > 20 + 8 * np.sqrt(2) + 0.5].any()
        assert masked.sum() >= 4


def test_mask_grows_with_the_star_and_leaves_sky_in_the_milky_way() -> None:
    fwhm = np.full(3, 3.0)
    radius = mask_radius(np.array([5.0, 50.0, 5000.0]), fwhm, np.array([False, False, True]))
    np.testing.assert_allclose(radius, [4.5, 7.5, 3.0 * 6.5])
    rng = np.random.default_rng(0)
    crowd = MaskStars(rng.uniform(10, 11, 50000), rng.uniform(41, 42, 50000), np.full(50000, 8 * SCALE))
    kept = thinned(crowd, 1.0, CELL * SCALE)
    assert 100 < len(kept.ra) < 10000
    np.testing.assert_array_equal(kept.ra, crowd.ra[: len(kept.ra)])
    masked = star_mask(kept, solution_at(0, 0, 0), SCALE, (120, 68), CELL)
    assert masked.mean() < 0.5


def test_cells_carry_positions_response_and_noise() -> None:
    solution = solution_at(0.0, 0.0, 0.0)
    flat = mesh(solution, np.ones(1), np.array([[LEVEL, 0.0, 0.0]])).astype(np.float32)
    cells = cells_of(3, flat, np.zeros((120, 68), bool), solution, np.array([4.0]))
    assert len(cells) == 60 * 34 and set(cells.frame) == {3}
    expected = LEVEL + nebula(cells.x, cells.y) * cells.omega
    np.testing.assert_allclose(cells.value[:, 0], expected, rtol=1e-3)
    centre = np.argmin(np.hypot(cells.u, cells.v))
    assert cells.variance[centre, 0] == pytest.approx(4.0, rel=1e-3)  # four cells of variance 16
    assert [bin_factor(n * 8160) for n in (1, 12, 13, 60, 1000, 10_000)] == [1, 1, 2, 2, 4, 11]


def test_frames_without_cells_belong_to_no_group() -> None:
    night = observe(12, PANELS[:2], seed=9)
    seen = np.isin(np.arange(12), (0, 5), invert=True)
    some = seen[night.cells.frame]
    cells = SkyCells(*(getattr(night.cells, each.name)[some] for each in fields(night.cells)))
    for settled in (False, True):
        fit = fit_sky(cells, night.gain, SPACING, settled=settled)
        assert np.array_equal(fit.component, np.where(seen, 0, -1)) and np.isfinite(fit.sky).all()
    few = only_frames(night.cells, seen)
    assert np.array_equal(np.unique(few.frame), np.arange(10)) and np.array_equal(few.value, cells.value)
