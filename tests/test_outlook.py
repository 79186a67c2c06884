"""What headers tell before a run, beside what the run then finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nights import FIELD, Recorder, assembled, rewrite, simulated
from zemosaic.errors import InputError
from zemosaic.events import Forecast, Outturn, Planned, Silent
from zemosaic.folders import existing_parent, why_no_output
from zemosaic.forecast import COMPILED_IN
from zemosaic.messages import Messages, sentence
from zemosaic.model import Grid, Solution
from zemosaic.outlook import _nights, layouts, look_ahead, look_at_headers, panels_ahead
from zemosaic.recipes import ANEW, layout_told
from zemosaic.settings import Settings

SETTINGS = Settings(num_processing_workers=1, memory_limit=2.0)


def test_headers_foresee_what_the_run_finds(tmp_path: Path) -> None:
    night = simulated(tmp_path / "night", replace(FIELD, panels_x=2, subs=8))
    lights = look_at_headers([night.lights], tmp_path / "out", SETTINGS, Silent())
    assert len(lights.frames) == 8 and lights.targets == (("Sim 1", 8),) and lights.filters == (("IRCUT", 8),)
    assert lights.exposure == 80.0 and lights.single == (10.0,) and lights.nights == 1 and lights.others == 0
    before = look_ahead(lights, tmp_path / "out", SETTINGS)
    assert before is not None and before.mosaics == 1 and before.known == 0 and before.free_disk > 0
    large = {"picture_tiff": True, "picture_jpeg": True, "picture_zoom": True}
    with_pictures = look_ahead(lights, tmp_path / "out", SETTINGS.model_copy(update=large))
    recorder = Recorder()
    assembled(night.lights, tmp_path / "out", recorder, **large)
    plan = next(outcome for outcome in recorder.outcomes if isinstance(outcome, Planned))
    told = next(event for event in recorder.events if isinstance(event, Forecast))
    took = next(event for event in recorder.events if isinstance(event, Outturn))
    assert before.width * before.height == pytest.approx(plan.width * plan.height, rel=0.4)  # without the rotation
    assert before.memory == pytest.approx(told.memory, rel=0.3)
    assert before.disk == pytest.approx(took.disk, rel=0.5)
    assert with_pictures is not None
    pixels = 1e-6 * before.width * before.height
    assert with_pictures.disk - before.disk == pytest.approx(12.33 * pixels / 1.048576, rel=0.01)
    assert told.disk > took.disk
    assert before.least < before.most
    after = look_ahead(lights, tmp_path / "out", SETTINGS)
    assert after is not None and after.known == 8 and after.most < after.least * 2.1
    assert before.told == after.told == ()
    for change in ({"output_rotation": "30"}, {"output_projection": "ZEA"}, {"output_scale": 7.0}):
        changed = look_ahead(lights, tmp_path / "out", SETTINGS.model_copy(update=change))
        assert changed is not None and changed.told == (ANEW,)
    new = look_ahead(lights, None, SETTINGS.model_copy(update={"output_rotation": "30", "output_size": "99"}))
    assert (
        new is not None and len(new.told) == 1 and new.told[0].startswith("the window of output_center and output_size")
    )


def test_a_computer_that_has_compiled_nothing_yet_is_given_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = simulated(tmp_path / "night", replace(FIELD, subs=2))
    lights = look_at_headers([night.lights], tmp_path / "out", SETTINGS, Silent())
    told = {}
    for compiled in (True, False):
        monkeypatch.setattr("zemosaic.outlook.is_compiled", lambda _, compiled=compiled: compiled)
        told[compiled] = look_ahead(lights, None, SETTINGS)
    assert told[True] is not None and told[False] is not None and told[True].compiling == 0.0
    assert told[False].compiling > COMPILED_IN and told[False].least == told[True].least
    assert told[False].most == pytest.approx(told[True].most + told[False].compiling)


def test_without_positions_nobody_knows(tmp_path: Path) -> None:
    night = simulated(tmp_path / "night", replace(FIELD, subs=2))
    from astropy.io import fits

    for path in night.subs:
        rewrite(path, fits.getdata(path), RA=None, DEC=None)
    lights = look_at_headers([night.lights], tmp_path / "out", SETTINGS, Silent())
    assert len(lights.frames) == 2 and look_ahead(lights, tmp_path / "out", SETTINGS) is None
    assert panels_ahead(lights.frames, SETTINGS) == {}


@pytest.mark.parametrize("hour", [0, 7, 12, 20])
def test_nights_are_parted_by_days_wherever_on_earth(hour: int) -> None:
    begin = datetime(2025, 3, 1, hour)
    dates = [(begin + timedelta(days=day, minutes=20 * k)).isoformat() for day in range(3) for k in range(25)]
    assert _nights(dates[::-1]) == 3 and _nights([]) == 0 and _nights(dates[:1]) == 1


def test_what_is_chosen_of_the_pixels_is_told(tmp_path: Path) -> None:
    night = simulated(tmp_path / "night", replace(FIELD, subs=1))
    frames = look_at_headers([night.lights], tmp_path / "out", SETTINGS, Silent()).frames
    places = {frames[0].id: Solution(100.0, 40.0, 179.5, 239.5, (-6.0 / 3600, 0.0, 0.0, 6.0 / 3600))}
    grid = Grid(100.0, 40.0, 5.0 / 3600, 500, 600, 250.0, 300.0, "ZEA", 12.345)
    along = SETTINGS.model_copy(update={"output_rotation": "frames"})
    told = list(layout_told(along, grid, frames, places))
    assert [next(word for word in ("laid out in ZEA", "5.00 arcsec", "+12.3 degrees") if word in text) for text in told]
    assert len(told) == 3 and all(sentence(text, Messages("fr")) != text for text in told)


def test_folders_that_are_no_output(tmp_path: Path) -> None:
    lights, out = tmp_path / "lights", tmp_path / "out"
    lights.mkdir()
    (lights / "a.fit").touch()
    assert "input and output at once" in why_no_output([lights], lights)
    assert "swapped" in why_no_output([tmp_path / "other"], lights)
    assert why_no_output([lights], out) == "" and existing_parent(out / "deep" / "er") == tmp_path
    (lights / "zemosaic_workspace").mkdir()
    assert why_no_output([tmp_path / "other"], lights) == ""
    with pytest.raises(InputError):
        look_at_headers([tmp_path / "nowhere"], out, SETTINGS, Silent())


def test_targets_outside_of_the_window_have_no_plan_and_filters_share_a_grid(tmp_path: Path) -> None:
    from astropy.io import fits

    night = simulated(tmp_path / "night", replace(FIELD, subs=4, width=96, height=64))
    header = fits.getheader(night.subs[0])
    for path, new in zip(night.subs[1:], ({"FILTER": "LP", "RA": header["RA"] + 0.01}, {"RA": header["RA"] - 90.0})):
        rewrite(path, fits.getdata(path), **new)
    settings = SETTINGS.model_copy(
        update={"output_center": f"{header['RA']} {header['DEC']:+}", "output_size": "200 x 160"}
    )
    lights = look_at_headers([night.lights], tmp_path / "out", SETTINGS, Silent())
    assert len({each.plan.grid for each in layouts(lights, SETTINGS)}) == 2  # of two targets, one with two filters
    planned = layouts(lights, settings)
    assert sorted(each.filter for each in planned) == ["IRCUT", "LP"]
    assert len({each.plan.grid for each in planned}) == 1 and look_ahead(lights, None, settings) is not None
    with pytest.raises(InputError, match=r"none of the \d frames, .*; .*none of the \d frames"):
        layouts(lights, settings.model_copy(update={"output_center": "5 -80"}))
