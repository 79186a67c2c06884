"""Wide nights: tiny frames with large pixels, whose solutions and corrections are known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from nights import Inline
from zemosaic.chunks import opened
from zemosaic.events import Silent
from zemosaic.imaging.calibrate import Feather
from zemosaic.imaging.projection import pixel_area, sky_to_pixel
from zemosaic.model import Correction, Frame, FrameKind, Grid, Group, Mosaic, Solution
from zemosaic.phases._export_header import Provenance, companion_header
from zemosaic.phases.assemble import Assembly, Exposure, Recipe
from zemosaic.phases.plan import Layout, SideBySide, make_grid, make_plan

SHAPE = (96, 112)
SKY, LIGHT, SIGMA = 900.0, 50.0, 8.0
FLUX = 20000.0
MADE = Provenance(
    1, 1, "none", "none", "none", 4.0, 4.0, "mean", "incremental", "lanczos3", math.nan, False, math.nan, math.nan, "test",
    "", (), math.nan, math.nan,
)  # fmt: skip


@dataclass(frozen=True)
class WideNight:
    """Frames over a part of the sky, and stars all over it, one degree of sky being LIGHT / scale^2."""

    scale: float  # deg/px
    exposures: tuple[Exposure, ...]
    ra: np.ndarray  # of the stars
    dec: np.ndarray

    @property
    def frames(self) -> list[Frame]:
        return [e.frame for e in self.exposures]

    @property
    def solutions(self) -> dict[int, Solution]:
        return {e.frame.id: e.solution for e in self.exposures}


def solution(ra: float, dec: float, scale: float, turn: float) -> Solution:
    c, s = scale * math.cos(math.radians(turn)), scale * math.sin(math.radians(turn))
    return Solution(ra % 360.0, dec, 0.5 * (SHAPE[1] - 1), 0.5 * (SHAPE[0] - 1), (-c, s, s, c))


def wide_night(
    folder: Path,
    centres: Sequence[tuple[float, float]],
    stars: Sequence[tuple[float, float]],
    scale: float,
    turn: float = 7.0,
) -> WideNight:
    """Mono frames without noise; each is turned by `turn` degrees more than the one before."""
    folder.mkdir(exist_ok=True)
    ra, dec = np.array(stars, float).T
    return WideNight(
        scale,
        tuple(_exposure(folder, k, solution(*c, scale, k * turn), ra, dec) for k, c in enumerate(centres)),
        ra,
        dec,
    )


def _exposure(folder: Path, k: int, where: Solution, ra: np.ndarray, dec: np.ndarray) -> Exposure:
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(float)
    unit = where.cd[0] ** 2 + where.cd[1] ** 2
    data = SKY + LIGHT * pixel_area(where, x, y) / unit
    for px, py in zip(*sky_to_pixel(where, ra, dec), strict=True):
        if -8 < px < SHAPE[1] + 8 and -8 < py < SHAPE[0] + 8:
            data += FLUX / (2 * np.pi * 1.7**2) * np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / 1.7**2)
    path, measured = folder / f"{k}.fit", folder / f"{k}.measured.npz"
    fits.writeto(path, data.astype(np.float32))
    np.savez(measured, damaged=np.zeros(0, np.int64))
    frame = Frame(
        id=k, path=path, size=0, mtime_ns=0, digest=str(k), width=SHAPE[1], height=SHAPE[0], kind=FrameKind.MONO,
        bayer=None, instrument="one", camera="", telescope="", target="", filter="", exposure=10.0, gain=80.0,
        temperature=20.0, date_obs="", ra=where.ra, dec=where.dec, scale=3600 * math.sqrt(unit), saturation=65535.0,
    )  # fmt: skip
    correction = Correction(k, (1.0,), ((SKY, 0.0, 0.0),), (), 0.5 * math.hypot(*SHAPE))
    return Exposure(frame, where, correction, (SIGMA,), (SKY,), 0.0, folder / f"{k}.npz", measured)


def combined(
    night: WideNight, folder: Path, layout: Layout, joint: bool = False, rejection: str = "kappa_sigma"
) -> Mosaic:
    grid = make_grid(night.frames, night.solutions, layout)
    group = Group(0, grid.ra, grid.dec, tuple(night.solutions))
    plan = make_plan(
        night.frames, night.solutions, (group,), grid, memory=2**30, workers=1, samples=SideBySide() if joint else None
    )
    recipe = Recipe(Feather(taper=8.0), (0.0,), rejection=rejection)
    with Inline() as executor:
        by_id = {e.frame.id: e for e in night.exposures}
        return Assembly(plan, by_id, recipe, folder / "mosaic", folder / "sensors").run(executor, Silent()).mosaic


def plane(path: Path) -> np.ndarray:
    return opened(path).read().reshape(opened(path).shape[-2:])


def header_of(grid: Grid) -> fits.Header:
    return companion_header(grid, 1, MADE, "X", "", "")


def wcs_of(grid: Grid) -> WCS:
    """As another program sees it."""
    return WCS(header_of(grid))


@dataclass(frozen=True)
class Found:
    """A star in a mosaic."""

    off: float  # px of the frames, from where the header puts it
    flux: float  # over FLUX, its pixels times their solid angle over the nominal one


def star(data: np.ndarray, grid: Grid, ra: float, dec: float, scale: float, half: int = 8) -> Found | None:
    """None where the mosaic does not hold all of it, `half` px to each side."""
    wcs = wcs_of(grid)
    x, y = (float(each) for each in wcs.wcs_world2pix([[ra, dec]], 0)[0])
    if not (math.isfinite(x + y) and half < x < data.shape[1] - half - 1 and half < y < data.shape[0] - half - 1):
        return None
    cut = np.s_[round(y) - half : round(y) + half + 1, round(x) - half : round(x) + half + 1]
    light = data[cut] - LIGHT * (grid.scale / scale) ** 2
    if not np.isfinite(light).all():
        return None
    yy, xx = np.mgrid[cut]
    a, d = np.radians(wcs.wcs_pix2world(np.stack([xx.ravel(), yy.ravel()], axis=1), 0)).T
    vectors = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    area = areas(wcs, xx, yy) / math.radians(grid.scale) ** 2
    weight = (light * area).ravel()
    mean = vectors @ weight / np.linalg.norm(vectors @ weight)
    true = np.radians([ra, dec])
    place = np.array([math.cos(true[1]) * math.cos(true[0]), math.cos(true[1]) * math.sin(true[0]), math.sin(true[1])])
    return Found(float(np.linalg.norm(mean - place) / math.radians(scale)), float(weight.sum() / FLUX))


def areas(wcs: WCS, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Solid angles of pixels from their corners on the sky: half the cross product of the diagonals."""
    corners = []
    for dx, dy in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        a, d = np.radians(wcs.wcs_pix2world(np.stack([(x + dx).ravel(), (y + dy).ravel()], axis=1), 0)).T
        corners.append(np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1))
    solid = 0.5 * np.linalg.norm(np.cross(corners[2] - corners[0], corners[3] - corners[1]), axis=-1)
    return solid.reshape(x.shape)
