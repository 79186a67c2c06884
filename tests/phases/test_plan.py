"""The grid holds every frame, blocks tile it and fit into memory."""

import dataclasses
import math

import numpy as np
import pytest

from zemosaic.errors import InputError, SettingsError
from zemosaic.imaging.projection import grid_to_sky, sky_to_pixel
from zemosaic.imaging.warp import footprint
from zemosaic.model import Distortion, Frame, FrameKind, Solution
from zemosaic.phases import _plan_grid
from zemosaic.phases.plan import (
    TASK_OVERHEAD,
    Cuts,
    Layout,
    OutsideError,
    SideBySide,
    check_scale,
    group_frames,
    grown_grid,
    make_grid,
    make_plan,
    reaching,
    sample_bytes,
    share_inside,
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
    grid = make_grid(frames, solutions, Layout())
    return make_plan(frames, solutions, groups, grid, memory=memory, workers=workers, samples=samples, cuts=cuts)


def test_margins_that_are_cropped_have_no_place_on_the_grid():
    frames, solutions = night([(120.0, 20.0)], angle=0.0)
    whole, cropped = make_grid(frames, solutions, Layout()), make_grid(frames, solutions, Layout(crop=0.18))
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
    with pytest.raises(InputError, match="targets and target_gap at their defaults"):
        planned(frames, solutions)
    with pytest.raises(InputError, match=r"up to 90 degrees .* more than the 60 that TAN can show"):
        make_grid(frames, solutions, Layout(projection="TAN"))


def test_a_coarser_scale_makes_a_smaller_grid():
    frames, solutions = night([(10.0, 40.0)])
    groups = group_frames(frames, solutions)
    grid = make_grid(frames, solutions, Layout(scale=1.4 * 2.374))
    plan = make_plan(frames, solutions, groups, grid, memory=2**32, workers=1)
    fine = planned(frames, solutions)
    assert plan.grid.width == pytest.approx(fine.grid.width / 1.4, abs=4)
    assert plan.lattice == 32
    with pytest.raises(SettingsError, match=r"output_scale is 6 arcsec/px, the frames have 2\.37"):
        make_grid(frames, solutions, Layout(scale=6.0))


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


PANELS = [(10.0 + 0.6 * i, 40.0 + 0.9 * j) for i in range(3) for j in range(3)]


def test_a_mosaic_lies_along_its_frames_where_that_is_wanted():
    frames, solutions = night(PANELS, angle=65.0)
    along = make_grid(frames, solutions, Layout(rotation=None))
    assert abs(along.rotation) == pytest.approx(25.0, abs=0.7)  # 65 degrees, less a quarter of a turn
    for f in frames:
        x, y = footprint(solutions[f.id], (f.height, f.width), along)
        assert np.ptp(x) * np.ptp(y) < 1.04 * f.width * f.height


def test_a_window_has_its_centre_and_its_size():
    frames, solutions = night(PANELS)
    grid = make_grid(frames, solutions, Layout(centre=(10.5, 41.0), size=(1.0, 0.5), degrees=True, rotation=30.0))
    assert (grid.width, grid.height) == (round(1.0 / SCALE), round(0.5 / SCALE))
    ra, dec = grid_to_sky(grid, 0.5 * (grid.width - 1), 0.5 * (grid.height - 1))
    assert abs(ra - 10.5) < SCALE and abs(dec - 41.0) < SCALE and (grid.ra, grid.dec) == (10.5, 41.0)
    kept = reaching(frames, solutions, grid)
    assert 0 < len(kept) < len(frames)
    assert 0.02 < share_inside(frames, solutions, grid) < 0.2
    some = [f for f in frames if f.id in kept]
    blocks = make_plan(some, solutions, group_frames(some, solutions), grid, memory=2**32, workers=2).superblocks
    assert all(0 <= b.y0 < b.y1 <= grid.height and 0 <= b.x0 < b.x1 <= grid.width for b in blocks)
    sized = make_grid(frames, solutions, Layout(size=(900, 700)))
    whole = make_grid(frames, solutions, Layout())
    assert (sized.width, sized.height) == (900, 700) and sized.lattice == whole.lattice
    assert abs((sized.x - whole.x) - 0.5 * (900 - whole.width)) < 1


def test_without_a_size_the_centre_is_that_of_all_that_the_frames_saw():
    frames, solutions = night(PANELS)
    grid = make_grid(frames, solutions, Layout(centre=(10.0, 40.0)))
    assert (grid.x, grid.y) == ((grid.width - 1) / 2, (grid.height - 1) / 2)
    for f in frames:
        x, y = footprint(solutions[f.id], (f.height, f.width), grid)
        assert x.min() >= 0 and y.min() >= 0 and x.max() <= grid.width - 1 and y.max() <= grid.height - 1


def test_a_window_that_nobody_has_seen_is_refused_in_words():
    frames, solutions = night(PANELS)
    with pytest.raises(
        OutsideError, match=r"none of the 9 frames, around RA 10\.\d+ Dec \+40\.\d+, lies in a window of 0\.50"
    ):
        make_grid(frames, solutions, Layout(centre=(15.0, 44.0), size=(0.5, 0.5), degrees=True))


@pytest.mark.parametrize(
    ("projection", "layout", "told"),
    [
        ("SIN", Layout(), r"output_projection SIN has no place for \d of the \d+ frames"),
        ("COE", Layout(centre=(30.0, 0.3)), r"a conic projection \(COE\) has no parallel to touch at declination \+0\.3"),
        ("SIN", Layout(scale=3.0, centre=(0.0, 0.0), size=(110.0, 4.0), degrees=True), r"of which SIN crowds \d\.\d into"),
    ],
)  # fmt: skip
def test_maps_that_do_not_fit_are_refused_in_words(projection, layout, told):
    frames, solutions = night([(20.0 * k - 100.0, 0.0) for k in range(11)])
    with pytest.raises((InputError, SettingsError), match=told):
        make_grid(frames, solutions, dataclasses.replace(layout, projection=projection))


def test_a_map_that_crowds_the_sky_gets_finer_pixels():
    frames, solutions = night([(10.0, 62.0)])
    grid = make_grid(frames, solutions, Layout(projection="CEA"))
    assert grid.scale == pytest.approx(1.5 * math.cos(math.radians(62.0)) * SCALE, rel=0.05)
    assert make_grid(frames, solutions, Layout(projection="MER")).scale == pytest.approx(SCALE, rel=1e-6)


def test_pixels_stay_while_the_user_wants_the_same():
    frames, solutions = night(PANELS, angle=30.0)
    layout = Layout(projection="STG", rotation=None)
    before = make_grid(frames[:6], solutions, layout)
    canvas, part = grown_grid(before, frames, solutions, layout)
    assert (
        canvas.lattice == part.lattice == before.lattice and canvas.width * canvas.height > before.width * before.height
    )
    small = dataclasses.replace(layout, size=(500, 400))
    canvas, part = grown_grid(before, frames, solutions, small)
    assert (canvas.width, canvas.height) == (before.width, before.height) and (part.width, part.height) == (500, 400)
    for other in (
        {"projection": "ZEA"},
        {"rotation": 3.0},
        {"scale": 1.8},
        {"scale": 1.01 * 3600.0 * before.scale},
        {"centre": (10.0, 40.0)},
    ):
        assert grown_grid(before, frames, solutions, dataclasses.replace(layout, **other)) is None


def test_a_mosaic_of_a_certain_size_is_laid_out_anew_around_frames_elsewhere():
    layout = Layout(size=(500, 400))
    before = make_grid(*night([(10.0, 40.0)]), layout)
    for place in ((190.0, -40.0), (84.0, 40.0), (95.0, 40.0)):
        elsewhere = night([place])
        assert grown_grid(before, *elsewhere, layout) is None and make_grid(*elsewhere, layout).width == 500
    with pytest.raises(InputError, match="TAN has no place for any of the 1 frames around RA 10"):
        _plan_grid._box(before, *night([(190.0, -40.0)]), layout)


def test_a_window_that_moves_with_the_frames_keeps_what_is_there_where_that_is_less_work():
    """The middle goes a fifth of the window to the east, and farther than the window is wide."""
    layout = Layout(size=(2000, 1500))
    before = make_grid(*night([(10.0, 40.0)]), layout)
    canvas, part = grown_grid(before, *night([(10.0, 40.0), (10.7, 40.0)]), layout)
    assert (part.width, part.height) == (2000, 1500) and 2000 < canvas.width < 3000 and canvas.height < 1900
    far = night([(10.0, 40.0), (12.0, 40.0), (14.0, 40.0)])
    assert grown_grid(before, *far, layout) is None
    assert grown_grid(before, *far, dataclasses.replace(layout, size=None)) is not None


def test_from_north_to_the_angle_of_the_frames_is_another_rotation():
    frames, solutions = night(PANELS, angle=2.0)
    north, along = (make_grid(frames, solutions, Layout(rotation=rotation)) for rotation in (0.0, None))
    assert abs(along.rotation) == pytest.approx(2.0, abs=0.5)
    assert grown_grid(north, frames, solutions, Layout(rotation=None)) is None
    assert grown_grid(along, *night(PANELS, angle=4.0), Layout(rotation=None)) is not None


def test_a_window_is_looked_up_once_for_all_frames(monkeypatch):
    frames, solutions = night(PANELS)
    asked, box = [], _plan_grid._box
    monkeypatch.setattr(_plan_grid, "_box", lambda *about: asked.append(about) or box(*about))
    make_grid(frames, solutions, Layout(size=(500, 400), projection="ZEA"))
    assert len(asked) == 2  # whom it reaches, and the grid
