"""The figures of docs/how-it-works.md, from a simulated night that the program assembles in three ways: a minute of a core.

python tools/make_figures.py WORK_FOLDER
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates, median_filter

from zemosaic import Made, Settings, make_mosaic
from zemosaic.events import Silent
from zemosaic.fits import read_raw
from zemosaic.imaging.calibrate import response_at
from zemosaic.imaging.projection import pixel_to_sky
from zemosaic.imaging.response import frame_coordinates
from zemosaic.imaging.skysurface import surface_at
from zemosaic.ledger import FrameRow, Ledger
from zemosaic.phases._assemble_reject import load_rejected
from zemosaic.simulate import NightPlan, load_truth, simulate_night

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
NIGHT = NightPlan(width=480, height=640, scale=4.5, subs=28, satellites=0.3, sky_gradient=0.4, vignetting=0.15)
WAYS: dict[str, dict[str, str]] = {
    "matched": {},
    "unmatched": {"stacking_normalize_method": "none"},
    "unrejected": {"stacking_rejection_algorithm": "none"},
}
FAINT = 400.0  # ADU, of the trail that is shown: the one that comes nearest
PAPER, INK, BLUE, RED = (255, 255, 255), (40, 40, 40), (31, 95, 168), (200, 60, 30)
GAP, LINE = 10, 22  # px between pictures, height of a caption
Floats = NDArray[np.floating[Any]]
Picture = Image.Image


def binned(data: Floats, side: int) -> Floats:
    """Medians of squares, NaN is no data; what does not fill a square is cut off."""
    height, width = (length // side for length in data.shape)
    squares = data[: height * side, : width * side].reshape(height, side, width, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of squares without data
        return np.asarray(np.nanmedian(squares, axis=(1, 3)))


def shades(data: Floats, low: float, high: float) -> NDArray[np.uint8]:
    return (255.0 * np.clip((np.nan_to_num(data, nan=low) - low) / (high - low), 0.0, 1.0) ** 0.7).astype(np.uint8)


def grey(data: Floats, low: float, high: float, zoom: int = 1) -> Picture:
    picture = Image.fromarray(shades(data, low, high))
    return picture.convert("RGB").resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def warm_and_cold(data: Floats, reach: float, zoom: int) -> Picture:
    """Blue below 0, white at 0, red above, full at `reach`."""
    share = np.clip(np.nan_to_num(data) / reach, -1.0, 1.0)[..., None]
    ends = np.where(share > 0.0, np.array(RED), np.array(BLUE))
    picture = Image.fromarray((255.0 + np.abs(share) * (ends - 255.0)).astype(np.uint8))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC)


def sheet(rows: Sequence[Sequence[Picture]], captions: Sequence[Sequence[str]]) -> Picture:
    """Pictures of one size in rows, each with its words below."""
    width, height = rows[0][0].size
    page = Image.new(
        "RGB", (len(rows[0]) * (width + GAP) + GAP, len(rows) * (height + LINE + GAP) + GAP), PAPER
    )  # fmt: skip
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for row, (pictures, words) in enumerate(zip(rows, captions)):
        for column, (picture, caption) in enumerate(zip(pictures, words)):
            x, y = GAP + column * (width + GAP), GAP + row * (height + LINE + GAP)
            page.paste(picture, (x, y))
            draw.text((x + width / 2, y + height + LINE / 2 + 2), caption, INK, font, anchor="mm")
    return page


def seams(made: dict[str, Made]) -> Picture:
    """The same hard stretch of the mosaic without matching and with it."""
    pictures = []
    for way in ("unmatched", "matched"):
        planes = fits.getdata(made[way].mosaic)
        channels = [binned(plane[::-1], 3) for plane in planes]  # north up
        levels = [float(np.nanmedian(channel)) for channel in channels]
        pictures.append(
            Image.fromarray(np.dstack([shades(c, m - 25.0, m + 90.0) for c, m in zip(channels, levels)]))
        )  # fmt: skip
    return sheet([pictures], [["without matching", "with it"]])


def skies(rows: Sequence[FrameRow]) -> Picture:
    """Subs of one panel: their sky, the model of it, and what is left; green pixels, without their mean."""
    pictures: list[list[Picture]] = [[], [], []]
    captions: list[list[str]] = [[], [], []]
    for row in rows:
        frame, correction = row.frame, row.correction
        assert frame is not None and correction is not None
        raw = np.asarray(read_raw(frame), float)
        raw[0::2, 1::2] = raw[1::2, 0::2] = np.nan  # red and blue
        y, x = np.mgrid[0 : frame.height, 0 : frame.width]
        u, v = frame_coordinates(x, y, frame.width, frame.height)
        response = response_at(correction, u, v)
        model = response * surface_at(correction.sky[1], u, v) + correction.pedestal
        left = (raw - model) / (response * correction.gain[1])
        for kind, data in enumerate((raw, model, left)):
            cells = median_filter(binned(data, 16), 3)
            pictures[kind].append(warm_and_cold(cells - np.median(cells), 80.0, 6))
        captions[0].append(f"{frame.date_obs[11:16]} UT" if frame.date_obs else "a sub")
        captions[1].append(f"its model (light {100 * correction.gain[1]:.0f} %)")
        captions[2].append("sub less model")
    return sheet(pictures, captions)


def trail(row: FrameRow, output: Path, made: dict[str, Made]) -> Picture:
    """A trail on a sub, what was rejected there, and the mosaic on the same pixels, without rejection and with it."""
    frame, solution, measurement = row.frame, row.solution, row.measurement
    assert frame is not None and solution is not None and measurement is not None
    rejected = np.zeros(frame.height * frame.width, bool)
    places, _, _ = load_rejected(output / "zemosaic_workspace" / "rejected" / measurement.path.name)
    rejected[places] = True
    window = np.s_[160:480, 80:400]
    y, x = np.mgrid[window]
    ra, dec = pixel_to_sky(solution, x, y)
    grounds = [np.asarray(read_raw(frame), float)[window]]
    for way in ("unrejected", "matched"):
        data, header = fits.getdata(made[way].mosaic, header=True)
        at = WCS(header).celestial.all_world2pix(ra, dec, 0)
        grounds.append(map_coordinates(np.nan_to_num(data.mean(axis=0)), at[::-1], order=1))
    pictures = []
    for ground, reach in zip(grounds, (220.0, 90.0, 90.0)):
        cells = binned(ground, 2)
        pictures.append(grey(cells - np.median(cells), -0.4 * reach, reach, 2))
    gone = binned(rejected.reshape(frame.height, frame.width)[window].astype(float), 2) > 0.0
    marked = np.asarray(pictures[0]).copy()
    marked[np.repeat(np.repeat(gone, 2, axis=0), 2, axis=1)] = RED
    return sheet(
        [[pictures[0], Image.fromarray(marked)], pictures[1:]],
        [["one sub", "what is rejected on it"], ["the mosaic without rejection", "the mosaic"]],
    )


def taper(made: Made) -> Picture:
    """How many subs see each pixel, the weight, and both along a line through the middle."""
    count = np.asarray(fits.getdata(made.coverage), float)
    weight = np.asarray(fits.getdata(made.weight), float)[1]
    pictures = [grey(binned(each[::-1], 3), 0.0, float(each.max())) for each in (count, weight)]
    page = sheet([pictures], [["number of subs", "weight: inverse variance"]])
    plot = Image.new("RGB", (page.width, 200), PAPER)
    draw, font = ImageDraw.Draw(plot), ImageFont.load_default(15)
    middle = len(count) * 3 // 8
    for each, colour in ((count, INK), (weight, RED)):
        line = np.median(each[middle - 2 : middle + 3], axis=0)
        x = np.linspace(GAP, page.width - GAP, len(line))
        draw.line([*zip(x, 170.0 - 150.0 * line / line.max())], fill=colour, width=2)
    draw.line([(GAP, 172), (page.width - GAP, 172)], fill=INK)
    draw.text(
        (page.width / 2, 186), "along a line across both panels: subs (black), weight (red)", INK, font, anchor="mm"
    )
    whole = Image.new("RGB", (page.width, page.height + plot.height), PAPER)
    whole.paste(page, (0, 0))
    whole.paste(plot, (0, page.height))
    return whole


def main(folder: Path) -> None:
    night = simulate_night(folder / "night", NIGHT, Silent())
    made = {}
    for way, settings in WAYS.items():
        chosen = Settings.model_validate({"num_processing_workers": 1, "memory_limit": 2.0, "report": False} | settings)
        (made[way],) = make_mosaic(night.subs[0].parent, folder / way, chosen)
    with Ledger(folder / "matched") as ledger:
        rows = {row.path.name: row for row in ledger.rows()}
    subs = load_truth(night.truth).subs
    crossed = min((s for s in subs if s.trail), key=lambda s: abs(s.trail.brightness - FAINT) if s.trail else 0.0)
    together = [rows[sub.name] for sub in subs if sub.panel == 0]
    shown = [together[k] for k in np.linspace(0, len(together) - 1, 4).astype(int)]
    figures = {
        "how-seams.jpg": seams(made),
        "how-sky.png": skies(shown),
        "how-trail.jpg": trail(rows[crossed.name], folder / "matched", made),
        "how-taper.png": taper(made["matched"]),
    }
    for name, figure in figures.items():
        options: dict[str, Any] = {"quality": 88} if name.endswith(".jpg") else {"optimize": True}
        picture = figure if name.endswith(".jpg") else figure.quantize(128)
        picture.save(IMAGES / name, **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
