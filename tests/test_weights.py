"""Weights: 1 / sigma^2 with the pixels' area between instruments, all alike when asked for; radial feathering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nights import BRIGHT, Recorder, assembled, pixels, rewrite, rows, simulated
from zemosaic.events import Warned
from zemosaic.imaging.calibrate import STEP, Feather, calibration
from zemosaic.model import Correction, Frame, FrameKind, Grid, Solution
from zemosaic.phases.match import MatchResult
from zemosaic.recipes import weighted_by_hand
from zemosaic.score.scene import boxes_of, load_scene
from zemosaic.settings import Settings
from zemosaic.simulate import Night

SHAPE = (480, 640)
CORRECTION = Correction(0, (1.0,), ((0.0, 0.0, 0.0),), (), 400.0)
GRID = Grid(10.0, 40.0, 1e-3, 900, 900, 450.0, 450.0)


def weight_of(
    sigma: float = 10.0, pixel: float = 1e-3, gain: float = 1.0, feather: Feather | None = None, **how: object
):
    """(p, q) weights on the lattice of a frame."""
    solution = Solution(10.0, 40.0, 319.5, 239.5, (-pixel, 0.0, 0.0, pixel))
    correction = replace(CORRECTION, gain=(gain,), **how)
    return calibration(correction, solution, (sigma,), GRID, SHAPE, feather or Feather(), False, (0.0,)).weight[..., 0]


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"sigma": 20.0}, 1 / 4),
        ({"gain": 0.5}, 1 / 4),  # half the starlight under the same noise
        ({"pixel": 2e-3}, 4.0),  # four times the sky in a pixel of the same noise
        ({"pixel": 1.667e-3, "gain": 0.36}, 0.36),  # an S30 beside an S50: 2.78 times the area, 0.36 of the aperture
        ({"weight": 0.5}, 1 / 2),
    ],
)
def test_weight_is_the_inverse_variance_of_a_solid_angle(change: dict[str, float], factor: float) -> None:
    middle = tuple(n // 2 for n in weight_of().shape)
    assert weight_of(**change)[middle] / weight_of()[middle] == pytest.approx(factor, rel=2e-3)


@pytest.mark.parametrize(("fraction", "power", "floor"), [(0.8, 2.0, 0.0), (1.0, 1.0, 0.2), (0.5, 4.0, 0.5)])
def test_radial_feathering_falls_as_the_power_of_a_cosine_to_its_floor(
    fraction: float, power: float, floor: float
) -> None:
    feather = Feather(radial_fraction=fraction, radial_power=power, radial_floor=floor)
    share = weight_of(feather=feather) / weight_of()
    y, x = np.mgrid[0 : share.shape[0], 0 : share.shape[1]] * STEP
    rho = np.hypot(x - 319.5, y - 239.5) / 400.0
    cosine = np.cos(0.5 * np.pi * np.minimum(rho / fraction, 1.0)) ** power
    assert share == pytest.approx(np.maximum(cosine, floor), abs=1e-6)
    assert share[rho > fraction] == pytest.approx(floor, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "factors", "idle"),
    [
        ("*S30*=2", (1.0, 2.0, 1.0), ()),
        ("light_1.FIT=3; *=2; Light_1.fit=5", (3.0, 2.0, 3.0), ()),  # the first that fits, plain or not
        ("*=2; light_1.fit=3", (2.0, 2.0, 2.0), ()),
        ("a/*=4; b/Light_1.fit=5; c/*=6", (4.0, 4.0, 5.0), ("c/*",)),  # ends of paths
    ],
)
def test_patterns_of_weights_are_those_of_files_to_leave_out(
    text: str, factors: tuple[float, ...], idle: tuple[str, ...]
) -> None:
    paths = ("/n/a/Light_1.fit", "/n/a/x_S30_2.fit", "/n/b/Light_1.fit")
    corrections = {k: Correction(k, (1.0,), ((0.0,),), (), 10.0) for k in range(3)}
    made = MatchResult(
        corrections=corrections, left_out=(), overlaps=(), sky_level=(0.0,), zero_point=22.0, zero_point_scatter=0.1,
        zero_point_stars=20, zero_point_channel="luminance", gain_residual_mmag={}, frame_steps={}, common_stars={},
        response={}, pedestal={}, pedestal_error={}, response_error={}, star_groups=1, sky_groups=1,
    )  # fmt: skip
    frames = [
        Frame(
            k, Path(path), 0, 0, "", FrameKind.MONO, 640, 480, "", "one", "", "", "", "", 10.0, 80.0, 20.0, "", 0.0, 0.0, 2.4,
            65535.0,
        )
        for k, path in enumerate(paths)
    ]  # fmt: skip
    result, found = weighted_by_hand(made, frames, Settings(file_weights=text))
    assert tuple(result.corrections[k].weight for k in range(3)) == factors and found == idle


# ---- for real

PLAN = replace(BRIGHT, subs=6, satellites=0.0, transparency=(0.8, 0.8), nebula=0.0, sky_gradient=0.0, fwhm=(3.2, 3.2))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Every second sub three times as noisy as the others."""
    night = simulated(tmp_path_factory.mktemp("weights"), PLAN)
    for k, path in enumerate(night.subs):
        if k % 2:
            data = fits.getdata(path).astype(float)
            noise = np.sqrt(8.0 * PLAN.sky_noise**2) * np.random.default_rng(k).normal(size=data.shape)
            rewrite(path, np.clip(np.rint(data + noise + 200.0), 0, 65535).astype(np.uint16))
    return night


