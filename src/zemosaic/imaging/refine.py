"""Global refinement: all frames together, from the stars that they have in common and the catalogue.

Stars seen by several frames pull those frames onto a common position; the frames of an instrument share one radial
distortion; catalogue stars hold the whole in its place. The equations are in `zemosaic.imaging.adjustment`; here the
stars are linked and weighted, and the distortion is kept only where there is evidence for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from zemosaic.imaging.adjustment import (
    ARCSEC,
    CHUNK,
    Adjustment,
    Cameras,
    Likeness,
    Sightings,
    directions,
    local_axes,
    loose,
)
from zemosaic.imaging.detections import centroid_sigma, chosen_detections
from zemosaic.imaging.distortion import bend
from zemosaic.imaging.likeness import learnt
from zemosaic.imaging.linking import chord, link_stars, unit_vectors
from zemosaic.imaging.projection import pixel_to_sky, tan_project
from zemosaic.imaging.robust import MEDIAN_NORM, robust_weight, scatter_of_frames
from zemosaic.model import Distortion, Polynomial, Solution, Stars

__all__ = ["RefineResult", "refine"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ROUNDS = ((6.0, False), (3.0, True), (1.5, True))  # px within which stars are linked; whether outliers lose all weight
STEPS = 4  # per round at most; the equations are nearly linear
SETTLED = 0.003  # px
CATALOGUE_REACH = 4.0  # arcsec at least: proper motions since J2000
CATALOGUE_SIGMA = (0.2, 0.5)  # arcsec per axis: least, start
SELF_WEIGHT = 0.9  # a sighting with a greater share of its star's weight says nothing about itself
K3_EVIDENCE, K5_EVIDENCE = 3.0, 5.0  # sigma
BRIGHT = 20.0  # snr
FARTHEST = 10.0  # px, from the first solution anywhere on the frame: a verified one is good to 3 px
SUPPORT = 4  # common and catalogue stars, less than which are chance
OUGHT = 10  # stars that a frame has, and that a neighbour shares with others, so that support is expected
NEAR = 0.25  # of the diagonal: frames as close as this overlap by more than half


@dataclass(frozen=True)
class RefineResult:
    """Refined solutions, and how well the stars agree; all tuples and arrays in the order of the frames."""

    solutions: tuple[Solution, ...]  # reference pixel = centre of the frame; rms = length of the residual, arcsec
    star_ids: tuple[IntArray, ...]  # common star per detection (all of `Stars`), -1 is none or ambiguous
    n_common: IntArray  # (f,) detections used that another frame sees too
    residual: (
        FloatArray  # (f,) px per axis, rms of those against their star's mean position, outliers left out; NaN: none
    )
    residual_bright: FloatArray  # (f,) the same for stars with snr > 20
    catalogue_rms: float  # arcsec, length of the residual of stars against the catalogue; NaN without any
    instruments: tuple[int, ...]  # the distinct ones, ascending
    distortions: tuple[Distortion, ...]  # one per instrument
    distortion_errors: FloatArray  # (i, 2) px in the corner, one sigma of k3, k5; NaN where held at 0
    held: BoolArray  # (f,) frames that the equations would have moved far: their first solution stays
    unsupported: (
        BoolArray  # (f,) frames that ought to share stars with others or the catalogue and do not: false solutions
    )


@dataclass(frozen=True)
class _Field:
    """Stars linked across the frames and with the catalogue."""

    first: Cameras  # from the first solutions
    likeness: Likeness
    sightings: Sightings
    snr: FloatArray  # (n,)
    catalogue: FloatArray  # (s, 3) unit vectors; NaN where the star has no entry


@dataclass(frozen=True)
class _Agreement:
    """Residuals and weights at given cameras."""

    stars: FloatArray  # (s, 3) unit vectors
    residual: FloatArray  # (n, 2) arcsec along the star's axes, sighting minus star
    anchors: FloatArray  # (s, 2) arcsec, catalogue minus star; NaN where there is none
    weight: FloatArray  # (n,) arcsec^-2; 0 is an outlier
    anchor_weight: FloatArray  # (s,) arcsec^-2; 0 is none or an outlier


def refine(
    solutions: Sequence[Solution],
    stars: Sequence[Stars],
    instruments: Sequence[int],
    catalogue: tuple[ArrayLike, ArrayLike],
    shapes: Sequence[tuple[int, int]],
    spells: Sequence[int] | None = None,
) -> RefineResult:
    """Refine the solutions of all frames together.

    Parameters
    ----------
    solutions, stars
        First solution (good to about 5 px) and detections of every frame.
    instruments
        Number of each frame's instrument; those of one instrument share distortion and shape. A polynomial in a first
        solution, about the frame's centre, stays, and the distortion found comes on top of it.
    catalogue : ra, dec
        deg ICRS, all catalogue stars in the region; may be empty, then the first solutions hold the position.
    shapes : (height, width) px of each frame
    spells
        Number of the spell in which each frame was taken: within one the scales and shears of an instrument are alike
        (how much is learnt from the frames). One spell an instrument when not given.

    Returns
    -------
    RefineResult
        A frame that shares no star with another frame or the catalogue keeps its first solution.
    """
    names, instrument = np.unique(np.asarray(instruments, np.int64), return_inverse=True)
    centres = np.array([((w - 1) / 2, (h - 1) / 2) for h, w in shapes]).reshape(-1, 2)
    cameras = _first_cameras(solutions, centres, np.array([np.hypot(w, h) / 2 for h, w in shapes]), instrument)
    uv = [_straightened(*each) for each in zip(stars, solutions, centres, strict=True)]
    chosen = chosen_detections(stars)
    sky = unit_vectors(*catalogue).reshape(-1, 3)
    terms = np.tile([True, False], (len(names), 1))
    first = cameras
    groups = np.unique(np.stack([instrument, instrument if spells is None else spells]), axis=1, return_inverse=True)[1]
    likeness = loose(cameras, groups.ravel())
    for tolerance, strict in ROUNDS:
        field = _linked(cameras, first, likeness, stars, uv, chosen, sky, tolerance)
        cameras = _adjusted(cameras, field, terms, strict)
    field = replace(field, likeness=_learnt(cameras, field, terms))
    cameras, errors = _with_evidence(cameras, field, terms)
    every = [np.arange(len(s)) for s in stars]
    held = _far_from_first(cameras, first)
    cameras = _put_back(cameras, first, held)
    ids = _star_ids(cameras, stars, uv, every, ROUNDS[-1][0])
    result = _result(solutions, cameras, centres, field, errors, ids, tuple(int(name) for name in names))
    used = np.array([len(index) for index in chosen], np.int64)
    return replace(result, held=held, unsupported=_unsupported(cameras, result, used, sky))


def _straightened(stars: Stars, solution: Solution, centre: FloatArray) -> FloatArray:
    """(n, 2) px from the frame's centre, where a camera without the polynomial of its header would show the stars.

    What is found here is radial, and comes on top of that polynomial.
    """
    stated = Distortion(polynomial=solution.distortion.polynomial)
    return np.stack(bend(stated, stars.x - centre[0], stars.y - centre[1]), axis=1)


def _learnt(cameras: Cameras, field: _Field, terms: BoolArray) -> Likeness:
    """How alike the frames of a spell turn out to be."""
    if not len(field.sightings.frame):
        return field.likeness
    system = _system(cameras, field, _final_agreement(cameras, field), terms)
    return learnt(cameras, field.likeness, system.shape_errors())


def _far_from_first(cameras: Cameras, first: Cameras) -> BoolArray:
    """(f,) frames moved by more than `FARTHEST` somewhere; what distortion does is no move."""
    departure = np.abs(cameras.departure(first))
    # ~ so that NaN, which is where a singular system leads, is far
    return np.asarray(~(np.hypot(departure[:, 0], departure[:, 1]) + departure[:, 2:].sum(axis=1) < FARTHEST))


def _put_back(cameras: Cameras, first: Cameras, held: BoolArray) -> Cameras:
    basis = np.where(held[:, None, None], first.basis, cameras.basis)
    return replace(cameras, basis=basis, cd=np.where(held[:, None, None], first.cd, cameras.cd))


def _unsupported(cameras: Cameras, result: RefineResult, used: IntArray, sky: FloatArray) -> BoolArray:
    """(f,) frames with stars enough of their own, upon frames or catalogue stars enough, that agree with none of them."""
    support = result.n_common + np.array([solution.n_matched for solution in result.solutions], np.int64)
    alone = np.flatnonzero((support < SUPPORT) & (used >= OUGHT))
    unsupported = np.zeros(len(used), bool)
    if not len(alone):
        return unsupported
    pointing, reach = cameras.basis[:, 0], 2.0 * NEAR * cameras.radius * cameras.scale() / ARCSEC
    sound = pointing[(result.n_common >= OUGHT) & ~result.held]
    for i in alone:
        by_frames = np.count_nonzero(np.linalg.norm(sound - pointing[i], axis=1) < reach[i])
        by_stars = np.count_nonzero(np.linalg.norm(sky - pointing[i], axis=1) < reach[i])
        unsupported[i] = by_frames > 0 or by_stars >= OUGHT
    return unsupported


def _first_cameras(
    solutions: Sequence[Solution], centres: FloatArray, radius: FloatArray, instrument: IntArray
) -> Cameras:
    """Cameras about the frames' centres; distortion starts from the instrument's median."""
    basis, cd = np.empty((len(solutions), 3, 3)), np.empty((len(solutions), 2, 2))
    for i, (solution, (x, y)) in enumerate(zip(solutions, centres, strict=True)):
        ra, dec = (float(value) for value in pixel_to_sky(solution, x, y))
        basis[i] = _sky_basis(ra, dec)
        near = pixel_to_sky(solution, [x + 0.5, x - 0.5, x, x], [y, y, y + 0.5, y - 0.5])
        xi, eta = tan_project(*near, ra, dec)
        cd[i] = np.radians([[xi[0] - xi[1], xi[2] - xi[3]], [eta[0] - eta[1], eta[2] - eta[3]]])
    share = radius / np.array([s.distortion.radius for s in solutions])
    k3 = np.array([s.distortion.k3 for s in solutions]) * share**2
    count = int(instrument.max()) + 1 if len(instrument) else 0
    k = np.array([[np.median(k3[instrument == i]), 0.0] for i in range(count)]).reshape(-1, 2)
    return Cameras(basis, cd, radius, instrument, k)


def _sky_basis(ra: float, dec: float) -> FloatArray:
    """(3, 3): unit vectors to a sky position, to its east and to its north."""
    a, d = np.radians(ra), np.radians(dec)
    east = [-np.sin(a), np.cos(a), 0.0]
    north = [-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)]
    return np.array([[np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], east, north])


def _star_ids(
    cameras: Cameras, stars: Sequence[Stars], uv: Sequence[FloatArray], chosen: Sequence[IntArray], tolerance: float
) -> list[IntArray]:
    """Numbers of the common stars for the chosen detections; `tolerance` in px."""
    frame = np.repeat(np.arange(len(chosen)), [len(index) for index in chosen])
    places = np.concatenate([points[index] for points, index in zip(uv, chosen, strict=True)])
    vector = _seen(cameras, frame, places)
    bounds = np.cumsum([len(index) for index in chosen])[:-1]
    ra = np.split(np.degrees(np.arctan2(vector[:, 1], vector[:, 0])), bounds)
    dec = np.split(np.degrees(np.arctan2(vector[:, 2], np.hypot(vector[:, 0], vector[:, 1]))), bounds)
    brightness = [s.flux[index].mean(axis=1) for s, index in zip(stars, chosen, strict=True)]
    return link_stars(ra, dec, brightness, tolerance * float(np.median(cameras.scale())))


def _seen(cameras: Cameras, frame: IntArray, uv: FloatArray) -> FloatArray:
    """`directions` in pieces: those of a million sightings need 200 bytes each on the way."""
    seen = np.empty((len(frame), 3))
    for start in range(0, len(frame), CHUNK):
        part = slice(start, start + CHUNK)
        seen[part] = directions(cameras, frame[part], uv[part])
    return seen


def _linked(
    cameras: Cameras,
    first: Cameras,
    likeness: Likeness,
    stars: Sequence[Stars],
    uv: Sequence[FloatArray],
    chosen: Sequence[IntArray],
    sky: FloatArray,
    tolerance: float,
) -> _Field:
    """Link the chosen detections with each other and with the catalogue; what has no partner is left out."""
    ids = np.concatenate(_star_ids(cameras, stars, uv, chosen, tolerance))
    frame = np.repeat(np.arange(len(stars)), [len(index) for index in chosen])
    places = np.concatenate([points[index] for points, index in zip(uv, chosen, strict=True)])
    sigma = np.concatenate([centroid_sigma(s)[index] for s, index in zip(stars, chosen, strict=True)])
    snr = np.concatenate([s.snr[index] for s, index in zip(stars, chosen, strict=True)])
    keep = ids >= 0
    count = int(ids.max(initial=-1)) + 1
    seen = _seen(cameras, frame[keep], places[keep])
    sums = np.stack([np.bincount(ids[keep], seen[:, axis], count) for axis in range(3)], axis=1)
    reach = max(tolerance * float(np.median(cameras.scale())), CATALOGUE_REACH)
    entry = _catalogue_entries(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9), sky, reach)
    useful = (np.bincount(ids[keep], minlength=count) > 1) | (entry >= 0)
    keep &= useful[ids] if count else False
    number = np.cumsum(useful) - 1
    positions = np.concatenate([sky, np.full((1, 3), np.nan)])[entry[useful]]
    return _Field(
        first, likeness, Sightings(frame[keep], number[ids[keep]], places[keep], sigma[keep]), snr[keep], positions
    )


def _catalogue_entries(positions: FloatArray, sky: FloatArray, reach: float) -> IntArray:
    """(s,) index of the catalogue entry that is each other's nearest within `reach` arcsec, or -1."""
    entry = np.full(len(positions), -1, np.int64)
    if not len(positions) or not len(sky):
        return entry
    distance, nearest = cKDTree(sky).query(positions, distance_upper_bound=chord(reach))
    _, back = cKDTree(positions).query(sky)
    close = np.flatnonzero(np.isfinite(distance))
    mutual = close[back[nearest[close]] == close]
    entry[mutual] = nearest[mutual]
    return entry


