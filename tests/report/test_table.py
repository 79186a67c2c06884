"""The table of 20,000 frames in a real browser: only rows in sight are on the page, and they sort and search."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from reports import GRID, clouded, line, made_up

from browser import browse
from zemosaic.report.page import page
from zemosaic.report.words import Words

FRAMES = 20_000


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    frames = tuple(clouded(k, reason="thick Cloud") if k % 100 == 7 else line(k) for k in range(FRAMES))
    path = folder / "report.html"
    began = time.process_time()
    path.write_text(page(made_up(folder, frames), GRID, Words()), encoding="utf-8")
    assert time.process_time() - began < 20.0
    assert path.stat().st_size < 6e6
    return path


def shown(report: Path, tmp_path: Path, query: str) -> tuple[str, list[list[str]]]:
    """The page as the browser has it, and the cells of the rows that are on it."""
    html = browse(report, tmp_path, f"#frames?{query}", "--window-size=1400,900", "--dump-dom")
    rows = re.findall(r'<div class="row[^>]*>(.*?)</div>', html)
    return html, [re.findall(r"<span[^>]*>(.*?)</span>", row) for row in rows]


def count(html: str) -> str:
    found = re.search(r'<span id="count"[^>]*>(.*?)</span>', html)
    return found[1] if found else ""


def test_only_rows_in_sight_are_on_the_page_and_they_are_sorted(report: Path, tmp_path: Path) -> None:
    html, rows = shown(report, tmp_path, "sort=fwhm&down=1")
    assert count(html) == "20,000 of 20,000" and 10 < len(rows) < 60
    widths = [float(row[7]) for row in rows]
    assert widths == sorted(widths, reverse=True) and widths[0] == 8.0  # 7 + 0.01 x 100
    assert 'aria-sort="descending"' in html and f"height: {30 * FRAMES}px" in html


def test_search_and_state_leave_those_that_fit(report: Path, tmp_path: Path) -> None:
    html, rows = shown(report, tmp_path, "find=thick+light_0000&state=clouded&row=107")
    assert count(html) == "1 of 20,000" and [row[0] for row in rows] == ["Light_00007.fit"]
    assert rows[0][2] == "thick Cloud" and rows[0][3] == "–"
    assert "Light_00107.fit</dd>" in html  # the details of the row that was asked for


def test_the_keyboard_chooses_rows_and_sorts(report: Path, tmp_path: Path) -> None:
    """Five rows down and one up from the first, then the last one; two headings to the right Enter sorts, as on any button."""
    keys = """<script>addEventListener("load", () => {
      const made = (key) => new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
      const press = (element, key) => element.dispatchEvent(made(key)), grid = document.getElementById("grid"), told = [];
      const say = () => told.push(document.querySelector("#detail dd").textContent);
      for (let k = 0; k < 5; k++) press(grid, "ArrowDown");
      press(grid, "ArrowUp"); say();
      press(grid, "End"); say();
      told.push(document.querySelectorAll(".row.chosen").length, grid.getAttribute("aria-activedescendant"));
      const first = document.querySelector("#head button");
      first.focus(); press(first, "ArrowRight"); press(document.activeElement, "ArrowRight");
      told.push(document.activeElement.textContent); document.activeElement.click();
      told.push(document.querySelector("[aria-sort=ascending]").dataset.key);
      document.title = told.join("|");
    });</script>"""
    page = tmp_path / "keys.html"
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", f"{keys}</body>"), encoding="utf-8")
    html = browse(page, tmp_path, "", "--window-size=1400,900", "--dump-dom")
    title = re.search("<title>(.*?)</title>", html)
    assert title is not None and title[1].split("|") == [
        "Light_00003.fit", "Light_19999.fit", "1", "frame19999", "Why left out, or remarks", "reason",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [420, 1400])
def test_the_page_fits_its_window_in_the_dark(tmp_path: Path, width: int) -> None:
    """Nothing but the tables goes beyond the edge; text is light on dark, and the table is as high as its rows."""
    told = """<script>addEventListener("load", () => parent.postMessage(JSON.stringify([
      document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor,
      getComputedStyle(document.body).color, document.getElementById("grid").clientHeight]), "*"))</script></body>"""
    around = f"""<!DOCTYPE html><meta name="color-scheme" content="light dark"><title>-</title>
      <script>addEventListener("message", (event) => {{ document.title = event.data; }})</script>
      <iframe src="report.html" style="width: {width}px; height: 800px; border: 0"></iframe>"""
    file, dark = tmp_path / "report.html", "--blink-settings=preferredColorScheme=0"
    report = replace(made_up(tmp_path, tuple(map(line, range(3)))), zoom="m_zoom/index.html")
    file.write_text(page(report, GRID, Words("fr")).replace("</body>", told), encoding="utf-8")
    (tmp_path / "around.html").write_text(around, encoding="utf-8")  # a window is never as narrow as a telephone
    html = browse(tmp_path / "around.html", tmp_path, "", "--window-size=1500,900", dark, "--dump-dom")
    wide, back, ink, high = json.loads(unescape(re.findall("<title>(.*?)</title>", html)[0]))
    assert wide <= width and 90 < high < 200
    assert max(map(int, re.findall(r"\d+", back))) < 40 < 200 < min(map(int, re.findall(r"\d+", ink)))
