"""Which programs of others are asked, when, and what is told about them."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from star_images import starry
from star_lists import stars_from
from zemosaic.errors import FrameError, SettingsError
from zemosaic.events import Silent
from zemosaic.execution import cores
from zemosaic.model import FrameState, Measurement, SkyMesh
from zemosaic.phases.solve import EXTERNAL_AT_ONCE, _solvers, solve
from zemosaic.settings import Settings
from zemosaic.solvers import external as module
from zemosaic.solvers.astap import Astap, Database
from zemosaic.solvers.astrometry_net import SolveField
from zemosaic.solvers.external import NOBODY, External, external_solvers, find_external
from zemosaic.tables import save_measurement

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand in for the programs")


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("zemosaic.solvers.astap._places", list)
    monkeypatch.setattr("zemosaic.solvers.astrometry_net._places", list)


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_nothing_is_required_in_auto_and_what_is_asked_for_must_be_there(nothing_installed, tmp_path):
    assert find_external(Settings(), tmp_path) == (NOBODY, ())
    for method in ("header", "catalogue"):
        assert find_external(Settings(solver_method=method), tmp_path) == (NOBODY, ())
    with pytest.raises(SettingsError, match="ASTAP was not found: install it, or set astap_executable_path"):
        find_external(Settings(solver_method="astap"), tmp_path)
    with pytest.raises(SettingsError, match="set astrometry_api_key to use the web service"):
        find_external(Settings(solver_method="astrometry_net"), tmp_path)
    lost = Settings(astap_executable_path=str(tmp_path / "gone"), astrometry_local_path=str(tmp_path / "gone"))
    external, notes = find_external(lost, tmp_path)
    assert external == NOBODY
    assert [note.endswith("the run goes on without it") for note in notes] == [True, True]


def test_astap_without_a_database_is_told_how_to_get_one(nothing_installed, tmp_path):
    astap = str(program(tmp_path, "astap_cli", "exit 0"))
    with pytest.raises(SettingsError, match="zemosaic catalogue export --format astap DIR"):
        find_external(Settings(solver_method="astap", astap_executable_path=astap), tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "d50_0101.1476").write_bytes(bytes(1000))
    settings = Settings(astap_executable_path=astap, astap_data_directory_path=str(tmp_path / "data"))
    external, notes = find_external(settings, tmp_path)
    assert external.astap is not None and external.astap.database.name == "d50" and notes == ()


def test_the_web_service_needs_the_method_the_key_and_no_local_program(nothing_installed, tmp_path, monkeypatch):
    asked = Settings(solver_method="astrometry_net", astrometry_api_key="k", solver_timeout=33)
    monkeypatch.setattr(module, "has_web_client", lambda: False)
    with pytest.raises(SettingsError, match=r'pip install "zemosaic\[web\]"'):
        find_external(asked, tmp_path)
    monkeypatch.setattr(module, "has_web_client", lambda: True)
    web = find_external(asked, tmp_path)[0].web
    assert web is not None and (web.key, web.timeout) == ("k", 33.0)
    assert find_external(Settings(astrometry_api_key="k"), tmp_path)[0] == NOBODY
    here = str(program(tmp_path, "solve-field", "exit 0"))
    local = find_external(asked.model_copy(update={"astrometry_local_path": here}), tmp_path)[0]
    assert local.web is None and local.solve_field is not None


class Blindfolded:
    """In the place of the search of the whole sky, whose index takes a while to make."""

    name = "blind"

    def solve(self, stars, frame, hint):
        raise FrameError("Nowhere on the sky.")


@pytest.fixture
def night(tmp_path, monkeypatch):
    """Three frames of noise that nobody can solve, on disk, and programs that leave a mark when they are called."""
    monkeypatch.setattr("zemosaic.phases.solve.BlindSolver", Blindfolded)
    monkeypatch.setattr("zemosaic.phases.solve._solvers", _solvers.__wrapped__)
    frame, _, _ = starry(tmp_path / "light.fit", 305.0, 40.0)
    rng = np.random.default_rng(1)
    frames, measurements = [], []
    for number in range(3):
        stars = stars_from(rng.uniform(0, 1400, 40), rng.uniform(0, 1000, 40), rng.uniform(1, 9, 40))
        path = tmp_path / f"{number}.npz"
        save_measurement(path, stars, SkyMesh(np.zeros((1, 1, 1), np.float32), 64))
        frames.append(replace(frame, id=number, ra=frame.ra if number else float("nan")))
        measurements.append(Measurement(number, path, (0.0,), (1.0,), 3.5, 1.1, 40, 0.0))
    astap = program(tmp_path, "astap_cli", f"echo x >> '{tmp_path}/called'; exit 1")
    solve_field = program(tmp_path, "solve-field", f"echo y >> '{tmp_path}/called'; exit 0")
    external = External(
        Astap(astap, Database(tmp_path, "d50", 1000.0), 1, 9.0, tmp_path / "scratch"),
        SolveField(solve_field, (), None, 9.0, tmp_path / "scratch"),
    )

    def run(method: str, programs: External):
        (tmp_path / "called").write_text("")
        with ThreadPoolExecutor(1) as executor:
            options = {"search_radius": 1.0, "executor": executor, "reporter": Silent(), "external": programs}
            result = solve(frames, measurements, method=method, **options)
        return result, (tmp_path / "called").read_text().split()

    return run, external


def test_each_solver_s_reason_is_in_the_frame_s(night):
    run, external = night
    result, called = run("auto", external)
    reasons = [out.reason for out in result.left_out]
    assert {out.state for out in result.left_out} == {FrameState.UNSOLVED}
    for reason in reasons[1:]:
        assert reason.startswith("No part of the sky within 1 degrees")
        assert "ASTAP: no solution. astrometry.net: no solution." in reason
    assert "gives no position" in reasons[0] and "ASTAP" not in reasons[0]  # searching the whole sky is left to others
    assert called == ["x", "y", "x", "y"]


def test_a_program_that_is_asked_for_is_asked_alone(night):
    run, external = night
    result, called = run("astap", External(astap=external.astap))
    assert called == ["x", "x"]  # without a position ASTAP is not even started
    assert [out.reason for out in result.left_out[1:]] == ["ASTAP: no solution."] * 2
    assert run("astrometry_net", External(solve_field=external.solve_field))[1] == ["y"] * 3
    assert run("catalogue", NOBODY)[1] == []


def test_programs_of_others_get_half_of_the_processor():
    assert max(1, cores() // 2) == EXTERNAL_AT_ONCE
    assert external_solvers(NOBODY) == ()
