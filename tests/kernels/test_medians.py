"""Medians of groups against numpy's, group by group."""

from __future__ import annotations

import numpy as np
import pytest

from zemosaic.imaging.startable import median_by


@pytest.mark.parametrize("seed", [1, 2])
def test_medians_are_those_of_each_group(seed: int) -> None:
    rng = np.random.default_rng(seed)
    index, values = rng.integers(0, 40, 300), rng.normal(size=300)
    values[rng.random(300) < 0.2] = np.nan
    values[rng.random(300) < 0.1] = np.inf
    values[index == 7] = np.nan
    for order in (np.arange(300), np.argsort(index, kind="stable")):
        found = median_by(index[order], values[order], 42)  # the last two have no values
        for group in range(42):
            some = values[(index == group) & np.isfinite(values)]
            wanted = np.median(some) if len(some) else np.nan
            np.testing.assert_equal(found[group], wanted)


def test_no_values_and_no_groups() -> None:
    assert np.isnan(median_by(np.zeros(0, int), np.zeros(0), 3)).all()
    assert median_by(np.zeros(0, int), np.zeros(0), 0).size == 0
