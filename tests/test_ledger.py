"""The ledger: exact round trips, one state a frame, resume, locking."""

from __future__ import annotations

import math
import multiprocessing
import os
import sqlite3
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zemosaic.errors import OutputError
from zemosaic.ledger import Ledger, from_json, to_json
from zemosaic.model import (
    Correction,
    Distortion,
    Frame,
    FrameKind,
    FrameState,
    Grid,
    Group,
    LeftOut,
    Measurement,
    Plan,
    SkyMesh,
    Solution,
    Stars,
    Superblock,
)
from zemosaic.tables import MEASURE_VERSION, save_measurement

NAN = float("nan")
SOLUTION = Solution(
    0.1 + 0.2, -1e-300, 540.0, 960.0, (1e-17, 2 / 3, -2 / 3, 0.0), Distortion(-1.5e-3, 0.0, 1100.0), "x", 12
)


def frame(number: int, folder: Path, **changes: object) -> Frame:
    plain = Frame(
        id=number,
        path=folder / f"Light_é_{number}.fit",
        size=4_153_000,
        mtime_ns=1_700_000_000_123_456_789 + number,
        digest=f"{number:032x}",
        kind=FrameKind.BAYER,
        width=1080,
        height=1920,
        bayer="GRBG",
        instrument="S50",
        camera="Seestar S50",
        telescope="S50_1",
        target="M 94",
        filter="IRCUT",
        exposure=10.0,
        gain=80.0,
        temperature=NAN,
        date_obs="2025-03-26T20:20:46.1",
        ra=192.72,
        dec=41.12,
        scale=2.39,
        saturation=65535.0,
        wcs=SOLUTION if number % 2 else None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def measurement(number: int, folder: Path, name: str | None = None) -> Measurement:
    path = folder / f"{name or number}.npz"
    none: Any = np.zeros(0)
    stars = Stars(**dict.fromkeys((field.name for field in fields(Stars)), none))
    save_measurement(path, stars, SkyMesh(np.zeros((1, 1, 3), np.float32), 64))
    return Measurement(number, path, (900.1, 1000.2, 800.3), (15.0, 14.0, 16.0), 3.7, 1.1, 210, 0.0)


def same(first: object, second: object) -> bool:
    """Equal, NaN being equal to NaN."""
    return repr(first) == repr(second) and type(first) is type(second)


def test_values_come_back_exactly(tmp_path: Path) -> None:
    plan = Plan(
        Grid(1 / 3, -89.9, 6.6e-4, 10, 20, 4.5, 9.5), 3, (Group(0, 0.1, 0.2, (1, 2)),), (Superblock(0, 5, 0, 9, (1,)),),
        32, 1 << 40, 0,
    )  # fmt: skip
    correction = Correction(3, (1.01, NAN, math.inf), ((1.0, 2.0, 3.0),) * 3, (), 1101.5, 0.7)
    for value in (frame(1, tmp_path), frame(2, tmp_path), measurement(4, tmp_path), SOLUTION, correction, plan):
        assert same(from_json(type(value), to_json(value)), value)


@given(st.floats(), st.lists(st.floats(), max_size=4))
def test_every_float_comes_back_exactly(gain: float, sky: list[float]) -> None:
    value = Correction(0, (gain,), (tuple(sky),), (), 1.0)
    assert same(from_json(Correction, to_json(value)), value)


def test_numbers_of_numpy_become_plain_ones() -> None:
    value = Correction(np.int64(3), (np.float32(0.5), np.float64(0.1)), (), (), 1.0)  # type: ignore[arg-type]
    assert same(from_json(Correction, to_json(value)), Correction(3, (0.5, 0.1), (), (), 1.0))
    with pytest.raises(TypeError, match="ndarray"):
        to_json(np.zeros(3))


def test_a_frame_has_one_state_from_found_to_used(tmp_path: Path) -> None:
    frames = [frame(n, tmp_path) for n in range(4)]
    dark = LeftOut(tmp_path / "dark.fit", FrameState.NOT_A_LIGHT, "a dark (IMAGETYP)")
    correction = Correction(0, (1.0,), ((0.0, 0.0, 0.0),), (), 1.0)
    with Ledger(tmp_path) as ledger:
        ledger.record_scan(frames, [dark])
        for n in range(3):
            ledger.record_measured(measurement(n, tmp_path))
        ledger.record_left_out([LeftOut(frames[3].path, FrameState.TOO_FEW_STARS, "3 stars, 8 needed")])
        ledger.record_solved({0: SOLUTION, 1: SOLUTION})
        ledger.record_left_out([LeftOut(frames[2].path, FrameState.UNSOLVED, "no match")])
        ledger.record_matched({0: correction})
        ledger.record_used([0])
    with Ledger(tmp_path) as ledger:
        rows = ledger.rows()
    assert [row.state.value for row in rows] == ["used", "solved", "unsolved", "too_few_stars", "not_a_light"]
    assert [row.reason for row in rows] == ["", "", "no match", "3 stars, 8 needed", "a dark (IMAGETYP)"]
    assert [row.path for row in rows] == [*(each.path for each in frames), dark.path]
    assert same(rows[0].frame, frames[0]) and rows[0].correction == correction and same(rows[1].solution, SOLUTION)
    assert same(rows[2].measurement, measurement(2, tmp_path)) and rows[3].measurement is None
    assert rows[4].frame is None


def test_resume_keeps_what_was_measured_on_unchanged_files_only(tmp_path: Path) -> None:
    frames = [frame(n, tmp_path) for n in range(6)]
    with Ledger(tmp_path) as ledger:
        ledger.record_scan(frames, [])
        assert ledger.measured(frames) == {}
        for each in frames:
            ledger.record_measured(measurement(each.id, tmp_path))
    changed = [
        frames[0],
        replace(frames[1], size=1),
        replace(frames[2], mtime_ns=1),
        replace(frames[3], path=tmp_path / "other.fit"),
        frames[4],
        replace(frames[5], digest="0"),
    ]
    (tmp_path / "4.npz").unlink()
    with Ledger(tmp_path) as ledger:
        assert ledger.measured(changed) == {0: measurement(0, tmp_path)}
        ledger.record_scan(changed[:3], [])
        assert [row.state for row in ledger.rows()] == [FrameState.MEASURED, FrameState.FOUND, FrameState.FOUND]
        assert ledger.measured(frames) == {0: measurement(0, tmp_path)}


def test_a_damaged_measurement_is_made_again(tmp_path: Path) -> None:
    frames = [frame(n, tmp_path) for n in range(4)]
    with Ledger(tmp_path) as ledger:
        ledger.record_scan(frames, [])
        whole = [measurement(each.id, tmp_path) for each in frames]
        for each in whole:
            ledger.record_measured(each)
        whole[0].path.write_bytes(b"")
        whole[1].path.write_bytes(whole[1].path.read_bytes()[:-40])
        np.savez(whole[2].path, mesh_cell=64)
        assert ledger.measured(frames) == {3: whole[3]}


def test_names_of_measurements_that_no_frame_has_become_free(tmp_path: Path) -> None:
    one = frame(0, tmp_path)
    with Ledger(tmp_path) as ledger:
        ledger.measurements.mkdir()
        ledger.record_scan([one], [])
        known = measurement(0, ledger.measurements, one.digest)
        ledger.record_measured(known)
        measurement(1, ledger.measurements)
        ledger.record_scan([one], [])
        assert list(ledger.measurements.iterdir()) == [known.path]


def test_another_way_to_measure_measures_all_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = frame(0, tmp_path)
    with Ledger(tmp_path) as ledger:
        ledger.record_scan([one], [])
        ledger.record_measured(measurement(0, tmp_path))
        assert ledger.measured([one]) == {0: measurement(0, tmp_path)}
        monkeypatch.setattr("zemosaic.ledger.MEASURE_VERSION", MEASURE_VERSION + 1)
        assert ledger.measured([one]) == {}
        ledger.record_scan([one], [])
        assert ledger.rows()[0].measurement is None


def test_files_named_by_place_are_not_taken_for_another_frame_s(tmp_path: Path) -> None:
    first, second = frame(0, tmp_path), frame(1, tmp_path)
    with Ledger(tmp_path) as ledger:
        ledger.record_scan([first, second], [])
        ledger.record_measured(measurement(0, tmp_path))
        ledger.record_measured(measurement(1, tmp_path, second.digest))
        later = [replace(first, id=1), replace(second, id=2)]
        assert ledger.measured(later) == {2: measurement(2, tmp_path, second.digest)}


def test_values_of_the_run_and_seconds_of_its_phases(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert ledger.get("grid", Grid) is None
        ledger.put("grid", Grid(1.0, 2.0, 3.0, 4, 5, 6.0, 7.0))
        ledger.put("settings", "abc")
        ledger.put("settings", "def")
        ledger.record_phase("scan", 0.25, 18)
        ledger.record_phase("measure", 9.5, 18)
    with Ledger(tmp_path) as ledger:
        assert ledger.get("grid", Grid) == Grid(1.0, 2.0, 3.0, 4, 5, 6.0, 7.0)
        assert ledger.get("settings", str) == "def"
        assert ledger.phases() == [("scan", 0.25, 18), ("measure", 9.5, 18)]


def _open_and_die(output: Path) -> None:
    Ledger(output).put("who", "first")
    os._exit(9)


def test_a_second_run_on_the_same_output_is_refused_in_words(tmp_path: Path) -> None:
    with Ledger(tmp_path), pytest.raises(OutputError, match="another run is at work in"):
        Ledger(tmp_path)
    Ledger(tmp_path).close()


def test_a_run_that_died_leaves_no_lock_and_what_it_wrote(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_open_and_die, args=(tmp_path,))
    process.start()
    process.join(20)
    assert process.exitcode == 9
    with Ledger(tmp_path) as ledger:
        assert ledger.get("who", str) == "first"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write into the output folder .*: [^\[]*; choose another folder"):
        Ledger(tmp_path / "file")


def test_a_damaged_or_foreign_ledger_is_named(tmp_path: Path) -> None:
    Ledger(tmp_path / "new").close()
    path = tmp_path / "new" / "zemosaic_workspace" / "ledger.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(OutputError, match="another version"):
        Ledger(tmp_path / "new")
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(OutputError, match="damaged"):
        Ledger(tmp_path / "new")


@pytest.mark.skipif(os.name == "nt", reason="Windows file names are Unicode")
def test_file_names_need_not_be_utf_8(tmp_path: Path) -> None:
    odd = frame(0, tmp_path, path=Path(os.fsdecode(b"/subs/\xe9t\xe9.fit")))
    with Ledger(tmp_path) as ledger:
        ledger.record_scan([odd], [])
        (row,) = ledger.rows()
    assert row.frame is not None and row.frame.path == odd.path and str(row.path) == r"/subs/\udce9t\udce9.fit"


def test_a_fresh_start_forgets_everything_but_the_user_s_files(tmp_path):
    (tmp_path / "mosaic.fits").touch()
    with Ledger(tmp_path) as ledger:
        ledger.put("pace", 0.3)
        for part, name in (("", "old"), ("/M 31", "red"), ("s", "others")):
            ledger.put(f"finished{part}", name)
        ledger.record_phase("measure", 1.0, 3)
        (ledger.workspace / "mosaic" / "data").mkdir(parents=True)
        (ledger.workspace / "mosaic" / "data" / "0.0").touch()
        ledger.forget()
        assert ledger.get("pace", float) is None and ledger.rows() == [] and ledger.phases() == []
        assert [path.name for path in ledger.workspace.iterdir() if path.is_dir()] == []
        for _ in range(2):  # what was written is known, under another name, until the new run has cleared it away
            assert ledger.get_all("left", str) == ["old", "red"] and ledger.get_all("finished", str) == []
            ledger.forget()
        ledger.put("finished", "new")
        ledger.forget()
        assert ledger.get_all("left", str) == ["new", "red"]
    assert (tmp_path / "mosaic.fits").exists()
