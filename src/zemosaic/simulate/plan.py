"""What to simulate: one frozen value with the defaults of the demo night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zemosaic.errors import SettingsError

__all__ = ["NightPlan"]


@dataclass(frozen=True)
class NightPlan:
    """A night with a Seestar S50 or several; the defaults are 60 subs over 2 x 2 panels.

    Fluxes are ADU of a raw frame at transparency 1; surface brightness is per pixel of `scale`.
    """

    seed: int = 1
    target: str = "Sim 1"
    # where and how many
    ra: float = 312.75  # deg ICRS, centre of the mosaic
    dec: float = 44.2  # deg
    panels_x: int = 2
    panels_y: int = 2
    overlap: float = 0.2  # of the frame, between neighbouring panels
    isolated: float = 0.0  # deg; > 0 adds one panel that far to the east, on its own
    subs: int = 60  # over all panels
    instruments: int = 1  # telescopes; each has its own hot pixels, angle and scale
    second_scale: float = (
        1.0  # pixel size of every second telescope over the first one's, at the same f-ratio; S30: 1.667
    )
    second_colour: float = 0.0  # every second telescope sees so much more red and less blue (share of the light)
    dual_band: bool = False  # through LP: H-alpha in red, OIII in green and blue, nothing else
    # camera
    width: int = 1080  # px
    height: int = 1920  # px
    scale: float = 2.374  # arcsec/px, true; the header says 2.393
    bayer: str = "GRBG"
    mirrored: bool = True  # det(CD) > 0, as real Seestars
    gain: float = 0.1  # e-/ADU
    read_noise: float = 1.5  # e-
    pedestal: float = 0.0  # ADU, added after the vignetting
    clipped: bool = False  # firmware 4.70: sky 95 ADU with a noise of 59 and cut at 0
    vignetting: float = 0.12  # loss of light in the corners; the sky is vignetted too
    distortion: float = 1.5  # px in the corners, cubic
    hot_density: float = 240.0  # hot pixels of >= 6 sigma per megapixel
    warm_density: float = 500.0  # pixels of 1 to 6 sigma per megapixel
    pixel_response: float = 0.0  # rms of the sensitivity from pixel to pixel
    dark_current: float = 0.0  # ADU in a sub, mean; exponential from pixel to pixel, the same in each sub
    calibration: int = 0  # darks, biases and flats of each telescope, so many of each kind
    # the sky
    zero_point: float = 22.2  # VT magnitude of a star of 1 ADU in green; 22.1 on a real S50
    star_density: float = 1500.0  # stars per square degree above `faintest`
    faintest: float = 15.5  # mag
    catalogue_error: float = 0.1  # arcsec per axis: the catalogue has no proper motions
    nebula: float = 200.0  # ADU per pixel, 99th percentile in green
    nebula_cover: float = 0.8  # share of the sky with nebula in it
    sky: float = 220.0  # ADU per pixel, background in green
    sky_gradient: float = 0.2  # of the sky, centre to corner
    sky_curvature: float = 0.0  # of the sky, at a corner: up along its gradient, down across it, turning with it
    gradient_turn: float = 720.0  # deg over the night: what does not average out is a plane that no overlap can tell
    # the night
    fwhm: tuple[float, float] = (2.9, 3.8)  # px
    beta: float = 4.0  # of the Moffat profile
    transparency: tuple[float, float] = (0.6, 1.0)
    angle: float = 8.0  # deg, of the frame at mid-night
    rotation: float = 12.0  # deg, of the field over the night
    dispersion: float = 0.0  # px, blue above green at dusk, red 0.8 of it below; half of that at dawn
    dither: float = 30.0  # px, each axis, not in the header
    drift: float = 0.0  # px over the night, across both axes of the sensor, not in the header
    pointing_error: float = 4.0  # arcmin, of the commanded position in the header
    exposure: float = 10.0  # s
    satellites: float = 0.2  # share of the subs with a trail
    clouded: float = 0.0  # share of the subs behind cloud with a gradient
    trailed: float = 0.0  # share of the subs with trailed stars

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
