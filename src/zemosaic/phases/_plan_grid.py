"""The mosaic's pixels: projection, scale, rotation, and the window of the map that is made."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zemosaic.errors import InputError, SettingsError
from zemosaic.imaging.grouping import mean_direction, unit_vectors
from zemosaic.imaging.projection import grid_to_sky, pixel_scale, pixel_to_sky, sky_to_grid, sky_to_pixel
from zemosaic.imaging.warp import extent, torn
from zemosaic.model import Frame, Grid, Solution
from zemosaic.projections import CONIC, ZENITHAL

__all__ = [
    "CHUNK",
    "Layout",
    "OutsideError",
    "check_scale",
    "grown_grid",
    "make_grid",
    "natural_scale",
    "reaching",
    "share_inside",
    "stays",
]

CHUNK = 256  # px, side of the squares in which planes lie on the disk
LENIENT = 1.25  # headers may be wrong by so much (focal length of the catalogue, binning that they do not know)
COARSEST = 1.5  # times the frames' own pixel size: beyond, the interpolation leaves out pixels between its samples
SAME_SCALE = (
    0.02  # of the pixel size, where nobody asks for one; frames finer or coarser by more get pixels of their own
)
SAME_ANGLE = 5.0  # deg, by which the mean angle of the frames may turn before a mosaic along them is laid out anew
WIDEST = 60.0  # degrees from the tangent point; beyond that a TAN projection stretches by 4
MOST_PIXELS = 4_000_000_000
FLAT = 10.0  # degrees from the centre, up to which a map is TAN by itself: there its pixels show 4.5 % less sky
STILL_FLAT = 12.0  # up to which it stays TAN when frames join
HALF = 90.0  # degrees from the centre, up to which a wider one is ZEA, and beyond CAR, which crowds nothing anywhere
PLACES = np.linspace(0.0, 1.0, 9)  # along and across a frame, where it is asked whether it lies in a window
Solutions = Mapping[int, Solution]
FloatArray = NDArray[np.float64]


class OutsideError(InputError):
    """No frame reaches into the window that the user wants."""


@dataclass(frozen=True)
class Layout:
    """What the user wants of the mosaic's pixels."""

    projection: str = "auto"  # or as in CTYPE
    scale: float = 0.0  # arcsec/px; 0: that of the frames
    rotation: float | None = 0.0  # deg from north through east, of what is up; None: along the sides of the frames
    centre: tuple[float, float] | None = None  # deg; None: that of the frames
    size: tuple[float, float] | None = None  # width and height; None: as large as the frames need
    degrees: bool = False  # the size, else px
    crop: float = 0.0  # share of the frames' width and height that is left out on each side


def natural_scale(frames: Sequence[Frame], solutions: Solutions) -> float:
    """Pixel size at which no frame loses detail, arcsec: the finest median of the telescopes with a tenth of the frames each."""
    return _finest(frames, [pixel_scale(solutions[f.id]) for f in frames])


def _finest(frames: Sequence[Frame], sizes: Sequence[float]) -> float:
    """The finest median of the telescopes with a tenth of the frames each; NaN when that of one of them is NaN."""
    scales: dict[str, list[float]] = defaultdict(list)
    for f, size in zip(frames, sizes, strict=True):
        scales["stack" if f.stack else f.instrument].append(size)
    return float(np.min([np.median(each) for each in scales.values() if 10 * len(each) >= len(frames)]))


def check_scale(frames: Sequence[Frame], output_scale: float) -> None:
    """Refuse an `output_scale` that is too coarse as soon as headers tell so, with some room for headers that are wrong.

    Raises SettingsError.
    """
    if frames and output_scale > LENIENT * COARSEST * (natural := _finest(frames, [f.scale for f in frames])):
        raise _too_coarse(output_scale, natural)


