"""`zemosaic plan`: what a run would make and need, from the headers, and a drawing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image, ImageFont

from nights import FIELD, listing, rewrite, simulated
from zemosaic.cli import main
from zemosaic.plan_report import DEEP, PAPER, _coloured, _depth, _font, _written
from zemosaic.simulate import Night

FLAGS = ["--num-processing-workers", "1", "--memory-limit", "2"]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return simulated(
        tmp_path_factory.mktemp("night"), replace(FIELD, panels_x=2, subs=4, width=180, height=240, scale=12.0)
    )


def test_a_plan_tells_and_draws_and_touches_nothing(
    night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = listing(night.lights), tmp_path / "out"
    assert main(["plan", str(night.lights), str(out), *FLAGS, "--json"]) == 0
    told, shown = capsys.readouterr()
    plan = json.loads(told)
    assert plan["subs"] == 4 and plan["needs"]["mosaics"] == 1 and plan["needs"]["least"] < plan["needs"]["most"]
    (mosaic,) = plan["mosaics"]
    assert [panel["subs"] for panel in mosaic["panels"]] == [2, 2] and mosaic["scale"] == pytest.approx(12.06, abs=0.2)
    assert (
        f"{mosaic['width']} x {mosaic['height']} px" in shown
        and "of 4 subs state no rotation" in shown
        and "Memory: about" in shown
        and "Time: " in shown
    )
    assert listing(night.lights) == before
    assert [path.name for path in out.iterdir()] == ["zemosaic_plan.png"] and str(out / "zemosaic_plan.png") in shown
    with Image.open(out / "zemosaic_plan.png") as picture:
        colours = {tuple(map(int, colour)) for colour in np.asarray(picture.convert("RGB")).reshape(-1, 3)[::7]}
    assert PAPER in colours and len(colours) > 8


def test_a_plan_in_french_goes_where_it_is_wanted(
    night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "here" / "plan.png"
    assert (
        main(["plan", str(night.lights), str(tmp_path / "out"), "--picture", str(picture), "--language", "fr", *FLAGS,
              "--output-size", "100 x 80", "--json", str(tmp_path / "plan.json")])
        == 0
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "4 brutes" in said and picture.is_file() and not (tmp_path / "out").exists()
    (mosaic,) = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["mosaics"]
    assert (mosaic["projection"], mosaic["rotation"], mosaic["width"], len(mosaic["told"])) == ("TAN", 0.0, 100, 1)
    assert "  la fenêtre de output_center et output_size contient" in said


def test_nothing_is_drawn_into_an_input(night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag, name in (("--picture", "plan.png"), ("--json", "plan.json")):
        with pytest.raises(SystemExit) as caught:
            main(["plan", str(night.lights), str(tmp_path / "out"), flag, str(night.lights / name)])
        assert caught.value.code == 2 and "lies in an input" in capsys.readouterr().err


def test_without_positions_the_plan_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = simulated(tmp_path / "lost", replace(FIELD, subs=2, width=96, height=64))
    for path in lost.subs:
        rewrite(path, fits.getdata(path), RA=None, DEC=None)
    assert main(["plan", str(lost.lights), str(tmp_path / "out"), *FLAGS]) == 0
    assert "The headers state no positions" in capsys.readouterr().out
    assert main(["plan", str(tmp_path), str(tmp_path / "out")]) in (0, 3)


def test_the_more_subs_the_brighter() -> None:
    square = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)]
    half = [(0.0, 0.0), (4.0, 0.0), (4.0, 9.0), (0.0, 9.0)]
    depth = _depth([square, half], 20, 12)
    assert (depth[5, 2], depth[5, 7], depth[5, 15]) == (2, 1, 0)
    coloured = _coloured(depth)
    assert tuple(coloured[5, 2]) == DEEP[-1] and tuple(coloured[5, 15]) == PAPER
    assert coloured[5, 2].sum() > coloured[5, 7].sum() > coloured[5, 15].sum()


def test_no_letter_of_the_drawing_is_a_box() -> None:
    """Pillow's own font has no accents: all that it lacks look alike."""
    text = "Nébuleuse à l\u2019été · 2 × 3, 1° Ÿ"
    own = ImageFont.load_default(18)
    assert _written(text, own) == "Nebuleuse a l'ete · 2 x 3, 1° Y"
    found = _font(18)
    box = bytes(found.getmask("\U000f1234"))
    assert all(bytes(found.getmask(each)) != box for each in _written(text, found) if each != " ")
