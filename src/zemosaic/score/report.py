"""The figures of a mosaic, each with its goal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zemosaic.ledger import WORKSPACE, Ledger
from zemosaic.score.artefacts import ArtefactScore, judge_artefacts
from zemosaic.score.corrections import judge_corrections
from zemosaic.score.scene import Scene, load_scene
from zemosaic.score.smooth import SkyScore, judge_sky, residual_of
from zemosaic.score.starlight import StarScore, judge_stars
from zemosaic.simulate.truth import Truth

__all__ = ["Metric", "Score", "judge", "score"]

CHANNELS = "RGB"
BACKGROUND, NARROW = (0.5, 1.0), 4  # % of p99, goals for mosaics of so many panels at most and for wider ones
LEDGER = "ledger.sqlite"


@dataclass(frozen=True)
class Metric:
    """One figure; NaN when the night holds nothing to measure it on."""

    name: str
    value: float
    unit: str = ""
    goal: float | None = None  # None: for information
    at_least: bool = False  # the goal is a lower limit; otherwise |value| must not exceed it
    detail: str = ""

    @property
    def ok(self) -> bool:
        if self.goal is None or math.isnan(self.value):
            return True
        return self.value >= self.goal if self.at_least else abs(self.value) <= self.goal


@dataclass(frozen=True)
class Score:
    """All figures of a mosaic."""

    metrics: tuple[Metric, ...]

    @property
    def ok(self) -> bool:
        return all(metric.ok for metric in self.metrics)

    def __getitem__(self, name: str) -> float:
        return next(metric.value for metric in self.metrics if metric.name == name)

    def table(self) -> str:
        """Text: what, value, goal, whether it is met, details."""
        lines = [f"{'what':<30} {'value':>9} {'':<9} {'goal':>8}  "]
        for m in self.metrics:
            goal = "" if m.goal is None else f"{'>=' if m.at_least else '<='} {m.goal:g}"
            verdict = "" if m.goal is None else ("n/a" if math.isnan(m.value) else "ok" if m.ok else "MISSED")
            value = "n/a" if math.isnan(m.value) else f"{m.value:.3f}"
            lines.append(f"{m.name:<30} {value:>9} {m.unit:<9} {goal:>8}  {verdict:<6}  {m.detail}".rstrip())
        return "\n".join((*lines, "", *self.verdict()))

    def verdict(self) -> Iterator[str]:
        """What the figures come to, in sentences."""
        unknown = [m.name for m in self.metrics if math.isnan(m.value)]
        missed = [m.name for m in self.metrics if not m.ok]
        if unknown:
            yield f"Not judged, as the night has too few stars or too little sky for it: {', '.join(unknown)}."
        if missed:
            yield f"Goals missed (exit code 1): {', '.join(missed)}. The goals are for nights of some dozen subs and many stars."
        else:
            yield "Every goal that could be judged is met (exit code 0)."


def score(mosaic: Path, truth: Path) -> Score:
    """Judge a mosaic (FITS, with its companions beside it) against the truth of its simulated night.

    One scale per channel is fitted to isolated stars and one constant per connected part to the sky; nothing else.

    Raises
    ------
    InputError
        The files do not fit together, or too few stars are in the mosaic to find its scale.
    """
    scene = load_scene(mosaic, truth)
    return Score((*judge(scene).metrics, *_correction_metrics(mosaic, scene.truth)))


def _correction_metrics(mosaic: Path, truth: Truth) -> tuple[Metric, ...]:
    """Gains and sensor response that the run found, by the ledger beside the mosaic; nothing without one."""
    folders = [f for f in (mosaic.parent, mosaic.parent.parent) if (f / WORKSPACE / LEDGER).is_file()]
    if not folders:
        return ()
    with Ledger(folders[0]) as ledger:
        rows = [(row.path.name, row.correction) for row in ledger.rows()]
    found = {name: correction for name, correction in rows if correction is not None and not correction.flat_fielded}
    if not any(sub.name in found for sub in truth.subs):
        return ()
    result = judge_corrections(truth, found)
    return (
        Metric("gains", result.gain, "mmag"),
        Metric("zonal error of the corrections", result.zonal, "mmag", 5.0),
        Metric("vignetting, rms", result.vignetting, "%", 0.25),
    )


def judge(scene: Scene) -> Score:
    """The figures of a mosaic that is in memory."""
    stars = judge_stars(scene)
    narrow = scene.truth.plan.panels_x * scene.truth.plan.panels_y <= NARROW
    skies, artefacts = [], []
    for channel, scale in enumerate(stars.scale):
        residual = residual_of(scene, channel, scale, stars.fwhm)
        skies.append(judge_sky(scene, residual))
        artefacts.append(judge_artefacts(scene, residual))
    return Score(
        (*_star_metrics(stars), *_sky_metrics(skies, BACKGROUND[0 if narrow else 1]), *_artefact_metrics(artefacts))
    )


def _per_channel(values: Sequence[float], digits: int = 2) -> str:
    return "  ".join(f"{c} {value:.{digits}f}" for c, value in zip(CHANNELS, values, strict=True))


def _largest(values: Sequence[float]) -> float:
    return max(values, key=lambda value: -1.0 if math.isnan(value) else abs(value))


def _star_metrics(stars: StarScore) -> tuple[Metric, ...]:
    offset = f"{stars.centroids} stars; median offset x {stars.offset[0]:+.3f} y {stars.offset[1]:+.3f}"
    count = "stars: " + _per_channel(stars.stars, 0)
    sharpness = f"{_per_channel(stars.sharpness, 3)}; {stars.fwhm:.2f} px"
    return (
        Metric("scale", stars.scale[1], "", detail=_per_channel(stars.scale, 4)),
        Metric("astrometry, median", stars.astrometry, "arcsec", 0.1, detail=offset),
        Metric("photometry, 1.48 MAD", _largest(stars.scatter), "mmag", 12.0, detail=_per_channel(stars.scatter)),
        Metric("photometry, rms", _largest(stars.rms), "mmag", 12.0, detail=f"{_per_channel(stars.rms)}; {count}"),
        Metric("zonal error", _largest(stars.zonal), "mmag", 5.0, detail=_per_channel(stars.zonal)),
        Metric("FWHM over that of the subs", max(stars.sharpness), "", 1.05, detail=sharpness),
    )


def _sky_metrics(skies: Sequence[SkyScore], background: float) -> tuple[Metric, ...]:
    """background : % of p99, the goal for its rms."""
    rms, top = [sky.background_rms for sky in skies], [sky.background_max for sky in skies]
    plain, step = [sky.untilted_rms for sky in skies], [sky.step for sky in skies]
    noise = [sky.efficiency for sky in skies]
    return (
        Metric("background, rms", max(rms), "% of p99", background, detail=_per_channel(rms)),
        Metric("background, rms without plane", max(plain), "% of p99", background, detail=_per_channel(plain)),
        Metric("background, largest", max(top), "% of p99", detail=_per_channel(top)),
        Metric("step between panels", max(step), "sigma", 0.1, detail=_per_channel(step, 3)),
        Metric("noise efficiency", min(noise), "", 0.95, at_least=True, detail=_per_channel(noise)),
    )


def _artefact_metrics(artefacts: Sequence[ArtefactScore]) -> tuple[Metric, ...]:
    rows = (
        ("outliers", "outliers", "per Mpx", 30.0),
        ("satellite trails, on axis", "trail_on", "sigma", 0.15),
        ("satellite trails, 3-5 px off", "trail_off", "sigma", 0.15),
        ("satellite trails, worst", "worst_trail", "sigma", None),
        ("hot pixels, on", "hot_on", "sigma", 0.3),
        ("hot pixels, 1-3 px off", "hot_off", "sigma", 0.3),
    )
    return tuple(
        Metric(name, _largest(values), unit, goal, detail=_per_channel(values))
        for name, field, unit, goal in rows
        if (values := [float(getattr(artefact, field)) for artefact in artefacts])
    )
