"""Hot loops of the simulator: stars onto pixels, and the surface brightness of the sky onto pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["add_stars", "sample_periodic"]

F64 = NDArray[np.float64]
GAUSS = 0.3872983346207417  # nodes of the 3-point Gauss-Legendre rule on a pixel: 0 and +-sqrt(3/5)/2


@kernel
def _add_stars(
    out: F64,
    colours: NDArray[np.int64],
    x: F64,
    y: F64,
    flux: F64,
    fwhm: float,
    beta: float,
    radius: F64,
) -> None:
    height, width = out.shape
    alpha2 = (0.5 * fwhm) ** 2 / (2.0 ** (1.0 / beta) - 1.0)
    peak = (beta - 1.0) / (np.pi * alpha2)
    near2 = (2.0 * fwhm + 1.0) ** 2
    for k in range(x.size):
        y0 = max(0, int(np.ceil(y[k] - radius[k])))
        y1 = min(height - 1, int(np.floor(y[k] + radius[k])))
        x0 = max(0, int(np.ceil(x[k] - radius[k])))
        x1 = min(width - 1, int(np.floor(x[k] + radius[k])))
        for j in range(y0, y1 + 1):
            for i in range(x0, x1 + 1):
                dx = i - x[k]
                dy = j - y[k]
                if dx * dx + dy * dy > radius[k] * radius[k]:
                    continue
                value = 0.0
                if dx * dx + dy * dy < near2:
                    for b in range(-1, 2):
                        for a in range(-1, 2):
                            weight = (8.0 if a == 0 else 5.0) * (8.0 if b == 0 else 5.0) / 324.0
                            r2 = (dx + a * GAUSS) ** 2 + (dy + b * GAUSS) ** 2
                            value += weight * (1.0 + r2 / alpha2) ** -beta
                else:
                    value = (1.0 + (dx * dx + dy * dy) / alpha2) ** -beta
                out[j, i] += peak * value * flux[k, colours[j % 2, i % 2]]


def add_stars(
    out: F64,
    colours: NDArray[np.int64],
    x: F64,
    y: F64,
    flux: F64,
    fwhm: float,
    beta: float,
    radius: F64,
) -> None:
    """Add stars with a Moffat profile integrated over the pixels (3 x 3 Gauss-Legendre, error < 1e-4 of the flux).

    Parameters
    ----------
    out : (h, w) float64, changed
    colours : (2, 2) int64, channel of each pixel of the colour filter array
    x, y : (n,) float64, px
    flux : (n, channels) float64, in the unit of `out` times px
    fwhm : px
    beta : exponent of the profile, > 1
    radius : (n,) float64, px, where the profile is cut
    """
    _add_stars(out, colours, x, y, flux, float(fwhm), float(beta), radius)


@kernel
def _sample_periodic(coefficients: F64, colours: NDArray[np.int64], x: F64, y: F64, step: float, out: F64) -> None:
    _, size_y, size_x = coefficients.shape
    height, width = out.shape
    wx = np.empty(4)
    wy = np.empty(4)
    columns = np.empty(4, np.int64)
    for j in range(height):
        node_y = int(j / step)
        fy = j / step - node_y
        for i in range(width):
            node_x = int(i / step)
            fx = i / step - node_x
            px = (1 - fy) * ((1 - fx) * x[node_y, node_x] + fx * x[node_y, node_x + 1]) + fy * (
                (1 - fx) * x[node_y + 1, node_x] + fx * x[node_y + 1, node_x + 1]
            )
            py = (1 - fy) * ((1 - fx) * y[node_y, node_x] + fx * y[node_y, node_x + 1]) + fy * (
                (1 - fx) * y[node_y + 1, node_x] + fx * y[node_y + 1, node_x + 1]
            )
            ix = int(np.floor(px))
            iy = int(np.floor(py))
            t = px - ix
            wx[0] = (1 - t) ** 3 / 6
            wx[1] = (4 - 6 * t * t + 3 * t**3) / 6
            wx[3] = t**3 / 6
            wx[2] = 1 - wx[0] - wx[1] - wx[3]
            t = py - iy
            wy[0] = (1 - t) ** 3 / 6
            wy[1] = (4 - 6 * t * t + 3 * t**3) / 6
            wy[3] = t**3 / 6
            wy[2] = 1 - wy[0] - wy[1] - wy[3]
            for a in range(4):
                columns[a] = (ix + a - 1) % size_x
            plane = coefficients[colours[j % 2, i % 2]]
            total = 0.0
            for b in range(4):
                row = plane[(iy + b - 1) % size_y]
                line = 0.0
                for a in range(4):
                    line += wx[a] * row[columns[a]]
                total += wy[b] * line
            out[j, i] = total


def sample_periodic(coefficients: F64, colours: NDArray[np.int64], x: F64, y: F64, step: int, out: F64) -> None:
    """Cubic B-spline of a periodic map, at positions given on a lattice and interpolated linearly between its nodes.

    Parameters
    ----------
    coefficients : (channels, ny, nx) float64, from `scipy.ndimage.spline_filter(mode="grid-wrap")`
    colours : (2, 2) int64, channel wanted at each pixel
    x, y : (rows, columns) float64, position in the map at the output pixels (j step, i step); one node beyond the end
    step : px between nodes
    out : (h, w) float64, changed
    """
    _sample_periodic(coefficients, colours, x, y, float(step), out)
