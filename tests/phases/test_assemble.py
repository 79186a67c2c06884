"""The physics of the assembly: frames whose solutions and corrections are known exactly."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import Inline
from zemosaic.chunks import opened
from zemosaic.events import Silent
from zemosaic.imaging.calibrate import Feather, response_at
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.projection import grid_to_sky, pixel_area, sky_to_pixel
from zemosaic.imaging.sky import damaged_pixels
from zemosaic.model import Correction, Distortion, Frame, FrameKind, Grid, Group, Mosaic, Plan, Solution, Superblock
from zemosaic.phases._assemble_blocks import BlockTask, provisional_block
from zemosaic.phases._assemble_canvas import create_canvas
from zemosaic.phases.assemble import Assembly, Exposure, Recipe, Rejected
from zemosaic.phases.plan import sample_bytes

RA, DEC, STEP = 83.0, -5.0, 6.6e-4  # deg, deg, deg/px
SHAPE = (200, 240)
RADIUS = float(np.hypot(*SHAPE) / 2)
SIGMA = (9.0, 8.0, 9.5)
SKY = 900.0
LEVEL = (30.0, 40.0, 50.0)  # mosaic units, of the sky that stays
PLAIN = Recipe(Feather(taper=1.0), LEVEL[:1], rejection="none")
HARD = Recipe(Feather(taper=1.0), LEVEL)
SOFT = Recipe(Feather(taper=40.0), LEVEL)


@dataclass(frozen=True)
class Pointing:
    """Where a frame lies on the sky, and how it sees it."""

    dx: float = 0.0  # px
    dy: float = 0.0
    turn: float = 0.0  # deg
    zoom: float = 1.0
    gain: float = 1.0
    sigma: float = 1.0  # factor on SIGMA
    tilt: float = 0.0  # ADU, of the sky

    @property
    def solution(self) -> Solution:
        c, s = np.cos(np.radians(self.turn)), np.sin(np.radians(self.turn))
        cd = tuple(STEP * self.zoom * v for v in (-c, s, s, c))
        middle = 120.0 - self.dx, 100.0 - self.dy
        bent = Distortion(0.004, 0.0, RADIUS) if self.turn else Distortion()
        return Solution(RA, DEC, *middle, cd, bent)  # type: ignore[arg-type]

    def correction(self, identity: int, response: tuple[float, ...] = ()) -> Correction:
        return Correction(identity, (self.gain,) * 3, ((SKY, self.tilt, -0.5 * self.tilt),) * 3, response, RADIUS)


def exposure(folder: Path, identity: int, data: np.ndarray, where: Pointing, mono: bool, response=()) -> Exposure:
    path = folder / f"{identity}.fit"
    fits.writeto(path, data.astype(np.float32))
    frame = Frame(
        id=identity, path=path, size=0, mtime_ns=0, digest=str(identity), width=SHAPE[1], height=SHAPE[0],
        kind=FrameKind.MONO if mono else FrameKind.BAYER, bayer=None if mono else "GRBG", instrument="one", camera="",
        telescope="", target="", filter="", exposure=10.0, gain=80.0, temperature=20.0, date_obs="", ra=RA, dec=DEC,
        scale=3600 * STEP, saturation=65535.0,
    )  # fmt: skip
    correction = where.correction(identity, response)
    channels = slice(0, 1) if mono else slice(0, 3)
    correction = replace(correction, gain=correction.gain[channels], sky=correction.sky[channels])
    sigma = tuple(where.sigma * s for s in SIGMA[channels])
    measured = folder / f"{identity}.measured.npz"
    np.savez(measured, damaged=np.flatnonzero(damaged_pixels(data.astype(np.float32), frame.bayer, sigma)))
    rejected = folder / f"{identity}.npz"
    return Exposure(frame, where.solution, correction, sigma, (SKY,) * len(sigma), 0.0, rejected, measured)


GRID = Grid(RA, DEC, STEP, 384, 352, 190.0, 175.0)


def planned(exposures, side: int = 512, depth: int = 0) -> Plan:
    """Blocks of at most `side` px of a grid on whose pixels the unturned frames lie, shifted by whole pixels."""
    ids = tuple(e.frame.id for e in exposures)
    blocks = tuple(
        Superblock(y, min(y + side, GRID.height), x, min(x + side, GRID.width), ids, depth)
        for y in range(0, GRID.height, side)
        for x in range(0, GRID.width, side)
    )
    return Plan(GRID, exposures[0].frame.channels, (Group(0, RA, DEC, ids),), blocks, 32, 0, 0, side)


def combine(
    folder: Path, exposures, recipe: Recipe, side: int = 512, depth: int = 0
) -> tuple[Mosaic, tuple[Rejected, ...]]:
    with Inline() as executor:
        by_id = {e.frame.id: e for e in exposures}
        plan = planned(exposures, side, depth)
        made = Assembly(plan, by_id, recipe, folder / "mosaic", folder / "sensors").run(executor, Silent())
    return made.mosaic, made.rejected


def planes(path: Path) -> np.ndarray:
    return opened(path).read()


def raw_of(sky_light, where: Pointing, response=(), *, rng=None, seed_noise: float = 0.0) -> np.ndarray:
    """D = F (a S Omega + B), S(x, y, channel) given at frame pixels in flux per frame pixel already."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    u, v = (x - 0.5 * (SHAPE[1] - 1)) / RADIUS, (y - 0.5 * (SHAPE[0] - 1)) / RADIUS
    flat = response_at(Correction(0, (), (), response, RADIUS), u, v)
    raw = flat * (where.gain * sky_light + SKY + where.tilt * u - 0.5 * where.tilt * v)
    if rng is None:
        return raw
    colours = np.array(SIGMA)[cfa_colours("GRBG")[y % 2, x % 2]]
    return raw + rng.normal(size=SHAPE) * np.hypot(
        where.sigma * colours, np.sqrt(seed_noise * np.maximum(raw - SKY, 0))
    )


