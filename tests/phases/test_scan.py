"""What the scan makes of a folder: lights, and a state and a sentence for everything else."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits as astropy_fits

from zemosaic.errors import Cancelled, InputError
from zemosaic.events import Event, PhaseProgress, Silent, Warned
from zemosaic.fits import read_raw
from zemosaic.imaging.projection import angular_separation
from zemosaic.model import FrameKind, FrameState, LeftOut
from zemosaic.phases.scan import ScanResult, scan

CARDS = {
    "EXPTIME": 10.0,
    "IMAGETYP": "Light",
    "TELESCOP": "S50_12d98769",
    "CREATOR": "ZWO Seestar S50",
    "BAYERPAT": "GRBG",
    "RA": 192.995835,
    "DEC": 40.978611,
    "XPIXSZ": 2.9,
    "FOCALLEN": 250,
}


class Recorder(Silent):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def pixels(seed: int, shape: tuple[int, ...] = (80, 72)) -> np.ndarray:
    return np.random.default_rng(seed).integers(80, 200, shape, dtype=np.uint16)


def header(second: int = 0, drop: tuple[str, ...] = (), **more: object) -> astropy_fits.Header:
    values = {**CARDS, "DATE-OBS": f"2025-04-09T20:56:{second:02d}.626888", **more}
    return astropy_fits.Header([(key, value) for key, value in values.items() if key not in drop])


def sub(
    path: Path, seed: int = 0, *, data: np.ndarray | None = None, drop: tuple[str, ...] = (), **more: object
) -> Path:
    """A light; its pixels and its DATE-OBS follow from the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = pixels(seed) if data is None else data
    astropy_fits.PrimaryHDU(data, header(seed, drop, **more)).writeto(path)
    return path


def run(*inputs: Path, output: Path = Path("nowhere") / "out", reporter: Silent | None = None) -> ScanResult:
    return scan(inputs, output, reporter or Silent())


