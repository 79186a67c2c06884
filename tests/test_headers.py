"""Dialects of headers: what each program writes, and what must become of it."""

from __future__ import annotations

import math
import os
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import FK5, SkyCoord
from astropy.io.fits import Header
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from zemosaic.fits import cards
from zemosaic.headers import frame_from_header
from zemosaic.imaging.projection import angular_separation, pixel_scale, pixel_to_sky, sky_to_pixel
from zemosaic.model import Distortion, Frame, FrameKind, Solution
from zemosaic.wcs import solution_header

SEESTAR = {
    "CREATOR": "ZWO Seestar S50",
    "FOCALLEN": 250,
    "XBINNING": 1,
    "YBINNING": 1,
    "XPIXSZ": 2.90000009536743,
    "IMAGETYP": "Light",
    "EXPOSURE": 10.0,
    "EXPTIME": 10.0,
    "CCD-TEMP": 23.3125,
    "RA": 192.995835,
    "DEC": 40.978611,
    "DATE-OBS": "2025-04-09T20:56:14.626888",
    "FILTER": "IRCUT",
    "INSTRUME": "Seestar S50",
    "BAYERPAT": "GRBG",
    "GAIN": 80,
    "TELESCOP": "S50_12d98769",
    "OBJECT": "M 94",
    "TOTALEXP": 10.0,
}
NINA = {
    "IMAGETYP": "LIGHT",
    "EXPOSURE": 60.0,
    "EXPTIME": 60.0,
    "DATE-OBS": "2024-03-02T21:14:05.1234567",
    "XBINNING": 1,
    "YBINNING": 1,
    "GAIN": 100,
    "XPIXSZ": 3.76,
    "INSTRUME": "ZWO ASI2600MC Pro",
    "SET-TEMP": -10.0,
    "CCD-TEMP": -9.9,
    "BAYERPAT": "RGGB",
    "XBAYROFF": 0,
    "YBAYROFF": 0,
    "TELESCOP": "RedCat 51",
    "FOCALLEN": 250.0,
    "RA": 83.822,
    "DEC": -5.391,
    "OBJCTRA": "05 35 17",
    "OBJCTDEC": "-05 23 28",
    "ROWORDER": "TOP-DOWN",
    "EQUINOX": 2000.0,
    "SWCREATE": "N.I.N.A. 3.1.2.9001 (x64)",
}
ASIAIR = {
    "CREATOR": "ZWO ASIAIR Plus",
    "INSTRUME": "ZWO ASI533MC Pro",
    "XPIXSZ": 3.76,
    "XBINNING": 1,
    "FOCALLEN": 400,
    "IMAGETYP": "Light",
    "RA": 10.6847,
    "DEC": 41.269,
    "BAYERPAT": "RGGB",
    "DATE-OBS": "2023-09-10T22:00:00.5",
    "TELESCOP": "ZWO AM5",
}
INDI = {
    "INSTRUME": "ZWO CCD ASI224MC",
    "TELESCOP": "EQMod Mount",
    "PIXSIZE1": 3.75,
    "PIXSIZE2": 3.75,
    "XBINNING": 2,
    "YBINNING": 2,
    "FRAME": "Light",
    "FOCALLEN": 510.0,
    "BAYERPAT": "RGGB",
    "OBJCTRA": "19 59 41.99",
    "OBJCTDEC": "22 43 19.37",
    "EXPTIME": 6.0,
    "DATE-OBS": "2018-09-07T22:31:45.431",
}
DWARF_2 = {
    "TELESCOP": "DWARFII",
    "INSTRUME": "DWARFII",
    "EXP": 15.0,
    "RA": 5.5881,
    "DEC": -5.391,
    "BAYERPAT": "RGGB",
    "DATE-OBS": "2023-12-05T22:00:00",
}
DWARF_3 = {
    "TELESCOP": "DWARF 3",
    "INSTRUME": "DWARF 3",
    "ORIGIN": "DWARFLAB",
    "CAMERA": "TELE",
    "RA": 83.822,
    "DEC": -5.391,
    "BAYERPAT": "RGGB",
    "DATE-OBS": "2025-01-05T22:00:00.123",
    "DET-TEMP": 8,
    "GAIN": 60,
}


