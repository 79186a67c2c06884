"""The seam report: grades, the map, and a panel whose sky is wrong."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from zemosaic.events import ManyLeftOut, SeamsGraded
from zemosaic.messages import Messages
from zemosaic.model import Correction, Frame, FrameKind, Grid, Group, Measurement, Overlap, Solution
from zemosaic.phases.match import MatchResult
from zemosaic.reporters import PlainLines
from zemosaic.seams import (
    COLOURS,
    GRADES,
    LEGEND,
    SeamReport,
    cut,
    grade_of,
    labels,
    seam_report,
    side_shown,
    write_seams,
)
from zemosaic.sentences import Sentences
from zemosaic.sides import sets_of

SCALE = 2.4 / 3600.0
FRAMES = [
    Frame(
        k, Path(f"sub{k}.fit"), 0, 0, "", FrameKind.BAYER, 1080, 1920, "GRBG", "one", "", "", "", "", 10.0, 80.0, 20.0,
        "", 0.0, 0.0, 2.4, 65535.0,
    )
    for k in range(12)
]  # fmt: skip
SOLUTIONS = {k: Solution(10.0 + 0.6 * (k // 4), 40.0, 539.5, 959.5, (-SCALE, 0.0, 0.0, SCALE)) for k in range(12)}
GROUPS = [Group(g, 10.0 + 0.6 * g, 40.0, tuple(range(4 * g, 4 * g + 4))) for g in range(3)]
MEASURED = {k: Measurement(k, Path("x"), (900.0,) * 3, (20.0,) * 3, 3.4, 1.1, 100, 0.0) for k in range(12)}
GRID = Grid(10.6, 40.0, SCALE, 3000, 2000, 1500.0, 1000.0)


def matched(*steps: float, error: float = 0.2, ripple: float = 0.0) -> MatchResult:
    """Panels 0 to 2 in a row with these steps (ADU) between them; frame 5 differs most."""
    overlaps = tuple(
        Overlap(k, k + 1, 40, (step, 0.0, -0.1), (error,) * 3, (0.0, 0.0, ripple)) for k, step in enumerate(steps)
    )
    corrections = {k: Correction(k, (1.0,) * 3, ((0.0,) * 3,) * 3, (), 1100.0) for k in range(12)}
    nothing = dict.fromkeys(range(12), 0.0)
    return MatchResult(
        corrections=corrections, left_out=(), overlaps=overlaps, sky_level=(0.0,) * 3, zero_point=22.0,
        zero_point_scatter=0.1, zero_point_stars=20, zero_point_channel="green", gain_residual_mmag=nothing,
        frame_steps={k: 9.0 if k == 5 else 0.1 * k for k in range(12)}, common_stars=dict.fromkeys(range(12), 9),
        response={}, pedestal={}, pedestal_error={}, response_error={}, star_groups=1, sky_groups=1,
    )  # fmt: skip


def report(*steps: float, error: float = 0.2, ripple: float = 0.0) -> SeamReport:
    found = seam_report(FRAMES, GROUPS, matched(*steps, error=error, ripple=ripple), MEASURED, SOLUTIONS)
    assert found is not None
    return found


def test_grades_have_their_limits() -> None:
    assert [grade_of(value) for value in (0.0, 0.1, 0.11, 0.3, 1.0, 1.01)] == [
        ("A", "good"), ("A", "good"), ("B", "fair"), ("B", "fair"), ("C", "poor"), ("D", "bad"),
    ]  # fmt: skip
    assert [letter for letter, _, _ in GRADES] == list("ABCD")


def test_what_is_certain_of_a_step_counts_against_the_noise_of_a_pixel() -> None:
    """Four subs of 20 ADU make a pixel of 10 ADU; two errors of 0.2 are taken off."""
    found = report(5.4, -0.3)
    assert found.visible == pytest.approx(0.5) and (found.grade, found.word) == ("C", "poor")
    assert [(seam.first, seam.second, seam.grade) for seam in found.seams] == [(0, 1, "C"), (1, 2, "A")]
    assert found.seams[0].residual == pytest.approx((27.0, 0.0, -0.5))
    assert found.residual == pytest.approx(np.sqrt(np.mean(np.square([27.0, 0.0, -0.5, -1.5, 0.0, -0.5]))))
    assert found.frames == report(30.0, 0.1).frames and report(1.0).frames == ()  # named from C on
    assert report(5.4, error=2.7).grade == "A"  # nobody knows
    assert report(0.1, ripple=2.0).visible == pytest.approx(0.2)  # what turns its sign along the seam shows as well


def test_a_panel_of_few_subs_hides_more() -> None:
    thin = replace(GROUPS[1], frames=(4,))
    found = seam_report(FRAMES, [GROUPS[0], thin, GROUPS[2]], matched(5.4), MEASURED, SOLUTIONS)
    assert found is not None and found.visible == pytest.approx(0.25)


def within(sets: tuple[str, str], step: float = 2.0) -> tuple[SeamReport, list[Frame]]:
    """Frames 0 and 1 of panel 0 are those of another telescope than 2 and 3."""
    frames = [replace(f, telescope="S30" if f.id < 2 else "S50", date_obs="2025-01-14T23:30:00") for f in FRAMES]
    found = replace(
        matched(), overlaps=(Overlap(0, 0, 40, (step, 0.0, 0.0), (0.1,) * 3, (0.0,) * 3, sets),), sets=sets_of(frames)
    )
    report = seam_report(frames, GROUPS, found, MEASURED, SOLUTIONS)
    assert report is not None
    return report, frames


def test_a_telescope_that_ends_within_a_panel_is_graded_by_its_own_noise(tmp_path: Path) -> None:
    """Two subs of 20 ADU make a pixel of 14.1 ADU; the others of the panel are as many."""
    sets = 'S30 2.4" 2025-01-14', 'S50 2.4" 2025-01-14'
    for second in (sets[1], ""):
        report, frames = within((sets[0], second), 8.0)
        assert report.visible == pytest.approx(7.8 / (20.0 / np.sqrt(2.0))) and report.grade == "C"
        assert report.seams[0].sets == (sets[0], second) and report.frames[0] == "sub3.fit"
    preview = tmp_path / "zemosaic_MT3_R12_preview.png"
    write_seams(report, preview, GRID, GROUPS, frames, SOLUTIONS)
    told = json.loads((tmp_path / "zemosaic_MT3_R12_seams.json").read_text())
    assert told["seams"][0]["sets"] == [sets[0], ""]
    with Image.open(tmp_path / "zemosaic_MT3_R12_seams.png") as picture:
        orange = np.all(np.asarray(picture.convert("RGB")) == COLOURS["C"], axis=-1)[:-LEGEND]
    rows, columns = (np.flatnonzero(orange.any(axis=k)) for k in (1, 0))
    assert np.ptp(rows) > 200 and np.ptp(columns) > 200  # around the telescope, no line between panels


def test_nights_have_the_date_of_their_evening() -> None:
    frame = replace(FRAMES[0], telescope="S30")
    evening, morning, unknown = (
        replace(frame, id=k, date_obs=at) for k, at in enumerate(("2025-01-14T23:30:00", "2025-01-15T04:00:00.5", ""))
    )
    assert [*sets_of([evening, morning, unknown]).values()] == ['S30 2.4" 2025-01-14'] * 2 + ['S30 2.4"']


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "within panel 1, where S30 meets the others"),
        ("fr", "dans le panneau 1, à la limite entre S30 et les autres"),
    ],
)
def test_a_seam_within_a_panel_is_told_by_its_telescope(language: str, words: str) -> None:
    line = Sentences(Messages(language), None).line(SeamsGraded("B", 0.2, 1, 1, 1, 2.0, (), ("S30", "")))
    assert line is not None and words in line


def test_a_bad_one_names_its_frames() -> None:
    found = report(30.0, 0.1)
    assert found.grade == "D" and found.frames == ("sub5.fit", "sub7.fit", "sub6.fit", "sub4.fit", "sub3.fit")


def test_a_seam_of_which_nothing_is_known_has_no_grade() -> None:
    with pytest.raises(ValueError, match="nothing is known"):
        grade_of(float("nan"))
    both, unknown = matched(5.4, 0.1), (float("nan"),) * 3
    silent = replace(both.overlaps[1], difference=unknown)
    found = seam_report(FRAMES, GROUPS, replace(both, overlaps=(silent, both.overlaps[0])), MEASURED, SOLUTIONS)
    assert found is not None and found.grade == "C" and [(s.first, s.second) for s in found.seams] == [(0, 1)]
    assert seam_report(FRAMES, GROUPS, replace(both, overlaps=(silent,)), MEASURED, SOLUTIONS) is None


def test_without_overlaps_there_is_nothing_to_grade() -> None:
    assert seam_report(FRAMES, GROUPS, matched(), MEASURED, SOLUTIONS) is None


def test_the_summary_begins_with_a_bad_grade(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    from zemosaic.events import Made, RunFinished

    for language, word in (("en", "bad: a step shows"), ("fr", "mauvais")):
        lines = PlainLines(sys.stdout, Messages(language), None)
        lines.emit(ManyLeftOut(20, 60, (("clouded", 20),)))
        lines.emit(SeamsGraded("D", 2.5, 0, 1, 2, 9.0, ("a.fit", "b.fit")))
        capsys.readouterr()
        lines.emit(RunFinished((Made("", Path("m.fits"), Path("p.png"), 12),), 0, 1.0))
        lost, first, *rest = capsys.readouterr().out.splitlines()
        assert "20" in lost and "60" in lost and word in first and rest[:2] == ["  a.fit", "  b.fit"]
        assert ("2,50" if language == "fr" else "2.50") in first


def test_a_warning_names_its_mosaic() -> None:
    for language, words in (("en", "20 of 60 lights of M 27 LP"), ("fr", "20 brutes sur 60 de M 27 LP")):
        line = Sentences(Messages(language), None).line(ManyLeftOut(20, 60, (("clouded", 20),), "M 27 LP"))
        assert line is not None and words in line


def test_the_summary_says_that_a_vignetting_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    from zemosaic.events import Made, RunFinished, Vignetting

    for language, word in (("en", "flats show it"), ("fr", "flats le révèlent")):
        lines = PlainLines(sys.stdout, Messages(language), None)
        for corners, error in ((88.0, 4.0), (math.nan, 0.8), (math.nan, 7.0)):
            lines.emit(Vignetting("S50", corners, error))
        *_, none, unknown = capsys.readouterr().out.splitlines()
        assert word in unknown and ("7,0" if language == "fr" else "7.0") in unknown and word not in none
        lines.emit(RunFinished((Made("", Path("m.fits"), Path("p.png"), 12),), 0, 1.0))
        end = capsys.readouterr().out.splitlines()[0]
        assert word in end and "S50" in end and len(end) < 0.6 * len(unknown)


def test_telescopes_of_unknown_vignetting_share_a_warning_under_their_short_names() -> None:
    from zemosaic.events import Vignetting, together
    from zemosaic.model import short_names

    long = (
        "S50_1d3fe189 2.90um 250mm 1x1 1080x1920",
        "S50_12d98769 2.90um 250mm 1x1 1080x1920",
        "my scope 2x2 540x960",
    )
    short = short_names(long)
    assert list(short.values()) == ["S50_1d3fe189", "S50_12d98769", "my scope"]
    alike = ("S30 2.90um 150mm 1x1 1080x1920", "S30 2.90um 160mm 1x1 1080x1920")
    assert short_names(alike) == {each: each for each in alike}
    found = together(
        [Vignetting(short[long[0]], math.nan, 2.5), Vignetting("S30", 88.0, 0.4), Vignetting("my scope", math.nan, 3.0)]
    )
    assert [each.instrument for each in found] == ["S50_1d3fe189, my scope", "S30"] and found[0].error == 3.0


def test_a_pedestal_is_told_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    from zemosaic.events import Vignetting

    for language, word in (("en", "without light"), ("fr", "sans lumière")):
        lines = PlainLines(sys.stdout, Messages(language), None)
        lines.emit(Vignetting("S50", 88.0, 0.3, 772.4, 11.6))
        lines.emit(Vignetting("S30", 88.0, 0.3))
        raised, plain = capsys.readouterr().out.splitlines()
        assert "772 +- 12 ADU" in raised and word in raised and word not in plain


def test_no_label_lies_on_another_where_four_panels_meet() -> None:
    """The diagonals cross in the middle of the map, and so did their labels."""
    draw, font = ImageDraw.Draw(Image.new("RGB", (1400, 1400))), ImageFont.load_default(size=18)
    middles = {0: (400.0, 400.0), 1: (1000.0, 400.0), 2: (400.0, 1000.0), 3: (1000.0, 1000.0)}
    seam = report(30.0, 0.1).seams[0]
    pairs = [(0, 3), (1, 2), (0, 1), (0, 2), (1, 3), (2, 3)]
    lines = [(replace(seam, first=a, second=b), middles[a], middles[b]) for a, b in pairs]
    found = labels(lines, middles, lambda place, text: draw.textbbox(place, text, font, "mm"))
    assert len(found) == 10
    for (_, _, one), (_, _, other) in itertools.combinations(found, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert found[4][0] == (700.0, 700.0)  # the worst has the first choice


def test_files_beside_the_mosaic(tmp_path: Path) -> None:
    preview = tmp_path / "zemosaic_MT3_R12_preview.png"
    write_seams(report(30.0, 0.1), preview, GRID, GROUPS, FRAMES, SOLUTIONS)
    told = json.loads((tmp_path / "zemosaic_MT3_R12_seams.json").read_text())
    assert told["grade"] == "D" and told["seams"][0]["step"][0] == 30.0 and told["grades"]["B"]["visible"] == 0.3
    with Image.open(tmp_path / "zemosaic_MT3_R12_seams.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    red, green = (
        np.all(pixels == colour, axis=-1).any(axis=0).nonzero()[0] for colour in ((205, 35, 35), (40, 150, 70))
    )
    lines = [columns[columns > 0] for columns in (red, green)]
    # east is left: panel 2 lies left of panel 1, the good seam left of the bad one
    assert np.median(pixels.shape[1] - lines[0]) < np.median(pixels.shape[1] - lines[1])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_seams(report(30.0, 0.1), preview, GRID, GROUPS, FRAMES, SOLUTIONS)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_window_within_an_outline_shows_the_sides_that_cross_it() -> None:
    """A mosaic that is cut off has the figure of its seam within it, or none."""
    square = [
        (0.0, 0.0),
        (50.0, 0.0),
        (100.0, 0.0),
        (100.0, 50.0),
        (100.0, 100.0),
        (50.0, 100.0),
        (0.0, 100.0),
        (0.0, 50.0),
    ]
    assert side_shown(square, (-1.0, -1.0, 200.0, 200.0)) == ((0.0, 0.0), (100.0, 0.0))
    assert side_shown(square, (60.0, 20.0, 300.0, 80.0)) == ((100.0, 20.0), (100.0, 80.0))
    assert side_shown(square, (20.0, 20.0, 80.0, 80.0)) is None
    assert cut((-10.0, 5.0), (10.0, 5.0), (0.0, 0.0, 4.0, 9.0)) == ((0.0, 5.0), (4.0, 5.0))
    assert cut((-10.0, 5.0), (10.0, 5.0), (0.0, 6.0, 4.0, 9.0)) is None
