"""Least-squares adjustment of many frames that see common stars (a bundle adjustment on the sky).

Unknown: per frame a shift, rotation, scale and two shears; per instrument the radial distortion k3, k5; per star its
position. The stars are eliminated (Schur complement) and what remains is solved by conjugate gradients, preconditioned
by each frame's own block and by the modes in which clusters of frames move together: only the catalogue holds those, so
weakly that plain conjugate gradients stop before they see it (1000 frames of one field drifted away).
All on unit vectors: poles and RA 0 are places like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial import cKDTree

from zemosaic.kernels.adjustment import normal_blocks, to_stars, to_unknowns

__all__ = [
    "ARCSEC",
    "CHUNK",
    "Adjustment",
    "Cameras",
    "Likeness",
    "Sightings",
    "directions",
    "local_axes",
    "loose",
    "shapes",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ARCSEC = np.degrees(3600.0)  # arcsec in a radian
PER_FRAME = 6  # shift x, y, rotation, scale, shear +, shear x: all in px, the last four at the frame's corner
COLUMNS = PER_FRAME + 2  # and k3, k5 of its instrument, px in the corner
ALIKE = [3, 4, 5]  # scale and shears: alike in the frames of a group
SCALE_PRIOR = 5e-4  # refraction and focus
SHEAR_PRIOR = 5e-4  # differential refraction: 3e-4 tan^2 z (1.2e-3 at 60 degrees from the zenith)
MEAN_PRIOR = np.array([0.0, 1.0, 1.0])  # a group's mean scale is free, its mean shears are near 0
DISTORTION_PRIOR = 3.0  # px in the corner
HOLD = 10.0  # px; the first solution holds what stars and catalogue do not
CG_TOLERANCE, CG_STEPS = 1e-5, 200  # the next step of the outer iteration starts from exact residuals
CLUSTER = 0.15  # reach of a cluster in diagonals of a frame
MOST_CLUSTERS = 400  # their unknowns make a dense matrix: 46 MB; where there would be more they reach farther
CHUNK = 200_000  # sightings that are worked on at once


@dataclass(frozen=True)
class Cameras:
    """Where every frame points: ``P = T + xi E + eta N`` with (xi, eta) = cd (u, v) (1 + k3 rho^2 + k5 rho^4)."""

    basis: FloatArray  # (f, 3, 3) unit vectors T, E, N in rows
    cd: FloatArray  # (f, 2, 2) rad/px
    radius: FloatArray  # (f,) px, half-diagonal
    instrument: IntArray  # (f,) 0..i-1
    k: FloatArray  # (i, 2) k3, k5

    def scale(self) -> FloatArray:
        """(f,) arcsec/px."""
        scale: FloatArray = ARCSEC * np.sqrt(np.abs(np.linalg.det(self.cd)))
        return scale

    def radius_of_instrument(self) -> FloatArray:
        """(i,) px."""
        return np.array([self.radius[self.instrument == i][0] for i in range(len(self.k))])

    def departure(self, first: Cameras) -> FloatArray:
        """(f, 6) px, the step that leads here from `first`."""
        plane = np.einsum("fab,fb->fa", first.basis[:, 1:], self.basis[:, 0])
        turn = np.einsum("fab,fcb->fac", first.basis[:, 1:], self.basis[:, 1:])
        shift = np.linalg.solve(first.cd, plane[:, :, None])[:, :, 0]
        (a, b), (c, d) = np.moveaxis(np.linalg.solve(first.cd, turn @ self.cd), 0, -1)
        linear = 0.5 * np.stack([c - b, a + d - 2.0, a - d, b + c], axis=1)
        return np.concatenate([shift, linear * self.radius[:, None]], axis=1)

    def stepped(self, step: FloatArray, k_step: FloatArray) -> Cameras:
        """After a step (f, 6) and (i, 2), both in px."""
        t, (rotation, scale, plus, cross) = step[:, :2], (step[:, 2:] / self.radius[:, None]).T
        linear = np.stack([1 + scale + plus, cross - rotation, cross + rotation, 1 + scale - plus], axis=-1)
        shift = np.einsum("fab,fb->fa", self.cd, t)
        return Cameras(
            basis=_tilted(self.basis, shift),
            cd=self.cd @ linear.reshape(-1, 2, 2),
            radius=self.radius,
            instrument=self.instrument,
            k=self.k + k_step / self.radius_of_instrument()[:, None],
        )


@dataclass(frozen=True)
class Sightings:
    """Detections used in the adjustment, ordered by frame."""

    frame: IntArray  # (n,)
    star: IntArray  # (n,) 0..s-1
    uv: FloatArray  # (n, 2) px from the frame's centre
    sigma: FloatArray  # (n,) px per axis


@dataclass(frozen=True)
class Likeness:
    """Frames whose scales and shears are alike, and how much."""

    group: IntArray  # (f,) 0..g-1, frames of one instrument
    tightness: FloatArray  # (f, 3) px^-2 at the corner, of scale and shears about the means of their group


def loose(cameras: Cameras, group: IntArray) -> Likeness:
    """What can be said of any telescope."""
    sigma = np.array([SCALE_PRIOR, SHEAR_PRIOR, SHEAR_PRIOR]) * cameras.radius[:, None]
    return Likeness(group, sigma**-2.0)


def shapes(cameras: Cameras) -> FloatArray:
    """(f, 3) px at the corner: scale (its logarithm), shear +, shear x."""
    gram = np.swapaxes(cameras.cd, 1, 2) @ cameras.cd
    trace = gram[:, 0, 0] + gram[:, 1, 1]
    shear = [(gram[:, 0, 0] - gram[:, 1, 1]) / (2 * trace), gram[:, 0, 1] / trace]
    return np.asarray(np.stack([0.5 * np.log(trace), *shear], axis=1) * cameras.radius[:, None])


def _tilted(basis: FloatArray, shift: FloatArray) -> FloatArray:
    """Bases whose T has moved by (xi, eta) rad along great circles; E and N are carried along without turning."""
    old = basis[:, 0]
    new = old + np.einsum("fa,fab->fb", shift, basis[:, 1:])
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    axis = old + new
    along = np.einsum("fab,fb->fa", basis[:, 1:], new) / (1.0 + np.einsum("fb,fb->f", old, new))[:, None]
    carried = basis[:, 1:] - along[:, :, None] * axis[:, None, :]
    return np.concatenate([new[:, None, :], carried], axis=1)


def directions(cameras: Cameras, frame: IntArray, uv: FloatArray) -> FloatArray:
    """(n, 3) unit vectors of frame positions."""
    rho2 = np.sum(uv * uv, axis=1) / cameras.radius[frame] ** 2
    k = cameras.k[cameras.instrument[frame]]
    plane = np.einsum("nab,nb->na", cameras.cd[frame], uv) * (1.0 + rho2 * (k[:, 0] + rho2 * k[:, 1]))[:, None]
    vector = cameras.basis[frame, 0] + np.einsum("na,nab->nb", plane, cameras.basis[frame, 1:])
    unit: FloatArray = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    return unit


def local_axes(stars: FloatArray) -> FloatArray:
    """(s, 2, 3) two unit vectors across the line of sight to each star; which ones is of no matter."""
    helper = np.where(np.abs(stars[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(helper, stars)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(stars, first)], axis=1)


class Adjustment:
    """The linear system at the present cameras, star positions and weights.

    Reduced normal matrix: H = U - D' V^-1 D, U the frames' own blocks, V the stars' total weights, D what couples them. The
    mean scale and shears of a group are eliminated like a star.

    Parameters
    ----------
    stars : (s, 3) unit vectors, present positions
    residual : (n, 2) arcsec, sighting minus star along the star's axes
    weight : (n,) of the sightings, arcsec^-2
    anchor_weight : (s,) of the catalogue positions, arcsec^-2; 0 where a star has none
    terms : (i, 2) which of k3, k5 may move
    first : where the cameras were before any refinement
    likeness : of scales and shears; loose among the frames of an instrument when not given
    """

    def __init__(
        self,
        cameras: Cameras,
        sightings: Sightings,
        stars: FloatArray,
        residual: FloatArray,
        weight: FloatArray,
        anchor_weight: FloatArray,
        terms: NDArray[np.bool_],
        first: Cameras,
        likeness: Likeness | None = None,
    ) -> None:
        self._cameras, self._sightings, self._terms, self._first = cameras, sightings, terms, first
        self._residual, self._weight, self._anchor_weight = residual, weight, anchor_weight
        self._frames = len(cameras.radius)
        self._split = self._frames * PER_FRAME
        self._size = self._split + terms.size
        total = np.bincount(sightings.star, weight, len(stars)) + anchor_weight
        self._per_star = 1.0 / np.where(total > 0, total, 1.0)
        self._jacobian = self._derivatives(stars)
        self._columns = self._column_numbers()
        likeness = likeness or loose(cameras, cameras.instrument)
        self._group, self._prior = likeness.group, likeness.tightness
        self._mean_inverse = 1.0 / _sums_with_means(cameras, likeness)
        blocks, own = self._blocks()
        self._frame_part = self._sum_blocks(blocks)
        self._own_inverse = np.linalg.inv(own)
        self._coarse = self._modes()
        self._coarse_inverse = np.linalg.inv(self._project(self._coarse))

    def _derivatives(self, stars: FloatArray) -> NDArray[np.float32]:
        """(n, 2, 8) arcsec along the star's axes per px of each unknown.

        Taken where the star should be on the frame, not where it was seen: with the noise of the positions in the derivatives,
        the fit gains by shrinking every frame's scale (0.03 px a step for 200 frames of one field).
        """
        jacobian = np.empty((len(self._sightings.frame), 2, COLUMNS), np.float32)
        axes, scale = local_axes(stars), self._cameras.scale()
        for start in range(0, len(jacobian), CHUNK):
            part = slice(start, start + CHUNK)
            jacobian[part] = self._some_derivatives(part, axes, scale)
        return jacobian

    def _some_derivatives(self, part: slice, axes: FloatArray, scale: FloatArray) -> FloatArray:
        c, frame, star, uv = (
            self._cameras,
            *(a[part] for a in (self._sightings.frame, self._sightings.star, self._sightings.uv)),
        )
        cd, radius = c.cd[frame], c.radius[frame, None]
        rho2 = np.sum(uv**2, axis=1, keepdims=True) / radius**2
        k = c.k[c.instrument[frame]]
        q = uv * (1.0 + rho2 * (k[:, :1] + rho2 * k[:, 1:]))
        depth = np.sqrt(1.0 + np.sum(np.einsum("nab,nb->na", cd, q) ** 2, axis=1))
        turn = np.einsum("nab,ncb->nac", axes[star], c.basis[frame, 1:]) / depth[:, None, None]
        sky_per_px = ARCSEC * turn @ cd
        error = np.einsum("nba,nb->na", sky_per_px, self._residual[part]) / scale[frame, None] ** 2
        bend = (uv - error) * rho2 / radius
        (x, y), one, zero = ((q - error) / radius).T, np.ones(len(q)), np.zeros(len(q))
        columns = [[one, zero], [zero, one], [-y, x], [x, y], [x, -y], [y, x], bend.T, (bend * rho2).T]
        jacobian: FloatArray = sky_per_px @ np.array([list(pair) for pair in columns]).transpose(2, 1, 0)
        jacobian[:, :, PER_FRAME:] *= self._terms[c.instrument[frame], None, :]
        return jacobian

    def _column_numbers(self) -> IntArray:
        """(f, 8) where a frame's unknowns stand in the vector of all: its own, and its instrument's."""
        own = np.arange(self._split).reshape(-1, PER_FRAME)
        shared = self._split + 2 * self._cameras.instrument[:, None] + np.arange(2)
        return np.concatenate([own, shared], axis=1)

    def _blocks(self) -> tuple[FloatArray, FloatArray]:
        """Blocks of U (f, 8, 8), and diagonal blocks of H (f, 6, 6), both with priors."""
        full = np.zeros((self._frames, COLUMNS, COLUMNS))
        taken = np.zeros_like(full)
        share = self._weight * self._per_star[self._sightings.star]
        normal_blocks(self._jacobian, self._weight, self._sightings.frame, share, full, taken)
        prior = np.full((self._frames, COLUMNS), HOLD**-2)
        prior[:, ALIKE] += self._prior
        # an instrument's prior is spread over its frames
        prior[:, 6:] = DISTORTION_PRIOR**-2 / np.bincount(self._cameras.instrument)[self._cameras.instrument, None]
        full += prior[:, :, None] * np.eye(COLUMNS)
        return full, (full - taken)[:, :PER_FRAME, :PER_FRAME]

    def _sum_blocks(self, blocks: FloatArray) -> csr_array:
        rows = np.repeat(self._columns, COLUMNS, axis=1).ravel()
        columns = np.tile(self._columns, (1, COLUMNS)).ravel()
        return coo_array((blocks.ravel(), (rows, columns)), shape=(self._size, self._size)).tocsr()

    def _couplings_of_modes(self, modes: csr_array) -> csr_array:
        """D times the modes: two rows a star, and three a group for its means; few columns, so few entries."""
        s, prior = self._sightings, self._prior
        means = 2 * len(self._per_star) + np.arange(self._mean_inverse.size).reshape(-1, len(ALIKE))
        rows, columns = means[self._group].ravel(), self._columns[:, ALIKE].ravel()
        shape = (2 * len(self._per_star) + self._mean_inverse.size, self._size)
        total = coo_array((prior.ravel(), (rows, columns)), shape=shape).tocsr() @ modes
        for start in range(0, len(s.frame), CHUNK):
            part = slice(start, start + CHUNK)
            rows = np.repeat(2 * s.star[part, None] + np.arange(2), COLUMNS, axis=1).ravel()
            columns = np.tile(self._columns[s.frame[part]], (1, 2)).ravel()
            values = (self._weight[part, None, None] * self._jacobian[part]).ravel()
            total = total + coo_array((values, (rows, columns)), shape=shape).tocsr() @ modes
        return total

    def _modes(self) -> csr_array:
        """Unknowns of clusters of frames, as columns: what moves many frames together is solved for directly.

        Shift, rotation, scale and shear of a cluster, about and in the pixels of its first frame; and the distortion.
        """
        c = self._cameras
        first = _clusters(c)
        number = np.unique(first, return_inverse=True)[1]
        axes = np.einsum("fab,fcb->fac", c.basis[:, 1:], c.basis[first, 1:])
        turn = np.linalg.solve(c.cd, axes @ c.cd[first])
        angle = np.arctan2(turn[:, 1, 0] - turn[:, 0, 1], turn[:, 0, 0] + turn[:, 1, 1])
        modes = np.zeros((self._frames, PER_FRAME, PER_FRAME))
        modes[:, 0:2, 0:2], modes[:, 2:4, 2:4], modes[:, 4:6, 4:6] = _turned(angle), np.eye(2), _turned(2 * angle)
        plane = np.einsum("fab,fb->fa", c.basis[first, 1:], c.basis[:, 0])
        x, y = np.linalg.solve(c.cd[first], plane[:, :, None])[:, :, 0].T / c.radius  # the frame in its cluster
        carried = np.array([[-y, x], [x, y], [x, -y], [y, x]]).transpose(2, 1, 0)
        modes[:, 0:2, 2:6] = modes[:, 0:2, 0:2] @ carried
        rows = np.repeat(self._columns[:, :PER_FRAME], PER_FRAME, axis=1).ravel()
        columns = np.tile(number[:, None] * PER_FRAME + np.arange(PER_FRAME), (1, PER_FRAME)).ravel()
        width = PER_FRAME * (int(number.max()) + 1)
        shared = np.arange(self._terms.size)
        rows, columns = np.concatenate([rows, self._split + shared]), np.concatenate([columns, width + shared])
        values = np.concatenate([modes.ravel(), np.ones(len(shared))])
        return coo_array((values, (rows, columns)), shape=(self._size, width + len(shared))).tocsr()

    def _project(self, modes: csr_array) -> FloatArray:
        """The reduced normal matrix of the clusters."""
        coupling = self._couplings_of_modes(modes)
        inverse = np.concatenate([np.repeat(self._per_star, 2), self._mean_inverse.ravel()])
        return np.asarray(
            (modes.T @ (self._frame_part @ modes) - coupling.T @ (coupling.multiply(inverse[:, None]))).toarray()
        )

    def normal(self, unknowns: FloatArray) -> FloatArray:
        """The reduced normal matrix times a vector of unknowns."""
        s, group = self._sightings, self._group
        pulled = np.zeros((len(self._per_star), 2))
        to_stars(self._jacobian, self._weight, s.frame, s.star, self._columns, unknowns, pulled)
        back = np.zeros(self._size)
        to_unknowns(
            self._jacobian, self._weight, s.frame, s.star, self._columns, pulled * self._per_star[:, None], back
        )
        own = back[: self._split].reshape(-1, PER_FRAME)
        alike = unknowns[: self._split].reshape(-1, PER_FRAME)[:, ALIKE]
        own[:, ALIKE] += self._prior * (_sum_by(group, self._prior * alike) * self._mean_inverse)[group]
        return np.asarray(self._frame_part @ unknowns - back)

    def _precondition(self, vector: FloatArray) -> FloatArray:
        """Approximate inverse: each frame by itself, and all clusters together."""
        result = self._coarse @ (self._coarse_inverse @ (self._coarse.T @ vector))
        own = np.einsum("fab,fb->fa", self._own_inverse, vector[: self._split].reshape(-1, PER_FRAME))
        result[: self._split] += own.ravel()
        return np.asarray(result)

    def _solve(self, right: FloatArray) -> FloatArray:
        shape = (self._size, self._size)
        operator = LinearOperator(shape, matvec=self.normal, dtype=np.float64)
        approximate = LinearOperator(shape, matvec=self._precondition, dtype=np.float64)
        solution, _ = cg(operator, right, rtol=CG_TOLERANCE, maxiter=CG_STEPS, M=approximate)
        return np.asarray(solution)

    def _prior_pull(self) -> FloatArray:
        """Gradient of the priors at the present cameras."""
        c, value = self._cameras, shapes(self._cameras)
        mean = _sum_by(self._group, self._prior * value) * self._mean_inverse
        pull = c.departure(self._first) / HOLD**2
        pull[:, ALIKE] += self._prior * (value - mean[self._group])
        bend = self._terms * c.k * c.radius_of_instrument()[:, None] / DISTORTION_PRIOR**2
        return np.concatenate([pull.ravel(), bend.ravel()])

    def step(self, anchors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Best step of the frames (f, 6) and of the instruments (i, 2), in px.

        Parameters
        ----------
        anchors : (s, 2) arcsec, catalogue minus star; any value where the weight is 0
        """
        star, weight, count = self._sightings.star, self._weight, len(self._per_star)
        sums = np.stack([np.bincount(star, weight * values, count) for values in self._residual.T], axis=1)
        held = self._anchor_weight[:, None]
        sums += np.where(held > 0, held * anchors, 0.0)
        free = weight[:, None] * (self._residual - (sums * self._per_star[:, None])[star])
        gradient, each = np.zeros(self._size), np.arange(len(star))
        to_unknowns(self._jacobian, np.ones(len(star)), self._sightings.frame, each, self._columns, free, gradient)
        unknowns = self._solve(-gradient - self._prior_pull())
        return unknowns[: self._split].reshape(-1, PER_FRAME), unknowns[self._split :].reshape(-1, 2)

    def shape_errors(self) -> FloatArray:
        """(f, 3) one sigma, px at the corner, of each frame's scale and shears while all else stays."""
        return np.asarray(np.sqrt(np.einsum("fkk->fk", self._own_inverse)[:, ALIKE]))

    def distortion_errors(self) -> FloatArray:
        """(i, 2) one sigma of k3 and k5, px in the corner; NaN for those that are held."""
        errors = np.full(self._terms.size, np.nan)
        for index in np.flatnonzero(self._terms):
            unit = np.zeros(self._size)
            unit[self._split + index] = 1.0
            errors[index] = np.sqrt(self._solve(unit)[self._split + index])
        return errors.reshape(self._terms.shape)


