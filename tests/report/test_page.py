"""The page: complete in both languages, every text escaped, nothing from the network, its data the same as the files'."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from reports import DIM, FACTS, GRID, NAN, PANELS, SEAMS, clouded, line, made_up

from zemosaic.messages import LANGUAGES, load_locale
from zemosaic.report.files import as_csv, as_json
from zemosaic.report.page import page
from zemosaic.report.plots import Clock
from zemosaic.report.svg import embedded_json, nice_ticks
from zemosaic.report.values import Maps, Outline
from zemosaic.report.words import Words

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>]]></script>"


class Reader(HTMLParser):
    """Elements with their attributes, and the text of the page outside of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.data, self._inside = "", "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.data = self.data or data  # the first script holds the data
        elif self._inside != "style":
            self.text += data


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_in_its_language(tmp_path: Path, language: str) -> None:
    found = Reader(page(made_up(tmp_path), GRID, Words(language)))
    texts = load_locale(language)
    for key in (
        "report.chapter.next",
        "report.panels.missing",
        "report.map.seconds",
        "report.residual.placed",
        "group.output",
    ):
        assert texts[key] in found.text
    assert "M 31" in found.text and "0h 41m 12s +40° 00′" in found.text  # where panel 1 is
    assert ("7,6" if language == "fr" else "7.6") in found.text
    assert ("html", {"lang": language}) in found.elements
    assert "{" not in found.text  # no place-holder is left
    reason = next(row for row in json.loads(found.data)["rows"] if row[1] == 1)[2]
    assert reason == DIM if language == "en" else reason.startswith("ses 40 étoiles communes ont 5 % de la lumière")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("bad", "and 1 more", "10 of 22")),
        ("fr", ("mauvais", "et 1 de plus", "10 brutes sur 22")),
    ],
)
def test_bad_seams_and_many_losses_stand_at_the_top(tmp_path: Path, language: str, words: tuple[str, ...]) -> None:
    fine = made_up(tmp_path)
    assert "warning" not in [a.get("class") for _, a in Reader(page(fine, GRID, Words(language))).elements]
    named = fine.frames[9].quality.file
    seam = replace(SEAMS.seams[0], visible=2.5, grade="D")
    bad = replace(
        fine, seams=replace(SEAMS, grade="D", seams=(seam,), frames=(named,)), facts=replace(FACTS, frames=12)
    )
    bad = replace(bad, frames=(*bad.frames, line(24)))  # eleven of panels 0 and 1
    html = page(bad, GRID, Words(language))
    top = Reader(html[: html.index('<dl class="cards">')]).text
    assert all(word in top for word in words)
    files = re.findall(r"Light_\d+", top)
    assert len(files) == 10 and files[0] in named and not {"Light_00002", "Light_00003"} & {*files}


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    frames = (
        line(0, file=f"/subs/{EVIL}/{EVIL}.fit", filter=EVIL, instrument=EVIL),
        clouded(1, reason=EVIL),
    )
    report = made_up(tmp_path, frames)
    report = replace(report, title=EVIL, facts=replace(FACTS, telescope=EVIL, filter=EVIL), files=(EVIL,), folder="")
    html = page(report, GRID, Words())
    found = Reader(html)
    assert [tag for tag, _ in found.elements].count("script") == 2 and html.count("</script>") == 2
    assert [tag for tag, _ in found.elements].count("img") == 1
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert found.text.count(EVIL) >= 3
    told = json.loads(found.data)
    assert told["rows"][0][0] == EVIL.rpartition("/")[2] + ".fit" and EVIL in told["lists"]["instrument"]


