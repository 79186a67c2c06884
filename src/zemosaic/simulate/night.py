"""The night: where every sub points, its weather and accidents, its header, and the files."""

from __future__ import annotations

import math
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from astropy.coordinates import FK5, Angle, SkyCoord
from astropy.io.fits import Header
from astropy.time import Time

from zemosaic.catalogue import load_catalogue
from zemosaic.errors import Cancelled, OutputError
from zemosaic.events import PhaseFinished, PhaseProgress, PhaseStarted, Reporter, Simulated
from zemosaic.execution import run_each
from zemosaic.fits_writer import write_fits
from zemosaic.imaging.projection import linear_inverse, moved, pixel_to_sky
from zemosaic.model import Distortion, Solution
from zemosaic.simulate.calibration import CalibrationShot, calibration_header, calibration_shots, shoot
from zemosaic.simulate.camera import hot_pixels, raw_frame
from zemosaic.simulate.plan import NightPlan
from zemosaic.simulate.sky import Disc, StarSource, draw_nebula, draw_stars
from zemosaic.simulate.truth import Instrument, Sub, Trail, Truth, load_truth, save_truth

__all__ = ["Night", "imagine", "simulate_night"]

START = datetime(2025, 3, 27, 1, 20, 32, 955368)  # UTC
OVERHEAD = 1.3  # s, between the end of a sub and the start of the next
LOCAL = timedelta(hours=-4)  # of the clock in the file names
DRIFT = (0.8, 0.6)  # direction in the frame: along neither its rows nor its columns
SKY_COLOURS = (0.85, 1.0, 0.8)  # R, G, B
NOMINAL_OVER_TRUE = 1.008  # scale of the header over the true one, measured on real subs
SECOND_ANGLE = 69.5  # deg, between the fields of two telescopes
SCALE_STEP = 0.0015  # relative, between two telescopes
RED_SHIFT = -0.8  # of the blue one
ZENITH = 25.0  # deg, its direction from north on the sky
LIKE_AN_S30 = 1.3  # times the pixel size of an S50
SERIALS = ("1d3fe189", "12d98769", "3f0a77c2", "4be2910d", "5c41d8ea", "67f0b3a5", "7a9c2e16", "8d05f47b", "9e6b18c3")


@dataclass(frozen=True)
class Night:
    """What `simulate_night` wrote."""

    lights: Path  # folder of the raw subs
    truth: Path  # truth.json
    subs: tuple[Path, ...]
    seconds: float
    calibration: Path | None = None  # folder of the darks, biases and flats, where the plan has some


@dataclass(frozen=True)
class _Task:
    truth: Path
    index: int
    path: Path
    shot: CalibrationShot | None = None  # None: a sub


def simulate_night(output: Path, plan: NightPlan, reporter: Reporter, executor: Executor | None = None) -> Night:
    """Write the subs of a night to `output/lights` and the truth to `output/truth.json` and `.npz`.

    Darks, biases and flats go to `output/calibration` when the plan asks for them.

    The same plan gives the same bytes, whatever the executor.

    Raises
    ------
    OutputError
        The folder cannot be written.
    Cancelled
        The reporter asked to stop.
    """
    began = time.monotonic()
    lights, calibration, path = output / "lights", output / "calibration", output / "truth.json"
    truth = imagine(plan, load_catalogue())
    shots = _shots(truth)
    total = plan.subs + len(shots)
    reporter.emit(PhaseStarted("simulate", total, "subs"))
    try:
        lights.mkdir(parents=True, exist_ok=True)
        _remove_former(lights, calibration, path)
        for shot in shots:
            (calibration / shot.name).parent.mkdir(parents=True, exist_ok=True)
        save_truth(path, truth)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror}); choose another output folder.") from error
    tasks = [_Task(path, index, lights / sub.name) for index, sub in enumerate(truth.subs)]
    tasks += [_Task(path, index, calibration / shot.name, shot) for index, shot in enumerate(shots)]
    results = map(_write, tasks) if executor is None else run_each(executor, _write, tasks)
    written: list[Path] = []
    for result in results:
        written.append(result)
        reporter.emit(PhaseProgress("simulate", len(written), total, result.name))
        if reporter.cancelled():
            raise Cancelled("Stopped while simulating the night; the subs written so far are whole.")
    seconds = time.monotonic() - began
    panels = len({sub.panel for sub in truth.subs})
    reporter.emit(PhaseFinished("simulate", seconds, Simulated(plan.subs, panels, len(truth.stars.ra), lights, path)))
    return Night(lights, path, tuple(written[: plan.subs]), seconds, calibration if shots else None)


def _shots(truth: Truth) -> list[CalibrationShot]:
    return list(calibration_shots(truth.plan, tuple(i.serial for i in truth.instruments)))