def _sums_with_means(cameras: Cameras, likeness: Likeness) -> FloatArray:
    """(g, 3) px^-2: how well the means of the groups are held by their frames and by themselves."""
    frames = np.bincount(likeness.group)[:, None]
    own = MEAN_PRIOR * _sum_by(likeness.group, loose(cameras, likeness.group).tightness) / frames
    return _sum_by(likeness.group, likeness.tightness) + own


def _sum_by(group: IntArray, values: FloatArray) -> FloatArray:
    """(g, m) sums over the frames of each group."""
    return np.stack([np.bincount(group, column) for column in values.T], axis=1).astype(np.float64)


def _turned(angle: FloatArray) -> FloatArray:
    """(n, 2, 2) rotations."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)


def _clusters(cameras: Cameras) -> IntArray:
    """(f,) first frame of each frame's cluster: same instrument, pointings close together."""
    reach = CLUSTER * 2 * cameras.radius * cameras.scale() / ARCSEC
    pointing = cKDTree(cameras.basis[:, 0])
    while (first := _clusters_within(cameras, pointing, reach)) is None:
        reach = 1.5 * reach
    return first


def _clusters_within(cameras: Cameras, pointing: cKDTree, reach: FloatArray) -> IntArray | None:
    """The clusters of a reach, or None when they are too many."""
    first = np.full(len(reach), -1)
    most = max(MOST_CLUSTERS, len(cameras.k))
    count = 0
    for i in range(len(reach)):
        if first[i] < 0:
            count += 1
            if count > most and reach[i] < 2.0:  # a chord of 2 is the whole sky
                return None
            close = np.asarray(pointing.query_ball_point(cameras.basis[i, 0], reach[i]))
            close = close[(first[close] < 0) & (cameras.instrument[close] == cameras.instrument[i])]
            first[close] = i
    return first