def frame(
    values: dict[str, object], shape: tuple[int, ...] = (1920, 1080), drop: tuple[str, ...] = (), **more: object
) -> Frame:
    header = Header([("BITPIX", 16), ("BZERO", 32768)])
    for key, value in {**values, **more}.items():
        if key not in drop:
            header[key.replace("_", "-") if key in ("DATE_OBS",) else key] = value
    stat = os.stat_result((0, 0, 0, 0, 0, 0, 4152960, 0, 0, 0))
    return frame_from_header(cards(header.tostring()), shape, Path("Light_M 94.fit"), stat, id=3)


def test_seestar():
    got = frame(SEESTAR)
    assert (got.id, got.kind, got.bayer, got.width, got.height) == (3, FrameKind.BAYER, "GRBG", 1080, 1920)
    assert got.instrument == "S50_12d98769 2.90um 250mm 1x1 1080x1920"
    assert (got.target, got.filter, got.exposure, got.gain) == ("M 94", "IRCUT", 10.0, 80.0)
    assert got.scale == pytest.approx(2.3927, abs=1e-4) and got.temperature == 23.3125
    assert got.date_obs == "2025-04-09T20:56:14.626888" and got.wcs is None


def test_seestar_positions_are_of_date():
    """Against astropy's own transformation; read as J2000 the frame would lie 14 arcmin off."""
    got = frame(SEESTAR)
    truth = SkyCoord(192.995835 * units.deg, 40.978611 * units.deg, frame=FK5(equinox=Time(SEESTAR["DATE-OBS"]))).icrs
    assert angular_separation(got.ra, got.dec, truth.ra.deg, truth.dec.deg) * 3600 < 0.5
    assert angular_separation(got.ra, got.dec, 192.995835, 40.978611) * 60 > 10
    assert (frame(SEESTAR, EQUINOX=1.0e9).ra, frame(SEESTAR, EQUINOX=2000.0).ra) == (got.ra, got.ra)


def test_seestar_driven_by_nina_is_j2000():
    got = frame(SEESTAR, SWCREATE="N.I.N.A. 3.1", EQUINOX=2000.0)
    assert (got.ra, got.dec) == (192.995835, 40.978611)


@pytest.mark.parametrize(
    ("changes", "scale", "pattern"),
    [
        ({"TELESCOP": "Seestar S50"}, 2.3927, "GRBG"),
        ({"TELESCOP": "S30_0a1b2c3d", "INSTRUME": "Seestar S30", "CREATOR": "ZWO Seestar S30"}, 3.988, "GRBG"),
    ],
)
def test_seestar_with_missing_cards(changes, scale, pattern):
    got = frame({**SEESTAR, **changes}, drop=("XPIXSZ", "FOCALLEN", "BAYERPAT", "GAIN", "EXPTIME", "DATE-OBS"))
    assert got.scale == pytest.approx(scale, abs=2e-3) and got.bayer == pattern
    assert math.isnan(got.gain) and got.exposure == 10.0 and got.date_obs == ""


def test_seestar_s30_pro_by_its_size():
    got = frame({"TELESCOP": "S30_77", "INSTRUME": "Seestar S30 Pro"}, (3840, 2160))
    assert got.scale == pytest.approx(206.265 * 2.9 / 160) and got.bayer == "GRBG"


def test_a_serial_number_outlives_a_rewritten_instrume():
    assert frame(SEESTAR, INSTRUME="IMX462").instrument == frame(SEESTAR).instrument
    assert frame(SEESTAR, TELESCOP="S50_00000001").instrument != frame(SEESTAR).instrument
    assert frame(SEESTAR, FILTER="LP", EXPTIME=20.0).instrument == frame(SEESTAR).instrument
    assert frame(NINA, INSTRUME="ZWO ASI294MC").instrument != frame(NINA).instrument
    assert frame(NINA, XBINNING=2, YBINNING=2).instrument != frame(NINA).instrument


def test_nina():
    got = frame(NINA, (4176, 6248))
    assert (got.ra, got.dec, got.bayer, got.date_obs) == (83.822, -5.391, "RGGB", "2024-03-02T21:14:05.123456")
    assert got.scale == pytest.approx(206.265 * 3.76 / 250) and got.temperature == -9.9


