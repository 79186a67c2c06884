"""A report without a run: made-up frames of four panels, one of them shallow."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from zemosaic.model import Grid
from zemosaic.quality import FrameQuality
from zemosaic.report.values import (
    Advice,
    Facts,
    FrameLine,
    Maps,
    Outline,
    PanelDepth,
    Report,
    SettingLine,
)
from zemosaic.seams import Seam, SeamReport
from zemosaic.settings import Settings, declared
from zemosaic.stopwatch import PhaseTime

NAN = math.nan
GRID = Grid(10.0, 40.0, 2.4 / 3600.0, 1200, 900, 600.0, 450.0)
DIM = (
    "its 40 stars in common have 5 % of the light that they have on the median frame of the same telescope; 15 % is needed: "
    "cloud, dew or an obstruction"
)
NIGHT = 1_750_000_000.0  # 2025-06-15 15:06:40 UTC
FRAME = FrameQuality(
    "/subs/a/sub.fit", "used", "", "", "LP", "S50", 0, "", 10.0, 3.2, 7.6, 0.95, 120, 118.0, 900.0, 21.0, 0.0, 1.0, 9.0,
    80, 14, 0.6, 1.0, (),
)  # fmt: skip
PANELS = tuple(
    PanelDepth(k, 10.0 + 0.3 * (k % 2), 40.0 + 0.3 * (k // 2), 5, 50.0, deep, 15.0, 50.0, 50.0 * (1 / deep - 1))
    for k, deep in enumerate((1.0, 0.5, 0.9, 0.85))
)
SEAMS = SeamReport(
    "B", "fair", 0.2, 1.1, (Seam(0, 1, 20, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), (0.0, 0.0, 0.0), (2.5, 2.0, 1.5), 0.2, "B"),), ()
)  # fmt: skip
FACTS = Facts(
    "M 31", "S50", "LP", "2025-06-15T15:06:40", "2025-06-16T02:00:00", "ZeMosaic 0", 1200, 900, 2.4, 10.0, 40.0, 0.48, 20,
    22, 4, 200.0, 22.1, 0.09, 0.4, 0.05, 7.6, 15.1, 50.0, 0.2,
)  # fmt: skip


def line(number: int, **changes: object) -> FrameLine:
    """Frame `number`, a minute after the one before; `changes` of its quality."""
    name = f"/subs/{'ab'[number % 2]}/Light_{number:05d}.fit"
    quality = replace(FRAME, file=name, panel=number % 4, fwhm_arcsec=7.0 + 0.01 * (number * 37 % 101))
    return FrameLine(replace(quality, **changes), NIGHT + 60.0 * number, 0.05, 0.1 + 0.01 * (number % 7))  # type: ignore[arg-type]


def clouded(number: int, **changes: object) -> FrameLine:
    lost = {"state": "clouded", "reason": DIM, "weight": NAN} | changes
    return line(number, **lost)


def made_up(folder: Path, frames: tuple[FrameLine, ...] | None = None) -> Report:
    """A report with its preview in `folder`."""
    preview = folder / "zemosaic_MT4_R20_preview.png"
    Image.fromarray(np.full((90, 120, 3), 40, np.uint8)).save(preview)
    maps = Maps(2, np.full((450, 600), 1e-3), np.full((450, 600), 50.0), np.full((450, 600), 15.1))
    lines = frames if frames is not None else (*map(line, range(20)), clouded(20), clouded(21))
    values = Settings().model_dump()
    settings = tuple(SettingLine(n, declared()[n].group, v, declared()[n].default) for n, v in values.items())
    corners = (100.0, 500.0, 500.0, 100.0), (100.0, 100.0, 400.0, 400.0)
    advice = (
        Advice(
            "next_panel", (("panel", 1), ("ra", 10.3), ("dec", 40.0), ("share", 50.0), ("deepest", 0), ("time", 50.0))
        ),
    )
    return Report(
        "", FACTS, preview, ("zemosaic_MT4_R20.fits",), "/subs", lines, tuple(Outline(k, *corners) for k in range(4)),
        PANELS, maps, SEAMS, (PhaseTime("scan", 0.5, 22, 120.0), PhaseTime("assemble", 70.0, 60, NAN)), settings, advice,
    )  # fmt: skip
