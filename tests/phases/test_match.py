"""match on simulated star lists and sky meshes: gains, response and sky together, against planted truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from zemosaic.catalogue import CatalogueStars
from zemosaic.errors import Cancelled, InputError
from zemosaic.events import Event, PhaseProgress, Silent, SkiesCurved, Warned
from zemosaic.execution import open_threads
from zemosaic.imaging.cloud import cloud_shape
from zemosaic.imaging.projection import angular_separation, pixel_area, pixel_to_sky, sky_to_pixel, tan_project
from zemosaic.imaging.response import frame_coordinates, response
from zemosaic.imaging.skysurface import surface_at
from zemosaic.model import (
    Correction,
    Distortion,
    Frame,
    FrameKind,
    FrameState,
    Group,
    Measurement,
    SkyMesh,
    Solution,
    Stars,
)
from zemosaic.phases import _match_stars
from zemosaic.phases.match import Limits, MatchResult, match, second_skies
from zemosaic.seams import seam_report
from zemosaic.spread import Spread, one_by_one
from zemosaic.tables import load_mesh, load_stars, save_measurement

WIDTH, HEIGHT, CELL = 1080, 1920, 16
SCALE = 2.374 / 3600
RADIUS = 0.5 * np.hypot(WIDTH, HEIGHT)
CENTRE = (0.1, 41.0)  # the field straddles RA 0h
LEVEL, PEAK, SIGMA = 900.0, 300.0, (45.0, 40.0, 45.0)
COLOUR = np.array([0.7, 1.0, 0.8])
RESPONSE = {"S50_a": (-0.09, -0.03), "S50_b": (-0.14, 0.04)}
PANELS = [(-0.3, -0.54), (0.3, -0.54), (-0.3, 0.54), (0.3, 0.54)]  # deg
ZERO = 20.0
SHAPE = (120, 68)

LIMITS = Limits(faintest=0.15, uneven=0.35)


@dataclass(frozen=True)
class FakeCatalogue:
    """The bright stars of the simulated sky."""

    ra: np.ndarray
    dec: np.ndarray
    vt: np.ndarray

    def cone(self, ra: float, dec: float, radius_deg: float, faintest: float | None = None) -> CatalogueStars:
        near = angular_separation(self.ra, self.dec, ra, dec) < radius_deg
        return CatalogueStars(self.ra[near], self.dec[near], self.vt[near])


@dataclass(frozen=True)
class Night:
    frames: list[Frame]
    measurements: dict[int, Measurement]
    solutions: dict[int, Solution]
    groups: list[Group]
    catalogue: FakeCatalogue
    gain: np.ndarray  # (frames, 3)
    sky: np.ndarray  # (frames, 3, 3)

    def match(self, reporter: Silent | None = None, spread: Spread = one_by_one, **settings: str) -> MatchResult:
        options = {"normalize": "linear_fit", "weighting": "noise_variance"} | settings
        return match(
            self.frames, list(self.measurements.values()), self.solutions, self.groups,
            limits=LIMITS, reporter=reporter or Silent(), catalogue=self.catalogue, spread=spread, **options,
        )  # type: ignore[arg-type]  # fmt: skip


class Listener(Silent):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def nebula(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return PEAK * np.exp(-0.5 * ((x / 0.5) ** 2 + ((y - 0.1) / 0.7) ** 2))


def simulate(
    folder: Path, n: int = 24, *, panels: list[tuple[float, float]] = PANELS, seed: int = 1, clouded: int | None = None,
    level: float = LEVEL,
) -> Night:  # fmt: skip
    """n frames over the panels in turn; the second half by another telescope, turned by 69.5 degrees."""
    rng = np.random.default_rng(seed)
    reach = np.abs(np.array(panels)).max() + 0.9
    count = int(1500 * reach**2)
    ra, dec = CENTRE[0] + reach * rng.uniform(-1.3, 1.3, count), CENTRE[1] + reach * rng.uniform(-1, 1, count)
    flux = (1500.0 * (rng.pareto(1.0, count).clip(0, 300) + 1.0))[:, None] * COLOUR * rng.normal(1, 0.1, (count, 3))
    catalogued = flux[:, 1] > np.quantile(flux[:, 1], 0.93)
    vt = ZERO - 2.5 * np.log10(flux[catalogued, 1]) + rng.normal(0, 0.08, catalogued.sum())
    catalogue = FakeCatalogue(ra[catalogued] % 360, dec[catalogued], vt)
    gain = rng.uniform(0.5, 1.0, (n, 1)) * rng.normal(1, 0.005, (n, 3))
    if clouded is not None:
        gain[clouded] *= 0.08
    sky = np.zeros((n, 3, 3))
    frames, measurements, solutions = [], {}, {}
    for i in range(n):
        second = i >= n // 2
        name = "S50_b" if second else "S50_a"
        dx, dy = np.array(panels[i % len(panels)]) + 0.03 * rng.uniform(-1, 1, 2)
        turn = np.radians((69.5 if second else 0.0) + 8 * rng.uniform(-1, 1))
        c, s = SCALE * np.cos(turn), SCALE * np.sin(turn)
        place = (CENTRE[0] + dx / np.cos(np.radians(CENTRE[1] + dy))) % 360, CENTRE[1] + dy
        distortion = Distortion(k3=1.5 / RADIUS, radius=RADIUS)
        solution = Solution(*place, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, (c, -s, s, c), distortion)
        angle, slope = 2 * np.pi * i / n, 0.2 * level * rng.uniform(0.5, 1)
        sky[i] = [level * rng.uniform(-0.2, 0.2), slope * np.cos(angle), slope * np.sin(angle)]
        sky[i] *= np.array([[0.9], [1.0], [1.1]])
        fwhm = rng.uniform(3.0, 4.2)
        stars, light = photograph(rng, ra, dec, flux * gain[i], solution, RESPONSE[name], fwhm)
        mean = mesh(solution, gain[i], sky[i], RESPONSE[name], light, level)
        share = np.array([0.25, 0.5, 0.25])
        mean += np.array(SIGMA) / (CELL * np.sqrt(share)) * rng.normal(size=mean.shape)
        path = folder / f"{i}.npz"
        save_measurement(path, stars, SkyMesh(mean.astype(np.float32), CELL))
        frames.append(frame(i, name))
        measurements[i] = Measurement(i, path, (LEVEL,) * 3, SIGMA, fwhm, 1.1, len(stars), 0.0)
        solutions[i] = solution
    groups = [
        Group(k, (CENTRE[0] + x) % 360, CENTRE[1] + y, tuple(range(k, n, len(panels))))
        for k, (x, y) in enumerate(panels)
    ]
    return Night(frames, measurements, solutions, groups, catalogue, gain, sky)


def frame(i: int, instrument: str) -> Frame:
    return Frame(
        i, Path(f"Light_{i:03}.fit"), 4_150_000, 0, f"{i:x}", FrameKind.BAYER, WIDTH, HEIGHT, "GRBG", instrument, "Seestar S50",
        instrument, "M 31", "IRCUT", 10.0, 80.0, 20.0, f"2025-03-26T21:{i % 60:02}:00", *CENTRE, 2.39, 65535.0,
    )  # fmt: skip


def photograph(
    rng: np.random.Generator, ra: np.ndarray, dec: np.ndarray, flux: np.ndarray, solution: Solution,
    vignetting: tuple[float, ...], fwhm: float,
) -> tuple[Stars, np.ndarray]:  # fmt: skip
    """The star list of a frame and the light of all its stars in the mesh (before vignetting)."""
    x, y = sky_to_pixel(solution, ra, dec)
    on = np.flatnonzero((x > -40) & (x < WIDTH + 40) & (y > -40) & (y < HEIGHT + 40))
    light = np.zeros((*SHAPE, 3))
    for k in on:
        along = [soft_cells(place[k], size, fwhm / 2.355) for place, size in ((y, SHAPE[0]), (x, SHAPE[1]))]
        (j0, wy), (i0, wx) = along
        light[j0 : j0 + len(wy), i0 : i0 + len(wx)] += (wy[:, None] * wx)[..., None] * flux[k] / CELL**2
    inside = on[(x[on] > 8) & (x[on] < WIDTH - 8) & (y[on] > 8) & (y[on] < HEIGHT - 8)]
    x, y = x[inside], y[inside]
    u, v = frame_coordinates(x, y, WIDTH, HEIGHT)
    expected = flux[inside] * response(vignetting, u * u + v * v)[:, None]
    error = np.sqrt((6.0 * np.array(SIGMA)) ** 2 + expected / 3.0)
    seen = expected * rng.normal(1, 0.01, expected.shape) + error * rng.normal(size=expected.shape)
    wrong = rng.random(len(x)) < 0.03
    seen[wrong] *= rng.uniform(0.3, 3.0, (wrong.sum(), 1))
    snr = np.sum(seen, axis=1) / np.sqrt(np.sum(error**2, axis=1))
    order = np.argsort(-seen[:, 1])
    order = order[snr[order] > 5][:400]
    jitter = 0.42 * fwhm / snr[order]
    stars = Stars(
        x=x[order] + jitter * rng.normal(size=len(order)),
        y=y[order] + jitter * rng.normal(size=len(order)),
        flux=seen[order],
        flux_err=error[order],
        snr=snr[order],
        place_err=jitter,
        fwhm=np.full(len(order), fwhm),
        elongation=np.full(len(order), 1.1),
        saturated=seen[order, 1] > 300_000,
        blended=rng.random(len(order)) < 0.03,
    )
    return stars, light


def soft_cells(place: float, cells: int, sigma: float) -> tuple[int, np.ndarray]:
    """First cell and shares of a Gaussian's light in the cells around a position."""
    first, last = int(max(0, (place - 5 * sigma) // CELL)), int(min(cells - 1, (place + 5 * sigma) // CELL))
    edges = np.arange(first, max(last, first) + 2) * CELL - 0.5
    return first, np.diff(0.5 * (1 + erf((edges - place) / (sigma * np.sqrt(2)))))[: max(0, last - first + 1)]


def mesh(
    solution: Solution,
    gain: np.ndarray,
    sky: np.ndarray,
    vignetting: tuple[float, ...],
    light: np.ndarray,
    level: float,
) -> np.ndarray:
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]] * 16.0 + 7.5
    x[:, -1] = (67 * 16 + WIDTH - 1) / 2
    u, v = frame_coordinates(x, y, WIDTH, HEIGHT)
    place = tan_project(*pixel_to_sky(solution, x, y), *CENTRE)
    surface = nebula(*place)[..., None] * COLOUR
    omega = pixel_area(solution, x, y)[..., None] / SCALE**2
    background = level * np.array([0.9, 1.0, 1.1]) + sky[:, 0] + u[..., None] * sky[:, 1] + v[..., None] * sky[:, 2]
    return response(vignetting, u * u + v * v)[..., None] * (gain * surface * omega + background + light)


