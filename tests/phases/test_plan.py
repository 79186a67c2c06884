"""The grid holds every frame, blocks tile it and fit into memory."""

import dataclasses
import math

import numpy as np
import pytest

from zemosaic.errors import InputError, SettingsError
from zemosaic.imaging.projection import grid_to_sky, sky_to_pixel
from zemosaic.imaging.warp import footprint
from zemosaic.model import Distortion, Frame, FrameKind, Solution
from zemosaic.phases.plan import (
    TASK_OVERHEAD,
    Cuts,
    SideBySide,
    check_scale,
    group_frames,
    make_grid,
    make_plan,
    sample_bytes,
)

SCALE = 2.374 / 3600


def frame(k):
    return Frame(
        k, None, 0, 0, "", FrameKind.BAYER, 1080, 1920, "GRBG", "one", "", "", "", "", 10.0, 80.0, 20.0, "",
        math.nan, math.nan, 2.39, 65535.0,
    )  # fmt: skip


def night(centres, angle=10.0):
    c, s = SCALE * math.cos(math.radians(angle)), SCALE * math.sin(math.radians(angle))
    frames = [frame(k) for k in range(len(centres))]
    solutions = {
        k: Solution(ra % 360, dec, 539.5, 959.5, (c, -s, s, c), Distortion()) for k, (ra, dec) in enumerate(centres)
    }
    return frames, solutions


def planned(frames, solutions, memory=8 * 2**30, workers=2, samples=None, cuts=None):
    groups = group_frames(frames, solutions)
    grid = make_grid(frames, solutions, 0.0)
    return make_plan(frames, solutions, groups, grid, memory=memory, workers=workers, samples=samples, cuts=cuts)


def test_margins_that_are_cropped_have_no_place_on_the_grid():
    frames, solutions = night([(120.0, 20.0)], angle=0.0)
    whole, cropped = make_grid(frames, solutions, 0.0), make_grid(frames, solutions, 0.0, 0.18)
    assert cropped.width == pytest.approx(0.64 * whole.width, abs=3)
    assert cropped.height == pytest.approx(0.64 * whole.height, abs=3)
    for block in make_plan(
        frames, solutions, group_frames(frames, solutions), cropped, memory=2**32, workers=2
    ).superblocks:
        assert 0 <= block.y0 < block.y1 <= cropped.height and 0 <= block.x0 < block.x1 <= cropped.width


@pytest.mark.parametrize("centre", [(0.0, 5.0), (120.0, 88.0), (192.86, 27.13), (300.0, -60.0)])
def test_every_frame_lies_on_the_grid(centre):
    stretch = 1 / math.cos(math.radians(centre[1]))
    frames, solutions = night([(centre[0] + 0.57 * i * stretch, centre[1] + 1.0 * j) for i in (0, 1) for j in (0, 1)])
    plan = planned(frames, solutions)
    assert len(plan.groups) == (3 if centre[1] == 88.0 else 4)  # the two northern ones meet near the pole
    assert plan.grid.scale == pytest.approx(SCALE, rel=1e-6)
    for f in frames:
        x, y = footprint(solutions[f.id], (1920, 1080), plan.grid)
        assert x.min() >= 0 and y.min() >= 0 and x.max() <= plan.grid.width - 1 and y.max() <= plan.grid.height - 1
    assert plan.grid.width * plan.grid.height < 5e7


def test_blocks_tile_what_frames_touch_and_fit_into_memory():
    frames, solutions = night([(10.0 + 0.5 * i, 40.0 + 0.8 * j) for i in range(4) for j in range(3)])
    memory, workers = 3 * 2**30, 2
    plan = planned(frames, solutions, memory, workers)
    cover = np.zeros((plan.grid.height, plan.grid.width), int)
    for block in plan.superblocks:
        cover[block.y0 : block.y1, block.x0 : block.x1] += 1
        assert block.frames == tuple(sorted(block.frames))
        area = (block.y1 - block.y0) * (block.x1 - block.x0)
        assert TASK_OVERHEAD + 216 * area <= memory // workers
    assert cover.max() == 1
    for f in frames:
        x, y = footprint(solutions[f.id], (1920, 1080), plan.grid)
        assert cover[np.rint(y).astype(int), np.rint(x).astype(int)].min() == 1


def test_an_isolated_panel_costs_no_blocks_in_between():
    frames, solutions = night([(10.0, 40.0), (10.0, 46.0)])
    plan = planned(frames, solutions)
    area = sum((b.y1 - b.y0) * (b.x1 - b.x0) for b in plan.superblocks)
    assert area < 0.8 * plan.grid.width * plan.grid.height


def test_frames_all_over_the_sky_are_refused_in_words():
    frames, solutions = night([(0.0, 0.0), (90.0, 0.0), (180.0, 10.0)])
    with pytest.raises(InputError, match="leave targets and target_gap at their defaults"):
        planned(frames, solutions)


def test_a_coarser_scale_makes_a_smaller_grid():
    frames, solutions = night([(10.0, 40.0)])
    groups = group_frames(frames, solutions)
    grid = make_grid(frames, solutions, 1.4 * 2.374)
    plan = make_plan(frames, solutions, groups, grid, memory=2**32, workers=1)
    fine = planned(frames, solutions)
    assert plan.grid.width == pytest.approx(fine.grid.width / 1.4, abs=4)
    assert plan.lattice == 32
    with pytest.raises(SettingsError, match=r"output_scale is 6 arcsec/px, the frames have 2\.37"):
        make_grid(frames, solutions, 6.0)


