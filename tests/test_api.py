"""What scripts and notebooks import, and that they can call it from wherever they are."""

from __future__ import annotations

import doctest
import io
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import zemosaic
from nights import FIELD, Inline, Recorder, simulated
from zemosaic import InputError, Made, OutputError, Reporter, Settings, api, inspect_frames, make_mosaic, printing
from zemosaic.errors import Cancelled, SettingsError
from zemosaic.events import Event, PhaseFinished, PhaseProgress, Warned
from zemosaic.ledger import Ledger

UNGUARDED = """
import os
print("begins")
from zemosaic.execution import open_executor
with open_executor(1) as pool:
    print(pool.submit(os.getppid).result() == os.getpid())
"""


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, zemosaic; print(sorted({'numpy', 'pydantic', 'astropy', 'numba'} & set(sys.modules)), dir(zemosaic))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ") and all(f"'{name}'" in done.stdout for name in zemosaic.__all__)


def test_workers_do_not_wait_for_libraries_of_which_a_function_would_be_used() -> None:
    """scipy.stats and scipy.signal take 0.4 s of each process to load."""
    code = "import sys, zemosaic.imaging.verification as _, zemosaic.imaging.smear as _; "
    code += "print({'scipy.stats', 'scipy.signal'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_names_are_those_that_are_announced() -> None:
    assert sorted(zemosaic.__all__, key=str.lower) == sorted(set(zemosaic.__all__), key=str.lower)
    assert set(zemosaic.__all__) == {"__version__", *zemosaic._PLACES}
    for name in zemosaic.__all__:
        assert getattr(zemosaic, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'mosaic_maker'"):
        _ = zemosaic.mosaic_maker
    assert (Path(zemosaic.__file__).parent / "py.typed").is_file()


def test_examples_of_the_docstrings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(api)
    assert result.attempted >= 4 and result.failed == 0


def test_examples_of_the_docs_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a mosaic that is told, not made."""
    made = Made("M 31", Path("m.fits"), Path("p.png"), 7, object="M 31")
    asked = []

    def fake(inputs: object, output: object, settings: Settings | None = None, reporter: Reporter | None = None):
        asked.append((inputs, output, settings, reporter))
        if reporter is not None:
            reporter.emit(PhaseProgress("measure", 3, 7))
            assert not reporter.cancelled()
        return (made,)

    monkeypatch.setattr(api, "make_mosaic", fake)
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, "docs/python.md", "exec"), {})
    assert asked[0][2] == Settings(final_assembly_method="reproject_coadd", memory_limit=8)
    assert capsys.readouterr().out == "M 31 7 m.fits\nmeasure 3 of 7\n"


@pytest.mark.parametrize("way", ["file", "-c", "standard input"])
def test_workers_start_from_a_script_without_a_guard(tmp_path: Path, way: str) -> None:
    """The script runs once: spawned processes do not import it. A notebook is like standard input."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    command = {"file": [str(script)], "-c": ["-c", UNGUARDED], "standard input": ["-"]}[way]
    done = subprocess.run([sys.executable, *command], input=UNGUARDED, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("begins\nTrue\n", "")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory):
    return simulated(tmp_path_factory.mktemp("night"), replace(FIELD, subs=4))


@pytest.fixture
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zemosaic.workers.open_executor", Inline)


def test_a_mosaic_from_python(night, _inline: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT), dict(os.environ)
    recorder, out = Recorder(), str(tmp_path / "out")
    settings = Settings(num_processing_workers=1, memory_limit=2, report=False)
    (made,) = make_mosaic(str(night.lights), out, settings, recorder)
    assert isinstance(made, Made) and made.used == 4 and recorder.events
    assert made.mosaic.parent == tmp_path / "out" and made.mosaic.name == "zemosaic_MT1_R4.fits"
    for path in (made.mosaic, made.preview, made.weight, made.coverage):
        assert path is not None and path.is_file()
    assert (signal.getsignal(signal.SIGINT), dict(os.environ)) == before
    assert capsys.readouterr().out == ""
    stopped = Recorder(stop_after="scan")
    with pytest.raises(Cancelled):
        make_mosaic([night.lights], out, settings, stopped, fresh=True)
    with Ledger(tmp_path / "out") as ledger:
        assert all(row.measurement is None for row in ledger.rows())  # fresh


def test_ctrl_c_ends_a_call_with_a_word_and_keeps_what_was_done(night, _inline: None, tmp_path: Path) -> None:
    class Interrupted(Recorder):
        def emit(self, event: Event) -> None:
            super().emit(event)
            if isinstance(event, PhaseFinished) and event.phase == "measure":
                raise KeyboardInterrupt

    settings = Settings(num_processing_workers=1)
    for call in (make_mosaic, inspect_frames):
        with pytest.raises(KeyboardInterrupt, match="the same call goes on from here") as caught:
            call(night.lights, tmp_path / "out", settings, Interrupted())
        assert caught.value.__suppress_context__
    with Ledger(tmp_path / "out") as ledger:  # nobody holds it any more
        assert all(row.measurement is not None for row in ledger.rows())


def test_what_was_made_is_shown_short_and_with_its_picture_in_a_notebook(tmp_path: Path) -> None:
    thumbnail = tmp_path / "t.jpg"
    thumbnail.write_bytes(b"JPEG")
    made = Made("M 31", Path("m.fits"), Path("p.png"), 7, object="<M 31>", thumbnail=thumbnail)
    assert repr(made) == "<<M 31>, M 31, 7 subs: m.fits>"
    for page in (made._repr_html_(), api.Mosaics([made])._repr_html_()):
        assert 'src="data:image/jpeg;base64,SlBFRw=="' in page and "<code>m.fits</code>" in page
        assert "&lt;M 31&gt;" in page and "<M 31>" not in page
    assert "<img" not in replace(made, thumbnail=tmp_path / "gone.jpg")._repr_html_()
    assert repr(api.Mosaics([made])) == f"({made!r},)"
    assert repr(Settings()) == "Settings()"
    assert repr(Settings(edge_taper=40, astrometry_api_key="K")) == "Settings(edge_taper=40)"


def test_a_table_from_python(night, _inline: None) -> None:
    table = inspect_frames(night.lights, settings=Settings(num_processing_workers=1))
    assert len(table) == 4 and all(row.state == "matched" and row.stars > 20 for row in table)
    shown = table._repr_html_()
    assert "4 of 4 files can be used." in shown and all(Path(row.file).name[-20:] in shown for row in table)
    assert "FWHM&quot;" in shown


def test_what_cannot_be_is_told_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for inputs, output, words in (
        ([], tmp_path / "out", "no input"),
        ([tmp_path / "in"], tmp_path / "in", "input and output at once"),
        (tmp_path / "absent", tmp_path / "out", "absent: this input does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            make_mosaic(inputs, output)
    with pytest.raises(SettingsError, match=r"as Settings\(edge_taper=40\) makes them \(got \{'edge_taper': 40\}\)"):
        make_mosaic(tmp_path / "in", tmp_path / "out", {"edge_taper": 40})
    assert not (tmp_path / "out").exists()
    with Ledger(tmp_path / "out"), pytest.raises(OutputError, match="another run is at work"):
        make_mosaic(tmp_path / "in", tmp_path / "out")


def test_lines_are_printed_for_those_who_want_them() -> None:
    stream = io.StringIO()
    reporter = printing("fr", stream)
    reporter.emit(Warned("few stars"))
    assert "few stars" in stream.getvalue() and stream.getvalue().startswith("Attention") and not reporter.cancelled()