def test_asiair():
    got = frame(ASIAIR, (3008, 3008))
    assert (got.ra, got.dec) == (10.6847, 41.269) and got.scale == pytest.approx(1.9389, abs=1e-4)
    assert got.instrument == "ZWO AM5 ZWO ASI533MC Pro 3.76um 400mm 1x1 3008x3008"


def test_indi_positions_are_sexagesimal_and_pixels_unbinned():
    got = frame(INDI, (488, 652))
    assert got.ra == pytest.approx(299.924958, abs=1e-5) and got.dec == pytest.approx(22.722047, abs=1e-5)
    assert got.scale == pytest.approx(2 * 1.51665, abs=1e-4)
    assert frame(INDI, OBJCTDEC="-00 30 00").dec == -0.5
    assert frame(INDI, OBJCTRA="19:59:41.99", OBJCTDEC="+22:43:19.37").ra == pytest.approx(299.924958, abs=1e-5)


def test_dwarf_2_has_right_ascension_in_hours():
    got = frame(DWARF_2, (2160, 3840))
    assert got.ra == pytest.approx(83.8215) and got.dec == -5.391 and got.exposure == 15.0
    assert got.scale == pytest.approx(206.265 * 1.45 / 100)


def test_dwarf_3_and_mini():
    got = frame(DWARF_3, (2180, 3856))
    assert (got.ra, got.temperature, got.bayer) == (83.822, 8.0, "RGGB") and math.isnan(got.exposure)
    assert got.scale == pytest.approx(2.750, abs=1e-3)
    assert frame(DWARF_3, (2180, 3856), drop=("BAYERPAT",)).bayer == "RGGB"
    assert math.isnan(frame(DWARF_3, (1080, 1920), CAMERA="WIDE").scale)
    mini = frame(DWARF_3, (1080, 1920), TELESCOP="DWARF mini", INSTRUME="DWARF mini")
    assert mini.scale == pytest.approx(206.265 * 2.9 / 150)


@pytest.mark.parametrize("ra, dec", [(0.0, 0.0), ("", ""), ("N/A", "N/A"), (400.0, 10.0), (10.0, 95.0), ("1.2.3", 0.5)])
def test_positions_that_say_nothing(ra, dec):
    got = frame(SEESTAR, RA=ra, DEC=dec)
    assert math.isnan(got.ra) and math.isnan(got.dec)
    assert frame(NINA, RA=ra, DEC=dec).dec == pytest.approx(-5.3911, abs=1e-4)  # falls back on OBJCTRA, OBJCTDEC


@pytest.mark.parametrize(
    ("changes", "height", "expected"),
    [
        ({}, 100, "RGGB"),
        ({"ROWORDER": "TOP-DOWN"}, 100, "RGGB"),
        ({"ROWORDER": "BOTTOM-UP"}, 100, "GBRG"),
        ({"ROWORDER": "BOTTOM-UP"}, 101, "RGGB"),
        ({"XBAYROFF": 1}, 100, "GRBG"),
        ({"YBAYROFF": 1}, 100, "GBRG"),
        ({"XBAYROFF": 1, "YBAYROFF": 1}, 100, "BGGR"),
        ({"YBAYROFF": 1, "ROWORDER": "BOTTOM-UP"}, 100, "RGGB"),
        ({"BAYERPAT": "grbg"}, 100, "GRBG"),
        ({"BAYERPAT": "NONE"}, 100, None),
    ],
)
def test_colour_filter_array(changes, height, expected):
    got = frame({"BAYERPAT": "RGGB"}, (height, 120), **changes)
    assert got.bayer == expected
    assert got.kind is (FrameKind.BAYER if expected else FrameKind.MONO)


def test_a_stored_picture_upside_down_keeps_its_colours():
    """The same sensor written from the top and from the bottom: each pixel keeps its colour."""
    for height in (6, 7):
        top = frame({"BAYERPAT": "GRBG"}, (height, 8), ROWORDER="TOP-DOWN").bayer
        bottom = frame({"BAYERPAT": "GRBG"}, (height, 8), ROWORDER="BOTTOM-UP").bayer
        for y in range(height):
            for x in range(8):
                assert top[2 * (y % 2) + x % 2] == bottom[2 * ((height - 1 - y) % 2) + x % 2]


