"""Telescopes with coarser pixels and other colours, mixed into a mosaic: what they add, and what they leave as it is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.io import fits

from nights import BRIGHT, assembled, pixels, rewrite, rows, simulated
from zemosaic.imaging.projection import pixel_to_sky, sky_to_pixel
from zemosaic.score.scene import Scene, boxes_of, load_scene
from zemosaic.simulate import load_truth
from zemosaic.simulate.truth import Sub

# every second telescope has the pixels of an S30 beside those of an S50, and sees 15 % more red and less blue
PLAN = replace(
    BRIGHT, panels_x=2, overlap=0.5, subs=24, instruments=2, second_scale=1.667, second_colour=0.15, satellites=0.0,
    nebula=600.0, nebula_cover=0.4,
)  # fmt: skip
# the same sky with the pixels, the colours and the filter array of a Dwarf 3 as the second telescope, and its header
DWARF_PLAN = replace(PLAN, bayer="RGGB", second_scale=1.2, second_colour=-0.12, target="Dwarf")
DWARF_CARDS = {
    "TELESCOP": "DWARF 3", "INSTRUME": "DWARF 3", "ORIGIN": "DWARFLAB", "CAMERA": "TELE", "FILTER": "Astro",
    **dict.fromkeys(("IMAGETYP", "EXPOSURE", "CREATOR", "PRODUCER", "PROGRAM")),
}  # fmt: skip
BOX = 16  # px; in smaller boxes the noise that the coarser pixels share with their neighbours is not all there
MARGIN = 46  # px of a sub that its taper needs


@dataclass(frozen=True)
class Mixed:
    folder: Path
    scene: Scene

    @cached_property
    def weight(self) -> np.ndarray:
        return pixels(next(self.folder.glob("*_weight.fits")))

    @property
    def fine(self) -> list[Sub]:
        """The subs of the finer telescope."""
        return [sub for sub in self.scene.truth.subs if sub.instrument == 0]

    @cached_property
    def deep(self) -> np.ndarray:
        """(h, w) seen by half of the subs of the finer telescope or more, without their edges."""
        y, x = np.mgrid[0 : self.scene.shape[0], 0 : self.scene.shape[1]]
        place = pixel_to_sky(self.scene.wcs, x, y)
        seen = np.zeros(self.scene.shape, int)
        for sub in self.fine:
            u, v = sky_to_pixel(sub.solution, *place)
            seen += (u > MARGIN) & (u < PLAN.width - MARGIN) & (v > MARGIN) & (v < PLAN.height - MARGIN)
        return 2 * seen >= len(self.fine)

    @cached_property
    def gain(self) -> np.ndarray:
        """(channels,) of the finer telescope's subs at transparency 1: ADU of a sub per unit of the mosaic."""
        true = {sub.name: sub.transparency for sub in self.fine}
        known = [(true[r.path.name], r.correction.gain) for r in rows(self.folder) if r.path.name in true]
        return np.median([np.array(gain) / a for a, gain in known], axis=0)

    def sky(self, channel: int) -> np.ndarray:
        """(h, w) ADU of the finer telescope at transparency 1, stars masked; NaN outside of the deep part."""
        stars = self.scene.starlight(channel, 4.0)
        data = self.scene.data[channel] * self.gain[channel] - stars
        return np.where(self.deep & (stars < 1.0), data, np.nan).astype(np.float32)

    def fit(self, channel: int) -> tuple[float, float, float]:
        """Light of the nebula over the true one, noise of boxes of 16 px, and the noise that the weights promise."""
        boxes = boxes_of(self.sky(channel), BOX)
        nebula = boxes_of(np.where(self.deep, self.scene.nebula[channel], np.nan), BOX)
        sigma = 1.0 / np.sqrt(boxes_of(np.where(self.deep, self.weight[channel], np.nan).astype(np.float32), BOX))
        good = np.isfinite(boxes) & np.isfinite(nebula)
        y, x = np.nonzero(good)
        design = np.stack([nebula[good], np.ones(x.size), x, y, x * x, x * y, y * y], axis=1)
        solved = np.linalg.lstsq(design, boxes[good], rcond=None)[0]
        rest = np.full(boxes.shape, np.nan)
        rest[good] = boxes[good] - design @ solved
        rest[nebula > np.nanmedian(nebula[good])] = np.nan  # the photons of the nebula are not in the weights
        steps = np.abs(np.concatenate([np.diff(rest, axis=k).ravel() for k in (0, 1)])) / np.sqrt(2.0)
        sigma = np.nanmedian(sigma[np.isfinite(rest)]) * self.gain[channel] / BOX
        return solved[0], 1.4826 * float(np.nanmedian(steps)), float(sigma)

    @cached_property
    def stars(self) -> np.ndarray:
        """(n, 3) measured over true flux of bright isolated stars in the deep part, finer telescope at transparency 1."""
        truth = self.scene.truth.stars
        x, y = self.scene.star_positions
        bright = np.flatnonzero(np.isfinite(x) & (truth.flux[:, 1] > np.quantile(truth.flux[:, 1], 0.82)))
        chosen = [
            k
            for k in bright
            if 20 < x[k] < self.scene.shape[1] - 21
            and 20 < y[k] < self.scene.shape[0] - 21
            and self.deep[int(y[k]), int(x[k])]
            and truth.flux[np.hypot(x - x[k], y - y[k]) < 18, 1].sum() < 1.05 * truth.flux[k, 1]
            and truth.flux[np.hypot(x - x[k], y - y[k]) < 28, 1].sum() < 3.0 * truth.flux[k, 1]
            and truth.flux[k].max() < 1.5e5
        ]
        ratios = []
        for channel in range(3):
            data = np.nan_to_num(self.scene.data[channel] * self.gain[channel] - self.scene.nebula[channel])
            light, _, _ = sep.sum_circle(data, x[chosen], y[chosen], 12.0, bkgann=(14.0, 18.0))
            ratios.append(light / truth.flux[chosen, channel])
        return np.stack(ratios, axis=1)


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixed, ...]:
    """Of the finest telescope alone, of two, and of three."""
    folder = tmp_path_factory.mktemp("instruments")
    night = simulated(folder / "night", PLAN)
    alone, dwarf = folder / "alone", folder / "dwarf"
    for each in (alone, dwarf):
        each.mkdir()
    for path in (p for p in night.subs if "S50" in fits.getheader(p)["TELESCOP"]):
        shutil.copy(path, alone)
    other = simulated(folder / "other", DWARF_PLAN)
    for sub, path in zip(load_truth(other.truth).subs, other.subs, strict=True):
        if sub.instrument == 1:
            rewrite(Path(shutil.copy(path, dwarf)), fits.getdata(path), **DWARF_CARDS)
    result = []
    for name, lights, way in (
        ("fine", [alone], "incremental"),
        ("both", [night.lights], "reproject_coadd"),
        ("three", [night.lights, dwarf], "incremental"),
    ):
        outputs = assembled(lights, folder / name, final_assembly_method=way)
        result.append(Mixed(folder / name, load_scene(outputs.mosaic, night.truth)))
    return tuple(result)


