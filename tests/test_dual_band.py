"""H-alpha and OIII from subs through a dual-band filter: against the truth, and straight from the colour filter array."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import BRIGHT, Recorder, all_assembled, assembled, pixels, simulated
from zemosaic.events import Unchanged, Warned
from zemosaic.imaging.demosaic import bilinear, cfa_colours
from zemosaic.imaging.lines import flux_ratio, hydrogen, oxygen
from zemosaic.phases.export import Outputs
from zemosaic.score.scene import Scene, boxes_of, load_scene
from zemosaic.simulate.sky import STAR_COLOURS

PLAN = replace(BRIGHT, subs=6, dual_band=True, nebula=400.0, satellites=0.0)
RESPONSE = STAR_COLOURS[1] / STAR_COLOURS[2]  # of green over blue, to OIII


def test_oxygen_is_the_mean_with_inverse_variances() -> None:
    """Of many noisy measurements in both colours, blue seeing 0.7 of what green sees, on skies of other levels."""
    rng = np.random.default_rng(1)
    green = 300.0 + rng.normal(0.0, 2.0, (1, 400, 400))
    blue = 200.0 + rng.normal(0.0, 3.0, (1, 400, 400))
    planes = np.concatenate([np.full_like(green, np.nan), green, blue]).astype(np.float32)
    mix = oxygen(1 / 0.7, 50, (2.0**-2, 3.0**-2), (300.0, 200.0))
    values = mix.values(planes)
    assert values.mean() == pytest.approx(300.0, abs=0.05)
    best = (2.0**-2 + (0.7 / 3.0) ** 2) ** -0.5
    assert values.std() == pytest.approx(best, rel=0.01) and best < 2.0
    weights = np.broadcast_to(np.array([0.0, 2.0**-2, 3.0**-2], np.float32)[:, None, None], planes.shape)
    assert mix.weight(weights)[0, 0] == pytest.approx(best**-2, rel=1e-5)
    light = planes + np.array([1000.0, 50.0, 35.0], np.float32)[:, None, None]
    assert (mix.values(light) - values).mean() == pytest.approx(50.0, abs=1e-3)


def test_no_data_stays_no_data() -> None:
    planes = np.ones((3, 2, 2), np.float32)
    planes[0, 0, 0] = planes[2, 1, 1] = np.nan
    mix = oxygen(1.4, 50, (1.0, 1.0), (0.0, 0.0))
    assert np.isnan(mix.values(planes)).tolist() == [[False, False], [False, True]]
    assert np.isnan(hydrogen().values(planes)).tolist() == [[True, False], [False, False]]
    assert mix.weight(np.array([1.0, 1.0, 0.0], np.float32).reshape(3, 1, 1)) == 0.0


def test_too_few_stars_leave_green_alone() -> None:
    green, few = np.array([100.0, 50.0, 3.0]), np.array([1.0, 1.0, 1.0])
    ratio, count = flux_ratio(green, green / 2, few, few)
    assert (ratio, count) == (2.0, 2)
    mix = oxygen(ratio, count, (1.0, 1.0), (0.0, 0.0))
    assert mix.share == (0.0, 1.0, 0.0) and "only 2 stars" in mix.origin
    assert oxygen(1e9, 100, (1.0, 1.0), (0.0, 0.0)).share == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("pattern", ["GRBG", "RGGB"])
def test_a_plane_knows_the_pixels_of_its_colour_only(pattern: str) -> None:
    raw = np.random.default_rng(2).normal(100.0, 5.0, (40, 50)).astype(np.float32)
    colours, changed = cfa_colours(pattern), raw.copy()
    changed[np.tile(colours == 0, (20, 25))] += 1000.0  # H-alpha, in red pixels
    before, after = bilinear(raw, pattern), bilinear(changed, pattern)
    assert before.shape == (40, 50, 3)
    assert np.array_equal(before[..., 1:], after[..., 1:]) and not np.array_equal(before[..., 0], after[..., 0])


# ---- for real


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outputs, Scene, Path, Path]:
    folder = tmp_path_factory.mktemp("lines")
    night = simulated(folder / "night", PLAN)
    outputs = assembled(night.lights, folder / "mosaic", dual_band="ha_oiii")
    return outputs, load_scene(outputs.mosaic, night.truth), night.lights, folder / "mosaic"


def test_files_have_one_plane_clear_names_and_the_grid_of_the_mosaic(made) -> None:
    outputs, _, _, folder = made
    names = [f"zemosaic_MT1_R6_{name}.fits" for name in ("Ha", "Ha_weight", "OIII", "OIII_weight")]
    assert list(outputs.lines) == [folder / name for name in names]
    colour = fits.getheader(outputs.mosaic)
    for path, line in zip(outputs.lines[::2], ("Ha", "OIII"), strict=True):
        header = fits.getheader(path)
        assert (header["NAXIS"], header["LINE"], header["FILTER"]) == (2, line, "LP")
        assert [header[k] for k in ("NAXIS1", "NAXIS2", "CRPIX1", "CRVAL1")] == [
            colour[k] for k in ("NAXIS1", "NAXIS2", "CRPIX1", "CRVAL1")
        ]
        assert "MAGZERO" not in header and "MAGZERO" in colour
    assert f"green responds {RESPONSE:.1f}" in " ".join(str(fits.getheader(outputs.lines[2])["HISTORY"]).split())


def test_each_line_is_its_own_nebula_and_nothing_of_the_other(made) -> None:
    outputs, scene, _, _ = made
    gain = 1.0 / np.median([sub.transparency for sub in scene.truth.subs])
    stars = scene.starlight(1, 4.0) > 0.5
    truth = [boxes_of(np.where(stars, np.nan, scene.nebula[c]).astype(np.float32), 16) for c in (0, 1)]
    for own, path in ((0, outputs.lines[0]), (1, outputs.lines[2])):
        data = boxes_of(np.where(stars, np.nan, pixels(path) * gain).astype(np.float32), 16)
        good = np.isfinite(data) & np.isfinite(truth[0]) & np.isfinite(truth[1])
        y, x = np.nonzero(good)
        design = np.stack([truth[own][good], truth[1 - own][good], np.ones(x.size), x, y], axis=1)
        light, leak, *_ = np.linalg.lstsq(design, data[good], rcond=None)[0]
        assert light == pytest.approx(1.0, abs=0.06)
        assert abs(leak) < 0.03


def test_oxygen_is_quieter_than_green_as_its_weight_says(made) -> None:
    outputs, scene, _, _ = made
    green, oiii = pixels(outputs.mosaic)[1], pixels(outputs.lines[2])
    weight, better = pixels(outputs.weight)[1], pixels(outputs.lines[3])
    deep = weight > 0.5 * np.nanmax(weight)
    promised = np.median((better / np.where(weight > 0, weight, np.nan))[deep])
    assert 1.1 < promised < 1.6
    noise = []
    for image in (green, oiii):
        boxes = boxes_of(np.where(deep & (scene.starlight(1, 4.0) < 0.3), image, np.nan).astype(np.float32), 8)
        second = boxes[:, 2:] - 2 * boxes[:, 1:-1] + boxes[:, :-2]
        noise.append(np.nanmedian(np.abs(second)))
    assert (noise[0] / noise[1]) ** 2 == pytest.approx(promised, rel=0.25)


def test_again_and_other_filters(made, tmp_path: Path) -> None:
    outputs, _, lights, folder = made
    recorder = Recorder()
    assert assembled(lights, folder, recorder, dual_band="ha_oiii") == outputs
    assert Unchanged(6) in recorder.outcomes
    broad = simulated(tmp_path / "night", replace(PLAN, dual_band=False, subs=3))
    recorder = Recorder()
    (plain,) = all_assembled(broad.lights, tmp_path / "mosaic", recorder, dual_band="ha_oiii")
    assert plain.lines == ()
    assert [e.text for e in recorder.events if isinstance(e, Warned) and "through IRCUT" in e.text]
