"""What one frame contributes: its pixels corrected, in mosaic units, debayered, with the validity of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.calibrated import read_calibrated
from zemosaic.errors import FrameError
from zemosaic.imaging.calibrate import STEP, Calibration, Feather, calibration
from zemosaic.imaging.demosaic import BAYER_SHARE, cfa_colours
from zemosaic.imaging.panels import edge_weight
from zemosaic.imaging.reject import uncut
from zemosaic.kernels.blot import invalidate
from zemosaic.kernels.calibrate import calibrate
from zemosaic.kernels.demosaic import calibrated_cubic, calibrated_mosaic
from zemosaic.model import Correction, Frame, FrameKind, Grid, Masters, Solution
from zemosaic.phases._assemble_canvas import digest
from zemosaic.tables import load_border, load_damaged

__all__ = [
    "CLIPPED",
    "Exposure",
    "Ingredient",
    "Lost",
    "LostFrameError",
    "Recipe",
    "by_chance",
    "fill_from_neighbours",
    "fill_pixels",
    "lanes",
    "lattices_of",
    "lone_pixels",
    "marked",
    "mend_missing",
    "places_of",
    "read_rows",
    "subtract",
    "taper_border",
    "unclip",
]

Float32Array = NDArray[np.float32]
CLIPPED = 1e-3  # share of pixels at exactly 0 from which a frame counts as cut at 0


class LostFrameError(FrameError):
    """A frame that could be read before cannot any more."""

    def __init__(self, frame_id: int, reason: str) -> None:
        super().__init__(reason)
        self.frame_id, self.reason = frame_id, reason


@dataclass(frozen=True)
class Lost:
    """What a task gives back that could not be done for want of a frame."""

    frame_id: int
    reason: str


@dataclass(frozen=True)
class Recipe:
    """How the frames are combined."""

    feather: Feather
    level: tuple[float, ...]  # mosaic units per channel, the mean sky that the mosaic keeps
    equal_weights: bool = False
    rejection: str = "kappa_sigma"  # one of `zemosaic.imaging.coadd.METHODS`
    kappa_low: float = 4.0
    kappa_high: float = 4.0
    winsor: tuple[float, float] = (0.05, 0.05)  # fractions of the samples, low and high
    combine: str = "mean"  # or median
    resampling: str = "lanczos3"  # one of `zemosaic.imaging.taps.METHODS`, or cfa
    pixfrac: float = 1.0  # px of the frame, side of a drop, for cfa
    maps: bool = False  # of the rejected pixels, too dark and too bright
    unlike: float = 0.0  # largest of the exposures

    @property
    def drops(self) -> bool:
        """Whether the final pass takes each colour from its own raw pixels, without interpolating them first."""
        return self.resampling == "cfa"

    @property
    def reject(self) -> bool:
        return self.rejection != "none"


@dataclass(frozen=True)
class Exposure:
    """All that the assembly needs to know of a frame."""

    frame: Frame
    solution: Solution
    correction: Correction
    sigma: tuple[float, ...]  # ADU per channel
    sky: tuple[float, ...]  # ADU per channel
    clipped: float  # share of raw pixels at exactly 0
    rejected: Path  # where its rejected pixels are written down
    measured: Path  # .npz with what was measured on it, its damaged pixels among that
    masters: Masters | None = None
    # share of a star's light by which its profile may differ from the mosaic's, see `imaging.reject`
    unlike: float = 0.0
    border: Path | None = None  # of a stack: where its pixels' distances from what has no data lie
    growth: tuple[float, ...] = ()  # ADU, of the variance with the level, per channel; () when the sky is not cut
    hot: Path | None = None  # .npz with the pixels that are damaged in many frames of its sensor
    sensor: Path | None = None  # the map of its sensor, learnt during the rejection

    @property
    def shape(self) -> tuple[int, int]:
        return self.frame.height, self.frame.width

    @property
    def seconds(self) -> float:
        """Of exposure; what is not known does not count."""
        return self.frame.exposure if math.isfinite(self.frame.exposure) else 0.0

    @property
    def white_sigma(self) -> tuple[float, ...]:
        """Noise that a pixel of each colour would have if the light of all its pixels were spread over the whole sensor.

        A quarter of a Bayer sensor sees red: means over an area are twice as noisy as `sigma` would say.
        """
        if self.frame.kind is not FrameKind.BAYER:
            return self.sigma
        return tuple(s / math.sqrt(share) for s, share in zip(self.sigma, BAYER_SHARE))

    @property
    def colours(self) -> NDArray[np.int64]:
        """(2, 2) channel of each pixel of the colour filter array; zeros without one."""
        return cfa_colours(self.frame.bayer) if self.frame.bayer else np.zeros((2, 2), np.int64)


def by_chance(exposures: Iterable[Exposure]) -> list[Exposure]:
    """In the order of what lies in their pixels: neighbours are not of one time, and frames that join later move none."""
    return sorted(exposures, key=lambda e: (e.frame.digest, e.frame.id))


@dataclass(frozen=True)
class Ingredient:
    """A frame as it went into a mosaic, written down beside what was made of it."""

    id: int  # in that run
    name: str  # the same in every run while the file is the same
    shape: tuple[int, int]
    solution: Solution
    correction: Correction  # without the id
    measured: str  # hash of the rest: noise, sky, calibration

    @classmethod
    def of(cls, exposure: Exposure) -> Ingredient:
        frame, masters = exposure.frame, exposure.masters
        rest = exposure.sigma, exposure.sky, exposure.clipped, exposure.growth, masters and masters.key, frame.unit
        name = f"{frame.digest} {frame.size} {frame.mtime_ns}"
        correction = replace(exposure.correction, frame_id=-1)
        return cls(frame.id, name, exposure.shape, exposure.solution, correction, digest(rest))


def read_rows(exposure: Exposure, rows: slice | None = None) -> Float32Array:
    """Calibrated pixels of a frame, or rows of it.

    Raises LostFrameError when the file is not the one that was measured, or cannot be read.
    """
    frame = exposure.frame
    try:
        about = frame.path.stat()
        if frame.size and (about.st_size, about.st_mtime_ns) != (frame.size, frame.mtime_ns):
            raise FrameError(
                f"{frame.path}: the file was changed after it was measured ({frame.size} bytes then, {about.st_size} now); "
                "leave the input alone during a run and start the command again"
            )
        return read_calibrated(frame, exposure.masters, rows)
    except (FrameError, OSError) as error:
        raise LostFrameError(frame.id, str(error)) from error


def lattices_of(exposure: Exposure, grid: Grid, recipe: Recipe) -> Calibration:
    """What turns the frame's raw pixels into mosaic units, and their weight and variance, on a lattice."""
    return calibration(
        exposure.correction,
        exposure.solution,
        exposure.white_sigma,
        grid,
        exposure.shape,
        recipe.feather,
        recipe.equal_weights,
        recipe.level,
    )


