"""Ready-made stacks as frames: where they have data, and how noisy they are over areas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from zemosaic.imaging.calibrate import border_rise

__all__ = ["area_noise", "edge_weight", "inside_distance"]

Float32Array = NDArray[np.float32]
FarArray = NDArray[np.uint16]
FAR = 65535  # px
HOLE = 64  # px; fewer pixels of exactly 0 together are dark pixels of the picture
BOX = 8  # px
# noise of an area over that of its pixels, if they were independent; more is structure of the sky
MOST_CORRELATED = 4.0


def inside_distance(data: Float32Array) -> FarArray | None:
    """(h, w) px from each pixel to the nearest one without data, 0 there; None when all have data.

    data : (h, w) or (3, h, w). No data are pixels that are not finite, and those that are 0 in all planes where they lie
        together at the border of the picture, or by more than 64: programs fill what no sub has seen with 0.
    """
    planes = data if data.ndim == 3 else data[None]
    missing = ~np.isfinite(planes).all(axis=0)
    black, number = label((planes == 0).all(axis=0), np.ones((3, 3)))
    if number:
        size = np.bincount(black.ravel())
        border = np.concatenate([black[0], black[-1], black[:, 0], black[:, -1]])
        empty = size > HOLE
        empty[border] = True
        empty[0] = False
        missing |= empty[black]
    if not missing.any():
        return None
    distance: FarArray = np.minimum(np.ceil(distance_transform_edt(~missing)), FAR).astype(np.uint16)
    return distance


def edge_weight(distance: FarArray, taper: float) -> Float32Array:
    """Rise from 0 where there is no data to 1 at `taper` px from it, as frames have it towards their border."""
    weight: Float32Array = border_rise(distance.astype(np.float32) - np.float32(1.0), taper).astype(np.float32)
    return weight


def area_noise(data: Float32Array, sigma: tuple[float, ...]) -> tuple[float, ...]:
    """Noise of a pixel, per plane, as means over areas show it: interpolated pixels share their noise with their neighbours.

    Second differences of the means of 8 x 8 px, by their median absolute value; between 1 and 4 times `sigma`, the noise
    from neighbouring pixels.

    data : (h, w) or (3, h, w) float32; NaN is no data
    """
    noise = []
    for plane, pixel in zip(data if data.ndim == 3 else data[None], sigma):
        rows, columns = plane.shape[0] // BOX, plane.shape[1] // BOX
        boxes = (
            plane[: rows * BOX, : columns * BOX].reshape(rows, BOX, columns, BOX).mean(axis=(1, 3), dtype=np.float64)
        )
        bends = [b[:-2] - 2.0 * b[1:-1] + b[2:] for b in (boxes, boxes.T)]
        known = np.abs(np.concatenate([b[np.isfinite(b)] for b in bends]))
        area = BOX * 1.4826 * float(np.median(known)) / np.sqrt(6.0) if known.size else 0.0
        noise.append(float(np.clip(area, pixel, MOST_CORRELATED * pixel)))
    return tuple(noise)
