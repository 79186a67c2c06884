"""What Windows would refuse, tried where it is not: names of files and folders, long paths, spawned processes.

Windows takes no `<>:"/\\|?*`, no name that ends in a dot or a space, no CON, NUL, COM1 ... with or without an ending, and, unless
long paths are switched on, no path of 260 characters.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from nights import FIELD, assembled, simulated
from zemosaic.filters import LONGEST_LABEL, filter_label
from zemosaic.ledger import WORKSPACE
from zemosaic.names import end_of
from zemosaic.targets import LONGEST_NAME, folder_name

DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
ROOM = 150  # characters of a path below OUTPUT: leaves 110 for OUTPUT itself


def windows_takes(name: str) -> bool:
    return not (
        re.search(r'[<>:"/\\|?*\x00-\x1f]', name) or name != name.rstrip(". ") or DEVICES.fullmatch(name) or not name
    )


@given(
    st.text(max_size=100)
    | st.sampled_from(["CON", "nul.fits", "aux .x", "COM1", "M 31.", "a/b", "x: y", "..", "C:\\x", "LPT9"])
)
def test_folders_of_targets(text: str) -> None:
    name = folder_name(text)
    assert name == "" or (windows_takes(name) and len(name) <= LONGEST_NAME + 1)
    path = PureWindowsPath("C:\\mosaics") / (name or "x")
    assert len(path.parts) == 3 and not path.is_reserved()


@given(st.text(max_size=100))
def test_filters_in_names_of_files(text: str) -> None:
    label = filter_label(text)
    assert windows_takes(f"zemosaic_MT1_R2_{label}.fits") and 0 < len(label) <= LONGEST_LABEL


def test_long_filters_that_begin_alike_stay_apart() -> None:
    names = [f"Antlia 3 nm narrowband filter of the second telescope, number {n}" for n in range(3)]
    assert len({filter_label(name) for name in names}) == 3 and filter_label(names[0]) == filter_label(names[0])


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.integers(1, 200))
def test_the_end_of_a_name_is_short_enough_in_bytes(name: str, most: int) -> None:
    end = end_of(name, most)
    assert name.endswith(end) and len(end.encode()) <= most and (end == name or len(end.encode()) > most - 4)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subs with the longest names, in a path of more than 260 characters, of an object and a filter that Windows dislikes."""
    lights = simulated(tmp_path_factory.mktemp("night"), replace(FIELD, subs=3)).lights
    deep = lights.joinpath(*["a folder of somebody who likes long names" * 2] * 3)
    deep.mkdir(parents=True)
    for path in lights.glob("*.fit"):
        with fits.open(path, mode="update", output_verify="silentfix") as opened:
            opened[0].header["OBJECT"] = ("CON: the nebula? of <somebody> with a very long name. .", "")
            opened[0].header["FILTER"] = ("A filter / of \\ somebody: with a long name, too. NUL", "")
        path.rename(deep / f"{'x' * (250 - len(path.name))}{path.name}")
    return lights


def test_all_that_a_run_writes_has_names_and_paths_that_windows_takes(night: Path, tmp_path: Path) -> None:
    assert all(len(str(path)) > 260 for path in night.rglob("*.fit"))
    out = tmp_path / "out"
    outputs = assembled(night, out, fits_compression=True, rejection_maps=True, report=True, coadd_cleanup_memmap=False)
    assert outputs.mosaic.is_file() and len(list((out / WORKSPACE / "wcs").iterdir())) == 3
    written = [path.relative_to(out) for path in out.rglob("*")]
    assert len(written) > 20
    assert [str(path) for path in written if not all(windows_takes(part) for part in path.parts)] == []
    of_all = (
        "frames",
        "sensors",
        "wcs",
    )  # parts of the workspace that targets share; else each has a folder of its own
    shared = [path for path in written if path.parts[0] == WORKSPACE and path.parts[1:2] and path.parts[1] in of_all]
    assert max(len(str(path)) for path in shared) <= ROOM
    assert max(len(str(path)) for path in set(written) - set(shared)) <= ROOM - LONGEST_NAME - 1
    assert len({str(path).casefold() for path in written}) == len(written), "capitals do not tell files apart"
