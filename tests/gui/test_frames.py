"""What is known of frames, from headers and from an earlier run, in pieces for the window."""

from __future__ import annotations

from pathlib import Path

import pytest

from nights import FIELD, Recorder, assembled, simulated
from zemosaic.gui.frames import PART, exclusion, frames_known, known_matching, merged, parted, separated
from zemosaic.gui.skygeometry import SkyFrame
from zemosaic.ledger import Ledger
from zemosaic.model import FrameState, LeftOut
from zemosaic.outlook import panels_ahead
from zemosaic.patterns import Patterns, patterns
from zemosaic.phases.scan import scan
from zemosaic.settings import Settings


def test_headers_first_then_what_a_run_found(tmp_path: Path) -> None:
    night, output = simulated(tmp_path / "night", FIELD), tmp_path / "out"
    found = scan([night.lights], output, Recorder())
    stray = LeftOut(tmp_path / "dark.fit", FrameState.NOT_A_LIGHT, "The file is a dark.")
    table, places = frames_known(merged(found.frames, [stray], ()), {}, {}, equal_weights=False)
    assert [row.state for row in table] == ["found"] * 6 + ["not_a_light"] and len(places) == 6
    assert not any(place.solved for place in places) and {row.panel for row in table} == {-1}
    ahead = panels_ahead(found.frames, Settings())
    assert ahead == {str(path): ("", 0) for path in night.subs}
    table, places = frames_known(merged(found.frames, [stray], ()), {}, ahead, equal_weights=False)
    assert [row.panel for row in table] == [0] * 6 + [-1] and {place.panel for place in places} == {0}
    assembled(night.lights, output)
    with Ledger(output) as ledger:
        rows, matching = ledger.rows(), known_matching(ledger)
    table, places = frames_known(merged(found.frames, [stray], rows[1:]), matching, ahead, equal_weights=False)
    assert [row.state for row in table] == ["found"] + ["used"] * 5 + ["not_a_light"]
    assert [place.solved for place in places] == [False] + [True] * 5
    assert {place.panel for place in places} == {0}
    assert all(row.fwhm > 0 and row.weight > 0 for row in table[1:6])


def test_pieces_make_up_the_whole(tmp_path: Path) -> None:
    night = simulated(tmp_path / "night", FIELD)
    table, places = frames_known(
        merged(scan([night.lights], tmp_path, Recorder()).frames, (), ()), {}, {}, equal_weights=True
    )
    many = tuple(table) * 150
    pieces = list(separated(many, places))
    assert sum((piece.rows for piece in pieces), ()) == many and all(len(piece.rows) <= PART for piece in pieces)
    assert [piece.first for piece in pieces] == [True, False, False] and [p.last for p in pieces] == [
        False,
        False,
        True,
    ]
    lone: list[SkyFrame] = []
    assert [(piece.first, piece.last) for piece in separated((), lone)] == [(True, True)]


def test_files_to_leave_out_join_the_patterns() -> None:
    assert exclusion("", ()) == "" and exclusion("*cloud*; ", ()) == "*cloud*"
    assert patterns(exclusion("*cloud*", ["/b/2.fit", "/a/1.fit"])) == ("*cloud*", "/a/1.fit", "/b/2.fit")


def test_single_files_part_from_patterns() -> None:
    text = "*cloud*; /a/1.fit; M31/2.fit; C:\\subs\\3.fit; /a/?.fit; 4.fit"
    assert parted(text) == ("*cloud*; M31/2.fit; /a/?.fit; 4.fit", ("/a/1.fit", "C:\\subs\\3.fit"))
    assert parted("") == ("", ())


@pytest.mark.parametrize(
    "name", ["a;b.fit", "M*31.fit", "what?.fit", 'the "good" one.fit', "Nuit d'été.fit", " .fit ", '";"']
)
def test_a_file_of_any_name_stays_a_single_file(name: str) -> None:
    files = (f"/subs/{name}", "/subs/other.fit")
    assert parted(exclusion("*cloud*", files)) == ("*cloud*", tuple(sorted(files)))
    one = Patterns(patterns(exclusion("", files[:1])))
    assert one.of(files[0]) and not one.of("/subs/axb.fit")
