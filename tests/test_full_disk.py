"""A disk that is really full, and subs that vanish, in any phase: said in words, and the same command goes on; few open files."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import FIELD, Inline, Recorder, assembled, rows, same_bits, simulated
from zemosaic.cli import main
from zemosaic.cli.session import NO_OUTPUT
from zemosaic.errors import OutputError
from zemosaic.events import PhaseStarted
from zemosaic.model import FrameState
from zemosaic.phases._calibrate_masters import save_array
from zemosaic.reporters import Broadcast

NIGHT = replace(FIELD, subs=5)
PHASES = ("scan", "measure", "solve", "match", "plan", "assemble", "export")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A night, and its mosaic made by a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    night = simulated(folder, NIGHT)
    return night, assembled(night.lights, folder / "mosaic")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("nobody but root may mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Take all the space that is left."""
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_disk_that_is_full_from_any_phase_on(whole, small_disk, monkeypatch, capfd):
    """It is said what file, why, what it needs and what to do, without a traceback; with room again the command goes on."""
    night, made = whole
    output, ballast, full = small_disk / "mosaic", small_disk / "ballast", [""]
    monkeypatch.setattr("zemosaic.workers.open_executor", Inline)
    monkeypatch.setattr("zemosaic.picture.check_room", lambda *_: None)  # it would stop before the disk is full
    emit = Broadcast.emit

    def filling(self, event):
        emit(self, event)
        if isinstance(event, PhaseStarted) and event.phase == full[0]:
            fill(ballast)

    monkeypatch.setattr(Broadcast, "emit", filling)
    command = ["run", str(night.lights), str(output), "--num-processing-workers", "1", "--memory-limit", "2"]
    for phase in PHASES:
        full[0] = phase
        code, said = main(command), capfd.readouterr()
        assert code == NO_OUTPUT, (phase, said)
        last = said.err.strip().splitlines()[-1]
        assert last.startswith(f"Output: {small_disk}"), (phase, last)
        for words in ("cannot be written", "full", "it needs", "0.0 kB are free", "Make room"):
            assert words in last.replace("No space left on device", "full"), (phase, last)
        assert "Traceback" not in said.out + said.err, phase
        assert not list(output.glob("*.fits"))
        ballast.unlink()
    full[0] = ""
    assert main(command) == 0
    (mosaic,) = output.glob("*_R5.fits")
    stem = mosaic.with_suffix("")
    again = replace(made, mosaic=mosaic, weight=Path(f"{stem}_weight.fits"), coverage=Path(f"{stem}_coverage.fits"))
    assert same_bits(again, made)


def test_a_master_that_finds_no_room(small_disk):
    """NumPy would say '131072 requested and 4096 written'."""
    fill(small_disk / "ballast")
    with pytest.raises(OutputError, match=r"dark\.npy: cannot be written .*needs 1\.0 MB; 0\.0 kB are free.*Make room"):
        save_array(small_disk / "dark.npy", np.zeros((512, 512), np.float32))
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def open_files() -> set[int]:
    """Numbers of the files, pipes and sockets that this process has open."""
    return {
        int(each.name) for each in list(Path("/proc/self/fd").iterdir()) if each.is_symlink()
    }  # the listing was one


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts in /proc")
def test_few_files_are_open_at_a_time(whole, tmp_path):
    """The system refuses this process, which leads and works, more than so many besides its own; afterwards none is left open."""
    import resource

    night, _ = whole
    most, before, limits = 12, open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [number for number in range(len(before) + most + max(before)) if number not in before]
    peak = dict.fromkeys(PHASES, 0)

    class Counts(Recorder):
        def emit(self, event):
            super().emit(event)
            phase = [*self.items][-1]
            peak[phase] = max(peak[phase], len(open_files()) - len(before))

    resource.setrlimit(resource.RLIMIT_NOFILE, (free[most], limits[1]))
    try:
        with ExitStack() as hoard, pytest.raises(OSError, match="open files"):  # it really does
            for _ in range(most + 1):
                hoard.enter_context(Path(__file__).open())
        assembled(night.lights, tmp_path, Counts())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(open_files()) <= len(before)
    assert set(peak) == set(PHASES) and 0 < max(peak.values()) <= most, peak


@pytest.mark.parametrize(("phase", "cut"), list(zip(PHASES[1:], (40000, None) * 3)))  # cut short, removed
def test_a_sub_that_is_lost_before_a_phase(whole, tmp_path, phase, cut):
    """The run goes on without it and names it; once all pixels are in the mosaic nobody needs it any more."""
    lights = tmp_path / "lights"
    shutil.copytree(whole[0].lights, lights)
    victim = lights / whole[0].subs[2].name

    class Vandal(Recorder):
        def emit(self, event):
            super().emit(event)
            if isinstance(event, PhaseStarted) and event.phase == phase and victim.is_file():
                if cut is None:
                    victim.unlink()
                else:
                    os.truncate(victim, cut)

    recorder = Vandal()
    outputs = assembled(lights, tmp_path / "mosaic", recorder)
    used = NIGHT.subs - (phase != "export")
    assert fits.getdata(outputs.coverage).max() == used
    assert sum(row.state is FrameState.USED for row in rows(tmp_path / "mosaic")) == used
    assert set(recorder.left_out) == ({victim.name} if used < NIGHT.subs else set())
    for lost in recorder.left_out.values():
        assert lost.state is FrameState.DAMAGED and victim.name in lost.reason
    assert [r.state for r in rows(tmp_path / "mosaic") if r.path.name in recorder.left_out] == [
        FrameState.DAMAGED for _ in recorder.left_out
    ]
