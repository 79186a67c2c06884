"""Pixels to sky and back: of frames (gnomonic projection, linear matrix, distortion), and of the mosaic (any projection).

Formulae: Calabretta & Greisen 2002, A&A 395, 1077 (TAN). Tested against `astropy.wcs`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zemosaic.imaging.distortion import bend, stretch, unbend
from zemosaic.model import Grid, Solution
from zemosaic.projections import project, unproject

__all__ = [
    "angular_separation",
    "grid_area",
    "grid_to_sky",
    "linear_inverse",
    "moved",
    "pixel_area",
    "pixel_scale",
    "pixel_to_sky",
    "sky_to_grid",
    "sky_to_pixel",
    "tan_deproject",
    "tan_project",
]

FloatArray = NDArray[np.float64]


def tan_project(ra: ArrayLike, dec: ArrayLike, ra0: float, dec0: float) -> tuple[FloatArray, FloatArray]:
    """Standard coordinates (xi, eta), degrees, of sky positions about a tangent point.

    Positions 90 degrees away or farther give NaN.
    """
    a = np.radians(np.asarray(ra, float) - ra0)
    d, d0 = np.radians(np.asarray(dec, float)), math.radians(dec0)
    sin_d, cos_d, cos_a = np.sin(d), np.cos(d), np.cos(a)
    depth = sin_d * math.sin(d0) + cos_d * math.cos(d0) * cos_a
    depth = np.where(depth > 1e-9, depth, np.nan)
    xi = cos_d * np.sin(a) / depth
    eta = (sin_d * math.cos(d0) - cos_d * math.sin(d0) * cos_a) / depth
    return np.degrees(xi), np.degrees(eta)


def tan_deproject(xi: ArrayLike, eta: ArrayLike, ra0: float, dec0: float) -> tuple[FloatArray, FloatArray]:
    """Sky positions, degrees with 0 <= ra < 360, of standard coordinates about a tangent point."""
    x, y = np.radians(np.asarray(xi, float)), np.radians(np.asarray(eta, float))
    d0 = math.radians(dec0)
    down = math.cos(d0) - y * math.sin(d0)
    ra = np.degrees(np.arctan2(x, down)) + ra0
    dec = np.degrees(np.arctan2(math.sin(d0) + y * math.cos(d0), np.hypot(x, down)))
    return np.mod(np.mod(ra, 360.0), 360.0), dec  # the first remainder of -1e-20 is 360.0


def linear_inverse(cd: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Inverse of the linear matrix, px/deg."""
    a, b, c, d = cd
    det = a * d - b * c
    return d / det, -b / det, -c / det, a / det


