"""A level that is there without light, which no header tells: the mosaic is as flat as without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nights import BRIGHT, assembled, rows, simulated
from zemosaic.score import score
from zemosaic.score.corrections import judge_corrections
from zemosaic.simulate import load_truth

PLAN = replace(BRIGHT, panels_x=2, panels_y=2, overlap=0.3, subs=24, satellites=0.0, seed=3, pedestal=900.0)


def test_the_background_is_flat_whatever_the_camera_adds(tmp_path: Path) -> None:
    """That none is found where there is none: `test_pipeline`."""
    night = simulated(tmp_path / "night", PLAN)
    outputs = assembled(night.lights, tmp_path / "out")
    corrections = {row.path.name: row.correction for row in rows(tmp_path / "out") if row.correction}
    found = {round(each.pedestal, 3) for each in corrections.values()}
    assert len(found) == 1 and found.pop() == pytest.approx(900.0, abs=40.0)
    judged = judge_corrections(load_truth(night.truth), corrections)
    assert judged.vignetting < 0.25 and judged.zonal < 8.0
    assert judged.background < 5.0  # of so small a night; a third of the nebula with the pedestal left in
    figures = {metric.name: metric.value for metric in score(outputs.mosaic, night.truth).metrics}
    assert figures["background, rms"] < 5.0
