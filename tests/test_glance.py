"""Small pictures of blocks and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from zemosaic.chunks import DamagedError, create
from zemosaic.errors import FrameError
from zemosaic.events import BlockMade
from zemosaic.glance import Glance, glance_at_block, glance_at_file, shrink_factor


def means(data: np.ndarray, factor: int) -> np.ndarray:
    """The obvious way."""
    rows, columns = range(0, data.shape[-2], factor), range(0, data.shape[-1], factor)
    blocks = [[data[..., y : y + factor, x : x + factor] for x in columns] for y in rows]
    with np.errstate(invalid="ignore"):
        return np.array([[np.mean(b, axis=(-2, -1)) for b in row] for row in blocks]).transpose(2, 0, 1)


@pytest.fixture
def mosaic() -> np.ndarray:
    return np.random.default_rng(1).normal(100.0, 3.0, (3, 175, 133)).astype(np.float32)


def test_a_picture_is_as_large_as_asked() -> None:
    assert shrink_factor(100, 90, 200) == 1 and shrink_factor(1000, 10, 300) == 4 and shrink_factor(300, 900, 300) == 3


@pytest.mark.parametrize("longest", [30, 90, 500])
def test_blocks_make_up_the_whole(tmp_path: Path, mosaic: np.ndarray, longest: int) -> None:
    array = create(tmp_path / "data", mosaic.shape, (3, 64, 64), np.float32, np.nan)
    array.write((0, 0, 0), mosaic)
    factor = shrink_factor(175, 133, longest)
    parts = [
        glance_at_block(BlockMade(array.path, 175, 133, y0, y1, x0, x1, final=True), longest)
        for y0, y1 in ((0, 128), (128, 175)) for x0, x1 in ((0, 64), (64, 133))
    ]  # fmt: skip
    whole = np.full((3, parts[0].height, parts[0].width), np.nan, np.float32)
    for part in parts:
        there = np.isfinite(part.data).all(axis=0)
        h, w = there.shape
        whole[:, part.top : part.top + h, part.left : part.left + w][:, there] = part.data[:, there]
    assert np.isfinite(whole).all() and whole.shape == means(mosaic, factor).shape
    assert whole == pytest.approx(means(mosaic, factor), abs=8.0 / factor)  # pixels at cuts belong to two blocks


def test_a_block_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(DamagedError):
        glance_at_block(BlockMade(tmp_path / "none", 10, 10, 0, 10, 0, 10, final=False), 10)


@pytest.mark.parametrize("planes", [1, 3])
def test_files_whole_and_in_part(tmp_path: Path, mosaic: np.ndarray, planes: int) -> None:
    data = mosaic if planes == 3 else mosaic[0]
    fits.writeto(tmp_path / "m.fits", data)
    whole = glance_at_file(tmp_path / "m.fits", 25)
    assert (whole.factor, whole.height, whole.width, whole.top, whole.left) == (7, 25, 19, 0, 0)
    assert whole.data == pytest.approx(means(mosaic[:planes], 7), rel=1e-5)
    part = glance_at_file(tmp_path / "m.fits", 40, (60, 120, 31, 90))
    assert (part.factor, part.top, part.left) == (2, 30, 15)
    assert part.data == pytest.approx(means(mosaic[:planes, 60:120, 30:90], 2), rel=1e-5)


def test_no_data_has_no_part_in_a_mean(tmp_path: Path) -> None:
    values = np.full((8, 8), 5, np.uint16)
    values[:4, :3] = 0
    fits.writeto(tmp_path / "c.fits", values)
    seen: Glance = glance_at_file(tmp_path / "c.fits", 2, empty=True)
    assert seen.data.tolist() == [[[5.0, 5.0], [5.0, 5.0]]]
    values[:4, :4] = 0
    fits.writeto(tmp_path / "c.fits", values, overwrite=True)
    assert np.isnan(glance_at_file(tmp_path / "c.fits", 2, empty=True).data[0, 0, 0])


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.fits").write_bytes(b"no")
    with pytest.raises(FrameError):
        glance_at_file(tmp_path / "x.fits", 10)
