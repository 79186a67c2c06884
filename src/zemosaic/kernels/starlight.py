"""Light of stars in the cells of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zemosaic.kernels._jit import kernel

__all__ = ["add_starlight"]


@kernel
def add_starlight(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    flux: NDArray[np.float64],
    radius: NDArray[np.float64],
    alpha: float,
    size: tuple[int, int],
    cell: int,
    out: NDArray[np.float64],
) -> None:
    """Add the light of stars with a Moffat profile of exponent 3 (Moffat 1969, A&A 3, 455) to cells that tile a frame.

    x, y : (n,) px; flux : (n, channels) ADU; radius : (n,) px, where the profile is cut
    alpha : px, its scale; size : (width, height) of the frame; cell : px
    out : (ny, nx, channels) ADU, sums over the pixels of each cell
    """
    width, height = size
    peak = 2.0 / (np.pi * alpha * alpha)
    inverse = 1.0 / (alpha * alpha)
    for k in range(x.size):
        reach = radius[k]
        first_y, last_y = max(0, int(np.ceil(y[k] - reach))), min(height - 1, int(np.floor(y[k] + reach)))
        first_x, last_x = max(0, int(np.ceil(x[k] - reach))), min(width - 1, int(np.floor(x[k] + reach)))
        for j in range(first_y, last_y + 1):
            down = (j - y[k]) ** 2
            for left in range(first_x // cell * cell, last_x + 1, cell):
                total = 0.0
                for i in range(max(left, first_x), min(left + cell, last_x + 1)):
                    distance = (i - x[k]) ** 2 + down
                    spread = 1.0 + distance * inverse
                    total += 1.0 / (spread * spread * spread) if distance <= reach * reach else 0.0
                for c in range(flux.shape[1]):
                    out[j // cell, left // cell, c] += peak * total * flux[k, c]