def test_debayered_and_mono_frames():
    rgb = frame(SEESTAR, (3, 1920, 1080))
    assert (rgb.kind, rgb.bayer, rgb.channels, rgb.width) == (FrameKind.RGB, None, 3, 1080)
    assert frame(NINA, drop=("BAYERPAT",)).kind is FrameKind.MONO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 65520.0),
        ({"BZERO": 0}, 32767.0),
        ({"BITPIX": 8, "BZERO": 0}, 255.0),
        ({"BITPIX": -32, "BZERO": 0}, math.inf),
        ({"BITPIX": -32, "SATURATE": 50000.0}, 50000.0),
    ],
)
def test_saturation(changes, expected):
    assert frame(SEESTAR, **changes).saturation == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-05-01T01:02:03Z", "2024-05-01T01:02:03"),
        ("2024-05-01T03:02:03+02:00", "2024-05-01T01:02:03"),
        ("2024-05-01 01:02:03.25", "2024-05-01T01:02:03.250000"),
        ("1970-01-01T00:00:00", ""),
        ("yesterday", ""),
    ],
)
def test_dates(written, expected):
    assert frame(SEESTAR, **{"DATE-OBS": written}).date_obs == expected


def wcs_cards(cd: list[list[float]]) -> dict[str, object]:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10.68, 41.27], [200.0, 1500.0]
    wcs.wcs.cd = cd
    return dict(wcs.to_header().items()) | {"EQUINOX": 1.0e30}


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 360), st.booleans(), st.floats(0.3, 10))
def test_a_wcs_in_the_header_is_moved_to_the_centre(angle, mirrored, scale):
    c, s = scale / 3600 * math.cos(math.radians(angle)), scale / 3600 * math.sin(math.radians(angle))
    values = wcs_cards([[c, -s], [s, c]] if mirrored else [[-c, s], [s, c]])
    got = frame(values).wcs
    assert got is not None and (got.x, got.y) == (539.5, 959.5) and got.solver == "header"
    assert pixel_scale(got) == pytest.approx(scale, rel=0.1)
    wcs = WCS(Header({k: v for k, v in values.items() if k not in ("EQUINOX", "DATEREF", "MJDREF")}))
    for x, y in ((539.5, 959.5), (0.0, 0.0), (1079.0, 0.0), (532.5, 952.5), (1079.0, 1919.0)):
        ra, dec = wcs.all_pix2world(x, y, 0)
        assert angular_separation(*pixel_to_sky(got, x, y), ra, dec) * 3600 < 0.03 * scale


def test_cdelt_and_crota_as_indi_writes_them():
    values = {"CRVAL1": 299.925, "CRVAL2": 22.722, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "RADECSYS": "FK5"}
    values |= {"CRPIX1": 652.0, "CRPIX2": 488.0, "CDELT1": 4.2136e-4, "CDELT2": 4.2136e-4, "CROTA2": 303.1256}
    got = frame(values, (976, 1304))
    assert got.wcs is not None and pixel_scale(got.wcs) == pytest.approx(1.5169, abs=1e-4)
    assert (got.ra, got.dec) == (got.wcs.ra, got.wcs.dec)  # no other position in this header


@pytest.mark.parametrize(
    "changes",
    [
        {"PC1_1": 1e-18, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 1e-18},
        {"PC1_1": 1.0, "PC1_2": 1.0, "PC2_1": 1.0, "PC2_2": 1.0},
        {"CDELT1": 3.0},
        {"CTYPE2": "GLAT-TAN"},
        {"CRVAL1": "unknown"},
        {"CRVAL1": 0.0, "CRVAL2": 0.0, "CRPIX1": 540.5, "CRPIX2": 960.5},
        {"A_ORDER": 3, "A_3_0": "garbage"},
    ],
)
def test_an_absurd_wcs_is_refused(changes):
    values = wcs_cards([[-6e-4, 0.0], [0.0, 6e-4]])
    assert frame(values).wcs is not None
    assert frame(values, **changes).wcs is None


