"""Darks, biases and flats of the simulated telescopes: what the plan's `calibration` writes beside the subs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.simulate.camera import dark_light, digitised, response, sensitivity, unit_coordinates
from zemosaic.simulate.plan import NightPlan
from zemosaic.simulate.truth import Truth

__all__ = ["CalibrationShot", "calibration_header", "calibration_shots", "shoot"]

KINDS = ("Dark", "Bias", "Flat")
LAMP = (0.25, 0.4, 0.3)  # of the full scale, R, G, B in the middle of a flat
FULL = 65535.0
FLAT_EXPOSURE = 0.1  # s; too short for dark current


@dataclass(frozen=True)
class CalibrationShot:
    """One exposure with the lid on, or of an evenly lit panel."""

    name: PurePosixPath  # below the folder of the calibration frames
    kind: str  # IMAGETYP
    exposure: float  # s
    instrument: int


def calibration_shots(plan: NightPlan, serials: tuple[str, ...]) -> Iterator[CalibrationShot]:
    """All calibration frames of a night: `plan.calibration` of each kind and telescope."""
    exposures = {"Dark": plan.exposure, "Bias": 0.0, "Flat": FLAT_EXPOSURE}
    for index, serial in enumerate(serials):
        for kind in KINDS:
            for k in range(plan.calibration):
                name = PurePosixPath(f"{kind.lower()}_{serial}", f"{kind}_{k + 1:03d}.fit")
                yield CalibrationShot(name, kind, exposures[kind], index)


def shoot(truth: Truth, shot: CalibrationShot, rng: np.random.Generator) -> NDArray[np.uint16]:
    """(h, w) uint16, as the telescope would save it."""
    plan = truth.plan
    signal = np.zeros((plan.height, plan.width))
    if shot.kind == "Dark":
        signal = dark_light(truth, shot.instrument)
    elif shot.kind == "Flat":
        u, v = unit_coordinates(plan)
        lamp = FULL * np.array(LAMP)[cfa_colours(plan.bayer)]
        signal += np.tile(lamp, (plan.height // 2, plan.width // 2))
        signal *= response(truth.instruments[shot.instrument].response, u * u + v * v)
        signal *= sensitivity(plan, shot.instrument)
    return digitised(plan, signal, rng)


def calibration_header(truth: Truth, shot: CalibrationShot) -> Header:
    """The cards that tell what a calibration frame goes with, as a Seestar would write them."""
    serial = truth.instruments[shot.instrument].serial
    cards = [
        ("IMAGETYP", shot.kind, "Type of image"),
        ("XBINNING", 1, "Camera X Bin"),
        ("YBINNING", 1, "Camera Y Bin"),
        ("EXPTIME", shot.exposure, "Exposure time in seconds"),
        ("CCD-TEMP", 25.125, "sensor temperature in C"),
        ("INSTRUME", f"Seestar {serial.split('_')[0]}", "Camera model"),
        ("BAYERPAT", truth.plan.bayer, "Bayer pattern"),
        ("GAIN", 80, "Gain Value"),
        ("TELESCOP", serial, "Telescope name"),
    ]
    if shot.kind == "Flat":
        cards.append(("FILTER", truth.plan.filter, "Filter used when taking image"))
    return Header(cards)
