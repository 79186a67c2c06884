"""Robust location and median of the samples of each pixel, side by side.

The scale is that of the noise model, never the spread of the samples, so that each method works from three samples on.

* `kappa_sigma`: the mean of what lies within kappa sigma of it, iterated from the median (e.g. Da Costa 1992, ASP Conf. 23, 90).
* `winsorized_sigma_clip`: the mean of winsorised samples: the outermost fractions take the value of their next neighbour (Dixon &
  Tukey 1968, Technometrics 10, 83), and what is farther than 1.5 sigma from the location pulls no harder than from there (Huber
  1964, Ann. Math. Stat. 35, 73); beyond kappa sigma a sample is left out.
* `linear_fit_clip`: the ordered samples are fitted by a straight line and what is farther than kappa sigma from it is left out,
  until nothing changes, as PixInsight documents it for its ImageIntegration; here the line cannot rise faster than noise
  explains.
* `none`: the mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from zemosaic.kernels import coadd as kernels

__all__ = ["METHODS", "location", "median", "median_variance"]

METHODS = {
    "none": kernels.MEAN,
    "kappa_sigma": kernels.KAPPA_SIGMA,
    "winsorized_sigma_clip": kernels.WINSORIZED,
    "linear_fit_clip": kernels.LINEAR_FIT,
}
Float32Array = NDArray[np.float32]


def location(
    samples: Float32Array,
    count: NDArray[np.uint16],
    method: str,
    *,
    kappas: tuple[float, float],
    limits: tuple[float, float],
    equal: bool,
    level: tuple[float, ...],
    unlike: float,
    shares: tuple[float, ...],
) -> Float32Array:
    """Location of the samples of each pixel by one of `METHODS`: (channels, h, w), NaN where there is none.

    samples : (depth, h, w, 2 * channels + 1) float32, values, variances, weight (see `zemosaic.kernels.coadd`); count : (h, w)
    kappas, limits : low and high, sigma and fractions of the samples
    equal : whether noise has no part in the weights
    level : mosaic units, the sky that stays
    unlike : share of a star's light by which telescopes with other profiles may differ
    shares : variance of a sample over the one that lies with it
    """
    out = np.empty(((samples.shape[3] - 1) // 2, *count.shape), np.float32)
    ranges = _order_ranges(samples.shape[0])
    kernels.locate(
        samples, count, METHODS[method], (float(kappas[0]), float(kappas[1])), (float(limits[0]), float(limits[1])), equal,
        np.array(level, float), float(unlike), np.array(shares, float), ranges, out,
    )  # fmt: skip
    return out


def median(samples: Float32Array, count: NDArray[np.uint16], equal: bool) -> Float32Array:
    """Weighted median of the samples of each pixel: (channels, h, w), NaN where there is none."""
    out = np.empty(((samples.shape[3] - 1) // 2, *count.shape), np.float32)
    kernels.weighted_median(samples, count, equal, out)
    return out


def median_variance(count: NDArray[np.uint16]) -> Float32Array:
    """Variance of a median of so many samples over that of their mean, Gaussian noise: 1 of one, pi/2 of very many.

    pi n / (2 n - 2 + pi), within 2 % of the exact values for odd n (Kenney & Keeping 1962); even n lie 5 % lower at most.
    """
    n = count.astype(np.float32)
    result: Float32Array = np.where(n > 2, np.pi * n / (2.0 * n - 2.0 + np.pi), 1.0).astype(np.float32)
    return result


def _order_ranges(depth: int) -> NDArray[np.float64]:
    """(depth + 1,): largest minus smallest of n samples of unit noise, expected (Blom 1958: quantile (n - 3/8) / (n + 1/4))."""
    n = np.arange(2, depth + 1)
    return np.concatenate([np.zeros(2), 2.0 * ndtri((n - 0.375) / (n + 0.25))])[: depth + 1]