def relative(result: MatchResult, night: Night) -> np.ndarray:
    """(frames, 3) relative gain errors of the used frames about their median."""
    gains = np.array([c.gain for c in result.corrections.values()]) / night.gain[list(result.corrections)]
    return gains / np.median(gains, axis=0) - 1


def mosaic_error(night: Night, correction: Correction, channel: int = 1) -> np.ndarray:
    """(points, 3): x, y on the plane and the error of the sky that this frame would put there, ADU of the mosaic."""
    i = correction.frame_id
    solution, name = night.solutions[i], night.frames[i].instrument
    true = mesh(solution, night.gain[i], night.sky[i], RESPONSE[name], np.zeros((*SHAPE, 3)), LEVEL)[::4, ::4, channel]
    y, x = np.mgrid[0 : SHAPE[0] : 4, 0 : SHAPE[1] : 4] * 16.0 + 7.5
    u, v = frame_coordinates(x, y, WIDTH, HEIGHT)
    sky = surface_at(correction.sky[channel], u, v)
    omega = pixel_area(solution, x, y) / SCALE**2
    gain = correction.gain[channel]
    matched = (true / response(correction.response, u * u + v * v) - sky) / (gain * omega)
    place = tan_project(*pixel_to_sky(solution, x, y), *CENTRE)
    return np.stack(
        [place[0].ravel(), place[1].ravel(), (matched - nebula(*place) * scale_of(night, channel)).ravel()], 1
    )


