"""Export: the mosaic, its coverage and weight maps as FITS, and a preview as PNG.

Peak memory: about 5 x STRIP_BYTES while a FITS file is written, or 5 rows of chunks where these are more (12 bytes x 256 px x the
width, each); for the preview 40 bytes x PREVIEW_PIXELS.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from zemosaic.chunks import opened
from zemosaic.errors import Cancelled, OutputError
from zemosaic.events import PhaseProgress, Reporter
from zemosaic.imaging.lines import LineMix
from zemosaic.imaging.stretch import autostretch, block_mean
from zemosaic.model import Frame, Grid, Mosaic
from zemosaic.phases._export_files import Format, Writer

__all__ = ["Format", "Outputs", "Provenance", "export", "has_exposure", "mosaic_header", "rows_to_write"]

Pixels = NDArray[Any]

STRIP_BYTES = 12_000_000
PREVIEW_PIXELS = 4_500_000  # at most, about a field of the S50 twice
CARD_TEXT = 60  # characters of a joined value that still leave room for a comment or fit one card
HISTORY_TEXT = 70
AS_DEFAULT = Format()
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


@dataclass(frozen=True)
class Outputs:
    """The files that were written."""

    mosaic: Path
    coverage: Path
    weight: Path
    preview: Path
    rejected: Path | None = None  # two planes, when asked for
    exposure: Path | None = None  # None where no sub says how long it was
    planes: tuple[Path, ...] = ()  # green and blue, where each colour has a file; `mosaic` is red then
    lines: tuple[Path, ...] = ()  # of a dual-band mosaic: H-alpha, its weight, OIII, its weight

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (
            tuple(p for p in (self.mosaic, self.coverage, self.weight, self.preview, self.rejected, self.exposure) if p)
            + self.planes
            + self.lines
        )


def export(
    mosaic: Mosaic,
    frames: Sequence[Frame],
    provenance: Provenance,
    output: Path,
    reporter: Reporter,
    label: str = "",
    form: Format = AS_DEFAULT,
    lines: Sequence[LineMix] = (),
) -> Outputs:
    """Write the mosaic and its companions; each file is whole or absent.

    Parameters
    ----------
    frames
        Those of the run; the headers speak of the ones that are in `mosaic.frames`.
    output
        An existing folder.
    label
        Of the filter, for the names of the files; "" where there is one mosaic only.
    form
        How the files lie on the disk.
    lines
        Emission lines that get a mosaic of their own, of three planes.

    Raises
    ------
    OutputError
        A file cannot be written.
    Cancelled
        The user asked to stop; files that were finished stay.
    """
    contributing = set(mosaic.frames)
    used = [frame for frame in frames if frame.id in contributing]
    name = f"zemosaic_MT{provenance.groups}_R{len(used)}" + (f"_{label}" if label else "")
    grid, channels = mosaic.grid, opened(mosaic.data).shape[0]
    plane = grid.height, grid.width
    cube = plane if channels == 1 else (channels, *plane)
    rows = rows_to_write(grid.height, channels, mosaic.sides is not None, form, len(lines), has_exposure(used))
    progress = _Progress(reporter, rows)
    writer = Writer(form)

    def map_of(kind: str, source: Path, shape: tuple[int, ...], dtype: type, unit: str, what: str) -> Path:
        path = output / f"{name}_{kind}"
        progress.item = f"{path.name}{form.ending}"
        planes = channels if shape == cube else 1
        header = _companion_header(grid, planes, provenance, kind.upper(), unit, what)
        return writer.companion(
            path, header, shape, map(_no_data_is_zero, progress.counted(_strips(source, mosaic))), dtype
        )

    progress.item = f"{name}{form.ending}"
    header = mosaic_header(grid, channels, used, provenance)
    written = writer.mosaic(output / name, header, cube, lambda: progress.counted(_strips(mosaic.data, mosaic)))
    weight = map_of("weight", mosaic.weight, cube, np.float32, "adu**(-2)", "inverse variance")
    coverage = map_of("coverage", mosaic.coverage, plane, np.uint16, "count", "frames at this pixel")
    rejected = None
    if mosaic.sides is not None:
        what = "rejected: too dark, too bright"
        rejected = map_of("rejected", mosaic.sides, (2, *plane), np.uint16, "count", what)
    exposure = None
    if has_exposure(used):
        path = output / f"{name}_exposure"
        progress.item = f"{path.name}{form.ending}"
        header = _companion_header(grid, 1, provenance, "EXPOSURE", "s", "exposure of the frames at this pixel")
        exposure = writer.companion(path, header, plane, progress.counted(_seconds(mosaic, used)), np.float32)
    preview = output / f"{name}_preview.png"
    progress.item = preview.name
    _write_preview(preview, mosaic, provenance, progress)
    emission = [
        path for line in lines for path in _write_line(line, mosaic, used, provenance, output / name, writer, progress)
    ]
    return Outputs(written[0], coverage, weight, preview, rejected, exposure, written[1:], tuple(emission))


def _write_line(
    line: LineMix,
    mosaic: Mosaic,
    used: Sequence[Frame],
    provenance: Provenance,
    base: Path,
    writer: Writer,
    progress: _Progress,
) -> tuple[Path, Path]:
    """The mosaic of an emission line and its weight."""
    grid = mosaic.grid
    plane = grid.height, grid.width
    path = base.with_name(f"{base.name}_{line.name}")
    progress.item = f"{path.name}{writer.form.ending}"
    header = mosaic_header(grid, 1, used, provenance)
    for key in ("MAGZERO", "MAGZSCT"):  # of stars in green light
        header.remove(key, ignore_missing=True)
    header["LINE"] = (line.name, "emission line that this plane shows")
    for text in textwrap.wrap(line.origin, HISTORY_TEXT, subsequent_indent="  "):
        header.add_history(text)
    (data,) = writer.mosaic(
        path, header, plane, lambda: map(line.values, progress.counted(_strips(mosaic.data, mosaic)))
    )
    what = f"inverse variance of {line.name}"
    weight_header = _companion_header(grid, 1, provenance, "WEIGHT", "adu**(-2)", what)
    strips = map(line.weight, progress.counted(_strips(mosaic.weight, mosaic)))
    path = base.with_name(f"{base.name}_{line.name}_weight")
    return data, writer.companion(path, weight_header, plane, strips, np.float32)


def rows_to_write(height: int, channels: int, sides: bool, form: Format, lines: int = 0, exposure: bool = False) -> int:
    """Rows of all files together: what the progress of the export counts."""
    return height * (form.passes(channels) + 3 + sides + exposure + lines * (form.passes(1) + 1))


def has_exposure(used: Sequence[Frame]) -> bool:
    """Whether there is a map of the exposure: some frame says how long it was."""
    return _total_exposure(used) > 0.0


def _seconds(mosaic: Mosaic, used: Sequence[Frame]) -> Iterator[Pixels]:
    """Rows of the exposure in s: as it was added up, or the coverage times that of every frame."""
    if mosaic.seconds is not None:
        yield from _strips(mosaic.seconds, mosaic)
        return
    each = np.float32(_total_exposure(used) / len(used))
    for strip in _strips(mosaic.coverage, mosaic):
        yield strip.astype(np.float32) * each


class _Progress:
    """Counts the rows of all files, tells the reporter, and stops when the user asks."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total, self.done, self.item = reporter, total, 0, ""

    def counted(self, strips: Iterable[Pixels]) -> Iterator[Pixels]:
        """The same row blocks, counted when they have been dealt with."""
        for strip in strips:
            if self.reporter.cancelled():
                raise Cancelled("while the mosaic was written; the same command takes over what was measured")
            yield strip
            self.done += strip.shape[-2]
            self.reporter.emit(PhaseProgress("export", self.done, self.total, self.item))


