"""The WCS of a header, read as a solution and written from one.

Reading: astropy calculates where the pixels of a lattice lie, whatever projection and distortion the header names (SIP, TPV,
SCAMP's TAN with PV cards), and a solution is fitted to these places. Headers lie and break in many ways, so every card that
takes part is looked at first: wcslib takes a CRPIX1 that is no number for 0, and thinks nothing of it.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from zemosaic.cards import Cards, number, text
from zemosaic.errors import FrameError
from zemosaic.imaging.distortion import as_sip, gradient
from zemosaic.imaging.placing import REACH, frame_nodes_of, solution_through
from zemosaic.model import Polynomial, Solution

__all__ = ["SCALES", "read_wcs", "solution_header"]

FloatArray = NDArray[np.float64]
SCALES = (0.05, 120.0)  # arcsec/px that a telescope or a lens can have
LONGEST_STRETCH = 2.0  # ratio of the axes of a pixel, beyond which a header's WCS is absurd
MOST_BENT = 0.5  # derivative of the distortion: what is more has no quick inverse
LARGEST_ERROR = 0.05  # px, of the fit
LINEAR_CARD = re.compile(r"(CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|LONPOLE|LATPOLE")
SIP_CARD = re.compile(r"[AB]_(\d_\d|ORDER)")
PV_CARD = re.compile(r"PV([12])_(\d|[123]\d)")
SCAMP_FROM = 5  # PV1_0 to PV1_4 of a TAN header are the standard's own
HIGHEST_ORDER = 9  # of SIP


def read_wcs(header: Cards, width: int, height: int) -> Solution | None:
    """The header's WCS as a solution about the frame's centre, within 0.05 px; None when it has none.

    Raises
    ------
    FrameError
        There is one, and it cannot be; the message is a sentence for the user.
    """
    if not text(header, "CTYPE1"):
        return None
    cards = _projection_cards(header)
    x, y = frame_nodes_of((height, width))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on deprecated cards and overflows: what comes out is looked at
            wcs = WCS(cards, naxis=2)
            sky = np.asarray(wcs.all_pix2world(np.stack([x, y], axis=1), 0), float)
    except (ValueError, ArithmeticError, TypeError, KeyError, IndexError, MemoryError) as error:
        raise _refused(f"astropy cannot use it ({_in_words(error)})") from error  # wcslib's errors are ValueErrors
    if not np.isfinite(sky).all():
        raise _refused("parts of the frame have no place on the sky")
    solution, error_px = solution_through(sky[:, wcs.wcs.lng], sky[:, wcs.wcs.lat], (height, width))
    _check(solution, error_px, x, y)
    return replace(solution, ra=solution.ra % 360.0, solver="header")


def _in_words(error: Exception) -> str:
    """What wcslib says without where in its source it said so, of several errors the first."""
    words = [part for part in re.split(r"ERROR \d+ in \w+\(\) at line \d+ of file \S+", str(error)) if part.strip()]
    return " ".join(words[0].split()).rstrip(".")[:160] if words else type(error).__name__


def _refused(why: str) -> FrameError:
    return FrameError(f"The WCS in its header is not used: {why}.")


def _projection_cards(header: Cards) -> Header:
    """The cards of the projection only: dates and equinoxes out of order must not spoil it."""
    first, second = (text(header, key).upper() for key in ("CTYPE1", "CTYPE2"))
    if {first[:4], second[:4]} != {"RA--", "DEC-"}:
        raise _refused(f"CTYPE1 = '{first}' and CTYPE2 = '{second}' are not right ascension and declination")
    for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", *(() if _has(header, "CD") else ("CDELT1", "CDELT2"))):
        if not text(header, key):
            raise _refused(f"{key} is missing")
    found = {key: _finite(header, key) for key in filter(LINEAR_CARD.fullmatch, header) if header[key]}
    if found["CRVAL1"] == 0.0 == found["CRVAL2"]:
        raise _refused("CRVAL1 = CRVAL2 = 0 says that nobody knew the position")
    sip, pv = _sip(header, first), _pv(header, first)
    out = Header()
    for key, written in (("CTYPE1", first), ("CTYPE2", second)):
        bare = written.removesuffix("-SIP")
        out[key] = bare + "-SIP" if sip else bare[:5] + "TPV" if pv and bare.endswith("-TAN") else bare
        unit = text(header, f"CUNIT{key[-1]}")
        if unit:
            out[f"CUNIT{key[-1]}"] = unit
    for key, value in {**found, **sip, **({} if sip else pv)}.items():
        out[key] = int(value) if key.endswith("_ORDER") else value
    return out


def _has(header: Cards, name: str) -> bool:
    return any(text(header, f"{name}{i}_{j}") for i in (1, 2) for j in (1, 2))


def _finite(header: Cards, key: str) -> float:
    value = number(header, key)
    if math.isnan(value):
        raise _refused(f"{key} = '{header[key]}' is not a number")
    return value


def _sip(header: Cards, ctype: str) -> dict[str, float]:
    """The cards of a SIP distortion; the inverse (AP, BP) is not needed. Of SIP and PV in one TAN header SIP counts."""
    if ctype.endswith("-TPV") or not (text(header, "A_ORDER") or text(header, "B_ORDER")):
        return {}
    for key in ("A_ORDER", "B_ORDER"):
        if not text(header, key):
            raise _refused(f"{key} is missing")
        if number(header, key) not in range(HIGHEST_ORDER + 1):
            raise _refused(f"{key} = '{header[key]}' is no order that a distortion can have")
    return {key: _finite(header, key) for key in filter(SIP_CARD.fullmatch, header) if header[key]}


def _pv(header: Cards, ctype: str) -> dict[str, float]:
    """PV cards; for TPV, and for TAN with PV cards as SCAMP writes it, with the 1 that a missing PVi_1 stands for."""
    keys = [key for key in filter(PV_CARD.fullmatch, header) if header[key]]
    pv = {key: _finite(header, key) for key in keys}
    if not ctype.endswith(("-TAN", "-TAN-SIP", "-TPV")):
        return pv
    scamp = any(key.startswith("PV2_") or int(key[4:]) >= SCAMP_FROM for key, value in pv.items() if value)
    if not scamp and not ctype.endswith("-TPV"):
        return {}
    return {"PV1_1": 1.0, "PV2_1": 1.0} | pv


def _check(solution: Solution, error: float, x: FloatArray, y: FloatArray) -> None:
    """Refuse what no telescope does."""
    matrix = np.array(solution.cd).reshape(2, 2)
    longer, shorter = np.linalg.svd(matrix, compute_uv=False) * 3600.0
    if not (SCALES[0] <= shorter and longer <= min(SCALES[1], LONGEST_STRETCH * shorter)):
        raise _refused(f'its matrix makes pixels of {longer:.3g} x {shorter:.3g}", which no telescope has')
    polynomial = solution.distortion.polynomial
    bent = 0.0 if polynomial is None else _bent(polynomial, x - solution.x, y - solution.y)
    if not bent < MOST_BENT:
        raise _refused("its distortion folds the frame")
    if not error < LARGEST_ERROR:
        raise _refused(f"its distortion is no smooth one (a polynomial of order 9 misses it by {error:.2g} px)")


def _bent(polynomial: Polynomial, u: FloatArray, v: FloatArray) -> float:
    """Largest derivative of the displacement, in any direction."""
    across = np.asarray(gradient(polynomial, u, v))
    return float(np.linalg.norm(across, axis=(0, 1)).max())


def solution_header(solution: Solution, width: int, height: int) -> Header:
    """A solution of a frame of `width` x `height` px as cards: TAN, with SIP where there is a distortion.

    Good to 0.002 px (`zemosaic.imaging.distortion.as_sip`). Positions are tied to Tycho-2, J2000 without proper motions.
    """
    distortion = solution.distortion
    suffix = "-SIP" if distortion.k3 or distortion.k5 or distortion.polynomial is not None else ""
    header = Header()
    header["WCSAXES"], header["IMAGEW"], header["IMAGEH"] = 2, width, height
    header["CTYPE1"], header["CTYPE2"], header["RADESYS"] = f"RA---TAN{suffix}", f"DEC--TAN{suffix}", "ICRS"
    header["CRVAL1"], header["CRVAL2"] = solution.ra, solution.dec
    header["CRPIX1"], header["CRPIX2"] = solution.x + 1.0, solution.y + 1.0
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = solution.cd
    if suffix:
        far_x = max(solution.x, width - 1 - solution.x) + REACH
        far_y = max(solution.y, height - 1 - solution.y) + REACH
        a, b = as_sip(distortion, (far_x, far_y))
        header["A_ORDER"] = header["B_ORDER"] = len(a) - 1
        for name, terms in (("A", a), ("B", b)):
            for i, j in zip(*np.nonzero(terms), strict=True):
                header[f"{name}_{i}_{j}"] = terms[i, j]
    return header
