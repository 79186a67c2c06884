"""The files of the export, read back with astropy and Pillow."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from zemosaic.chunks import opened, save
from zemosaic.errors import Cancelled, OutputError
from zemosaic.events import PhaseProgress, Silent
from zemosaic.imaging.projection import grid_to_sky
from zemosaic.model import Frame, FrameKind, Grid, Mosaic
from zemosaic.phases.export import Provenance, export

GRID = Grid(ra=192.7, dec=41.1, scale=2.374 / 3600, width=90, height=120, x=40.25, y=71.5)
PROVENANCE = Provenance(
    groups=4,
    listed=7,
    normalization="linear_fit",
    weighting="noise_variance",
    rejection="winsorized_sigma_clip",
    kappa_low=3.0,
    kappa_high=3.5,
    combine="mean",
    assembly="incremental",
    resampling="cfa",
    pixfrac=0.7,
    radial_weight=False,
    zero_point=21.4567,
    zero_point_scatter=0.031,
    version="0.1.0",
    input_hash="0123456789abcdef" * 4,
    solvers=(("catalogue", 4), ("header", 1)),
    astrometric_rms=0.234,
    relative_rms=0.0512,
    changed=(("edge_taper", "60"), ("output_projection", "AIT")),
)


class Listener:
    """Keeps the events; asks to stop after so many of them."""

    def __init__(self, stop_after=10**9):
        self.events, self.stop_after = [], stop_after

    def emit(self, event):
        self.events.append(event)

    def cancelled(self):
        return len(self.events) > self.stop_after


def frame(tmp_path, number, **changes):
    values = Frame(
        id=number,
        path=tmp_path / f"{number}.fit",
        size=1,
        mtime_ns=1,
        digest=str(number),
        kind=FrameKind.BAYER,
        width=1080,
        height=1920,
        bayer="GRBG",
        instrument="S50",
        camera="Seestar S50",
        telescope="S50_1d3fe189",
        target="M 94",
        filter="IRCUT",
        exposure=10.0,
        gain=80.0,
        temperature=20.0,
        date_obs=f"2025-03-27T01:2{number}:46.5",
        ra=193.0,
        dec=41.0,
        scale=2.393,
        saturation=65535.0,
    )
    return replace(values, **changes)


def mosaic(folder, grid=GRID, channels=3, seed=1, frames=(0, 1, 2, 3, 4), chunk=16):
    """Noise with a margin without data, stars, one bright one high up (north) and to the left (east)."""
    rng = np.random.default_rng(seed)
    shape = (grid.height, grid.width)
    coverage = np.full(shape, len(frames), np.uint16)
    coverage[:, 80:], coverage[:5] = 1, 0
    data = rng.normal(900, 10, (channels, *shape)).astype(np.float32)
    data[:, 100:103, 10:13] += 5000
    data[:, coverage == 0] = np.nan
    weight = np.broadcast_to(coverage / 100, data.shape).astype(np.float32)
    weight[:, coverage == 0] = np.nan
    folder.mkdir(exist_ok=True)
    for name, array in (("data", data), ("weight", weight), ("coverage", coverage), ("rejected", coverage * 0)):
        save(folder / name, array, (*array.shape[:-2], chunk, chunk))
    paths = {name: folder / name for name in ("data", "weight", "coverage", "rejected")}
    return Mosaic(grid=grid, frames=frames, **paths)


@pytest.fixture
def frames(tmp_path):
    return [frame(tmp_path, number) for number in range(7)]


@pytest.fixture
def written(tmp_path, frames):
    source = mosaic(tmp_path / "work")
    return source, export(source, frames, PROVENANCE, tmp_path, Silent())


def test_names_say_groups_and_frames(written, tmp_path):
    assert sorted(path.name for path in tmp_path.glob("zemosaic*")) == [
        "zemosaic_MT4_R5.fits",
        "zemosaic_MT4_R5_coverage.fits",
        "zemosaic_MT4_R5_exposure.fits",
        "zemosaic_MT4_R5_preview.png",
        "zemosaic_MT4_R5_thumbnail.jpg",
        "zemosaic_MT4_R5_weight.fits",
    ]
    assert all(path.exists() for path in written[1].files)
    assert not list(tmp_path.glob(".*"))


def test_exposure_fits_coverage_and_header(written):
    _, outputs = written
    assert np.array_equal(fits.getdata(outputs.exposure), fits.getdata(outputs.coverage) * np.float32(10.0))
    header = fits.getheader(outputs.exposure)
    assert (header["BUNIT"], header["EXTNAME"]) == ("s", "EXPOSURE")
    assert fits.getheader(outputs.mosaic)["EXPTIME"] == 50.0


def test_pixels_come_back(written):
    source, outputs = written
    with fits.open(outputs.mosaic) as hdus:
        assert hdus[0].header["BITPIX"] == -32
        np.testing.assert_array_equal(hdus[0].data, opened(source.data).read())
    with fits.open(outputs.weight) as hdus:
        np.testing.assert_array_equal(hdus[0].data, np.nan_to_num(opened(source.weight).read()))
    with fits.open(outputs.coverage) as hdus:
        assert hdus[0].data.dtype.kind in "ui"
        np.testing.assert_array_equal(hdus[0].data, opened(source.coverage).read())


def test_files_are_valid_fits_and_their_sums_hold(written):
    for path in (written[1].mosaic, written[1].weight, written[1].coverage):
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert {"CHECKSUM", "DATASUM"} <= set(hdus[0].header)


@pytest.mark.parametrize(
    "grid",
    [GRID, replace(GRID, ra=0.01, dec=-5.0), replace(GRID, ra=123.0, dec=89.9)],
    ids=["field", "ra 0h", "pole"],
)
def test_sky_positions_fall_on_their_pixels(tmp_path, frames, grid):
    outputs = export(mosaic(tmp_path / "work", grid), frames, PROVENANCE, tmp_path, Silent())
    x, y = np.array([0.0, 89.0, 11.0, 40.25]), np.array([0.0, 119.0, 101.0, 71.5])
    ra, dec = grid_to_sky(grid, x, y)
    for path in (outputs.mosaic, outputs.weight, outputs.coverage):
        with fits.open(path) as hdus:
            wcs = WCS(hdus[0].header).celestial
        assert wcs.wcs.radesys == "ICRS"
        got_x, got_y = wcs.all_world2pix(ra, dec, 0)
        np.testing.assert_allclose(got_x, x, atol=1e-5)
        np.testing.assert_allclose(got_y, y, atol=1e-5)


def test_north_is_up_and_east_is_left(written):
    with fits.open(written[1].mosaic) as hdus:
        wcs = WCS(hdus[0].header).celestial
    centre, above, left = wcs.all_pix2world([[40, 60], [40, 61], [39, 60]], 0)
    assert above[1] > centre[1]
    assert left[0] > centre[0]


def test_cards(written):
    header = fits.getheader(written[1].mosaic)
    expected = {
        "BUNIT": "adu",
        "MAGZERO": 21.4567,
        "MAGZSCT": 0.031,
        "AST_REF": "Tycho-2",
        "AST_RMS": 0.234,
        "AST_REL": 0.051,
        "EXPTIME": 50.0,
        "NCOMBINE": 5,
        "DATE-OBS": "2025-03-27T01:20:46.500",
        "DATE-BEG": "2025-03-27T01:20:46.500",
        "DATE-END": "2025-03-27T01:24:56.500",
        "OBJECT": "M 94",
        "INSTRUME": "Seestar S50",
        "TELESCOP": "S50_1d3fe189",
        "FILTER": "IRCUT",
        "GAIN": 80.0,
        "SOFTWARE": "ZeMosaic 0.1.0",
        "NMASTILE": 4,
        "NRAWINIT": 7,
        "NRAWPROC": 5,
        "STK_NORM": "linear_fit",
        "STK_WGHT": "noise_variance",
        "STK_RADW": False,
        "STK_REJ": "winsorized_sigma_clip",
        "STK_KLOW": 3.0,
        "STK_KHIG": 3.5,
        "STK_COMB": "mean",
        "RESAMPLE": "cfa",
        "PIXFRAC": 0.7,
        "ZMASMBMTH": "incremental",
    }
    assert {key: header[key] for key in expected} == expected
    assert header["MJD-OBS"] == pytest.approx(60761.05609375, abs=1e-7)
    history = " ".join(str(header["HISTORY"]).split())
    assert "Mosaic of 5 raw frames of 7 found, in 4 panel(s), 0 min 50 s in total." in history
    assert "catalogue 4, header 1" in history
    assert "differ from their defaults: edge_taper = 60; output_projection = AIT." in history
    assert header["PIXSCALE"] == pytest.approx(3600.0 * abs(header["CD2_2"]))
    assert "resampling cfa in drops of 0.7 px; combination mean; assembly incremental." in history
    assert "0.23 arcsec rms" in history and "0.051 px per axis among the frames" in history
    assert "tied to Tycho-2 at J2000, without proper motions" in history


def test_only_contributing_frames_count(tmp_path, frames):
    source = mosaic(tmp_path / "work", frames=(2, 6))
    outputs = export(source, frames, PROVENANCE, tmp_path, Silent())
    header = fits.getheader(outputs.mosaic)
    assert outputs.mosaic.name == "zemosaic_MT4_R2.fits"
    assert header["EXPTIME"] == 20.0
    assert header["DATE-OBS"].startswith("2025-03-27T01:22")
    assert header["DATE-END"].startswith("2025-03-27T01:26:56")


def test_several_telescopes_targets_and_gains(tmp_path, frames):
    frames[1] = replace(frames[1], telescope="Seestar S50", target="NGC 4736", gain=120.0)
    frames[2] = replace(frames[2], telescope="Seestar S50", target="Croc's Eye é", filter="")
    frames[3] = replace(frames[3], telescope="Seestar S50")
    outputs = export(mosaic(tmp_path / "work"), frames, PROVENANCE, tmp_path, Silent())
    header = fits.getheader(outputs.mosaic)
    assert header["TELESCOP"] == "Seestar S50, S50_1d3fe189"
    assert header["OBJECT"] == "M 94, NGC 4736, Croc's Eye ?"
    assert header["FILTER"] == "IRCUT"
    assert "GAIN" not in header


def test_hundred_names_fit_a_card(tmp_path):
    many = [frame(tmp_path, n, telescope=f"S50_{n:08x}", date_obs="") for n in range(100)]
    source = mosaic(tmp_path / "work", frames=tuple(range(100)))
    header = fits.getheader(export(source, many, PROVENANCE, tmp_path, Silent()).mosaic)
    assert header["TELESCOP"] == "S50_00000000, S50_00000001, S50_00000002 and 97 more"


def test_what_is_unknown_or_was_not_applied_is_not_claimed(tmp_path, frames):
    blank = [
        replace(f, exposure=np.nan, gain=np.nan, date_obs="", target="", camera="", telescope="", filter="")
        for f in frames
    ]
    provenance = replace(
        PROVENANCE,
        rejection="none",
        zero_point=np.nan,
        zero_point_scatter=np.nan,
        astrometric_rms=np.nan,
        relative_rms=np.nan,
    )
    outputs = export(mosaic(tmp_path / "work"), blank, provenance, tmp_path, Silent())
    with fits.open(outputs.mosaic, checksum=True) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
    absent = {
        "DATE-OBS",
        "DATE-END",
        "OBJECT",
        "INSTRUME",
        "TELESCOP",
        "FILTER",
        "GAIN",
        "MAGZERO",
        "STK_KLOW",
        "AST_RMS",
        "AST_REL",
    }
    assert not absent & set(header)
    assert header["STK_REJ"] == "none"
    assert "nan" not in str(header["HISTORY"])


def test_times_with_zones_and_garbage(tmp_path, frames):
    frames[0] = replace(frames[0], date_obs="2025-03-27T02:10:00+01:00")
    frames[1] = replace(frames[1], date_obs="last night")
    frames[4] = replace(frames[4], date_obs="2025-03-27T02:00:00Z", exposure=np.nan)
    header = fits.getheader(export(mosaic(tmp_path / "work"), frames, PROVENANCE, tmp_path, Silent()).mosaic)
    assert header["DATE-OBS"] == "2025-03-27T01:10:00.000"
    assert header["DATE-END"] == "2025-03-27T02:00:00.000"
    assert header["EXPTIME"] == 40.0


def test_mono(tmp_path, frames):
    outputs = export(mosaic(tmp_path / "work", channels=1), frames, PROVENANCE, tmp_path, Silent())
    with fits.open(outputs.mosaic) as hdus:
        assert hdus[0].data.shape == (120, 90)
        assert WCS(hdus[0].header).naxis == 2
        hdus.verify("exception")
    with Image.open(outputs.preview) as picture:
        assert (picture.mode, picture.size) == ("L", (90, 120))


def test_strips_equal_the_whole(tmp_path, frames, monkeypatch):
    source = mosaic(tmp_path / "work")
    results = []
    for size in (10**9, 3000):
        monkeypatch.setattr("zemosaic.phases._export_strips.STRIP_BYTES", size)
        outputs = export(source, frames, PROVENANCE, tmp_path, Silent())
        results.append([path.read_bytes() for path in vars(outputs).values() if path])
    assert results[0] == results[1]


def test_preview_has_north_up(written):
    with Image.open(written[1].preview) as picture:
        assert (picture.mode, picture.size) == ("RGB", (90, 120))
        pixels = np.asarray(picture)
    y, x = np.unravel_index(pixels.astype(int).sum(axis=2).argmax(), pixels.shape[:2])
    assert 119 - 102 <= y <= 119 - 100  # rows 100..102 of the mosaic, near its northern edge
    assert 10 <= x <= 12
    assert not pixels[115:].any()  # rows 0..4 are not covered


@pytest.mark.parametrize("most", [10**6, 1000])  # pixels of the preview
def test_a_trail_where_a_single_frame_saw_is_no_black_notch(tmp_path, frames, monkeypatch, most):
    """All its samples were rejected: weight 0, and a value that nothing vouches for; where nobody saw it stays black."""
    monkeypatch.setattr("zemosaic.phases._export_preview.PREVIEW_PIXELS", most)
    source = mosaic(tmp_path / "work")
    weight = opened(source.weight).read()
    weight[:, 48:72, 82:] = 0.0
    save(source.weight, weight, opened(source.weight).chunks)
    with Image.open(export(source, frames, PROVENANCE, tmp_path, Silent()).preview) as picture:
        pixels = np.asarray(picture).astype(float).mean(axis=2)[::-1]
    n = round(120 / len(pixels))
    notch, beside, outside = (
        pixels[52 // n : 68 // n, 86 // n :],
        pixels[80 // n : 96 // n, 86 // n :],
        pixels[: 4 // n],
    )
    assert notch.min() > 0 and notch.mean() == pytest.approx(beside.mean(), rel=0.25)
    assert not outside.any()


def test_large_mosaic_has_a_small_preview(tmp_path, frames, monkeypatch):
    monkeypatch.setattr("zemosaic.phases._export_preview.PREVIEW_PIXELS", 1000)
    monkeypatch.setattr("zemosaic.phases._export_strips.STRIP_BYTES", 20_000)
    outputs = export(mosaic(tmp_path / "work"), frames, PROVENANCE, tmp_path, Silent())
    with Image.open(outputs.preview) as picture:
        assert picture.size == (23, 30)
        pixels = np.asarray(picture).astype(int).sum(axis=2)
    assert np.unravel_index(pixels.argmax(), pixels.shape) == (29 - 25, 2)


def test_memory_does_not_grow_with_the_mosaic(tmp_path, frames, monkeypatch):
    monkeypatch.setattr("zemosaic.phases._export_strips.STRIP_BYTES", 400_000)
    monkeypatch.setattr("zemosaic.phases._export_preview.PREVIEW_PIXELS", 10_000)
    source = mosaic(tmp_path / "work", replace(GRID, width=1000, height=1500), chunk=128)
    tracemalloc.start()
    export(source, frames, PROVENANCE, tmp_path, Silent())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened(source.data).read().nbytes > 17e6
    # a row of chunks, 128 x 1000 px in three channels of 4 bytes, in the forms of the writer
    assert peak < 9e6


def test_progress_counts_every_row_of_every_file(tmp_path, frames):
    listener = Listener()
    export(mosaic(tmp_path / "work"), frames, PROVENANCE, tmp_path, listener)
    assert all(isinstance(event, PhaseProgress) for event in listener.events)
    assert [event.done for event in listener.events] == sorted({event.done for event in listener.events})
    assert listener.events[-1].done == listener.events[-1].total == 600


def test_stopped_export_leaves_no_half_file(tmp_path, frames, monkeypatch):
    monkeypatch.setattr("zemosaic.phases._export_strips.STRIP_BYTES", 3000)
    with pytest.raises(Cancelled, match="the same command takes over what was measured"):
        export(mosaic(tmp_path / "work"), frames, PROVENANCE, tmp_path, Listener(stop_after=5))
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_unwritable_output_is_named(tmp_path, frames):
    source = mosaic(tmp_path / "work")
    missing = tmp_path / "gone"
    with pytest.raises(OutputError, match=r"gone.*choose another output folder"):
        export(source, frames, PROVENANCE, missing, Silent())


def test_mosaic_without_any_data(tmp_path, frames):
    source = mosaic(tmp_path / "work")
    save(source.data, np.full((3, 120, 90), np.nan, np.float32), (3, 16, 16))
    save(source.weight, np.zeros((3, 120, 90), np.float32), (3, 16, 16))
    outputs = export(source, frames, PROVENANCE, tmp_path, Silent())
    with Image.open(outputs.preview) as picture:
        assert not np.asarray(picture).any()
