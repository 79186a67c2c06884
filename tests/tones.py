"""What makes a preview fit to be shown: a sky that is neutral and dark but not black, and hardly anything cut off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Tones:
    """Of the pixels with data, in steps of 8 bits and in shares of them."""

    sky: float  # median of the darker 60 %
    cast: float  # difference between its colours
    green: float  # green over the mean of red and blue, median of the brightest 2 %
    black: float  # share with a colour at 0
    white: float  # share with a colour at 255


def tones(preview: Path) -> Tones:
    with Image.open(preview) as picture:
        image = np.asarray(picture.convert("RGB")).astype(float)
    shown = image[image.max(axis=2) > 0]
    light = shown.sum(axis=1)
    sky = np.median(shown[light < np.quantile(light, 0.6)], axis=0)
    bright = shown[light >= np.quantile(light, 0.98)]
    green = np.median(bright[:, 1] - 0.5 * (bright[:, 0] + bright[:, 2]))
    black, white = (shown.min(axis=1) == 0).mean(), (shown.max(axis=1) == 255).mean()
    return Tones(float(sky.mean()), float(np.ptp(sky)), float(green), float(black), float(white))


def assert_fit(preview: Path) -> None:
    found = tones(preview)
    assert 20 <= found.sky <= 60, found
    assert found.cast <= 3 and abs(found.green) <= 12, found
    assert found.black < 0.005 and found.white < 0.01, found
