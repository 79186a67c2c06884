"""Header dialects: what Seestar, Dwarf, N.I.N.A., ASIAIR, INDI and others write, as the fields of a Frame.

Missing, empty and absurd cards become "" or NaN; nothing here fails because of a card.

Colour filter array. BAYERPAT names the 2 x 2 cell at the top left corner of the picture as its program shows it.
Camera programs store the top row first (ROWORDER 'TOP-DOWN', the default here because Seestar and Dwarf do so without
saying it), hence the pattern is that of the array as read. With ROWORDER 'BOTTOM-UP' the last row stored is the top
one: the rows of the pattern are swapped when the height is even, and stay when it is odd. XBAYROFF and YBAYROFF shift
the cell in the same top-left frame, before that swap.

Positions. Seestar firmware writes RA and DEC for the equinox of date; read as J2000 they are 5 to 18 arcmin off.
N.I.N.A., ASIAIR and INDI write J2000. Dwarf II writes RA in hours. RA = DEC = 0 is "unknown".
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy import units
from astropy.coordinates import FK5, ICRS, CartesianRepresentation
from astropy.time import Time
from numpy.typing import NDArray

from zemosaic.cards import Cards, number, text
from zemosaic.errors import FrameError
from zemosaic.filters import filter_from_name, normal_filter
from zemosaic.model import Frame, FrameKind, Solution
from zemosaic.wcs import SCALES, read_wcs

__all__ = ["Cards", "as_stack", "date_obs", "frame_from_header", "number", "text"]

NAN = float("nan")
PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
ARCSEC_PER_UM_MM = 206.265  # arcsec/px = 206.265 * pixel size (um) / focal length (mm)
EQUINOXES = (1900.0, 2100.0)  # years; other values of EQUINOX are garbage
# 12-bit cameras that fill 16 bits by shifting end at 4095 * 16; full 16-bit data saturate above it as well
FULL = {8: 255.0, 16: 65520.0, 32: 2147483647.0}
FULL_SIGNED_16 = 32767.0
NORMALISED = 65535.0  # ADU of the 1 of a normalised stack


@dataclass(frozen=True)
class Telescope:
    """What a smart telescope leaves out of its headers (maker's data sheets; patterns seen in real files)."""

    name: str
    pixel: float  # um
    focal: float  # mm
    bayer: str
    size: tuple[int, int]  # px, the shorter side first


SEESTAR_S50 = Telescope("Seestar S50", 2.9, 250.0, "GRBG", (1080, 1920))
SEESTAR_S30 = Telescope("Seestar S30", 2.9, 150.0, "GRBG", (1080, 1920))
SEESTAR_S30_PRO = Telescope("Seestar S30 Pro", 2.9, 160.0, "GRBG", (2160, 3840))
DWARF_2 = Telescope("DWARF II", 1.45, 100.0, "RGGB", (2160, 3840))
DWARF_3 = Telescope("DWARF 3", 2.0, 150.0, "RGGB", (2180, 3856))
DWARF_MINI = Telescope("DWARF mini", 2.9, 150.0, "RGGB", (1080, 1920))


def frame_from_header(
    header: Cards, shape: tuple[int, ...], path: Path, stat: os.stat_result, *, id: int = 0, digest: str = ""
) -> Frame:
    """Describe a light frame from its header.

    Parameters
    ----------
    header, shape
        Cards, and (h, w) or (3, h, w), as `zemosaic.fits.inspect` gives them.
    stat
        Of the file: size and modification time.
    """
    height, width = shape[-2:]
    scope = _telescope(header, width, height)
    bayer = None if len(shape) == 3 else _pattern(header, height, scope, width)
    kind = FrameKind.RGB if len(shape) == 3 else FrameKind.BAYER if bayer else FrameKind.MONO
    date = date_obs(header)
    wcs, refused = _wcs(header, width, height)
    ra, dec = _position(header, scope, date)
    if math.isnan(ra) and wcs is not None:
        ra, dec = wcs.ra, wcs.dec
    pixel, focal = _pixel_size(header, scope), _focal_length(header, scope)
    return Frame(
        id=id,
        path=path,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        digest=digest,
        kind=kind,
        width=width,
        height=height,
        bayer=bayer,
        instrument=_instrument(header, scope, pixel, focal, width, height),
        camera=text(header, "INSTRUME"),
        telescope=text(header, "TELESCOP") or (scope.name if scope else ""),
        target=text(header, "OBJECT"),
        filter=normal_filter(text(header, "FILTER")) or filter_from_name(path.name),
        exposure=_positive(header, "EXPTIME", "EXPOSURE", "EXP"),
        gain=number(header, "GAIN"),
        offset=_first(header, "OFFSET", "BLKLEVEL", "BRIGHTNE"),
        binning=_binning(header)[0],
        temperature=_first(header, "CCD-TEMP", "DET-TEMP", "SENSTEMP", "TEMP"),
        date_obs=date,
        ra=ra,
        dec=dec,
        scale=_scale(header, pixel, focal),
        saturation=_saturation(header),
        wcs=wcs,
        wcs_refused=refused,
    )


def as_stack(frame: Frame, header: Cards, highest: float) -> Frame:
    """A frame whose file is a stack: its colours are complete, its exposure is the sum, and it shares no optics with subs.

    highest : its largest value; stacks of floats that stay below 2 are normalised so that a full pixel is 1.
    """
    return replace(
        frame,
        kind=FrameKind.RGB if frame.kind is FrameKind.RGB else FrameKind.MONO,
        bayer=None,
        instrument=f"stack {frame.path.stem}",
        exposure=_positive(header, "TOTALEXP", "LIVETIME", "EXPTOTAL", "EXPTIME", "EXPOSURE"),
        stack=True,
        unit=NORMALISED if number(header, "BITPIX") < 0 and highest < 2.0 else 1.0,
    )


def _first(header: Cards, *keys: str) -> float:
    return next((value for value in (number(header, key) for key in keys) if not math.isnan(value)), NAN)


def _positive(header: Cards, *keys: str) -> float:
    return next((value for value in (number(header, key) for key in keys) if value > 0), NAN)


def _wcs(header: Cards, width: int, height: int) -> tuple[Solution | None, str]:
    """The header's WCS, or why there is none; "" when it has none to begin with."""
    try:
        return read_wcs(header, width, height), ""
    except FrameError as error:
        return None, str(error)


def _maker(header: Cards) -> str:
    return " ".join(text(header, key) for key in ("TELESCOP", "INSTRUME", "CREATOR", "ORIGIN")).upper()


def _telescope(header: Cards, width: int, height: int) -> Telescope | None:
    """The smart telescope that took the frame; None for other instruments."""
    maker = _maker(header)
    if "DWARF" in maker:
        if "MINI" in maker:
            return DWARF_MINI
        if re.search(r"DWARF[\s_-]*(II(?!I)|2)", maker):
            return DWARF_2
        return DWARF_3
    if "SEESTAR" in maker or re.match(r"S[35]0(\D|$)", maker):
        if "S30" not in maker:
            return SEESTAR_S50
        pro = "PRO" in maker.split("S30", 1)[1] or min(width, height) > SEESTAR_S30.size[0]
        return SEESTAR_S30_PRO if pro else SEESTAR_S30
    return None


def _pattern(header: Cards, height: int, scope: Telescope | None, width: int) -> str | None:
    """Colour filter array of the array as read; None for mono."""
    name = text(header, "BAYERPAT", "BAYRPAT", "COLORTYP").upper().strip("'\" ")
    if name not in PATTERNS:
        if name or scope is None or sorted((width, height)) != list(scope.size):
            return None
        name = scope.bayer
    dx, dy = (int(number(header, key)) if number(header, key) % 1 == 0 else 0 for key in ("XBAYROFF", "YBAYROFF"))
    flip = text(header, "ROWORDER").upper() == "BOTTOM-UP"
    rows = [(height - 1 - y if flip else y) + dy for y in (0, 1)]
    return "".join(name[2 * (y % 2) + (x + dx) % 2] for y in rows for x in (0, 1))


def date_obs(header: Cards) -> str:
    """Start of the exposure, ISO 8601, UTC; "" when unknown."""
    written = text(header, "DATE-OBS", "DATE_OBS").replace(" ", "T").replace("/", "-")
    if "T" not in written:
        written += "T" + text(header, "TIME-OBS", "UT-OBS")
    try:
        moment = datetime.fromisoformat(written.rstrip("T"))
    except ValueError:
        return ""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat() if moment.year > 1980 else ""


def _pixel_size(header: Cards, scope: Telescope | None) -> float:
    """Pixel pitch with binning, um: XPIXSZ includes the binning, PIXSIZE1 (INDI) does not."""
    binned = _positive(header, "XPIXSZ")
    if binned > 0:
        return binned
    bare = _positive(header, "PIXSIZE1", "PIXSIZE")
    if math.isnan(bare) and scope is not None and _main_camera(header):
        bare = scope.pixel
    return bare * _binning(header)[0]


def _focal_length(header: Cards, scope: Telescope | None) -> float:
    written = _positive(header, "FOCALLEN", "FOCAL")
    if math.isnan(written) and scope is not None and _main_camera(header):
        return scope.focal
    return written


def _main_camera(header: Cards) -> bool:
    """Dwarf telescopes have a wide-angle camera as well."""
    return "WIDE" not in text(header, "CAMERA", "INSTRUME").upper()


def _binning(header: Cards) -> tuple[int, int]:
    x = _positive(header, "XBINNING", "CCDXBIN")
    y = _positive(header, "YBINNING", "CCDYBIN")
    across = 1 if math.isnan(x) else max(1, round(x))
    return across, across if math.isnan(y) else max(1, round(y))


def _scale(header: Cards, pixel: float, focal: float) -> float:
    """Arcsec/px from the optics, else from a card that states it."""
    stated = (number(header, key) for key in ("SECPIX1", "SECPIX", "PIXSCALE", "SCALE"))
    for value in (ARCSEC_PER_UM_MM * pixel / focal, *stated):
        if SCALES[0] <= value <= SCALES[1]:
            return value
    return NAN


def _instrument(header: Cards, scope: Telescope | None, pixel: float, focal: float, width: int, height: int) -> str:
    """Key of the optics and the sensor. INSTRUME counts only without a serial number: other programs rewrite it."""
    name = text(header, "TELESCOP")
    serial = scope is not None and re.fullmatch(r".+_[0-9A-Za-z]{4,}", name) is not None
    if not serial:
        name = f"{name} {text(header, 'INSTRUME')}".strip() or (scope.name if scope else "unknown")
    across, down = _binning(header)
    optics = [] if math.isnan(pixel) else [f"{pixel:.2f}um"]
    optics += [] if math.isnan(focal) else [f"{focal:.0f}mm"]
    return " ".join([name, *optics, f"{across}x{down}", f"{width}x{height}"])


def _saturation(header: Cards) -> float:
    """ADU at which the file is full; infinite for floats without a SATURATE card, whose unit nobody states."""
    stated = _positive(header, "SATURATE")
    if stated > 0:
        return stated
    bits = number(header, "BITPIX")
    if bits < 0 or math.isnan(bits):
        return math.inf
    if bits == 16 and number(header, "BZERO") != 32768.0:
        return FULL_SIGNED_16
    return FULL.get(int(bits), math.inf)


def _position(header: Cards, scope: Telescope | None, date: str) -> tuple[float, float]:
    """Commanded position, degrees ICRS; NaN when unknown."""
    for ra_key, dec_key in (("RA", "DEC"), ("OBJCTRA", "OBJCTDEC")):
        ra, dec = _angle(text(header, ra_key)), _angle(text(header, dec_key))
        hours = ra.sexagesimal or ra_key == "OBJCTRA" or scope is DWARF_2
        degrees = ra.value * 15.0 if hours and ra.value <= 24.0 else ra.value
        known = 0.0 <= degrees <= 360.0 and -90.0 <= dec.value <= 90.0 and (degrees, dec.value) != (0.0, 0.0)
        if known:
            return _to_icrs(degrees, dec.value, _equinox(header, scope, date))
    return NAN, NAN


@dataclass(frozen=True)
class _Angle:
    value: float
    sexagesimal: bool


def _angle(written: str) -> _Angle:
    """A number, or degrees (hours) minutes seconds parted by blanks, colons or letters."""
    parts = re.findall(r"[0-9.]+(?:[eE][+-]?[0-9]+)?", written)
    try:
        values = [float(part) for part in parts]
    except ValueError:
        return _Angle(NAN, False)
    if not 1 <= len(values) <= 3 or re.fullmatch(r"\s*[+-]?[0-9.][-+0-9.:\seEhdms°'\"]*", written) is None:
        return _Angle(NAN, False)
    size = sum(value / 60.0**i for i, value in enumerate(values))
    return _Angle(-size if written.strip().startswith("-") else size, len(values) > 1)


def _equinox(header: Cards, scope: Telescope | None, date: str) -> float:
    """Julian year of the coordinates; 2000 when nothing better is known.

    A Seestar driven by N.I.N.A. (SWCREATE) carries J2000 coordinates; its own firmware's are of date whatever
    EQUINOX says, since other programs write garbage there.
    """
    seestar = scope is not None and scope.name.startswith("Seestar")
    if seestar and date and not text(header, "SWCREATE"):
        moment = datetime.fromisoformat(date)
        return round(moment.year + (moment.timetuple().tm_yday - 1) / 365.25, 2)
    if text(header, "RADESYS", "RADECSYS").upper() == "ICRS":
        return 2000.0
    stated = number(header, "EQUINOX")
    return stated if EQUINOXES[0] <= stated <= EQUINOXES[1] else 2000.0


@lru_cache(maxsize=256)
def _rotation(year: float) -> NDArray[np.float64]:
    """Matrix from FK5 at an equinox to ICRS; astropy takes 1.3 ms for it, thousands of frames share a few."""
    axes = CartesianRepresentation(np.eye(3) * units.dimensionless_unscaled)
    turned = FK5(axes, equinox=Time(year, format="jyear")).transform_to(ICRS())
    return np.asarray(turned.cartesian.xyz.value, float)


def _to_icrs(ra: float, dec: float, year: float) -> tuple[float, float]:
    if year == 2000.0:
        return ra % 360.0, dec  # FK5 at J2000 and ICRS differ by 0.02 arcsec
    a, d = math.radians(ra), math.radians(dec)
    x, y, z = _rotation(year) @ (math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d))
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))
