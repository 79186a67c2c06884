"""What the noise of a mosaic owes to the taper of its frames and to the interpolation: from the truth, without assembling it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve
from scipy.optimize import brentq
from scipy.stats import norm

from zemosaic.catalogue import load_catalogue
from zemosaic.imaging.calibrate import Feather
from zemosaic.imaging.demosaic import BAYER_SHARE, cfa_colours
from zemosaic.imaging.projection import pixel_to_sky, sky_to_pixel
from zemosaic.imaging.taps import taps
from zemosaic.imaging.warp import LATTICE
from zemosaic.kernels.render import add_stars
from zemosaic.kernels.resample import PLANES, add_to_sums
from zemosaic.model import Solution
from zemosaic.score.starlight import half_flux_diameter
from zemosaic.simulate import NightPlan
from zemosaic.simulate.camera import star_radius
from zemosaic.simulate.night import imagine

Array = NDArray[Any]
RISES: dict[str, Callable[[Array], Array]] = {
    "3 t^2 - 2 t^3": lambda t: t * t * (3.0 - 2.0 * t),
    "1 - (1 - t)^2": lambda t: t * (2.0 - t),
}
WIDTHS = (80, 60, 40, 20)  # px
PITCH = 32.0  # px of the mosaic, between places that are looked at
# weights of green 1 and sqrt(5) px away, of red and blue 1 and 3 px away; between them what a mixture has
DEBAYERED = {"nearest pixels": 0.0, "1/4": 0.25, "1/2": 0.5, "3/4": 0.75, "cubics": 1.0}
FRAME, MOSAIC, BOX = 640, 400, 8  # px
SEEING = (3.3, 2.4)  # px


def efficiency(subs: int) -> dict[tuple[str, int], tuple[float, float]]:
    """Best over real variance, of rises and widths: as `zemosaic score` sees it (of a MAD), and of the mean variance."""
    plan = NightPlan(subs=subs)
    truth = imagine(plan, load_catalogue())
    step, reach = plan.scale / 3600.0, plan.panels_x * plan.radius
    plane = Solution(plan.ra, plan.dec, 0.0, 0.0, (-step, 0.0, 0.0, step))
    ra, dec = pixel_to_sky(plane, *np.meshgrid(*2 * [np.arange(-reach, reach, PITCH)]))
    best, sums = np.zeros(ra.shape), {(r, w): np.zeros((2, *ra.shape)) for r in RISES for w in WIDTHS}
    for sub in truth.subs:
        x, y = sky_to_pixel(sub.solution, ra, dec)
        inside = (x >= 0) & (x <= plan.width - 1) & (y >= 0) & (y <= plan.height - 1)
        weight = np.where(inside, sub.transparency**2, 0.0)
        best += weight
        mx, my, _ = Feather().margins(plan.width, plan.height)
        dx, dy = np.minimum(x, plan.width - 1 - x) - mx, np.minimum(y, plan.height - 1 - y) - my
        for (rise, width), (first, second) in sums.items():
            across, down = (RISES[rise](np.clip(d / width, 0.0, 1.0)) for d in (dx, dy))
            first += weight * across * down
            second += weight * (across * down) ** 2
    result = {}
    for case, (first, second) in sums.items():
        seen = first > 0
        each = first[seen] ** 2 / (second[seen] * best[seen])
        middle = brentq(lambda m, each=each: np.mean(2 * norm.cdf(m * np.sqrt(each)) - 1) - 0.5, 0.1, 5.0)
        result[case] = 1.0 / (1.4826 * middle) ** 2, 1.0 / float(np.mean(1.0 / np.maximum(each, 0.05)))
    return result


def debayered(raw: Array, colours: Array, share: float) -> NDArray[np.float32]:
    """Three colours and 1 at every pixel: a mixture of the means of the nearest pixels and of cubics."""
    green = np.zeros((5, 5))
    y, x = np.abs(np.mgrid[-2:3, -2:3])
    green[x + y == 1], green[x + y == 3], green[2, 2] = (8.0 + 2.0 * share) / 32.0, -share / 32.0, 1.0
    line = np.array([-share, 0.0, 8.0 + share, 16.0, 8.0 + share, 0.0, -share]) / 16.0
    out = np.ones((*raw.shape, 4), np.float32)
    for c in range(3):
        out[..., c] = convolve(np.where(colours == c, raw, 0.0), green if c == 1 else np.outer(line, line))
    return out


def places(rng: np.random.Generator) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Mosaic to frame, px: turned and shifted at random."""
    angle, (dx, dy) = rng.uniform(0.02, 0.26), rng.uniform(0.0, 2.0, 2)
    cos, sin, middle = np.cos(angle), np.sin(angle), 0.5 * MOSAIC
    return lambda x, y: (
        0.5 * FRAME + dx + cos * (x - middle) - sin * (y - middle),
        0.5 * FRAME + dy + sin * (x - middle) + cos * (y - middle),
    )