def test_weights_by_hand(night: Night, tmp_path: Path) -> None:
    """Two of six good subs count four times: the weights say what that does to the noise of equal subs."""
    names = [path.name for path in night.subs]
    given = {"stacking_weighting_method": "none", "file_weights": f"{names[0].upper()}=4;{names[2]} = 4; * = 1; x?=3"}
    recorder = Recorder()
    plain = assembled(night.lights, tmp_path / "plain", stacking_weighting_method="none")
    made = assembled(night.lights, tmp_path / "made", recorder, **given)
    assert [e.text for e in recorder.events if isinstance(e, Warned)] == [
        "file_weights: no sub of this mosaic has a name like x?"
    ]
    before, now = (row_weights(tmp_path / each) for each in ("plain", "made"))
    assert [now[n] / before[n] for n in names] == pytest.approx([4, 1, 4, 1, 1, 1])
    weights = [pixels(each.weight)[1] for each in (plain, made)]
    height, width = weights[0].shape
    deep = np.s_[height // 2 - 40 : height // 2 + 40, width // 2 - 40 : width // 2 + 40]
    # variance 1 of the good, 9 of the noisy ones; sum(w^2 v) / sum(w)^2
    expected = ((3 + 27) / 36) / ((16 + 16 + 1 + 27) / 12**2)
    assert np.median(weights[1][deep] / weights[0][deep]) == pytest.approx(expected, rel=0.08)


def row_weights(folder: Path) -> dict[str, float]:
    return {row.path.name: row.correction.weight for row in rows(folder) if row.correction}


def noise_of(image: np.ndarray, deep: np.ndarray) -> float:
    """Of 8 px boxes, from second differences, which no slope disturbs."""
    boxes = boxes_of(np.where(deep, image, np.nan).astype(np.float32))
    return float(np.nanmedian(np.abs(boxes[:, 2:] - 2 * boxes[:, 1:-1] + boxes[:, :-2])))


def test_half_of_a_night_noisier(night: Night, tmp_path: Path) -> None:
    """Weighted: 1 / (3 + 3 / 9) of the variance of a good sub; all alike: (3 + 3 * 9) / 36."""
    methods = ("noise_variance", "none")
    made = {each: assembled(night.lights, tmp_path / each, stacking_weighting_method=each) for each in methods}
    weights = {each: pixels(outputs.weight)[1] for each, outputs in made.items()}
    deep = weights["noise_variance"] > 0.95 * np.nanmax(weights["noise_variance"])  # all subs, none of their tapers
    sigmas = [row.measurement.sigma[1] for row in rows(tmp_path / "none")]
    assert np.median(sigmas[1::2]) / np.median(sigmas[::2]) == pytest.approx(3.0, rel=0.05)
    expected = (3 + 27) / 36 * (3 + 3 / 9)
    told = np.median(weights["noise_variance"][deep] / weights["none"][deep])
    assert told == pytest.approx(expected, rel=0.08)
    sky = deep & (load_scene(made["none"].mosaic, night.truth).starlight(1, 4.0) < 0.3)
    measured = [noise_of(pixels(made[method].mosaic)[1], sky) for method in ("none", "noise_variance")]
    assert (measured[0] / measured[1]) ** 2 == pytest.approx(expected, rel=0.2)
