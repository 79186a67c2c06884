"""The gradient that the skies of all frames share, from how their gradients turn.

Overlaps tell the gradients of the frames about a common plane only. Two things tell of that plane, each with its error:

*Gradients that turn steadily.* The gradient of city light or the moon stays with the horizon while the field turns, or the
field stays and it turns: a part of each sky, c exp(i w t), that turns steadily over the mosaic. What does not turn with it in the
fitted gradients is the common plane. The residuals say how far that is true.

*Gradients that turn anyhow* (several nights). They keep their share of the sky's brightness better than their direction: in
units of each sky they lie on a circle, and the common plane moved its centre.

Gradients that do not turn tell nothing of it, nor do a few alike; two nights, each with a direction of its own, can be laid onto
a steady turn and onto a circle exactly, whatever the common plane is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Turn", "steady_turn", "turning_centre"]

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

FEWEST = 6  # frames
ENOUGH = 2000  # frames, among which the rate of turning is looked for
MOST_TURNS, TURN_STEP, TURN_FRAMES = 6.0, 0.1, 8.0  # over all frames; a turn takes so many frames at least
LEAST_TURN = 0.25  # of the circle over all frames, for a steady turn to be told from a common plane
LONGEST_LEAP = 0.2  # of the circle between two frames: a gap in which nobody saw it turn
SECTORS, FEWEST_SECTORS, IN_SECTOR = 12, 4, 0.03  # of the circle, how many must hold so large a share of the frames
UNEVEN = 0.35  # scatter of the lengths over their mean, from which gradients lie on no circle: 0.52 for a round heap
SURER = 0.1  # variance of directions over that of lengths, at least
SAME = 0.01  # of the gradients: what all of them together may be longer in one direction than in another
BLOCKS = 8  # of frames in a row, whose gradients err alike
STEPS, ROUNDS = 60, 3
HUBER, CLIP = 2.0, 3.0  # of the scatter
DAMPING = 0.01  # of a step along what the gradients hardly tell
FAINTEST_SKY = 0.2  # of the median: a sky near 0 would make a gradient infinitely long
NOTHING = 1e-12


def turning_centre(gradients: FloatArray, sky: FloatArray, time: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What is to be added to all gradients so that they turn about 0, and its information (2, 2), 0 when they do not turn.

    gradients : (n, 2), in order of time; sky : (n,) brightness in the same unit; time : (n,) ascending, in any unit.
    """
    if len(gradients) < FEWEST:
        return np.zeros(2), np.zeros((2, 2))
    brightness = np.maximum(sky, FAINTEST_SKY * float(np.median(sky)))
    if not brightness.min() > 0:
        brightness = np.ones(len(sky))
    found = [_steady_centre(gradients, brightness, time), _circle_centre(gradients, brightness)]
    return max(found, key=lambda each: float(np.linalg.eigvalsh(each[1])[0]))


