"""Arrays in chunks: what is written comes back, what was spoilt is found, and Zarr's own packages read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zemosaic.chunks import Around, Chunked, DamagedError, create, create_on, opened, put_file, save
from zemosaic.errors import OutputError

ZARR_2 = Path(sys.prefix) / "zarr2"  # `make setup` puts it there: both cannot be installed side by side
ZARRS = [pytest.param(None, id="installed"), pytest.param(ZARR_2, id="2")]


def filled(folder: Path, seed: int = 1, shape=(3, 50, 70), chunks=(3, 16, 16)) -> tuple[Chunked, np.ndarray]:
    data = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return save(folder / "array", data, chunks), data


def test_what_is_written_comes_back(tmp_path):
    array, data = filled(tmp_path)
    assert np.array_equal(array.read(), data)
    assert np.array_equal(opened(array.path).read((slice(1, 3), slice(10, 40), slice(69, 200))), data[1:3, 10:40, 69:])
    assert array.read((slice(0, 1), slice(5, 5))).shape == (1, 0, 70)
    assert array.whole() and opened(array.path) == array


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 17),
    st.integers(0, 39),
    st.integers(0, 39),
    st.integers(0, 20),
)
def test_any_part_of_any_array(tmp_path_factory, height, width, chunk, y, x, size):
    folder = tmp_path_factory.mktemp("part")
    array, data = filled(folder, shape=(height, width), chunks=(chunk, chunk))
    part = slice(y, y + size), slice(x, x + size)
    assert np.array_equal(array.read(part), data[part])


def test_what_was_never_written_is_the_fill(tmp_path):
    array = create(tmp_path / "a", (2, 40, 40), (2, 16, 16), np.float32, np.nan)
    array.write((0, 16, 16), np.ones((2, 10, 16), np.float32))
    found = array.read()
    assert np.isfinite(found).sum() == 2 * 10 * 16 and (found[:, 16:26, 16:32] == 1).all()
    with pytest.raises(DamagedError, match="absent"):
        array.read(complete=True)
    assert not array.whole() and array.whole((slice(None), slice(16, 32), slice(16, 32)))
    # the chunk belongs to whoever writes it: nothing of before is left
    array.write((0, 16, 16), np.zeros((2, 2, 2), np.float32))
    assert np.isfinite(array.read()).sum() == 8


@pytest.mark.parametrize("spoil", ["one bit", "half", "empty", "longer"])
def test_a_spoilt_chunk_is_found(tmp_path, spoil):
    array, data = filled(tmp_path)
    file = array.path / "0.1.2"
    good = file.read_bytes()
    flipped = bytearray(good)
    flipped[1000] ^= 4
    file.write_bytes(
        {"one bit": bytes(flipped), "half": good[: len(good) // 2], "empty": b"", "longer": good + b"x"}[spoil]
    )
    assert not array.whole()
    assert array.whole((slice(None), slice(0, 16)))
    with pytest.raises(DamagedError, match=r"0\.1\.2 is damaged"):
        array.read()
    array.write((0, 16, 32), data[:, 16:32, 32:48])
    assert array.whole() and np.array_equal(array.read(), data)


def test_an_array_of_another_shape_begins_empty(tmp_path):
    array, _ = filled(tmp_path)
    assert create(array.path, array.shape, array.chunks, array.dtype).whole()
    assert not create(array.path, (3, 50, 71), array.chunks, array.dtype).whole()
    assert [path.name for path in array.path.iterdir()] == [".zarray"]


@pytest.mark.parametrize("header", [None, "", "{}", '{"shape": 3}'])
def test_what_is_no_array_is_said_to_be_damaged(tmp_path, header):
    (tmp_path / "a").mkdir()
    if header is not None:
        (tmp_path / "a" / ".zarray").write_text(header)
    with pytest.raises(DamagedError):
        opened(tmp_path / "a")


def test_a_file_that_cannot_be_written_leaves_nothing_and_says_why(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match=r"/a: cannot be written .*needs 0\.0 kB; .* are free.* Make room"):
        put_file(tmp_path / "a", b"data")  # a folder of that name
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr("os.fsync", lambda _: named.append((tmp_path / "a").exists()))
    put_file(tmp_path / "a", b"whole")
    assert named == [False] and (tmp_path / "a").read_bytes() == b"whole"


READ = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy, zarr
array = zarr.open(sys.argv[1], mode="r")
try:
    numpy.save(sys.argv[2], array[:])
    damaged = False
except Exception:
    damaged = True
print(json.dumps([zarr.__version__, damaged, str(array.dtype)]))
"""


