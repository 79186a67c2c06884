"""Frames whose headers state a distortion, through the whole solve phase: cards in, refined solutions out."""

from __future__ import annotations

import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.wcs import WCS

from star_lists import S50_SCALE, away, seen, solution_at, with_stars
from zemosaic.events import Silent
from zemosaic.fits import cards
from zemosaic.headers import frame_from_header
from zemosaic.imaging.projection import angular_separation, moved, pixel_scale, pixel_to_sky, sky_to_pixel
from zemosaic.model import Distortion, Frame, FrameState, Measurement, Polynomial, SkyMesh, Solution
from zemosaic.phases.solve import SolveResult, solve
from zemosaic.tables import save_measurement
from zemosaic.wcs import solution_header

SHAPE = (1920, 1080)
HALF = (572.0, 992.0)
CYGNUS = (305.0, 38.0)


def optics(corner: float) -> Distortion:
    """`corner` px of cubic distortion in the corners, and decentring a third as strong."""
    a, b = HALF
    cubic, p1, p2 = corner / (a * a + b * b) ** 1.5, 0.1 * corner / (a * a + b * b), -0.15 * corner / (a * a + b * b)
    x = (3 * p1 * a * a, 2 * p2 * a * b, p1 * b * b, cubic * a**3, 0.0, cubic * a * b * b, 0.0)
    y = (p2 * a * a, 2 * p1 * a * b, 3 * p2 * b * b, 0.0, cubic * a * a * b, 0.0, cubic * b**3)
    return Distortion(radius=math.hypot(*SHAPE) / 2, polynomial=Polynomial(x, y, HALF))


class Night:
    """Frames around one place with common faint stars; their headers as a solver of theirs would have written them."""

    def __init__(self, folder: Path, corner: float, parity: int = 1, place: tuple[float, float] = CYGNUS) -> None:
        self.folder, self.rng, self.place, self.parity = folder, np.random.default_rng(17), place, parity
        self.bend = optics(corner)
        self.frames: list[Frame] = []
        self.measurements: list[Measurement] = []
        self.truth: list[Solution] = []
        angle = self.rng.uniform(0, 2 * math.pi, 900)
        self.faint = away(*place, 1.1 * np.sqrt(self.rng.random(900)), angle)

    def add(self, header: dict[str, object] | None, *, noise: float = 0.0, common: bool = True) -> int:
        """A frame; `header` are changes of its SIP cards (None: no WCS), `noise` px is the error of its SIP."""
        number = len(self.frames)
        turn, here = 0.3 + 0.02 * number, away(*self.place, 0.06 * (number % 4), 1.3 * number)
        true = replace(solution_at(*here, turn=turn, parity=self.parity, corner=0.0), distortion=self.bend)
        stars = seen(self.rng, true, noise=0.05)
        if common:
            stars = with_stars(self.rng, stars, true, *self.faint, noise=0.05)
        changes = self.rng.normal(0, noise, (2, 7)) if noise else np.zeros((2, 7))
        p = self.bend.polynomial
        said = replace(p, x=tuple(p.x + changes[0]), y=tuple(p.y + changes[1]))
        claim = moved(replace(true, distortion=replace(self.bend, polynomial=said)), *away(*here, 4 / 3600, number))
        written = dict(solution_header(claim, SHAPE[1], SHAPE[0])) | header if header is not None else {}
        ra, dec = away(*here, 0.2, 1.0)
        values = {
            "TELESCOP": "S50_aa",
            "RA": ra,
            "DEC": dec,
            "EQUINOX": 2000.0,
            "SWCREATE": "N.I.N.A.",
            "FOCALLEN": 250.0,
        }
        text = Header([("BITPIX", 16), ("XPIXSZ", 2.9), *values.items(), *written.items()]).tostring()
        frame = frame_from_header(
            cards(text), SHAPE, Path(f"night/sub{number}.fit"), os.stat_result((0,) * 10), id=number
        )
        path = self.folder / f"{number}.npz"
        save_measurement(path, stars, SkyMesh(np.zeros((1, 1, 3), np.float32), 64))
        self.frames.append(frame)
        self.measurements.append(Measurement(number, path, (0.0,) * 3, (1.0,) * 3, 3.5, 1.1, len(stars), 0.0))
        self.truth.append(true)
        return number

    def solve(self, method: str = "auto") -> SolveResult:
        with ThreadPoolExecutor(1) as executor:
            options = {"search_radius": 1.5, "executor": executor, "reporter": Silent()}
            return solve(self.frames, self.measurements, method=method, **options)

    def errors(self, result: SolveResult, number: int) -> tuple[float, float]:
        """(rms, largest) distance, px, from the truth over the frame to its corners."""
        x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 1079, 12), np.linspace(0, 1919, 20)))
        px, py = sky_to_pixel(self.truth[number], *pixel_to_sky(result.solutions[number], x, y))
        apart = np.hypot(px - x, py - y)
        return float(np.sqrt(np.mean(apart**2))), float(apart.max())