def _strips(path: Path, mosaic: Mosaic, multiple: int = 1) -> Iterator[Pixels]:
    """Row blocks of the mosaic's part of an array of shape (h, w) or (c, h, w), a multiple of `multiple` rows each but the last.

    A row of its chunks is read at least, so that no chunk is read more than twice.
    """
    array, (top, left) = opened(path), mosaic.corner
    height, width = mosaic.grid.height, mosaic.grid.width
    planes = len(array.shape) - 2
    rows = max(STRIP_BYTES // (4 * math.prod(array.shape[:planes]) * width), array.chunks[-2], multiple)
    rows = rows // multiple * multiple
    for start in range(0, height, rows):
        part = slice(top + start, top + min(start + rows, height)), slice(left, left + width)
        yield array.read((*[slice(None)] * planes, *part))


def _no_data_is_zero(weight: Pixels) -> Pixels:
    return np.where(np.isfinite(weight), weight, weight.dtype.type(0))


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
        for part in textwrap.wrap(line, HISTORY_TEXT, subsequent_indent="  "):
            header.add_history(part)
    return header


def _companion_header(
    grid: Grid, channels: int, provenance: Provenance, name: str, unit: str, what: str
) -> fits.Header:
    header = _base_header(grid, channels, provenance)
    header["EXTNAME"] = (name, what)
    header["BUNIT"] = unit
    return header


def _base_header(grid: Grid, channels: int, provenance: Provenance) -> fits.Header:
    """Coordinates of the grid (Calabretta & Greisen 2002: FITS pixels count from 1) and the program's name."""
    header = fits.Header()
    header["WCSAXES"] = 2 if channels == 1 else 3
    header["CTYPE1"] = ("RA---TAN", "gnomonic projection")
    header["CTYPE2"] = ("DEC--TAN", "gnomonic projection")
    header["CRVAL1"] = (grid.ra, "[deg] right ascension of the tangent point")
    header["CRVAL2"] = (grid.dec, "[deg] declination of the tangent point")
    header["CRPIX1"] = (grid.x + 1, "[pix] of the tangent point")
    header["CRPIX2"] = (grid.y + 1, "[pix] of the tangent point")
    header["CD1_1"] = (-grid.scale, "[deg/pix] east is left")
    header["CD1_2"] = 0.0
    header["CD2_1"] = 0.0
    header["CD2_2"] = (grid.scale, "[deg/pix] north is up")
    header["CUNIT1"] = "deg"
    header["CUNIT2"] = "deg"
    if channels > 1:
        header["CTYPE3"] = ("RGB", "planes: red, green, blue")
        header["CRPIX3"] = 1.0
        header["CRVAL3"] = 1.0
        header["CD3_3"] = 1.0
    header["RADESYS"] = ("ICRS", "Tycho-2 at J2000 without proper motion")
    header["SOFTWARE"] = (f"ZeMosaic {provenance.version}", "made this file")
    return header


def _add_observation(header: fits.Header, used: Sequence[Frame]) -> None:
    """What was observed, with what, when and for how long; cards for what is not known are left out."""
    header["NCOMBINE"] = (len(used), "frames combined")
    header["EXPTIME"] = (_total_exposure(used), "[s] sum of all frames")
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
        f"{_hours(_total_exposure(used))} in total."
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
    yield f"Hash of the list of inputs: {provenance.input_hash}"


def _total_exposure(used: Sequence[Frame]) -> float:
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


def _joined(values: Iterable[str]) -> str:
    """Different values, the most frequent first, as many as fit a card; FITS knows ASCII only."""
    counts = Counter(value.strip().encode("ascii", "replace").decode() for value in values if value.strip())
    names = [name for name, _ in counts.most_common()]
    for kept in range(len(names), 0, -1):
        more = f" and {len(names) - kept} more" if kept < len(names) else ""
        text = ", ".join(names[:kept]) + more
        if len(text) <= CARD_TEXT:
            return text
    return names[0][:CARD_TEXT] if names else ""


def _write_preview(path: Path, mosaic: Mosaic, provenance: Provenance, progress: _Progress) -> None:
    """North up, east left; PNG rows begin at the top, FITS rows at the bottom."""
    data, weight = _small_mosaic(mosaic, progress)
    picture = autostretch(data, weight, overwrite=True)[::-1]
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", f"ZeMosaic {provenance.version}")
    temporary = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(np.ascontiguousarray(picture)).save(temporary, format="PNG", pnginfo=note)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose another output folder."
        ) from error


def _small_mosaic(mosaic: Mosaic, progress: _Progress) -> tuple[Pixels, Pixels]:
    """Block means of the mosaic, (channels, h, w), and of its weight over the channels, (h, w)."""
    factor = math.ceil(math.sqrt(mosaic.grid.width * mosaic.grid.height / PREVIEW_PIXELS))
    height, width = -(-mosaic.grid.height // factor), -(-mosaic.grid.width // factor)
    channels = opened(mosaic.data).shape[0]
    data, weight = np.empty((channels, height, width), np.float32), np.zeros((height, width), np.float32)
    row = 0
    strips = zip(
        progress.counted(_strips(mosaic.data, mosaic, factor)), _strips(mosaic.weight, mosaic, factor), strict=True
    )
    for values, weights in strips:
        rows = -(-values.shape[1] // factor)
        for channel in range(channels):
            small, total = block_mean(values[channel], weights[channel], factor)
            data[channel, row : row + rows] = small
            weight[row : row + rows] += total / channels
        row += rows
    return data, weight