def _too_coarse(output_scale: float, natural: float) -> SettingsError:
    return SettingsError(
        f"output_scale is {output_scale:g} arcsec/px, the frames have {natural:.2f}: expected at most "
        f"{COARSEST * natural:.2f}, since pixels are interpolated, not averaged; make the mosaic at its own scale "
        "and bin it afterwards"
    )


def make_grid(frames: Sequence[Frame], solutions: Solutions, layout: Layout) -> Grid:
    """The pixels that all mosaics of these frames share.

    Raises
    ------
    InputError
        The frames lie too far apart for one picture, or for the projection; OutsideError: no frame lies in the window.
    SettingsError
        `output_scale` is too coarse.
    """
    return _window(_lattice(frames, solutions, layout), frames, solutions, layout)


def grown_grid(before: Grid, frames: Sequence[Frame], solutions: Solutions, layout: Layout) -> tuple[Grid, Grid] | None:
    """The grid of a mosaic with room for these frames, and the part of it that they need, on the same pixels as before.

    It grows by whole chunks to the south and east, so that what was made stays as it is in its chunks, and never shrinks. None:
    the pixels have to be others, or there would be too many of them: more new ones than a window has that has moved with the
    frames. Raises as `make_grid`.
    """
    if not _same_pixels(before, _lattice(frames, solutions, layout), frames, solutions, layout):
        return None
    try:
        canvas, part = _grown(before, _window(before, frames, solutions, layout))
    except OutsideError:
        raise
    except InputError:  # around where the frames lie now there may be room for them
        return None
    new = canvas.width * canvas.height - before.width * before.height
    moves = layout.size is not None and layout.centre is None
    return None if moves and new > part.width * part.height else (canvas, part)


def stays(before: Grid, frames: Sequence[Frame], solutions: Solutions, layout: Layout) -> bool:
    """Whether a mosaic keeps its pixels, as far as headers tell: their scale and rotation are not those that stars show.

    Raises as `make_grid`.
    """
    wanted = _lattice(frames, solutions, layout)
    if not layout.scale:
        wanted = replace(wanted, scale=before.scale)
    if layout.rotation is None:
        wanted = replace(wanted, rotation=before.rotation)
    return _same_pixels(before, wanted, frames, solutions, layout)


