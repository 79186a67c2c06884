"""The mosaic to be judged and, on its own pixels, what the truth says it should show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from zemosaic.errors import InputError
from zemosaic.fits import read_header, read_image
from zemosaic.imaging.demosaic import cfa_colours
from zemosaic.imaging.projection import pixel_area, pixel_to_sky, sky_to_pixel
from zemosaic.imaging.skysurface import surface_at
from zemosaic.kernels.render import add_stars
from zemosaic.model import Solution
from zemosaic.simulate.camera import response, star_radius, transparency
from zemosaic.simulate.sky import grid_lattice
from zemosaic.simulate.truth import Sub, Truth, load_truth

__all__ = ["BOX", "Scene", "boxes_of", "load_scene", "pixels_of"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
BOX = 8  # px, of the boxes on which depth and noise are judged
LATTICE = 32  # px between sky positions on the mosaic
TRAIL_MARGIN = 12  # px on either side of a true trail that do not count as noise


@dataclass(frozen=True)
class Depth:
    """What the subs saw of each box of the mosaic."""

    information: F64  # (3, rows, columns) best possible inverse variance of a box mean, ADU^-2 of the mosaic at scale 1
    frames: NDArray[np.int32]  # (panels, rows, columns) subs that see the middle of the box


@dataclass(frozen=True)
class Scene:
    """A mosaic and its truth; positions in px of the mosaic."""

    truth: Truth
    wcs: Solution
    data: F32  # (3, h, w); NaN is no data
    coverage: NDArray[np.int32] | None  # (h, w) frames, as published

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape[1], self.data.shape[2]

    @property
    def unit_area(self) -> float:
        """Solid angle of a reference pixel, square degrees."""
        return (self.truth.plan.scale / 3600.0) ** 2

    @cached_property
    def area(self) -> F32:
        """(h, w) solid angle of the mosaic's pixels over the reference pixel's."""
        y, x = np.ogrid[0 : self.shape[0], 0 : self.shape[1]]
        return (pixel_area(self.wcs, x, y) / self.unit_area).astype(np.float32)

    @cached_property
    def nebula(self) -> F32:
        """(3, h, w) true nebula, ADU per mosaic pixel at transparency 1."""
        place = pixel_to_sky(self.wcs, *grid_lattice(self.shape, LATTICE))
        out = np.empty((3, *self.shape), np.float32)
        for channel in range(3):
            one_colour = np.full((2, 2), channel, np.int64)
            out[channel] = self.truth.nebula.render(*place, LATTICE, self.shape, one_colour) * self.area
        return out

    @cached_property
    def star_positions(self) -> tuple[F64, F64]:
        return sky_to_pixel(self.wcs, self.truth.stars.ra, self.truth.stars.dec)

    def starlight(self, channel: int, fwhm: float) -> F32:
        """(h, w) true stars, ADU per mosaic pixel at transparency 1, with a profile of that width (px)."""
        out = np.zeros(self.shape)
        x, y = self.star_positions
        flux, beta = self.truth.stars.flux, self.truth.plan.beta
        radius = star_radius(flux.max(axis=1), fwhm, beta)
        near = (x > -radius) & (x < self.shape[1] + radius) & (y > -radius) & (y < self.shape[0] + radius)
        one_colour = np.full((2, 2), channel, np.int64)
        add_stars(out, one_colour, x[near], y[near], flux[near], fwhm, beta, radius[near])
        return out.astype(np.float32)

    @cached_property
    def depth(self) -> Depth:
        """Depth of all boxes; subs with trailed stars do not count, nobody has to use them."""
        rows, columns = self.shape[0] // BOX, self.shape[1] // BOX
        panels = 1 + max(sub.panel for sub in self.truth.subs)
        information = np.zeros((3, rows, columns))
        frames = np.zeros((panels, rows, columns), np.int32)
        middle = 0.5 * (BOX - 1)
        y, x = np.mgrid[0:rows, 0:columns] * float(BOX) + middle
        ra, dec = pixel_to_sky(self.wcs, x, y)
        nebula = np.stack([boxes_of(self.nebula[c]) for c in range(3)])
        area = boxes_of(self.area)
        for sub in self.truth.subs:
            if sub.smear == (0.0, 0.0):
                part = self._footprint(sub, rows, columns)
                at = ra[part], dec[part], nebula[:, *part], area[part]
                _add_depth(self.truth, sub, *at, information[:, *part], frames[sub.panel][part])
        return Depth(information, frames)

    def _footprint(self, sub: Sub, rows: int, columns: int) -> tuple[slice, slice]:
        """Boxes around a sub."""
        plan = self.truth.plan
        edge_x = np.concatenate([np.linspace(0, plan.width, 9)] * 2 + [np.zeros(9), np.full(9, plan.width)])
        edge_y = np.concatenate([np.zeros(9), np.full(9, plan.height)] + [np.linspace(0, plan.height, 9)] * 2)
        x, y = sky_to_pixel(self.wcs, *pixel_to_sky(sub.solution, edge_x, edge_y))
        x0, x1 = (int(np.clip(value // BOX, 0, columns)) for value in (x.min() - BOX, x.max() + 3 * BOX))
        y0, y1 = (int(np.clip(value // BOX, 0, rows)) for value in (y.min() - BOX, y.max() + 3 * BOX))
        return slice(y0, y1), slice(x0, x1)

    @cached_property
    def frames(self) -> NDArray[np.int32]:
        """(h, w) subs that see a pixel: by the truth, and no more than the mosaic says it has."""
        seen = pixels_of(self.depth.frames.sum(axis=0), self.shape)
        return seen if self.coverage is None else np.minimum(seen, self.coverage)

    def trail_line(self, sub: Sub, off: float) -> tuple[F64, F64]:
        """Points every px along a sub's trail, `off` px of the sub beside its axis, where the sub has pixels."""
        if sub.trail is None:
            return np.empty(0), np.empty(0)
        plan, (cos, sin) = self.truth.plan, (np.cos(sub.trail.angle), np.sin(sub.trail.angle))
        along = np.arange(-2.0 * plan.radius, 2.0 * plan.radius)
        x, y = sub.trail.x + along * cos - off * sin, sub.trail.y + along * sin + off * cos
        inside = (x > 0) & (x < plan.width - 1) & (y > 0) & (y < plan.height - 1)
        return sky_to_pixel(self.wcs, *pixel_to_sky(sub.solution, x[inside], y[inside]))

    @cached_property
    def near_trail(self) -> NDArray[np.bool_]:
        """(h, w) within `TRAIL_MARGIN` of the trail of any sub."""
        near = np.zeros(self.shape, bool)
        for sub in self.truth.subs:
            for x, y in zip(*(np.rint(axis[::4]).astype(int) for axis in self.trail_line(sub, 0.0)), strict=True):
                near[
                    max(y - TRAIL_MARGIN, 0) : max(y + TRAIL_MARGIN + 1, 0),
                    max(x - TRAIL_MARGIN, 0) : max(x + TRAIL_MARGIN + 1, 0),
                ] = True
        return near