def _adjusted(cameras: Cameras, field: _Field, terms: BoolArray, strict: bool) -> Cameras:
    """A few steps of least squares with weights from the residuals."""
    if not len(field.sightings.frame):
        return cameras
    agreement = None
    for _ in range(STEPS):
        agreement = _agreement(cameras, field, agreement, strict)
        step, k_step = _system(cameras, field, agreement, terms).step(agreement.anchors)
        cameras = cameras.stepped(step, k_step)
        if max(np.abs(step).max(), np.abs(k_step).max()) < SETTLED:
            break
    return cameras


def _system(cameras: Cameras, field: _Field, agreement: _Agreement, terms: BoolArray) -> Adjustment:
    return Adjustment(
        cameras,
        field.sightings,
        agreement.stars,
        agreement.residual,
        agreement.weight,
        agreement.anchor_weight,
        terms,
        field.first,
        field.likeness,
    )


def _agreement(cameras: Cameras, field: _Field, last: _Agreement | None, strict: bool) -> _Agreement:
    """Star positions with the last weights, residuals against them, and new weights."""
    s = field.sightings
    sigma = s.sigma * cameras.scale()[s.frame]
    known = np.isfinite(field.catalogue[:, 0])
    weight = sigma**-2 if last is None else last.weight
    anchor_weight = known / CATALOGUE_SIGMA[1] ** 2 if last is None else last.anchor_weight
    seen = _seen(cameras, s.frame, s.uv)
    stars = _positions(seen, s.star, weight, field.catalogue, anchor_weight)
    axes = local_axes(stars)
    pieces = [slice(start, start + CHUNK) for start in range(0, max(len(seen), 1), CHUNK)]
    residual = np.concatenate([ARCSEC * np.einsum("nab,nb->na", axes[s.star[p]], seen[p]) for p in pieces])
    anchors = ARCSEC * np.einsum("sab,sb->sa", axes, field.catalogue)
    total = np.bincount(s.star, weight, len(stars)) + anchor_weight
    share = weight / np.maximum(total[s.star], 1e-30)
    heard = np.where(
        share < SELF_WEIGHT, np.linalg.norm(residual, axis=1) / sigma / np.sqrt(1 - share.clip(0, 0.99)), np.nan
    )
    scatter = scatter_of_frames(heard, s.frame, len(cameras.radius))[s.frame]
    against = np.linalg.norm(anchors, axis=1) / np.maximum(1 - anchor_weight / np.maximum(total, 1e-30), 0.01)
    spread = max(CATALOGUE_SIGMA[0], np.median(against[known]) / MEDIAN_NORM) if known.any() else 1.0
    return _Agreement(
        stars=stars,
        residual=residual,
        anchors=anchors,
        weight=robust_weight(heard / scatter, strict) / (sigma * scatter) ** 2,
        anchor_weight=np.where(known, robust_weight(against / spread, strict) / spread**2, 0.0),
    )


