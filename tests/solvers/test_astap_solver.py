"""ASTAP: the real program where it is installed, and programs that behave badly in its place."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from star_images import SCALE, SHAPE, starry
from star_lists import away, corner_error, stars_from
from zemosaic.astap_database import LAYOUTS, write_astap_database
from zemosaic.catalogue import load_catalogue
from zemosaic.errors import FrameError
from zemosaic.events import Silent
from zemosaic.imaging.projection import pixel_to_sky, sky_to_pixel
from zemosaic.model import Solution
from zemosaic.phases.measure import MeasureTask, measure_one
from zemosaic.phases.scan import scan
from zemosaic.solvers import frame_hint
from zemosaic.solvers.astap import Astap, AstapSolver, Database, find_astap, find_database
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.tables import load_stars

real_program = pytest.mark.skipif(shutil.which("astap_cli") is None, reason="needs astap_cli (apt install astap-cli)")
FIELDS = {"Cygnus": (305.0, 40.0), "galactic pole": (192.86, 27.13), "far south": (80.0, -72.0), "RA 0": (0.0, 20.0)}


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("astap")
    for kind, layout in LAYOUTS.items():
        write_astap_database(load_catalogue(), folder / kind, layout)
    return folder


def astap_in(folder: Path, databases: Path, kind: str = "1476", **values: object) -> Astap:
    program = find_astap("")
    assert program is not None
    database = find_database(str(databases / kind), program)
    assert database is not None
    return replace(Astap(program, database, 2, 30.0, folder / "scratch é -x"), **values)


@real_program
@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_real_program_agrees_with_the_built_in_solver(tmp_path, databases, name, kind):
    folder = tmp_path / "-sübs of 'mine'"
    folder.mkdir()
    frame, stars, true = starry(folder / "-light ü.fit", *FIELDS[name], parity=1 if kind == "290" else -1)
    frame = replace(frame, **dict(zip(("ra", "dec"), away(true.ra, true.dec, 0.4, 1.0), strict=True)))
    before = sorted(folder.iterdir())
    hint = frame_hint(frame, 1.5)
    found = AstapSolver(astap_in(tmp_path, databases, kind)).solve(stars, frame, hint)
    built_in = CatalogueSolver().solve(stars, frame, hint)
    assert found.solver == "astap"
    assert corner_error(found, built_in, SHAPE) * SCALE < 0.3
    assert corner_error(found, true, SHAPE) * SCALE < 0.3
    assert sorted(folder.iterdir()) == before
    assert list((tmp_path / "scratch é -x").iterdir()) == []


@real_program
@pytest.mark.parametrize("binning", [0, 1, 2, 3])
def test_half_a_binned_pixel_is_put_right(tmp_path, databases, binning):
    """What ASTAP itself says, before our stars refine it: the centre is true to 0.15 px with every binning."""
    frame, _, true = starry(tmp_path / "light.fit", *FIELDS["Cygnus"])
    solver = AstapSolver(astap_in(tmp_path, databases, downsample=binning))
    claims = [claim for claim in solver.claims(frame, frame_hint(frame, 1.0)) if isinstance(claim, Solution)]
    assert claims
    offsets = [_offset(claim, true) for claim in claims]
    assert np.abs(np.median(offsets, axis=0)).max() < 0.15


def _offset(claim: Solution, true: Solution) -> tuple[float, float]:
    x, y = 0.5 * (SHAPE[1] - 1), 0.5 * (SHAPE[0] - 1)
    at_x, at_y = sky_to_pixel(true, *pixel_to_sky(claim, x, y))
    return float(at_x) - x, float(at_y) - y


@real_program
def test_why_there_is_no_solution_is_said(tmp_path, databases):
    frame, stars, _ = starry(tmp_path / "light.fit", *FIELDS["Cygnus"])
    solver = AstapSolver(astap_in(tmp_path, databases))
    elsewhere = replace(frame, ra=100.0, dec=-30.0)
    with pytest.raises(FrameError, match=r"^ASTAP: no solution"):
        solver.solve(stars, elsewhere, frame_hint(elsewhere, 1.0))
    nowhere = replace(frame, ra=math.nan)
    with pytest.raises(FrameError, match="needs position and pixel scale"):
        solver.solve(stars, nowhere, frame_hint(nowhere, 1.0))
    with pytest.raises(FrameError, match="2 stars were found"):
        solver.solve(stars_from([1, 2], [1, 2], [1, 2]), frame, frame_hint(frame, 1.0))
    rng = np.random.default_rng(2)
    others = stars_from(rng.uniform(0, SHAPE[1], 60), rng.uniform(0, SHAPE[0], 60), rng.uniform(1, 9, 60))
    with pytest.raises(FrameError, match=r"its solution matches only \d+ of \d+ catalogue stars"):
        solver.solve(others, frame, frame_hint(frame, 1.0))
    missing = AstapSolver(astap_in(tmp_path, databases, database=Database(tmp_path, "h18", 45.0)))
    with pytest.raises(FrameError, match="No star database found"):
        missing.solve(stars, frame, frame_hint(frame, 1.0))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the program")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 2", "not enough stars"),
        ("exit 32", "no star database was found"),
        ("exit 33", "the star database cannot be read"),
        ("exit 77", "it ended with code 77"),
        ("exit 0", "it ended with code 0"),
        ("printf 'PLTSOLVD=T\\nCRVAL1=1\\n' > frame.ini", "its result cannot be read"),
        ("printf 'PLTSOLVD=F\\nERROR=Out of luck!\\n' > frame.ini; exit 1", r"no solution \(Out of luck\)"),
        ("sleep 30", r"program found nothing in 1 s and was stopped"),
    ],
)
def test_exit_codes_in_words_and_an_end_to_everything(tmp_path, script, words):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    frame, stars, _ = starry(tmp_path / "light.fit", *FIELDS["Cygnus"])
    solver = AstapSolver(Astap(program, Database(tmp_path, "d50", 1000.0), 1, 1.0, tmp_path / "scratch"))
    with pytest.raises(FrameError, match=words):
        solver.solve(stars, frame, frame_hint(frame, 1.0))
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_deepest_database_of_a_folder_is_taken(tmp_path):
    program = tmp_path / "bin" / "astap"
    for name, size in (("d05", 1000), ("d50", 9000), ("g17", 500)):
        suffix = ".290" if name == "g17" else ".1476"
        (tmp_path / f"{name}_0101{suffix}").write_bytes(bytes(110 + size))
    found = find_database(str(tmp_path), program)
    assert found is not None
    assert (found.name, found.folder) == ("d50", tmp_path)
    assert find_database(str(tmp_path / "absent"), program) is None


@real_program
@pytest.mark.realdata
def test_real_subs_agree_with_the_built_in_solver(realdata, tmp_path, databases):
    """M 27 on a small sensor. The field of M 94 has too few Tycho-2 stars for ASTAP, see docs/solving.md."""
    frames = scan([realdata / "m27_asi224"], tmp_path / "out", Silent()).frames
    solver = AstapSolver(astap_in(tmp_path, databases))
    for frame in frames:
        measure_one(MeasureTask(frame, tmp_path / f"{frame.id}.npz"))
        stars, hint = load_stars(tmp_path / f"{frame.id}.npz"), frame_hint(frame, 1.5)
        shape = (frame.height, frame.width)
        assert corner_error(solver.solve(stars, frame, hint), CatalogueSolver().solve(stars, frame, hint), shape) < 0.2
