"""The FITS reader and writer, against astropy."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits as astropy_fits
from hypothesis import given
from hypothesis import strategies as st

from zemosaic.checksum import add, sum_of
from zemosaic.errors import FrameError, OutputError
from zemosaic.fits import inspect, read_header, read_image, read_raw
from zemosaic.fits_writer import write_fits
from zemosaic.headers import frame_from_header
from zemosaic.model import Frame

RNG = np.random.default_rng(20250401)
RAW = RNG.integers(0, 65536, (96, 70), dtype=np.uint16)
CUBE = RNG.integers(0, 65536, (3, 96, 70), dtype=np.uint16)


def save(path: Path, data: np.ndarray, **cards: object) -> Path:
    header = astropy_fits.Header()
    for key, value in cards.items():
        header[key] = value
    astropy_fits.PrimaryHDU(data, header).writeto(path)
    return path


def packed(path: Path, data: np.ndarray) -> Path:
    """A .fz file as fpack writes it: empty primary, image in the first extension."""
    image = astropy_fits.CompImageHDU(data, compression_type="RICE_1")
    astropy_fits.HDUList([astropy_fits.PrimaryHDU(), image]).writeto(path)
    return path


def zipped(path: Path, source: Path) -> Path:
    path.write_bytes(gzip.compress(source.read_bytes()))
    return path


def frame_of(path: Path) -> Frame:
    image = inspect(path)
    return frame_from_header(image.cards, image.shape, path, path.stat())


@pytest.fixture(params=["plain", "gzip", "tiles"])
def container(request: pytest.FixtureRequest, tmp_path: Path):
    def make(data: np.ndarray) -> Path:
        if request.param == "tiles":
            return packed(tmp_path / "a.fits.fz", data)
        plain = save(tmp_path / "a.fits", data)
        return plain if request.param == "plain" else zipped(tmp_path / "a.fits.gz", plain)

    return make


@pytest.mark.parametrize("data", [RAW, CUBE], ids=["raw", "planes"])
def test_sixteen_bit_data_come_back_exactly_from_every_container(container, data):
    path = container(data)
    got = read_image(path)
    assert got.dtype == np.uint16 and got.dtype.isnative and got.flags.owndata
    np.testing.assert_array_equal(got, data)
    np.testing.assert_array_equal(read_raw(frame_of(path), slice(31, 64)), data[..., 31:64, :])


def test_only_the_asked_rows_are_read(tmp_path, monkeypatch):
    path = save(tmp_path / "a.fits", CUBE)
    frame, read = frame_of(path), []

    def spy(file, buffer):
        read.append(len(buffer))
        assert file.readinto(buffer) == len(buffer)

    monkeypatch.setattr("zemosaic.fits._fill", spy)
    np.testing.assert_array_equal(read_raw(frame, slice(90, 96)), CUBE[:, 90:96])
    assert read == [6 * 70 * 2] * 3


def test_interleaved_colours_become_planes(tmp_path):
    path = save(tmp_path / "a.fits", np.moveaxis(CUBE, 0, 2))
    assert inspect(path).shape == (3, 96, 70)
    np.testing.assert_array_equal(read_raw(frame_of(path), slice(10, 12)), CUBE[:, 10:12])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_other_types_are_float32(tmp_path, dtype):
    data = (RNG.normal(size=(70, 64)) * 100 + 50).clip(0, 250).astype(dtype)
    got = read_image(save(tmp_path / "a.fits", data))
    assert got.dtype == np.float32 and got.dtype.isnative
    np.testing.assert_array_equal(got, data.astype(np.float32))


def test_scale_zero_and_blank_are_applied(tmp_path):
    hdu = astropy_fits.PrimaryHDU(np.array([[1, 2], [-7, 4]], np.int16))
    path = tmp_path / "a.fits"
    hdu.writeto(path)
    text = path.read_bytes()
    extra = [f"{key:8}= {value:>20}".ljust(80) for key, value in (("BSCALE", 0.5), ("BZERO", 10.0), ("BLANK", -7))]
    end = text.index(b"END".ljust(80))
    path.write_bytes((text[:end] + "".join(extra).encode() + b"END").ljust(2880) + text[2880:])
    np.testing.assert_array_equal(read_image(path), [[10.5, 11.0], [np.nan, 12.0]])


def test_an_image_in_an_extension_is_found(tmp_path):
    path = tmp_path / "a.fits"
    table = astropy_fits.BinTableHDU.from_columns([astropy_fits.Column("x", "E", array=np.arange(900.0))])
    image = astropy_fits.ImageHDU(RAW, name="SCI")
    astropy_fits.HDUList([astropy_fits.PrimaryHDU(), table, image]).writeto(path)
    np.testing.assert_array_equal(read_image(path), RAW)
    assert read_header(path)["EXTNAME"] == "SCI"


def test_odd_headers_are_read_without_warnings(tmp_path):
    """Latin-1 bytes, a card without value, a bare keyword, no padding after END or the data."""
    path = save(tmp_path / "a.fits", RAW, OBJECT="M 31", FILTER="LP")
    text = path.read_bytes()
    header = (
        text[:2880].replace(b"'M 31    '", b"'N\xe9buleus'").replace(b"FILTER  = 'LP      '", b"FILTER  = ".ljust(20))
    )
    path.write_bytes(header + text[2880 : 2880 + RAW.nbytes])
    np.testing.assert_array_equal(read_image(path), RAW)
    image = inspect(path)
    assert image.cards["OBJECT"] == "N?buleus" and image.cards["FILTER"] == ""
    assert image.header["OBJECT"] == "N?buleus"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: b"", "empty"),
        (lambda text: b"II*\0" + text[4:], "not a FITS file"),
        (lambda text: b"hello\n", "must start with SIMPLE, not with 'hello'"),
        (lambda text: text[:300], "no END card .*after 300 bytes"),
        (lambda text: text[: 2880 + 5000], "cut short, 7880 bytes where its header asks for 16320"),
        (lambda text: text.replace(b"NAXIS1  =", b"NAXISX  ="), "damaged"),
        (lambda text: gzip.compress(text)[:4000], "cut short"),
        (lambda text: gzip.compress(text[:9000]), "cut short, 9000 bytes"),
    ],
)
def test_damaged_files_fail_in_words(tmp_path, spoil, words):
    path = save(tmp_path / "a.fits", RAW)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FrameError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_cut_short_tile_file_fails_in_words(tmp_path):
    path = packed(tmp_path / "a.fits.fz", RAW)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(FrameError, match="cut short"):
        inspect(path)


def test_a_file_that_changed_since_the_scan_is_refused(tmp_path):
    path = save(tmp_path / "a.fits", RAW)
    frame = frame_of(path)
    path.unlink()
    with pytest.raises(FrameError, match="cannot be read"):
        read_raw(frame)
    save(path, RAW[:80])
    with pytest.raises(FrameError, match="now 70 x 80, the scan of the input had found 70 x 96"):
        read_raw(frame)


def test_reading_leaves_the_file_alone_and_closed(tmp_path):
    path = save(tmp_path / "a.fits", RAW)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        before = path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest()
        read_image(path)
        assert before == (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())
        assert list(tmp_path.iterdir()) == [path]
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(7, 5), (3, 11, 7), (130, 257)])
def test_written_files_pass_astropys_checks(tmp_path, dtype, shape):
    """Odd widths: strips of 2-byte data begin between the words that the checksum adds."""
    if np.dtype(dtype).kind == "f":
        data = RNG.normal(size=shape).astype(dtype)
        data[..., 0, 0] = np.nan
    else:
        limits = np.iinfo(dtype)
        data = RNG.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    header = astropy_fits.Header([("OBJECT", "M 31"), ("NAXIS1", 9), ("BZERO", 3.0), ("HISTORY", "one")])
    header["HISTORY"] = "two"
    path = tmp_path / "m.fits"
    write_fits(path, header, shape, (data[..., y : y + 4, :] for y in range(0, shape[-2], 4)), dtype)
    assert path.stat().st_size % 2880 == 0
    with astropy_fits.open(path, checksum=True) as hdus:  # a wrong sum is a warning, hence an error here
        hdus.verify("exception")
        assert {"CHECKSUM", "DATASUM"} <= set(hdus[0].header)
        assert hdus[0].header["OBJECT"] == "M 31" and list(hdus[0].header["HISTORY"]) == ["one", "two"]
        np.testing.assert_array_equal(hdus[0].data, data)
    assert [p.name for p in tmp_path.iterdir()] == ["m.fits"]


@given(st.binary(max_size=64), st.integers(0, 7))
def test_checksums_of_pieces_are_the_checksum_of_the_whole(data, cut):
    assert add(sum_of(data[:cut], 0), sum_of(data[cut:], min(cut, len(data)))) == sum_of(data, 0)


def test_a_wrong_checksum_would_be_seen(tmp_path):
    path = tmp_path / "m.fits"
    write_fits(path, astropy_fits.Header(), (4, 4), [np.ones((4, 4))])
    text = bytearray(path.read_bytes())
    text[2880] ^= 1
    path.write_bytes(text)
    with pytest.warns(match="(?i)checksum|datasum"), astropy_fits.open(path, checksum=True) as hdus:
        assert hdus[0].data is not None


def test_a_failed_write_leaves_nothing_and_keeps_the_older_file(tmp_path):
    path = tmp_path / "m.fits"
    path.write_bytes(b"older")

    def strips():
        yield np.zeros((2, 4), np.float32)
        raise OSError("the scratch disk is gone")

    with pytest.raises(OSError, match="scratch"):
        write_fits(path, astropy_fits.Header(), (4, 4), strips())
    with pytest.raises(ValueError, match="2 rows were given, 4 expected"):
        write_fits(path, astropy_fits.Header(), (4, 4), [np.zeros((2, 4))])
    assert [p.name for p in tmp_path.iterdir()] == ["m.fits"] and path.read_bytes() == b"older"


def test_an_unwritable_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere.*choose another output folder"):
        write_fits(tmp_path / "nowhere" / "m.fits", astropy_fits.Header(), (2, 2), [np.zeros((2, 2))])