def scale_of(night: Night, channel: int) -> float:
    """ADU of the mosaic per ADU of the simulated sky: the median gain is 1 by convention."""
    return float(COLOUR[channel] * np.median(night.gain[:, channel]))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return simulate(tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return simulate(tmp_path_factory.mktemp("small"), 8, panels=PANELS[:2], seed=4)


@pytest.fixture(scope="module")
def result(night: Night) -> MatchResult:
    return night.match()


def test_gains_and_responses(night: Night, result: MatchResult) -> None:
    assert result.left_out == () and set(result.corrections) == set(range(24))
    red, green, blue = np.std(relative(result, night), axis=0)
    assert green < 0.004 and max(red, blue) < 0.008  # 24 frames over 4 panels, 50 to 150 usable stars each
    rho2 = np.linspace(0, 1, 9)
    for name, truth in RESPONSE.items():
        assert np.sqrt(np.mean((response(result.response[name], rho2) - response(truth, rho2)) ** 2)) < 0.006
        assert result.response_error[name] < 0.01
    assert result.star_groups == result.sky_groups == 1
    assert all(5 < s < 40 for s in result.gain_residual_mmag.values())
    assert min(result.common_stars.values()) > 50


def test_frames_agree_on_the_sky_and_the_nebula_survives(night: Night, result: MatchResult) -> None:
    points = [mosaic_error(night, c) for c in result.corrections.values()]
    table = np.concatenate(points)
    basis = np.stack([np.ones(len(table)), table[:, 0], table[:, 1]], axis=1)
    bend = table[:, 2] - basis @ np.linalg.lstsq(basis, table[:, 2], rcond=None)[0]
    assert np.std(bend) < 0.01 * PEAK
    level = {i: [] for i in range(4)}
    for correction, rows in zip(result.corrections.values(), points):
        seam = (np.abs(rows[:, 0]) < 0.05) & (np.abs(rows[:, 1]) < 0.9)
        level[correction.frame_id % 4].append(
            rows[seam, 2] - np.polyval(np.polyfit(table[:, 1], table[:, 2], 1), rows[seam, 1])
        )
    left, right = (np.mean(np.concatenate(level[a] + level[b])) for a, b in ((0, 2), (1, 3)))
    assert abs(left - right) < 0.005 * PEAK


def test_overlaps_are_reported_in_units_of_their_noise(result: MatchResult) -> None:
    assert {(o.first, o.second) for o in result.overlaps} >= {(0, 1), (0, 2), (1, 3), (2, 3)}
    for overlap in result.overlaps:
        assert overlap.n_cells > 0
        assert max(abs(d) / e for d, e in zip(overlap.difference, overlap.error)) < 8
        assert max(map(abs, overlap.difference)) < 0.005 * PEAK or overlap.n_cells < 30


def test_frame_with_uneven_cloud_weighs_less(tmp_path: Path) -> None:
    night = simulate(tmp_path, 10, panels=PANELS[:1], seed=3)
    measured = night.measurements[4]
    stars = load_stars(measured.path)
    uneven = stars.flux * np.random.default_rng(0).uniform(0.85, 1.15, (len(stars), 1))
    save_measurement(measured.path, replace(stars, flux=uneven), load_mesh(measured.path))
    weights = {i: c.weight for i, c in night.match().corrections.items()}
    assert weights.pop(4) < 0.7
    assert min(weights.values()) > 0.9
    assert all(c.weight == 1.0 for c in night.match(weighting="none").corrections.values())


def test_cloud_that_is_thicker_on_one_side_is_a_plane(tmp_path: Path) -> None:
    night = simulate(tmp_path, 10, panels=PANELS[:1], seed=3)
    measured, plane = night.measurements[4], np.array([0.2, -0.12])
    stars = load_stars(measured.path)
    shape = cloud_shape(plane, *frame_coordinates(stars.x, stars.y, WIDTH, HEIGHT))[:, None]
    cloudy = replace(stars, flux=stars.flux * shape, flux_err=stars.flux_err * shape)
    save_measurement(measured.path, cloudy, load_mesh(measured.path))
    corrections = night.match().corrections
    np.testing.assert_allclose(corrections[4].cloud, plane, atol=0.01)
    assert corrections[4].weight > 0.9
    assert all(c.cloud == (0.0, 0.0) for i, c in corrections.items() if i != 4)


def test_skies_of_second_order_by_setting(small: Night) -> None:
    """No evidence asks for them here; where they are asked for, the priors leave plain skies plain."""
    said = []
    for order in ("auto", "2"):
        listener = Listener()
        skies = [c.sky[1] for c in small.match(listener, sky_order=order).corrections.values()]
        said.append([e.curvature for e in listener.events if isinstance(e, SkiesCurved)])
        assert np.abs(np.array(skies)[:, 3:6]).max() < 0.02 * LEVEL
    assert said == [[], [0.0]]  # by setting, which is no finding


def test_zero_point(night: Night, result: MatchResult) -> None:
    expected = ZERO + 2.5 * np.log10(np.median(night.gain[:, 1]))
    assert result.zero_point == pytest.approx(expected, abs=0.03)
    assert 0.05 < result.zero_point_scatter < 0.12
    assert result.zero_point_channel == "green" and result.zero_point_stars > 30


def test_clouded_frame_is_left_out_with_its_figures(tmp_path: Path) -> None:
    night = simulate(tmp_path, 8, panels=PANELS[:1], clouded=5)
    listener = Listener()
    result = night.match(listener)
    (left,) = result.left_out
    assert left.path == night.frames[5].path and left.state is FrameState.CLOUDED
    assert "% of the light" in left.reason
    assert 5 not in result.corrections and len(result.corrections) == 7
    assert np.median([c.gain[1] for c in result.corrections.values()]) == pytest.approx(1.0)
    assert sum(isinstance(e, PhaseProgress) for e in listener.events) == 7


def test_none_does_nothing_and_sky_mean_moves_constants_only(small: Night) -> None:
    nothing = small.match(normalize="none", weighting="none")
    for c in nothing.corrections.values():
        assert c.gain == (1.0,) * 3 and c.response == () and c.weight == 1.0
        assert np.all(np.array(c.sky) == 0)
    assert nothing.overlaps == ()
    assert np.isfinite(nothing.zero_point)
    offsets = small.match(normalize="sky_mean")
    planes = np.array([c.sky for c in offsets.corrections.values()])
    assert np.all(planes[:, :, 1:] == 0) and np.std(planes[:, 1, 0]) > 50
    assert all(c.gain == (1.0,) * 3 and c.response == () for c in offsets.corrections.values())


def test_the_brightest_stars_of_very_many_frames_do(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_match_stars, "MAX_DETECTIONS", 24 * 60)
    few = night.match()
    assert max(few.common_stars.values()) <= 60
    assert np.std(relative(few, night)[:, 1]) < 0.006


def test_sharp_frames_weigh_more_when_asked(small: Night) -> None:
    weights = {i: c.weight for i, c in small.match(weighting="noise_fwhm").corrections.items()}
    fwhm = {i: small.measurements[i].fwhm for i in weights}
    sharpest, softest = min(fwhm, key=fwhm.__getitem__), max(fwhm, key=fwhm.__getitem__)
    assert weights[sharpest] > 1.0 > weights[softest]
    assert weights[sharpest] / weights[softest] == pytest.approx((fwhm[softest] / fwhm[sharpest]) ** 2, rel=0.05)


def test_isolated_panel_is_kept_at_the_same_sky(tmp_path: Path) -> None:
    night = simulate(tmp_path, 8, panels=[(0.0, 0.0), (3.5, 0.0)])
    listener = Listener()
    result = night.match(listener)
    assert len(result.corrections) == 8 and result.sky_groups == result.star_groups == 2
    assert [(o.first, o.second) for o in result.overlaps] == [(0, 0), (1, 1)]  # two telescopes on each
    assert any(isinstance(e, Warned) and "2 groups" in e.text for e in listener.events)
    error = relative(result, night)[:, 1]
    assert abs(np.median(error[::2]) - np.median(error[1::2])) < 0.06  # the catalogue ties them


def test_same_bits_in_threads_and_the_same_answer_in_another_order(small: Night) -> None:
    first = small.match().corrections
    with open_threads(3) as spread:
        assert small.match(spread=spread).corrections == first
    other = replace(small, frames=small.frames[::-1]).match().corrections
    for i, correction in first.items():
        assert other[i].gain == pytest.approx(correction.gain, rel=3e-3)
        np.testing.assert_allclose(other[i].sky, correction.sky, atol=5.0)


def test_frame_alone(tmp_path: Path) -> None:
    night = simulate(tmp_path, 2, panels=PANELS[:1])
    night.solutions.pop(1)
    (correction,) = night.match().corrections.values()
    assert correction.gain == pytest.approx((1.0,) * 3)
    assert np.isfinite(correction.sky).all()
    assert 0.5 * LEVEL < correction.sky[1][0] < 2 * LEVEL


def test_nothing_to_match_and_cancelling(night: Night) -> None:
    with pytest.raises(InputError, match="no frame has both"):
        match([], [], {}, [], normalize="linear_fit", weighting="none", limits=LIMITS, reporter=Silent())

    class Impatient(Silent):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        night.match(Impatient())


def test_a_panel_with_a_wrong_sky_shows_in_the_seams(tmp_path: Path) -> None:
    """A glow in all subs of one panel where it meets the other, narrower than what a frame's own sky can follow."""
    night = simulate(tmp_path, 12, panels=PANELS[:2], seed=4)
    clean = seam_report(night.frames, night.groups, night.match(), night.measurements, night.solutions)
    assert clean is not None and clean.grade in "AB" and clean.residual < 2.0
    middle = np.mean([(g.ra + 180.0) % 360.0 for g in night.groups]) - 180.0, np.mean([g.dec for g in night.groups])
    for i in night.groups[0].frames:
        measured = night.measurements[i]
        sky = load_mesh(measured.path)
        y, x = (np.mgrid[: sky.mean.shape[0], : sky.mean.shape[1]] + 0.5) * sky.cell
        apart = angular_separation(*pixel_to_sky(night.solutions[i], x, y), *middle)
        lit = sky.mean + 60.0 * np.exp(-0.5 * (apart / 0.1) ** 2)[..., None]
        save_measurement(measured.path, load_stars(measured.path), replace(sky, mean=lit.astype(np.float32)))
    bad = seam_report(night.frames, night.groups, night.match(), night.measurements, night.solutions)
    assert bad is not None and bad.grade in "CD"
    assert clean.visible < 0.3 * bad.visible and bad.residual > 2.0 * clean.residual


WRONG = 6.0, 4.0, -5.0  # ADU, and ADU per degree along x and y


def leaves(night: Night, result: MatchResult, noise: float):
    """What a mosaic leaves of each frame that is wrong by `WRONG`, a bend, and ripples finer than the nodes."""

    def left(i: int) -> np.ndarray:
        if i not in result.corrections:
            return np.zeros((0, 0, 3), np.float32)
        solution, correction = night.solutions[i], result.corrections[i]
        none, vignetting = np.zeros((*SHAPE, 3)), RESPONSE[night.frames[i].instrument]
        raw = mesh(solution, night.gain[i], night.sky[i], vignetting, none, LEVEL)
        y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]] * 16.0 + 7.5
        u, v = frame_coordinates(x, y, WIDTH, HEIGHT)
        at_x, at_y = tan_project(*pixel_to_sky(solution, x, y), *CENTRE)
        wrong = (
            WRONG[0]
            + WRONG[1] * at_x
            + WRONG[2] * at_y
            + 3.0 * at_x * at_y
            + 2.0 * np.sin(at_x / 0.005) * np.cos(at_y / 0.005)
        )
        omega = pixel_area(solution, x, y) / SCALE**2
        for c in range(3):
            mosaic = nebula(at_x, at_y) * scale_of(night, c) + wrong
            model = correction.gain[c] * omega * mosaic + surface_at(correction.sky[c], u, v)
            raw[..., c] -= response(correction.response, u * u + v * v) * model
        spread = noise * np.array(SIGMA) / (CELL * np.sqrt([0.25, 0.5, 0.25]))
        return (raw + spread * np.random.default_rng(i).normal(size=raw.shape)).astype(np.float32)

    return left


