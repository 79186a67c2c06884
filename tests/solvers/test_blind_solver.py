"""Frames that know nothing about themselves, on a cap of the sky around the north pole (the whole sky takes 15 s to index)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from star_lists import S50, away, corner_error, frame_at, seen, solution_at, stars_from
from zemosaic.catalogue import BAND_CELLS, cell_of, load_catalogue
from zemosaic.errors import FrameError
from zemosaic.imaging.projection import angular_separation, sky_to_pixel
from zemosaic.imaging.quads import build_index, guesses
from zemosaic.imaging.triples import guesses_of_threes
from zemosaic.imaging.verification import match_nearest
from zemosaic.kernels.quads import plane_codes, support
from zemosaic.kernels.triples import triple_codes
from zemosaic.model import Solution
from zemosaic.solvers import Hint, frame_hint, parity
from zemosaic.solvers import blind as blind_module
from zemosaic.solvers.blind import BlindSolver, load_index, make_index

CAP = 28.0  # deg from the pole


@pytest.fixture(scope="module")
def index():
    stars = load_catalogue().cone(0.0, 90.0, CAP)
    cell, _, _ = cell_of(stars.ra, stars.dec)
    return build_index(stars.ra, stars.dec, stars.vt, cell, int(BAND_CELLS.sum()))


@pytest.fixture(scope="module")
def solver(index):
    return BlindSolver(index=index)


def unknown(shape=S50):
    return frame_at(scale=math.nan, shape=shape)


def somewhere(rng, scale, shape, sign):
    ra, dec = away(0.0, 90.0, (CAP - 6.0) * math.sqrt(rng.random()), rng.uniform(0, 6.28))
    return solution_at(ra, dec, turn=rng.uniform(0, 6.28), parity=sign, scale=scale, shape=shape)


@pytest.mark.parametrize(
    ("shape", "scale", "most_missed"),
    [((1920, 1920), 1.3, 1), (S50, 2.374, 0), ((2160, 3840), 2.35, 0), ((3000, 4000), 4.5, 0)],
    ids=["0.7 degrees", "S50", "2.5 degrees", "5 degrees"],
)
def test_fields_are_recognised_by_their_stars_alone(solver, shape, scale, most_missed):
    """30 % false detections, 20 % missing, any turn, both parities; the smallest fields have 10 catalogue stars."""
    rng = np.random.default_rng(31)
    missed = 0
    for k in range(16):
        true = somewhere(rng, scale, shape, 1 - 2 * (k % 2))
        try:
            found = solver.solve(seen(rng, true, shape=shape), unknown(shape), frame_hint(unknown(shape), 1.5))
        except FrameError:
            missed += 1
        else:
            assert corner_error(found, true, shape) < 6.0
            assert parity(found) == parity(true)
            assert found.solver == "blind"
    assert missed <= most_missed


@pytest.mark.parametrize("known", [False, True], ids=["no scale", "scale"])
def test_eight_stars_are_enough(solver, known):
    """Fields of 0.7 x 0.4 degrees: 8 to 12 catalogue stars among 30 to 60 detections; half of them hold no whole quad."""
    rng = np.random.default_rng(41)
    shape, scale = (1080, 1920), 1.3125
    tried = missed = 0
    while tried < 12:
        true = somewhere(rng, scale, shape, 1 - 2 * (tried % 2))
        stars = seen(rng, true, shape=shape, faint=20)
        sky = load_catalogue().cone(true.ra, true.dec, 0.42)
        x, y = sky_to_pixel(true, sky.ra, sky.dec)
        n = len(match_nearest(stars.x, stars.y, x, y, 1.5)[0])
        if 8 <= n <= 12:
            hint = replace(frame_hint(unknown(shape), 1.5), scale=1.01 * scale if known else math.nan)
            tried += 1
            try:
                assert corner_error(solver.solve(stars, unknown(shape), hint), true, shape) < 6.0
            except FrameError:
                missed += 1
    assert missed <= 1


def test_a_wrong_sky_is_nowhere(solver):
    """Real fields, stretched by a tenth in one direction: as crowded and as empty as the sky, and nowhere on it."""
    rng = np.random.default_rng(42)
    for k in range(4):
        true = somewhere(rng, 2.374 if k % 2 else 1.3, S50, 1)
        stars = seen(rng, true)
        wrong = stars_from(stars.x, 0.9 * stars.y, stars.flux[:, 0])
        with pytest.raises(FrameError, match="No field of the whole sky"):
            solver.solve(wrong, unknown(), frame_hint(unknown(), 1.5))


def test_random_lists_are_nowhere(solver):
    rng = np.random.default_rng(32)
    for n in (8, 20, 40, 80, 150, 300):
        stars = stars_from(rng.uniform(0, 1080, n), rng.uniform(0, 1920, n), rng.uniform(1, 100, n))
        verdicts = list(solver.verdicts(stars, unknown(), frame_hint(unknown(), 1.5)))
        assert min((verdict.false_alarms for verdict in verdicts), default=math.inf) > 1e-3
    with pytest.raises(FrameError, match="No field of the whole sky is recognised in its 300 stars"):
        solver.solve(stars, unknown(), frame_hint(unknown(), 1.5))
    with pytest.raises(FrameError, match="2 stars were found"):
        solver.solve(stars_from([1, 2], [1, 2], [1, 2]), unknown(), frame_hint(unknown(), 1.5))


def test_what_is_known_is_obeyed(solver):
    rng = np.random.default_rng(33)
    true = solution_at(120.0, 75.0, turn=1.0)
    stars = seen(rng, true)
    for hint in (
        Hint(math.nan, math.nan, 1.5, 2.374),
        Hint(*away(120.0, 75.0, 1.0, 1.0), 1.5, math.nan),
        Hint(math.nan, math.nan, 1.5, math.nan, parity=1),
    ):
        assert corner_error(solver.solve(stars, unknown(), hint), true) < 2.5
    for wrong in (
        Hint(math.nan, math.nan, 1.5, 2.6),
        Hint(*away(120.0, 75.0, 5.0, 1.0), 1.5, math.nan),
        Hint(math.nan, math.nan, 1.5, math.nan, parity=-1),
    ):
        with pytest.raises(FrameError):
            solver.solve(stars, unknown(), wrong)


def test_the_code_of_a_quad_depends_on_its_shape_alone():
    rng = np.random.default_rng(34)
    z = rng.normal(size=(50, 4)) + 1j * rng.normal(size=(50, 4))
    codes = []
    for turned in (z, z[:, [2, 0, 3, 1]] * (3.0 - 1j) + 7.0, np.conj(z)):
        code, quads = np.empty((50, 4)), np.arange(200).reshape(50, 4)
        plane_codes(turned.real.ravel(), turned.imag.ravel(), quads, code)
        codes.append(code)
    assert codes[1] == pytest.approx(codes[0])
    assert codes[2] == pytest.approx(codes[0] * [1, -1, 1, -1])
    assert (codes[0][:, 0] <= codes[0][:, 2]).all()
    assert (codes[0][:, 0] + codes[0][:, 2] <= 1.0).all()


def test_the_code_of_a_three_depends_on_its_shape_alone():
    rng = np.random.default_rng(36)
    z = rng.normal(size=(50, 3)) + 1j * rng.normal(size=(50, 3))
    codes = []
    for turned in (z, z[:, [2, 0, 1]] * (3.0 - 1j) + 7.0, np.conj(z)):
        code, triples, points = np.empty((50, 2)), np.arange(150).reshape(50, 3), turned.ravel()
        triple_codes(points.real.copy(), points.imag.copy(), triples, code)
        a, b, c = points[triples].T
        assert code[:, 0] + 1j * code[:, 1] == pytest.approx((c - a) / (b - a))
        codes.append(code)
    assert codes[1] == pytest.approx(codes[0])
    assert codes[2] == pytest.approx(codes[0] * [1, -1])
    assert (codes[0][:, 0] <= 0.5).all()
    assert (np.abs(codes[0][:, 0] + 1j * codes[0][:, 1] - 1.0) <= 1.0).all()  # nothing is longer than A to B


def test_support_counts_stars_on_the_sky(index):
    """Against the plain answer: every star of the sky projected onto the frame."""
    rng = np.random.default_rng(37)
    true = solution_at(200.0, 80.0, turn=2.0, corner=0.0)
    ra, dec = np.degrees(np.arctan2(index.xyz[:, 1], index.xyz[:, 0])), np.degrees(np.arcsin(index.xyz[:, 2]))
    close = np.flatnonzero(angular_separation(ra, dec, 200.0, 80.0) < 0.7)
    x, y = sky_to_pixel(true, ra[close], dec[close])
    inside = (x > 0) & (y > 0) & (x < S50[1]) & (y < S50[0])
    close, x, y = close[inside], x[inside], y[inside]
    seen_x = np.concatenate([x[:12], rng.uniform(0, S50[1], 8)])
    seen_y = np.concatenate([y[:12], rng.uniform(0, S50[0], 8)])
    nearest = np.min(np.hypot(seen_x[:, None] - x, seen_y[:, None] - y), axis=1)
    for few in (3, 4):
        out, ours = np.empty((1, 9)), np.arange(few)[None]
        support(
            seen_x, seen_y, ours, close[:few][None].astype(np.uint32), np.ones(1, np.int64), index.xyz, BAND_CELLS,
            index.cell_start, np.radians([1.0 / 3600, 5.0 / 3600]), 3.0, 0.0, out,
        )  # fmt: skip
        assert out[0, 0] == np.count_nonzero(nearest[few:] < 3.0)
        assert out[0, 8] > 20.0
    support(
        seen_x, seen_y, ours, close[:few][None].astype(np.uint32), np.ones(1, np.int64), index.xyz, BAND_CELLS,
        index.cell_start, np.radians([3.0 / 3600, 5.0 / 3600]), 3.0, 0.0, out,
    )  # fmt: skip
    assert out[0, 0] == -1.0  # the scale is impossible


def test_the_index_is_kept_and_mapped(index, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "quads"
    monkeypatch.setattr(blind_module, "index_folder", lambda: folder)
    monkeypatch.setattr(blind_module, "build_index", lambda *_: index)
    load_index.cache_clear()
    made = load_index()
    load_index.cache_clear()
    mapped = load_index()
    load_index.cache_clear()
    assert made is index
    assert isinstance(mapped.quads, np.memmap)
    assert np.array_equal(mapped.codes, index.codes)
    assert [path.name for path in folder.parent.iterdir()] == ["quads"]
    assert make_index(folder) is index  # another process was faster


def test_a_guess_is_the_similarity_that_was_found(index):
    rng = np.random.default_rng(35)
    true = solution_at(200.0, 80.0, turn=2.0, parity=-1, corner=0.0)
    stars = seen(rng, true, missing=0.0, spurious=0.0, noise=0.05)
    for search in (guesses, guesses_of_threes):
        best = next(search(stars.x, stars.y, S50, index, BAND_CELLS, (1.0 / 3600, 5.0 / 3600)))[0]
        m = best.multiplier
        found = Solution(best.ra, best.dec, best.x, best.y, (m.real, m.imag, m.imag, -m.real))
        assert best.parity == -1
        assert corner_error(found, true) < 8.0
