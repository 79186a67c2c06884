"""The reader of .npz files against numpy's own, and files that are damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from zemosaic.npz import load_arrays

ARRAYS = {
    "plane": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "none": np.zeros((0, 3)),
    "number": np.array(16),
    "marks": np.array([True, False]),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "arrays.npz"
    np.savez(path, **ARRAYS)
    return path


def test_arrays_are_those_that_numpy_reads(file: Path) -> None:
    found = load_arrays(file, tuple(ARRAYS))
    with np.load(file) as wanted:
        for name, array in found.items():
            np.testing.assert_array_equal(array, wanted[name])
            assert array.dtype == wanted[name].dtype and array.flags.writeable
    with pytest.raises(KeyError):
        load_arrays(file, ("other",))


@pytest.mark.parametrize("keep", [0, 10, 300, -1, -30])
def test_a_file_that_was_cut_short_is_refused(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(zipfile.BadZipFile):
        load_arrays(file, ("plane",))


def test_a_damaged_array_is_refused_and_the_others_are_read(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[data.index(ARRAYS["plane"].tobytes())] ^= 1
    file.write_bytes(data)
    with pytest.raises(zipfile.BadZipFile, match="checksum"):
        load_arrays(file, ("plane",))
    np.testing.assert_array_equal(load_arrays(file, ("turned",))["turned"], ARRAYS["turned"])


def test_compressed_files_are_named(file: Path) -> None:
    np.savez_compressed(file, **ARRAYS)
    with pytest.raises(zipfile.BadZipFile, match=r"savez"):
        load_arrays(file, ("plane",))