def _positions(
    seen: FloatArray, star: IntArray, weight: FloatArray, catalogue: FloatArray, anchor_weight: FloatArray
) -> FloatArray:
    """(s, 3) weighted mean directions; where all weights are 0, the plain mean."""
    count = len(catalogue)
    weight = np.where(np.bincount(star, weight, count)[star] > 0, weight, 1.0)
    sums = np.stack([np.bincount(star, weight * seen[:, axis], count) for axis in range(3)], axis=1)
    pulled = sums + anchor_weight[:, None] * np.nan_to_num(catalogue)
    return np.asarray(pulled / np.linalg.norm(pulled, axis=1, keepdims=True))


def _with_evidence(cameras: Cameras, field: _Field, terms: BoolArray) -> tuple[Cameras, FloatArray]:
    """Drop k3 where it is not significant, add k5 where it is; with the errors of those that stay."""
    nothing = np.full(terms.shape, np.nan)
    if not len(field.sightings.frame):
        return cameras, nothing
    keep = _significant(cameras, field, terms)[:, 0] > K3_EVIDENCE
    terms = np.stack([keep, keep], axis=1)
    cameras = _adjusted(replace(cameras, k=cameras.k * keep[:, None]), field, terms, True)
    fifth = keep & (_significant(cameras, field, terms)[:, 1] > K5_EVIDENCE)
    if not fifth.all():
        terms = np.stack([keep, fifth], axis=1)
        cameras = _adjusted(replace(cameras, k=cameras.k * terms), field, terms, True)
    agreement = _final_agreement(cameras, field)
    return cameras, _system(cameras, field, agreement, terms).distortion_errors()