def test_a_scale_that_is_too_coarse_is_refused_by_the_headers_already():
    frames = [dataclasses.replace(frame(k), scale=2.393) for k in range(4)]
    for allowed in (0.0, 3.5, 4.0):  # the last one is too coarse if the header is right, which only the stars know
        check_scale(frames, allowed)
    with pytest.raises(
        SettingsError, match=r"output_scale is 30 arcsec/px, the frames have 2\.39: expected at most 3\.59"
    ):
        check_scale(frames, 30.0)
    check_scale([*frames, dataclasses.replace(frame(4), scale=math.nan)], 30.0)  # who knows


def test_several_telescopes_make_a_grid_of_the_finest_one():
    frames, solutions = night([(10.0 + 0.01 * k, 40.0) for k in range(12)])
    frames = [dataclasses.replace(f, instrument="fine") if f.id < 3 else f for f in frames]
    for k in range(3):
        solutions[k] = dataclasses.replace(solutions[k], cd=tuple(0.7 * c for c in solutions[k].cd))
    assert planned(frames, solutions).grid.scale == pytest.approx(0.7 * SCALE, rel=1e-6)
    few = [dataclasses.replace(f, instrument="coarse") if f.id > 0 else f for f in frames]
    assert planned(few, solutions).grid.scale == pytest.approx(SCALE, rel=1e-6)


def deep_night(n=40):
    """Two panels that overlap, three quarters of the frames on the first."""
    rng = np.random.default_rng(2)
    places = [(10.0, 40.0)] * (3 * n // 4) + [(10.5, 40.5)] * (n // 4)
    return night([(ra + dx, dec + dy) for (ra, dec), (dx, dy) in zip(places, rng.normal(0, 0.02, (n, 2)), strict=True)])


def overlapping(frames, solutions, grid, step=40):
    """Frames over every step-th pixel of the mosaic, counted one by one."""
    y, x = np.mgrid[0 : grid.height : step, 0 : grid.width : step].astype(float)
    count = np.zeros(y.shape, int)
    for f in frames:
        sx, sy = sky_to_pixel(solutions[f.id], *grid_to_sky(grid, x, y))
        count += (sx > -0.5) & (sx < f.width - 0.5) & (sy > -0.5) & (sy < f.height - 0.5)
    return count, step


@pytest.mark.parametrize(("memory", "joint"), [(64, "all"), (2.2, "some")])
def test_samples_lie_side_by_side_where_they_fit(memory, joint):
    frames, solutions = deep_night(200 if joint == "some" else 80)
    plan = planned(frames, solutions, int(memory * 2**30), samples=SideBySide())
    deep = [b for b in plan.superblocks if b.depth]
    assert deep and (len(deep) == len(plan.superblocks)) == (joint == "all")
    count, step = overlapping(frames, solutions, plan.grid)
    for b in deep:
        seen = count[-(-b.y0 // step) : b.y1 // step, -(-b.x0 // step) : b.x1 // step]
        assert seen.max(initial=0) <= b.depth <= len(b.frames)
        assert TASK_OVERHEAD + sample_bytes(b.depth, 3) * (b.y1 - b.y0) * (b.x1 - b.x0) <= memory * 2**30 / 2
    assert plan.memory <= memory * 2**30 / 2


def test_large_blocks_of_running_means_are_cut_anew_for_samples():
    frames, solutions = deep_night(80)
    running = planned(frames, solutions, 8 * 2**30, workers=1)
    cuts = Cuts(running.rows, running.columns)
    anew = planned(frames, solutions, 8 * 2**30, workers=1, samples=SideBySide())
    again = planned(frames, solutions, 8 * 2**30, workers=1, samples=SideBySide(), cuts=cuts)
    assert len(running.superblocks) < len(anew.superblocks) and again == anew
    assert all(b.depth > 0 for b in again.superblocks)
    roomier = planned(
        frames, solutions, 24 * 2**30, workers=1, samples=SideBySide(), cuts=Cuts(anew.rows, anew.columns)
    )
    assert roomier.superblocks == anew.superblocks


def test_a_bound_on_frames_side_by_side_holds():
    frames, solutions = deep_night()
    plan = planned(frames, solutions, 64 * 2**30, samples=SideBySide(most=20))
    assert {b.depth > 0 for b in plan.superblocks} <= {False, True} and all(b.depth <= 20 for b in plan.superblocks)
    with pytest.raises(SettingsError, match="max_raw_per_master_tile is 20"):
        planned(frames, solutions, 64 * 2**30, samples=SideBySide(most=20, needed=True))


def test_blocks_are_cut_as_small_as_it_takes_where_all_have_to_lie_side_by_side():
    frames, solutions = deep_night(240)
    plan = planned(frames, solutions, 2 * 2**30, samples=SideBySide(everywhere=True))
    assert all(b.depth > 0 for b in plan.superblocks) and plan.memory <= 2**30
    with pytest.raises(SettingsError, match=r"subs overlap .* memory_limit"):
        planned(frames, solutions, 2**30, workers=2, samples=SideBySide(everywhere=True))
