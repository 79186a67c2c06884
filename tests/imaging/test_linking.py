"""Common stars of many frames: who is who, who is ambiguous, whatever the place on the sky."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.linking import BRIGHTNESS_RATIO, chord, link_stars, unit_vectors
from zemosaic.imaging.projection import tan_deproject

ARCSEC = 1 / 3600


def scene(
    rng: np.random.Generator, ra0: float, dec0: float, frames: int = 12, stars: int = 150
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Detections of `frames` frames that each see two thirds of a field: ra, dec, flux and the true star numbers."""
    xi, eta = rng.uniform(-0.7, 0.7, (2, stars))
    flux = 10 ** rng.uniform(2, 5, stars)
    columns: tuple[list[np.ndarray], ...] = ([], [], [], [])
    for _ in range(frames):
        seen = rng.permutation(stars)[: 2 * stars // 3]
        noise = rng.normal(0, 0.2 * ARCSEC, (2, len(seen)))
        ra, dec = tan_deproject(xi[seen] + noise[0], eta[seen] + noise[1], ra0, dec0)
        values = (ra, dec, flux[seen] * rng.uniform(0.4, 1.6) * rng.normal(1, 0.05, len(seen)), seen)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return columns  # type: ignore[return-value]


@pytest.mark.parametrize(("ra0", "dec0"), [(190.0, 41.0), (0.0, 5.0), (123.0, 89.8), (359.9, -88.0)])
def test_every_star_gets_one_number_anywhere_on_the_sky(ra0: float, dec0: float) -> None:
    ra, dec, flux, truth = scene(np.random.default_rng(1), ra0, dec0)
    ids, stars = np.concatenate(link_stars(ra, dec, flux, 5.0)), np.concatenate(truth)
    linked = ids >= 0
    assert linked.mean() > 0.98
    pairs = set(zip(ids[linked].tolist(), stars[linked].tolist(), strict=True))
    assert len(pairs) == len({number for number, _ in pairs}) == len({star for _, star in pairs})


def test_the_result_is_the_same_every_time_and_numbers_follow_first_appearance() -> None:
    ra, dec, flux, _ = scene(np.random.default_rng(2), 83.0, -5.0)
    first, second = link_stars(ra, dec, flux, 5.0), link_stars(ra, dec, flux, 5.0)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    new = np.concatenate(first)
    new = new[new >= 0]
    appearance = new[np.sort(np.unique(new, return_index=True)[1])]
    assert np.array_equal(appearance, np.arange(len(appearance)))


def test_a_star_has_at_most_one_detection_in_a_frame() -> None:
    ra, dec, flux, _ = scene(np.random.default_rng(3), 83.0, -5.0, stars=3000, frames=4)
    for ids in link_stars(ra, dec, flux, 12.0):
        linked = ids[ids >= 0]
        assert len(np.unique(linked)) == len(linked)


def test_two_candidates_of_similar_brightness_are_ambiguous() -> None:
    ra = [np.array([10.0, 10.5]), np.array([10.0, 10.0 + 3 * ARCSEC, 10.5])]
    dec = [np.zeros(2), np.zeros(3)]
    flux = [np.array([100.0, 50.0]), np.array([60.0, 70.0, 50.0])]
    first, second = link_stars(ra, dec, flux, 5.0)
    assert first.tolist() == [0, 1]
    assert second.tolist() == [-1, -1, 1]


def test_close_pair_in_the_first_frame_is_ambiguous_too() -> None:
    ids = link_stars([[10.0, 10.0 + 3 * ARCSEC, 11.0]], [[0.0, 0.0, 0.0]], [[5.0, 6.0, 5.0]], 5.0)[0]
    assert ids.tolist() == [-1, -1, 0]


def test_brightness_tells_neighbours_apart_at_any_transparency() -> None:
    rng = np.random.default_rng(4)
    ra = np.append(np.linspace(10, 11, 30), [12.0, 12.0 + 3 * ARCSEC])
    flux = np.append(rng.uniform(100, 200, 30), [3000.0, 3000.0 / (2 * BRIGHTNESS_RATIO)])
    first, second = link_stars([ra, ra], [np.zeros(32), np.zeros(32)], [flux, flux * 0.05], 5.0)
    assert np.array_equal(first, np.arange(32))
    assert np.array_equal(second, first)


def test_a_close_chain_of_stars_is_not_one_star() -> None:
    """Friends of friends would join all twelve."""
    ra = [np.array([20.0 + i * 4 * ARCSEC]) for i in range(12)]
    ids = np.concatenate(link_stars(ra, [np.zeros(1)] * 12, [np.ones(1)] * 12, 5.0))
    assert ids.max() >= 4


def test_unknown_brightness_links_by_position_and_unknown_position_not_at_all() -> None:
    ids = link_stars([[10.0, 11.0], [10.0, np.nan]], [[0.0, 0.0], [0.0, 0.0]], [[np.nan, 1.0], [-3.0, 1.0]], 5.0)
    assert ids[0].tolist() == [0, 1]
    assert ids[1].tolist() == [0, -1]


def test_empty_frames_are_fine() -> None:
    ids = link_stars([[], [10.0], []], [[], [0.0], []], [[], [1.0], []], 5.0)
    assert [len(i) for i in ids] == [0, 1, 0]
    assert link_stars([], [], [], 5.0) == []


def test_chord_is_the_distance_of_unit_vectors() -> None:
    a, b = unit_vectors([120.0, 120.0], [30.0, 30.0 + 7 * ARCSEC])
    assert np.linalg.norm(a - b) == pytest.approx(chord(7.0), rel=1e-6)
