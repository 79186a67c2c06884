"""The packed Tycho-2 catalogue: what is in it and that cones find all of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import zemosaic.catalogue
from zemosaic.catalogue import BAND_CELLS, STAR, Catalogue, cell_of, load_catalogue
from zemosaic.imaging.projection import angular_separation


@pytest.fixture(scope="module")
def sky():
    """A random sky with a dense cap at either pole, and the catalogue packed from it."""
    rng = np.random.default_rng(1)
    n = 40_000
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    dec[:2000] = 90 - rng.uniform(0, 3, 2000)
    dec[2000:4000] = -90 + rng.uniform(0, 3, 2000)
    ra = rng.uniform(0, 360, n)
    ra[4000:5000] = rng.uniform(-0.5, 0.5, 1000) % 360
    vt = rng.uniform(1, 13, n)
    cell, along, up = cell_of(ra, dec)
    order = np.lexsort((vt, cell))
    stars = np.zeros(n, STAR)
    stars["ra"], stars["dec"] = np.floor(along[order] * 65536), np.floor(up[order] * 65536)
    stars["vt"] = np.rint(vt[order] * 1000)
    counts = np.bincount(cell, minlength=int(BAND_CELLS.sum())).astype(np.uint16)
    return ra, dec, vt, Catalogue(stars, counts)


CENTRES = [
    (0.0, 0.0), (359.95, 12.3), (0.02, -45.0), (123.4, 88.0), (10.0, 89.97), (200.0, -89.9), (0.0, 90.0), (0.0, -90.0),
    (83.6, -5.4), (180.0, 60.0),
]  # fmt: skip


@pytest.mark.parametrize(("ra", "dec"), CENTRES)
@pytest.mark.parametrize("radius", [0.3, 2.0, 7.0])
def test_a_cone_holds_every_star_and_nothing_else(sky, ra, dec, radius):
    true_ra, true_dec, true_vt, catalogue = sky
    distance = angular_separation(true_ra, true_dec, ra, dec)
    found = catalogue.cone(ra, dec, radius)
    margin = 0.1 / 3600
    assert np.count_nonzero(distance < radius - margin) <= len(found) <= np.count_nonzero(distance < radius + margin)
    assert np.all(np.diff(found.vt) >= 0)
    for alpha, delta, vt in zip(found.ra[:50], found.dec[:50], found.vt[:50]):
        error = angular_separation(true_ra, true_dec, alpha, delta)
        nearest = np.argmin(np.where(np.abs(true_vt - vt) < 0.001, error, 999.0))
        assert error[nearest] * 3600 < 0.06


def test_a_magnitude_limit_only_leaves_out_fainter_stars(sky):
    catalogue = sky[3]
    every = catalogue.cone(0.0, 10.0, 5.0)
    bright = catalogue.cone(0.0, 10.0, 5.0, faintest=7.0)
    n = np.count_nonzero(every.vt <= 7.0)
    assert 0 < n < len(every)
    np.testing.assert_array_equal(bright.ra, every.ra[:n])


def test_an_empty_cone_is_empty_arrays(sky):
    assert len(sky[3].cone(77.7, 33.3, 1e-5)) == 0


def test_pieces_that_do_not_belong_together_are_refused(sky):
    with pytest.raises(ValueError, match="do not belong together"):
        Catalogue(np.zeros(5, STAR), np.zeros(int(BAND_CELLS.sum()), np.uint16))


def test_the_packaged_catalogue_is_tycho_2():
    catalogue = load_catalogue()
    assert len(catalogue) == 1_875_170
    # SIMBAD, J2000: HD 189733, HD 209458, beta Pictoris.
    known = [(300.18214, 22.71085, 7.78), (330.79489, 18.88432, 7.70), (86.82120, -51.06651, 3.87)]
    for ra, dec, vt in known:
        found = catalogue.cone(ra, dec, 0.15 / 3600)
        assert len(found) == 1
        assert abs(found.vt[0] - vt) < 0.05
    pole, milky_way = catalogue.cone(192.86, 27.13, 2.0), catalogue.cone(300.0, 35.0, 2.0)
    assert 15 < len(pole) / 12.56 < 30
    assert 60 < len(milky_way) / 12.56 < 250
    assert len(catalogue.cone(0.0, 90.0, 2.0)) > 300


def test_the_packaged_catalogue_is_small_and_quick():
    folder = Path(zemosaic.catalogue.__file__).parent / "data"
    assert sum(file.stat().st_size for file in folder.glob("*.npy")) < 14e6
    assert "BSD-2-Clause" in (folder / "README.md").read_text(encoding="utf-8")
    load_catalogue.cache_clear()
    start = time.perf_counter()
    catalogue = load_catalogue()
    assert time.perf_counter() - start < 0.3
    catalogue.cone(300.0, 35.0, 2.0)
    start = time.perf_counter()
    for _ in range(10):
        catalogue.cone(300.0, 35.0, 2.0)
    assert (time.perf_counter() - start) / 10 < 0.05


def test_the_bright_stars_of_the_whole_sky_are_those_of_the_cones() -> None:
    catalogue = load_catalogue()
    bright = catalogue.brighter_than(5.0)
    assert (np.diff(bright.vt) >= 0).all() and bright.vt[-1] <= 5.0 and 1000 < len(bright) < 2500
    for ra, dec in ((0.2, 10.0), (84.0, -1.0), (200.0, 89.0), (310.0, -60.0)):
        near = angular_separation(bright.ra, bright.dec, ra, dec) <= 12.0
        cone = catalogue.cone(ra, dec, 12.0, 5.0)
        assert len(cone) > 3 and cone.ra.tolist() == pytest.approx(bright.ra[near].tolist(), abs=1e-9)
        assert cone.dec.tolist() == pytest.approx(bright.dec[near].tolist(), abs=1e-9)
