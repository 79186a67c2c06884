"""One master from one set of darks, biases or flats: reads, combines, writes.

Raw frames are combined in stripes of rows (128 MB at a time); beside these a task holds four arrays of a frame as
float32.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from zemosaic import __version__
from zemosaic.chunks import put_file
from zemosaic.errors import FrameError
from zemosaic.fits import ImageFile, inspect, read_pixels
from zemosaic.fits_writer import write_fits
from zemosaic.imaging.masters import (
    clipped_mean,
    colour_medians,
    dead_pixels,
    hot_pixels,
    per_colour,
    smooth_flat,
    smooth_part,
)
from zemosaic.ledger import from_json, to_json
from zemosaic.model import CalibrationKind, FrameState, LeftOut
from zemosaic.phases._calibrate_rules import CalibrationSet

__all__ = ["Master", "MasterTask", "make_master", "save_array"]

STRIPE = 2**27  # bytes of a stripe with its temporary copies
COPIES = 5  # of a stripe, float32, while it is combined
FULL_SCALE = 65535.0  # of masters that Siril, PixInsight and others save as 0 to 1
OVEREXPOSED, UNDEREXPOSED = 0.9, 0.02  # of saturation, median of a flat
CUT = 0.01  # share of pixels at exactly 0 from which a dark or a bias was cut there: its level is not known

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class MasterTask:
    """One master from one set."""

    item: CalibrationSet
    pedestal: Path | None  # .npy that is taken off raw flats
    below: str  # name of that master; "" for none
    stem: Path  # of the files to write


@dataclass(frozen=True)
class Master:
    """A master that was made: `stem`.fits for people, `stem`.npy for workers.

    In the .npy bad pixels are NaN (hot ones of a dark, dead ones of a flat), and a flat is without its smooth part `response`.
    """

    stem: Path
    level: float  # median, ADU; 1 for flats
    response: tuple[float, ...]
    used: tuple[Path, ...]
    refused: tuple[LeftOut, ...]
    below: str  # name of the master that was taken off raw flats
    note: str  # "", "normalised", "no_pedestal"
    useless: str  # why there is no master; "" when there is one

    @property
    def array(self) -> Path:
        return self.stem.with_suffix(".npy")


def make_master(task: MasterTask) -> Master:
    """Combine a set, or bring a master of the user's into shape; an earlier run's work is taken over."""
    record = task.stem.with_suffix(".json")
    if record.is_file() and task.stem.with_suffix(".npy").is_file():
        return replace(from_json(Master, record.read_text("utf-8")), stem=task.stem)
    images, refused = _open(task.item)
    flat = task.item.kind is CalibrationKind.FLAT
    if flat and not task.item.master:
        images, exposed = _well_exposed(images, task.item)
        refused += exposed
    used = tuple(i.path for i in images)
    master = Master(task.stem, math.nan, (), used, tuple(refused), task.below, note="", useless="")
    if not images:
        return replace(master, useless="none of its files can be used")
    master = _flat(task, images, master) if flat else _dark(task, images, master)
    if not master.useless:
        put_file(record, to_json(master).encode())
    return master


def _open(item: CalibrationSet) -> tuple[list[ImageFile], list[LeftOut]]:
    images, refused = [], []
    for frame in item.frames:
        try:
            image = inspect(frame.path)
            if image.shape != (frame.height, frame.width):
                raise FrameError(f"{frame.path}: the file has changed since the scan; start the command again.")
            read_pixels(image, slice(0, 1))
            images.append(image)
        except FrameError as error:
            refused.append(LeftOut(frame.path, FrameState.DAMAGED, str(error)))
    return images, refused


def _well_exposed(images: list[ImageFile], item: CalibrationSet) -> tuple[list[ImageFile], list[LeftOut]]:
    """Flats that are neither full nor nearly dark."""
    saturation, good, refused = item.first.saturation, [], []
    for image in images:
        level = max(colour_medians(np.asarray(read_pixels(image), np.float32), item.first.bayer)) / saturation
        if UNDEREXPOSED <= level <= OVEREXPOSED or not math.isfinite(saturation):
            good.append(image)
            continue
        reason = (
            f"The flat is not used: its brightest colour is at {100 * level:.0f} % of the full scale, "
            f"{100 * UNDEREXPOSED:.0f} to {100 * OVEREXPOSED:.0f} % is needed."
        )
        refused.append(LeftOut(image.path, FrameState.NOT_A_LIGHT, reason))
    return good, refused


def _combined(
    images: Sequence[ImageFile],
    pattern: str | None,
    pedestal: Float32Array | None,
    levels: Sequence[tuple[float, ...]],
) -> Float32Array:
    """(h, w) clipped mean of images, less a pedestal and over their levels where given, stripe by stripe."""
    height, width = images[0].shape
    out = np.empty((height, width), np.float32)
    step = height if any(i.tiled for i in images) else STRIPE // (4 * COPIES * width * len(images))
    step = max(2, step - step % 2)
    for first in range(0, height, step):
        rows = slice(first, min(first + step, height))
        stack = np.empty((len(images), rows.stop - first, width), np.float32)
        for k, image in enumerate(images):
            stack[k] = read_pixels(image, rows)
            if pedestal is not None:
                stack[k] -= pedestal[rows]
            if levels:
                stack[k] = per_colour(stack[k], pattern, levels[k], first)
        out[rows] = clipped_mean(stack)
    return out


def _dark(task: MasterTask, images: Sequence[ImageFile], master: Master) -> Master:
    pattern = task.item.first.bayer
    data = _combined(images, pattern, None, ())
    data, note = _in_adu(data, images[0])
    if not task.item.master:
        zeros = float(np.mean(np.asarray(read_pixels(images[0])) == 0))
        if zeros > CUT:
            return replace(
                master,
                useless=f"{100 * zeros:.0f} % of its pixels are 0: the camera cuts there, so its level is not known",
            )
    level = float(np.nanmedian(data))
    _write(task, data, len(images), note)
    if task.item.kind is CalibrationKind.DARK:
        data[hot_pixels(data)] = np.nan
    save_array(task.stem.with_suffix(".npy"), data)
    return replace(master, level=level, note=note)


def _in_adu(data: Float32Array, image: ImageFile) -> tuple[Float32Array, str]:
    """Floating point masters whose values lie within 0 to 1 are 1/65535 of ADU, as Siril and PixInsight save them."""
    if image.bitpix > 0 or not float(np.nanmax(data)) <= 1.0:
        return data, ""
    return data * np.float32(FULL_SCALE), "normalised"


def _flat(task: MasterTask, images: Sequence[ImageFile], master: Master) -> Master:
    """A flat without colours, 1 in the centre; what workers divide by is that over its smooth part."""
    pattern = task.item.first.bayer
    pedestal = None if task.pedestal is None else np.load(task.pedestal, mmap_mode="r")
    if task.item.master:
        data = np.asarray(read_pixels(images[0]), np.float32)
    else:
        levels = [_level(image, pattern, pedestal) for image in images]
        data = _combined(images, pattern, pedestal, levels)
    medians = colour_medians(data, pattern)
    if not min(medians) > 0:
        return replace(master, useless="it holds no light after its dark or bias is taken off")
    data = per_colour(data, pattern, medians)
    level, response = smooth_part(data)
    data /= np.float32(level)
    _write(task, data, len(images), "")
    dead = dead_pixels(data)
    data /= smooth_flat((data.shape[0], data.shape[1]), response)
    data[dead] = np.nan
    save_array(task.stem.with_suffix(".npy"), data)
    note = "" if task.item.master or task.below else "no_pedestal"
    return replace(master, level=1.0, response=response, note=note)


def _level(image: ImageFile, pattern: str | None, pedestal: Float32Array | None) -> tuple[float, ...]:
    data = np.asarray(read_pixels(image), np.float32)
    return colour_medians(data if pedestal is None else data - pedestal, pattern)


def _write(task: MasterTask, data: Float32Array, frames: int, note: str) -> None:
    """The master as FITS, for people and for other programs."""
    first = task.item.first
    header = Header()
    header["IMAGETYP"] = f"Master {task.item.kind.value.title()}"
    header["NCOMBINE"] = (frames, "frames combined")
    header["BUNIT"] = "" if task.item.kind is CalibrationKind.FLAT else "adu"
    texts = {"INSTRUME": first.camera, "TELESCOP": first.telescope, "FILTER": first.filter, "BAYERPAT": first.bayer}
    numbers = {
        "EXPTIME": task.item.exposure,
        "GAIN": first.gain,
        "OFFSET": first.offset,
        "CCD-TEMP": task.item.temperature,
    }
    header.update({key: value for key, value in texts.items() if value})
    header.update({key: value for key, value in numbers.items() if not math.isnan(value)})
    header["XBINNING"] = header["YBINNING"] = first.binning
    header["SOFTWARE"] = f"ZeMosaic {__version__}"
    if note == "normalised":
        header["HISTORY"] = "values of the file times 65535"
    if task.below:
        header["HISTORY"] = f"{task.below} was taken off"
    write_fits(task.stem.with_suffix(".fits"), header, data.shape, [data])


def save_array(path: Path, data: NDArray[np.generic]) -> None:
    """Write an array that is whole or absent; OutputError when that cannot be done."""
    file = io.BytesIO()
    np.save(file, data)
    put_file(path, file.getbuffer())
