"""The forms in which a mosaic can be written: each read back by astropy, with the sky where it was."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from zemosaic.chunks import opened, save
from zemosaic.events import Silent
from zemosaic.fits import inspect, read_image
from zemosaic.model import Grid, Mosaic
from zemosaic.phases.export import Format, Provenance, export, renew_headers

GRID = Grid(187.5, 41.1, 6.6e-4, 150, 120, 70.0, 55.5)
NOTHING = slice(0, 30)  # columns that no frame has seen


def mosaic(folder, channels: int = 3) -> Mosaic:
    rng = np.random.default_rng(4)
    data = rng.normal(500.0, 20.0, (channels, 120, 150)).astype(np.float32)
    data[0, 60, 70] = 41000.0
    weight = np.full_like(data, 0.01)
    data[..., NOTHING], weight[..., NOTHING] = np.nan, 0.0
    coverage = np.where(np.isnan(data[0]), 0, 12).astype(np.uint16)
    files = {"data": data, "weight": weight, "coverage": coverage, "rejected": np.zeros_like(coverage)}
    for name, values in files.items():
        save(folder / name, values, (*values.shape[:-2], 64, 64))
    return Mosaic(GRID, *(folder / name for name in files), frames=())


TOLD = Provenance(
    1, 12, "linear_fit", "noise_variance", "kappa_sigma", 4.0, 4.0, "mean", "incremental", "lanczos3", 1.0, False,
    20.0, 0.1, "0", "ab", (), 0.2, 0.05,
)  # fmt: skip


def written(folder, form: Format, channels: int = 3, told: Provenance = TOLD):
    outputs = export(mosaic(folder, channels), [], told, folder, Silent(), form=form)
    return outputs, opened(folder / "data").read()


def sky_of(header: fits.Header, x: float, y: float) -> tuple[float, float]:
    place = WCS(header).celestial.pixel_to_world(x, y)
    return place.ra.deg, place.dec.deg


HERE = sky_of(
    fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 187.5, "CRVAL2": 41.1, "CRPIX1": 71.0,
                 "CRPIX2": 56.5, "CD1_1": -6.6e-4, "CD2_2": 6.6e-4, "CD1_2": 0.0, "CD2_1": 0.0}),
    33.0, 100.0,
)  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", [Format(), Format(zero=True), Format(packed=True)])
def test_floats_come_back_to_the_bit(tmp_path, form, channels):
    outputs, data = written(tmp_path, form, channels)
    expected = np.nan_to_num(data) if form.zero else data
    with fits.open(outputs.mosaic, checksum=True) as hdus:
        image = hdus[1 if form.packed else 0]
        assert np.asarray(image.data, ">f4").tobytes() == np.squeeze(expected).astype(">f4").tobytes()
        assert sky_of(image.header, 33.0, 100.0) == pytest.approx(HERE, abs=1e-9)
    assert np.array_equal(read_image(outputs.mosaic), np.squeeze(expected), equal_nan=True)
    assert outputs.mosaic.name.endswith(form.ending)
    assert sorted(p.name for p in tmp_path.glob("zemosaic*")) == sorted(p.name for p in outputs.files)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_sixteen_bits_are_within_half_a_step(tmp_path, packed, zero):
    outputs, data = written(tmp_path, Format(integer=True, zero=zero, packed=packed))
    with fits.open(outputs.mosaic, checksum=True, do_not_scale_image_data=True) as hdus:
        image = hdus[1 if packed else 0]
        assert image.header["BITPIX"] == 16
        step = image.header["BSCALE"]
    got = np.asarray(read_image(outputs.mosaic), np.float64)
    with fits.open(outputs.mosaic) as hdus:
        assert np.allclose(hdus[1 if packed else 0].data, got, atol=1e-3, equal_nan=True)
    known = np.isfinite(data)
    assert step < 42000.0 / 65000
    assert np.abs(got - data)[known].max() <= 0.5 * step + 0.01  # astropy unpacks to float32
    outside = got[~known]
    assert np.isnan(outside).all() if not zero else np.abs(outside).max() <= 0.5 * step
    assert np.unique(read_image(outputs.weight)).tolist() == [0.0, np.float32(0.01)]  # companions keep their values
    assert np.unique(read_image(outputs.coverage)).tolist() == [0, 12]


@pytest.mark.parametrize("integer", [False, True])
def test_interleaved_has_its_colours_side_by_side(tmp_path, integer):
    outputs, data = written(tmp_path, Format(interleaved=True, integer=integer))
    with fits.open(outputs.mosaic, checksum=True) as hdus:
        header, values = hdus[0].header, hdus[0].data
        assert (header["NAXIS1"], header["NAXIS2"], header["NAXIS3"]) == (3, 150, 120)
        assert header["CTYPE1"] == "RGB"
        assert np.allclose(np.moveaxis(values, -1, 0), data, atol=0.4 if integer else 0.0, equal_nan=True)
        assert sky_of(header, 33.0, 100.0) == pytest.approx(HERE, abs=1e-9)
    assert inspect(outputs.mosaic).shape == (3, 120, 150)


def test_a_file_for_each_colour(tmp_path):
    outputs, data = written(tmp_path, Format(planes=True))
    names = [path.name for path in (outputs.mosaic, *outputs.planes)]
    assert names == [f"zemosaic_MT1_R0_{colour}.fits" for colour in "RGB"]
    for k, path in enumerate((outputs.mosaic, *outputs.planes)):
        header = fits.getheader(path)
        assert (header["NAXIS"], header["WCSAXES"], header["COLOUR"]) == (2, 2, "RGB"[k])
        assert np.array_equal(fits.getdata(path), data[k], equal_nan=True)
        assert sky_of(header, 33.0, 100.0) == pytest.approx(HERE, abs=1e-9)


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="fitsverify is not installed")
@pytest.mark.parametrize(
    "form",
    [
        Format(),
        Format(integer=True),
        Format(planes=True, zero=True),
        Format(interleaved=True, integer=True),
        Format(packed=True),
        Format(packed=True, integer=True),
    ],
)
def test_fitsverify_finds_nothing_wrong(tmp_path, form):
    outputs, _ = written(tmp_path, form)
    files = [str(path) for path in outputs.files if path not in (outputs.preview, outputs.thumbnail)]
    said = subprocess.run(["fitsverify", "-q", *files], capture_output=True, text=True)
    assert said.stdout.count("verification OK") == len(files), said.stdout


@pytest.mark.parametrize(
    "form",
    [
        Format(),
        Format(planes=True),
        Format(interleaved=True, integer=True),
        Format(packed=True),
        Format(packed=True, integer=True, zero=True),
    ],
)
def test_other_cards_and_the_same_pixels(tmp_path, form):
    """A header that is renewed is that of a mosaic written so from the start, sums included; also one that is longer."""
    other = replace(TOLD, listed=99, input_hash="cd", changed=tuple((f"name_{k}", "value") for k in range(99)))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    renewed, _ = written(tmp_path / "a", form)
    anew, _ = written(tmp_path / "b", form, told=other)
    renew_headers(renewed, GRID, 3, [], other, form, ())
    for a, b in zip((renewed.mosaic, *renewed.planes), (anew.mosaic, *anew.planes), strict=True):
        with fits.open(a, checksum=True) as first, fits.open(b, checksum=True) as second:
            assert fits.FITSDiff(first, second, ignore_comments=["DATASUM"], ignore_keywords=["CHECKSUM"]).identical
            assert first[-1].header["NRAWINIT"] == 99
        assert form.packed or a.read_bytes() == b.read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").glob("*")) == sorted(
        p.name for p in (tmp_path / "b").glob("*")
    )


def test_mono_has_no_colours_to_separate(tmp_path):
    outputs, data = written(tmp_path, Format(planes=True, interleaved=True), channels=1)
    assert outputs.planes == ()
    assert np.array_equal(fits.getdata(outputs.mosaic), data[0], equal_nan=True)
