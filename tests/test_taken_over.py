"""What a second run takes over: solutions, and why there are none, as long as all that they depend on is the same."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nights import BRIGHT, Inline, Recorder, assembled, rows, same_bits, simulated
from star_lists import frame_at, solution_at
from zemosaic import survey as module
from zemosaic import taken_over
from zemosaic.errors import Cancelled
from zemosaic.events import Note, SeamsGraded, Warned
from zemosaic.kernel_cache import source_of
from zemosaic.ledger import Ledger
from zemosaic.model import FrameState, LeftOut, Measurement
from zemosaic.phases.export import Outputs
from zemosaic.phases.scan import ScanResult
from zemosaic.phases.solve import SolveResult
from zemosaic.settings import Settings
from zemosaic.solvers.astap import Astap, Database
from zemosaic.solvers.astrometry_net import SolveField, WebService
from zemosaic.solvers.external import NOBODY, External
from zemosaic.survey import Survey

WCS = "zemosaic_workspace/wcs"


def measured(i: int, **changes) -> Measurement:
    first = Measurement(i, Path(f"{i}.npz"), (100.0,) * 3, (math.pi,) * 3, 3.5, 1.1, 50 + i, 0.0)
    return replace(first, **changes)


class Counted:
    """Stands in for the phase: solves all frames but the last, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.state = FrameState.UNSOLVED

    def __call__(self, frames, measurements, **_):
        self.asked += 1
        solutions = {f.id: replace(solution_at(10.0 + f.id / 3.0, 20.0), rms=math.pi) for f in frames[:-1]}
        left_out = (LeftOut(frames[-1].path, self.state, "No match."),)
        return SolveResult(solutions, left_out, dict.fromkeys(solutions, 0.1), 1.0 / 7.0)


class Bench:
    """Runs of the solve phase over one output, each with the ledger opened anew."""

    def __init__(self, output: Path, solver: Counted) -> None:
        self.output, self.solver = output, solver
        self.frames = [frame_at(i, 20.0, id=i, path=Path(f"night/{i}.fit")) for i in range(4)]
        self.measurements = {i: measured(i) for i in range(4)}
        self.told: list[str] = []

    def solve(self, external: External = NOBODY, **settings) -> bool:
        """Whether the solver was asked."""
        before, recorder = self.solver.asked, Recorder()
        with Ledger(self.output) as ledger, Inline() as executor:
            ledger.record_scan(self.frames, ())
            survey = Survey(ledger, Settings.model_validate(settings), recorder)
            self.result = survey.solve(self.frames, self.measurements, external, executor)
        self.told = [e.text for e in recorder.events if isinstance(e, Note)]
        assert list(recorder.left_out) == [self.frames[-1].path.name]
        return self.solver.asked > before


@pytest.fixture
def bench(tmp_path, monkeypatch):
    solver = Counted()
    monkeypatch.setattr(module, "solve", solver)
    return Bench(tmp_path / "out", solver)


def test_solutions_and_reasons_are_taken_over_to_the_last_bit(bench):
    assert bench.solve()
    first, found = bench.result, [(r.state, r.reason, r.solution) for r in rows(bench.output)]
    assert bench.told == []
    assert not bench.solve()
    assert bench.result == first
    assert [(r.state, r.reason, r.solution) for r in rows(bench.output)] == found
    assert bench.told == ["solutions of 3 frames taken over: nothing that they depend on has changed"]


def test_header_files_of_solutions_that_were_removed_come_back(bench):
    bench.solve()
    files = {path: path.read_bytes() for path in (bench.output / WCS).iterdir()}
    next(iter(files)).unlink()
    assert len(files) == 3
    assert not bench.solve()
    assert {path: path.read_bytes() for path in (bench.output / WCS).iterdir()} == files


@pytest.mark.parametrize(
    "settings", [{"solver_method": "catalogue"}, {"astap_default_search_radius": 7.0}], ids=["method", "radius"]
)
def test_a_solver_s_setting_solves_anew_and_another_one_does_not(bench, settings):
    bench.solve()
    assert not bench.solve(sky_order="1")
    assert bench.solve(**settings)
    assert bench.solve()  # only the last outcome is kept


def test_other_subs_other_headers_and_other_measurements_solve_anew(bench):
    bench.solve()
    bench.frames.append(frame_at(9.0, 20.0, id=4, path=Path("night/4.fit")))
    bench.measurements[4] = measured(4)
    assert bench.solve()
    assert not bench.solve()
    bench.frames[1] = replace(bench.frames[1], dec=20.5)
    assert bench.solve()
    bench.measurements[2] = measured(2, masters="a flat")
    assert bench.solve()
    bench.measurements[2] = measured(2, masters="a flat", path=Path("elsewhere/2.npz"))
    assert not bench.solve()