def disagreement(night: Night, result: MatchResult) -> float:
    """ADU, rms by which frames differ about the mean that they have in common, over squares of 0.1 degrees."""
    x, y, error = np.concatenate([mosaic_error(night, c) for c in result.corrections.values()]).T
    _, place = np.unique(np.floor(np.stack([x, y]) / 0.1), axis=1, return_inverse=True)
    mean = np.bincount(place, error) / np.bincount(place)
    return float(np.sqrt(np.mean((error - mean[place]) ** 2)))


def again(night: Night, result: MatchResult, noise: float = 1.0) -> MatchResult:
    left = leaves(night, result, noise)
    return second_skies(result, night.frames, night.measurements, night.solutions, night.groups, left)


def test_skies_are_found_a_second_time_however_wrong_the_mosaic_is(night: Night, result: MatchResult) -> None:
    rng = np.random.default_rng(0)
    spoilt = {
        i: replace(c, sky=tuple((s[0] + e[0], s[1] + e[1], s[2] + e[2], *s[3:]) for s, e in zip(c.sky, errors)))
        for (i, c), errors in zip(result.corrections.items(), rng.normal(0, 4.0, (24, 3, 3)))
    }
    before = replace(result, corrections=spoilt)
    after = again(night, before)
    assert disagreement(night, before) > 3.0
    assert disagreement(night, after) < 1.1 * disagreement(night, result)  # gains and responses err as they did
    sides = max(max(map(abs, o.difference)) for o in after.overlaps)
    assert sides < 0.005 * PEAK and {o.first for o in after.overlaps} == {o.first for o in result.overlaps}
    for one in spoilt:  # what was not asked for stays
        assert replace(after.corrections[one], sky=()) == replace(spoilt[one], sky=())


