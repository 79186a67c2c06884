"""Which files are darks, flats and biases, by what their headers or their names say."""

from __future__ import annotations

import os
import re
from pathlib import Path

from zemosaic.fits import ImageFile
from zemosaic.headers import Cards, frame_from_header, number, text
from zemosaic.model import CalibrationFrame, CalibrationKind

__all__ = ["calibration_frame", "header_kind", "name_kind"]

EXTENSION = re.compile(r"\.(fit|fits|fts)(\.gz|\.fz)?$", re.IGNORECASE)
DARKS = {"dark", "masterdark"}
FLATS = {"flat", "masterflat"}
BIASES = {"bias", "offset", "masterbias", "masteroffset", "zero"}
DARK_FLATS = {"darkflat", "flatdark", "masterdarkflat", "masterflatdark"}
BESIDE = {  # words that stand beside those in the names of calibration files and folders
    *("master", "frame", "calibration", "calib", "cali", "library", "lib", "dwarf", "tele", "wide", "raw", "stack"),
    *("exp", "exposure", "gain", "bin", "temp", "s", "sec", "ms", "c", "deg", "lp", "ircut", "img", "image"),
    *("stacked", "pp"),
}


def header_kind(header: Cards) -> tuple[CalibrationKind | None, str]:
    """The kind that IMAGETYP or a card like it states, and its text; None with a text for lights and others."""
    written = text(header, "IMAGETYP", "FRAME", "FRAMETYP", "OBSTYPE")
    words = written.lower()
    if "flat" in words:
        return (CalibrationKind.DARK_FLAT if "dark" in words else CalibrationKind.FLAT), written
    if "dark" in words:
        return CalibrationKind.DARK, written
    if any(word in words for word in ("bias", "offset", "zero")):
        return CalibrationKind.BIAS, written
    return None, written


def name_kind(name: str) -> CalibrationKind | None:
    """The kind that the name of a file or a folder states, with no word in it that speaks of something else."""
    words = {word.rstrip("s") if len(word) > 1 else word for word in re.findall(r"[a-z]+", _stem(name).lower())}
    words = {"bias" if word in ("bia", "biase") else word for word in words}
    kinds = words - BESIDE
    if not kinds or not kinds <= DARKS | FLATS | BIASES | DARK_FLATS:
        return None
    if kinds & DARK_FLATS or (kinds & DARKS and kinds & FLATS):
        return CalibrationKind.DARK_FLAT
    if kinds & FLATS:
        return CalibrationKind.FLAT
    return CalibrationKind.DARK if kinds & DARKS else CalibrationKind.BIAS


def _stem(name: str) -> str:
    return EXTENSION.sub("", name)


def calibration_frame(image: ImageFile, kind: CalibrationKind, path: Path, stat: os.stat_result) -> CalibrationFrame:
    """Describe a dark, flat, bias or dark flat of one plane from its header."""
    frame = frame_from_header(image.cards, image.shape, path, stat)
    return CalibrationFrame(
        kind=kind,
        path=path,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        camera=frame.camera,
        telescope=frame.telescope,
        width=frame.width,
        height=frame.height,
        bayer=frame.bayer,
        binning=frame.binning,
        exposure=0.0 if kind is CalibrationKind.BIAS else frame.exposure,
        gain=frame.gain,
        offset=frame.offset,
        temperature=frame.temperature,
        filter=frame.filter,
        date_obs=frame.date_obs,
        saturation=frame.saturation,
        master=_is_master(image.cards, path.name),
    )


def _is_master(header: Cards, name: str) -> bool:
    """Whether somebody has combined several exposures into this one."""
    if any(number(header, key) > 1 for key in ("STACKCNT", "NCOMBINE", "NIMAGES", "NSTACK")):
        return True
    words = f"{header_kind(header)[1]} {_stem(name)}".lower()
    return "master" in words or re.search(r"(^|[-_. ])stacked|integration", words) is not None
