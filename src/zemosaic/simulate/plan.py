"""What to simulate: one frozen value with the defaults of the demo night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from zemosaic.errors import SettingsError

__all__ = ["NightPlan"]


def of_night(default: Any, about: str) -> Any:
    """A property of a night; `about` is what the command line says of it."""
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class NightPlan:
    """A night with a Seestar S50 or several; the defaults are 60 subs over 2 x 2 panels.

    Fluxes are ADU of a raw frame at transparency 1; surface brightness is per pixel of `scale`.
    """

    seed: int = of_night(1, "number that the noise, stars and subs follow from: the same one gives the same night")
    target: str = of_night("Sim 1", "OBJECT of the headers")
    # where and how many
    ra: float = of_night(312.75, "deg ICRS, right ascension of the centre of the mosaic")
    dec: float = of_night(44.2, "deg ICRS, declination of the centre of the mosaic")
    panels_x: int = of_night(2, "panels across")
    panels_y: int = of_night(2, "panels up")
    overlap: float = of_night(0.2, "share of a frame that neighbouring panels both see")
    isolated: float = of_night(0.0, "deg; > 0 adds one panel that far to the east, on its own")
    subs: int = of_night(60, "subs in all, over all panels")
    instruments: int = of_night(1, "how many telescopes; each has its own hot pixels, angle and scale")
    second_scale: float = of_night(
        1.0, "pixel size of every second telescope over the first one's, at the same f-ratio; S30: 1.667"
    )
    second_colour: float = of_night(
        0.0, "every second telescope sees so much more red and less blue (share of the light)"
    )
    dual_band: bool = of_night(False, "taken through LP: H-alpha in red, OIII in green and blue, nothing else")
    # camera
    width: int = of_night(1080, "px, width of a sub")
    height: int = of_night(1920, "px, height of a sub")
    scale: float = of_night(2.374, "arcsec/px of a sub in truth; the header says 2.393")
    bayer: str = of_night("GRBG", "colour filter array: RGGB, BGGR, GRBG or GBRG")
    mirrored: bool = of_night(True, "mirrored images, det(CD) > 0, as of real Seestars")
    gain: float = of_night(0.1, "e-/ADU of the camera")
    read_noise: float = of_night(1.5, "e-, noise of reading a pixel")
    pedestal: float = of_night(0.0, "ADU, added after the vignetting")
    clipped: bool = of_night(False, "firmware 4.70: sky 95 ADU with a noise of 59 and cut at 0")
    vignetting: float = of_night(0.12, "loss of light in the corners; the sky is vignetted too")
    distortion: float = of_night(1.5, "px of cubic distortion in the corners")
    hot_density: float = of_night(240.0, "hot pixels of >= 6 sigma per megapixel")
    warm_density: float = of_night(500.0, "pixels of 1 to 6 sigma per megapixel")
    pixel_response: float = of_night(0.0, "rms of the sensitivity from pixel to pixel")
    dark_current: float = of_night(0.0, "ADU in a sub, mean; exponential from pixel to pixel, the same in each sub")
    calibration: int = of_night(0, "darks, biases and flats of each telescope, so many of each kind")
    # the sky
    zero_point: float = of_night(22.2, "VT magnitude of a star of 1 ADU in green; 22.1 on a real S50")
    star_density: float = of_night(1500.0, "stars per square degree above faintest")
    faintest: float = of_night(15.5, "mag of the faintest stars")
    catalogue_error: float = of_night(0.1, "arcsec per axis: the catalogue has no proper motions")
    nebula: float = of_night(200.0, "ADU per pixel, 99th percentile in green")
    nebula_cover: float = of_night(0.8, "share of the sky with nebula in it")
    sky: float = of_night(220.0, "ADU per pixel, background in green")
    sky_gradient: float = of_night(0.2, "rise of the sky from centre to corner, share of it")
    sky_curvature: float = of_night(
        0.0, "share of the sky at a corner: up along its gradient, down across it, turning with it"
    )
    gradient_turn: float = of_night(
        720.0,
        "deg that the gradient turns over the night: what does not average out is a plane that no overlap can tell",
    )
    # the night
    fwhm: tuple[float, float] = of_night((2.9, 3.8), "px, least and largest width of the stars: 2.9,3.8")
    beta: float = of_night(4.0, "steepness of the stars' Moffat profile")
    transparency: tuple[float, float] = of_night(
        (0.6, 1.0), "least and largest share of the light that comes through: 0.6,1.0"
    )
    angle: float = of_night(8.0, "deg, angle of the frame at mid-night")
    rotation: float = of_night(12.0, "deg that the field turns over the night")
    dispersion: float = of_night(0.0, "px, blue above green at dusk, red 0.8 of it below; half of that at dawn")
    dither: float = of_night(30.0, "px of dither along each axis, not in the header")
    drift: float = of_night(
        0.0, "px that the pointing drifts over the night, across both axes of the sensor, not in the header"
    )
    pointing_error: float = of_night(4.0, "arcmin, error of the commanded position in the header")
    exposure: float = of_night(10.0, "s, of a sub")
    satellites: float = of_night(0.2, "share of the subs with a trail")
    clouded: float = of_night(0.0, "share of the subs behind cloud with a gradient")
    trailed: float = of_night(0.0, "share of the subs with trailed stars")

    def __post_init__(self) -> None:
        wrong = [f"{name} is {getattr(self, name)}, expected {what}" for name, good, what in self._rules() if not good]
        if wrong:
            raise SettingsError("Cannot simulate this night: " + "; ".join(wrong) + ".")

    def _rules(self) -> Iterator[tuple[str, bool, str]]:
        """Name, whether its value is good, and what is expected."""
        for name in ("panels_x", "panels_y", "subs"):
            yield name, getattr(self, name) >= 1, "1 or more"
        yield "calibration", self.calibration >= 0, "0 or more"
        yield "pixel_response", 0.0 <= self.pixel_response <= 0.1, "0 to 0.1"
        yield "second_scale", 0.3 <= self.second_scale <= 3.0, "0.3 to 3"
        yield "second_colour", abs(self.second_colour) <= 0.5, "-0.5 to 0.5"
        yield "instruments", 1 <= self.instruments <= 9, "1 to 9"
        for name in ("width", "height"):
            size = getattr(self, name)
            yield name, size >= 64 and size % 2 == 0, "an even number of at least 64 px"
        yield "overlap", 0.0 <= self.overlap < 1.0, "0 to less than 1"
        yield "isolated", 0.0 <= self.isolated <= 45.0, "0 to 45 degrees"
        yield "dec", -90.0 <= self.dec <= 90.0, "-90 to 90 degrees"
        yield "bayer", self.bayer in ("RGGB", "BGGR", "GRBG", "GBRG"), "RGGB, BGGR, GRBG or GBRG"
        for name in ("scale", "gain", "exposure"):
            yield name, getattr(self, name) > 0.0, "more than 0"
        levels = ("sky", "nebula", "star_density", "hot_density", "warm_density", "dark_current")
        yield "dispersion", 0.0 <= self.dispersion <= 1.0, "0 to 1 px"
        for name in ("read_noise", "dither", "drift", *levels):
            yield name, getattr(self, name) >= 0.0, "0 or more"
        for name in ("vignetting", "nebula_cover", "satellites", "clouded", "trailed"):
            yield name, 0.0 <= getattr(self, name) <= 1.0, "0 to 1"
        yield "beta", self.beta > 1.0, "more than 1"
        yield "faintest", self.faintest <= 20.0, "20 or brighter"
        for name in ("fwhm", "transparency"):
            limits = getattr(self, name)
            yield name, len(limits) == 2 and 0.0 < limits[0] <= limits[-1], "two rising numbers above 0"

    @property
    def filter(self) -> str:
        """As the header and the names of the files have it."""
        return "LP" if self.dual_band else "IRCUT"

    @property
    def radius(self) -> float:
        """Half-diagonal of the frame, px."""
        return 0.5 * float((self.width**2 + self.height**2) ** 0.5)

    @property
    def sky_noise(self) -> float:
        """ADU, noise of a green sky pixel in the middle of the frame."""
        return float((self.sky_level / self.gain + (self.read_noise_adu) ** 2) ** 0.5)

    @property
    def sky_level(self) -> float:
        """ADU, green sky: the clipping firmware leaves 95."""
        return 95.0 if self.clipped else self.sky

    @property
    def read_noise_adu(self) -> float:
        """ADU; with the clipping firmware what makes the noise of the sky 59 ADU, as measured."""
        if self.clipped:
            return float(max(59.0**2 - 95.0 / self.gain, 0.0) ** 0.5)
        return self.read_noise / self.gain
