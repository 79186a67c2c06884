"""Headers of the files: coordinates, unit and zero point, the observation, how the mosaic was made."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from astropy.io import fits

from zemosaic.model import Frame, Grid
from zemosaic.projections import NAMES, parameters, pole_of

__all__ = ["Provenance", "add_history", "companion_header", "line_header", "mosaic_header", "total_exposure"]

CARD_TEXT = 60  # characters of a joined value that still leave room for a comment or fit one card
HISTORY_TEXT = 70
MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)


@dataclass(frozen=True)
class Provenance:
    """How the mosaic was made: only what was really applied. Texts are the names of the settings' choices."""

    groups: int  # panels
    listed: int  # light frames found
    normalization: str
    weighting: str
    rejection: str
    kappa_low: float  # sigma
    kappa_high: float
    combine: str
    assembly: str
    resampling: str
    pixfrac: float  # px of the frames; NaN without drizzle
    radial_weight: bool
    zero_point: float  # mag (VT) of 1 ADU; NaN when unknown
    zero_point_scatter: float  # mag
    version: str
    input_hash: str  # of the list of inputs (hex)
    solvers: tuple[tuple[str, int], ...]  # name, frames solved by it
    astrometric_rms: float  # arcsec against the catalogue; NaN when unknown
    relative_rms: float  # px per axis of the frames, stars above 20 sigma against their mean places; NaN when unknown
    changed: tuple[
        tuple[str, str], ...
    ] = ()  # names and values of settings that change pixels and differ from their defaults


def mosaic_header(grid: Grid, channels: int, used: Sequence[Frame], provenance: Provenance) -> fits.Header:
    """Cards of the mosaic: sky coordinates, unit and zero point, the observation, how it was made."""
    header = _base_header(grid, channels, provenance)
    header["BUNIT"] = ("adu", "of a raw frame, per mosaic pixel")
    if math.isfinite(provenance.zero_point):
        header["MAGZERO"] = (round(provenance.zero_point, 4), "[mag] Tycho-2 VT of a total of 1 adu")
    if math.isfinite(provenance.zero_point_scatter):
        header["MAGZSCT"] = (round(provenance.zero_point_scatter, 4), "[mag] scatter of the stars about MAGZERO")
    header["AST_REF"] = ("Tycho-2", "J2000 places, without proper motion")
    if math.isfinite(provenance.astrometric_rms):
        header["AST_RMS"] = (round(provenance.astrometric_rms, 3), "[arcsec] rms of stars against AST_REF")
    if math.isfinite(provenance.relative_rms):
        header["AST_REL"] = (round(provenance.relative_rms, 3), "[pix] per axis, rms of stars among the frames")
    _add_observation(header, used)
    header["NMASTILE"] = (provenance.groups, "groups of frames (panels)")
    header["NRAWINIT"] = (provenance.listed, "light frames found")
    header["NRAWPROC"] = (len(used), "light frames in this mosaic")
    _add_settings(header, provenance)
    for line in _history(used, provenance):
        add_history(header, line)
    return header


def add_history(header: fits.Header, line: str) -> None:
    """A line in as many cards as it takes."""
    for part in textwrap.wrap(line, HISTORY_TEXT, subsequent_indent="  "):
        header.add_history(part)


def line_header(grid: Grid, used: Sequence[Frame], provenance: Provenance, name: str, origin: str) -> fits.Header:
    """Cards of the mosaic of an emission line; `origin` says what it was made from."""
    header = mosaic_header(grid, 1, used, provenance)
    for key in ("MAGZERO", "MAGZSCT"):  # of stars in green light
        header.remove(key, ignore_missing=True)
    header["LINE"] = (name, "emission line that this plane shows")
    add_history(header, origin)
    return header


def companion_header(grid: Grid, channels: int, provenance: Provenance, name: str, unit: str, what: str) -> fits.Header:
    """Cards of a map that goes with the mosaic, called `name`."""
    header = _base_header(grid, channels, provenance)
    header["EXTNAME"] = (name, what)
    header["BUNIT"] = unit
    return header