def test_headers_tell_the_telescopes_apart(mosaics) -> None:
    header = fits.getheader(next(mosaics[1].folder.glob("zemosaic_MT?_R24.fits")))
    assert header["INSTRUME"] == "Seestar S50, Seestar S30"
    header = fits.getheader(next(mosaics[2].folder.glob("zemosaic_MT?_R36.fits")))
    assert set(header["INSTRUME"].split(", ")) == {"Seestar S50", "Seestar S30", "DWARF 3"}
    assert [i.serial[:4] for i in load_truth(mosaics[0].folder.parent / "night").instruments] == ["S50_", "S30_"]


def test_the_noise_falls_as_the_weight_says(mosaics) -> None:
    figures = np.array([[each.fit(channel)[1:] for channel in range(3)] for each in mosaics])
    for k, least in ((1, 0.93), (2, 0.75)):
        measured, promised = (figures[k] / figures[0]).T
        assert promised.max() < least
        assert np.mean(measured / promised) == pytest.approx(1.0, abs=0.1)  # 5 % from the number of boxes
        assert np.mean(figures[k, :, 0] / figures[k, :, 1]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("which", [1, 2], ids=["two", "three"])
def test_extended_light_is_that_of_the_truth(mosaics, which) -> None:
    light = [mosaics[which].fit(channel)[0] for channel in range(3)]
    assert np.mean(light) == pytest.approx(1.0, abs=0.01)
    assert light == pytest.approx([1.0] * 3, abs=0.015)


@pytest.mark.parametrize("which", [1, 2], ids=["two", "three"])
def test_stars_keep_their_light_and_their_colours(mosaics, which) -> None:
    """Where the sharper telescope is outnumbered, its star cores are no outliers."""
    alone, mixed = mosaics[0].stars, mosaics[which].stars
    assert len(alone) == len(mixed) >= 7
    change = mixed / alone
    assert np.median(change, axis=0) == pytest.approx([1.0] * 3, abs=0.02)  # 7 stars, in red each known to 3 %
    for first, second in ((0, 1), (1, 2)):
        assert np.abs(np.median(change[:, first] / change[:, second]) - 1.0) < 0.02
        assert np.median(np.abs(change[:, first] / change[:, second] - 1.0)) < 0.03  # noise of the red stars