def _steady_centre(gradients: FloatArray, sky: FloatArray, time: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradients over sky as complex numbers: c exp(i w t) - centre / sky."""
    span = float(np.ptp(time))
    if not span > 0:
        return np.zeros(2), np.zeros((2, 2))
    shape = np.asarray((gradients[:, 0] + 1j * gradients[:, 1]) / sky, np.complex128)
    phase = 2.0 * np.pi * (time - time[0]) / span
    values = _search(shape, sky, phase)
    for _ in range(ROUNDS):
        values, covariance, scatter = _improved(shape, sky, phase, values)
    typical = float(np.hypot(values[0], values[1]))
    covariance = covariance[2:4, 2:4] + (SAME * typical * float(sky.mean())) ** 2 * np.eye(2)
    seen = np.diff(phase).max() * abs(values[4]) <= 2.0 * np.pi * LONGEST_LEAP
    found = seen and abs(values[4]) >= LEAST_TURN and scatter < UNEVEN * typical
    information = np.asarray(np.linalg.inv(covariance), np.float64)
    return values[2:4], information if found else np.zeros((2, 2))


@dataclass(frozen=True)
class Turn:
    """The steady turn through the gradients of a night, about any centre."""

    slopes: FloatArray  # (n, 2) that it has at each time
    variance: FloatArray  # (n,) of the gradients about it, along each axis
    values: FloatArray  # (5,) where a search for it may begin


def steady_turn(gradients: FloatArray, sky: FloatArray, time: FloatArray, near: FloatArray | None = None) -> Turn:
    """Gradients (n, 2) in order of time, at least `FEWEST`, as a common plane and a part of each sky that turns steadily.

    sky : (n,) brightness in the same unit; time : (n,) ascending, not all the same. near : `values` of nearly the same gradients.
    """
    sky = np.maximum(sky, FAINTEST_SKY * float(np.median(sky)))
    sky = sky if sky.min() > 0 else np.ones(len(sky))
    shape = np.asarray((gradients[:, 0] + 1j * gradients[:, 1]) / sky, np.complex128)
    phase = 2.0 * np.pi * (time - time[0]) / float(np.ptp(time))
    values = _search(shape, sky, phase) if near is None else near
    for _ in range(ROUNDS):
        values, _, _ = _improved(shape, sky, phase, values)
    turned = complex(*values[:2]) * np.exp(1j * values[4] * phase) - complex(*values[2:4]) / sky
    off = np.stack([(shape - turned).real, (shape - turned).imag])
    limit = CLIP * (1.4826 * float(np.median(np.abs(off))) + NOTHING)
    variance = np.mean([_variance(each) for each in np.clip(off, -limit, limit)])
    variance *= len(sky) / (len(sky) - 0.5 * len(values))
    return Turn(np.stack([turned.real, turned.imag], axis=1) * sky[:, None], variance * sky**2, values)


def _search(shape: ComplexArray, sky: FloatArray, phase: FloatArray) -> FloatArray:
    """(5,) c (real, imaginary), centre, turns: linear least squares for each rate of a grid that becomes finer."""
    some = slice(None, None, 1 + len(shape) // ENOUGH)
    shape, sky, phase = shape[some], sky[some], phase[some]
    most, step = min(MOST_TURNS, len(shape) / TURN_FRAMES), TURN_STEP
    turns = np.arange(-most, most + step, step)
    for _ in range(ROUNDS):
        fits = [_linear(shape, sky, phase, float(turn)) for turn in turns]
        best = int(np.argmin([loss for _, loss in fits]))
        middle, (c, centre) = float(turns[best]), fits[best][0]
        turns, step = np.linspace(middle - step, middle + step, 11), step / 5.0
    return np.array([c.real, c.imag, centre.real, centre.imag, middle])


def _linear(shape: ComplexArray, sky: FloatArray, phase: FloatArray, turns: float) -> tuple[ComplexArray, float]:
    """c and the centre for one rate of turning, and what they leave (Huber)."""
    design = np.stack([np.exp(1j * turns * phase), -1.0 / sky], axis=1)
    weight = np.ones(len(shape))
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        solution = np.asarray(np.linalg.lstsq(design * root[:, None], shape * root, rcond=1e-6)[0], np.complex128)
        size = np.abs(shape - design @ solution)
        limit = HUBER * float(np.median(size)) + NOTHING
        weight = np.minimum(1.0, limit / np.maximum(size, NOTHING))
    return solution, float(np.sum(np.minimum(size, limit) * size))


def _improved(
    shape: ComplexArray, sky: FloatArray, phase: FloatArray, values: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """A Gauss-Newton step of the five values; their covariance, and the scatter of the lengths.

    Lengths and directions have errors of their own: haze changes the one, only the sky itself the other.
    """
    c, centre = complex(*values[:2]), complex(*values[2:4])
    turning = np.exp(1j * values[4] * phase)
    off = shape - (c * turning - centre / sky)
    columns = np.stack([turning, 1j * turning, -1.0 / sky, -1j / sky, 1j * phase * c * turning])
    along = np.conj(c * turning) / max(abs(c), NOTHING)  # turns what lies along the gradient onto the real axis
    normal, right, variances = np.zeros((5, 5)), np.zeros(5), list[float]()
    for error, design in (
        (np.real(off * along), np.real(columns * along)),
        (np.imag(off * along), np.imag(columns * along)),
    ):
        scatter = 1.4826 * float(np.median(np.abs(error))) + NOTHING
        least = SURER * variances[0] if variances else 0.0
        variances.append(max(_variance(np.clip(error, -CLIP * scatter, CLIP * scatter)), least))
        weight = np.minimum(1.0, HUBER * scatter / np.maximum(np.abs(error), NOTHING)) / variances[-1]
        normal += design @ (weight[:, None] * design.T)
        right += design @ (weight * error)
    covariance: FloatArray = np.asarray(np.linalg.pinv(normal, hermitian=True), np.float64)
    better: FloatArray = values + covariance @ right
    return better, covariance, float(np.sqrt(variances[0]))


def _circle_centre(gradients: FloatArray, sky: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What makes all gradients equally long in units of their sky: least squares in the lengths (Gauss-Newton)."""
    centre, weight, unit = np.zeros(2), np.ones(len(gradients)), float(sky.mean())
    for _ in range(STEPS):
        moved = gradients + centre
        distance = np.linalg.norm(moved, axis=1)
        length, way = distance / sky, moved / np.maximum(distance * sky, NOTHING)[:, None]
        typical = float(np.average(length, weights=weight))
        off = length - typical
        scatter = max(1.4826 * float(np.median(np.abs(off))), 1e-3 * typical) + NOTHING
        weight = np.minimum(1.0, HUBER * scatter / np.maximum(np.abs(off), NOTHING))
        way = way - np.average(way, axis=0, weights=weight)
        normal = way.T @ (weight[:, None] * way)
        normal += (DAMPING * np.trace(normal) + NOTHING) * np.eye(2)
        step = np.linalg.solve(normal, way.T @ (weight * off))
        centre = centre - step
        if np.abs(step).max() < 1e-4 * typical * unit:
            break
    variance = _variance(np.clip(off, -CLIP * scatter, CLIP * scatter))
    covariance = np.linalg.inv(way.T @ way / variance + NOTHING * np.eye(2)) + (SAME * typical * unit) ** 2 * np.eye(2)
    # gradients in a row, longer and shorter, are no circle: they must spread across by more than their lengths do; nor is a heap
    # about any place, which looks like one about 0 once its mean is off
    across = float(np.linalg.eigvalsh(np.cov(gradients.T))[0])
    share = max(0.0, 1.0 - variance * unit**2 / max(across, NOTHING)) if _spread(gradients + centre) else 0.0
    share *= max(0.0, 1.0 - variance / (UNEVEN * typical + NOTHING) ** 2)
    information: FloatArray = share * np.asarray(np.linalg.inv(covariance + NOTHING * np.eye(2)), np.float64)
    return centre, information


def _spread(gradients: FloatArray) -> bool:
    """Whether the directions of the gradients lie in enough places of the circle."""
    angle = np.arctan2(gradients[:, 1], gradients[:, 0])
    frames = np.bincount(((angle / (2.0 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS, minlength=SECTORS)
    return int(np.count_nonzero(frames >= IN_SECTOR * len(angle))) >= FEWEST_SECTORS


def _variance(off: FloatArray) -> float:
    """Of one of several values, as if they were independent: what neighbours have in common counts as one error."""
    means = np.array([part.mean() for part in np.array_split(off, max(2, min(BLOCKS, len(off) // 3)))])
    return max(float(np.mean(off**2)), len(off) / len(means) * float(np.var(means, ddof=1)), NOTHING)
