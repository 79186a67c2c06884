"""astrometry.net: the real solve-field where it is installed; astroquery against an imitation of the web service."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from star_lists import S50, S50_SCALE, away, corner_error, frame_at, seen, solution_at, stars_from
from zemosaic.errors import FrameError
from zemosaic.events import Silent
from zemosaic.phases.measure import MeasureTask, measure_one
from zemosaic.phases.scan import scan
from zemosaic.solvers import Hint, frame_hint
from zemosaic.solvers.astrometry_net import (
    AstrometryNetSolver,
    SolveField,
    WebService,
    WebSolver,
    find_solve_field,
    web_client,
    web_request,
)
from zemosaic.solvers.catalogue import CatalogueSolver
from zemosaic.tables import load_stars

INDEXES = Path("/usr/share/astrometry")
real_program = pytest.mark.skipif(
    shutil.which("solve-field") is None or not list(INDEXES.glob("index-tycho2-*.fits")),
    reason="needs solve-field and Tycho-2 indexes (apt install astrometry.net astrometry-data-tycho2-07-littleendian)",
)


def local(folder: Path, **values: object) -> AstrometryNetSolver:
    program, indexes, config = find_solve_field(str(INDEXES))
    assert program is not None
    return AstrometryNetSolver(replace(SolveField(program, indexes, config, 20.0, folder / "scratch é -x"), **values))


@real_program
@pytest.mark.parametrize("place", [(305.0, 40.0), (192.86, 27.13), (0.0, 20.0), (40.0, 88.0)])
@pytest.mark.parametrize("parity", [-1, 1])
def test_the_real_program_agrees_with_the_built_in_solver(tmp_path, place, parity):
    true = solution_at(*place, turn=0.7, parity=parity)
    stars = seen(np.random.default_rng(4), true)
    frame = frame_at(*away(*place, 0.5, 2.0))
    hint = replace(frame_hint(frame, 1.5), parity=parity if place[0] > 200.0 else 0)
    found = local(tmp_path).solve(stars, frame, hint)
    assert found.solver == "astrometry_net"
    assert corner_error(found, CatalogueSolver().solve(stars, frame, hint)) * S50_SCALE < 0.3
    assert corner_error(found, true) < 2.5
    assert list((tmp_path / "scratch é -x").iterdir()) == []


@real_program
def test_a_frame_that_knows_nothing_of_itself_solves(tmp_path):
    true = solution_at(83.8, -5.4, turn=0.7)
    stars = seen(np.random.default_rng(4), true, spurious=0.1, faint=20)
    found = local(tmp_path, indexes=()).solve(stars, frame_at(), Hint(math.nan, math.nan, 180.0, math.nan))
    assert corner_error(found, true) < 2.5


@real_program
def test_what_is_no_part_of_the_sky_is_not_solved(tmp_path):
    rng = np.random.default_rng(2)
    stars = stars_from(rng.uniform(0, 1080, 60), rng.uniform(0, 1920, 60), rng.uniform(1, 9, 60))
    with pytest.raises(FrameError, match=r"^astrometry\.net: no solution\.$"):
        local(tmp_path).solve(stars, frame_at(300.0, 35.0), frame_hint(frame_at(300.0, 35.0), 1.0))
    with pytest.raises(FrameError, match="2 stars were found"):
        local(tmp_path).solve(stars_from([1, 2], [1, 2], [1, 2]), frame_at(), Hint(1.0, 1.0, 1.0, 2.4))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the program")
def test_a_program_that_fails_is_told(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho no index files\nexit 255\n")
    program.chmod(0o755)
    solver = AstrometryNetSolver(SolveField(program, (), None, 1.0, tmp_path / "scratch"))
    stars = seen(np.random.default_rng(4), solution_at(305.0, 40.0))
    with pytest.raises(FrameError, match=r"solve-field ended with code 255 \(no index files\)"):
        solver.solve(stars, frame_at(), Hint(305.0, 40.0, 1.0, 2.4))


def test_the_setting_names_a_program_indexes_or_a_configuration(tmp_path):
    (tmp_path / "index-4107.fits").write_bytes(b"")
    (tmp_path / "my.cfg").write_text("")
    assert find_solve_field(str(tmp_path))[1:] == ((tmp_path,), None)
    assert find_solve_field(str(tmp_path / "my.cfg"))[1:] == ((), tmp_path / "my.cfg")


@real_program
@pytest.mark.realdata
def test_real_subs_agree_with_the_built_in_solver(realdata, tmp_path):
    some = [sorted((realdata / name).glob("*.fit*"))[0] for name in ("m27_asi224", "m94_s50_a", "m94_s50_b")]
    for frame in scan(some, tmp_path / "out", Silent()).frames:
        measure_one(MeasureTask(frame, tmp_path / f"{frame.id}.npz"))
        stars, hint = load_stars(tmp_path / f"{frame.id}.npz"), frame_hint(frame, 1.5)
        found, built_in = local(tmp_path).solve(stars, frame, hint), CatalogueSolver().solve(stars, frame, hint)
        assert corner_error(found, built_in, (frame.height, frame.width)) * frame.scale < 0.3


# ---- the web service


class Service:
    """Answers like nova.astrometry.net, with the WCS that it is given; keeps what was asked."""

    def __init__(self, header: fits.Header, status: str = "success") -> None:
        self.header, self.status, self.asked = header, status, {}

    def request(self, method, url, data=None, **_):
        name = url.split("/api/")[-1] if "/api/" in url else "wcs_file"
        if data is not None:
            self.asked[name] = json.loads(data["request-json"])
        answers = {
            "login": {"status": "success", "session": "s1"},
            "url_upload": {"status": "success", "subid": 7, "hash": ""},
            "submissions/7": {"jobs": [8]},
            "jobs/8/info": {"status": self.status},
        }
        text = self.header.tostring()
        return SimpleNamespace(status_code=200, json=lambda: answers[name], text=text)


def as_header(true) -> fits.Header:
    names = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
    cards = {"CRVAL1": true.ra, "CRVAL2": true.dec, "CRPIX1": true.x + 1, "CRPIX2": true.y + 1}
    size = {"IMAGEW": S50[1], "IMAGEH": S50[0]}
    return fits.Header(cards | dict(zip(names, true.cd, strict=True)) | size)


@pytest.fixture
def at_the_service(monkeypatch):
    core = pytest.importorskip(
        "astroquery.astrometry_net.core", reason="needs astroquery (pip install 'zemosaic[web]')"
    )
    monkeypatch.setattr(core.time, "sleep", lambda seconds: None)

    def solver(service: Service) -> WebSolver:
        client = web_client(WebService("the key", 5.0))
        monkeypatch.setattr(client, "_request", service.request)
        return WebSolver(WebService("the key", 5.0), client)

    return solver


def test_the_web_service_is_asked_with_hints_and_its_answer_verified(at_the_service, capsys):
    true = solution_at(305.0, 40.0, turn=0.7)
    stars, service = seen(np.random.default_rng(4), true), Service(as_header(true))
    hint = Hint(305.3, 40.1, 1.5, 2.4, parity=1)
    found = at_the_service(service).solve(stars, frame_at(), hint)
    assert found.solver == "astrometry_net"
    assert corner_error(found, true) < 2.5
    assert service.asked["login"] == {"apikey": "the key"}
    sent = service.asked["url_upload"]
    assert (sent["image_width"], sent["image_height"]) == (1080, 1920)
    assert sent["x"] == pytest.approx(stars.x[:200] + 1.0)
    assert (sent["center_ra"], sent["center_dec"], sent["radius"]) == (305.3, 40.1, 1.5)
    assert (sent["scale_units"], sent["scale_type"]) == ("arcsecperpix", "ul")
    assert (sent["scale_lower"], sent["scale_upper"]) == pytest.approx((2.328, 2.472))
    assert (sent["publicly_visible"], sent["parity"]) == ("n", 1)
    assert capsys.readouterr().out == ""


def test_the_web_service_s_failures_are_told(at_the_service):
    true = solution_at(305.0, 40.0, turn=0.7)
    stars, hint = seen(np.random.default_rng(4), true), Hint(305.0, 40.0, 1.5, 2.4)
    with pytest.raises(FrameError, match="no solution from the web service"):
        at_the_service(Service(as_header(true), "failure")).solve(stars, frame_at(), hint)
    with pytest.raises(FrameError, match=r"its solution matches only \d+ of \d+"):
        at_the_service(Service(as_header(replace(true, ra=304.0)))).solve(stars, frame_at(), hint)
    with pytest.raises(FrameError, match="is for 540 x 960 px"):
        smaller = as_header(true)
        smaller["IMAGEW"], smaller["IMAGEH"] = 540, 960
        at_the_service(Service(smaller)).solve(stars, frame_at(), hint)
    with pytest.raises(FrameError, match="its result has no usable"):
        at_the_service(Service(fits.Header({"CRPIX1": 1.0}))).solve(stars, frame_at(), hint)
    broken = Service(as_header(true))
    broken.request = lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no route"))
    with pytest.raises(FrameError, match=r"the web service gave no solution \(no route\)"):
        at_the_service(broken).solve(stars, frame_at(), hint)


def test_without_position_and_scale_the_request_says_so():
    request = web_request(Hint(math.nan, math.nan, 180.0, math.nan))
    assert request["scale_units"] == "degwidth"
    assert not {"center_ra", "center_dec", "radius"} & set(request)
    assert request["parity"] == 2


def test_a_key_is_never_shown():
    assert "secret" not in repr(WebService("secret", 1.0))
