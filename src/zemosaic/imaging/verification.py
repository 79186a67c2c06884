"""Is this solution true? Refine it on all stars, count the matches, and ask how often chance would do as well.

The criterion: if n catalogue stars fall on the frame, a random position has a star of the image within the radius with
the chance p = 1 - exp(-m pi r^2 / area), m being the number of image stars that take part. Of k matches, `d` are owed
to the parameters that were fitted. The expected number of false solutions of the search is then

    2 * hypotheses tested * P(at least k - d of n - d by chance)          (binomial; 2 radii are tried)

and a solution is accepted below `FALSE_ALARMS`. It is the a-contrario form of the odds of Lang et al. 2010, AJ 139, 1782.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import bdtrc

from zemosaic.imaging.projection import pixel_scale, sky_to_pixel, tan_deproject, tan_project
from zemosaic.model import Distortion, Solution

__all__ = ["FALSE_ALARMS", "Verdict", "expected_false", "match_nearest", "verify"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FALSE_ALARMS = 1e-6  # expected false solutions a search
FEWEST = 5  # matches
COARSE = (8.0, 5.0, 4.0)  # px, radii on the way from a hypothesis to its refinement
RADIUS = 3.0  # px: 1.5 px of distortion in the corners, centroids, 25 years of proper motion
SKY_RADIUS = 2.0  # arcsec, the same for fine pixels: proper motions and the catalogue's errors
HOPELESS = 0.01  # a place as good as this is common: in the Milky Way most hypotheses need no fit to be dropped
AFFINE_FROM = 8  # matches; with fewer a similarity is fitted
FLATTEST = 0.1  # of the cloud of matched stars: across a narrower one an affine matrix is a guess
MAX_SHEAR = 0.01  # of an affine matrix against the nearest similarity: no telescope does that


@dataclass(frozen=True)
class Verdict:
    """What became of a hypothesis."""

    solution: Solution
    matched: int
    expected: int  # catalogue stars on the frame
    false_alarms: float  # expected number of solutions as good as this by chance
    shear: float

    @property
    def holds(self) -> bool:
        return self.matched >= FEWEST and self.false_alarms < FALSE_ALARMS and self.shear < MAX_SHEAR


def match_nearest(
    x: FloatArray, y: FloatArray, cat_x: FloatArray, cat_y: FloatArray, radius: float
) -> tuple[IntArray, IntArray]:
    """Mutually nearest pairs within a radius: indices into the image stars and into the catalogue stars."""
    if not len(x) or not len(cat_x):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    image, catalogue = cKDTree(np.column_stack([x, y])), cKDTree(np.column_stack([cat_x, cat_y]))
    distance, star = image.query(catalogue.data, distance_upper_bound=radius)
    found = np.flatnonzero(np.isfinite(distance))
    back = catalogue.query(image.data[star[found]])[1]
    found = found[back == found]
    return star[found], found


def expected_false(matched: int, expected: int, chance: float, fitted: int, tested: int) -> float:
    """Expected number of hypotheses, of `tested`, that reach `matched` of `expected` stars by chance."""
    others = max(expected - fitted, 0)
    return float(tested * bdtrc(min(matched - fitted - 1, others), others, chance))  # scipy.stats takes 0.3 s to load


def verify(
    solution: Solution,
    x: FloatArray,
    y: FloatArray,
    ra: FloatArray,
    dec: FloatArray,
    shape: tuple[int, int],
    tested: int = 1,
) -> Verdict:
    """Refine a hypothesis on the catalogue and judge it.

    Parameters
    ----------
    x, y : (n,) px, image stars, brightest first.
    ra, dec : (m,) deg, catalogue stars that cover the frame.
    tested : hypotheses tested until this one.
    """
    solution = replace(_centred(solution, shape), distortion=Distortion())
    radius = max(RADIUS, SKY_RADIUS / pixel_scale(solution))
    near = _around(solution, ra, dec, shape)
    ra, dec = ra[near], dec[near]
    for reach in (*COARSE, radius, radius):
        image, catalogue, n_inside, n_image = _matches(solution, x, y, ra, dec, shape, max(reach, radius))
        chance = _chance(n_image, max(reach, radius), shape)
        if len(image) < FEWEST or expected_false(len(image), n_inside, chance, 0, 1) > HOPELESS:
            return Verdict(solution, len(image), n_inside, math.inf, 0.0)
        solution = _fit(solution, x[image], y[image], ra[catalogue], dec[catalogue])
    false = math.inf
    for reach in (0.5 * radius, radius):  # a handful of stars convinces when they fit closely
        image, catalogue, n_inside, n_image = _matches(solution, x, y, ra, dec, shape, reach)
        chance = _chance(n_image, reach, shape)
        fitted = 3 if len(image) >= AFFINE_FROM else 2
        false = min(false, expected_false(len(image), n_inside, chance, fitted, 2 * tested))
    if len(image):
        px, py = sky_to_pixel(solution, ra[catalogue], dec[catalogue])
        residual = np.hypot(px - x[image], py - y[image]) * pixel_scale(solution)
        solution = replace(solution, n_matched=len(image), rms=float(np.sqrt(np.mean(residual**2))))
    return Verdict(solution, len(image), n_inside, false, _shear(solution.cd))


def _chance(n_image: int, radius: float, shape: tuple[int, int]) -> float:
    """Chance that a random place of the frame has a star within the radius."""
    return 1.0 - math.exp(-n_image * math.pi * radius**2 / (shape[0] * shape[1]))


def _around(solution: Solution, ra: FloatArray, dec: FloatArray, shape: tuple[int, int]) -> IntArray:
    """Catalogue stars on the frame or just beside it: those that any refinement could use."""
    px, py = sky_to_pixel(solution, ra, dec)
    margin = 0.05 * max(shape)
    inside = (px > -margin) & (py > -margin) & (px < shape[1] + margin) & (py < shape[0] + margin)
    return np.flatnonzero(inside)


def _centred(solution: Solution, shape: tuple[int, int]) -> Solution:
    """The same linear solution about the frame's centre."""
    x, y = 0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)
    a, b, c, d = solution.cd
    u, v = x - solution.x, y - solution.y
    step = 100.0
    corner_u, corner_v = np.array([u, u + step, u]), np.array([v, v, v + step])
    ra, dec = tan_deproject(a * corner_u + b * corner_v, c * corner_u + d * corner_v, solution.ra, solution.dec)
    xi, eta = tan_project(ra[1:], dec[1:], float(ra[0]), float(dec[0]))
    cd = (float(xi[0]) / step, float(xi[1]) / step, float(eta[0]) / step, float(eta[1]) / step)
    return replace(solution, ra=float(ra[0]), dec=float(dec[0]), x=x, y=y, cd=cd)


