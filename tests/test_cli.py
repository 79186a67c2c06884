"""The command line: flags, exit codes, stopping, what people read."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from zemosaic import errors, events
from zemosaic.cli import main
from zemosaic.cli.session import EXIT_CODES
from zemosaic.errors import Cancelled, FrameError, InputError, OutputError, WorkerError
from zemosaic.events import (
    Event,
    FrameLeftOut,
    Made,
    Note,
    PhaseFinished,
    PhaseProgress,
    PhaseStarted,
    Reporter,
    RunFinished,
    Scanned,
    SensorLearnt,
    TargetSeen,
    TargetStarted,
    Warned,
)
from zemosaic.ledger import Ledger
from zemosaic.messages import LANGUAGES, Messages, load_locale
from zemosaic.model import FrameState, LeftOut
from zemosaic.reporters import LOG_NAME, Bars, PlainLines
from zemosaic.settings import Settings, declared

SOURCE = Path(__file__).parents[1] / "src" / "zemosaic"
Run = Callable[[list[Path], Path, Settings, Reporter], None]
SOME_EVENTS: tuple[Event, ...] = (
    Note("settings read from x"),
    PhaseStarted("scan", 3, "files"),
    PhaseProgress("scan", 1, 3, "a [b].fit"),
    FrameLeftOut(LeftOut(Path("a.fit"), FrameState.DAMAGED, "ends after 3 rows of 10")),
    Warned("few stars"),
    PhaseFinished("scan", 75.0, Scanned(2, 0.3, 1)),
    RunFinished((Made("", Path("m.fits"), Path("p.png"), 2),), 1, 4000.0),
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a working folder without settings, with two inputs."""
    monkeypatch.chdir(tmp_path_factory.mktemp("working-folder"))
    Path("IN").mkdir()
    Path("IN2").mkdir()


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Puts a function in the place of the pipeline: these tests are about the shell around it."""

    def replace(function: Run) -> None:
        module = types.ModuleType("zemosaic.pipeline")
        module.make_mosaic = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "zemosaic.pipeline", module)

    return replace


def nothing(inputs: list[Path], output: Path, settings: Settings, reporter: Reporter) -> None:
    pass


def test_help_is_quick_because_it_loads_no_library() -> None:
    code = (
        "import sys, zemosaic.cli\n"
        "try: zemosaic.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'numba', 'astropy', 'scipy', 'rich', 'sep'} & set(sys.modules)))"
    )
    for arguments in (["--help"], ["run", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", arguments


def test_help_names_every_setting_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in declared():
        assert f"--{name.replace('_', '-')} " in text
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^ +{code} +{re.escape(meaning)}$", text, re.MULTILINE)
    assert "simulate" in text and "score" in text and re.search(r"^zemosaic \d+\.\d+\.\d+$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "flags",
    [
        ["IN", "IN2", "OUT", "--edge-taper", "33", "--apply-radial-weight", "--stacking-kappa-low=5"],
        ["--apply_radial_weight", "IN", "--edge_taper=33", "IN2", "--stacking_kappa_low", "5", "OUT"],
        ["--edge-taper", "33", "--stacking-kappa-low", "5", "--apply-radial-weight", "IN", "IN2", "OUT"],
        ["--edge-taper", "33", "IN", "--apply-radial-weight", "IN2", "OUT", "--stacking-kappa-low", "5"],
        ["--edge-taper", "33", "IN", "IN2", "--stacking-kappa-low", "5", "--apply-radial-weight=true", "OUT"],
        ["--edge-taper", "33", "IN", "IN2", "--stacking-kappa-low", "5", "--apply-radial-weight", "true", "OUT"],
        ["--apply-radial-weight", "yes", "--edge-taper", "33", "IN", "IN2", "--stacking-kappa_low", "5", "OUT"],
    ],
)
def test_flags_in_any_spelling_and_place(pipeline: Callable[[Run], None], flags: list[str]) -> None:
    seen = []
    pipeline(lambda *arguments: seen.append(arguments[:3]))
    assert main(["run", *flags]) == 0
    settings = Settings(edge_taper=33, apply_radial_weight=True, stacking_kappa_low=5)
    here = Path.cwd()
    assert seen == [([here / "IN", here / "IN2"], here / "OUT", settings)]


def test_the_first_release_s_command_line_is_accepted(
    pipeline: Callable[[Run], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline(nothing)
    config = '{"num_processing_workers": 2, // two\n "solver_method": "ansvr", "astap_default_downsample": 2}'
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "solver.json").write_text('{"solver_choice": "ASTAP", "api_key": "secret", "downsample": 4}')
    flags = [
        f"IN {tmp_path / 'OUT'} --config {tmp_path / 'config.json'} --final_assembly_method reproject_coadd",
        "--coadd_use_memmap --coadd_memmap_dir /scratch --coadd-cleanup-memmap --no_auto_limit_frames",
        "--assembly_process_workers 4 -W 3 --winsor-workers 2 --max-raw-per-master-tile 50 --cluster_threshold 0.5",
        f"--solver-settings {tmp_path / 'solver.json'}",
    ]
    assert main(["run", *" ".join(flags).split()]) == 0
    said = capsys.readouterr().out
    log = (tmp_path / "OUT" / LOG_NAME).read_text()
    assert "no effect" not in said
    for text in (
        '"final_assembly_method":"reproject_coadd"',
        '"winsor_worker_limit":2',
        '"coadd_memmap_dir":"/scratch"',
    ):
        assert text in log
    assert '"solver_method":"astap"' in log and '"astap_default_downsample":4' in log
    assert '"auto_limit_frames_per_master_tile":false' in log and '"assembly_process_workers":4' in log
    assert '"num_processing_workers":2' in log and '"cluster_panel_threshold":0.5' in log and "secret" not in log + said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "INPUT and OUTPUT are needed"),
        (["IN"], "INPUT and OUTPUT are needed"),
        (["IN", "OUT", "--edge-tapir", "3"], "did you mean --edge-taper?"),
        (["IN", "OUT", "--kapa", "3"], "did you mean --stacking-kappa-low, --stacking-kappa-high?"),
        (["IN", "OUT", "--no-report"], "there is no flag --no-report; write --report false"),
        (
            ["IN", "OUT", "--config", "absent.json"],
            "there is no settings file absent.json; look at its name and folder",
        ),
        (["IN", "OUT", "--edge-taper"], "expected one argument"),
        (["IN", "OUT", "--edge-taper", "many"], "edge_taper must be a whole number (got 'many')"),
        ([".", "."], "input and output at once"),
        (["IN", "OUT", "--rejection-maps", "maybe"], "--rejection-maps takes true, false or nothing (got 'maybe')"),
        (["IN", "OUT", "--rejection_maps", "maybe", "--edge-taper", "3"], "takes true, false or nothing (got 'maybe')"),
    ],
)
def test_wrong_use_is_2_and_says_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code: object = main(["run", *arguments])
    except SystemExit as caught:
        code = caught.code
    assert code == 2 and words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("no light frame in IN"), 3, "Input: no light frame in IN"),
        (OutputError("the disk is full"), 4, "Output: the disk is full"),
        (OSError(errno.ENOSPC, "No space left on device"), 4, "No space left"),
        (WorkerError("a worker died twice"), 1, "Stopped: a worker died twice"),
        (FrameError("escaped"), 1, "Stopped at a frame: escaped"),
        (Cancelled("as asked"), 130, "Stopped: as asked"),
        (MemoryError(), 1, "not enough memory"),
        (ZeroDivisionError("oops"), 1, "ZeroDivisionError: oops"),
    ],
)
def test_errors_are_words_and_those_that_nobody_expected_a_traceback_in_the_log(
    pipeline: Callable[[Run], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    words: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    pipeline(fail)
    assert main(["run", "IN", str(tmp_path)]) == code
    shown = capsys.readouterr()
    assert words in shown.err and "Traceback" not in shown.err + shown.out
    log = (tmp_path / LOG_NAME).read_text()
    told = isinstance(error, (errors.ZeMosaicError, OSError))  # a full disk is told in words, too
    assert "stopped: " in log and str(error).rpartition("] ")[2] in log and ("Traceback" in log) != told


@pytest.mark.parametrize(("error", "kept"), [(ZeroDivisionError("oops"), True), (InputError("no light"), False)])
def test_the_log_of_a_table_that_failed_is_there_to_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, kept: bool
) -> None:
    def fail(*_: object) -> None:
        raise error

    module = types.ModuleType("zemosaic.pipeline")
    module.inspect_frames = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zemosaic.pipeline", module)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["inspect", "IN"]) == (1 if kept else 3)
    logs = list(tmp_path.glob(f"*/{LOG_NAME}"))
    assert [str(log) in capsys.readouterr().err for log in logs] == [True] * kept
    assert len(list(tmp_path.iterdir())) == kept


def test_an_output_that_cannot_be_written_is_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["run", "IN", str(tmp_path / "file" / "OUT")]) == 4
    assert "cannot write into the output folder" in capsys.readouterr().err
    assert main(["run", "IN", str(tmp_path / "file")]) == 4
    said = capsys.readouterr().err
    assert "file: it is a file; choose another folder" in said and "Errno" not in said


def test_an_input_that_is_not_there_is_3_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "IN", "typo", "OUT"]) == 3
    assert "typo: this input does not exist" in capsys.readouterr().err
    assert not Path("OUT").exists()


@pytest.mark.parametrize(
    ("ours", "refused"), [("", True), ("zemosaic_MT1_R3.fits", False), ("zemosaic_workspace", False)]
)
def test_an_output_that_holds_subs_is_refused(
    pipeline: Callable[[Run], None], capsys: pytest.CaptureFixture[str], ours: str, refused: bool
) -> None:
    pipeline(nothing)
    Path("IN2", "Light_1.FIT").touch()
    if ours:
        Path("IN2", ours).mkdir()
    if not refused:
        assert main(["run", "IN", "IN2"]) == 0
        return
    with pytest.raises(SystemExit) as caught:
        main(["run", "IN", "IN2"])
    assert caught.value.code == 2 and "were input and output swapped?" in capsys.readouterr().err
    assert [path.name for path in Path("IN2").iterdir()] == ["Light_1.FIT"]


def test_a_refused_second_run_does_not_write_into_the_first_one_s_log(capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger(Path("OUT")):
        assert main(["run", "IN", "OUT"]) == 4
    assert "another run is at work in" in capsys.readouterr().err
    assert not Path("OUT", LOG_NAME).exists()


def test_the_first_ctrl_c_asks_to_stop(pipeline: Callable[[Run], None], tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    def work(_inputs: object, _output: object, _settings: object, reporter: Reporter) -> None:
        assert not reporter.cancelled()
        signal.raise_signal(signal.SIGINT)
        assert reporter.cancelled()
        raise Cancelled("as asked")

    pipeline(work)
    assert main(["run", "IN", str(tmp_path), "--language", "fr"]) == 130
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_the_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time, types\n"
        "def hang(*_):\n"
        "    print('ready', flush=True)\n"
        "    while True: time.sleep(60)\n"
        "module = types.ModuleType('zemosaic.pipeline'); module.make_mosaic = hang\n"
        "sys.modules['zemosaic.pipeline'] = module\n"
        "from zemosaic.cli import main\n"
        f"main(['run', 'IN', {str(tmp_path)!r}])"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            assert "Ctrl-C again ends at once" in process.stderr.readline()
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        finally:
            process.kill()


def test_simulate_writes_a_night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--panels 2x1 --subs 2 --width 128 --height 96 --fwhm 3,3.5 --mirrored no --num-processing-workers 1"
    assert main(["simulate", str(tmp_path), *flags.split()]) == 0
    truth = json.loads((tmp_path / "truth.json").read_text())
    plan = truth["plan"]
    assert (plan["panels_x"], plan["panels_y"], plan["subs"], plan["width"]) == (2, 1, 2, 128)
    assert tuple(plan["fwhm"]) == (3.0, 3.5) and plan["mirrored"] is False
    assert len(list((tmp_path / "lights").glob("*.fit"))) == 2
    assert str(tmp_path / "lights") in capsys.readouterr().out


@pytest.mark.parametrize("flags", ["--panels two", "--subs none", "--mirrored perhaps", "--subs 0", "--panls 2x2"])
def test_a_night_that_cannot_be_is_2(tmp_path: Path, flags: str) -> None:
    try:
        code: object = main(["simulate", str(tmp_path / "night"), *flags.split()])
    except SystemExit as caught:
        code = caught.code
    assert code == 2 and not (tmp_path / "night").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--clipped maybe", "'maybe' is one argument too many; --clipped takes true, false or nothing"),
        ("--clipped=maybe", "--clipped: must be true or false (got 'maybe')"),
        ("--subs 2 extra", "'extra' is one argument too many; a name with spaces needs quotes"),
    ],
)
def test_what_no_flag_takes_is_told_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: str, words: str
) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", str(tmp_path / "night"), *flags.split()])
    assert words in capsys.readouterr().err


# ---- what people read


def test_one_frame_is_no_plural_and_no_pattern_is_not_told() -> None:
    out = io.StringIO()
    lines = PlainLines(out, Messages("en"), Path("z.log"))
    for frames in (1, 2):
        lines.emit(TargetStarted(TargetSeen("M 27", frames, 1.0, 2.0), 1, 2))
    for pattern in (0.4, 0.6):
        lines.emit(SensorLearnt("S50", 9, pattern, 7))
    one, two, none, some = out.getvalue().splitlines()
    assert one.endswith(" 1 frame") and two.endswith(" 2 frames")
    assert none == "S50: 7 hot or noisy pixels left out (learnt from 9 frames)" and "pattern of 1 %" in some


def test_locales_say_the_same_things() -> None:
    english = load_locale("en")
    for language in LANGUAGES:
        texts = load_locale(language)
        assert list(texts) == list(english)
        for key, text in texts.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", english[key])), (language, key)
    assert declared()["language"].choices == LANGUAGES


def test_every_event_state_phase_unit_and_error_has_a_text() -> None:
    keys = load_locale("en")
    outcomes = {kind.__name__ for kind in get_args(events.Outcome)}
    assert {f"outcome.{name}" for name in outcomes} <= set(keys)
    assert {f"event.{name}" for name in set(events.__all__) - outcomes} - set(keys) == {
        "event.BlockMade",
        "event.Event",
        "event.Made",
        "event.TargetSeen",
        "event.Outcome",
        "event.Reporter",
        "event.Silent",
        "event.Timed",
        "event.together",
    }
    assert {f"state.{state}" for state in FrameState} <= set(keys)
    assert {f"error.{name}" for name in errors.__all__} <= set(keys)
    for path in SOURCE.rglob("*.py"):
        for phase, rest in re.findall(r'(?:PhaseStarted|\.phase)\(\s*"(\w+)"([^)]*)', path.read_text(encoding="utf-8")):
            assert f"phase.{phase}" in keys, path
            for unit in re.findall(r'"(\w+)"', rest):
                assert f"unit.{unit}" in keys, path


def test_plain_lines_are_few_and_tell_the_time_left() -> None:
    now, out = [0.0], io.StringIO()
    lines = PlainLines(out, Messages("en"), Path("z.log"), clock=lambda: now[0])
    lines.emit(PhaseStarted("measure", 100, "frames"))
    now[0] += 60.0  # the workers start
    for done in range(1, 101):
        now[0] += 0.5
        lines.emit(PhaseProgress("measure", done, 100))
    text = out.getvalue().splitlines()
    assert text[0] == "Measuring stars and sky ..."
    assert text[1:3] == [
        "Measuring stars and sky: 1 of 100 frames",
        "Measuring stars and sky: 11 of 100 frames, about 44.5 s left",
    ]
    assert text[-1] == "Measuring stars and sky: 91 of 100 frames, about 4.5 s left"
    assert len(text) == 11


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_lines_and_bars_say_the_same(language: str) -> None:
    plain, drawn = io.StringIO(), io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=300, color_system=None, soft_wrap=True)
    listeners = (PlainLines(plain, Messages(language), Path("z.log")), Bars(console, Messages(language), Path("z.log")))
    for listener in listeners:
        for event in SOME_EVENTS:
            listener.emit(event)
        listener.close()
    text = plain.getvalue()
    for line in text.splitlines():
        if not line.endswith("..."):
            assert line in drawn.getvalue()
    assert "1 min 15 s" in text and "1 h 06 min" in text and "z.log" in text
    assert Messages(language).word("state", "damaged") in text and "ends after 3 rows" in text


def test_the_terminal_names_a_few_frames_and_the_log_all(pipeline: Callable[[Run], None], tmp_path: Path) -> None:
    def work(_inputs: object, _output: object, _settings: object, reporter: Reporter) -> None:
        for number in range(40):
            reporter.emit(FrameLeftOut(LeftOut(Path(f"{number}.fit"), FrameState.TRAILED, "elongation 2.1")))
        reporter.emit(RunFinished((Made("", Path("m"), Path("p"), 3),), 40, 1.0))

    pipeline(work)
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(["run", "IN", str(tmp_path)]) == 0
    assert out.getvalue().count("elongation 2.1") == 10
    assert "the log names all" in out.getvalue() and "40 × trailed stars" in out.getvalue()
    assert (tmp_path / LOG_NAME).read_text().count("elongation 2.1") == 40


def test_fresh_forgets_what_earlier_runs_found(pipeline: Callable[[Run], None], tmp_path: Path) -> None:
    kept = tmp_path / "OUT" / "zemosaic_workspace" / "frames" / "1.npz"
    there = []
    pipeline(lambda *_: there.append(kept.exists()))
    (tmp_path / "IN").mkdir(exist_ok=True)
    for flags in ([], ["--fresh"]):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch()
        assert main(["run", str(tmp_path / "IN"), str(tmp_path / "OUT"), *flags]) == 0
    assert there == [True, False]