def _add_depth(
    truth: Truth, sub: Sub, ra: F64, dec: F64, nebula: F64, area: F64, information: F64, frames: NDArray[np.int32]
) -> None:
    """Add one sub to `information` and `frames`: n (a F Omega)^2 / (sigma Omega_mosaic)^2 with n raw pixels per box."""
    plan = truth.plan
    x, y = sky_to_pixel(sub.solution, ra, dec)
    inside = (x >= 0) & (x <= plan.width - 1) & (y >= 0) & (y <= plan.height - 1)
    u, v = (x - 0.5 * (plan.width - 1)) / plan.radius, (y - 0.5 * (plan.height - 1)) / plan.radius
    gain, flat = transparency(sub, u, v), response(truth.instruments[sub.instrument].response, u * u + v * v)
    omega = pixel_area(sub.solution, x, y) / (plan.scale / 3600.0) ** 2
    share = np.bincount(cfa_colours(plan.bayer).ravel(), minlength=3) / 4.0
    for channel in range(3):
        seen = gain * truth.instruments[sub.instrument].colours[channel]
        level = np.maximum(flat * (seen * nebula[channel] / area * omega + surface_at(sub.sky[channel], u, v)), 0.0)
        variance = level / plan.gain + plan.read_noise_adu**2
        samples = share[channel] * BOX * BOX * area / omega
        information[channel] += np.where(inside, samples * (seen * flat * omega / area) ** 2 / variance, 0.0)
    frames += inside


def boxes_of(image: F32, size: int = BOX, share: float = 0.5) -> F64:
    """Mean of the pixels that are not NaN in square boxes; boxes with a smaller share of them are NaN."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    cut = image[: rows * size, : columns * size].reshape(rows, size, columns, size)
    good = np.isfinite(cut)
    count = good.sum(axis=(1, 3))
    total = np.where(good, cut, 0.0).sum(axis=(1, 3), dtype=np.float64)
    return np.where(count >= share * size * size, total / np.maximum(count, 1), np.nan)


def pixels_of(boxes: NDArray[Number], shape: tuple[int, int], size: int = BOX) -> NDArray[Number]:
    """Boxes as pixels; what is left at the right and upper edge takes the last box."""
    j = np.minimum(np.arange(shape[0]) // size, boxes.shape[0] - 1)
    i = np.minimum(np.arange(shape[1]) // size, boxes.shape[1] - 1)
    spread: NDArray[Number] = boxes[j[:, None], i[None, :]]
    return spread


def load_scene(mosaic: Path, truth: Path) -> Scene:
    """Read a mosaic, its coverage where there is one, and the truth.

    Raises
    ------
    InputError
        The mosaic is no (3, h, w) cube with a TAN WCS, or there is no truth.
    """
    night = load_truth(truth)
    header = read_header(mosaic)
    data = np.asarray(read_image(mosaic), np.float32)
    if data.ndim != 3 or data.shape[0] != 3:
        raise InputError(f"{mosaic}: an image of shape {data.shape}; the score needs a colour mosaic, (3, h, w).")
    path = mosaic.with_name(f"{mosaic.stem}_coverage.fits")
    coverage = np.asarray(read_image(path), np.int32) if path.is_file() else None
    if coverage is not None and coverage.shape != data.shape[1:]:
        raise InputError(f"{path}: shape {coverage.shape}, but the mosaic's is {data.shape[1:]}.")
    return Scene(night, _tangent_plane(mosaic, header), data, coverage)


def _tangent_plane(mosaic: Path, header: Header) -> Solution:
    wcs = WCS(header, naxis=2)
    if list(wcs.wcs.ctype) != ["RA---TAN", "DEC--TAN"]:
        raise InputError(f"{mosaic}: WCS of type {list(wcs.wcs.ctype)}; the score needs RA---TAN, DEC--TAN.")
    cd = wcs.pixel_scale_matrix
    ra, dec = (float(value) for value in wcs.wcs.crval)
    x, y = (float(value) - 1.0 for value in wcs.wcs.crpix)
    return Solution(ra, dec, x, y, (float(cd[0, 0]), float(cd[0, 1]), float(cd[1, 0]), float(cd[1, 1])))