def test_tilt_and_level_of_the_mosaic_stay(night: Night, result: MatchResult) -> None:
    table = np.concatenate([mosaic_error(night, c) for c in again(night, result).corrections.values()])
    basis = np.stack([np.ones(len(table)), table[:, 0], table[:, 1]], axis=1)
    plane = np.linalg.lstsq(basis, table[:, 2], rcond=None)[0]
    np.testing.assert_allclose(plane, WRONG, atol=0.003 * PEAK)


def test_of_frames_that_tell_nothing_the_sky_stays(night: Night, result: MatchResult) -> None:
    told = leaves(night, result, 1.0)
    left = lambda i: np.zeros((0, 0, 3), np.float32) if i % 2 else told(i)  # noqa: E731
    after = second_skies(result, night.frames, night.measurements, night.solutions, night.groups, left)
    moved = {i for i, c in after.corrections.items() if c != result.corrections[i]}
    assert moved == set(range(0, 24, 2))
    nothing = lambda i: np.zeros((0, 0, 3), np.float32)  # noqa: E731
    assert second_skies(result, night.frames, night.measurements, night.solutions, night.groups, nothing) is result


def test_a_frame_of_which_the_mosaic_shows_a_corner_keeps_its_sky(night: Night, result: MatchResult) -> None:
    """Planes through a corner say nothing about the rest; the seams of what is left are still there."""
    told = leaves(night, result, 1.0)

    def left(i: int) -> np.ndarray:
        mean = told(i)
        if i % 4 == 3:  # a whole panel
            mean[:90] = np.nan
        return mean

    after = second_skies(result, night.frames, night.measurements, night.solutions, night.groups, left)
    stay = {i for i, c in after.corrections.items() if c == result.corrections[i]}
    assert stay == set(range(3, 24, 4))
    assert {(o.first, o.second) for o in after.overlaps} == {(o.first, o.second) for o in result.overlaps}
    assert after.frame_steps.keys() == result.frame_steps.keys() and after.sets == result.sets


def test_panels_that_touch_no_other_beside_one_that_tells_nothing(tmp_path: Path) -> None:
    """Groups without common sky, some frames of the first one silent."""
    night = simulate(tmp_path, 12, panels=[(-1.2, 0.0), (1.2, 0.0)], seed=5)
    result = night.match()
    told = leaves(night, result, 1.0)
    left = lambda i: np.zeros((0, 0, 3), np.float32) if i in (0, 2) else told(i)  # noqa: E731
    after = second_skies(result, night.frames, night.measurements, night.solutions, night.groups, left)
    assert {i for i, c in after.corrections.items() if c == result.corrections[i]} == {0, 2}
    assert np.isfinite([c.sky for i, c in after.corrections.items() if i not in (0, 2)]).all()