def lanes(
    raw: Float32Array,
    row0: int,
    exposure: Exposure,
    lattices: Calibration,
    mask: NDArray[np.bool_],
    drops: bool = False,
) -> Float32Array:
    """(rows, w, 4): colours of each pixel in mosaic units, and its validity; of the frame's rows from `row0` on.

    drops : leave a colour filter array as it is, each pixel in the lane of its own colour, 0 in the others and where `mask` says
    """
    height, width = raw.shape[-2:]
    lanes = np.empty((height, width, 4), np.float32)
    filtered = exposure.frame.kind is FrameKind.BAYER
    if filtered:
        brought = calibrated_mosaic if drops else calibrated_cubic
        brought(raw, row0, exposure.colours, lattices.scale, lattices.offset, STEP, lanes)
    else:
        values = np.empty((height, width), np.float32)
        for c, plane in enumerate(raw if raw.ndim == 3 else raw[None]):
            calibrate(plane, row0, np.full((2, 2), c, np.int64), lattices.scale, lattices.offset, STEP, values)
            lanes[..., c] = values
        lanes[..., len(lattices.scale[0, 0]) :] = 1.0
    ys, xs = places_of(mask)
    if drops:
        lanes[ys, xs] = 0.0
    else:
        invalidate(ys, xs, exposure.colours, filtered, lanes)
    return lanes


def taper_border(image: Float32Array, exposure: Exposure, rows: slice, taper: float, drops: bool = False) -> None:
    """Let the validity of a stack (lane 3 of `lanes`) rise from its border as the weight of frames does from theirs.

    drops : the colours too, whose sums are divided by that of the validity
    """
    if exposure.border is not None:
        weight = edge_weight(load_border(exposure.border, rows), taper)[..., None]
        lanes = image if drops else image[..., 3:]
        lanes *= weight