def _base_header(grid: Grid, channels: int, provenance: Provenance) -> fits.Header:
    """Coordinates of the grid (Calabretta & Greisen 2002: FITS pixels count from 1) and the program's name."""
    header = fits.Header()
    header["WCSAXES"] = 2 if channels == 1 else 3
    for axis, name in (("1", "RA--"), ("2", "DEC-")):
        header[f"CTYPE{axis}"] = (f"{name}-{grid.projection}", f"{NAMES[grid.projection]} projection")
    header["CRVAL1"] = (grid.ra, "[deg] right ascension of the point of reference")
    header["CRVAL2"] = (grid.dec, "[deg] declination of the point of reference")
    header["CRPIX1"] = (grid.x + 1, "[pix] of the point of reference")
    header["CRPIX2"] = (grid.y + 1, "[pix] of the point of reference")
    straight = grid.rotation == 0.0
    header["CD1_1"] = (grid.matrix[0], "[deg/pix] east is left" if straight else "[deg/pix]")
    header["CD1_2"] = grid.matrix[1]
    header["CD2_1"] = grid.matrix[2]
    header["CD2_2"] = (grid.matrix[3], "[deg/pix] north is up" if straight else "[deg/pix]")
    header["PIXSCALE"] = (round(3600.0 * grid.scale, 6), "[arcsec/pix] at the point of reference")
    header["LONPOLE"] = (pole_of(grid.projection), "[deg] native longitude of the celestial pole")
    for key, value in parameters(grid.projection, grid.dec).items():
        header[key] = (value, "parameter of the projection")
    header["CUNIT1"] = "deg"
    header["CUNIT2"] = "deg"
    if channels > 1:
        header["CTYPE3"] = ("RGB", "planes: red, green, blue")
        header["CRPIX3"] = 1.0
        header["CRVAL3"] = 1.0
        header["CD3_3"] = 1.0
    header["RADESYS"] = ("ICRS", "Tycho-2 at J2000 without proper motion")
    header["EQUINOX"] = (2000.0, "[yr] without it Siril 1.0 drops the WCS")
    header["SOFTWARE"] = (f"ZeMosaic {provenance.version}", "made this file")
    return header


def _add_observation(header: fits.Header, used: Sequence[Frame]) -> None:
    """What was observed, with what, when and for how long; cards for what is not known are left out."""
    header["NCOMBINE"] = (len(used), "frames combined")
    header["EXPTIME"] = (total_exposure(used), "[s] sum of all frames")
    spans = [span for span in map(_span, used) if span is not None]
    if spans:
        first, last = min(start for start, _ in spans), max(end for _, end in spans)
        header["TIMESYS"] = "UTC"
        header["DATE-OBS"] = (_iso(first), "start of the first frame")
        header["DATE-BEG"] = (_iso(first), "start of the first frame")
        header["DATE-END"] = (_iso(last), "end of the last frame")
        header["MJD-OBS"] = (_mjd(first), "[d] of DATE-OBS")
        header["MJD-BEG"] = (_mjd(first), "[d] of DATE-BEG")
        header["MJD-END"] = (_mjd(last), "[d] of DATE-END")
    for keyword, values in (
        ("OBJECT", (frame.target for frame in used)),
        ("INSTRUME", (frame.camera for frame in used)),
        ("TELESCOP", (frame.telescope for frame in used)),
        ("FILTER", (frame.filter for frame in used)),
    ):
        text = _joined(values)
        if text:
            header[keyword] = text
    gains = {frame.gain for frame in used}
    if len(gains) == 1 and math.isfinite(gain := gains.pop()):
        header["GAIN"] = (gain, "the camera's setting, not e-/adu")