def only(result: ScanResult) -> LeftOut:
    assert len(result.left_out) == 1, result.left_out
    what = result.left_out[0]
    assert what.reason.endswith(".") and what.reason[0].isupper() and str(what.path) not in what.reason
    return what


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One good light, so that a scan has something to return."""
    sub(tmp_path / "in" / "Light_a.fit", 0)
    return tmp_path / "in"


def test_frames_come_in_order_of_date_then_name(tmp_path):
    sub(tmp_path / "b" / "Light_1.fit", 3)
    sub(tmp_path / "a" / "night" / "Light_2.FITS", 1)
    sub(tmp_path / "a" / "Light_0.fts", 2)
    sub(tmp_path / "a" / "Light_9.fit", 9, drop=("DATE-OBS",))
    result = run(tmp_path / "b", tmp_path / "a")
    assert [f.path.name for f in result.frames] == ["Light_2.FITS", "Light_0.fts", "Light_1.fit", "Light_9.fit"]
    assert [f.id for f in result.frames] == [0, 1, 2, 3]
    assert run(tmp_path / "a", tmp_path / "b") == result
    assert {f.instrument for f in result.frames} == {"S50_12d98769 2.90um 250mm 1x1 72x80"}


def test_single_files_and_overlapping_inputs_count_once(folder):
    result = run(folder / "Light_a.fit", folder, folder)
    assert len(result.frames) == 1 and not result.left_out


def test_links_hidden_files_and_other_files(folder):
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "Light_link.fit").symlink_to(folder / "Light_a.fit")
    (folder / "._Light_a.fit").write_bytes(b"macOS")
    (folder / ".hidden").mkdir()
    sub(folder / ".hidden" / "Light_b.fit", 1)
    (folder / "Light_a.jpg").write_bytes(b"thumbnail")
    result = run(folder)
    assert len(result.frames) == 1 and not result.left_out


@pytest.mark.parametrize(
    ("name", "cards", "drop", "kind", "master"),
    [
        ("x.fit", {"IMAGETYP": "Dark Frame"}, (), "dark", False),
        ("x.fit", {"IMAGETYP": "FLAT"}, (), "flat", False),
        ("x.fit", {"IMAGETYP": "DARKFLAT"}, (), "dark flat", False),
        ("x.fit", {"FRAME": "Bias"}, ("IMAGETYP",), "bias", False),
        ("Dark_10.0s_LP_20250101-010101.fit", {}, ("IMAGETYP",), "dark", False),
        ("master_flat.fits", {}, ("IMAGETYP",), "flat", True),
        ("x.fits", {"IMAGETYP": "masterFlat"}, (), "flat", True),
        ("x.fits", {"IMAGETYP": "Master Dark", "NCOMBINE": 20}, (), "dark", True),
        ("bias_stacked.fit", {"STACKCNT": 50}, ("IMAGETYP",), "bias", True),
        ("darks/IMG_0001.fit", {}, ("IMAGETYP",), "dark", False),
        ("dark_flats/IMG_0001.fit", {}, ("IMAGETYP",), "dark flat", False),
        ("darks/bias_0001.fit", {}, ("IMAGETYP",), "bias", False),
        ("DWARF_DARK/tele_exp_15_gain_60.fits", {}, ("IMAGETYP",), "dark", False),
        ("calib/biases/0001.fit", {}, ("IMAGETYP",), "bias", False),
        ("x.fit", {"IMAGETYP": "Master Bias", "SOFTWARE": "ZeMosaic 0.1.0"}, (), "bias", True),
    ],
)
def test_calibration_frames(folder, name, cards, drop, kind, master):
    sub(folder / name, 1, drop=drop, **cards)
    result = run(folder)
    (found,) = result.calibration
    assert (found.kind, found.master, found.path) == (kind, master, folder / name)
    assert len(result.frames) == 1 and not result.left_out


def test_calibration_frame_keeps_what_it_is_matched_by(folder):
    cards = {"GAIN": 100, "OFFSET": 50, "CCD-TEMP": -9.8, "FILTER": "L", "XBINNING": 2, "INSTRUME": "ZWO ASI2600MC Pro"}
    sub(folder / "x.fit", 1, **cards | {"IMAGETYP": "DARK", "EXPTIME": 60.0})
    (found,) = run(folder).calibration
    assert (found.camera, found.gain, found.offset, found.temperature) == ("ZWO ASI2600MC Pro", 100.0, 50.0, -9.8)
    assert (found.exposure, found.filter, found.binning, found.bayer) == (60.0, "L", 2, "GRBG")
    assert (found.width, found.height) == (72, 80)


def test_planes_of_a_calibration_frame(folder):
    sub(folder / "x.fit", 1, data=pixels(1, (3, 80, 72)), IMAGETYP="Flat")
    left = only(run(folder))
    assert left.state is FrameState.NOT_A_LIGHT and "72 x 80 x 3; expected one plane" in left.reason


def test_calibration_folder(folder, tmp_path):
    """What lies there is never a light; a folder inside the input counts once."""
    library = tmp_path / "darks"
    sub(library / "IMG_1.fit", 1, drop=("IMAGETYP",))
    sub(library / "other" / "IMG_2.fit", 2)
    sub(folder / "bias" / "IMG_3.fit", 3, drop=("IMAGETYP",))
    result = scan([folder], tmp_path / "out", Silent(), [library, folder / "bias"])
    assert sorted((c.kind, c.path.name) for c in result.calibration) == [("bias", "IMG_3.fit"), ("dark", "IMG_1.fit")]
    assert only(result).path.name == "IMG_2.fit" and "neither its header nor its name" in only(result).reason
    assert len(result.frames) == 1
    with pytest.raises(InputError, match="this calibration_folder does not exist"):
        scan([folder], tmp_path / "out", Silent(), [tmp_path / "nowhere"])


@pytest.mark.parametrize(
    "name", ["Dark Shark/IMG_1.fit", "Dark Doodad_0001.fits", "Flat Rock/m31.fit", "darks/M 31.fit"]
)
def test_names_do_not_outweigh_a_light(folder, name):
    """Objects and places are called Dark and Flat; a header that says Light is believed."""
    sub(folder / name, 1, drop=() if name.startswith("darks") else ("IMAGETYP",))
    assert len(run(folder).frames) == 2


CUBE = pixels(7, (3, 80, 72))


@pytest.mark.parametrize(
    ("name", "data", "cards"),
    [
        ("Stacked_30_M 94_10.0s_IRCUT_20250409.fit", CUBE, {}),
        ("DSO_Stacked_30_M 94.fit", CUBE, {}),
        ("stacked-16_M 94.fits", CUBE, {"CREATOR": "DWARFLAB"}),
        ("M 94.fit", CUBE, {}),
        ("M 94.fit", CUBE, {"STACKCNT": 30, "CREATOR": "Siril"}),
        ("M 94.fit", pixels(7), {"NCOMBINE": 12}),
        ("Light_M 94.fit", CUBE, {"TOTALEXP": 300.0}),
        ("M 94.fit", pixels(7), {"IMAGETYP": "Master Light"}),
    ],
)
def test_stacks(folder, name, data, cards):
    sub(folder / name, 7, data=data, **cards)
    assert only(run(folder)).state is FrameState.STACK


@pytest.mark.parametrize("planes", [CUBE, np.moveaxis(CUBE, 0, 2)], ids=["planes", "interleaved"])
def test_debayered_subs_are_lights(folder, planes):
    sub(folder / "pp_M 94_0001.fit", 7, data=planes, drop=("BAYERPAT",), CREATOR="Siril", TOTALEXP=10.0)
    frame = run(folder).frames[1]
    assert frame.kind is FrameKind.RGB and (frame.width, frame.height) == (72, 80)
    np.testing.assert_array_equal(read_raw(frame), CUBE)


def test_own_results_are_left_out(folder):
    sub(folder / "zemosaic_MT4_R60.fits", 1, SOFTWARE="ZeMosaic v4.0")
    assert only(run(folder)).state is FrameState.OWN_OUTPUT


def test_an_output_folder_inside_the_input_is_left_out(folder):
    sub(folder / "mosaic" / "part.fits", 1)
    assert only(run(folder, output=folder / "mosaic")).state is FrameState.OWN_OUTPUT
    assert len(run(folder, output=folder).frames) == 2  # the input itself, or a folder above it, hides nothing
    assert len(run(folder, output=folder.parent).frames) == 2


@pytest.mark.parametrize(
    "spoil",
    [lambda t: b"", lambda t: t[:500], lambda t: t[:4000], lambda t: b"\0" * 5000, lambda t: gzip.compress(t)[:900]],
)
def test_damaged_files(folder, spoil):
    path = sub(folder / "Light_b.fit", 1)
    path.write_bytes(spoil(path.read_bytes()))
    assert only(run(folder)).state is FrameState.DAMAGED


@pytest.mark.parametrize("shape", [(4, 80, 72), (2, 80, 72), (63, 80), (80, 40), (2, 3, 80, 72), (5000,)])
def test_unsupported_shapes(folder, shape):
    sub(folder / "Light_b.fit", 1, data=pixels(1, shape))
    assert only(run(folder)).state is FrameState.UNSUPPORTED


def test_a_table_is_unsupported(folder):
    astropy_fits.BinTableHDU.from_columns([astropy_fits.Column("x", "E", array=np.arange(9.0))]).writeto(
        folder / "t.fits"
    )
    assert only(run(folder)).state is FrameState.UNSUPPORTED


@pytest.fixture(params=["copy", "gzip", "tiles", "rewritten", "float"])
def duplicate(request: pytest.FixtureRequest, folder: Path) -> Path:
    first = folder / "Light_a.fit"
    match request.param:
        case "copy":
            path = folder / "copy" / "Light_a.fit"
            path.parent.mkdir()
            path.write_bytes(first.read_bytes())
        case "gzip":
            path = folder / "A.fit.gz"
            path.write_bytes(gzip.compress(first.read_bytes()))
        case "tiles":
            path = folder / "A.fits.fz"
            image = astropy_fits.CompImageHDU(pixels(0), header(0))
            astropy_fits.HDUList([astropy_fits.PrimaryHDU(), image]).writeto(path)
        case "rewritten":
            path = sub(folder / "Light_b.fit", 0, drop=("RA",), OBJECT="other", **{"DATE-OBS": "2025-04-09T20:56:00"})
        case _:
            path = sub(folder / "Light_b.fit", 0, data=pixels(0).astype(np.float32))
    return path


def test_duplicates_are_recognised_in_any_container(folder, duplicate):
    result = run(folder)
    what = only(result)
    assert what.state is FrameState.DUPLICATE and len(result.frames) == 1
    assert {what.path, result.frames[0].path} == {folder / "Light_a.fit", duplicate}
    assert str(result.frames[0].path) in what.reason
    if duplicate.suffix in (".gz", ".fz"):
        assert result.frames[0].path == folder / "Light_a.fit"


def test_exposures_that_only_begin_alike_are_no_duplicates(folder):
    """The same DATE-OBS second and first rows; one pixel in the last row differs."""
    other = pixels(0)
    other[-1, -1] += 1
    sub(folder / "Light_b.fit", 0, data=other)
    sub(folder / "Light_c.fit", 5, data=pixels(0))  # the same pixels at another time
    result = run(folder)
    assert len(result.frames) == 3 and not result.left_out


@pytest.mark.parametrize(("mono", "colour", "kept"), [(1, 2, FrameKind.BAYER), (3, 1, FrameKind.MONO)])
def test_mono_and_colour_do_not_mix(tmp_path, mono, colour, kept):
    for i in range(mono):
        sub(tmp_path / f"mono_{i}.fit", i, drop=("BAYERPAT", "CREATOR", "TELESCOP"))
    for i in range(colour):
        sub(tmp_path / f"colour_{i}.fit", 10 + i)
    result = run(tmp_path)
    assert {f.kind for f in result.frames} == {kept} and len(result.left_out) == min(mono, colour)
    assert all(what.state is FrameState.UNSUPPORTED and "among" in what.reason for what in result.left_out)


def test_a_copy_that_lost_its_pattern_does_not_displace_the_good_one(folder):
    copy = sub(folder / "A_copy.fit", 0, drop=("BAYERPAT", "CREATOR"))  # comes first by its name
    sub(folder / "Light_b.fit", 1)
    result = run(folder)
    assert [f.path.name for f in result.frames] == ["Light_a.fit", "Light_b.fit"]
    assert only(result).path == copy and only(result).state is FrameState.UNSUPPORTED


def test_an_input_without_lights_says_what_it_holds(tmp_path):
    with pytest.raises(InputError, match="gone: this input does not exist"):
        run(tmp_path / "gone")
    with pytest.raises(InputError, match=r"no FITS file here \(\.fit \.fits \.fts"):
        run(tmp_path)
    sub(tmp_path / "Dark_1.fit", 1, IMAGETYP="Dark")
    sub(tmp_path / "Dark_2.fit", 2, IMAGETYP="Dark")
    (tmp_path / "b.fit").write_bytes(b"")
    with pytest.raises(InputError, match=r"no light frame among 3 FITS files \(2 calibration files, 1 damaged file\)"):
        run(tmp_path)


def snapshot(folder: Path) -> list[tuple[str, int, int, str]]:
    def entries() -> Iterator[tuple[str, int, int, str]]:
        for path in sorted(folder.rglob("*")):
            content = path.read_bytes() if path.is_file() else b""
            yield str(path), path.stat().st_mtime_ns, path.stat().st_mode, hashlib.sha256(content).hexdigest()

    return list(entries())


def test_a_read_only_input_stays_as_it_is(folder, duplicate):
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = snapshot(folder)
    try:
        run(folder)
        assert snapshot(folder) == before
    finally:
        for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
            path.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_an_unreadable_folder_is_told(folder):
    (folder / "secret").mkdir(mode=0o000)
    reporter = Recorder()
    run(folder, reporter=reporter)
    assert any(isinstance(event, Warned) and "secret" in event.text for event in reporter.events)


def test_progress_and_stop(folder):
    sub(folder / "Light_b.fit", 1)
    reporter = Recorder()
    run(folder, reporter=reporter)
    assert reporter.events == [PhaseProgress("scan", 2, 2, "Light_b.fit")]
    reporter.cancelled = lambda: True  # type: ignore[method-assign]
    with pytest.raises(Cancelled, match="what earlier runs measured is kept"):
        run(folder, reporter=reporter)


@pytest.mark.realdata
def test_real_subs(realdata):
    result = run(realdata)
    assert len(result.frames) == 20 and not result.left_out
    m27, m94 = result.frames[:2], result.frames[2:]
    assert {f.bayer for f in m27} == {"RGGB"} and {f.bayer for f in m94} == {"GRBG"}
    assert all(f.wcs is not None for f in m27) and all(f.wcs is None for f in m94)
    assert len({f.instrument for f in m94}) == 2 and {f.channels for f in result.frames} == {3}
    for frame in m94:
        assert angular_separation(frame.ra, frame.dec, 192.72, 41.12) < 0.5
        assert frame.scale == pytest.approx(2.393, abs=1e-3)


def test_what_the_user_leaves_out_is_left_out_by_name_and_numbered_last(tmp_path: Path) -> None:
    kept = [sub(tmp_path / "in" / f"a{k}.fit", k) for k in (1, 3)]
    unwanted = sub(tmp_path / "in" / "cloudy2.fit", 2)
    sub(tmp_path / "in" / "cloudy_dark.fit", 7, IMAGETYP="Dark")
    stack = sub(tmp_path / "in" / "cloudy_stack.fit", 8, STACKCNT=20)
    result = scan([tmp_path / "in"], tmp_path / "out", Silent(), exclude=("CLOUDY*", "nothing*"))
    assert [frame.path for frame in result.frames] == kept and [frame.id for frame in result.frames] == [0, 1]
    assert [(frame.path, frame.id) for frame in result.excluded] == [(unwanted, 2)]
    states = {each.path.name: each.state for each in result.left_out}
    assert states == {
        "cloudy2.fit": FrameState.EXCLUDED,
        "cloudy_dark.fit": FrameState.EXCLUDED,
        stack.name: FrameState.STACK,
    }
    assert not result.calibration and result.idle == ("nothing*",)
    assert "exclude_files" in next(each.reason for each in result.left_out if each.path == unwanted)


def test_a_copy_of_what_is_left_out_may_stay(tmp_path: Path) -> None:
    sub(tmp_path / "in" / "a.fit", 1)
    copy = sub(tmp_path / "in" / "b.fit", 1)
    result = scan([tmp_path / "in"], tmp_path / "out", Silent(), exclude=("a.fit",))
    assert [frame.path for frame in result.frames] == [copy]
    assert [each.state for each in result.left_out] == [FrameState.EXCLUDED]


def test_leaving_out_everything_is_told(tmp_path: Path) -> None:
    sub(tmp_path / "in" / "a.fit", 1)
    with pytest.raises(InputError, match=r"1 excluded file\); for example .*a\.fit: Left out by you"):
        scan([tmp_path / "in"], tmp_path / "out", Silent(), exclude=("*",))