def gaussians(x, y, flux, fwhm: float, shape=SHAPE) -> np.ndarray:
    yy, xx = np.mgrid[0 : shape[0], 0 : shape[1]]
    s2, light = (fwhm / 2.3548) ** 2, np.zeros(shape)
    for px, py, f in zip(x, y, flux, strict=True):
        light += f / (2 * np.pi * s2) * np.exp(-0.5 * ((xx - px) ** 2 + (yy - py) ** 2) / s2)
    return light


SHIFTED = [
    Pointing(dx, dy, gain=gain, sigma=sigma)
    for dx, dy, gain, sigma in ((0, 0, 1.0, 1.0), (17, -9, 0.7, 1.3), (-30, 22, 1.2, 0.8), (5, 31, 0.9, 1.0))
]


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """Mono frames of noise, shifted by whole pixels: the mosaic is a weighted mean that numpy can do."""
    folder, rng = tmp_path_factory.mktemp("aligned"), np.random.default_rng(1)
    data = [SKY + rng.normal(0, 10, SHAPE).astype(np.float32) for _ in SHIFTED]
    return folder, data, [exposure(folder, k, d, w, True) for k, (d, w) in enumerate(zip(data, SHIFTED, strict=True))]


def naive(data, equal: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, inverse variance and count of the frames, each a slice of the grid; the outer 4 px of a frame are out."""
    total, weight, variance = (np.zeros((GRID.height, GRID.width)) for _ in range(3))
    count = np.zeros(total.shape, int)
    for raw, where in zip(data, SHIFTED, strict=True):
        x, y = where.solution.x, where.solution.y
        x0, y0 = round(GRID.x - x), round(GRID.y - y)
        here = slice(y0 + 4, y0 + SHAPE[0] - 4), slice(x0 + 4, x0 + SHAPE[1] - 4)
        flat = ((raw - SKY) / where.gain)[4:-4, 4:-4]
        var = (where.sigma * SIGMA[0] / where.gain) ** 2
        w = 1.0 if equal else 1.0 / var
        total[here] += w * flat
        weight[here] += w
        variance[here] += w * w * var
        count[here] += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / weight + LEVEL[0], np.where(weight > 0, weight**2 / variance, 0.0), count


@pytest.mark.parametrize("equal", [False, True])
def test_mean_and_weights_are_those_of_numpy(aligned, tmp_path, equal):
    _, data, exposures = aligned
    mosaic, _ = combine(tmp_path, exposures, replace(PLAIN, equal_weights=equal))
    mean, weight, count = naive(data, equal)
    found, formal, frames = (planes(path) for path in (mosaic.data, mosaic.weight, mosaic.coverage))
    # frames whose border lies on half a pixel of the taper's start may count one pixel more
    inside = (count == frames) & (count > 0)
    assert np.mean(count != frames) < 0.03
    # the taper rises over the 1 px behind the margin: the first pixel of a frame's border has a weight of its own
    full = inside & (np.abs(formal[0] / np.where(weight > 0, weight, 1.0) - 1.0) < 1e-3)
    assert full.sum() > 0.9 * inside.sum()
    # the solid angle of a pixel of the tangent plane changes by 4e-6 over a frame
    np.testing.assert_allclose(found[0][full], mean[full], atol=2e-3)
    assert np.isnan(found[0][frames == 0]).all()
    assert (formal[0][frames == 0] == 0).all()
    assert frames.max() == 4


def test_unequal_weights_beat_equal_ones(aligned, tmp_path):
    _, _, exposures = aligned
    spread = []
    for equal in (False, True):
        where = tmp_path / str(equal)
        mosaic, _ = combine(where, exposures, replace(PLAIN, equal_weights=equal))
        weight = planes(mosaic.weight)
        spread.append(float(np.median(weight[planes(mosaic.coverage)[None] == 4])))
    assert spread[0] > 1.1 * spread[1]


@pytest.mark.parametrize("depth", [0, 4])
def test_pixels_do_not_depend_on_superblocks(aligned, tmp_path, depth):
    _, _, exposures = aligned
    recipe = replace(PLAIN, rejection="kappa_sigma", maps=True)
    whole, _ = combine(tmp_path / "one", exposures, recipe, depth=depth)
    parts, _ = combine(tmp_path / "many", exposures, recipe, side=75, depth=depth)
    for name in ("data", "weight", "coverage", "rejected", "sides"):
        assert planes(getattr(whole, name)).tobytes() == planes(getattr(parts, name)).tobytes(), name
    assert whole.frames == parts.frames == (0, 1, 2, 3)


TURNED = [
    Pointing(
        3.3 * k - 8, 7.7 * (k % 3) - 6, turn=11.0 * k, zoom=1.0 + 0.004 * (k % 3), gain=0.8 + 0.1 * (k % 4), tilt=30
    )
    for k in range(8)
]
VIGNETTING = (-0.012, -0.003)  # as curved per pixel as three times an S50's, whose frames are 7 times as wide


def test_constant_sky_stays_constant_over_frame_edges(tmp_path):
    """No noise: what is left is interpolation and arithmetic. Frames differ in level, gradient, response and angle."""
    pointings = [replace(w, dx=6 * w.dx, dy=6 * w.dy) for w in TURNED]
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    exposures = []
    for k, where in enumerate(pointings):
        light = 50.0 * pixel_area(where.solution, x, y) / STEP**2
        exposures.append(exposure(tmp_path, k, raw_of(light, where, VIGNETTING), where, False, VIGNETTING))
    for recipe in (SOFT, HARD):
        mosaic, _ = combine(tmp_path, exposures, recipe)
        data = planes(mosaic.data)
        assert len(np.unique(planes(mosaic.coverage))) > 5
        # interpolation of F on a lattice of 16 px: 1.6e-4 of the sky of 900
        assert np.nanmax(np.abs(data - 50.0 - np.array(LEVEL)[:, None, None])) < 0.15


def test_flux_is_conserved(tmp_path):
    """A star holds its light, whatever the frames' angle, scale, response and transparency."""
    place = np.array([[40.0, 60.0, 20.0], [-30.0, 25.0, 55.0]])  # mosaic px from the tangent point
    flux = np.array([30000.0, 12000.0, 20000.0])
    x, y = place[0] + GRID.x + 0.3, place[1] + GRID.y - 0.2
    exposures = []
    for k, where in enumerate(TURNED):
        stars = sky_to_pixel(where.solution, *grid_to_sky(GRID, x, y))
        raw = raw_of(gaussians(*stars, flux, 3.2), where, VIGNETTING)
        exposures.append(exposure(tmp_path, k, raw, where, False, VIGNETTING))
    mosaic, _ = combine(tmp_path, exposures, HARD)
    data = planes(mosaic.data)
    for px, py, light in zip(x, y, flux, strict=True):
        cut = np.s_[:, round(py) - 11 : round(py) + 12, round(px) - 11 : round(px) + 12]
        star = data[cut] - np.array(LEVEL)[:, None, None]
        # R and B are sampled every other pixel: 8 frames sample the phases of a star well enough
        np.testing.assert_allclose(star.sum(axis=(1, 2)), light, rtol=0.003)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Eight dithered colour frames with seeing, photon noise, 60 stars, 20 fixed hot pixels, a trail in the third."""
    folder, rng = tmp_path_factory.mktemp("noisy"), np.random.default_rng(3)
    pointings = [Pointing(*rng.uniform(-12, 12, 2), turn=0.5 * k, gain=rng.uniform(0.8, 1.1)) for k in range(8)]
    x, y = GRID.x + rng.uniform(-90, 90, 60), GRID.y + rng.uniform(-75, 75, 60)
    flux = 10 ** rng.uniform(2.8, 4.7, 60)
    hot = rng.integers(10, SHAPE[0] - 10, 20), rng.integers(10, SHAPE[1] - 10, 20)
    exposures, cores, clear = [], [], []
    for k, where in enumerate(pointings):
        stars = sky_to_pixel(where.solution, *grid_to_sky(GRID, x, y))
        fwhm = 2.9 + 0.13 * k
        light = gaussians(*stars, flux, fwhm)
        raw = raw_of(light, where, rng=rng, seed_noise=10.0)
        clear.append(light[hot] < SIGMA[1])
        raw[hot] += 12 * SIGMA[1] * np.exp(np.linspace(0, 2, 20))
        if k == 2:
            yy, xx = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
            raw += 6 * SIGMA[1] * np.exp(-0.5 * ((0.6 * (xx - 120) - 0.8 * (yy - 100)) / 1.4) ** 2)
        exposures.append(exposure(folder, k, raw, where, False))
        bright = flux > 3000
        cores.append(gaussians(stars[0][bright], stars[1][bright], np.full(bright.sum(), 1.0), fwhm))
    truth = gaussians(x, y, flux, 4.0, (GRID.height, GRID.width))
    mosaic, rejected = combine(folder, exposures, SOFT)
    return exposures, mosaic, rejected, hot, cores, truth, clear


def test_hot_pixels_and_trail_are_rejected(noisy):
    exposures, _, rejected, hot, _, _, clear = noisy
    found = []
    for e, alone in zip(exposures, clear, strict=True):
        places = set(np.load(e.rejected)["places"].tolist())
        # those in the light of a star are excused by its seeing
        found += [int(y * SHAPE[1] + x) in places for y, x in zip(hot[0][alone], hot[1][alone], strict=True)]
    assert len(found) > 120
    assert np.mean(found) >= 0.97
    assert [r.streaks > 0 for r in rejected] == [k == 2 for k in range(8)]
    mask = np.zeros(SHAPE, bool)
    mask.ravel()[np.load(exposures[2].rejected)["places"]] = True
    along = np.arange(-90, 90)
    y, x = np.rint(100 + 0.6 * along).astype(int), np.rint(120 + 0.8 * along).astype(int)
    assert mask[y, x].mean() > 0.95
    # and what is rejected is what is wrong: hot pixels are 0.1 % of a frame, their neighbours ten times that
    assert all(r.pixels < 0.02 * r.total for r in rejected if r.frame_id != 2)


def test_nothing_of_them_is_left_in_the_mosaic(noisy, tmp_path):
    exposures, mosaic, _, hot, _, truth, _ = noisy
    data, coverage = planes(mosaic.data), planes(mosaic.coverage)
    residual = data - truth - np.array(LEVEL)[:, None, None]
    residual[:, truth > 2.0] = np.nan
    sigma = 1.4826 * np.nanmedian(np.abs(residual), axis=(1, 2))
    grid_y, grid_x = np.mgrid[0 : GRID.height, 0 : GRID.width]
    left = []
    for e in exposures:
        sx, sy = sky_to_pixel(e.solution, *grid_to_sky(GRID, grid_x, grid_y))
        for y, x in zip(*hot, strict=True):
            at = np.unravel_index(np.argmin((sx - x) ** 2 + (sy - y) ** 2), sx.shape)
            if coverage[at] >= 4 and truth[at] <= 2.0:
                left.append(residual[(slice(None), *at)] / sigma)
    assert len(left) > 80
    assert np.abs(np.mean(left, axis=0)).max() < 0.3


def test_star_cores_keep_their_samples(noisy):
    """At most 2 % of the raw pixels inside the half-maximum of stars above 3000 ADU are lost; hot pixels are 0.1 %."""
    exposures, *_, cores, _, _ = noisy
    lost = total = 0
    for e, core in zip(exposures, cores, strict=True):
        if e.frame.id == 2:
            continue  # the trail crosses some
        inside = core > 0.5 * 0.88 / (2.9 + 0.13 * e.frame.id) ** 2
        mask = np.zeros(SHAPE, bool)
        mask.ravel()[np.load(e.rejected)["places"]] = True
        lost, total = lost + int((mask & inside).sum()), total + int(inside.sum())
    assert total > 1000
    assert lost <= 0.02 * total, f"{lost} of {total} raw pixels in star cores rejected"


@pytest.fixture(scope="module", params=["kappa_sigma", "winsorized_sigma_clip", "linear_fit_clip"])
def beside(request, noisy, tmp_path_factory):
    """The same frames, their samples side by side: (exposures with places of their own, mosaic, rejected)."""
    folder = tmp_path_factory.mktemp(request.param)
    exposures = [replace(e, rejected=folder / e.rejected.name) for e in noisy[0]]
    recipe = replace(SOFT, rejection=request.param, maps=True)
    return exposures, *combine(folder, exposures, recipe, depth=8)


def test_every_rejection_side_by_side_finds_the_same(beside, noisy, tmp_path):
    """What was shown for running means holds for each named centre: hot pixels, trail, star cores, and nothing left."""
    exposures, mosaic, rejected = beside
    test_hot_pixels_and_trail_are_rejected((exposures, None, rejected, noisy[3], None, None, noisy[6]))
    test_star_cores_keep_their_samples((exposures, None, None, None, noisy[4], None, None))
    test_nothing_of_them_is_left_in_the_mosaic((exposures, mosaic, None, noisy[3], None, noisy[5], None), tmp_path)


def test_maps_say_which_side_was_rejected(beside, noisy):
    """Hot pixels and a trail are too bright; each frame's rejected raw pixels are counted once where it lies alone."""
    _, mosaic, rejected = beside
    dark, bright = planes(mosaic.sides)
    assert bright.sum() > 10 * dark.sum()
    total = sum(r.pixels for r in rejected)
    # the taper takes nothing away from the maps, frames and mosaic have the same pixel size
    assert 0.9 * total < int(dark.sum()) + int(bright.sum()) < 1.1 * total


def test_the_median_is_robust_without_any_rejection(noisy, tmp_path):
    """And noisier than the mean by what is stated."""
    exposures, truth = noisy[0], noisy[5]
    found = {}
    for combine_by in ("mean", "median"):
        recipe = replace(SOFT, rejection="none", combine=combine_by)
        mosaic, _ = combine(tmp_path / combine_by, exposures, recipe, depth=8)
        residual = (planes(mosaic.data) - truth - np.array(LEVEL)[:, None, None])[:, 120:240, 130:250]
        residual = residual[:, truth[120:240, 130:250] < 1.0]
        formal = np.sqrt(np.median(planes(mosaic.weight)[:, 120:240, 130:250], axis=(1, 2)))
        found[combine_by] = 1.4826 * np.median(np.abs(residual), axis=1), formal, np.percentile(residual, 99.9, axis=1)
    spread, formal, tail = (a / b for a, b in zip(found["median"], found["mean"], strict=True))
    assert np.all((spread > 1.0) & (spread < 1.25))
    assert np.all((1 / formal > 1.1) & (1 / formal < 1.25))
    assert np.all(tail < 0.8)  # hot pixels and trail


def test_peak_memory_of_a_block_is_as_stated(noisy):
    exposures, mosaic, *_ = noisy
    canvas = create_canvas(planned(exposures), mosaic.data.parent / "memory", maps=False)
    block = planned(exposures).superblocks[0]
    task = BlockTask(GRID, 3, block, tuple(exposures), SOFT, canvas)
    provisional_block(task)  # what compiling the kernels takes is not the block's
    tracemalloc.start()
    provisional_block(task)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    area, raw = (block.y1 - block.y0) * (block.x1 - block.x0), SHAPE[0] * SHAPE[1]
    # 72 bytes a pixel and channel for the buckets, their centre and the count beside them; 60 a raw pixel in work
    stated = (72 * 3 + 4 * 3 + 2) * area + 60 * raw
    assert 72 * 3 * area < peak < 1.05 * stated + 2**20


def test_peak_memory_side_by_side_is_as_stated(noisy):
    exposures, mosaic, *_ = noisy
    canvas = create_canvas(planned(exposures), mosaic.data.parent / "beside", maps=False)
    block = planned(exposures, depth=8).superblocks[0]
    task = BlockTask(GRID, 3, block, tuple(exposures), SOFT, canvas)
    provisional_block(task)  # what compiling the kernels takes is not the block's
    tracemalloc.start()
    provisional_block(task)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    area, raw = (block.y1 - block.y0) * (block.x1 - block.x0), SHAPE[0] * SHAPE[1]
    assert 8 * 7 * 4 * area < peak < 1.05 * (sample_bytes(8, 3) * area + 60 * raw) + 2**20


@pytest.mark.parametrize("rejection", ["none", "kappa_sigma"])
def test_missing_pixels_spread_nowhere(tmp_path, rejection):
    rng = np.random.default_rng(9)
    data = [SKY + rng.normal(0, 10, SHAPE).astype(np.float32) for _ in range(3)]
    data[1][60:90, 100:140] = np.nan
    data[1][120, 130], data[1][121, 60] = np.inf, -np.inf
    exposures = [exposure(tmp_path, k, d, w, False) for k, (d, w) in enumerate(zip(data, SHIFTED[:3], strict=True))]
    mosaic, _ = combine(tmp_path, exposures, replace(PLAIN, rejection=rejection, level=LEVEL))
    found, coverage = planes(mosaic.data), planes(mosaic.coverage)
    assert np.isfinite(found[:, coverage > 0]).all()
    assert np.abs(found[:, coverage > 0] - np.array(LEVEL)[:, None]).max() < 100


def test_exposures_are_added_up_where_they_differ(tmp_path):
    """Seconds of the frames at each pixel; without differences they are the coverage times one of them."""
    where = [Pointing(), Pointing(dx=30.0), Pointing(dy=-20.0)]
    sky = np.random.default_rng(1)
    frames = [exposure(tmp_path, k, raw_of(0.0, p) + sky.normal(0, 9, SHAPE), p, True) for k, p in enumerate(where)]
    mosaic, _ = combine(tmp_path / "same", frames, PLAIN)
    assert mosaic.seconds is None
    times = (10.0, 30.0, float("nan"))
    mixed = [replace(e, frame=replace(e.frame, exposure=t)) for e, t in zip(frames, times)]
    (tmp_path / "mixed").mkdir()
    found, _ = combine(tmp_path / "mixed", mixed, PLAIN, side=128)
    lone = []
    for k, e in enumerate(frames):
        single, _ = combine(tmp_path / f"lone{k}", [e], PLAIN)
        lone.append(planes(single.coverage) * np.nan_to_num(times[k]))
    assert np.array_equal(planes(found.coverage), planes(mosaic.coverage))
    assert np.array_equal(planes(found.seconds), np.sum(lone, axis=0))
    assert planes(found.seconds).max() == 40.0