@pytest.mark.parametrize("zarr", ZARRS)
def test_the_packages_of_zarr_read_it_and_find_what_is_spoilt(tmp_path, zarr):
    if zarr is not None and not zarr.is_dir():
        pytest.skip(f"no Zarr 2 in {zarr}: make setup")
    data = np.random.default_rng(3).normal(size=(3, 50, 70)).astype(np.float32)
    array = create(tmp_path / "a", data.shape, (3, 16, 16), data.dtype, np.nan)
    array.write((0, 0, 0), data[:, :32])
    expected = np.where(np.arange(50)[:, None] < 32, data, np.nan).astype(np.float32)

    def read() -> list[object]:
        environment = os.environ | ({"PYTHONPATH": str(zarr)} if zarr else {})
        command = [sys.executable, "-c", READ, str(array.path), str(tmp_path / "read.npy")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    version, damaged, _ = read()
    assert version.startswith("2." if zarr else ("2.", "3.")) and not damaged
    assert np.array_equal(np.load(tmp_path / "read.npy"), expected, equal_nan=True)
    file = array.path / "0.0.0"
    spoilt = bytearray(file.read_bytes())
    spoilt[500] ^= 1
    file.write_bytes(bytes(spoilt))
    assert read()[1]


@pytest.fixture(scope="module")
def two_planes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("around")
    values = np.random.default_rng(3).normal(size=(3, 90, 110)).astype(np.float32)
    counts = np.arange(90 * 110, dtype=np.uint16).reshape(90, 110)
    return values, counts, [save(folder / "a", values, (3, 32, 32)), save(folder / "b", counts, (32, 32))]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-20, 130)] * 4).map(lambda b: (*sorted(b[:2]), *sorted(b[2:]))), min_size=1),
    st.integers(0, 60_000),
)
def test_what_lies_around_is_what_was_written(two_planes, boxes, room):
    values, counts, arrays = two_planes
    around, most = Around(arrays, room), room
    for y0, y1, x0, x1 in boxes:
        (oy, ox), (one, other) = around.part(y0, y1, x0, x1)
        here = slice(max(y0, 0), max(y1, 0)), slice(max(x0, 0), max(x1, 0))
        there = tuple(slice(max(s.start - o, 0), max(s.stop - o, 0)) for s, o in zip(here, (oy, ox)))
        assert np.array_equal(one[:, *there], values[:, *here]) and np.array_equal(other[there], counts[here])
        most = max(most, one[:, *there].nbytes + other[there].nbytes)
        assert one.nbytes + other.nbytes <= most


def test_what_lies_around_is_read_once(tmp_path):
    array, data = filled(tmp_path, shape=(3, 90, 110))
    around = Around([array], 10**6)
    around.part(5, 40, 20, 60)
    around.part(0, 45, 10, 70)
    around.part(10, 60, 30, 65)
    for path in array.path.glob("[0-9]*"):
        path.unlink()
    (y, x), (part,) = around.part(3, 62, 17, 75)
    assert (y, x) == (0, 0) and np.array_equal(part[0], data[0, :64, :80])
    _, (part,) = around.part(3, 65, 17, 75)  # the last row of chunks is no longer there
    assert np.array_equal(part[0, :64], data[0, :64, :80]) and (part[0, 64:] == 0).all()


def test_an_array_grows_to_any_side_and_keeps_its_chunks(tmp_path):
    path, form = tmp_path / "a", ((16, 16), np.float32, np.nan)
    data = np.random.default_rng(2).normal(size=(30, 40)).astype(np.float32)
    create_on(path, "sky", (5, 7), (30, 40), *form).write((0, 0), data)
    grown = create_on(path, "sky", (37, 23), (80, 70), *form)
    assert grown.shape == (80, 70) and opened(path) == grown
    assert np.array_equal(grown.read((slice(32, 62), slice(16, 56))), data)
    assert np.isfinite(grown.read()).sum() == data.size
    # the other way the chunks beyond the bounds go, and by parts of chunks, or on another lattice, all do
    assert np.array_equal(create_on(path, "sky", (5, 7), (16, 40), *form).read(), data[:16])
    for lattice, origin in (("sky", (6, 7)), ("other", (6, 7))):
        create_on(path, lattice, origin, (16, 40), *form).write((0, 0), data[:16])
    assert np.isnan(create_on(path, "sky", (6, 7), (16, 40), *form).read()).all()
    assert not path.with_name("a.moving").exists()


@pytest.mark.parametrize("moved", range(6))
def test_growing_goes_on_where_it_was_ended(tmp_path, monkeypatch, moved):
    path, form = tmp_path / "a", ((16, 16), np.float32, np.nan)
    data = np.random.default_rng(2).normal(size=(32, 32)).astype(np.float32)
    create_on(path, "sky", (5, 7), (32, 32), *form).write((0, 0), data)
    rename, times = Path.rename, [0]

    def ended(file, target):
        times[0] += 1
        if times[0] > moved:
            raise KeyboardInterrupt
        return rename(file, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", ended)
        if moved < 5:  # four chunks and the folder
            with pytest.raises(KeyboardInterrupt):
                create_on(path, "sky", (21, 23), (48, 48), *form)
    assert np.array_equal(create_on(path, "sky", (21, 23), (48, 48), *form).read()[16:, 16:], data)
