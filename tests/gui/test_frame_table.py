"""The table of frames, as a person uses it, and how little of 20,000 rows Tk gets to know."""

from __future__ import annotations

import tkinter as tk
from types import SimpleNamespace

import pytest
from frames import frames

from zemosaic.gui.choice import FrameChoice
from zemosaic.gui.frame_columns import COLUMNS
from zemosaic.gui.frame_model import EXCLUDED
from zemosaic.gui.frame_table import IN, OUT, FrameTable
from zemosaic.messages import Messages

ROWS = frames(20_000)


@pytest.fixture
def table(root: tk.Tk) -> FrameTable:
    widget = FrameTable(root, Messages("en"), FrameChoice())
    widget.pack(fill="both", expand=True)
    root.update()
    widget.set_rows(ROWS)
    widget.finish()
    root.update()
    return widget


def column(table: FrameTable, key: str) -> list[str]:
    """What is shown in a column, from the top."""
    return [str(table.tree.set(item, key)) for item in table.tree.get_children()]


def click(table: FrameTable, row: int, *, x: int = 120, state: int = 0) -> None:
    """Press the left button in a row that is in view."""
    left, top, _, height = table.tree.bbox(table.tree.get_children()[row])
    event = "<Button-1>" if not state else "<Shift-Button-1>" if state & 1 else "<Control-Button-1>"
    table.tree.event_generate(event, x=left + x, y=top + height // 2)
    table.update()


def key(table: FrameTable, name: str) -> None:
    table.tree.focus_force()
    table.tree.event_generate(name)
    table.update()


def test_only_the_rows_in_view_are_known_to_tk(table: FrameTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work of showing, scrolling and sorting is bounded by the height of the window, not by the number of frames."""
    items = len(table.tree.get_children())
    assert 15 <= items <= 60
    written: list[str] = []
    write = table.tree.item
    monkeypatch.setattr(table.tree, "item", lambda item, **options: written.append(item) or write(item, **options))
    for act in (
        lambda: table.sort("fwhm"),
        lambda: table.sort("file"),
        lambda: key(table, "<End>"),
        lambda: key(table, "<Control-a>"),
        lambda: table.choice.exclude(table.choice.selected),
    ):
        written.clear()
        act()
        assert 0 < len(written) <= 2 * items
    assert len(table.tree.get_children()) == items and len(table.choice.excluded) == 20_000


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(table: FrameTable) -> None:
    heading = table.tree.heading("fwhm")["command"]
    table.tk.call(heading)
    first = column(table, "fwhm")
    assert first == sorted(first, key=float) and "▲" in table.tree.heading("fwhm", "text")
    table.tk.call(heading)
    last = column(table, "fwhm")
    assert last == sorted(last, key=float, reverse=True) and float(last[0]) > float(first[0])
    assert "▼" in table.tree.heading("fwhm", "text") and "▲" not in table.tree.heading("file", "text")


def test_scrolling_by_wheel_bar_and_keys(table: FrameTable) -> None:
    table.tree.event_generate("<Button-5>", x=5, y=80)
    table.update()
    assert column(table, "file")[0].endswith("00003.fit")
    table._bar_moved("moveto", "0.5")
    assert column(table, "file")[0].endswith("10000.fit")
    table._bar_moved("scroll", "1", "units")
    assert column(table, "file")[0].endswith("10001.fit")
    key(table, "<End>")
    assert ROWS[-1].file in table.choice.selected and any(name.endswith("19999.fit") for name in column(table, "file"))
    key(table, "<Home>")
    assert table.choice.selected == {ROWS[0].file} and column(table, "file")[0].endswith("00000.fit")


def test_rows_are_selected_as_everywhere(table: FrameTable) -> None:
    click(table, 2)
    assert table.choice.selected == {ROWS[2].file}
    click(table, 5, state=1)
    assert table.choice.selected == {row.file for row in ROWS[2:6]}
    click(table, 3, state=4)
    assert table.choice.selected == {ROWS[n].file for n in (2, 4, 5)}
    assert [int(item) for item in table.tree.selection()] == [2, 4, 5]
    key(table, "<Down>")
    assert table.choice.selected == {ROWS[4].file}
    key(table, "<Shift-Down>")
    assert table.choice.selected == {ROWS[4].file, ROWS[5].file}
    key(table, "<Control-a>")
    assert len(table.choice.selected) == 20_000


def test_frames_are_left_out_and_taken_back(table: FrameTable) -> None:
    click(table, 1)
    click(table, 3, state=1)
    table.bar._exclude.invoke()
    assert table.choice.excluded == {row.file for row in ROWS[1:4]} and column(table, "mark")[:5] == [
        IN,
        OUT,
        OUT,
        OUT,
        IN,
    ]
    click(table, 2, x=10)  # the box of a selected row speaks for all that are selected
    assert not table.choice.excluded
    key(table, "<space>")
    assert len(table.choice.excluded) == 3
    click(table, 6, x=10)
    assert ROWS[6].file in table.choice.excluded and len(table.choice.selected) == 3
    table.search("", EXCLUDED)
    table.finish()
    assert len(table.model.order) == 4
    table.bar._include.invoke()
    table.finish()
    assert [ROWS[int(n)].file for n in table.model.order] == [ROWS[6].file]


def test_search_and_states(table: FrameTable) -> None:
    table.bar.entry.insert(0, "fwhm>9 usual")
    done = tk.BooleanVar(table, False)
    table.after(300, lambda: done.set(True))
    table.wait_variable(done)
    table.finish()
    table.update()
    expected = [row for row in ROWS if row.state == "clouded" and row.fwhm_arcsec > 9]
    assert expected and len(table.model.order) == len(expected)
    table.search("no such frame")
    table.finish()
    table.update()
    assert len(table.tree.get_children()) == 0 and str(table.bar._count.cget("text")).startswith("0 of 20000 shown")
    shown = [str(each) for each in table.bar.states.cget("values")]
    assert shown[0] == "All states (20000)" and any(each.startswith("clouds (") for each in shown)
    table.bar.states.current(table.bar._keys.index("trailed"))
    table.bar.states.event_generate("<<ComboboxSelected>>")
    table.search("", table.bar.state_wanted)
    table.finish()
    assert {ROWS[int(n)].state for n in table.model.order} == {"trailed"}


def test_a_selection_from_elsewhere_is_shown(table: FrameTable) -> None:
    table.choice.select([ROWS[15_000].file])
    table.show(ROWS[15_000].file)
    table.update()
    assert ROWS[15_000].file in str(table._about.cget("text")) and len(table.tree.selection()) == 1


def test_rows_that_change_keep_the_filter_and_the_order(table: FrameTable) -> None:
    table.sort("stars")
    table.search("", "damaged")
    table.finish()
    table.set_rows(ROWS[:5000])
    table.finish()
    assert {ROWS[int(n)].state for n in table.model.order} == {"damaged"} and table.model.sorted_by == "stars"
    table.set_rows(())
    table.finish()
    table.update()
    assert len(table.tree.get_children()) == 0


def test_french_headings_and_cells(root: tk.Tk) -> None:
    language = SimpleNamespace(messages=Messages("en"))
    table = FrameTable(root, lambda key, /, **values: language.messages(key, **values), FrameChoice())
    table.pack(fill="both", expand=True)
    root.update()
    table.set_rows(ROWS[:30])
    table.finish()
    language.messages = Messages("fr")
    table.retranslate()
    assert [table.tree.heading(each.key, "text") for each in COLUMNS] == [
        Messages("fr")(each.heading) for each in COLUMNS
    ]
    assert "dans la mosaïque" in column(table, "state")