def _remove_former(lights: Path, calibration: Path, path: Path) -> None:
    """Remove what an earlier simulation wrote here, by its truth file, and nothing else."""
    if path.is_file():
        former = load_truth(path)
        for sub in former.subs:
            (lights / sub.name).unlink(missing_ok=True)
        for shot in _shots(former):
            (calibration / shot.name).unlink(missing_ok=True)


def _write(task: _Task) -> Path:
    truth = load_truth(task.truth)
    if task.shot is not None:
        frame = shoot(truth, task.shot, np.random.default_rng([truth.plan.seed, 6, task.index]))
        write_fits(task.path, calibration_header(truth, task.shot), frame.shape, [frame], np.uint16)
        return task.path
    sub = truth.subs[task.index]
    frame = raw_frame(truth, sub, np.random.default_rng([truth.plan.seed, 1, task.index]))
    write_fits(task.path, _header(truth, sub), frame.shape, [frame], np.uint16)
    return task.path


def imagine(plan: NightPlan, source: StarSource) -> Truth:
    """Draw the whole truth of a night; a function of the plan alone."""
    sky_rng, camera_rng = (np.random.default_rng([plan.seed, 0, k]) for k in (0, 1))
    panels = _panels(plan)
    reach = (plan.radius * plan.scale + (2.0 * plan.dither + plan.drift) * plan.scale) / 3600.0
    middle = max(_distance(plan, ra, dec) for ra, dec in panels[: plan.panels_x * plan.panels_y])
    discs = [Disc(plan.ra, plan.dec, middle + reach)]
    discs += [Disc(ra, dec, reach) for ra, dec in panels[plan.panels_x * plan.panels_y :]]
    stars = draw_stars(plan, source, discs, sky_rng)
    nebula = draw_nebula(plan, min(2.0 * discs[0].radius, 5.0), sky_rng)
    instruments = tuple(_instrument(plan, k) for k in range(plan.instruments))
    hot = tuple(hot_pixels(plan, camera_rng) for _ in instruments)
    subs = tuple(_sub(plan, instruments, panels, index) for index in range(plan.subs))
    return Truth(plan, instruments, subs, stars, nebula, hot)


def _distance(plan: NightPlan, ra: float, dec: float) -> float:
    here = SkyCoord(plan.ra, plan.dec, unit="deg")
    return float(here.separation(SkyCoord(ra, dec, unit="deg")).deg)


def _solution(plan: NightPlan, angle: float, scale: float) -> Solution:
    """A frame on the centre of the mosaic: east along +x at angle 0 when mirrored."""
    step, turn = scale / 3600.0, math.radians(angle)
    east = 1.0 if plan.mirrored else -1.0
    cos, sin = math.cos(turn), math.sin(turn)
    cd = (step * east * cos, -step * sin, step * east * sin, step * cos)
    x, y = 0.5 * (plan.width - 1), 0.5 * (plan.height - 1)
    k3 = plan.distortion / plan.radius
    return Solution(plan.ra, plan.dec, x, y, cd, Distortion(k3=k3, radius=plan.radius), solver="truth", rms=0.0)


def _panels(plan: NightPlan) -> list[tuple[float, float]]:
    """Sky positions of the panels' centres, row by row, the isolated one last."""
    middle = replace(_solution(plan, plan.angle, plan.scale), distortion=Distortion())
    step_x, step_y = plan.width * (1.0 - plan.overlap), plan.height * (1.0 - plan.overlap)
    j, i = np.mgrid[0 : plan.panels_y, 0 : plan.panels_x]
    x = middle.x + step_x * (i.ravel() - 0.5 * (plan.panels_x - 1))
    y = middle.y + step_y * (j.ravel() - 0.5 * (plan.panels_y - 1))
    ra, dec = pixel_to_sky(middle, x, y)
    centres = [(float(a), float(d)) for a, d in zip(ra, dec, strict=True)]
    if plan.isolated > 0.0:
        far = SkyCoord(plan.ra, plan.dec, unit="deg").directional_offset_by(
            Angle(90, "deg"), Angle(plan.isolated, "deg")
        )
        centres.append((float(far.ra.deg), float(far.dec.deg)))
    return centres


def _instrument(plan: NightPlan, index: int) -> Instrument:
    """Vignetting mostly quadratic; every telescope a little different from the first."""
    loss = plan.vignetting * (1.0 + 0.1 * index)
    second = index % 2 == 1
    scale = plan.second_scale if second else 1.0
    tint = plan.second_colour if second else 0.0
    return Instrument(
        f"{_model(scale)}_{SERIALS[index]}",
        (-0.8 * loss, -0.2 * loss),
        (1.0 - 0.05 * index) / scale**2,  # the aperture of a shorter telescope of the same f-ratio is smaller
        (1.0 + tint, 1.0, 1.0 - tint),
        scale * (1.0 - SCALE_STEP * index),
    )


