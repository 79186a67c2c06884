"""Whatever ends a run, the next one of the same command goes on and comes to the same bits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import FIELD, Recorder, assembled, rows, same_bits, simulated
from zemosaic.errors import InputError, OutputError
from zemosaic.events import PhaseProgress, PhaseStarted
from zemosaic.model import FrameState
from zemosaic.phases import _assemble_blocks as blocks
from zemosaic.phases import _assemble_canvas as canvas
from zemosaic.phases import _assemble_reject as reject

NIGHT = replace(FIELD, subs=9, satellites=0.4)
MODES = ("incremental", "reproject_coadd")


class Ended(BaseException):
    """What a kill looks like to code that runs in the process of the test: nobody catches it."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A night, and per mode the mosaic of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    night = simulated(folder, NIGHT)
    made = {
        mode: assembled(night.lights, folder / mode, final_assembly_method=mode, rejection_maps=True) for mode in MODES
    }
    return night, made


def again(night, folder: Path, mode: str = MODES[0], recorder: Recorder | None = None, **settings):
    return assembled(night.lights, folder, recorder, final_assembly_method=mode, rejection_maps=True, **settings)


def same(first, second) -> bool:
    return same_bits(first, second) and np.array_equal(fits.getdata(first.rejected), fits.getdata(second.rejected))


@pytest.mark.parametrize("mode", MODES)
def test_ended_in_any_pass_and_any_block_it_goes_on_to_the_same_bits(whole, tmp_path, monkeypatch, mode):
    """Ended at every 31st visit of a frame, over and over in one folder, running sums kept after every frame."""
    night, made = whole
    monkeypatch.setattr("zemosaic.phases.plan.LARGEST_BLOCK", 256 * 256)
    monkeypatch.setattr("zemosaic.phases.assemble.CHECKPOINT", 0.0)
    monkeypatch.setattr(canvas, "PATIENCE", 0.0)
    read, visits, ends = blocks.read_rows, [0], 0

    def mortal(*arguments):
        visits[0] += 1
        if visits[0] % 31 == 0:
            raise Ended
        return read(*arguments)

    monkeypatch.setattr(blocks, "read_rows", mortal)
    monkeypatch.setattr(reject, "read_rows", mortal)
    left = []
    while True:
        recorder = Recorder()
        try:
            outputs = again(night, tmp_path, mode, recorder)
            break
        except Ended:
            ends += 1
            left.append(recorder.items["assemble"])
            assert ends < 60
    assert ends >= 2
    # what was done is not done again: the work that is left never grows, and shrinks to little
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.7 * left[0]
    assert same(outputs, made[mode])