def _matches(
    solution: Solution,
    x: FloatArray,
    y: FloatArray,
    ra: FloatArray,
    dec: FloatArray,
    shape: tuple[int, int],
    radius: float,
) -> tuple[IntArray, IntArray, int, int]:
    """Matches (image, catalogue), catalogue stars on the frame, image stars that took part."""
    px, py = sky_to_pixel(solution, ra, dec)
    inside = np.flatnonzero((px > -0.5) & (py > -0.5) & (px < shape[1] - 0.5) & (py < shape[0] - 0.5))
    n_image = min(len(x), 3 * len(inside) + 20)
    image, catalogue = match_nearest(x[:n_image], y[:n_image], px[inside], py[inside], radius)
    return image, inside[catalogue], len(inside), n_image


def _fit(solution: Solution, x: FloatArray, y: FloatArray, ra: FloatArray, dec: FloatArray) -> Solution:
    """Least squares with clipping; the tangent point moves to the frame's centre."""
    u, v = x - solution.x, y - solution.y
    keep = np.ones(len(u), bool)
    for _ in range(4):
        xi, eta = tan_project(ra, dec, solution.ra, solution.dec)
        if np.count_nonzero(keep) >= AFFINE_FROM and _flatness(u[keep], v[keep]) > FLATTEST:
            xi0, eta0, cd = _affine(u[keep], v[keep], xi[keep], eta[keep])
        else:
            parity = math.copysign(1.0, solution.cd[0] * solution.cd[3] - solution.cd[1] * solution.cd[2])
            xi0, eta0, cd = _similarity(u[keep], v[keep], xi[keep], eta[keep], parity)
        ra0, dec0 = tan_deproject(xi0, eta0, solution.ra, solution.dec)
        solution = replace(solution, ra=float(ra0), dec=float(dec0), cd=cd)
        px, py = sky_to_pixel(solution, ra, dec)
        residual = np.hypot(px - x, py - y)
        closer = residual <= max(3.0 * float(np.median(residual)), 0.5)
        keep = closer if np.count_nonzero(closer) >= FEWEST else keep
    return solution


def _affine(
    u: FloatArray, v: FloatArray, xi: FloatArray, eta: FloatArray
) -> tuple[float, float, tuple[float, float, float, float]]:
    """Constant terms and matrix of (u, v) -> (xi, eta)."""
    design = np.column_stack([np.ones_like(u), u, v])
    terms = np.linalg.lstsq(design, np.column_stack([xi, eta]), rcond=None)[0]
    cd = (float(terms[1, 0]), float(terms[2, 0]), float(terms[1, 1]), float(terms[2, 1]))
    return float(terms[0, 0]), float(terms[0, 1]), cd


def _similarity(
    u: FloatArray, v: FloatArray, xi: FloatArray, eta: FloatArray, parity: float
) -> tuple[float, float, tuple[float, float, float, float]]:
    """The same with one scale and one rotation: xi + i eta = t + m (u + i parity v)."""
    z, w = u + 1j * parity * v, xi + 1j * eta
    mean_z, mean_w = z.mean(), w.mean()
    centred = z - mean_z
    m = complex(np.vdot(centred, w - mean_w) / np.vdot(centred, centred).real)
    t = complex(mean_w - m * mean_z)
    return t.real, t.imag, (m.real, -parity * m.imag, m.imag, parity * m.real)


def _flatness(u: FloatArray, v: FloatArray) -> float:
    """Narrow over long side of a cloud of stars; 0 is a line."""
    long, narrow = np.linalg.svd(np.column_stack([u - u.mean(), v - v.mean()]), compute_uv=False)
    return float(narrow / long) if long > 0.0 else 0.0


def _shear(cd: tuple[float, float, float, float]) -> float:
    """Relative difference of the matrix's singular values."""
    largest, smallest = np.linalg.svd(np.array(cd).reshape(2, 2), compute_uv=False)
    return float((largest - smallest) / largest) if largest > 0.0 else math.inf
