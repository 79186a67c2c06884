"""Real subs: two Seestar S50 on M 94, 69.5 degrees apart."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image
from scipy import ndimage

from nights import Inline, Recorder, assembled, listing, pixels, rows
from tones import assert_fit
from zemosaic.catalogue import load_catalogue
from zemosaic.events import PhaseStarted, Silent
from zemosaic.ledger import FrameRow
from zemosaic.messages import Messages
from zemosaic.model import FrameState
from zemosaic.phases.export import Outputs
from zemosaic.phases.solve import solve
from zemosaic.sentences import Sentences

pytestmark = pytest.mark.realdata


@dataclass(frozen=True)
class Run:
    outputs: Outputs
    rows: list[FrameRow]
    before: list[dict[str, tuple[int, str]]]
    after: list[dict[str, tuple[int, str]]]
    said: list[str]  # lines of the events


@pytest.fixture(scope="module")
def m94(realdata, tmp_path_factory) -> Run:
    folders: list[Path] = [realdata / "m94_s50_a", realdata / "m94_s50_b"]
    output = tmp_path_factory.mktemp("m94")
    before = [listing(folder) for folder in folders]
    recorder, sentences = Recorder(), Sentences(Messages("en"), None)
    outputs = assembled(folders, output, recorder, pool=True)
    said = [sentences.line(event) or "" for event in recorder.events if not isinstance(event, PhaseStarted)]
    lines = [line for line in "\n".join(said).splitlines() if line]
    return Run(outputs, rows(output), before, [listing(folder) for folder in folders], lines)


def test_all_eighteen_are_used(m94):
    assert Counter(row.state for row in m94.rows) == {FrameState.USED: 18}
    assert Counter(row.frame.instrument for row in m94.rows).most_common() == [(m94.rows[0].frame.instrument, 12),
                                                                              (m94.rows[-1].frame.instrument, 6)]  # fmt: skip
    assert m94.before == m94.after


def test_first_run_shows_what_these_subs_print(m94):
    """Every line of the page's example, in order; only figures, and where the files lie, may differ."""
    page = (Path(__file__).parents[1] / "docs" / "first-run.md").read_text(encoding="utf-8")
    quoted = next(block for block in re.findall(r"((?:^    \S.*\n)+)", page, re.MULTILINE) if "Looking" in block)

    def alike(line: str) -> str:
        line = line.strip().replace(str(m94.outputs.mosaic.parent), "C:/Astro/M 94 mosaic").replace("\\", "/")
        return re.sub(r"\d+ min \d+ s|\d+(?:\.\d+)?(?: s\b)?", "#", line).split(" ...")[0]

    shown = [alike(line) for line in quoted.splitlines()]
    said = [alike(line) for line in m94.said if "Report:" not in line]  # none is made here
    assert len(shown) == len(said) + 1
    pairs = zip([line for line in shown if not line.startswith("Report:")], said, strict=True)
    assert [(ours, theirs) for ours, theirs in pairs if not theirs.startswith(ours)] == []


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


def test_the_telescopes_meet_without_a_step(m94):
    """Each ends within the other's sky; along these rims they differ by no more than noise explains."""
    told = json.loads(m94.outputs.mosaic.with_name(f"{m94.outputs.mosaic.stem}_seams.json").read_text())
    (seam,) = told["seams"]
    assert (told["grade"], seam["first"], seam["second"]) == ("A", 0, 0) and seam["cells"] > 100
    assert {name.split()[0] for name in seam["sets"]} == {"S50_1d3fe189", "S50_12d98769"}
    assert np.abs(seam["residual"]).max() < 4.0 and max(seam["error"]) < 0.2


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