def _model(scale: float) -> str:
    return "S30" if scale > LIKE_AN_S30 else "S50"


def _sub(plan: NightPlan, instruments: tuple[Instrument, ...], panels: list[tuple[float, float]], index: int) -> Sub:
    rng = np.random.default_rng([plan.seed, 2, index])
    night = index / max(plan.subs - 1, 1)  # 0 at dusk, 1 at dawn
    panel, owner = index % len(panels), (index // len(panels)) % plan.instruments
    turned = plan.angle + SECOND_ANGLE * owner + plan.rotation * (night - 0.5)
    solution = _solution(plan, turned, plan.scale * instruments[owner].scale)
    pointed = moved(solution, *panels[panel])
    dither = rng.uniform(-plan.dither, plan.dither, 2) + plan.drift * (night - 0.5) * np.array(DRIFT)
    flat = replace(pointed, distortion=Distortion())
    ra, dec = pixel_to_sky(flat, flat.x + dither[0], flat.y + dither[1])
    date = START + timedelta(seconds=index * (plan.exposure + OVERHEAD))
    header_ra, header_dec = _commanded(plan, panels[panel], panel, owner, date)
    cloudy = rng.random() < plan.clouded
    clear = plan.transparency[0] + np.ptp(plan.transparency) * _wander(night, rng, 0.6)
    tilt, way = (rng.uniform(0.1, 0.35) if cloudy else 0.0), rng.uniform(0.0, 2.0 * np.pi)
    sky = _sky(plan, night, rng)
    smear, smear_way = (rng.uniform(5.0, 14.0) if rng.random() < plan.trailed else 0.0), rng.uniform(0.0, 2.0 * np.pi)
    local = (date + LOCAL + timedelta(seconds=plan.exposure)).strftime("%Y%m%d-%H%M%S")
    return Sub(
        name=f"Light_mosaic_{plan.target}_{plan.exposure:.1f}s_{plan.filter}_{local}.fit",
        panel=panel,
        instrument=owner,
        date_obs=date.isoformat(timespec="microseconds"),
        header_ra=header_ra,
        header_dec=header_dec,
        solution=moved(solution, float(ra), float(dec)),
        transparency=float(clear) * instruments[owner].sensitivity * (rng.uniform(0.5, 0.8) if cloudy else 1.0),
        cloud=(float(tilt * np.cos(way)), float(tilt * np.sin(way))),
        sky=sky,
        noise=tuple(math.sqrt(max(level[0], 0.0) / plan.gain + plan.read_noise_adu**2) for level in sky),
        fwhm=float(plan.fwhm[0] + np.ptp(plan.fwhm) * _wander(night, rng, 1.3)),
        trail=_trail(plan, rng),
        smear=(float(smear * np.cos(smear_way)), float(smear * np.sin(smear_way))),
        shift=_dispersed(plan, turned, night),
    )


def _dispersed(plan: NightPlan, angle: float, night: float) -> tuple[tuple[float, float], ...]:
    """Shift of each channel, px: towards the zenith, a direction on the sky that the field turns away from."""
    if plan.dispersion == 0.0:
        return ()
    way = math.radians(ZENITH)
    a, b, c, d = linear_inverse(_solution(plan, angle, plan.scale).cd)
    x, y = a * math.sin(way) + b * math.cos(way), c * math.sin(way) + d * math.cos(way)
    blue = plan.dispersion * (1.0 - 0.5 * night) / math.hypot(x, y)
    return (RED_SHIFT * blue * x, RED_SHIFT * blue * y), (0.0, 0.0), (blue * x, blue * y)


def _wander(night: float, rng: np.random.Generator, phase: float) -> float:
    """0..1: half slow over the night, half from sub to sub."""
    return 0.5 * (0.5 + 0.5 * math.sin(2.0 * math.pi * night + phase)) + 0.5 * float(rng.random())


def _sky(plan: NightPlan, night: float, rng: np.random.Generator) -> tuple[tuple[float, ...], ...]:
    """Level, a gradient and a saddle that turn against the field while the telescope follows the target."""
    level = plan.sky_level * (1.0 + 0.1 * math.sin(3.0 * night) + 0.02 * rng.standard_normal())
    way = math.radians(40.0 + plan.gradient_turn * night)
    share = rng.uniform(0.7, 1.0)
    slope, bend = plan.sky_gradient * share, plan.sky_curvature * share
    surfaces = []
    for k, colour in enumerate(SKY_COLOURS):
        c0 = level * colour
        turn = way + 0.15 * k  # city light is redder than the sky: the channels differ a little
        plane = float(c0), float(c0 * slope * math.cos(turn)), float(c0 * slope * math.sin(turn))
        square = float(c0 * bend * math.cos(2.0 * turn))  # u'^2 - v'^2 along and across the gradient
        product = float(2.0 * c0 * bend * math.sin(2.0 * turn))
        surfaces.append((*plane, square, product, -square) if bend else plane)
    return tuple(surfaces)


def _trail(plan: NightPlan, rng: np.random.Generator) -> Trail | None:
    """In a share of the subs, through a point of the middle half of the frame; 3 to 40 sigma of the sky."""
    there = rng.random() < plan.satellites
    x, y = rng.uniform(0.25, 0.75) * plan.width, rng.uniform(0.25, 0.75) * plan.height
    angle, strength = rng.uniform(0.0, math.pi), 3.0 * math.exp(rng.uniform(0.0, 2.6))
    if not there:
        return None
    return Trail(float(x), float(y), float(angle), float(strength * plan.sky_noise))


def _commanded(
    plan: NightPlan, centre: tuple[float, float], panel: int, owner: int, date: datetime
) -> tuple[float, float]:
    """RA and DEC of the header: where the mount believes to point, equinox of date; constant over a panel."""
    rng = np.random.default_rng([plan.seed, 3, panel, owner])
    way, error = rng.uniform(0.0, 360.0), plan.pointing_error * math.sqrt(rng.uniform(0.1, 1.0)) / 60.0
    place = SkyCoord(*centre, unit="deg").directional_offset_by(Angle(way, "deg"), Angle(error, "deg"))
    of_date = place.transform_to(FK5(equinox=Time(date.replace(microsecond=0))))
    return round(float(of_date.ra.deg), 6), round(float(of_date.dec.deg), 6)


def _header(truth: Truth, sub: Sub) -> Header:
    """The cards of a Seestar, in its order; no WCS, no word about the dither."""
    plan, instrument = truth.plan, truth.instruments[sub.instrument]
    model = f"Seestar {instrument.serial.split('_')[0]}"
    cards = [
        ("CREATOR", f"ZWO {model}", "Capture software"),
        ("PRODUCER", "ZWO", "Powered by ZWO"),
        ("XORGSUBF", 0, "Subframe X position in binned pixels"),
        ("YORGSUBF", 0, "Subframe Y position in binned pixels"),
        ("FOCALLEN", _focal_length(plan, instrument), "Focal length of telescope in mm"),
        ("APERTURE", 5.0, "Name of field of view aperture"),
        ("PROGRAM", "4.70" if plan.clipped else "4.27", "The name of the software task that created the"),
        ("XBINNING", 1, "Camera X Bin"),
        ("YBINNING", 1, "Camera Y Bin"),
        ("CCDXBIN", 1, "Camera X Bin"),
        ("CCDYBIN", 1, "Camera Y Bin"),
        ("XPIXSZ", 2.90000009536743, "pixel size in microns (with binning)"),
        ("YPIXSZ", 2.90000009536743, "pixel size in microns (with binning)"),
        ("IMAGETYP", "Light", "Type of image"),
        ("EXPOSURE", plan.exposure, "Exposure time in seconds"),
        ("EXPTIME", plan.exposure, "Exposure time in seconds"),
        ("CCD-TEMP", 25.125, "sensor temperature in C"),
        ("RA", sub.header_ra, "Object Right Ascension in degrees"),
        ("DEC", sub.header_dec, "Object Declination in degrees"),
        ("SITELONG", -79.7625, "longitude of the imaging site in degrees"),
        ("SITELAT", 32.8965, "latitude of the imaging site in degrees"),
        ("DATE-OBS", sub.date_obs, "Image created time"),
        ("FILTER", plan.filter, "Filter used when taking image"),
        ("INSTRUME", model, "Camera model"),
        ("BAYERPAT", plan.bayer, "Bayer pattern"),
        ("GAIN", 80, "Gain Value"),
        ("FOCUSPOS", 1555, "Focuser position in steps"),
        ("TELESCOP", instrument.serial, "Telescope name"),
        ("OBJECT", plan.target, "name or catalog number of object being imaged"),
        ("TOTALEXP", plan.exposure, "Total Exposure Time in seconds"),
    ]
    return Header(cards)


def _focal_length(plan: NightPlan, instrument: Instrument) -> int:
    """mm; 250 for the S50, whose nominal scale is 0.8 % more than the true one."""
    return max(1, round(206.265 * 2.9 / (plan.scale * instrument.scale * NOMINAL_OVER_TRUE)))
