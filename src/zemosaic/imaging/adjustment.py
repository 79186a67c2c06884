"""Least-squares adjustment of many frames that see common stars (a bundle adjustment on the sky).

Unknown: per frame a shift, rotation, scale and two shears; per instrument the radial distortion k3, k5; per star its position.
The stars are eliminated (Schur complement) and what remains is solved by conjugate gradients, so that thousands of frames of
one field need no dense matrix. All on unit vectors: poles and RA 0 are places like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

__all__ = ["ARCSEC", "Adjustment", "Cameras", "Sightings", "directions", "local_axes"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ARCSEC = np.degrees(3600.0)  # arcsec in a radian
PER_FRAME = 6  # shift x, y, rotation, scale, shear +, shear x: all in px, the last four at the frame's corner
COLUMNS = PER_FRAME + 2  # and k3, k5 of its instrument, px in the corner
SCALE_PRIOR = 5e-4  # frames of an instrument agree in scale: refraction and focus
SHEAR_PRIOR = 5e-4  # differential refraction: 3e-4 tan^2 z (1.2e-3 at 60 degrees from the zenith)
DISTORTION_PRIOR = 3.0  # px in the corner
DAMPING = 20.0  # px; only holds what nothing else does
CG_TOLERANCE, CG_STEPS = 1e-5, 400


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

    def stepped(self, step: FloatArray, k_step: FloatArray) -> Cameras:
        """After a step (f, 6) and (i, 2), both in px."""
        t, (rotation, scale, plus, cross) = step[:, :2], (step[:, 2:] / self.radius[:, None]).T
        linear = np.stack([1 + scale + plus, cross - rotation, cross + rotation, 1 + scale - plus], axis=-1)
        shift = np.einsum("fab,fb->fa", self.cd, t)
        radius = np.array([self.radius[self.instrument == i][0] for i in range(len(self.k))])
        return Cameras(
            basis=_tilted(self.basis, shift),
            cd=self.cd @ linear.reshape(-1, 2, 2),
            radius=self.radius,
            instrument=self.instrument,
            k=self.k + k_step / radius[:, None],
        )


@dataclass(frozen=True)
class Sightings:
    """Detections used in the adjustment, ordered by frame."""

    frame: IntArray  # (n,)
    star: IntArray  # (n,) 0..s-1
    uv: FloatArray  # (n, 2) px from the frame's centre
    sigma: FloatArray  # (n,) px per axis


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

    Parameters
    ----------
    weight : (n,) of the sightings, arcsec^-2
    anchor_weight : (s,) of the catalogue positions, arcsec^-2; 0 where a star has none
    terms : (i, 2) which of k3, k5 may move
    """

    def __init__(
        self,
        cameras: Cameras,
        sightings: Sightings,
        stars: FloatArray,
        weight: FloatArray,
        anchor_weight: FloatArray,
        terms: NDArray[np.bool_],
    ) -> None:
        self._cameras, self._sightings = cameras, sightings
        self._terms = terms
        self._frames = len(cameras.radius)
        self._root = np.sqrt(weight)
        count = len(anchor_weight)
        total = np.bincount(sightings.star, weight, count) + anchor_weight
        self._per_star = 1.0 / np.where(total > 0, total, 1.0)
        self._anchor_weight = anchor_weight
        jacobian = self._jacobian(stars)
        self._bounds = np.searchsorted(sightings.frame, np.arange(self._frames + 1))
        own = weight - weight**2 * self._per_star[sightings.star]
        self._blocks = self._frame_blocks(jacobian[:, :, :PER_FRAME], own)
        self._matrix = self._sparse(jacobian * self._root[:, None, None])

    def _jacobian(self, stars: FloatArray) -> FloatArray:
        """(n, 2, 8) arcsec along the star's axes per px of each unknown."""
        c, s = self._cameras, self._sightings
        uv, radius = s.uv, c.radius[s.frame, None]
        rho2 = np.sum(uv * uv, axis=1, keepdims=True) / radius**2
        k = c.k[c.instrument[s.frame]]
        q = uv * (1.0 + rho2 * (k[:, :1] + rho2 * k[:, 1:]))
        (x, y), one, zero = (q / radius).T, np.ones(len(uv)), np.zeros(len(uv))
        bend = uv * rho2 / radius
        columns = [[one, zero], [zero, one], [-y, x], [x, y], [x, -y], [y, x], bend.T, (bend * rho2).T]
        basis = c.basis[s.frame]
        plane = np.einsum("nab,nb->na", c.cd[s.frame], q)
        depth = np.sqrt(1.0 + np.sum(plane * plane, axis=1))
        turn = np.einsum("nab,ncb->nac", local_axes(stars)[s.star], basis[:, 1:]) / depth[:, None, None]
        jacobian: FloatArray = (
            ARCSEC * (turn @ c.cd[s.frame]) @ np.array([list(pair) for pair in columns]).transpose(2, 1, 0)
        )
        jacobian[:, :, PER_FRAME:] *= self._terms[c.instrument[s.frame], None, :]
        return jacobian

    def _frame_blocks(self, jacobian: FloatArray, own: FloatArray) -> FloatArray:
        """(f, 6, 6) diagonal blocks of the reduced system, without priors."""
        blocks = np.zeros((self._frames, PER_FRAME, PER_FRAME))
        for frame, (start, stop) in enumerate(zip(self._bounds[:-1], self._bounds[1:], strict=True)):
            rows = jacobian[start:stop].reshape(-1, PER_FRAME)
            blocks[frame] = rows.T @ (rows * np.repeat(own[start:stop], 2)[:, None])
        return blocks

    def _sparse(self, rows: FloatArray) -> csr_matrix:
        first = np.repeat(self._sightings.frame * COLUMNS, 2)
        columns = (first[:, None] + np.arange(COLUMNS)).ravel()
        ends = np.arange(0, rows.size + 1, COLUMNS)
        return csr_matrix((rows.ravel(), columns, ends), shape=(2 * len(rows), self._frames * COLUMNS))

    def _spread(self, unknowns: FloatArray) -> FloatArray:
        """(f, 8) unknowns of every frame, with those of its instrument, from the vector of all."""
        split = self._frames * PER_FRAME
        own = unknowns[:split].reshape(-1, PER_FRAME)
        return np.concatenate([own, unknowns[split:].reshape(-1, 2)[self._cameras.instrument]], axis=1)

    def _gather(self, per_frame: FloatArray) -> FloatArray:
        """Transpose of `_spread`."""
        shared = np.zeros_like(self._cameras.k)
        np.add.at(shared, self._cameras.instrument, per_frame[:, PER_FRAME:])
        return np.concatenate([per_frame[:, :PER_FRAME].ravel(), shared.ravel()])

    def star_mean(self, values: FloatArray, anchors: FloatArray | None = None) -> FloatArray:
        """(s, 2) weighted mean over each star's sightings and its catalogue position (zero when not given)."""
        star, count = self._sightings.star, len(self._per_star)
        weight = self._root**2
        sums = np.stack([np.bincount(star, weight * values[:, axis], count) for axis in (0, 1)], axis=1)
        if anchors is not None:
            sums += self._anchor_weight[:, None] * np.where(self._anchor_weight[:, None] > 0, anchors, 0.0)
        return sums * self._per_star[:, None]

    def _reduced(self, whitened: FloatArray) -> FloatArray:
        """Whitened residuals (2n,) less what the stars' own positions take up."""
        values = whitened.reshape(-1, 2)
        star, root, count = self._sightings.star, self._root, len(self._per_star)
        mean = [np.bincount(star, root * values[:, axis], count) * self._per_star for axis in (0, 1)]
        return np.asarray(values - root[:, None] * np.stack(mean, axis=1)[star]).ravel()

    def _prior(self, unknowns: FloatArray) -> FloatArray:
        """Priors' matrix times the unknowns: scale against the instrument's mean, shear against none, and damping."""
        per_frame = self._spread(unknowns)[:, :PER_FRAME]
        result = per_frame / DAMPING**2
        result[:, 3] += self._against_mean(per_frame[:, 3]) / (SCALE_PRIOR * self._cameras.radius) ** 2
        result[:, 4:] += per_frame[:, 4:] / (SHEAR_PRIOR * self._cameras.radius[:, None]) ** 2
        return np.concatenate([result.ravel(), unknowns[self._frames * PER_FRAME :] / DISTORTION_PRIOR**2])

    def _against_mean(self, values: FloatArray) -> FloatArray:
        group = self._cameras.instrument
        mean = np.bincount(group, values) / np.bincount(group)
        return np.asarray(values - mean[group])

    def _prior_pull(self) -> FloatArray:
        """Gradient of the priors at the present cameras."""
        c = self._cameras
        gram = np.swapaxes(c.cd, 1, 2) @ c.cd
        trace = gram[:, 0, 0] + gram[:, 1, 1]
        pull = np.zeros((self._frames, PER_FRAME))
        pull[:, 3] = self._against_mean(0.5 * np.log(trace)) / (SCALE_PRIOR**2 * c.radius)
        pull[:, 4] = (gram[:, 0, 0] - gram[:, 1, 1]) / (2 * trace) / (SHEAR_PRIOR**2 * c.radius)
        pull[:, 5] = gram[:, 0, 1] / trace / (SHEAR_PRIOR**2 * c.radius)
        radius = np.array([c.radius[c.instrument == i][0] for i in range(len(c.k))])
        bend = self._terms * c.k * radius[:, None] / DISTORTION_PRIOR**2
        return np.concatenate([pull.ravel(), bend.ravel()])

    def normal(self, unknowns: FloatArray) -> FloatArray:
        """The reduced normal matrix times a vector of unknowns."""
        residual = self._reduced(self._matrix @ self._spread(unknowns).ravel())
        back = (self._matrix.T @ residual).reshape(-1, COLUMNS)
        return np.asarray(self._gather(back) + self._prior(unknowns))

    def _preconditioner(self) -> LinearOperator:
        """Inverse of the diagonal blocks: one per frame and one of all distortion terms."""
        split, size = self._frames * PER_FRAME, self._frames * PER_FRAME + self._terms.size
        priors = np.full((self._frames, PER_FRAME), 1.0 / DAMPING**2)
        priors[:, 3] += 1.0 / (SCALE_PRIOR * self._cameras.radius) ** 2
        priors[:, 4:] += 1.0 / (SHEAR_PRIOR * self._cameras.radius[:, None]) ** 2
        frames = np.linalg.inv(self._blocks + priors[:, :, None] * np.eye(PER_FRAME))
        shared = np.linalg.inv(np.array([self.normal(unit)[split:] for unit in np.eye(size)[split:]]))

        def apply(vector: FloatArray) -> FloatArray:
            own = np.einsum("fab,fb->fa", frames, vector[:split].reshape(-1, PER_FRAME))
            return np.concatenate([own.ravel(), shared @ vector[split:]])

        return LinearOperator((size, size), matvec=apply, dtype=np.float64)

    def _solve(self, right: FloatArray) -> FloatArray:
        size = len(right)
        operator = LinearOperator((size, size), matvec=self.normal, dtype=np.float64)
        solution, _ = cg(operator, right, rtol=CG_TOLERANCE, maxiter=CG_STEPS, M=self._preconditioner())
        return np.asarray(solution)

    def step(self, residual: FloatArray, anchors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Best step of the frames (f, 6) and of the instruments (i, 2), in px.

        Parameters
        ----------
        residual : (n, 2) arcsec, sighting minus star along the star's axes
        anchors : (s, 2) arcsec, catalogue minus star
        """
        free = self._root[:, None] * (residual - self.star_mean(residual, anchors)[self._sightings.star])
        gradient = self._gather((self._matrix.T @ free.ravel()).reshape(-1, COLUMNS)) + self._prior_pull()
        unknowns = self._solve(-gradient)
        split = self._frames * PER_FRAME
        return unknowns[:split].reshape(-1, PER_FRAME), unknowns[split:].reshape(-1, 2)

    def distortion_errors(self) -> FloatArray:
        """(i, 2) one sigma of k3 and k5, px in the corner; NaN for those that are held."""
        split, shape = self._frames * PER_FRAME, self._terms.shape
        errors = np.full(self._terms.size, np.nan)
        for index in np.flatnonzero(self._terms):
            unit = np.zeros(split + self._terms.size)
            unit[split + index] = 1.0
            errors[index] = np.sqrt(self._solve(unit)[split + index])
        return errors.reshape(shape)