@pytest.mark.parametrize("where", ["provisional", "data", "rejected npz", "checkpoint"])
def test_what_was_spoilt_on_the_disk_is_found_and_made_again(whole, tmp_path, monkeypatch, where):
    night, made = whole
    store = tmp_path / "zemosaic_workspace" / "mosaic"
    if where == "checkpoint":
        monkeypatch.setattr("zemosaic.phases.assemble.CHECKPOINT", 0.0)
        monkeypatch.setattr(canvas, "PATIENCE", 0.0)
    if where in ("provisional", "rejected npz", "checkpoint"):
        ends, reading = (7 if where == "checkpoint" else 13), blocks
        read, visits = reading.read_rows, [0]

        def mortal(*arguments):
            visits[0] += 1
            if visits[0] == ends:
                raise Ended
            return read(*arguments)

        monkeypatch.setattr(reading, "read_rows", mortal)
        with pytest.raises(Ended):
            again(night, tmp_path)
        monkeypatch.setattr(reading, "read_rows", read)
    else:
        monkeypatch.setattr("zemosaic.picture.export", ended)
        with pytest.raises(Ended):
            again(night, tmp_path)
        monkeypatch.undo()
    files = {
        "rejected npz": sorted((tmp_path / "zemosaic_workspace" / "rejected").glob("*.npz")),
        "checkpoint": sorted(p for p in (store / "checkpoints").rglob("*") if p.is_file() and p.name == "0"),
    }.get(where) or sorted(p for p in (store / where).iterdir() if p.name[0] != ".")
    assert files
    spoilt = bytearray(files[0].read_bytes())
    spoilt[len(spoilt) // 2 :] = spoilt[: len(spoilt) // 2]
    files[0].write_bytes(bytes(spoilt))
    recorder = Recorder()
    outputs = again(night, tmp_path, recorder=recorder)
    assert recorder.items["assemble"] > 0
    assert same(outputs, made[MODES[0]])


def ended(*_, **__):
    raise Ended


def test_a_finished_run_does_nothing_again(whole):
    night, made = whole
    recorder, began = Recorder(), time.process_time()
    again(night, made[MODES[0]].mosaic.parent, recorder=recorder)
    assert recorder.items["assemble"] == 0 and "export" not in recorder.items
    assert time.process_time() - began < 10


def test_a_finished_mosaic_is_made_anew_where_the_other_way_of_assembly_is_asked_for(whole, tmp_path):
    night, made = whole
    shutil.copytree(made[MODES[0]].mosaic.parent, tmp_path / "mosaic")
    recorder = Recorder()
    outputs = again(night, tmp_path / "mosaic", MODES[1], recorder=recorder)
    assert recorder.items["measure"] == 0 and recorder.items["assemble"] > 0
    assert same(outputs, made[MODES[1]]) and not same(outputs, made[MODES[0]])


def test_a_sub_that_is_cut_short_between_the_passes_is_left_out_and_named(whole, tmp_path):
    lights = tmp_path / "lights"
    shutil.copytree(whole[0].lights, lights)
    victim = lights / whole[0].subs[4].name

    class Vandal(Recorder):
        done = False

        def emit(self, event):
            super().emit(event)
            if not self.done and isinstance(event, PhaseProgress) and event.phase == "assemble":
                self.done = True
                os.truncate(victim, 40000)

    recorder = Vandal()
    outputs = assembled(lights, tmp_path / "mosaic", recorder)
    assert set(recorder.left_out) == {victim.name}
    assert recorder.left_out[victim.name].state is FrameState.DAMAGED
    assert fits.getdata(outputs.coverage).max() == NIGHT.subs - 1
    assert sum(row.state is FrameState.USED for row in rows(tmp_path / "mosaic")) == NIGHT.subs - 1


def test_a_folder_that_vanishes_stops_the_run_in_words_and_nothing_is_lost(whole, tmp_path):
    night, made = whole
    lights = tmp_path / "lights"
    shutil.copytree(night.lights, lights)

    class Unplugs(Recorder):
        def emit(self, event):
            super().emit(event)
            if isinstance(event, PhaseStarted) and event.phase == "assemble" and lights.is_dir():
                lights.rename(tmp_path / "gone")

    with pytest.raises(InputError, match=r"9 of 9 subs can no longer be read .*same command again"):
        assembled(lights, tmp_path / "mosaic", Unplugs(), rejection_maps=True)
    (tmp_path / "gone").rename(lights)
    recorder = Recorder()
    outputs = assembled(lights, tmp_path / "mosaic", recorder, rejection_maps=True)
    assert recorder.items["measure"] == 0
    assert same(outputs, made[MODES[0]])


RUN = """
import sys
from pathlib import Path
import zemosaic.phases.assemble
zemosaic.phases.assemble.CHECKPOINT = 0.0
from zemosaic.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def start(night, output: Path, workers: int = 1, *flags: str) -> subprocess.Popen[bytes]:
    script = output.with_name("run.py")
    script.write_text(RUN)
    command = [sys.executable, str(script), "run", str(night.lights), str(output), "--rejection-maps", "true"]
    command += ["--num-processing-workers", str(workers), "--memory-limit", "2", *flags]
    with output.with_name("said.txt").open("wb") as said:
        return subprocess.Popen(command, stdout=said, stderr=said)


def finish(process: subprocess.Popen[bytes], output: Path) -> None:
    assert process.wait(timeout=300) == 0, output.with_name("said.txt").read_text()[-2000:]


def wait_for(pattern: str, workspace: Path, process: subprocess.Popen[bytes], seconds: float = 200.0) -> bool:
    for _ in range(int(seconds / 0.02)):
        if any(workspace.glob(pattern)):
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    pytest.fail(f"no {pattern} in {workspace}")


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_worker_costs_a_task_and_a_killed_run_goes_on_with_another_number_of_workers(whole, tmp_path):
    """kill -9 of the worker in the first pass: the run comes to the rejection. kill -9 of the whole run there: the next one, on
    two workers, ends with the same bits. None of these processes ever has more than a few dozen files open."""
    night, made = whole
    output = tmp_path / "mosaic"
    workspace, process = output / "zemosaic_workspace", start(night, output)
    if Path("/proc").is_dir():  # where workers are found
        wait_for("mosaic/checkpoints/*/*.json", workspace, process)
        os.kill(worker_of(process.pid), signal.SIGKILL)
    assert wait_for("rejected/*.npz", workspace, process), output.with_name("said.txt").read_text()[-2000:]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(output.glob("*.fits"))
    process, most = start(night, output, 2), 0
    while process.poll() is None:
        most = max(most, *map(files_open, [process.pid, *children(process.pid)]))
        time.sleep(0.05)
    finish(process, output)
    assert 3 <= most <= 48 or not Path("/proc").is_dir()
    (mosaic,) = output.glob("*_R9.fits")
    assert same(outputs_of(mosaic), made[MODES[0]])


def outputs_of(mosaic: Path):
    stem = mosaic.with_suffix("")
    return type(
        "Files", (), {"mosaic": mosaic} | {w: Path(f"{stem}_{w}.fits") for w in ("weight", "coverage", "rejected")}
    )


def worker_of(parent: int) -> int:
    """The largest child process: the worker, and not the one that tracks resources."""
    return max(children(parent), key=lambda each: int(Path(f"/proc/{each}/statm").read_text().split()[1]))


def children(parent: int) -> list[int]:
    """Processes that this one has started; none where nobody tells."""
    try:
        return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except OSError:  # no /proc, or it has ended meanwhile
        return []


def files_open(process: int) -> int:
    """Files, pipes and sockets that a process has open; 0 where nobody tells."""
    try:
        return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return 0


def test_a_full_disk_is_said_and_costs_nothing(whole, tmp_path, monkeypatch):
    """The disk fills up in every pass in turn; each time room is made, and the run goes on."""
    night, made = whole
    put, allowed, failures = canvas.put_file, [0], 0
    import zemosaic.chunks as chunks

    def full(path, *data):
        if allowed[0] == 0:
            raise OutputError.writing(path, "No space left on device", sum(map(len, data)))
        allowed[0] -= 1
        put(path, *data)

    for module in (chunks, canvas, reject):
        monkeypatch.setattr(module, "put_file", full)
    while True:
        allowed[0] = 33
        try:
            outputs = again(night, tmp_path)
            break
        except OutputError as error:
            assert "No space left" in str(error)
            failures += 1
            assert failures < 9
    assert failures >= 1
    assert same(outputs, made[MODES[0]])


def test_a_clock_that_is_set_back(whole, tmp_path, monkeypatch):
    """What an ended run left is from tomorrow, as it seems; and so is the finished mosaic."""
    night, made = whole
    read, visits, now = blocks.read_rows, [0], time.time

    def mortal(*arguments):
        visits[0] += 1
        if visits[0] == 13:
            raise Ended
        return read(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Ended):
        patch.setattr(blocks, "read_rows", mortal)
        again(night, tmp_path)
    for path in tmp_path.rglob("*"):
        os.utime(path, (now() + 86400, now() + 86400))
    monkeypatch.setattr("time.time", lambda: now() - 86400)
    recorder = Recorder()
    outputs = again(night, tmp_path, recorder=recorder)
    assert recorder.items["measure"] == 0 and same(outputs, made[MODES[0]])
    recorder = Recorder()
    again(night, tmp_path, recorder=recorder)
    assert recorder.items["assemble"] == 0 and "export" not in recorder.items
