"""The solve phase: who is solved, by what, who is left out and why."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from star_lists import S50_SCALE, away, corner_error, frame_at, seen, solution_at, stars_from, with_stars
from zemosaic.catalogue import BAND_CELLS, cell_of, load_catalogue
from zemosaic.errors import Cancelled
from zemosaic.events import PhaseProgress, Silent
from zemosaic.imaging.projection import angular_separation, pixel_scale
from zemosaic.imaging.quads import build_index
from zemosaic.model import FrameState, Measurement, SkyMesh
from zemosaic.phases.measure import measure
from zemosaic.phases.scan import scan
from zemosaic.phases.solve import _closest, _spells, solve
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.tables import load_stars, save_measurement

PANELS = [(280.0, 0.3), (280.6, 0.3), (280.0, 1.2)]


class Listener(Silent):
    def __init__(self):
        self.events = []

    def emit(self, event):
        self.events.append(event)


class Night:
    """Star lists of a night on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rng = folder, np.random.default_rng(21)
        self.frames, self.measurements, self.truth = [], [], {}

    def add(self, true=None, *, stars=None, sky=None, **frame):
        """A frame; `sky` is what it sees where that is not what it should."""
        number = len(self.frames)
        if true is None:
            ra, dec = PANELS[number % len(PANELS)]
            true = solution_at(*away(ra, dec, 0.05, number), turn=0.1 * number, corner=0.0)
        stars = stars if stars is not None else seen(self.rng, sky or true, noise=0.05)
        ra, dec = away(true.ra, true.dec, 0.3, 1.0)
        values = {"id": number, "ra": ra, "dec": dec, "path": Path(f"night/sub{number}.fit")} | frame
        path = self.folder / f"{number}.npz"
        save_measurement(path, stars, SkyMesh(np.zeros((1, 1, 3), np.float32), 64))
        self.frames.append(replace(frame_at(), **values))
        self.measurements.append(Measurement(number, path, (0.0,) * 3, (1.0,) * 3, 3.5, 1.1, len(stars), 0.0))
        self.truth[number] = true
        return number

    def solve(self, method="auto", reporter=None):
        with ThreadPoolExecutor(1) as executor:
            return solve(
                self.frames,
                self.measurements,
                method=method,
                search_radius=1.5,
                executor=executor,
                reporter=reporter or Silent(),
            )


@pytest.fixture(scope="module")
def part_of_the_sky():
    stars = load_catalogue().cone(*PANELS[0], 6.0)
    return build_index(stars.ra, stars.dec, stars.vt, cell_of(stars.ra, stars.dec)[0], int(BAND_CELLS.sum()))


@pytest.fixture(autouse=True)
def _small_index(part_of_the_sky, monkeypatch):
    """The index of the whole sky takes 15 s to make."""
    monkeypatch.setattr("zemosaic.solvers.blind.load_index", lambda: part_of_the_sky)


@pytest.fixture
def night(tmp_path):
    night = Night(tmp_path)
    for _ in range(6):
        night.add()
    return night


def test_frames_are_solved_and_refined_and_progress_is_told(night):
    listener = Listener()
    result = night.solve(reporter=listener)
    assert result.left_out == ()
    assert sorted(result.solutions) == list(range(6))
    for i, solution in result.solutions.items():
        assert corner_error(solution, night.truth[i]) < 0.5
        assert solution.solver == "catalogue"
    assert result.catalogue_rms < 0.5
    assert set(result.residuals) == set(range(6))
    done = [event.done for event in listener.events if isinstance(event, PhaseProgress)]
    assert done == sorted(done)
    assert done[0] == 1
    assert done[-1] == 6


def test_frames_without_position_or_scale_solve_by_their_neighbours(night):
    nowhere = night.add(ra=math.nan, dec=math.nan)
    unscaled = night.add(scale=math.nan)
    bare = night.add(ra=math.nan, dec=math.nan, scale=math.nan, instrument="unknown")
    wrong_scale = night.add(scale=S50_SCALE * 1.05)
    result = night.solve()
    assert result.left_out == ()
    for i in (nowhere, unscaled, bare, wrong_scale):
        assert corner_error(result.solutions[i], night.truth[i]) < 0.5


def test_a_folder_that_knows_nothing_is_found_once_and_solves_by_that(tmp_path):
    night = Night(tmp_path)
    for _ in range(4):
        night.add(ra=math.nan, dec=math.nan, scale=math.nan)
    result = night.solve()
    assert result.left_out == ()
    assert sorted(solution.solver for solution in result.solutions.values()) == ["blind", *["catalogue"] * 3]
    assert all(corner_error(result.solutions[i], night.truth[i]) < 0.5 for i in range(4))