def _add_settings(header: fits.Header, provenance: Provenance) -> None:
    """What was really applied, under the names of the first release."""
    header["STK_NORM"] = (provenance.normalization, "photometric matching")
    header["STK_WGHT"] = (provenance.weighting, "weighting of the frames")
    header["STK_RADW"] = (provenance.radial_weight, "radial weighting")
    header["STK_REJ"] = (provenance.rejection, "rejection of outliers")
    if provenance.rejection != "none":
        header["STK_KLOW"] = (provenance.kappa_low, "[sigma] rejected below")
        header["STK_KHIG"] = (provenance.kappa_high, "[sigma] rejected above")
    header["STK_COMB"] = (provenance.combine, "combination of the samples")
    header["RESAMPLE"] = (provenance.resampling, "the one interpolation from frame to mosaic")
    if math.isfinite(provenance.pixfrac):
        header["PIXFRAC"] = (provenance.pixfrac, "[pix] of the frames, side of a drop")
    header["HIERARCH ZMASMBMTH"] = (provenance.assembly, "assembly method")


def _history(used: Sequence[Frame], provenance: Provenance) -> Iterator[str]:
    """The making of the mosaic in plain English."""
    yield (
        f"Mosaic of {len(used)} raw frames of {provenance.listed} found, in {provenance.groups} panel(s), "
        f"{_hours(total_exposure(used))} in total."
    )
    yield "Values are raw ADU per mosaic pixel at the transparency of the median frame."
    solvers = ", ".join(f"{name} {count}" for name, count in provenance.solvers)
    rms = provenance.astrometric_rms
    yield f"Astrometry: frames solved by {solvers or 'nobody'}. Positions are tied to Tycho-2 at J2000, without proper motions."
    against = f"{rms:.2f} arcsec rms against the catalogue" if math.isfinite(rms) else ""
    relative = provenance.relative_rms
    among = f"{relative:.3f} px per axis among the frames" if math.isfinite(relative) else ""
    if against or among:
        yield f"Stars agree to {' and '.join(filter(None, (against, among)))}."
    if math.isfinite(provenance.zero_point):
        yield f"Zero point: 1 adu is VT = {provenance.zero_point:.3f} +- {provenance.zero_point_scatter:.3f} mag."
    drops = f" in drops of {provenance.pixfrac:g} px" if math.isfinite(provenance.pixfrac) else ""
    kappas = f" ({provenance.kappa_low:g} sigma low, {provenance.kappa_high:g} high)"
    yield (
        f"Matching {provenance.normalization}; weights {provenance.weighting}"
        f"{', radial' if provenance.radial_weight else ''}; "
        f"rejection {provenance.rejection}{'' if provenance.rejection == 'none' else kappas}; "
        f"resampling {provenance.resampling}{drops}; combination {provenance.combine}; assembly {provenance.assembly}."
    )
    if provenance.changed:
        told = (f"{name} = {_ascii(value)}" for name, value in provenance.changed)
        yield f"Settings that change pixels and differ from their defaults: {'; '.join(told)}."
    yield f"Hash of the list of inputs: {provenance.input_hash}"


def total_exposure(used: Sequence[Frame]) -> float:
    """Seconds; frames of unknown exposure do not count."""
    return math.fsum(frame.exposure for frame in used if math.isfinite(frame.exposure))


def _hours(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _span(frame: Frame) -> tuple[datetime, datetime] | None:
    """Start and end of a frame, UTC; None when its time is not known."""
    try:
        start = datetime.fromisoformat(frame.date_obs)
    except ValueError:
        return None
    start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    return start, start + timedelta(seconds=frame.exposure if math.isfinite(frame.exposure) else 0.0)


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _mjd(moment: datetime) -> float:
    return round((moment - MJD_ZERO) / timedelta(days=1), 8)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _joined(values: Iterable[str]) -> str:
    """Different values, the most frequent first, as many as fit a card; FITS knows ASCII only."""
    counts = Counter(_ascii(value.strip()) for value in values if value.strip())
    names = [name for name, _ in counts.most_common()]
    for kept in range(len(names), 0, -1):
        more = f" and {len(names) - kept} more" if kept < len(names) else ""
        text = ", ".join(names[:kept]) + more
        if len(text) <= CARD_TEXT:
            return text
    return names[0][:CARD_TEXT] if names else ""
