"""What holding corrections does to the steps between panels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zemosaic.imaging.calibrate import Feather
from zemosaic.imaging.change import How, Look
from zemosaic.imaging.gauge import stepped
from zemosaic.model import Correction, Grid, Solution

SCALE, SHAPE = 1e-3, (300, 400)
GRID = Grid(10.0, 0.0, SCALE, 900, 500, 450.0, 250.0)
HOW = How(Feather(taper=20.0), equal=False)


def look(k: int, x: float, gain: float = 0.5) -> Look:
    """A mono frame x px right of the tangent point, on a sky of 800 ADU."""
    correction = Correction(k, (gain,), ((800.0, 0.0, 0.0),), (), 250.0)
    solution = Solution(10.0, 0.0, 199.5 - x, 149.5, (-SCALE, 0.0, 0.0, SCALE))
    return Look(solution, correction, (10.0,), SHAPE)


def brighter(one: Look, more: float) -> Look:
    return replace(one, correction=replace(one.correction, sky=((800.0 + more, 0.0, 0.0),)))


TODAY = {"a": look(0, -150.0), "b": look(1, -140.0), "c": look(2, 150.0)}
PANELS = {4: ["a", "b"], 7: ["c"], 9: []}


def steps(held: dict[str, Look]) -> np.ndarray:
    return np.array([each[0] for each in stepped(TODAY, held, PANELS, [(4, 7), (7, 4)], GRID, HOW)])


def test_a_brighter_sky_that_is_taken_off_lowers_its_panel():
    """5 ADU of a frame of gain 0.5 are 10 of the mosaic; the middle of the lattice is known to a hundredth."""
    assert steps(TODAY) == pytest.approx([0.0, 0.0], abs=1e-6)
    assert steps(TODAY | {"c": brighter(TODAY["c"], 5.0)}) == pytest.approx([10.0, -10.0], rel=0.01)
    both = TODAY | {"a": brighter(TODAY["a"], 3.0), "b": brighter(TODAY["b"], 3.0)}
    assert steps(both) == pytest.approx([-6.0, 6.0], rel=0.01)


def test_another_unit_of_light_makes_no_step():
    """The same ADU of sky are taken off, and what is left is scaled otherwise: nothing, where there is no light."""
    c = TODAY["c"]
    twice = replace(c, correction=replace(c.correction, gain=(1.0,)))
    assert steps(TODAY | {"c": twice}) == pytest.approx([0.0, 0.0], abs=0.01)