def steps_at_frame_edges(data: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """(channels, 4) ADU: how much the sky jumps where one set of frames ends, on the right, upper, left and lower side.

    In blocks of 100 px along each side: a plane over 160 px outside and 240 px inside, and a step over the taper of 80 px.
    """
    depth, rise = depth_and_taper(coverage)
    gy, gx = np.gradient(ndimage.gaussian_filter(depth, 5))
    side = np.round(np.degrees(np.arctan2(gy, gx)) / 90).astype(int) % 4
    near = (coverage >= 4) & (depth > -160) & (depth < 240)
    along = np.indices(depth.shape) // 100
    found = np.zeros((len(data), 4))
    for c, channel in enumerate(data):
        level = np.nanmedian(channel)
        spread = 1.4826 * np.nanmedian(np.abs(channel - level))
        light = ndimage.gaussian_filter(np.where(np.isfinite(channel), channel, level), 1.5) > level + 1.5 * spread
        sky = near & np.isfinite(channel) & ~ndimage.binary_dilation(light, iterations=8)
        for k in range(4):
            block = along[k % 2]
            members = [sky & (side == k) & (block == b) for b in np.unique(block[sky & (side == k)])]
            members = [m for m in members if m.sum() > 20_000 and (m & (depth < 0)).sum() > 8_000]
            jumps = [step_of(channel[m], depth[m], rise[m]) for m in members]
            assert len(jumps) > 5
            found[c, k] = np.mean(jumps)
    return found


def depth_and_taper(coverage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the border of the best covered pixels, px, positive inside; and the share that its frames have there."""
    deep = coverage == coverage.max()
    depth = ndimage.distance_transform_edt(deep) - ndimage.distance_transform_edt(~deep)
    part = np.clip(depth / 80, 0, 1)
    return depth, part * part * (3 - 2 * part)


def step_of(values: np.ndarray, depth: np.ndarray, rise: np.ndarray) -> float:
    return float(np.linalg.lstsq(np.stack([np.ones_like(depth), depth, rise], axis=1), values)[0][2])


def test_no_edge_of_a_frame_shows(m94):
    """The sky goes on smoothly where 18 subs become 6 or 12; the error of each figure is 0.5 ADU, a pixel's noise 20 ADU."""
    data, coverage = pixels(m94.outputs.mosaic), pixels(m94.outputs.coverage)
    steps = steps_at_frame_edges(data, coverage)
    assert np.abs(steps).max() < 2.0, steps
    assert np.abs(steps.mean(axis=0)).max() < 1.5, steps
    planted = steps_at_frame_edges(data[1:2] + 3.0 * depth_and_taper(coverage)[1], coverage)
    np.testing.assert_allclose(planted[0] - steps[1], 3.0, atol=0.6)


def test_grain_of_the_preview_is_even(m94):
    """6 subs are shown with hardly more grain than 18: else the eye finds the border although there is no step."""
    with Image.open(m94.outputs.preview) as picture:
        half = picture.convert("L").resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
        image = np.asarray(half)[::-1].astype(float)
    coverage = pixels(m94.outputs.coverage)[: 2 * image.shape[0] : 2, : 2 * image.shape[1] : 2]
    fine = image - ndimage.gaussian_filter(image, 4)

    def grain(some: np.ndarray) -> float:
        values = fine[ndimage.binary_erosion(some, iterations=10)]
        return 1.4826 * float(np.median(np.abs(values - np.median(values))))

    deep, thin = grain(coverage == 18), grain((coverage >= 5) & (coverage <= 6))
    assert 0.6 * deep < thin < 1.25 * deep, (deep, thin)


def test_preview_is_fit_to_be_shown(m94):
    assert_fit(m94.outputs.preview)


def test_subs_with_a_wrong_wcs_in_their_headers(realdata, tmp_path):
    """M 27: what the headers claim is refused, and stars of the mosaic are where Tycho-2 has them."""
    outputs = assembled([realdata / "m27_asi224"], tmp_path / "out", Recorder())
    assert [(row.state, row.solution.solver) for row in rows(tmp_path / "out")] == [(FrameState.USED, "catalogue")] * 2
    with fits.open(outputs.mosaic) as hdus:
        header, green = hdus[0].header, hdus[0].data[1].astype(np.float32)
    assert header["AST_REF"] == "Tycho-2" and header["AST_RMS"] < 0.5 and header["AST_REL"] < 0.12
    assert_fit(outputs.preview)
    sky = load_catalogue().cone(header["CRVAL1"], header["CRVAL2"], 0.3, 11.5)
    x, y = WCS(header).celestial.world_to_pixel(SkyCoord(sky.ra, sky.dec, unit="deg"))
    inside = (x > 40) & (y > 40) & (x < green.shape[1] - 40) & (y < green.shape[0] - 40)
    inside[inside] &= np.isfinite(green[np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)])
    image = np.ascontiguousarray(np.nan_to_num(green - np.nanmedian(green)))
    at_x, at_y, _ = sep.winpos(image, x[inside], y[inside], 2.0)
    off = 3600.0 * header["CD2_2"] * np.hypot(at_x - x[inside], at_y - y[inside])
    assert len(off) >= 5
    assert np.median(off) < 0.4, off
