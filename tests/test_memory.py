"""Memory, disk and workers of the assembly: what the settings promise, and the forecast beside what happened."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nights import FIELD, Inline, Recorder, assembled, same_bits, simulated
from zemosaic.chunks import reserve
from zemosaic.errors import OutputError, SettingsError
from zemosaic.events import Forecast, Outturn, Silent
from zemosaic.execution import MAIN_MEMORY
from zemosaic.forecast import LOOK, Pace, forecast, over_limit, pace, widths
from zemosaic.ledger import Ledger
from zemosaic.messages import recognised
from zemosaic.model import Grid, Plan, Superblock
from zemosaic.outlook import look_ahead, look_at_headers
from zemosaic.phases._assemble_canvas import Checkpoint
from zemosaic.phases.assemble import Assembly, Widths
from zemosaic.recipes import assembly_recipe
from zemosaic.settings import Settings

COADD = {"final_assembly_method": "reproject_coadd", "stacking_rejection_algorithm": "winsorized_sigma_clip"}


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("night"), replace(FIELD, subs=5))


@pytest.fixture(scope="module")
def plain(night, tmp_path_factory):
    """Samples side by side in memory, and what was told about it."""
    folder, recorder = tmp_path_factory.mktemp("plain"), Recorder()
    return assembled(night.lights, folder, recorder, **COADD), recorder


def test_the_forecast_comes_first_and_what_happened_after(plain):
    outputs, recorder = plain
    kinds = [type(e).__name__ for e in recorder.events]
    assert kinds.count("Forecast") == kinds.count("Outturn") == 1
    before = next(e for e in recorder.events if isinstance(e, Forecast))
    after = next(e for e in recorder.events if isinstance(e, Outturn))
    assert kinds.index("Forecast") < kinds.index("Outturn") and after.forecast == before
    assert 0 < before.least < before.most and before.memory > 400
    # planes are forecast to the pixel; what is known less well, running sums and rejected pixels, is forecast to be more
    assert 0.3 * before.disk < after.disk < before.disk
    there = sum(path.stat().st_size for path in outputs.mosaic.parent.rglob("*") if path.is_file()) / 2**20
    # but for the sums of the sensor, which are gone, and what no assembly wrote: measurements, ledger, log, preview
    assert 0.7 * there < after.disk < 1.5 * there


def test_running_sums_are_kept_and_found_again_without_a_copy_of_them(tmp_path):
    """60 MB of sums and 5 MB of counts; that they went through 16 MB three times was 100 MB of two workers."""
    rng = np.random.default_rng(1)
    sums = rng.normal(size=(9, 423, 660, 6)).astype(np.float32), rng.integers(0, 9, (5, 423, 660)).astype(np.uint16)
    found = [np.empty_like(each) for each in sums]
    checkpoint = Checkpoint(tmp_path / "sums", "key", 0.0)
    tracemalloc.start()
    try:
        checkpoint.keep(sums, 7, {1, 3})
        assert checkpoint.restore(found) == (7, {1, 3})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * 2**20
    assert all(np.array_equal(one, other) for one, other in zip(sums, found))


def plan_of(depth: int, memory: int = 2**30) -> Plan:
    block = Superblock(0, 512, 0, 512, (0, 1, 2), depth)
    return Plan(Grid(0, 0, 1e-3, 512, 1024, 0, 0), 3, (), (block, block), 32, memory, 2**28)


@pytest.mark.parametrize(
    ("settings", "depth", "memory", "workers", "expected"),
    [
        ({}, 0, 8, 4, Widths(None, None)),
        ({}, 0, 2, 4, Widths(2, 2)),  # gigabytes for tasks of one: less is free today than when it was planned
        ({}, 0, 0.5, 4, Widths(1, 1)),
        ({"assembly_process_workers": 3}, 0, 8, 4, Widths(3, 3)),
        ({**COADD, "winsor_worker_limit": 2}, 5, 8, 4, Widths(2, None)),
        ({**COADD, "winsor_worker_limit": 0}, 5, 8, 4, Widths(None, None)),
        ({"winsor_worker_limit": 2}, 0, 8, 4, Widths(None, None)),  # nothing lies side by side
    ],
)
def test_tasks_at_once(settings, depth, memory, workers, expected):
    chosen = Settings.model_validate(settings)
    recipe = assembly_recipe(chosen, (0.0,), 0.0)
    assert widths(chosen, plan_of(depth), recipe, int(memory * 2**30), workers) == expected


def test_forecast_grows_with_what_there_is_to_do():
    slow = Pace(0.3, 0.0)
    few, many = (forecast(plan_of(0), looks, 2, None, slow) for looks in (100.0, 400.0))
    assert many.least == pytest.approx(4 * few.least) and many.memory == few.memory
    assert forecast(plan_of(0), 100.0, 1, None, slow).most == pytest.approx(2 * few.most)
    # kernels that measuring had to compile say that those of the assembly have to be as well, unless it ran before
    new = forecast(plan_of(0), 100.0, 2, None, Pace(0.3, 20.0))
    assert new.least == few.least and new.most == pytest.approx(few.most + 28.0)
    known = forecast(plan_of(0), 100.0, 2, 0.2, Pace(0.3, 20.0))
    assert known.most / known.least < few.most / few.least
    assert np.sqrt(known.least * known.most) == pytest.approx(100 * 0.2 / 2)


def test_kernels_that_have_to_be_compiled_are_in_the_forecast():
    """30.7 s where 1.5 to 9.9 s were forecast: those of measuring were known, those of the assembly not."""
    known, new = (forecast(plan_of(0), 17.0, 2, None, Pace(0.3, 1.0), compiled=each) for each in (True, False))
    assert known.least == new.least < 2.0 < 6.0 < known.most and new.most > 31.0


@pytest.mark.parametrize(("limit", "wanted"), [(1.0, 1), (1.0, 4), (2.0, 2), (2.0, 4), (3.0, 4)])
def test_a_plan_keeps_to_the_limit_with_the_process_that_leads(night, tmp_path, limit, wanted):
    """On 19 megapixels that no limit here lets a worker hold as one block."""
    settings = Settings(memory_limit=limit, num_processing_workers=wanted, output_scale=0.3)
    lights = look_at_headers([night.lights], tmp_path, settings, Silent())
    told = look_ahead(lights, None, settings)
    assert told is not None and told.width * told.height > 15e6
    assert 0.8 * 1024 * limit < told.memory <= 1024 * limit


def test_a_forecast_beyond_the_limit_is_said():
    """Of an older plan, which goes on as it is."""
    told = forecast(plan_of(0, 884 * 2**20), 100.0, 1, None, None)
    assert over_limit(told, Settings(memory_limit=2.0)) == over_limit(told, Settings()) == ""
    said = over_limit(told, Settings(memory_limit=1.0))
    assert "1234 MB" in said and "1024 MB" in said
    assert recognised(said) == ("said.over_limit", {"need": "1234", "limit": "1024"})


def test_the_pace_is_that_of_workers_which_have_begun():
    """Two workers that compile for 20 s, then take 0.5 s a frame."""
    ends = [20.5 + 0.5 * (k // 2) for k in range(40)]
    found = pace(ends, 2)
    assert (
        found is not None and found.frame == pytest.approx(0.5, rel=0.1) and found.start == pytest.approx(20.0, abs=0.5)
    )
    steady = pace([0.3 * (k + 1) for k in range(30)], 1)
    assert steady is not None and steady.frame == pytest.approx(0.3) and steady.start == pytest.approx(0.0, abs=1e-9)
    assert pace(ends[:7], 2) is None


def test_samples_on_the_disk_are_those_in_memory(night, plain, tmp_path, monkeypatch):
    """Where the memory is too small and the user wants all side by side; the file goes, the folder and its other files stay."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "mine.txt").touch()
    reserved = []

    def spy(path: Path, size: int) -> None:
        reserved.append((path, size))
        reserve(path, size)

    monkeypatch.setattr("zemosaic.phases._assemble_blocks.reserve", spy)
    monkeypatch.setattr(
        "zemosaic.phases.plan.TASK_OVERHEAD", 2 * 2**30 - MAIN_MEMORY - 10 * 2**20
    )  # leaves 10 MB for samples
    monkeypatch.setattr("zemosaic.workers.LEAST_PER_WORKER", 1)
    outputs = assembled(
        night.lights,
        tmp_path / "mosaic",
        **COADD,
        auto_limit_frames_per_master_tile=False,
        coadd_memmap_dir=str(scratch),
    )
    assert reserved and all(path.parent == scratch and size > 2**20 for path, size in reserved)
    assert [path.name for path in scratch.iterdir()] == ["mine.txt"]
    assert same_bits(outputs, plain[0])