def _grown(before: Grid, part: Grid) -> tuple[Grid, Grid]:
    """A grid that holds both, and the part."""
    below, left = (max(0, -(-(new - old) // CHUNK)) * CHUNK for new, old in zip(part.zero, before.zero))
    y, x = before.zero[0] + below, before.zero[1] + left
    height = max(before.height + below, part.height + y - part.zero[0])
    width = max(before.width + left, part.width + x - part.zero[1])
    return _placed(before, -x, -y, width, height), part


def _same_pixels(before: Grid, wanted: Grid, frames: Sequence[Frame], solutions: Solutions, layout: Layout) -> bool:
    """Whether the pixels of a mosaic that is there are as good as those that it would have today."""
    far = _spread(frames, solutions, (before.ra, before.dec))
    turned = wanted.rotation - before.rotation
    if layout.rotation is None:
        same = (
            SAME_ANGLE if before.rotation else 0.0
        )  # exactly north: not what frames gave, but what the user wanted then
        turned = max(abs((turned + 45.0) % 90.0 - 45.0) - same, 0.0)
    flat = before.projection == "TAN" and layout.projection == "auto" and far <= STILL_FLAT
    moved = layout.centre is not None and (before.ra, before.dec) != (wanted.ra, wanted.dec)
    if before.projection == "TAN":
        reached = far <= WIDEST or (layout.size is not None and layout.centre is not None)
    else:
        reached = before.projection not in ZENITHAL or not any(_is_torn(f, solutions, before) for f in frames)
    return (
        abs(wanted.scale / before.scale - 1.0) <= (1e-9 if layout.scale else SAME_SCALE)
        and (wanted.projection == before.projection or flat)
        and turned == 0.0
        and not moved
        and reached
    )


def _lattice(frames: Sequence[Frame], solutions: Solutions, layout: Layout) -> Grid:
    """Projection, point of reference, scale and rotation; no pixels yet."""
    natural = natural_scale(frames, solutions)
    if layout.scale > COARSEST * natural:
        raise _too_coarse(layout.scale, natural)
    scale = (layout.scale or natural) / 3600.0
    vectors = _corners(frames, solutions)
    centre = layout.centre or mean_direction(vectors.reshape(-1, 3))
    spread = _spread(frames, solutions, centre)
    if layout.size is not None:
        spread = min(spread, 0.5 * math.hypot(*_sides(layout, scale)) * scale)
    projection = layout.projection
    if projection == "auto":
        projection = "TAN" if spread <= FLAT else "ZEA" if spread <= HALF else "CAR"
    if projection == "TAN" and spread > WIDEST:
        raise InputError(
            f"the frames lie up to {spread:.0f} degrees from their common centre, more than the {WIDEST:.0f} that "
            "TAN can show; leave output_projection at auto, or targets and target_gap at their defaults, which make a mosaic "
            "of each target"
        )
    ra, dec = centre
    if projection not in ZENITHAL:
        ra = _widest_gap(vectors) if layout.centre is None and spread > HALF else ra
        dec = dec if projection in CONIC else 0.0
        if projection in CONIC and abs(dec) < 1.0:
            raise InputError(
                f"a conic projection ({projection}) has no parallel to touch at declination {dec:+.1f}; choose CAR or CEA "
                "along the equator, or leave output_projection at auto"
            )
    lattice = Grid(ra, dec, scale, 0, 0, 0.0, 0.0, projection)
    rotation = _angle(frames, solutions, lattice) if layout.rotation is None else layout.rotation
    lattice = replace(lattice, rotation=rotation)
    return lattice if projection == "TAN" else _fitted(lattice, frames, solutions, layout, natural)


def _corners(frames: Sequence[Frame], solutions: Solutions) -> FloatArray:
    """(n, 4, 3) directions of the frames' corners."""
    corners = [
        pixel_to_sky(solutions[f.id], [0, f.width - 1, f.width - 1, 0], [0, 0, f.height - 1, f.height - 1])
        for f in frames
    ]
    return unit_vectors(np.array([c[0] for c in corners]), np.array([c[1] for c in corners]))


def _spread(frames: Sequence[Frame], solutions: Solutions, centre: tuple[float, float]) -> float:
    """Degrees from the centre to the corner that is farthest from it."""
    cosine = _corners(frames, solutions) @ unit_vectors(*map(np.array, centre))
    return float(np.degrees(np.arccos(np.clip(cosine.min(), -1.0, 1.0))))


def _widest_gap(vectors: FloatArray) -> float:
    """Right ascension opposite to the middle of the widest gap between those of the frames: there the map ends."""
    ra = np.sort(np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0])).ravel())
    gaps = np.diff(np.append(ra, ra[0] + 360.0))
    k = int(np.argmax(gaps))
    return float((ra[k] + 0.5 * gaps[k] + 180.0) % 360.0)


def _angle(frames: Sequence[Frame], solutions: Solutions, lattice: Grid) -> float:
    """Degrees, between -45 and 45, by which a map has to turn so that its sides run along those of the frames, on average."""
    turned = []
    for f in frames:
        x, y = 0.5 * (f.width - 1), 0.5 * (f.height - 1)
        across, up = (
            np.diff(each)[0] for each in sky_to_grid(lattice, *pixel_to_sky(solutions[f.id], [x - 9, x + 9], y))
        )
        turned.append(4.0 * math.atan2(up, across))
    known = np.array(turned)[np.isfinite(turned)]
    return math.degrees(math.atan2(float(np.sin(known).sum()), float(np.cos(known).sum()))) / 4.0


