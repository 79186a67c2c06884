"""Real subs: two Seestar S50 on M 94, 69.5 degrees apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from nights import Inline, Recorder, assembled, listing, pixels, rows
from zemosaic.events import Silent
from zemosaic.ledger import FrameRow
from zemosaic.model import FrameState
from zemosaic.phases.export import Outputs
from zemosaic.phases.solve import solve

pytestmark = pytest.mark.realdata


@dataclass(frozen=True)
class Run:
    outputs: Outputs
    rows: list[FrameRow]
    before: list[dict[str, tuple[int, str]]]
    after: list[dict[str, tuple[int, str]]]


@pytest.fixture(scope="module")
def m94(realdata, tmp_path_factory) -> Run:
    folders: list[Path] = [realdata / "m94_s50_a", realdata / "m94_s50_b"]
    output = tmp_path_factory.mktemp("m94")
    before = [listing(folder) for folder in folders]
    outputs = assembled(folders, output, Recorder(), pool=True)
    return Run(outputs, rows(output), before, [listing(folder) for folder in folders])


def test_all_eighteen_are_used(m94):
    assert Counter(row.state for row in m94.rows) == {FrameState.USED: 18}
    assert Counter(row.frame.instrument for row in m94.rows).most_common() == [(m94.rows[0].frame.instrument, 12),
                                                                              (m94.rows[-1].frame.instrument, 6)]  # fmt: skip
    assert m94.before == m94.after


def test_stars_agree_with_their_mean_positions(m94):
    """At most 0.12 px per axis for stars above 20 sigma."""
    frames, measurements = [row.frame for row in m94.rows], [row.measurement for row in m94.rows]
    with Inline() as executor:
        again = solve(frames, measurements, method="auto", search_radius=1.5, executor=executor, reporter=Silent())
    residuals = np.array(list(again.residuals.values()))
    assert residuals.size == 18
    assert np.isfinite(residuals).all()
    assert residuals.max() <= 0.12, residuals
    assert again.catalogue_rms < 1.0


def test_mosaic_is_whole_and_its_sky_neutral(m94):
    data, coverage = pixels(m94.outputs.mosaic), pixels(m94.outputs.coverage)
    assert coverage.max() == 18
    # no holes: what lies inside the outline has data
    covered = np.isfinite(data).all(axis=0)
    assert (ndimage.binary_fill_holes(covered) == covered).all()
    assert covered[coverage > 0].all()
    # no stripe or edge of a frame: medians of deep sky in cells of 64 px scatter little
    deep = np.where(coverage >= 6, data, np.nan)[:, : data.shape[1] // 64 * 64, : data.shape[2] // 64 * 64]
    cells = deep.reshape(3, deep.shape[1] // 64, 64, -1, 64)
    full = np.isfinite(cells).all(axis=(0, 2, 4))
    level = np.median(np.moveaxis(cells, 3, 2)[:, full], axis=(2, 3))
    noise = 1.4826 * np.median(np.abs(np.diff(data[:, coverage == 18], axis=1)), axis=1) / np.sqrt(2)
    assert full.sum() > 100
    assert (1.4826 * np.median(np.abs(level - np.median(level, axis=1, keepdims=True)), axis=1) < 0.5 * noise).all()


def test_preview_has_a_neutral_sky(m94):
    with Image.open(m94.outputs.preview) as picture:
        image = np.asarray(picture.convert("RGB")).astype(float)
    shown = image.max(axis=2) > 0
    sky = shown & (image.sum(axis=2) < np.percentile(image.sum(axis=2)[shown], 60))
    median = np.median(image[sky], axis=0)
    assert np.ptp(median) <= 3, median
    assert 8 <= median.mean() <= 70, median