def test_frames_of_a_dark_cloud_solve_together(tmp_path):
    """3 to 5 catalogue stars on a frame convince nobody; those of the mosaic do."""
    night, rng = Night(tmp_path), np.random.default_rng(6)
    known = load_catalogue().cone(67.0, 27.0, 1.6)
    faint = away(67.0, 27.0, 2.0 * np.sqrt(rng.random(2500)), rng.uniform(0, 6.28, 2500))
    sky = [np.concatenate([a[::4], b]) for a, b in zip((known.ra, known.dec), faint, strict=True)]
    for k in range(8):
        true = solution_at(*away(67.0, 27.0, 0.33, (0.8, 2.3, 4.0, 5.5)[k % 4] + 0.1 * k), turn=0.02 * k, corner=0.0)
        night.add(true, stars=with_stars(rng, seen(rng, true, missing=1.0, faint=10), true, *sky))
    result = night.solve()
    assert result.left_out == ()
    assert {solution.solver for solution in result.solutions.values()} == {"ensemble"}
    assert all(corner_error(result.solutions[i], night.truth[i]) < 1.5 for i in range(8))


def test_a_lie_that_no_star_supports_is_left_out(night, monkeypatch):
    """A solver that is sure and wrong."""
    true, honest = night.truth[0], CatalogueSolver.solve
    lie = replace(solution_at(true.ra, true.dec + 0.1, turn=true.ra, corner=0.0), solver="catalogue")
    monkeypatch.setattr(
        CatalogueSolver,
        "solve",
        lambda self, stars, frame, hint: lie if frame.id == 0 else honest(self, stars, frame, hint),
    )
    result = night.solve()
    assert sorted(result.solutions) == [1, 2, 3, 4, 5]
    assert [out.state for out in result.left_out] == [FrameState.FALSE_SOLUTION]
    assert "neither those of the other frames nor the catalogue's" in result.left_out[0].reason


def test_a_frame_in_a_dark_cloud_solves_by_the_stars_of_its_neighbour(tmp_path):
    """No Tycho-2 star on it at all, only faint ones that its neighbour shows as well."""
    night, rng = Night(tmp_path), np.random.default_rng(5)
    faint = away(280.0, 0.3, 1.0 * np.sqrt(rng.random(150)), rng.uniform(0, 6.28, 150))
    for turn in (0.0, 0.1):
        true = solution_at(*away(280.0, 0.3, 0.1, 5 * turn), turn=turn, corner=0.0)
        night.add(true, stars=with_stars(rng, seen(rng, true, faint=10), true, *faint))
    dark = solution_at(*away(280.0, 0.3, 0.3, 1.0), turn=1.0, corner=0.0)
    nothing = seen(rng, dark, missing=1.0, faint=10)
    number = night.add(dark, stars=with_stars(rng, nothing, dark, *faint))
    result = night.solve()
    assert result.left_out == ()
    assert result.solutions[number].solver == "neighbour"
    assert corner_error(result.solutions[number], dark) < 0.7


def test_a_header_wcs_is_taken_when_true_and_replaced_when_wrong(night):
    true = solution_at(*PANELS[0], turn=0.3, corner=0.0)
    told = night.add(true, wcs=true)
    lied_to = night.add(true, wcs=replace(true, cd=tuple(-v for v in true.cd)))
    result = night.solve()
    assert result.solutions[told].solver == "header"
    assert result.solutions[lied_to].solver == "catalogue"
    only_headers = night.solve("header")
    assert list(only_headers.solutions) == [told]
    reasons = {left.path.name: left.reason for left in only_headers.left_out}
    assert reasons["sub0.fit"] == "There is no WCS in its header."
    assert "The WCS in its header is wrong" in reasons[f"sub{lied_to}.fit"]
    assert night.solve("catalogue").solutions[told].solver == "catalogue"


def test_who_cannot_be_solved_is_left_out_in_words(night):
    rng = np.random.default_rng(3)
    cloud = night.add(stars=stars_from([5, 900], [7, 1000], [10, 9]))
    noise = night.add(stars=stars_from(rng.uniform(0, 1080, 60), rng.uniform(0, 1920, 60), rng.uniform(1, 9, 60)))
    anything = stars_from(rng.uniform(0, 1080, 60), rng.uniform(0, 1920, 60), rng.uniform(1, 9, 60))
    stranger = night.add(stars=anything, ra=math.nan, dec=math.nan, path=Path("elsewhere/x.fit"), instrument="another")
    result = night.solve()
    assert sorted(result.solutions) == list(range(6))
    left = {out.path.name: out for out in result.left_out}
    assert left[f"sub{cloud}.fit"].state is FrameState.TOO_FEW_STARS
    assert "2 stars were found, at least 5" in left[f"sub{cloud}.fit"].reason
    assert left[f"sub{noise}.fit"].state is FrameState.UNSOLVED
    assert "No part of the sky within 1.5 degrees" in left[f"sub{noise}.fit"].reason
    assert left["x.fit"].state is FrameState.UNSOLVED
    assert "gives no position" in left["x.fit"].reason
    assert "No field of the whole sky is recognised" in left["x.fit"].reason
    assert stranger not in result.solutions