def _fitted(lattice: Grid, frames: Sequence[Frame], solutions: Solutions, layout: Layout, natural: float) -> Grid:
    """The lattice if the map has a place for all of the frames, as fine as its most crowded place needs."""
    name = lattice.projection
    wanted = list(frames)
    if layout.size is not None:
        box = _box(lattice, frames, solutions, layout)
        wanted = [f for f in frames if _reaches(f, solutions, box)]
    off = [f for f in wanted if _is_off(f, solutions, lattice)]
    if off:
        raise InputError(
            f"output_projection {name} has no place for {len(off)} of the {len(wanted)} frames, "
            f"{_spread(off, solutions, (lattice.ra, lattice.dec)):.0f} degrees from its point of reference; choose "
            "another one, or auto"
        )
    crowded = _crowding(wanted, solutions, lattice)
    most = COARSEST * natural / crowded
    if 3600.0 * lattice.scale <= most:
        return lattice
    if layout.scale:
        raise SettingsError(
            f"output_scale is {layout.scale:g} arcsec/px, of which {name} crowds {crowded:.1f} into a pixel somewhere in this "
            f"mosaic: expected at most {most:.2f}, or another output_projection"
        )
    return replace(lattice, scale=most / 3600.0)


def _is_torn(f: Frame, solutions: Solutions, grid: Grid) -> bool:
    return torn(solutions[f.id], (f.height, f.width), grid)


def _is_off(f: Frame, solutions: Solutions, grid: Grid) -> bool:
    """Whether a map has no place for some part of a frame; an atlas may end within one and go on at its other side."""
    reach = extent(solutions[f.id], (f.height, f.width), grid)
    return not np.isfinite(reach).all() or (grid.projection in ZENITHAL and _is_torn(f, solutions, grid))