@pytest.mark.parametrize("parity", [1, -1])
def test_solutions_carry_the_distortion_of_the_headers(tmp_path, parity):
    night = Night(tmp_path, 8.0, parity)
    for _ in range(5):
        night.add({})
    result = night.solve()
    assert result.left_out == ()
    for number in range(5):
        rms, worst = night.errors(result, number)
        assert rms < 0.05 and worst < 0.12
        assert result.solutions[number].solver == "header"
        assert pixel_scale(result.solutions[number]) == pytest.approx(S50_SCALE, rel=1e-3)
    assert max(result.residuals.values()) < 0.1


def test_headers_that_are_each_a_little_wrong_make_one_instrument(tmp_path):
    """2 px of error in each header's SIP: their median serves all, also frames that have none, and joins them closely."""
    night = Night(tmp_path, 8.0)
    for _ in range(9):
        night.add({}, noise=0.7)
    bare = night.add(None)
    result = night.solve()
    assert result.left_out == () and result.solutions[bare].solver == "catalogue"
    assert len({s.distortion for s in result.solutions.values()}) == 1
    apart = [night.errors(result, number)[0] for number in range(10)]
    headers = [Night.errors(night, SolveResult({n: f.wcs}, ()), n)[0] for n, f in enumerate(night.frames) if f.wcs]
    assert max(apart) < 0.45 < 1.0 < np.median(headers)


def test_what_headers_leave_is_found_on_top(tmp_path):
    """They state half of the cubic distortion; the refinement finds the other half."""
    night = Night(tmp_path, 8.0)
    half = replace(night.bend, polynomial=optics(4.0).polynomial)
    for _ in range(5):
        number = night.add(None)
        stated = replace(night.truth[number], distortion=half)
        night.frames[number] = replace(night.frames[number], wcs=stated)
    result = night.solve()
    for number in range(5):
        found = result.solutions[number].distortion
        assert found.polynomial == half.polynomial and found.k3 * found.radius > 2.0
        assert night.errors(result, number)[0] < 0.7  # half of the decentring is left


def test_a_frame_alone_keeps_the_distortion_of_its_header(tmp_path):
    """20 catalogue stars at the galactic pole say little about corners; the header does."""
    night = Night(tmp_path, 5.0, place=(192.7, 27.0))
    number = night.add({}, common=False)
    result = night.solve()
    assert result.solutions[number].distortion.polynomial is not None
    rms, worst = night.errors(result, number)
    assert rms < 0.25 and worst < 0.6
    night.frames[0] = replace(night.frames[0], wcs=None)
    assert night.errors(night.solve(), number)[1] > 1.5  # what the corners were without it


BAD = [
    ({"CRPIX1": "NaN"}, "CRPIX1 = 'NaN' is not a number"),
    ({"CD1_1": 1e-18, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-18}, "which no telescope has"),
    ({"CTYPE1": "LINEAR"}, "not right ascension and declination"),
    ({"A_3_0": "nan"}, "A_3_0 = 'nan' is not a number"),
    ({"A_3_0": 1e-5}, "folds the frame"),
    ({"CRVAL1": 306.5}, "The WCS in its header is wrong: "),
    ({"CD1_1": 0.0, "CD1_2": 6.6e-4, "CD2_1": 6.6e-4, "CD2_2": 0.0}, "The WCS in its header is wrong: "),
]


def test_headers_that_lie_or_break_are_ignored_with_a_reason(tmp_path):
    night = Night(tmp_path, 1.5)
    for changes, _ in BAD:
        night.add(changes)
    result = night.solve()
    assert result.left_out == ()
    assert {s.solver for s in result.solutions.values()} == {"catalogue"}
    assert max(night.errors(result, number)[0] for number in range(len(BAD))) < 0.3
    only_headers = night.solve("header")
    assert only_headers.solutions == {}
    for (_, reason), left in zip(BAD, only_headers.left_out, strict=True):
        assert left.state is FrameState.UNSOLVED
        assert reason in left.reason


def test_the_header_that_is_written_says_what_the_solution_says(tmp_path):
    """Of a refined solution, polynomial and radial terms together, as astropy reads it."""
    night = Night(tmp_path, 8.0)
    for _ in range(3):
        night.add({})
    for solution in night.solve().solutions.values():
        for k3 in (solution.distortion.k3, 1.5 / solution.distortion.radius):
            solution = replace(solution, distortion=replace(solution.distortion, k3=k3))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                wcs = WCS(solution_header(solution, SHAPE[1], SHAPE[0]))
            x, y = np.meshgrid(np.linspace(0, 1079, 30), np.linspace(0, 1919, 40))
            apart = angular_separation(*wcs.all_pix2world(x, y, 0), *pixel_to_sky(solution, x, y)) * 3600
            assert apart.max() < 0.005 * pixel_scale(solution)