def test_a_solution_that_contradicts_its_group_is_false(night):
    ra, dec = PANELS[1]
    mirrored = night.add(solution_at(ra, dec, parity=-1))
    result = night.solve()
    assert mirrored not in result.solutions
    assert [out.state for out in result.left_out] == [FrameState.FALSE_SOLUTION]
    assert "mirrored against the others" in result.left_out[0].reason


def test_nothing_solved_is_an_empty_result(tmp_path):
    night = Night(tmp_path)
    night.add(stars=stars_from([1, 2], [1, 2], [1, 2]))
    result = night.solve()
    assert result.solutions == {}
    assert len(result.left_out) == 1


def test_the_user_can_stop(night):
    class Stopped(Silent):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        night.solve(reporter=Stopped())


def _solved(folders, tmp_path):
    with ThreadPoolExecutor(1) as executor:
        found = scan(folders, tmp_path / "out", Silent())
        measurements = list(measure(found.frames, tmp_path, executor, Silent()))
        options = {"search_radius": 1.5, "executor": executor, "reporter": Silent()}
        return found.frames, measurements, solve(found.frames, measurements, method="auto", **options)


@pytest.mark.realdata
def test_two_real_seestars_on_one_galaxy(realdata, tmp_path):
    some = [sub for name in ("m94_s50_a", "m94_s50_b") for sub in sorted((realdata / name).glob("*.fit"))[:4]]
    frames, measurements, result = _solved(some, tmp_path)
    assert len(frames) == 8
    assert result.left_out == ()
    for frame in frames:
        solution = result.solutions[frame.id]
        assert angular_separation(solution.ra, solution.dec, 192.7211, 41.1203) < 0.1
        assert pixel_scale(solution) == pytest.approx(2.374, rel=2e-3)
        assert solution.cd[0] * solution.cd[3] - solution.cd[1] * solution.cd[2] > 0
        assert solution.n_matched >= 8  # of 12 to 15: saturated and blended ones do not take part in the refinement
    assert result.catalogue_rms < 1.0
    assert np.median(list(result.residuals.values())) < 0.12
    assert len(load_stars(measurements[0].path)) > 30


@pytest.mark.realdata
def test_a_real_header_that_lies_is_refused_and_the_frame_solved(realdata, tmp_path):
    frames, _, result = _solved([realdata / "m27_asi224"], tmp_path)
    assert [frame.wcs is not None for frame in frames] == [True, True]
    assert result.left_out == ()
    for frame in frames:
        solution = result.solutions[frame.id]
        assert solution.solver == "catalogue"
        assert pixel_scale(solution) == pytest.approx(1.4817, rel=1e-3)
        assert angular_separation(solution.ra, solution.dec, 299.935, 22.709) < 0.02


def test_a_pause_a_quarter_of_an_hour_and_another_telescope_begin_a_spell():
    def sub(minute, instrument="S50"):
        return replace(
            frame_at(), instrument=instrument, date_obs=f"2025-03-27T{minute // 60:02d}:{minute % 60:02d}:00"
        )

    assert _spells([sub(0), sub(5), sub(10), sub(14)]) == [0, 0, 0, 0]
    assert _spells([sub(0), sub(5), sub(10), sub(16), sub(25)]) == [0, 0, 0, 3, 3]  # by their first frame
    assert _spells([sub(0), sub(11)]) == [0, 1]
    assert _spells([sub(0), sub(1, "S30"), sub(2), sub(3, "S30")]) == [0, 1, 0, 1]
    assert _spells([frame_at(), frame_at(), frame_at()]) == [0, 0, 0]


def test_neighbours_are_those_that_were_told_the_same_and_those_that_truly_lie_there():
    """All headers are a degree too far north: who really lies where this one says it lies is on another panel."""
    frames = [replace(frame_at(), id=i, ra=100.0, dec=dec) for i, dec in enumerate([21.0] * 4 + [22.0] * 4)]
    truly = {frame.id: solution_at(frame.ra, frame.dec - 1.0) for frame in frames}
    new = replace(frame_at(), id=8, ra=100.0, dec=21.0)
    assert [other.id for other in _closest(new, frames, truly)] == [0, 1, 2, 4, 5, 6]
    assert [other.id for other in _closest(replace(new, ra=math.nan), frames, truly)] == [0, 1, 2]