def _significant(cameras: Cameras, field: _Field, terms: BoolArray) -> FloatArray:
    """(i, 2) k3 and k5 over their errors; 0 for those that are held."""
    agreement = _final_agreement(cameras, field)
    errors = _system(cameras, field, agreement, terms).distortion_errors()
    return np.asarray(np.nan_to_num(np.abs(cameras.k) * cameras.radius_of_instrument()[:, None] / errors))


def _final_agreement(cameras: Cameras, field: _Field) -> _Agreement:
    """Residuals with weights that have settled."""
    agreement = None
    for _ in range(STEPS):
        agreement = _agreement(cameras, field, agreement, True)
    assert agreement is not None
    return agreement


def _result(
    solutions: Sequence[Solution],
    cameras: Cameras,
    centres: FloatArray,
    field: _Field,
    errors: FloatArray,
    ids: Sequence[IntArray],
    names: tuple[int, ...],
) -> RefineResult:
    agreement = _final_agreement(cameras, field)
    n_common, residual, bright = _residuals(cameras, field, agreement)
    matched, rms = _catalogue_residuals(cameras, field, agreement)
    refined = tuple(
        replace(
            _solution(cameras, i, centres[i], solution.distortion.polynomial),
            solver=solution.solver,
            n_matched=int(matched[i]),
            rms=float(rms[i]),
        )
        for i, solution in enumerate(solutions)
    )
    kept = agreement.anchor_weight > 0
    length = np.linalg.norm(agreement.anchors[kept], axis=1)
    first = [int(np.flatnonzero(cameras.instrument == i)[0]) for i in range(len(names))]
    return RefineResult(
        solutions=refined,
        star_ids=tuple(ids),
        n_common=n_common,
        residual=residual,
        residual_bright=bright,
        catalogue_rms=float(np.sqrt(np.mean(length**2))) if kept.any() else float("nan"),
        instruments=names,
        distortions=tuple(refined[i].distortion for i in first),
        distortion_errors=errors,
        held=np.zeros(len(solutions), bool),
        unsupported=np.zeros(len(solutions), bool),
    )


