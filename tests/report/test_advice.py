"""What would improve a mosaic follows from its own figures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from reports import GRID, PANELS, SEAMS, clouded, line

from zemosaic.messages import LANGUAGES
from zemosaic.model import Solution
from zemosaic.report.advice import LOST, advice
from zemosaic.report.chapters import sentence
from zemosaic.report.values import FrameLine, Maps, PanelDepth
from zemosaic.report.words import Words

SCALE = 2.4 / 3600.0
SOLVED = SimpleNamespace(
    frame=SimpleNamespace(width=600, height=800), solution=Solution(10.0, 40.0, 300.0, 400.0, (-SCALE, 0.0, 0.0, SCALE))
)


def source(**changes: object) -> Any:
    given = {"grid": GRID, "rows": (SOLVED,), "seams": None, "vignettes": (), "preview": Path("x")}
    return SimpleNamespace(**(given | changes))


def told(
    frames: Any = (), panels: tuple[PanelDepth, ...] = (), weight: Any = None, **changes: object
) -> dict[str, Any]:
    full = np.ones((450, 600)) if weight is None else weight
    found = advice(source(**changes), list(frames), panels, Maps(2, full, None, None))
    for each in found:
        for language in LANGUAGES:  # each has its words
            assert "{" not in sentence(each, Words(language))
    return {each.key: dict(each.values) for each in found}


def test_the_shallowest_panel_comes_next_with_the_time_that_evens_it_out() -> None:
    found = told(map(line, range(4)), PANELS)
    assert found["next_panel"] == {
        "panel": 1, "ra": PANELS[1].ra, "dec": 40.0, "share": 50.0, "deepest": 0, "time": pytest.approx(50.0),
    }  # fmt: skip
    assert "even" not in found and "even_out" not in found  # the others are deep enough
    two = (*PANELS[:3], replace(PANELS[3], deep=0.25, missing=150.0))
    assert told((), two)["next_panel"]["panel"] == 3
    assert told((), two)["even_out"] == {"panels": 2, "of": 4, "time": pytest.approx(200.0)}


def test_without_exposures_the_time_is_not_made_up() -> None:
    untimed = tuple(replace(p, missing=math.nan) for p in PANELS)
    found = told([line(0, exposure=math.nan)], untimed)
    assert found["next_panel.untimed"]["panel"] == 1 and "even_out" not in found and "deeper" not in found


def test_even_panels_are_told_to_be_even() -> None:
    found = told((), (PANELS[0], PANELS[2], PANELS[3]))
    assert found["even"] == {"panels": 3, "share": pytest.approx(85.0)} and "next_panel" not in found


def test_a_missing_panel_is_named_by_its_place() -> None:
    weight = np.ones((450, 600))
    weight[100:300, 350:550] = 0.0
    found = told(weight=weight)["gap"]
    # 450 blocks of 2 px from the left is x = 900, 200 from the top y = 500: west and north of the grid's middle
    assert found["ra"] == pytest.approx(10.0 - 300 * SCALE / math.cos(math.radians(40.0)), abs=0.01)
    assert found["dec"] == pytest.approx(40.0 + 50 * SCALE, abs=0.01) and found["share"] > 10.0
    assert "gap" not in told()


def test_frames_lost_to_clouds_count_with_their_night() -> None:
    lost: list[FrameLine] = [clouded(k) for k in range(3)]
    found = told([*map(line, range(9)), *lost, line(20, state="trailed")])
    assert found["clouded"] == {
        "lost": 3, "share": pytest.approx(300 / 13), "time": 30.0, "night": "2025-06-15", "count": 3,
    }  # fmt: skip
    assert found["lost.trailed"]["lost"] == 1


def test_every_loss_has_its_words() -> None:
    found = told([line(k, state=state.value, date_obs="") for k, state in enumerate(LOST)] + [line(9)])
    assert {key for key in found if key.startswith(("lost", "clouded"))} == {
        "clouded", "lost.trailed", "lost.too_few_stars", "lost.unsolved", "lost.false_solution",
    }  # fmt: skip
    undated = told([replace(clouded(1), time=math.nan)])
    assert undated["lost.clouded"]["lost"] == 1


def test_good_conditions_are_worth_more() -> None:
    frames = [line(k, weight=3.0 if k >= 17 else 1.0) for k in range(20)]
    assert told(frames)["conditions.one_night"] == {"factor": pytest.approx(3.0)}
    later = [replace(f, time=f.time + 86_400.0) if k >= 17 else f for k, f in enumerate(frames)]
    assert told(later)["conditions"] == {"factor": pytest.approx(3.0), "night": "2025-06-16"}
    assert not {"conditions", "conditions.one_night"} & {*told(map(line, range(20)))}


def test_bad_seams_and_unknown_vignetting() -> None:
    assert "seam" not in told(seams=SEAMS)
    bad = replace(SEAMS, grade="D", seams=(replace(SEAMS.seams[0], grade="D", visible=3.0),))
    found = told(seams=bad, vignettes=("S50", "S30"))
    where = {"first": 0, "second": 1, "first set": "", "second set": ""}
    assert found["seam"] == {"grade": "D", "visible": 3.0} | where
    assert found["vignetting"] == {"instrument": "S50, S30"}
