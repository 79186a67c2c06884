"""Global refinement against a sky whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from zemosaic.imaging.adjustment import Adjustment, Sightings, directions, local_axes
from zemosaic.imaging.projection import (
    angular_separation,
    moved,
    pixel_scale,
    pixel_to_sky,
    sky_to_pixel,
    tan_deproject,
    tan_project,
)
from zemosaic.imaging.refine import RefineResult, _far_from_first, _first_cameras, _put_back, refine
from zemosaic.model import Distortion, Solution, Stars

SHAPE = (1920, 1080)
CENTRE = np.array([(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2])
RADIUS = np.hypot(*SHAPE) / 2
FLOOR = 0.02  # px, error of a bright star's position
PANELS = ((-0.35, -0.6), (0.35, -0.6), (-0.35, 0.6), (0.35, 0.6))


@dataclass(frozen=True)
class Camera:
    """An instrument: arcsec/px, rotation in degrees, parity, k3 and k5 in px in the corner."""

    scale: float = 2.374
    angle: float = 10.0
    parity: int = 1
    k3: float = 1.5
    k5: float = 0.0


FIRST, SECOND = Camera(), Camera(angle=79.5, k3=-1.2)


@dataclass(frozen=True)
class Night:
    truth: list[Solution]
    first: list[Solution]
    stars: list[Stars]
    instruments: list[int]
    catalogue: tuple[np.ndarray, np.ndarray]

    def refined(self) -> RefineResult:
        return refine(self.first, self.stars, self.instruments, self.catalogue, [SHAPE] * len(self.first))


def night(
    cameras: Sequence[Camera] = (FIRST, SECOND),
    panels: Sequence[tuple[float, float]] = PANELS,
    frames: int = 6,
    place: tuple[float, float] = (37.0, 20.0),
    density: float = 250.0,
    catalogue_density: float = 44.0,
    outliers: float = 0.05,
    seed: int = 1,
) -> Night:
    """`frames` frames per panel, cameras in turn; densities per square degree.

    The brightest stars have catalogue positions with 0.3" of error each, the same for all frames (missing proper motions).
    The first solution of a frame is the linear fit to its catalogue stars.
    """
    rng = np.random.default_rng(seed)
    half = 1.9
    total, known = int(density * (2 * half) ** 2), int(catalogue_density * (2 * half) ** 2)
    flux = np.sort(10 ** rng.uniform(2.3, 5, total))[::-1]
    plane = rng.uniform(-half, half, (2, total))
    ra, dec = tan_deproject(*plane, *place)
    catalogue = tan_deproject(*(plane[:, :known] + rng.normal(0, 0.3 / 3600, (2, known))), *place)
    truth, first, stars, instruments = [], [], [], []
    for panel in panels:
        for i in range(frames):
            pointing = tan_deproject(*(np.array(panel) + rng.normal(0, 0.02, 2)), *place)
            solution = true_solution(rng, cameras[i % len(cameras)], *map(float, pointing))
            number, seen = detections(rng, solution, ra, dec, flux, outliers)
            truth.append(solution)
            stars.append(seen)
            instruments.append(10 * (i % len(cameras)) + 3)
            held = number < known
            sky = catalogue[0][number[held]], catalogue[1][number[held]]
            first.append(linear_fit(solution, seen.x[held], seen.y[held], *sky))
    return Night(truth, first, stars, instruments, catalogue)


def true_solution(rng: np.random.Generator, camera: Camera, ra: float, dec: float) -> Solution:
    """With a scale and shears that change by 1e-4 from frame to frame."""
    angle = np.radians(camera.angle + rng.normal(0, 0.3))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale, plus, cross = rng.normal([1, 0, 0], 1e-4)
    cd = (
        camera.scale
        / 3600
        * turn
        @ np.diag([camera.parity, 1])
        @ np.array([[scale + plus, cross], [cross, scale - plus]])
    )
    bend = Distortion(camera.k3 / RADIUS, camera.k5 / RADIUS, RADIUS)
    return Solution(ra, dec, *CENTRE.tolist(), cd=tuple(cd.ravel().tolist()), distortion=bend)


def detections(
    rng: np.random.Generator, solution: Solution, ra: np.ndarray, dec: np.ndarray, flux: np.ndarray, outliers: float
) -> tuple[np.ndarray, Stars]:
    """True numbers and measured stars; a share of them is up to 3 px wrong."""
    x, y = sky_to_pixel(solution, ra, dec)
    number = np.flatnonzero((x > 5) & (x < SHAPE[1] - 6) & (y > 5) & (y < SHAPE[0] - 6))
    snr = flux[number] / np.sqrt(flux[number] + 2500)
    number, snr = number[snr > 5][:300], snr[snr > 5][:300]
    n = len(number)
    noise = 0.42 * 3.5 / snr
    places = np.stack([x[number], y[number]]) + rng.normal(0, 1, (2, n)) * np.hypot(noise, FLOOR)
    places += np.where(rng.random(n) < outliers, rng.uniform(-3, 3, (2, n)), 0.0)
    light = (flux[number] * rng.uniform(0.6, 1.0) * rng.normal(1, 1 / snr))[:, None]
    no = np.zeros(n, bool)
    return number, Stars(*places, light, light / snr[:, None], snr, noise, np.full(n, 3.5), np.ones(n), no, no)


def linear_fit(truth: Solution, x: np.ndarray, y: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> Solution:
    design = np.stack([np.ones(len(x)), x - CENTRE[0], y - CENTRE[1]], axis=1)
    plane = np.stack(tan_project(ra, dec, truth.ra, truth.dec), axis=1)
    (shift, by_x, by_y), *_ = np.linalg.lstsq(design, plane, rcond=None)
    start = Solution(truth.ra, truth.dec, *CENTRE.tolist(), cd=(by_x[0], by_y[0], by_x[1], by_y[1]), solver="test")
    return moved(start, *map(float, tan_deproject(*shift, truth.ra, truth.dec)))


def grid(margin: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(margin, SHAPE[1] - 1 - margin, 7), np.linspace(margin, SHAPE[0] - 1 - margin, 9))
    return x.ravel(), y.ravel()


def absolute_errors(truth: Sequence[Solution], fitted: Sequence[Solution]) -> np.ndarray:
    """(f, n) arcsec all over the frames."""
    pairs = zip(truth, fitted, strict=True)
    return np.array([3600 * angular_separation(*pixel_to_sky(t, *grid()), *pixel_to_sky(s, *grid())) for t, s in pairs])


def relative_errors(truth: Sequence[Solution], fitted: Sequence[Solution]) -> np.ndarray:
    """px per axis, between frames, wherever they overlap."""
    errors = []
    for i in range(len(truth)):
        for j in range(i):
            x, y = sky_to_pixel(truth[j], *pixel_to_sky(truth[i], *grid()))
            both = (x > 0) & (x < SHAPE[1] - 1) & (y > 0) & (y < SHAPE[0] - 1)
            here = pixel_to_sky(fitted[i], grid()[0][both], grid()[1][both])
            errors.append(3600 * angular_separation(*here, *pixel_to_sky(fitted[j], x[both], y[both])))
    return np.concatenate(errors) / pixel_scale(truth[0]) / np.sqrt(2)


@pytest.fixture(scope="module")
def two_by_two() -> tuple[Night, RefineResult]:
    sky = night()
    return sky, sky.refined()


def test_frames_agree_with_each_other(two_by_two: tuple[Night, RefineResult]) -> None:
    sky, result = two_by_two
    assert np.sqrt(np.mean(relative_errors(sky.truth, sky.first) ** 2)) > 0.15
    errors = relative_errors(sky.truth, result.solutions)
    assert np.sqrt(np.mean(errors**2)) < 0.02
    assert errors.max() < 0.06


def test_the_whole_lies_where_the_catalogue_says(two_by_two: tuple[Night, RefineResult]) -> None:
    sky, result = two_by_two
    assert np.median(absolute_errors(sky.truth, result.solutions)) < 0.1
    assert result.catalogue_rms == pytest.approx(0.3 * np.sqrt(2), rel=0.15)
    assert all(20 < s.n_matched < 60 and 0.25 < s.rms < 0.6 for s in result.solutions)


def test_each_instrument_gets_its_distortion(two_by_two: tuple[Night, RefineResult]) -> None:
    _, result = two_by_two
    assert result.instruments == (3, 13)
    corner = [d.k3 * d.radius for d in result.distortions]
    assert corner == pytest.approx([FIRST.k3, SECOND.k3], abs=0.05)
    assert all(d.k5 == 0.0 for d in result.distortions)
    assert (np.abs(np.subtract(corner, [FIRST.k3, SECOND.k3])) < 4 * result.distortion_errors[:, 0]).all()


def test_residuals_are_the_noise_of_the_positions(two_by_two: tuple[Night, RefineResult]) -> None:
    sky, result = two_by_two
    expected = []
    for stars in sky.stars:
        sigma = np.hypot(stars.place_err, FLOOR)
        expected.append([np.sqrt(np.mean(sigma**2)), np.sqrt(np.mean(sigma[stars.snr > 20] ** 2))])
    assert result.residual == pytest.approx(np.array(expected)[:, 0], rel=0.25)
    assert result.residual_bright == pytest.approx(np.array(expected)[:, 1], rel=0.25)
    assert (result.n_common > 150).all()


def test_the_reference_pixel_is_the_centre_and_the_solver_is_remembered(two_by_two: tuple[Night, RefineResult]) -> None:
    _, result = two_by_two
    assert all((s.x, s.y) == tuple(CENTRE) and s.solver == "test" for s in result.solutions)


def test_star_numbers_follow_the_true_stars(two_by_two: tuple[Night, RefineResult]) -> None:
    sky, result = two_by_two
    assert [len(ids) for ids in result.star_ids] == [len(s) for s in sky.stars]
    ra, dec, numbers = [], [], []
    for truth, stars, ids in zip(sky.truth, sky.stars, result.star_ids, strict=True):
        good = (ids >= 0) & (stars.snr > 20)
        for column, value in zip((ra, dec), pixel_to_sky(truth, stars.x[good], stars.y[good]), strict=True):
            column.append(value)
        numbers.append(ids[good])
    number = np.concatenate(numbers)
    order = np.argsort(number, kind="stable")
    same = np.diff(number[order]) == 0
    a, d = np.concatenate(ra)[order], np.concatenate(dec)[order]
    apart = 3600 * angular_separation(a[:-1][same], d[:-1][same], a[1:][same], d[1:][same])
    assert same.sum() > 1000
    assert np.mean(apart > 4.0) < 0.01


@pytest.mark.parametrize("place", [(0.0, 5.0), (37.0, 88.0), (123.0, -89.9)])
def test_ra_zero_and_the_poles_are_like_anywhere_else(place: tuple[float, float]) -> None:
    sky = night(place=place, frames=4)
    result = sky.refined()
    assert np.median(absolute_errors(sky.truth, result.solutions)) < 0.1
    assert np.sqrt(np.mean(relative_errors(sky.truth, result.solutions) ** 2)) < 0.02


def test_cameras_of_other_parity_and_scale_join() -> None:
    cameras = (FIRST, Camera(scale=3.74, angle=200.0, parity=-1, k3=-1.0))
    sky = night(cameras, frames=4)
    result = sky.refined()
    assert [d.k3 * d.radius for d in result.distortions] == pytest.approx([1.5, -1.0], abs=0.05)
    assert np.median(absolute_errors(sky.truth, result.solutions)) < 0.1
    for truth, fitted in zip(sky.truth, result.solutions, strict=True):
        assert np.sign(np.linalg.det(np.reshape(truth.cd, (2, 2)))) == np.sign(
            np.linalg.det(np.reshape(fitted.cd, (2, 2)))
        )


def test_a_fifth_order_is_found_when_it_is_there() -> None:
    result = night((replace(FIRST, k5=-1.0), SECOND)).refined()
    assert result.distortions[0].k5 * RADIUS == pytest.approx(-1.0, abs=0.2)
    assert (result.distortions[0].k3 + result.distortions[0].k5) * RADIUS == pytest.approx(0.5, abs=0.1)
    assert result.distortions[1].k5 == 0.0


def test_no_distortion_is_invented() -> None:
    result = night((replace(FIRST, k3=0.0),), panels=((0.0, 0.0),), density=60, catalogue_density=12).refined()
    assert result.distortions[0] == Distortion(0.0, 0.0, RADIUS)
    assert np.isnan(result.distortion_errors).all()


def test_sparse_field_of_two_cameras() -> None:
    """As M 94: a dozen catalogue stars in a frame, some sixty in all."""
    sky = night(panels=((0.0, 0.0),), frames=12, density=65, catalogue_density=13)
    result = sky.refined()
    assert np.median(relative_errors(sky.truth, result.solutions)) < 0.03
    assert np.median(absolute_errors(sky.truth, result.solutions)) < 0.25
    assert np.median(result.residual_bright) < 0.06


def test_a_frame_alone_is_held_by_the_catalogue() -> None:
    sky = night((replace(FIRST, k3=0.0),), panels=((0.0, 0.0),), frames=1)
    result = sky.refined()
    assert np.median(absolute_errors(sky.truth, result.solutions)) < 0.25
    assert result.n_common.tolist() == [0] and np.isnan(result.residual).all()
    assert result.solutions[0].n_matched > 20


def test_an_isolated_panel_keeps_its_own_place() -> None:
    sky = night(panels=((-1.2, -0.6), (1.2, 0.6)), frames=6)
    result = sky.refined()
    for part in (slice(0, 6), slice(6, 12)):
        assert np.median(absolute_errors(sky.truth[part], result.solutions[part])) < 0.2
        assert np.sqrt(np.mean(relative_errors(sky.truth[part], result.solutions[part]) ** 2)) < 0.02


def test_a_false_solution_does_not_pull_the_others() -> None:
    sky = night(frames=4)
    wrong = [moved(sky.first[0], sky.first[0].ra, sky.first[0].dec + 0.05), *sky.first[1:]]
    result = replace(sky, first=wrong).refined()
    assert np.median(absolute_errors(sky.truth[1:], result.solutions[1:])) < 0.1
    assert np.sqrt(np.mean(relative_errors(sky.truth[1:], result.solutions[1:]) ** 2)) < 0.02
    assert result.n_common[0] < 30 < result.n_common[1:].min()


def test_one_false_solution_among_hundreds_neither_moves_the_others_nor_survives() -> None:
    """Verified against nothing, 0.05 degrees and a turn of 30 degrees off: as an external solver could lie."""
    sky = night((FIRST,), frames=100, density=40, catalogue_density=25)
    elsewhere = true_solution(np.random.default_rng(1), Camera(angle=40.0), sky.truth[0].ra, sky.truth[0].dec + 0.05)
    lie = replace(elsewhere, distortion=Distortion())
    sound = sky.refined()
    result = replace(sky, first=[lie, *sky.first[1:]]).refined()
    assert np.flatnonzero(result.unsupported).tolist() == [0]
    assert not sound.unsupported.any() and not sound.held.any()
    corner = [
        (pixel_to_sky(a, *grid()), pixel_to_sky(b, *grid())) for a, b in zip(sound.solutions[1:], result.solutions[1:])
    ]
    moved_by = np.array([3600 * angular_separation(*a, *b) for a, b in corner]) / FIRST.scale
    assert np.sqrt(np.mean(moved_by**2)) < 0.005
    assert moved_by.max() < 0.1
    here, there = pixel_to_sky(lie, *grid()), pixel_to_sky(result.solutions[0], *grid())
    assert 3600 * angular_separation(*here, *there).max() / FIRST.scale < 12.0


def test_a_frame_that_would_be_moved_far_stays() -> None:
    """Stars of one frame that all lie 5 px off pull it slowly away; it keeps the solution that was verified."""
    sky = night((FIRST,), frames=6)
    cameras = _first_cameras(sky.first, np.tile(CENTRE, (24, 1)), np.full(24, RADIUS), np.zeros(24, int))
    step = np.zeros((24, 6))
    step[3, 0], step[5, 2], step[7, 0] = 11.0, -11.0, 3.0
    far = cameras.stepped(step, np.zeros((1, 2)))
    held = _far_from_first(far, cameras)
    assert np.flatnonzero(held).tolist() == [3, 5]
    back = _put_back(far, cameras, held)
    assert np.array_equal(back.basis[3], cameras.basis[3]) and np.array_equal(back.cd[5], cameras.cd[5])
    assert np.array_equal(back.basis[7], far.basis[7])
    far.cd[9] = np.nan
    assert _far_from_first(far, cameras)[9]


def test_many_frames_of_one_field_do_not_shrink() -> None:
    """The noise of the positions must not be lowered by shrinking the scale, however many frames say so."""
    sky = night((FIRST,), panels=((0.0, 0.0),), frames=80, density=60, catalogue_density=44)
    result = sky.refined()
    ratio = [pixel_scale(s) / pixel_scale(t) for s, t in zip(result.solutions, sky.truth, strict=True)]
    assert np.median(ratio) == pytest.approx(1.0, abs=5e-5)
    assert np.median(absolute_errors(sky.truth, result.solutions)) < 0.15


def test_without_a_catalogue_the_frames_still_agree() -> None:
    sky = night(frames=4)
    result = replace(sky, catalogue=(np.empty(0), np.empty(0))).refined()
    assert np.sqrt(np.mean(relative_errors(sky.truth, result.solutions) ** 2)) < 0.03
    assert np.median(absolute_errors(sky.truth, result.solutions)) < 1.0
    assert np.isnan(result.catalogue_rms) and all(s.n_matched == 0 for s in result.solutions)


def test_frames_without_stars_keep_their_solution() -> None:
    sky = night(panels=((0.0, 0.0),), frames=4)
    empty = Stars(
        *[np.empty((0, 1)) if name in ("flux", "flux_err") else np.empty(0) for name in Stars.__annotations__]
    )
    empty = replace(empty, saturated=np.empty(0, bool), blended=np.empty(0, bool))
    result = replace(sky, stars=[empty, *sky.stars[1:]]).refined()
    here, there = pixel_to_sky(sky.first[0], *CENTRE), pixel_to_sky(result.solutions[0], *CENTRE)
    assert 3600 * float(angular_separation(*here, *there)) < 0.01
    assert result.n_common[0] == 0 and len(result.star_ids[0]) == 0
    lone = refine(sky.first[:1], [empty], [0], sky.catalogue, [SHAPE])
    assert lone.solutions[0].cd == pytest.approx(sky.first[0].cd, rel=1e-6)


def test_saturated_and_blended_stars_do_not_disturb() -> None:
    sky = night(frames=4)
    rng = np.random.default_rng(9)
    stars = []
    for s in sky.stars:
        bad = np.arange(len(s)) < 40
        stars.append(
            replace(
                s,
                x=s.x + np.where(bad, rng.uniform(0, 2), 0.0),
                saturated=bad & (np.arange(len(s)) % 2 == 0),
                blended=bad,
            )
        )
    result = replace(sky, stars=stars).refined()
    assert np.sqrt(np.mean(relative_errors(sky.truth, result.solutions) ** 2)) < 0.02


def test_a_reference_pixel_elsewhere_is_brought_to_the_centre() -> None:
    sky = night(panels=((0.0, 0.0),), frames=4)
    shifted = []
    for s in sky.first:
        ra, dec = (float(value) for value in pixel_to_sky(s, 100.0, 50.0))
        shifted.append(replace(moved(s, ra, dec), x=100.0, y=50.0))
    result = replace(sky, first=shifted).refined()
    assert np.sqrt(np.mean(relative_errors(sky.truth, result.solutions) ** 2)) < 0.02
    assert all((s.x, s.y) == tuple(CENTRE) for s in result.solutions)


def test_the_step_is_that_of_dense_least_squares() -> None:
    """The eliminated, preconditioned system against plain least squares with every star as an unknown."""
    rng = np.random.default_rng(5)
    sky = night(frames=2, panels=PANELS[:2], outliers=0.0, density=40, catalogue_density=10)
    centres, radius = np.tile(CENTRE, (4, 1)), np.full(4, RADIUS)
    cameras = _first_cameras(sky.truth, centres, radius, np.array([0, 1, 0, 1]))
    stars = rng.permutation(directions(cameras, np.repeat(np.arange(4), 30), rng.uniform(-500, 500, (120, 2))))
    places, frame, star = [], [], []
    for f, solution in enumerate(sky.truth):
        ra, dec = np.degrees(np.arctan2(stars[:, 1], stars[:, 0])), np.degrees(np.arcsin(stars[:, 2]))
        x, y = sky_to_pixel(solution, ra, dec)
        seen = np.flatnonzero((np.abs(x - CENTRE[0]) < 700) & (np.abs(y - CENTRE[1]) < 1000))
        places.append(np.stack([x[seen], y[seen]], axis=1) - CENTRE)
        frame.append(np.full(len(seen), f))
        star.append(seen)
    sightings = Sightings(
        np.concatenate(frame), np.concatenate(star), np.concatenate(places), np.ones(sum(map(len, star)))
    )
    n, s = len(sightings.frame), len(stars)
    residual, anchors = rng.normal(0, 0.1, (n, 2)), rng.normal(0, 0.3, (s, 2))
    weight, anchor_weight = rng.uniform(50, 100, n), np.where(rng.random(s) < 0.5, 10.0, 0.0)
    terms = np.array([[True, False], [True, True]])
    system = Adjustment(cameras, sightings, stars, residual, weight, anchor_weight, terms, cameras)
    step, k_step = system.step(anchors)

    unknowns = np.concatenate([step.ravel(), k_step.ravel()])
    jacobian = numeric_jacobian(cameras, sightings, stars, terms)
    design = np.zeros((2 * n + 2 * s, len(unknowns) + 2 * s))
    design[: 2 * n, : len(unknowns)] = jacobian
    for axis in (0, 1):
        design[2 * np.arange(n) + axis, len(unknowns) + 2 * sightings.star + axis] = -1.0
        design[2 * n + 2 * np.arange(s) + axis, len(unknowns) + 2 * np.arange(s) + axis] = 1.0
    root = np.sqrt(np.repeat(np.concatenate([weight, anchor_weight]), 2))
    target = np.concatenate([-residual.ravel(), anchors.ravel()])
    active = np.r_[np.repeat(True, 24), terms.ravel(), np.repeat(True, 2 * s)]
    expected, *_ = np.linalg.lstsq((design * root[:, None])[:, active], target * root, rcond=None)
    # the priors (5e-4 of scale and shear, 3 px of distortion, 20 px of anything) are weak here
    assert np.abs(unknowns[active[:28]] - expected[: active[:28].sum()]).max() < 0.02


def numeric_jacobian(cameras, sightings, stars, terms):  # type: ignore[no-untyped-def]
    """(2n, 6f + 2i) arcsec per px, by differences."""
    axes = local_axes(stars)[sightings.star]
    base = directions(cameras, sightings.frame, sightings.uv)
    size, eps = 6 * 4 + terms.size, 1e-3
    columns = []
    for i in range(size):
        step = np.zeros(size)
        step[i] = eps
        other = cameras.stepped(step[:24].reshape(-1, 6), step[24:].reshape(-1, 2))
        change = directions(other, sightings.frame, sightings.uv) - base
        columns.append(np.degrees(3600) * np.einsum("nab,nb->na", axes, change).ravel() / eps)
    return np.stack(columns, axis=1)