def resampled(image: NDArray[np.float32], place: Callable[[Array, Array], tuple[Array, Array]]) -> NDArray[np.float32]:
    """(3, MOSAIC, MOSAIC): one frame, as the assembly brings it there."""
    nodes = np.arange(MOSAIC // LATTICE + 2) * float(LATTICE)
    nodes_x, nodes_y = place(*np.meshgrid(nodes, nodes))
    ones = np.ones((FRAME // 16 + 2, FRAME // 16 + 2, 3), np.float32)
    sums, count, rejected = np.zeros((MOSAIC, MOSAIC, 9), np.float32), *np.zeros((2, MOSAIC, MOSAIC), np.uint16)
    add_to_sums(
        image, 0, FRAME, taps("lanczos3"), (PLANES, PLANES), nodes_x, nodes_y, (0, 0), LATTICE, ones, ones, 16,
        np.array([3.5, 3.5, 1.0]), np.zeros((0, 2)), (0, 0), (0, MOSAIC, 0, MOSAIC), sums, count, rejected,
    )  # fmt: skip
    return np.stack([sums[..., 3 * c] / sums[..., 3 * c + 1] for c in range(3)])


def of_boxes(share: float, colours: Array, frames: int) -> Array:
    """(3,) best over real variance of means of BOX x BOX px of white noise."""
    variance = np.zeros(3)
    for k in range(frames):
        rng = np.random.default_rng(k)
        image = debayered(rng.standard_normal(colours.shape), colours, share)
        n = MOSAIC // BOX
        boxes = resampled(image, places(rng)).reshape(3, n, BOX, n, BOX).mean(axis=(2, 4))
        variance += (boxes**2).mean(axis=(1, 2)) / frames
    return 1.0 / (variance * BOX**2 * np.array(BAYER_SHARE))


def of_stars(share: float, colours: Array, fwhm: float, frames: int) -> Array:
    """(3,) half-flux diameter of stars over the true one."""
    beta, rng = NightPlan().beta, np.random.default_rng(5)
    x, y = (
        axis.ravel() + rng.uniform(-0.5, 0.5, axis.size) for axis in np.meshgrid(*2 * [np.arange(20.0, 380.0, 24.0)])
    )
    flux = np.full((x.size, 3), 1e4)
    radius, total = star_radius(flux[:, 0], fwhm, beta), np.zeros((3, MOSAIC, MOSAIC))
    for k in range(frames):
        place, raw = places(np.random.default_rng(k)), np.zeros((FRAME, FRAME))
        add_stars(raw, colours[:2, :2], *place(x, y), flux, fwhm, beta, radius)
        total += resampled(debayered(raw, colours, share), place) / frames
    true = np.zeros((MOSAIC, MOSAIC))
    add_stars(true, np.zeros((2, 2), np.int64), x, y, flux, fwhm, beta, radius)
    size = [np.median(half_flux_diameter(plane.astype(np.float32), x, y, 2.5 * fwhm)) for plane in (*total, true)]
    return np.array(size[:3]) / size[3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subs", default="60,400", help="of the nights over 2 x 2 panels, separated by commas")
    parser.add_argument("--frames", type=int, default=16, help="for the interpolations")
    options = parser.parse_args()
    nights = {int(n): efficiency(int(n)) for n in options.subs.split(",")}
    print("| rise | width, px | " + " | ".join(f"{n} subs: of the score, of the mean variance" for n in nights) + " |")
    print("|---|---:|" + "---:|" * len(nights))
    for rise in RISES:
        for width in WIDTHS:
            print(
                f"| {rise} | {width} | "
                + " | ".join("{:.3f} {:.3f}".format(*n[rise, width]) for n in nights.values())
                + " |"
            )
    colours = np.tile(cfa_colours("GRBG"), (FRAME // 2, FRAME // 2))
    print("\n| debayered by | efficiency of 8 x 8 px | " + " | ".join(f"width at FWHM {f:g} px" for f in SEEING) + " |")
    print("|---|---:|" + "---:|" * len(SEEING))
    for name, share in DEBAYERED.items():
        figures = [of_boxes(share, colours, options.frames)]
        figures += [of_stars(share, colours, f, options.frames) for f in SEEING]
        print(f"| {name} | " + " | ".join(" ".join(f"{v:.3f}" for v in each) for each in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
