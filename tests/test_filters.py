"""Filters: their names, what goes together, and mosaics of each on the same pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import FIELD, Recorder, all_assembled, rows, simulated
from star_lists import frame_at
from zemosaic.events import FiltersFound, Note, RunFinished, TargetFailed, Unchanged, Warned
from zemosaic.filters import by_filter, filter_from_name, filter_label, is_dual_band, normal_filter
from zemosaic.ledger import WORKSPACE, Ledger
from zemosaic.model import FrameState
from zemosaic.settings import Settings
from zemosaic.survey import Survey
from zemosaic.targets import Target


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("IRCUT", "IRCUT"),
        ("IR/UV cut", "IRCUT"),
        ("UV/IR Cut", "IRCUT"),
        ("LP", "LP"),
        (" lp ", "LP"),
        ("Duo-Band", "Duo-band"),
        ("dual band", "Duo-band"),
        ("Duoband", "Duo-band"),
        ("L-eXtreme", "L-eXtreme"),
        ("Optolong L-eNhance", "L-eNhance"),
        ("H-alpha", "Ha"),
        ("O3", "OIII"),
        ("None", ""),
        ("", ""),
        ("My  own filter", "My own filter"),
    ],
)
def test_names_that_mean_the_same_become_one(written: str, normal: str) -> None:
    assert normal_filter(written) == normal
    assert normal_filter(normal) == normal


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Light_mosaic_M 31_10.0s_LP_20250114-211500.fit", "LP"),
        ("Light_M 94_10.0s_IRCUT_20250326-212046.fit.gz", "IRCUT"),
        ("Light_LP 944-20_20.0s_IRCUT_20250326-212046.fit", "IRCUT"),
        ("Light_LP_944_20.0s_20250326-212046.fit", ""),
        ("M 31_0001.fits", ""),
        ("Light_1069.fits", ""),
    ],
)
def test_the_name_of_a_file_tells_where_the_header_does_not(file: str, name: str) -> None:
    assert filter_from_name(file) == name


def test_dual_band_and_labels() -> None:
    assert [is_dual_band(name) for name in ("LP", "Duo-band", "L-Ultimate", "IRCUT", "Ha", "")] == [True] * 3 + [
        False
    ] * 3
    assert [filter_label(name) for name in ("LP", "", "IRCUT+Astro", "My own/filter")] == [
        "LP", "no-filter", "IRCUT+Astro", "My-own-filter",
    ]  # fmt: skip


def parts(*names: str) -> dict[str, list[int]]:
    frames = [replace(frame_at(), id=k, filter=name) for k, name in enumerate(names)]
    return {label: [f.id for f in members] for label, members in by_filter(frames)}


def test_what_shares_a_mosaic() -> None:
    assert parts("LP", "IRCUT", "LP") == {"LP": [0, 2], "IRCUT": [1]}
    assert parts("IRCUT", "Astro", "IRCUT") == {"IRCUT+Astro": [0, 1, 2]}
    assert parts("", "LP") == {"LP": [0, 1]}  # there is nothing else that it could be
    assert parts("", "LP", "IRCUT") == {"no-filter": [0], "LP": [1], "IRCUT": [2]}
    assert parts("", "") == {"no-filter": [0, 1]}


def test_targets_without_emission_lines_are_named_in_one_line(tmp_path: Path) -> None:
    targets = [Target(name, 0.0, 0.0, (replace(frame_at(), filter=name),)) for name in ("LP", "IRCUT", "UV")]
    with Ledger(tmp_path) as ledger:
        for chosen, said in (
            (targets, [(Note, "of IRCUT, UV, taken without a dual-band filter")]),
            (targets[1:], [(Warned, "of subs through IRCUT, UV")]),
            (targets[:1], []),
        ):
            recorder = Recorder()
            Survey(ledger, Settings(dual_band="ha_oiii"), recorder).tell_of_lines(chosen)
            assert [type(event) for event in recorder.events] == [kind for kind, _ in said]
            assert all(words in event.text for event, (_, words) in zip(recorder.events, said, strict=True))


# ---- for real


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six subs: two through IRCUT, two say LP in the header, two in the name only."""
    lights = simulated(tmp_path_factory.mktemp("filters"), FIELD).lights
    for number, path in enumerate(sorted(lights.iterdir())):
        if number % 3:
            fits.setval(path, "FILTER", value="LP" if number % 3 == 1 else "")
            path.rename(path.with_name(path.name.replace("IRCUT", "LP")))
    return lights


@pytest.fixture(scope="module")
def apart(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    recorder, output = Recorder(), tmp_path_factory.mktemp("apart")
    return all_assembled(folder, output, recorder, report=True), recorder, output


def test_filters_make_mosaics_of_their_own_on_the_same_pixels(apart) -> None:
    outputs, recorder, output = apart
    assert [o.mosaic.name for o in outputs] == ["zemosaic_MT1_R2_IRCUT.fits", "zemosaic_MT1_R4_LP.fits"]
    assert all(path.parent == output and path.is_file() for o in outputs for path in vars(o).values() if path)
    broad, narrow = (fits.getheader(o.mosaic) for o in outputs)
    grid = ("NAXIS1", "NAXIS2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1")
    assert [broad[k] for k in grid] == [narrow[k] for k in grid]
    assert (broad["FILTER"], narrow["FILTER"]) == ("IRCUT", "LP")
    assert [e.filters for e in recorder.events if isinstance(e, FiltersFound)] == [(("IRCUT", 2), ("LP", 4))]
    (end,) = [e for e in recorder.events if isinstance(e, RunFinished)]
    assert [(m.name, m.used) for m in end.mosaics] == [("IRCUT", 2), ("LP", 4)]
    assert {row.state for row in rows(output)} == {FrameState.USED}
    assert (output / WORKSPACE / "mosaic").is_dir()
    assert np.nanmax(fits.getdata(outputs[0].coverage)) == 2 and np.nanmax(fits.getdata(outputs[1].coverage)) == 4


def test_each_filter_has_a_report_of_its_own_frames(apart) -> None:
    _, recorder, _ = apart
    (end,) = [e for e in recorder.events if isinstance(e, RunFinished)]
    reports = [json.loads(m.report.with_suffix(".json").read_text()) for m in end.mosaics]
    assert [r["title"] for r in reports] == ["Sim 1 · IRCUT", "Sim 1 · LP"]
    assert [len(r["frames"]) for r in reports] == [2, 4]
    assert all(f["state"] == "used" for r in reports for f in r["frames"])


def test_again_nothing_is_made(apart, folder: Path) -> None:
    recorder = Recorder()
    assert all_assembled(folder, apart[2], recorder) == apart[0]
    assert [o for o in recorder.outcomes if isinstance(o, Unchanged)] == [Unchanged(2), Unchanged(4)]


def test_together_they_make_one(folder: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    (outputs,) = all_assembled(folder, tmp_path, recorder, filters="together")
    assert outputs.mosaic.name == "zemosaic_MT1_R6.fits"
    assert fits.getheader(outputs.mosaic)["FILTER"] == "LP, IRCUT"
    assert not [e for e in recorder.events if isinstance(e, FiltersFound | TargetFailed)]