def _solution(cameras: Cameras, frame: int, centre: FloatArray, polynomial: Polynomial | None) -> Solution:
    """The camera as a solution: its matrix turned from the carried axes to east and north."""
    basis, k = cameras.basis[frame], cameras.k[cameras.instrument[frame]]
    ra = float(np.degrees(np.arctan2(basis[0, 1], basis[0, 0]))) % 360.0 % 360.0
    dec = float(np.degrees(np.arctan2(basis[0, 2], np.hypot(basis[0, 0], basis[0, 1]))))
    cd = np.degrees(_sky_basis(ra, dec)[1:] @ basis[1:].T @ cameras.cd[frame])
    return Solution(
        ra=ra,
        dec=dec,
        x=float(centre[0]),
        y=float(centre[1]),
        cd=(float(cd[0, 0]), float(cd[0, 1]), float(cd[1, 0]), float(cd[1, 1])),
        distortion=Distortion(float(k[0]), float(k[1]), float(cameras.radius[frame]), polynomial),
    )


def _residuals(cameras: Cameras, field: _Field, agreement: _Agreement) -> tuple[IntArray, FloatArray, FloatArray]:
    """Per frame: common stars, and px rms per axis against the stars' mean positions, for all and for bright ones.

    The share that a sighting has in its star's mean is allowed for: a star seen twice counts with its full scatter.
    """
    s, frames = field.sightings, len(cameras.radius)
    weight, count = agreement.weight, len(agreement.stars)
    sums = np.stack([np.bincount(s.star, weight * agreement.residual[:, a], count) for a in (0, 1)], axis=1)
    total = np.bincount(s.star, weight, count)[s.star]
    times = np.bincount(s.star[weight > 0], minlength=count)[s.star]
    use = (weight > 0) & (times > 1)
    offset = agreement.residual[use] - sums[s.star[use]] / total[use, None]
    square = np.mean(offset**2, axis=1) / cameras.scale()[s.frame[use]] ** 2
    square /= np.maximum(1.0 - weight[use] / total[use], 0.1)
    frame, bright = s.frame[use], field.snr[use] > BRIGHT
    return (
        np.bincount(frame, minlength=frames),
        _rms(square, frame, frames),
        _rms(square[bright], frame[bright], frames),
    )


def _catalogue_residuals(cameras: Cameras, field: _Field, agreement: _Agreement) -> tuple[IntArray, FloatArray]:
    """Per frame: catalogue stars kept, and the rms length of their residuals, arcsec."""
    s, frames = field.sightings, len(cameras.radius)
    use = (agreement.anchor_weight[s.star] > 0) & (agreement.weight > 0)
    offset = agreement.residual[use] - agreement.anchors[s.star[use]]
    frame = s.frame[use]
    return np.bincount(frame, minlength=frames), _rms(np.sum(offset**2, axis=1), frame, frames)


def _rms(square: FloatArray, frame: IntArray, frames: int) -> FloatArray:
    """(f,) root of the mean per frame; NaN where there is nothing."""
    count = np.bincount(frame, minlength=frames)
    mean = np.bincount(frame, square, frames) / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, np.sqrt(mean), np.nan))