def _crowding(frames: Sequence[Frame], solutions: Solutions, lattice: Grid) -> float:
    """How much farther apart on the sky than `scale` two neighbouring pixels of the map are at most, where the frames lie."""
    v, step = _corners(frames, solutions).reshape(-1, 3), 1e-4
    pole = np.where(np.abs(v[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    one = np.cross(pole, v)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    columns = []
    for way in (one, np.cross(v, one)):
        there, here = (
            np.stack(sky_to_grid(lattice, np.degrees(np.arctan2(p[:, 1], p[:, 0])), np.degrees(np.arcsin(p[:, 2]))))
            for p in ((v + s * step * way) / math.hypot(1.0, step) for s in (1.0, -1.0))
        )
        columns.append((there - here) * math.radians(lattice.scale) / (2.0 * step))
    jacobian = np.moveaxis(np.stack(columns), -1, 0)
    known = jacobian[np.isfinite(jacobian).all(axis=(1, 2))]
    least = np.linalg.svd(known, compute_uv=False)[:, 1] if len(known) else np.ones(1)
    return float(1.0 / max(least.min(), 1e-3))


def _sides(layout: Layout, scale: float) -> tuple[int, int]:
    """Width and height of the window, px."""
    width, height = layout.size or (0.0, 0.0)
    unit = scale if layout.degrees else 1.0
    return max(1, round(width / unit)), max(1, round(height / unit))


def _window(lattice: Grid, frames: Sequence[Frame], solutions: Solutions, layout: Layout) -> Grid:
    """The part of a lattice of pixels that is wanted.

    Raises OutsideError when no frame reaches into it.
    """
    grid = _box(lattice, frames, solutions, layout)
    if layout.size is not None and not any(_reaches(f, solutions, grid) for f in frames):
        ra, dec = mean_direction(_corners(frames, solutions).reshape(-1, 3))
        raise OutsideError(
            f"output_center and output_size: none of the {len(frames)} frames, around RA {ra:.2f} Dec {dec:+.2f}, lies in a "
            f"window of {grid.width * grid.scale:.2f} x {grid.height * grid.scale:.2f} degrees there"
        )
    return grid


def _box(lattice: Grid, frames: Sequence[Frame], solutions: Solutions, layout: Layout) -> Grid:
    """What holds every frame, or has the size that is wanted; around the centre that is wanted, or that of the frames."""
    if layout.size is None or layout.centre is None:
        reach = np.array([extent(solutions[f.id], (f.height, f.width), lattice, layout.crop) for f in frames])
        reach = reach[np.isfinite(reach).all(axis=1)]
        if not len(reach):
            raise InputError(
                f"output_projection {lattice.projection} has no place for any of the {len(frames)} frames around "
                f"RA {lattice.ra:.2f} Dec {lattice.dec:+.2f}; choose another one, or auto"
            )
        reach -= np.repeat([lattice.x, lattice.y], 2)
        left, bottom = math.floor(reach[:, 0].min()) - 1, math.floor(reach[:, 2].min()) - 1
        right, top = math.ceil(reach[:, 1].max()) + 2, math.ceil(reach[:, 3].max()) + 2
    if layout.centre is None:
        x, y = 0.5 * (left + right - 1), 0.5 * (bottom + top - 1)
    else:
        x, y = (float(each) - zero for each, zero in zip(sky_to_grid(lattice, *layout.centre), (lattice.x, lattice.y)))
    if layout.size is not None:
        width, height = _sides(layout, lattice.scale)
        return _placed(lattice, round(x - 0.5 * (width - 1)), round(y - 0.5 * (height - 1)), width, height)
    if layout.centre is not None:
        x, y = round(x), round(y)
        across, up = max(right - x, x - left), max(top - y, y - bottom)
        return _placed(lattice, x - across, y - up, 2 * across + 1, 2 * up + 1)
    return _placed(lattice, left, bottom, right - left, top - bottom)


def _placed(lattice: Grid, left: int, bottom: int, width: int, height: int) -> Grid:
    """A grid of pixels of a lattice, its first one (left, bottom) px from the point of reference."""
    if width * height > MOST_PIXELS:
        raise InputError(
            f"the mosaic would have {width} x {height} pixels of {lattice.scale * 3600:.2f} arcsec in {lattice.projection}; "
            "leave output_projection at auto, and targets and target_gap at their defaults, which make a mosaic of each target, "
            "or run parts of the field by themselves"
        )
    return replace(lattice, width=width, height=height, x=float(-left), y=float(-bottom))


def _seen(f: Frame, solutions: Solutions, grid: Grid) -> NDArray[np.bool_]:
    """Which of some places all over a frame lie on a grid."""
    x, y = np.meshgrid(PLACES * (f.width - 1), PLACES * (f.height - 1))
    px, py = sky_to_grid(grid, *pixel_to_sky(solutions[f.id], x, y))
    seen: NDArray[np.bool_] = (px > -0.5) & (py > -0.5) & (px < grid.width - 0.5) & (py < grid.height - 0.5)
    return seen


def _reaches(f: Frame, solutions: Solutions, grid: Grid) -> bool:
    """Whether a frame has something on a grid, which may be smaller than what lies between two of the places."""
    if _seen(f, solutions, grid).any():
        return True
    x0, x1, y0, y1 = extent(solutions[f.id], (f.height, f.width), grid)
    if not (x0 < grid.width and x1 > 0.0 and y0 < grid.height and y1 > 0.0):
        return False
    corners = grid.width - 1.0, grid.height - 1.0
    x, y = np.meshgrid(PLACES * corners[0], PLACES * corners[1])
    sx, sy = sky_to_pixel(solutions[f.id], *grid_to_sky(grid, x, y))
    return bool(((sx >= 0.0) & (sy >= 0.0) & (sx < f.width) & (sy < f.height)).any())


def reaching(frames: Sequence[Frame], solutions: Solutions, grid: Grid) -> frozenset[int]:
    """Ids of the frames that have something on a grid."""
    return frozenset(f.id for f in frames if _reaches(f, solutions, grid))


def share_inside(frames: Sequence[Frame], solutions: Solutions, grid: Grid) -> float:
    """Share of what the frames saw that lies on a grid."""
    return float(np.mean([_seen(f, solutions, grid).mean() for f in frames]))