def mend_missing(raw: Float32Array, exposure: Exposure, rows: slice) -> NDArray[np.bool_]:
    """Pixels of these rows that hold no data; the frame's sky takes their place, so that NaN spreads nowhere."""
    if exposure.border is not None:
        raw[..., load_border(exposure.border, rows) == 0] = np.nan
    missing = ~np.isfinite(raw if raw.ndim == 2 else raw.sum(axis=0))
    if missing.any():
        planes = 1 if raw.ndim == 2 else raw.shape[0]
        fill_pixels(raw, missing, np.full((planes, int(missing.sum())), np.nan, np.float32), exposure)
    return missing


def fill_pixels(raw: Float32Array, mask: NDArray[np.bool_], fill: Float32Array, exposure: Exposure) -> None:
    """Put the model into the rejected pixels; where there is none, the frame's sky."""
    ys, xs = places_of(mask)
    planes = raw if raw.ndim == 3 else raw[None]
    planes[:, ys, xs] = np.where(np.isfinite(fill), fill, _sky_at(exposure, raw.ndim, ys, xs))


def _sky_at(exposure: Exposure, axes: int, ys: NDArray[np.intp], xs: NDArray[np.intp]) -> Float32Array:
    """ADU of the sky at pixels of a frame: (planes, 1), or (n,) in the colours of the filter array."""
    sky = np.asarray(exposure.sky, np.float32)
    return sky[:, None] if axes == 3 else sky[exposure.colours[ys % 2, xs % 2]]


def fill_from_neighbours(raw: Float32Array, mask: NDArray[np.bool_], exposure: Exposure) -> None:
    """Put the mean of the eight neighbours 2 px away into damaged pixels, so that no interpolation spreads them."""
    ys, xs = places_of(mask)
    planes = raw if raw.ndim == 3 else raw[None]
    total, count = np.zeros((len(planes), ys.size), np.float32), np.zeros(ys.size, np.float32)
    for dy, dx in ((-2, -2), (-2, 0), (-2, 2), (0, -2), (0, 2), (2, -2), (2, 0), (2, 2)):
        y, x = ys + dy, xs + dx
        good = (y >= 0) & (x >= 0) & (y < mask.shape[0]) & (x < mask.shape[1])
        good[good] = ~mask[y[good], x[good]]
        total[:, good] += planes[:, y[good], x[good]]
        count += good
    sky = _sky_at(exposure, raw.ndim, ys, xs)
    planes[:, ys, xs] = np.where(count > 0, total / np.maximum(count, 1.0), sky)


def subtract(raw: Float32Array, exposure: Exposure, levels: Sequence[float]) -> None:
    if raw.ndim == 3:
        raw -= np.asarray(levels, np.float32)[:, None, None]
        return
    for dy in range(2):
        for dx in range(2):
            raw[dy::2, dx::2] -= levels[int(exposure.colours[dy, dx])]


def unclip(raw: Float32Array, model: Float32Array, exposure: Exposure) -> None:
    """Take off what cutting at 0 added, pixel by pixel, using the model's light; the sky's where there is no model."""
    for plane in raw if raw.ndim == 3 else raw[None]:
        uncut(plane, model, exposure.colours, exposure.sky, exposure.sigma, exposure.growth)


def places_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(y, x) of the pixels of a mask that are set, as `numpy.nonzero` gives them, five times as fast where they are few."""
    ys, xs = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return ys, xs


def lone_pixels(exposure: Exposure, rows: slice) -> NDArray[np.bool_]:
    """Hot and dead pixels that could be told from stars on the frame alone, in some of its rows."""
    return marked(load_damaged(exposure.measured), exposure, rows)


def marked(places: NDArray[np.int64], exposure: Exposure, rows: slice) -> NDArray[np.bool_]:
    """(rows, w) True at those of the flat places in a frame that lie in some of its rows."""
    height, width = exposure.shape
    first, last, _ = rows.indices(height)
    mask = np.zeros((last - first, width), bool)
    mask.ravel()[places[(places >= first * width) & (places < last * width)] - first * width] = True
    return mask