@pytest.mark.parametrize(("k3", "k5"), [(0.0, 0.0), (1.4e-3, 0.0), (1.4e-3, -6e-4)])
@pytest.mark.parametrize("dec", [20.0, 88.5])
def test_a_solution_as_cards_says_the_same_to_astropy(tmp_path, k3, k5, dec):
    radius = float(np.hypot(1080, 1920) / 2)
    cd = (6.3e-4, -1.9e-4, 1.9e-4, 6.3e-4)
    solution = Solution(359.98, dec, 539.5, 959.5, cd, Distortion(k3, k5, radius))
    path = tmp_path / "sub.wcs"
    solution_header(solution, 1080, 1920).totextfile(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(Header.fromtextfile(path))
    x, y = np.meshgrid(np.linspace(0, 1079, 9), np.linspace(0, 1919, 9))
    theirs = wcs.all_pix2world(x, y, 0)
    assert angular_separation(*theirs, *pixel_to_sky(solution, x, y)).max() * 3600 < 1e-5


def bent_cards(corner: float, *, angle: float = 25.0, mirrored: bool = False, at: tuple[float, float] = (539.5, 959.5)):
    """TAN-SIP cards of an S50-like frame: cubic distortion and, a third as strong, decentring; px in the corners.

    Written from the definition of decentring, (p1 (r^2 + 2 u^2) + 2 p2 u v, p2 (r^2 + 2 v^2) + 2 p1 u v).
    """
    half = math.hypot(1080, 1920) / 2
    c, s = 2.374 / 3600 * math.cos(math.radians(angle)), 2.374 / 3600 * math.sin(math.radians(angle))
    third, p1, p2 = corner / half**3, 0.10 * corner / half**2, -0.15 * corner / half**2
    values: dict[str, object] = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 10.68, "CRVAL2": 41.27}
    values |= {"CRPIX1": at[0] + 1, "CRPIX2": at[1] + 1, "A_ORDER": 3, "B_ORDER": 3}
    values |= {"CD1_1": c if mirrored else -c, "CD1_2": -s if mirrored else s, "CD2_1": s, "CD2_2": c}
    values |= {"A_3_0": third, "A_1_2": third, "B_0_3": third, "B_2_1": third}
    values |= {"A_2_0": 3 * p1, "A_0_2": p1, "A_1_1": 2 * p2, "B_0_2": 3 * p2, "B_2_0": p2, "B_1_1": 2 * p1}
    return values


def as_pv(values: dict[str, object], ctype: str) -> dict[str, object]:
    """The same distortion as PV cards: the SIP polynomial in px becomes one of the intermediate coordinates in degrees."""
    cd = np.array([[values["CD1_1"], values["CD1_2"]], [values["CD2_1"], values["CD2_2"]]])
    u, v = (a.ravel() for a in np.meshgrid(np.linspace(-600, 600, 15), np.linspace(-1000, 1000, 15)))
    move = np.zeros((2, len(u)))
    for key, value in values.items():
        if key[:2] in ("A_", "B_") and key[2] != "O":
            move[int(key[0] == "B")] += value * u ** int(key[2]) * v ** int(key[4])
    straight, bent = cd @ np.stack([u, v]), cd @ (np.stack([u, v]) + move)
    out = {k: w for k, w in values.items() if k[:2] not in ("A_", "B_")}
    out |= {"CTYPE1": f"RA---{ctype}", "CTYPE2": f"DEC--{ctype}"}
    numbers = (0, 1, 2, 4, 5, 6, 7, 8, 9, 10)  # PVi_3 belongs to r
    powers = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
    for axis in (0, 1):
        mine, other = straight[axis], straight[1 - axis]
        design = np.stack([mine**i * other**j for i, j in powers], axis=1)
        terms = np.linalg.lstsq(design, bent[axis], rcond=None)[0]
        out |= {f"PV{axis + 1}_{k}": float(term) for k, term in zip(numbers, terms, strict=True)}
    return out