def test_no_folder_of_a_disk_is_on_the_page(tmp_path: Path) -> None:
    kept = "/home/anna/M 31 (2)/a.fit"
    same = f"The same exposure as {kept} (pixels and DATE-OBS are equal); it counts once. ASTAP: it ended with code 7."
    frames = (line(0, file=kept), line(1, file="/home/anna/b/b.fit", state="duplicate", reason=same))
    paths = {
        "calibration_folder": "/home/anna/darks",
        "coadd_memmap_dir": "/home/anna/tmp",
        "astap_executable_path": "",
    }
    report = made_up(tmp_path, frames)
    lines = tuple(replace(each, value=paths.get(each.name, each.value)) for each in report.settings)
    html = page(replace(report, folder="/home/anna", settings=lines), GRID, Words("fr"))
    assert "anna" not in html and "darks" in Reader(html).text
    assert json.loads(Reader(html).data)["rows"][1][2] == (
        "La même pose que a.fit (pixels et DATE-OBS identiques) ; elle compte une fois. ASTAP : il s'est terminé avec le code 7."
    )


def test_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    found = Reader(page(made_up(tmp_path), GRID, Words()))
    for tag, attributes in found.elements:
        for name in ("src", "href"):
            link = attributes.get(name)
            assert link is None or link.startswith(("data:image/", "#")), (tag, link)
        assert tag not in ("link", "iframe", "object")
    policy = next(a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")


def test_drawings_are_whole_and_tell_what_they_show(tmp_path: Path) -> None:
    html = page(made_up(tmp_path), GRID, Words())
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 13  # 2 maps, footprints, seams, 6 plots, 3 histograms
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img" and root.get("aria-label")
        assert "nan" not in drawing.replace(root.get("aria-label") or "", "").lower()
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(set(ids)) == len(ids)


def test_what_is_not_known_says_so(tmp_path: Path) -> None:
    unknown = {f.name: NAN for f in fields(FACTS) if f.type == "float" and f.name not in ("scale", "ra", "dec", "area")}
    bare = line(0, panel=-1, stars=-1, fwhm_arcsec=NAN, sky=NAN, transparency=NAN, weight=NAN, residual=NAN, uneven=NAN)
    report = made_up(tmp_path, (replace(bare, time=NAN, placed=NAN, rejected=NAN),))
    report = replace(
        report, facts=replace(FACTS, **unknown), seams=None, outlines=(), advice=(), phases=(),
        maps=Maps(2, np.zeros((450, 600)), None, None),
        panels=(replace(PANELS[0], deep=NAN, limit=NAN, exposure=NAN, missing=NAN),),
    )  # fmt: skip
    html = page(report, GRID, Words())
    text = Reader(html).text
    assert not re.search(r"\bnan\b", text.lower()) and text.count("not known") >= 9
    assert load_locale("en")["report.seams.none"] in text and load_locale("en")["report.advice.none"] in text


def test_the_files_hold_the_same(tmp_path: Path) -> None:
    report = made_up(tmp_path)
    told = json.loads(as_json(report))
    assert told["facts"]["limit"] == 15.1 and told["panels"][1]["deep"] == 0.5 and told["seams"]["grade"] == "B"
    assert told["advice"] == [
        {"key": "next_panel", "panel": 1, "ra": 10.3, "dec": 40.0, "share": 50.0, "deepest": 0, "time": 50.0}
    ]
    workers = next(each for each in told["settings"] if each["name"] == "num_processing_workers")
    assert workers["value"] == -1  # no mark of an unknown value here
    assert told["phases"][1] == {"name": "assemble", "seconds": 70.0, "items": 60, "memory": None}
    rows = list(csv.DictReader(as_csv(report).splitlines()))
    docs = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
    (columns,) = re.findall(r"```text\n(file, .*?)```", docs, re.DOTALL)
    assert columns.replace(",", " ").split() == list(rows[0])
    assert all(row["target"] == "" for row in rows)  # of a single one, which has no folder of its own
    assert len(rows) == len(told["frames"]) == 22
    assert rows[20]["state"] == "clouded" and rows[20]["weight"] == "" and told["frames"][20]["weight"] is None
    assert float(rows[3]["rejected"]) == told["frames"][3]["rejected"] == 0.13
    assert not any(each["name"] == "astrometry_api_key" for each in told["settings"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_to_zoom_into_is_a_click_away_where_there_is_one(tmp_path: Path, language: str) -> None:
    report = made_up(tmp_path)
    for zoom, address in (("", []), ("M 31 #2_zoom/index.html", ["M%2031%20%232_zoom/index.html"] * 2)):
        found = Reader(page(replace(report, zoom=zoom), GRID, Words(language)))
        links = [about["href"] for tag, about in found.elements if tag == "a"]
        assert [link for link in links if link and not link.startswith("#")] == address
        assert (load_locale(language)["report.zoom"] in found.text) == bool(zoom)


def test_nights_lie_side_by_side() -> None:
    clock = Clock.of([1000.0, NAN, 4000.0, 90_000.0, 93_000.0])
    assert clock.nights == ((1000.0, 4000.0), (90_000.0, 93_000.0))
    (a, b), (c, d) = clock.spans()
    assert a < b < c < d and math.isclose(b - a, d - c)
    places = clock.places(np.array([1000.0, 2500.0, 93_000.0, 50_000.0]))
    assert a < places[0] < places[1] < b and c < places[2] < d and math.isnan(places[3])
    many = Clock.of([86_400.0 * k for k in range(400)])
    assert all(left < right for left, right in many.spans())
    assert all(before[1] <= after[0] for before, after in zip(many.spans(), many.spans()[1:]))


def test_labels_of_crossing_seams_stand_apart_on_the_page(tmp_path: Path) -> None:
    seams = tuple(replace(SEAMS.seams[0], first=a, second=b, visible=v) for a, b, v in ((0, 3, 0.2), (1, 2, 0.0)))
    report = replace(made_up(tmp_path), seams=replace(SEAMS, seams=seams))
    html = page(report, GRID, Words("fr"))
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="number small"[^>]*>([^<]*)</text>', html)
    assert [shown for _, _, shown in places] == ["0,20", "&lt; 0,1"]
    (x, y, _), (u, v, _) = places
    assert math.hypot(float(x) - float(u), float(y) - float(v)) > 15.0


def test_seams_of_a_mosaic_that_is_cut_off_stay_in_their_figure(tmp_path: Path) -> None:
    """The outline of a telescope is larger than the window: it is clipped, and its figure stands on a side that is seen."""
    seam = replace(SEAMS.seams[0], first=0, second=0, visible=0.2, sets=("S50 night", ""))
    wide = Outline(0, (-3000.0, 600.0, 600.0, -3000.0), (-3000.0, -3000.0, 3000.0, 3000.0), "S50 night")
    report = replace(made_up(tmp_path), seams=replace(SEAMS, seams=(seam,)), outlines=(wide,))
    html = page(report, GRID, Words())
    assert re.search(r'<g clip-path="url\(#seamlines\)"><path class="seam gB"', html) and html.count("seam gB") == 1
    (place,) = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="number small"', html)
    assert 62.0 < float(place[0]) < 480.0 and 0.0 < float(place[1]) < 418.0 * 900 / 1200


def test_a_night_is_the_date_of_its_evening_and_a_lone_panel_no_deepest(tmp_path: Path) -> None:
    facts = replace(FACTS, begin="2025-03-27T00:30:00", end="2025-03-27T03:00:00")
    report = replace(made_up(tmp_path), facts=facts, panels=PANELS[:1])
    html = page(report, GRID, Words())
    assert (
        "night of 2025-03-26 (date of its evening, UTC)" in Reader(html).text and "2025-03-27" not in Reader(html).text
    )
    assert f">{load_locale('en')['report.panels.deepest']}<" in page(made_up(tmp_path), GRID, Words())
    assert f">{load_locale('en')['report.panels.deepest']}<" not in html


def test_small_things() -> None:
    assert nice_ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10] and nice_ticks(3.0, 3.0) == [3.0]
    assert embedded_json("</script>\u2028&") == '"\\u003c/script\\u003e\\u2028\\u0026"'
    words = Words("fr")
    assert words.number(-1234.5, 1) == "−1\u202f234,5" and words.number(NAN) == "–" and words.number(-0.001, 1) == "0,0"
    assert words.place(359.99999, -0.5) == "0h 00m 00s −0° 30′" and words.time(3725.0) == "1 h 02 min"
