"""The page of the frames: table and sky in step, and what the user leaves out as a setting; what both show, from a ledger."""

from __future__ import annotations

import tkinter as tk
from dataclasses import replace
from pathlib import Path

import pytest
from frames import frames
from test_skygeometry import FRAME
from test_skyview import CENTRE, at, press, sky_frames

from zemosaic.errors import OutputError
from zemosaic.gui.frames_page import FramesPage
from zemosaic.gui.frames_seen import FramesSeen, from_headers, from_ledger
from zemosaic.ledger import Ledger
from zemosaic.messages import Messages
from zemosaic.model import FrameState, LeftOut, Solution
from zemosaic.patterns import fitting
from zemosaic.quality import Matching
from zemosaic.settings import Settings, patterns

SEEN = FramesSeen(
    tuple(replace(row, file=place.file) for row, place in zip(frames(60), sky_frames(60), strict=True)), sky_frames(60)
)


@pytest.fixture
def said() -> list[str]:
    """The values of the setting that the page asked for."""
    return []


@pytest.fixture
def page(root: tk.Tk, said: list[str]) -> FramesPage:
    widget = FramesPage(root, Messages("en"), said.append)
    widget.pack(fill="both", expand=True)
    root.update()
    widget.show(SEEN)
    shown(widget)
    return widget


def shown(page: FramesPage) -> None:
    page.finish()
    page.update()


def test_sky_and_table_are_in_step(page: FramesPage) -> None:
    press(page.sky, at(page.sky, CENTRE[0] + 0.33, CENTRE[1] - 0.45))
    (file,) = page.choice.selected
    shown(page)
    assert file in str(page.table._about.cget("text"))
    assert len(page.table.tree.selection()) == 1
    page.table.tree.focus_force()
    page.table.tree.event_generate("<Control-a>")
    shown(page)
    assert len(page.sky.canvas.find_withtag("chosen")) == 60


def test_leaving_out_asks_for_a_setting_that_does_just_that(page: FramesPage, said: list[str]) -> None:
    page.choice.exclude([SEEN.table[3].file, SEEN.table[5].file])
    assert said == ["/n/3.fit; /n/5.fit"]
    page.choice.include([SEEN.table[3].file])
    assert said[-1] == "/n/5.fit"
    page.choice.include([SEEN.table[5].file])
    assert said[-1] == ""


def test_patterns_of_the_setting_are_shown_and_stay_while_they_hold(page: FramesPage, said: list[str]) -> None:
    page.set_exclude_files("1?.fit; other*; 40.fit")
    shown(page)
    assert page.choice.excluded == {f"/n/{k}.fit" for k in (*range(10, 20), 40)} and said == []
    page.choice.exclude(["/n/7.fit"])
    assert said == ["1?.fit; other*; 40.fit; /n/7.fit"]
    page.choice.include(["/n/13.fit"])  # now the pattern does not hold any more
    assert patterns(said[-1])[:2] == ("other*", "40.fit")
    found, _ = fitting([Path(row.file) for row in SEEN.table], patterns(said[-1]))
    assert {path.as_posix() for path in found} == page.choice.excluded
    page.set_exclude_files(said[-1])  # what the page itself asked for changes nothing
    shown(page)
    assert {path.as_posix() for path in found} == page.choice.excluded and len(said) == 2


def test_new_frames_are_left_out_by_the_patterns_too(page: FramesPage) -> None:
    page.set_exclude_files("/n/5*")
    page.show(FramesSeen(SEEN.table[:55], SEEN.places[:55]))
    shown(page)
    assert page.choice.excluded == {"/n/5.fit", *(f"/n/{k}.fit" for k in range(50, 55))}


# ---- what is shown, put together in the engine's process


def lights(count: int) -> tuple[list, list]:
    some = [replace(FRAME, id=k, path=Path(f"/n/{k}.fit"), ra=10.0 + 3.0 * (k % 2)) for k in range(count)]
    return some, [LeftOut(Path("/n/bad.fit"), FrameState.DAMAGED, "ends early")]


def test_headers_give_places_and_panels_before_a_run() -> None:
    some, bad = lights(6)
    seen = from_headers([*some, replace(FRAME, id=6, path=Path("/n/lost.fit"), ra=float("nan"))], bad, Settings())
    assert [row.state for row in seen.table] == ["found"] * 7 + ["damaged"]
    assert [place.file for place in seen.places] == [f"/n/{k}.fit" for k in range(6)]
    panels = [place.panel for place in seen.places]
    assert len(set(panels)) == 2 and panels[::2] == panels[:1] * 3 and not any(place.solved for place in seen.places)


def test_a_ledger_gives_solutions_panels_and_reasons(tmp_path: Path) -> None:
    some, bad = lights(4)
    turned = Solution(ra=11.0, dec=41.0, x=539.5, y=959.5, cd=(0.0, 6.6e-4, 6.6e-4, 0.0))
    with Ledger(tmp_path) as ledger:
        ledger.record_scan(some, bad)
        ledger.record_solved({0: turned, 1: turned})
        ledger.record_targets({0: "M 31", 1: "M 33"})
        ledger.put("matching/M 31", {0: Matching(7, 20.0, 30)})
        ledger.put("matching/M 33", {1: Matching(2, 20.0, 30)})
        ledger.put("matching/M 45", None)
        with pytest.raises(OutputError, match="at work"):
            from_ledger(tmp_path, Settings())
    seen = from_ledger(tmp_path, Settings())
    assert [(place.target, place.panel, place.solved) for place in seen.places[:3]] == [
        ("M 31", 7, True), ("M 33", 2, True), ("", -1, False)
    ]  # fmt: skip
    assert seen.table[-1].reason == "ends early" and seen.table[0].panel == 7


def test_panels_of_two_targets_are_two_panels(page: FramesPage) -> None:
    both = tuple(replace(place, panel=place.panel % 4) for place in sky_frames(80, targets=2))
    page.sky.set_frames(both)
    page.sky.fit()
    shown(page)
    page.sky._unit.set("panels")
    page.sky.fit("T1")
    shown(page)
    press(page.sky, at(page.sky, CENTRE[0] + 30.33, CENTRE[1] - 0.45))
    assert page.choice.selected and {each.target for each in both if each.file in page.choice.selected} == {"T1"}
    assert len(page.choice.selected) == 10
