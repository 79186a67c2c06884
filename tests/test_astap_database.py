"""The exported star database: read back by an independent, naive reader of the format."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from zemosaic.astap_database import LAYOUTS, write_astap_database
from zemosaic.catalogue import BAND_CELLS, STAR, Catalogue, load_catalogue
from zemosaic.cli import main
from zemosaic.errors import OutputError

# from the description of the format, typed anew: southern edges of the rings and areas in each
EDGES_1476 = [-90.0, *(-87.42857143 + k * 5.142857143 for k in range(35))]
EDGES_290 = [-90.0, -85.23224404, -75.66348756, -65.99286637, -56.14497387, -46.03163067, -35.54307745, -24.53348115]
EDGES_290 += [-12.79440589, 0.0, 12.79440589, 24.53348115, 35.54307745, 46.03163067, 56.14497387, 65.99286637]
EDGES_290 += [75.66348756, 85.23224404]
CELLS_1476 = [1, 3, 9, 15, 21, 27, 33, 38, 43, 48, 52, 56, 60, 63, 65, 67, 68, 69]
CELLS_290 = [1, 4, 8, 12, 16, 20, 24, 28, 32]


def read(path: Path) -> list[tuple[float, float, float]]:
    """Stars of a file: ra, dec, magnitude."""
    data = path.read_bytes()
    assert data[108] == 0 and data[109] == 5 and (len(data) - 110) % 5 == 0
    stars, high, magnitude = [], 0, 0.0
    for start in range(110, len(data), 5):
        record = data[start : start + 5]
        if record[:3] == b"\xff\xff\xff":
            high, magnitude = record[3] - 128, (record[4] - 16) / 10.0
        else:
            ra = int.from_bytes(record[:3], "little") * 360.0 / (2**24 - 1)
            dec = (high * 65536 + int.from_bytes(record[3:], "little")) * 90.0 / (2**23 - 1)
            stars.append((ra, dec, magnitude))
    return stars


def small_catalogue(rng: np.random.Generator, n: int) -> Catalogue:
    """Stars in random cells, in the order that the catalogue has."""
    counts = np.bincount(rng.integers(0, BAND_CELLS.sum(), n), minlength=int(BAND_CELLS.sum()))
    stars = np.zeros(n, STAR)
    for name, most in (("ra", 65536), ("dec", 65536), ("vt", 12500)):
        stars[name] = rng.integers(0, most, n)
    return Catalogue(stars, counts.astype(np.uint16))


@pytest.mark.parametrize(("kind", "edges", "cells"), [("1476", EDGES_1476, CELLS_1476), ("290", EDGES_290, CELLS_290)])
def test_every_star_is_in_its_file_brightest_first(tmp_path, kind, edges, cells):
    catalogue = small_catalogue(np.random.default_rng(3), 4000)
    assert write_astap_database(catalogue, tmp_path / "new", LAYOUTS[kind]) == 4000
    files = sorted((tmp_path / "new").iterdir())
    assert len(files) == int(kind)
    rings = [*cells, *cells[::-1]]
    found = []
    for path in files:
        match = re.fullmatch(rf"[hg]18_(\d\d)(\d\d)\.{kind}", path.name)
        assert match is not None
        ring, cell = int(match[1]) - 1, int(match[2]) - 1
        stars = read(path)
        assert [star[2] for star in stars] == sorted(star[2] for star in stars)
        for ra, dec, _ in stars:
            assert edges[ring] - 1e-4 <= dec <= ([*edges, 90.0][ring + 1]) + 1e-4
            assert int(rings[ring] * ra / 360.0 + 1e-6) in (cell, cell + 1)
        found += stars
    every = catalogue.cone(0.0, 90.0, 180.0)
    expected = np.column_stack([every.ra, every.dec, every.vt])
    got = np.array(found)
    assert len(got) == 4000
    by_place = np.lexsort((expected[:, 0].round(3), expected[:, 1].round(3)))
    back = np.lexsort((got[:, 0].round(3), got[:, 1].round(3)))
    distance = np.abs(expected[by_place] - got[back])
    assert np.median(distance[:, :2]) < 2e-5 and np.mean(distance[:, 2] <= 0.0501) > 0.99  # ties of the rounding apart


def test_the_command_writes_the_packaged_catalogue(tmp_path, capsys):
    assert main(["catalogue", "export", "--format", "astap", "--cells", "290", str(tmp_path / "d b")]) == 0
    assert "1875170 stars in 290 files" in capsys.readouterr().out
    pole = read(tmp_path / "d b" / "g18_1801.290")
    near = load_catalogue().cone(0.0, 90.0, 90.0 - EDGES_290[-1])
    assert len(pole) == len(near)  # to a star: none lies within the rounding of the edge


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_astap_database(small_catalogue(np.random.default_rng(1), 10), tmp_path / "file", LAYOUTS["290"])