def test_without_a_file_the_mosaic_is_cut_until_it_fits(night, plain, tmp_path, monkeypatch):
    monkeypatch.setattr("zemosaic.phases.plan.TASK_OVERHEAD", 2 * 2**30 - MAIN_MEMORY - 30 * 2**20)
    monkeypatch.setattr("zemosaic.workers.LEAST_PER_WORKER", 1)
    without = {"auto_limit_frames_per_master_tile": False, "coadd_use_memmap": False}
    outputs = assembled(night.lights, tmp_path, **COADD, **without)
    assert same_bits(outputs, plain[0])
    monkeypatch.setattr("zemosaic.phases.plan.TASK_OVERHEAD", 2 * 2**30 - MAIN_MEMORY - 4 * 2**20)
    with pytest.raises(SettingsError, match=r"5 subs overlap .*coadd_use_memmap"):
        assembled(night.lights, tmp_path / "small", **COADD, **without)


def test_a_file_for_which_there_is_no_room_is_refused_in_words(tmp_path):
    with pytest.raises(OutputError, match=r"no room for .*coadd_memmap_dir"):
        reserve(tmp_path / "samples", 2**60)
    assert not list(tmp_path.iterdir())


def test_what_was_assembled_stays_unless_the_user_wants_it_removed(night, tmp_path, monkeypatch):
    """And then what nothing has changed is not made again: here all of it, for another form of the files."""
    monkeypatch.setattr("zemosaic.picture.ENOUGH_LOOKS", 3.0)
    outputs = assembled(night.lights, tmp_path)
    store = tmp_path / "zemosaic_workspace" / "mosaic"
    assert not list((store / "checkpoints").glob("*")) and list((store / "data").glob("0.*"))
    recorder = Recorder()
    outputs.mosaic.unlink()
    assert same_bits(assembled(night.lights, tmp_path, recorder), outputs)
    assert recorder.items["assemble"] == 0 and recorder.items["export"] > 0
    # the pace of an assembly is the forecast of the next one
    assembled(night.lights, tmp_path, recorder, edge_taper=60, coadd_cleanup_memmap=True)
    before, after = (next(e for e in recorder.events if isinstance(e, kind)) for kind in (Forecast, Outturn))
    assert before.least < 3.0 * after.seconds and before.most > after.seconds / 3.0
    assert before.most / before.least == pytest.approx(1.4**2)
    assert not store.exists()