def test_programs_of_others_that_come_or_change_are_asked(bench, tmp_path):
    data = tmp_path / "stars"
    data.mkdir()
    program, index, config = tmp_path / "program", data / "index-1.fits", tmp_path / "own.cfg"
    for path in (program, data / "d05_0101.1476", index):
        path.write_bytes(b"1")
    config.write_text(f"inparallel\nadd_path {data}\n")
    astap = Astap(program, Database(data, "d05", 500.0), 0, 60.0, tmp_path)
    field = SolveField(program, (), config, 60.0, tmp_path)
    assert bench.solve()
    assert bench.solve(External(astap=astap))
    assert not bench.solve(External(astap=replace(astap, scratch=tmp_path / "moved")))
    (data / "d05_0102.1476").write_bytes(b"2")
    assert bench.solve(External(astap=astap))
    assert bench.solve(External(astap=replace(astap, timeout=90.0)))
    assert bench.solve(External(solve_field=field))
    assert not bench.solve(External(solve_field=field))
    (data / "index-2.fits").write_bytes(b"2")
    assert bench.solve(External(solve_field=field))
    program.write_bytes(b"a new version")
    assert bench.solve(External(solve_field=field))


def test_the_web_is_asked_again_for_what_it_left_unsolved_and_its_key_stays_secret(bench):
    web = External(web=WebService("my own key", 60.0))
    assert bench.solve(web)
    assert bench.solve(web)
    bench.solver.state = FrameState.FALSE_SOLUTION
    assert bench.solve(web)
    assert not bench.solve(web)
    assert b"my own key" not in (bench.output / "zemosaic_workspace" / "ledger.sqlite").read_bytes()
    assert bench.solve(External(web=WebService("another key", 60.0)))


def test_what_is_forgotten_or_ended_within_is_solved_anew(bench, monkeypatch):
    bench.solve()
    with Ledger(bench.output) as ledger:
        ledger.forget()
    assert bench.solve()
    bench.frames.reverse()
    monkeypatch.setattr(Survey, "_write_solutions", lambda *_, **__: sys.exit("killed"))
    with pytest.raises(SystemExit):
        bench.solve()
    monkeypatch.undo()
    monkeypatch.setattr(module, "solve", bench.solver)
    bench.frames.reverse()
    assert bench.solve()


def test_a_run_that_ended_after_solving_goes_on_without_and_comes_to_the_same_bits(tmp_path, monkeypatch):
    night = simulated(tmp_path / "night", replace(BRIGHT, panels_x=2, panels_y=1, subs=4))
    first = assembled(night.lights, tmp_path / "whole")
    with pytest.raises(Cancelled):
        assembled(night.lights, tmp_path / "ended", Recorder(stop_after="solve"))
    monkeypatch.setattr(module, "solve", None)  # whoever calls it fails
    second = assembled(night.lights, tmp_path / "ended")
    assert same_bits(first, second)
    solved = [[row.solution for row in rows(tmp_path / name)] for name in ("whole", "ended")]
    assert solved[0] == solved[1]
    assert None not in solved[0]


def test_another_state_of_the_code_and_a_changed_page_are_another_run(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text("1")
    states = [source_of(tmp_path, "**/*.py")]
    (tmp_path / "inner" / "a.py").write_text("2")
    states.append(source_of(tmp_path, "**/*.py"))
    keys = set()
    for state in states:
        monkeypatch.setattr(taken_over, "source_of", lambda *_, state=state: state)
        keys.add(taken_over.run_key(ScanResult((), ()), Settings(), NOBODY))
    assert len(set(states)) == len(keys) == 2
    names = [tmp_path / f"m{ending}" for ending in (".fits", "_coverage.fits", "_weight.fits", "_preview.png")]
    page = tmp_path / "m_zoom" / "index.html"
    page.parent.mkdir()
    outputs = Outputs(*names, zoom=page)
    page.write_text("page")
    with Ledger(tmp_path) as ledger:
        heard = taken_over.Heard(Recorder())
        said = [Warned("few stars"), SeamsGraded("B", 0.1, 0, 1, 2, 1.0, ("a.fit",))]
        for event in said:
            heard.emit(event)
        taken_over.keep_done(ledger, "key", (), [outputs], (), heard.kept())
        done, again = taken_over.done_before(ledger, "key"), Recorder()
        done.told.again(again)
        assert again.events == said
        page.write_text("another")
        assert taken_over.done_before(ledger, "key") is None