def off_astropy(values: dict[str, object], solution: Solution, shape: tuple[int, int] = (1920, 1080)) -> float:
    """Largest distance, px, between a solution and what astropy makes of the cards, over a frame to its very corners."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(Header(values), naxis=2)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, shape[1] - 1, 40), np.linspace(0, shape[0] - 1, 60)))
    world = wcs.all_pix2world(x, y, 0)
    ra, dec = world[wcs.wcs.lng], world[wcs.wcs.lat]
    px, py = sky_to_pixel(solution, ra, dec)
    there = angular_separation(*pixel_to_sky(solution, x, y), ra, dec) * 3600 / pixel_scale(solution)
    return float(max(there.max(), np.hypot(px - x, py - y).max()))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("at", [(539.5, 959.5), (40.0, 1800.0)])
@pytest.mark.parametrize("kind", ["SIP", "TPV", "TAN"])
def test_a_distortion_is_read_as_astropy_reads_it(kind, at, mirrored):
    values = bent_cards(3.0, mirrored=mirrored, at=at)
    values = values if kind == "SIP" else as_pv(values, kind)
    got = frame(values).wcs
    assert got is not None
    assert off_astropy(values, got) < 0.01
    flat = replace(got, distortion=Distortion())
    assert off_astropy(values, flat) > 2.0  # what was lost without it
    assert (got.cd[0] * got.cd[3] > got.cd[1] * got.cd[2]) == mirrored


def test_dialects_of_distortion():
    """What programs leave out, add and write in another order says the same."""
    sip, pv = bent_cards(3.0), as_pv(bent_cards(3.0), "TPV")
    got = frame(sip).wcs
    bare = sip | {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}  # SIP without its name
    both = sip | {k: v for k, v in pv.items() if k.startswith("PV")}  # SCAMP ran over SIP
    inverse = sip | {"AP_ORDER": 3, "BP_ORDER": 3, "AP_1_0": "garbage", "BP_0_3": 1e30, "A_DMAX": "?"}
    for values in (bare, both, inverse):
        assert frame(values).wcs == got
    short = {k: v for k, v in pv.items() if k not in ("PV1_0", "PV2_0", "PV1_1", "PV2_1", "PV1_2", "PV2_2")}
    whole = frame(short | {"PV1_1": 1.0, "PV2_1": 1.0}).wcs
    assert frame(short).wcs == whole  # a missing PV1_1 stands for 1
    swapped = {k: v for k, v in sip.items() if k[:2] not in ("CD", "CR", "CT")} | {
        "CTYPE1": sip["CTYPE2"], "CTYPE2": sip["CTYPE1"], "CRVAL1": sip["CRVAL2"], "CRVAL2": sip["CRVAL1"],
        "CRPIX1": sip["CRPIX1"], "CRPIX2": sip["CRPIX2"],
        "CD1_1": sip["CD2_1"], "CD1_2": sip["CD2_2"], "CD2_1": sip["CD1_1"], "CD2_2": sip["CD1_2"],
    }  # fmt: skip
    other = frame(swapped).wcs
    assert other is not None and got is not None
    assert off_astropy(sip, other) < 0.01 and off_astropy(swapped, other) < 0.01


@pytest.mark.parametrize("projection", ["SIN", "ARC", "STG", "ZEA", "ZPN", "CAR"])
def test_other_projections_are_distortions_of_a_tangent_plane(projection):
    """A field of 5 x 3 degrees, 2.5 degrees off its reference pixel."""
    values: dict[str, object] = {"CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}", "CRVAL1": 10.68}
    values |= {"CRVAL2": 0.0 if projection == "CAR" else 41.27, "CRPIX1": 20.0, "CRPIX2": 1700.0}
    values |= {"CDELT1": -10 / 3600, "CDELT2": 10 / 3600}
    values |= {"PV2_1": 1.0, "PV2_3": 0.02} if projection == "ZPN" else {}
    got = frame(values).wcs
    assert got is not None and got.distortion.polynomial is not None
    assert off_astropy(values, got) < 0.02


def test_three_axes_of_a_colour_image_and_old_style_cards():
    values = bent_cards(3.0)
    cube = values | {
        "WCSAXES": 3,
        "NAXIS": 3,
        "CTYPE3": "RGB",
        "CRVAL3": 1.0,
        "CRPIX3": 1.0,
        "CD3_3": 1.0,
        "CD1_3": 0.0,
    }
    assert frame(cube, (3, 1920, 1080)).wcs == frame(values).wcs
    old: dict[str, object] = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.68, "CRVAL2": 41.27}
    old |= {"CRPIX1": 540.0, "CRPIX2": 960.0, "CDELT1": -6.6e-4, "CDELT2": 6.6e-4, "CROTA2": 33.0}
    poles = old | {"LATPOLE": 41.27, "LONPOLE": 180.0, "EQUINOX": 1.0e30}
    for values in (old, poles):
        got = frame(values).wcs
        assert got is not None and off_astropy(old, got) < 0.02
        assert got.distortion.polynomial is None


NO_WCS = [
    ({"CRPIX1": "NaN"}, r"CRPIX1 = 'NaN' is not a number"),
    ({"CRPIX2": "inf"}, r"CRPIX2 = 'inf' is not a number"),
    ({"CRVAL2": "nan"}, r"CRVAL2 = 'nan' is not a number"),
    ({"CD1_2": "-"}, r"CD1_2 = '-' is not a number"),
    ({"CRPIX1": ""}, r"CRPIX1 is missing"),
    ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, r"."),
    ({"CD1_1": 1e-18, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-18}, r"its matrix makes pixels of 0 x 0\""),
    ({"CD1_1": 1e-4, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 1e-4}, r"."),
    ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, r"'LINEAR' are not right ascension and declination"),
    ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, r"not right ascension and declination"),
    ({"CTYPE2": "RA---TAN-SIP"}, r"not right ascension and declination"),
    ({"CTYPE2": "DEC--SIN"}, r"astropy cannot use it"),
    ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, r"astropy cannot use it"),
    ({"CUNIT1": "parsnip"}, r"astropy cannot use it"),
    ({"CRVAL2": 100.0}, r"."),
    ({"A_ORDER": 1000000}, r"A_ORDER = '1000000' is no order"),
    ({"A_ORDER": 2.5}, r"A_ORDER = '2.5' is no order"),
    ({"B_ORDER": ""}, r"B_ORDER is missing"),
    ({"A_3_0": "NaN"}, r"A_3_0 = 'NaN' is not a number"),
    ({"A_3_0": 1e300}, r"."),
    ({"A_3_0": 1e-6}, r"its distortion folds the frame"),
    ({"B_0_2": 1.0}, r"folds the frame"),
]


@pytest.mark.parametrize(("changes", "reason"), NO_WCS)
def test_a_wcs_that_cannot_be_is_ignored_with_its_reason(changes, reason):
    got = frame(bent_cards(3.0), **changes)
    assert got.wcs is None
    assert got.wcs_refused.startswith("The WCS in its header is not used: ") and got.wcs_refused.endswith(".")
    assert re.search(reason, got.wcs_refused)
    assert len(got.wcs_refused) < 300


@pytest.mark.parametrize("changes", [{"PV1_1": "NaN"}, {"PV1_1": 0.0, "PV2_1": 0.0}, {"PV2_10": 1e5}, {"PV1_7": 1e300}])
def test_pv_cards_that_cannot_be(changes):
    got = frame(as_pv(bent_cards(3.0), "TPV"), **changes)
    assert got.wcs is None and got.wcs_refused


def test_a_header_without_a_wcs_has_no_reason():
    assert (frame(SEESTAR).wcs, frame(SEESTAR).wcs_refused) == (None, "")


KEYS = sorted({*bent_cards(3.0), *as_pv(bent_cards(3.0), "TPV"), "LONPOLE", "LATPOLE", "CUNIT1", "CROTA2", "PC1_1"})
ANYTHING = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-99, 99),
    st.sampled_from(["", "x", "NaN", "-inf", "deg"]),
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4))
def test_no_card_crashes_or_slips_through(changes):
    got = frame(bent_cards(3.0), **changes)
    without = changes.get("CTYPE1") == ""  # is no WCS at all
    assert (got.wcs is None) == (bool(got.wcs_refused) or without)
    if got.wcs is not None:
        assert np.isfinite(pixel_to_sky(got.wcs, [0, 1079], [0, 1919])).all()
        assert 0.05 <= pixel_scale(got.wcs) <= 120
        assert not {"CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2"} & {k for k, v in changes.items() if isinstance(v, str)}


@pytest.mark.parametrize("k3", [0.0, 4e-4, -2e-3])
@pytest.mark.parametrize("corner", [3.0, 30.0])
def test_a_distortion_is_written_as_it_was_read(tmp_path, corner, k3):
    """With what a refinement finds on top of it, up to 2 px in the corners."""
    read = frame(bent_cards(corner)).wcs
    assert read is not None
    solution = replace(read, distortion=replace(read.distortion, k3=k3, k5=-0.5 * k3))
    cards_ = solution_header(solution, 1080, 1920)
    assert off_astropy(dict(cards_), solution) < 0.005
    again = frame(dict(cards_)).wcs
    assert again is not None and off_astropy(dict(cards_), again) < 0.01
