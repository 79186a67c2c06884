"""`--json` for scripts: alone on standard output, or a file; people read on standard error then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

from zemosaic.cli import main
from zemosaic.errors import InputError
from zemosaic.events import FrameLeftOut, Made, ManyLeftOut, Reporter, RunFinished, SeamsGraded, Vignetting, Warned
from zemosaic.model import FrameState, LeftOut
from zemosaic.score import Metric, Score

MADE = Made(
    "M 31", Path("m.fits"), Path("p.png"), 7, report=Path("r.html"), planes=(Path("g.fits"), Path("b.fits")),
    tiff=Path("large.tif"), zoom=Path("m_zoom/index.html"), hips=(Path("m_hips/properties"),),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("IN").mkdir()


def pipeline(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    def make(_inputs: object, _output: object, _settings: object, reporter: Reporter) -> None:
        reporter.emit(FrameLeftOut(LeftOut(Path("a.fit"), FrameState.CLOUDED, "9 % of the light")))
        reporter.emit(Warned("few stars"))
        reporter.emit(Vignetting("S50", float("nan"), 9.0))
        reporter.emit(Vignetting("S30", 90.0, 0.1))
        reporter.emit(ManyLeftOut(1, 8, (("clouded", 1),)))
        reporter.emit(SeamsGraded("B", 0.1, 0, 1, 2, 1.0, ()))
        if error is not None:
            raise error
        reporter.emit(RunFinished((MADE,), 1, 12.34))

    module = types.ModuleType("zemosaic.pipeline")
    module.make_mosaic = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zemosaic.pipeline", module)


def test_a_run_tells_programs_what_it_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline(monkeypatch)
    assert main(["run", "IN", "OUT", "--json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert (told["exit_code"], told["seconds"], told["seams"], told["warnings"][0]) == (0, 12.3, ["B"], "few stars")
    assert [word in text for word, text in zip(("S50", "1 of"), told["warnings"][1:], strict=True)] == [True, True]
    assert told["left_out"] == [{"file": "a.fit", "state": "clouded", "reason": "9 % of the light"}]
    (mosaic,) = told["mosaics"]
    assert (mosaic["mosaic"], mosaic["used"], mosaic["planes"], mosaic["weight"]) == (
        "m.fits",
        7,
        ["g.fits", "b.fits"],
        None,
    )
    assert (mosaic["tiff"], mosaic["jpeg"], mosaic["hips"]) == ("large.tif", None, ["m_hips/properties"])
    assert told["error"] is None and "few stars" in shown.err
    assert (
        "large.tif" in shown.err
        and f"Page to zoom into: {MADE.zoom}" in shown.err
        and "HiPS for Aladin: m_hips" in shown.err
    )


def test_a_run_that_fails_tells_programs_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline(monkeypatch, InputError("no light frame in IN"))
    assert main(["run", "--json", "run.json", "IN", "OUT"]) == 3
    told = json.loads(Path("run.json").read_text())
    assert told["exit_code"] == 3 and "no light frame in IN" in told["error"] and told["mosaics"] == []
    assert capsys.readouterr().out == ""


def test_inputs_that_are_not_there_are_told_to_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nothere", "OUT", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 3 and "does not exist" in told["error"] and told["mosaics"] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["run", "IN", "OUT", "--edge-tapir", "3"], "did you mean --edge-taper?"),
        (["run", "IN", "OUT", "--edge-taper", "many"], "edge_taper must be a whole number"),
        (["run", "IN"], "INPUT and OUTPUT are needed"),
        (["plan", "IN", "OUT", "--config", "absent.json"], "there is no settings file absent.json"),
        (["plan", "IN"], "INPUT and OUTPUT are needed"),
        (["inspect"], "required: INPUT"),
        (["doctor", "one", "two"], "one argument too many"),
        (["score", "m.fits"], "required: TRUTH"),
        (["mosaic", "IN", "OUT"], "there is no command 'mosaic'; did you mean `zemosaic run`?"),
        (["--language", "fr", "run", "IN", "OUT"], "flags come after the command: zemosaic run ... --language ..."),
    ],
)
def test_wrong_use_is_told_to_programs_too(given: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, or in a file; alone and with all keys that a run has."""
    for wanted in (["--json"], ["--json", "told/why.json"]):
        Path("told").mkdir(exist_ok=True)
        try:
            code: object = main([*given, *wanted])
        except SystemExit as ended:
            code = ended.code
        shown = capsys.readouterr()
        told = json.loads(shown.out if len(wanted) == 1 else Path("told/why.json").read_text(encoding="utf-8"))
        assert code == told["exit_code"] == 2 and words in told["error"] and words in shown.err
        assert ("mosaics" in told) == (given[0] == "run")
        assert len(wanted) == 1 or shown.out == ""


def test_what_stops_a_table_is_told_to_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise InputError("no light frame in IN")

    monkeypatch.setitem(sys.modules, "zemosaic.pipeline", SimpleNamespace(inspect_frames=fail))
    assert main(["inspect", "IN", "--json"]) == 3
    assert json.loads(capsys.readouterr().out) == {"exit_code": 3, "error": "Input: no light frame in IN"}


@pytest.mark.parametrize("output", ["OUT", "IN/out"])
def test_nothing_is_written_into_an_input(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    for given in (["run", "IN", output, "--json", "IN/a.json"], ["plan", "IN", output, "--picture", "IN/p.png"]):
        with pytest.raises(SystemExit) as caught:
            main(given)
        assert caught.value.code == 2 and "lies in an input" in capsys.readouterr().err
    assert not list(Path("IN").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe without a reader fails in another way there")
def test_who_reads_no_more_ends_it_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "zemosaic", "completion", "bash"]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("given", [["--json", "IN", "OUT"], ["IN", "OUT", "--json", "told.txt"]])
def test_a_folder_or_another_file_is_no_target(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", *given])
    assert caught.value.code == 2 and "--json takes a file name that ends in .json" in capsys.readouterr().err


def test_figures_of_a_score(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Score(
        (Metric("scale", 0.99), Metric("rms", 14.0, "mmag", 12.0), Metric("trail", float("nan"), "sigma", 0.15))
    )
    monkeypatch.setattr("zemosaic.score.score", lambda *_: figures)
    assert main(["score", "m.fits", "truth.json", "--json"]) == 1
    told = {each["name"]: (each["value"], each["ok"]) for each in json.loads(capsys.readouterr().out)}
    assert told == {"scale": (0.99, True), "rms": (14.0, False), "trail": (None, True)}


def test_a_table_of_subs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "zemosaic.pipeline", SimpleNamespace(inspect_frames=lambda *_: ()))
    assert main(["inspect", "IN", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == [] and "0 of 0 files" in shown.err