def test_what_compiling_took_is_no_part_of_the_pace(night, tmp_path, monkeypatch):
    """A quarter of the time goes into compiling, as the workers say: the next run is forecast from the rest."""
    monkeypatch.setattr("zemosaic.picture.ENOUGH_LOOKS", 3.0)
    run, ran = Assembly.run, []

    def compiling(self, *arguments):
        began = time.monotonic()
        result = run(self, *arguments)
        ran.append(time.monotonic() - began)
        return replace(result, compiling=0.25 * ran[0])

    monkeypatch.setattr(Assembly, "looks", property(lambda _: 8.0))
    monkeypatch.setattr(Assembly, "run", compiling)
    assembled(night.lights, tmp_path)
    with Ledger(tmp_path) as ledger:
        pace = ledger.get(LOOK, float)
    assert pace == pytest.approx(0.75 * ran[0] / 8.0, rel=0.15)  # two clocks on a busy machine


def test_more_processes_for_the_assembly_alone(night, tmp_path, monkeypatch):
    opened = []

    class Counted(Inline):
        def __init__(self, workers: int) -> None:
            opened.append(workers)
            super().__init__()

    with monkeypatch.context() as patch:
        patch.setattr("nights.Inline", Counted)
        assembled(night.lights, tmp_path, assembly_process_workers=3, **COADD)
    assert opened == [1, 3]