def pixel_to_sky(solution: Solution, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Sky positions (ra, dec), degrees, of frame pixels."""
    u, v = bend(solution.distortion, np.asarray(x, float) - solution.x, np.asarray(y, float) - solution.y)
    a, b, c, d = solution.cd
    return tan_deproject(a * u + b * v, c * u + d * v, solution.ra, solution.dec)


def sky_to_pixel(solution: Solution, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Frame pixels (x, y) of sky positions in degrees; NaN on the far side of the sky."""
    xi, eta = tan_project(ra, dec, solution.ra, solution.dec)
    a, b, c, d = linear_inverse(solution.cd)
    u, v = unbend(solution.distortion, a * xi + b * eta, c * xi + d * eta)
    return u + solution.x, v + solution.y


def pixel_scale(solution: Solution) -> float:
    """Pixel size at the reference pixel, arcsec: square root of its area."""
    a, b, c, d = solution.cd
    return 3600.0 * math.sqrt(abs(a * d - b * c))


def pixel_area(solution: Solution, x: ArrayLike, y: ArrayLike) -> FloatArray:
    """Solid angle of pixels, square degrees, from the Jacobian of the whole solution."""
    u, v = np.asarray(x, float) - solution.x, np.asarray(y, float) - solution.y
    a, b, c, d = solution.cd
    du, dv = bend(solution.distortion, u, v)
    r2 = np.radians(a * du + b * dv) ** 2 + np.radians(c * du + d * dv) ** 2
    gnomonic: FloatArray = (1.0 + r2) ** -1.5
    return abs(a * d - b * c) * stretch(solution.distortion, u, v) * gnomonic


def moved(solution: Solution, ra: float, dec: float) -> Solution:
    """The same solution with its reference pixel at another sky position, its matrix turned by the convergence of meridians.

    Near the pole a shift of a few arcseconds turns the matrix noticeably; the rotation is exact on the sphere.
    """
    delta = math.radians((ra - solution.ra + 180.0) % 360.0 - 180.0)
    mean = math.radians(0.5 * (dec + solution.dec))
    angle = 2.0 * math.atan(math.tan(0.5 * delta) * math.sin(mean) / math.cos(math.radians(0.5 * (dec - solution.dec))))
    cos, sin = math.cos(angle), math.sin(angle)
    a, b, c, d = solution.cd
    cd = (cos * a + sin * c, cos * b + sin * d, cos * c - sin * a, cos * d - sin * b)
    return replace(solution, ra=ra % 360.0 % 360.0, dec=dec, cd=cd)


def grid_to_sky(grid: Grid, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Sky positions, degrees, of mosaic pixels; NaN beyond the edge of the map."""
    a, b, c, d = grid.matrix
    u, v = np.asarray(x, float) - grid.x, np.asarray(y, float) - grid.y
    xi, eta = (a * u, d * v) if grid.rotation == 0.0 else (a * u + b * v, c * u + d * v)
    if grid.projection == "TAN":
        return tan_deproject(xi, eta, grid.ra, grid.dec)
    return unproject(grid.projection, grid.ra, grid.dec, *np.broadcast_arrays(xi, eta))


def sky_to_grid(grid: Grid, ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Mosaic pixels of sky positions in degrees; NaN where the map has none, of TAN on the far side of the sky."""
    if grid.projection == "TAN":
        xi, eta = tan_project(ra, dec, grid.ra, grid.dec)
    else:
        xi, eta = project(grid.projection, grid.ra, grid.dec, np.asarray(ra, float), np.asarray(dec, float))
    if grid.rotation == 0.0:
        return grid.x - xi / grid.scale, grid.y + eta / grid.scale
    a, b, c, d = linear_inverse(grid.matrix)
    return grid.x + a * xi + b * eta, grid.y + c * xi + d * eta


def grid_area(grid: Grid, ra: ArrayLike, dec: ArrayLike) -> FloatArray:
    """Solid angle of the mosaic's pixels at sky positions, in units of scale^2; NaN where the map has none."""
    if grid.projection == "TAN":  # the cube of the cosine of the distance
        distance = np.radians(angular_separation(ra, dec, grid.ra, grid.dec))
        area: FloatArray = np.cos(distance) ** 3
        return area
    x, y = sky_to_grid(grid, ra, dec)
    across, up = (
        _direction(*grid_to_sky(grid, x + dx, y + dy)) - _direction(*grid_to_sky(grid, x - dx, y - dy))
        for dx, dy in ((0.5, 0.0), (0.0, 0.5))
    )
    solid: FloatArray = np.linalg.norm(np.cross(across, up), axis=-1) / math.radians(grid.scale) ** 2
    return solid


def _direction(ra: FloatArray, dec: FloatArray) -> FloatArray:
    """(..., 3) unit vectors."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def angular_separation(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> FloatArray:
    """Great-circle distance, degrees (haversine: exact for small angles)."""
    d1, d2 = np.radians(np.asarray(dec1, float)), np.radians(np.asarray(dec2, float))
    da = np.radians(np.asarray(ra2, float) - np.asarray(ra1, float))
    h = np.sin((d2 - d1) / 2) ** 2 + np.cos(d1) * np.cos(d2) * np.sin(da / 2) ** 2
    result: FloatArray = np.degrees(2 * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0))))
    return result
