"""The sky of all frames in cells, the stars masked: what `match` fits skies to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from zemosaic.errors import Cancelled
from zemosaic.events import PhaseProgress, Reporter
from zemosaic.imaging.demosaic import BAYER_SHARE
from zemosaic.imaging.linking import chord, unit_vectors
from zemosaic.imaging.projection import pixel_area, pixel_to_sky
from zemosaic.imaging.response import half_diagonal
from zemosaic.imaging.skycells import (
    MaskStars,
    SkyCells,
    bin_factor,
    common_stars,
    covered_area,
    frame_cells,
    join,
    mask_radius,
    star_mask,
    thinned,
)
from zemosaic.model import FrameKind
from zemosaic.phases._match_stars import BATCH, Detections, Item, Linked
from zemosaic.tables import load_mesh

__all__ = ["mask_stars", "sky_cells"]

LONE_STAR_SNR = 30.0  # a star that only one frame lists is masked from this S/N
NODE_SPACING = 64.0  # px, of the common sky; more when cells are larger


def mask_stars(inputs: Sequence[Item], detections: Detections, linked: Linked) -> MaskStars:
    """The common list of stars whose surroundings no frame's sky may use, brightest first."""
    snr = np.nan_to_num(detections.snr).astype(np.float64)
    width = np.array([i.measurement.fwhm * i.scale for i in inputs])
    typical = np.nanmedian(width) if np.isfinite(width).any() else 4 * inputs[0].scale
    width = np.where(np.isfinite(width), width, typical)
    radius = mask_radius(snr, width[detections.frame], detections.saturated)
    return common_stars(linked.star, linked.place, radius, snr, LONE_STAR_SNR if len(inputs) > 1 else 0.0)


def _plane(inputs: Sequence[Item]) -> tuple[float, float]:
    """Tangent point (ra, dec) amid all frames."""
    x, y, z = unit_vectors([i.solution.ra for i in inputs], [i.solution.dec for i in inputs]).sum(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def sky_cells(
    inputs: Sequence[Item], responses: Sequence[tuple[float, ...]], mask: MaskStars, reporter: Reporter
) -> tuple[SkyCells, float]:
    """The sky cells of all frames, stars masked, and the spacing (deg) of the nodes of the common sky.

    responses : of the sensor, for each frame. Raises Cancelled when the user asked to stop.
    """
    plane = _plane(inputs)
    first = load_mesh(inputs[0].measurement.path)
    outlines = [(i.solution, (i.frame.width, i.frame.height)) for i in inputs]
    covered = covered_area(outlines, plane, 0.1 * min(i.frame.width * i.scale for i in inputs))
    mask = thinned(mask, covered, first.cell * inputs[0].scale)
    tree = cKDTree(unit_vectors(mask.ra, mask.dec)) if len(mask.ra) else None
    area = float(np.median([pixel_area(i.solution, i.solution.x, i.solution.y) for i in inputs]))
    bins = bin_factor(len(inputs) * first.mean.shape[0] * first.mean.shape[1])
    parts, batch = list[SkyCells](), list[SkyCells]()
    for k, item in enumerate(inputs):
        if reporter.cancelled():
            raise Cancelled("stopped while the sky backgrounds were read; the next run of the same command goes on")
        batch.append(_frame_cells(k, item, responses[k], mask, tree, plane, area, bins))
        if len(batch) == BATCH:
            parts.append(join(batch))
            batch = []
        reporter.emit(PhaseProgress("match", k + 1, len(inputs), item.frame.path.name))
    spacing = max(NODE_SPACING, bins * first.cell) * float(np.median([i.scale for i in inputs]))
    return join([*parts, *batch]), spacing


def _frame_cells(
    index: int,
    item: Item,
    response: tuple[float, ...],
    mask: MaskStars,
    tree: cKDTree | None,
    plane: tuple[float, float],
    area: float,
    bins: int,
) -> SkyCells:
    frame, mesh = item.frame, load_mesh(item.measurement.path)
    masked = np.zeros(mesh.mean.shape[:2], bool)
    if tree is not None:
        centre = pixel_to_sky(item.solution, 0.5 * (frame.width - 1), 0.5 * (frame.height - 1))
        reach = half_diagonal(frame.width, frame.height) * item.scale + float(mask.radius.max())
        near = np.sort(tree.query_ball_point(unit_vectors(*centre), chord(3600.0 * 1.05 * reach))).astype(int)
        stars = MaskStars(mask.ra[near], mask.dec[near], mask.radius[near])
        masked = star_mask(stars, item.solution, item.scale, mesh.mean.shape[:2], mesh.cell)
    if masked.mean() > 0.9:  # a globular cluster fills the frame: stars are better than no sky at all
        masked[:] = False
    sigma = np.maximum(np.asarray(item.measurement.sigma), 1e-3)
    share = np.ones(1) if frame.kind is FrameKind.MONO else np.array(BAYER_SHARE)
    noise = sigma / (mesh.cell * np.sqrt(share))
    flat_fielded = item.measurement.flat is not None
    return frame_cells(
        index, mesh.mean, masked, mesh.cell, item.solution, item.size, response, noise, plane, area, bins, flat_fielded
    )
