"""The window as a person uses it: real mouse and keys, a real engine, a small simulated night."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.io import fits
from frames import frames
from person import FAST, Open, Person

from nights import FIELD, simulated
from zemosaic.events import Made
from zemosaic.gui import remembered
from zemosaic.gui.engine import Result
from zemosaic.gui.frames import separated
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.ledger import Ledger
from zemosaic.model import FrameState
from zemosaic.simulate import Night

if shutil.which("xdotool") is None:
    pytest.skip("needs xdotool", allow_module_level=True)


pytestmark = pytest.mark.usefixtures("config")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return simulated(tmp_path_factory.mktemp("night"), replace(FIELD, subs=5))


def states(output: Path) -> list[FrameState]:
    with Ledger(output) as ledger:
        return [row.state for row in ledger.rows()]


def test_from_an_empty_window_to_the_mosaic(open_window: Open, person: Person, night: Night, tmp_path: Path) -> None:
    window, output = open_window(), tmp_path / "out"
    start = window.start
    assert start._start.instate(["disabled"]) and "Choose a folder with subs first." in person.read()
    person.click(start.entry)
    person.type(str(night.subs[0].parent))
    person.press("Return")
    assert start.inputs == (night.subs[0].parent,) and start.output.get().endswith("lights mosaic")  # a proposal
    person.click(start.output_entry)
    person.press("ctrl+a")
    person.type(str(output))
    person.press("Return")
    person.until(lambda: window._inquiry.outlook is not None, 60.0)
    person.wait(0.1)
    seen = person.read()
    assert {"5", "50 s (10 s)", "Sim 1", "IRCUT", "What it will need"} <= set(seen)
    person.click(person.button("Sky"))
    table = window.sky.table.tree
    person.until(lambda: "5 of 5 shown, 0 selected" in person.read())
    x, y, width, height = table.bbox(table.get_children()[0], "mark")
    person.click(table, (x + 0.5 * width) / table.winfo_width(), (y + 0.5 * height) / table.winfo_height())
    person.until(lambda: window.choice.excluded == {str(night.subs[0])})
    person.click(person.button("Start"))
    person.click(person.button("Start Hierarchical Mosaic"))
    person.until(lambda: window.bar.page.get() == "run")
    person.until(lambda: "Running" in person.read())
    person.until(lambda: window.running._view.has_picture, 90.0)  # the mosaic fills in while it is made
    person.until(lambda: window.bar.page.get() == "result", 60.0)
    person.until(lambda: window.result._view.has_picture)
    assert sorted(states(output)) == [FrameState.EXCLUDED] + [FrameState.USED] * 4
    assert f"4 subs in {next(output.glob('zemosaic_MT1_R4.fits')).name}" in " ".join(person.read())
    assert {"Left out: 1 files", night.subs[0].name} <= set(person.read())
    assert "The mosaic is finished." in window.running.end_text.cget("text")
    person.click(window.result._view)
    before = window.result._view.zoom
    person.press("plus", "plus")
    assert window.result._view.zoom > 1.5 * before
    colours = window.result._view.shown
    person.click(person.button("Coverage"))
    person.until(lambda: window.result._view.shown is not colours)


def test_stop_keeps_what_was_done_and_resume_goes_on(
    open_window: Open, person: Person, night: Night, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    window = open_window(night.subs[0].parent, output=output)
    person.click(person.button("Start Hierarchical Mosaic"))
    person.until(lambda: window._run.progress.phases["measure"].done > 0, 60.0)
    person.click(person.button("Pause"))
    person.until(lambda: "Paused" in person.read(), 30.0)
    done = window._run.progress.phases["measure"].done
    person.wait(0.5)
    assert window._run.progress.phases["measure"].done == done
    person.click(person.button("Stop and keep"))
    person.until(lambda: "Stopped" in person.read(), 30.0)
    assert any("What was done is kept" in text for text in person.read())
    measured = sum(state is FrameState.MEASURED for state in states(output))
    assert measured > 0
    person.click(person.button("Resume"))
    person.until(lambda: window._run.progress.phases["measure"].finished, 60.0)
    assert window._run.progress.phases["measure"].total == 5 - measured
    person.when_asked(lambda: person.press("Escape"))
    window.close()  # asks; Escape is no answer
    assert window._run.at_work


def test_an_engine_that_is_killed_is_told_and_the_window_lives(
    open_window: Open, person: Person, night: Night, tmp_path: Path
) -> None:
    window = open_window(night.subs[0].parent, output=tmp_path / "out")
    person.click(person.button("Start Hierarchical Mosaic"))
    person.until(lambda: window._run.progress.phases["scan"].finished, 60.0)
    assert window._engine is not None and window._engine.pid is not None
    workers = psutil.Process(window._engine.pid).children(recursive=True)
    os.kill(window._engine.pid, signal.SIGKILL)
    person.until(lambda: "The engine has gone" in person.read())
    assert any("want of memory" in text and "press Resume" in text for text in person.read())
    assert person.button("Resume") and not window._run.at_work
    text = window.running.end_text  # all of it can be read
    assert 0 < text.winfo_reqwidth() <= text.winfo_width() and text.winfo_width() <= window.running.winfo_width()
    _, alive = psutil.wait_procs(workers, timeout=10.0)
    assert not alive
    person.click(person.button("Start"))
    person.until(lambda: "Start Hierarchical Mosaic" in person.read())


def test_languages_change_at_once_everywhere(open_window: Open, person: Person, night: Night, tmp_path: Path) -> None:
    window = open_window(night.subs[0].parent, output=tmp_path / "out")
    person.until(lambda: window._inquiry.lights is not None, 60.0)
    english: set[str] = set()
    for page in window.pages:
        window.show_page(page)
        person.wait(0.05)
        english |= set(person.read())
    person.click(window.bar._languages)
    person.press("Down", "Return")
    person.until(lambda: window.tr.language == "fr")
    french: set[str] = set()
    for page in window.pages:
        window.show_page(page)
        person.wait(0.05)
        french |= set(person.read())
    assert {"Dossiers des brutes", "Lancer la mosaïque hiérarchique", "Aucun traitement", "Couverture"} <= french
    assert not any(text.startswith("gui.") or "{" in text for text in english | french)
    texts = {window.tr(key) for key in ("gui.start.inputs", "gui.run.stop", "gui.result.coverage")}
    assert not texts & english
    settings = window.settings()
    assert settings is not None and settings.language == "fr"
    window.root.geometry("{}x{}".format(*window.root.minsize()))  # the smallest that it can be
    window.show_page("settings")
    person.wait(0.3)
    reset = window.form.row("cluster_panel_threshold").reset
    assert reset.winfo_rootx() + reset.winfo_width() < window.root.winfo_rootx() + window.root.winfo_width() - 10
    assert window.form.search_entry.winfo_width() > 100


def test_what_is_wrong_with_folders_is_told_where_they_are_chosen(
    open_window: Open, person: Person, night: Night, tmp_path: Path
) -> None:
    window = open_window(tmp_path / "not there", output=tmp_path / "out")
    person.until(lambda: window._inquiry.failed, 60.0)
    person.wait(0.1)
    assert any("this input does not exist" in text for text in person.read())
    assert window.start._start.instate(["disabled"])
    window.start.set_folders([tmp_path], night.subs[0].parent)
    window._folders_changed()
    person.until(lambda: window._inquiry.failed, 60.0)
    person.wait(0.1)
    assert any("were input and output swapped?" in text for text in person.read())


def test_what_is_left_out_on_the_sky_is_one_with_the_patterns_of_the_settings(
    open_window: Open, person: Person, night: Night, tmp_path: Path
) -> None:
    first, second = map(str, night.subs[:2])
    elsewhere = str(tmp_path / "other" / "a.fit")
    pattern = f"*{night.subs[0].stem[-3:]}*.fit"
    values = {"exclude_files": f"{pattern}; {second}; {elsewhere}"}
    remembered.save(remembered.Remembered(settings=values))
    window = open_window(night.subs[0].parent, output=tmp_path / "out")
    assert window.form.values()["exclude_files"] == pattern  # single files do not crowd the form
    person.until(lambda: window._frames is not None and first in window.choice.excluded, 60.0)
    assert window.choice.excluded == {first, second, elsewhere}
    assert window._frames is not None and len(window._frames.places) == 5  # what is left out has its place on the sky
    assert not any(row.state == FrameState.EXCLUDED for row in window._frames.rows)
    window.show_page("sky")
    person.until(lambda: "Include" in person.read())
    window.choice.select([first, second])
    person.click(person.button("Include"))
    person.until(lambda: any(pattern in text and "Files to leave out" in text for text in person.read()))
    assert window.choice.excluded == {first, elsewhere}
    run = window._settings_of_run()
    assert run is not None and run.exclude_files == pattern
    person.click(person.button("Settings"))
    window.form.show_setting("exclude_files")
    person.wait(0.2)
    person.press("ctrl+a", "BackSpace")
    person.until(lambda: window.choice.excluded == {elsewhere})
    window.choice.exclude([first])
    run = window._settings_of_run()
    assert run is not None and run.exclude_files == first
    window._remember()
    assert remembered.load().settings["exclude_files"] == f"{first}; {elsewhere}"


def test_a_wrong_value_is_marked_where_it_is_typed_and_nothing_starts(
    open_window: Open, person: Person, night: Night, tmp_path: Path
) -> None:
    window = open_window(night.subs[0].parent, output=tmp_path / "out")
    person.until(lambda: window.start._start.instate(["!disabled"]), 60.0)
    person.click(person.button("Settings"))
    row = window.form.row("max_elongation")

    def entered() -> bool:  # the page may still move when it is clicked on
        window.form.show_setting("max_elongation")
        person.wait(0.2)
        person.click(row.editor, 0.3)
        return str(row.editor.focus_get()).startswith(str(row.editor))

    person.until(entered)
    person.press("ctrl+a")
    person.type("99")
    person.until(lambda: "1.1 to 10" in " ".join(person.read()))
    assert row.variable.get() == "99" and list(window.form.problems()) == ["max_elongation"]
    person.click(person.button("Start"))
    person.until(lambda: "Start Hierarchical Mosaic" in person.read())
    person.click(person.button("Start Hierarchical Mosaic"))
    person.wait(0.3)
    assert window._engine is None and not (tmp_path / "out").exists()
    assert window.tr("gui.start.wrong_setting") in person.read()
    person.click(person.button("Settings"))
    person.until(entered)
    person.press("ctrl+a")
    person.type("2,5")  # a decimal comma will do
    person.until(lambda: not window.form.problems())
    settings = window.settings()
    assert settings is not None and settings.max_elongation == 2.5 and window.start._start.instate(["!disabled"])


def test_the_tk_thread_is_never_busy_for_long_with_20_000_frames(open_window: Open, tmp_path: Path) -> None:
    window = open_window(settings=FAST.model_copy(update={"exclude_files": "*_00*; *7.fit"}))
    rows = frames(20_000)
    places = [
        SkyFrame(row.file, row.panel, row.target, (a := n / 9e3, a + 0.7, a + 0.7, a), (41.0, 41.0, 42.2, 42.2), True)
        for n, row in enumerate(rows)
    ]
    window.choice.exclude(row.file for row in rows[::2])
    took = dict[str, float]()

    def timed(what: str, act: Callable[[], object]) -> None:
        """The longest event, ms of the processor; the best of some tries, since others work here too."""
        for _ in range(3):
            longest, until = spent(act), time.perf_counter() + 0.4
            while time.perf_counter() < until or window._ruling.busy:
                longest = max(longest, spent(lambda: window.root.tk.dooneevent(2)))  # 2: do not wait
            took[what] = min(longest, took.get(what, longest))
            if took[what] < 40.0:
                break

    def spent(act: Callable[[], object]) -> float:
        before = time.thread_time()
        act()
        return 1000.0 * (time.thread_time() - before)

    window._tick = lambda: None  # type: ignore[method-assign]
    window.show_page("sky")
    for piece in separated(rows, places):
        took["piece"] = max(took.get("piece", 0.0), spent(lambda piece=piece: window._inquiry._collect(piece)))  # type: ignore[misc]
    timed("all on the sky and marked", window._show_frames)
    assert len(window.choice.rules) > 2000 and len(window.choice.excluded) > 11_000
    timed("another pattern", lambda: window.form.row("exclude_files").variable.set("*3.fit"))
    timed("settings", lambda: window.show_page("settings"))
    timed("what a run is asked", window._settings_of_run)
    timed("start page", lambda: window.show_page("start"))
    timed("sky page", lambda: window.show_page("sky"))
    timed("remembered", window._remember)
    timed("other language", lambda: window.use_language("fr"))
    assert max(took.values()) < 50.0, took


def test_buttons_of_the_result_open_what_they_say(
    open_window: Open, person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, programs, opened = tmp_path / "out 1", tmp_path / "programs", tmp_path / "opened"
    output.mkdir()
    programs.mkdir()
    names = ("m.fits", "m_preview.png", "m_report.html", "zemosaic_worker.log", "index.html")
    mosaic, preview, report, log, zoom = (output / name for name in names)
    fits.PrimaryHDU(np.random.default_rng(1).normal(100.0, 5.0, (3, 64, 64)).astype("f4")).writeto(mosaic)
    for file in (preview, report, log, zoom):
        file.write_text("")
    for name in ("xdg-open", "open", "siril"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $1" >> "{opened}"\n')
        program.chmod(0o755)
    before = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{before}")
    window = open_window()
    window.result.show(Result(output, (Made("", mosaic, preview, 3, report, zoom=zoom),), ()))
    person.click(person.button("Result"))
    usual = "open" if sys.platform == "darwin" else "xdg-open"
    wanted = []
    for text, line in (
        ("Open folder", f"{usual} {output}"), ("Open report", f"{usual} {report}"), ("Open log", f"{usual} {log}"),
        ("Open preview", f"{usual} {preview}"), ("Zoom page", f"{usual} {zoom}"), ("Open in Siril", f"siril {mosaic}"),
    ):  # fmt: skip
        person.until(lambda text=text: text in person.read())  # type: ignore[misc]
        person.click(person.button(text))
        wanted.append(line)
        person.until(lambda: opened.is_file() and opened.read_text().splitlines() == wanted)
    window.result.show(Result(output, (Made("", mosaic, preview, 3, report),), ()))
    person.until(lambda: "Zoom page" not in person.read())
    for program in programs.iterdir():
        program.unlink()
    monkeypatch.setattr(
        "zemosaic.gui.result_page.find_siril", lambda: programs / "siril"
    )  # that was there a moment ago
    with monkeypatch.context() as without:
        without.setenv("PATH", str(programs))
        window.result._open["folder"].invoke()
        window.root.update()
        assert f"{output} cannot be opened from here: no program for it was found" in " ".join(person.read())
        window.result._open["siril"].invoke()
        window.root.update()
    assert f"{programs / 'siril'} cannot be started" in " ".join(person.read())


def test_closing_asks_and_remembers(open_window: Open, person: Person, night: Night, tmp_path: Path) -> None:
    output = tmp_path / "out"
    window = open_window(night.subs[0].parent, output=output)
    person.click(person.button("Start Hierarchical Mosaic"))
    person.until(lambda: window._engine is not None and window._engine.pid is not None)
    engine = window._engine
    asked: list[list[str]] = []

    def answer() -> None:
        asked.append(person.read())
        person.click(person.button("Stop and close"))

    person.when_asked(answer)
    window.theme.use("dark")
    destroyed: list[bool] = []
    window.root.destroy, destroy = lambda: destroyed.append(True), window.root.destroy  # type: ignore[method-assign]
    try:
        window.close()
    finally:
        window.root.destroy = destroy  # type: ignore[method-assign]
    assert destroyed and "A run is under way" in asked[0]
    assert engine is not None and not engine._process.is_alive()
    memory = remembered.load()
    assert (memory.inputs, memory.output) == ((str(night.subs[0].parent),), str(output))
    assert (memory.theme, memory.language) == ("dark", "en") and memory.geometry
