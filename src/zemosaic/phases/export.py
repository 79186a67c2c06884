"""Export: the mosaic, its coverage and weight maps as FITS, a preview as PNG, and larger pictures where they are asked for.

Peak memory: about 5 x STRIP_BYTES while a FITS file is written, or 5 rows of chunks where these are more (12 bytes x 256 px x the
width, each); for the preview 40 bytes x PREVIEW_PIXELS; for larger pictures see `_export_pictures`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zemosaic.chunks import opened
from zemosaic.events import Reporter, Warned
from zemosaic.imaging.lines import LineMix
from zemosaic.model import Frame, Grid, Mosaic
from zemosaic.names import PREVIEW
from zemosaic.phases._export_files import COLOURS, Format, Writer
from zemosaic.phases._export_header import Provenance, companion_header, line_header, mosaic_header, total_exposure
from zemosaic.phases._export_healpix import has_healpix
from zemosaic.phases._export_hips import MARK, About, Collected, Planes, own_tiles, write_hips
from zemosaic.phases._export_pictures import Band, Developer, JpegFile, tiff_strips, write_tiff
from zemosaic.phases._export_preview import Pictures, write_preview
from zemosaic.phases._export_strips import Pixels, Progress, no_data_is_zero, seconds, strips
from zemosaic.phases._export_zoom import PAGE, Tiles, own_pages

__all__ = [
    "Format",
    "Outputs",
    "Pictures",
    "Provenance",
    "export",
    "has_exposure",
    "has_healpix",
    "own_files",
    "renew_headers",
    "rows_to_write",
    "strips",
]

UNFINISHED = (".part", ".pixels")  # how the names of files end that are being written
AS_DEFAULT, PREVIEW_ONLY = Format(), Pictures()


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
    thumbnail: Path | None = None  # None in outputs of older versions
    tiff: Path | None = None  # these three: when asked for
    jpeg: Path | None = None
    zoom: Path | None = None  # the page; its tiles lie in the folder with it
    hips: tuple[Path, ...] = ()  # `properties` of each HiPS, whose tiles lie with them

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them but tiles."""
        maps = (self.mosaic, self.coverage, self.weight, self.preview, self.rejected, self.exposure)
        pictures = (self.thumbnail, self.tiff, self.jpeg, self.zoom)
        return (*filter(None, maps), *self.planes, *self.lines, *filter(None, pictures), *self.hips)

    @property
    def and_tiles(self) -> tuple[Path, ...]:
        """All of them."""
        tiles = [path for mark in (*filter(None, [self.zoom]), *self.hips) for path in own_files(mark) if path != mark]
        return (*self.files, *tiles)

    def replaced_by(self, new: Outputs) -> tuple[Path, ...]:
        """Those of these files that `new` has in another form under the same name: another ending, or a file a colour."""
        if self.preview != new.preview:
            return ()
        pairs = (
            ((self.mosaic, *self.planes), (new.mosaic, *new.planes)),
            ((self.coverage,), (new.coverage,)),
            ((self.weight,), (new.weight,)),
            ((self.rejected,), (new.rejected,)),
            ((self.exposure,), (new.exposure,)),
            (self.lines, new.lines),
        )
        return tuple(path for old, now in pairs if any(now) for path in old if path and path not in now)


def export(
    mosaic: Mosaic,
    frames: Sequence[Frame],
    provenance: Provenance,
    output: Path,
    reporter: Reporter,
    label: str = "",
    form: Format = AS_DEFAULT,
    lines: Sequence[LineMix] = (),
    pictures: Pictures = PREVIEW_ONLY,
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
    pictures
        What pictures are written, and in which tone.

    Raises
    ------
    OutputError
        A file cannot be written.
    Cancelled
        The user asked to stop; files that were finished stay.
    """
    for leftover in (
        path for end in UNFINISHED for path in output.glob(f".zemosaic_MT*{end}")
    ):  # of a run that was killed
        leftover.unlink(missing_ok=True)
    contributing = set(mosaic.frames)
    used = [frame for frame in frames if frame.id in contributing]
    name = f"zemosaic_MT{provenance.groups}_R{len(used)}" + (f"_{label}" if label else "")
    channels = opened(mosaic.data).shape[0]
    rows = rows_to_write(
        mosaic.grid.height, channels, mosaic.sides is not None, form, len(lines), has_exposure(used), pictures
    )
    files = _Files(mosaic, used, provenance, output / name, form, Progress(reporter, rows))
    first, *planes = files.mosaic()
    outputs = Outputs(
        first,
        weight=files.weight(),
        coverage=files.coverage(),
        rejected=files.rejected(),
        exposure=files.exposure(),
        preview=output / f"{name}{PREVIEW}",
        thumbnail=output / f"{name}_thumbnail.jpg",
        planes=tuple(planes),
        lines=tuple(path for line in lines for path in files.line(line)),
    )
    return files.pictures(outputs, pictures)


class _Files:
    """Writes the files of one mosaic; their names begin with `base`."""

    def __init__(
        self,
        mosaic: Mosaic,
        used: Sequence[Frame],
        provenance: Provenance,
        base: Path,
        form: Format,
        progress: Progress,
    ) -> None:
        self._mosaic, self._used, self._provenance, self._base = mosaic, used, provenance, base
        self._writer, self._progress = Writer(form), progress
        self._channels, self._plane = opened(mosaic.data).shape[0], (mosaic.grid.height, mosaic.grid.width)
        self._cube = self._plane if self._channels == 1 else (self._channels, *self._plane)

    def _path(self, ending: str) -> Path:
        return self._base.with_name(f"{self._base.name}{ending}")

    def _announced(self, path: Path) -> Path:
        """The same, as what is being written."""
        self._progress.item = f"{path.name}{self._writer.form.ending}"
        return path

    def _rows(self, source: Path) -> Iterator[Pixels]:
        return self._progress.counted(strips(source, self._mosaic))

    def mosaic(self) -> tuple[Path, ...]:
        header = mosaic_header(self._mosaic.grid, self._channels, self._used, self._provenance)
        return self._writer.mosaic(
            self._announced(self._base), header, self._cube, lambda: self._rows(self._mosaic.data)
        )

    def weight(self) -> Path:
        return self._map("weight", self._cube, self._rows(self._mosaic.weight), "adu**(-2)", "inverse variance")

    def coverage(self) -> Path:
        rows = self._rows(self._mosaic.coverage)
        return self._map("coverage", self._plane, rows, "count", "frames at this pixel", np.uint16)

    def rejected(self) -> Path | None:
        """Two planes, when they were asked for."""
        if self._mosaic.sides is None:
            return None
        what, shape = "rejected: too dark, too bright", (2, *self._plane)
        return self._map("rejected", shape, self._rows(self._mosaic.sides), "count", what, np.uint16)

    def exposure(self) -> Path | None:
        """None where no frame says how long it was."""
        if not has_exposure(self._used):
            return None
        rows = self._progress.counted(seconds(self._mosaic, total_exposure(self._used) / len(self._used)))
        return self._map("exposure", self._plane, rows, "s", "exposure of the frames at this pixel")

    def _map(
        self, kind: str, shape: tuple[int, ...], rows: Iterable[Pixels], unit: str, what: str, dtype: type = np.float32
    ) -> Path:
        """A map that goes with the mosaic; NaN is 0 in it."""
        path = self._announced(self._path(f"_{kind}"))
        planes = self._channels if shape == self._cube else 1
        header = companion_header(self._mosaic.grid, planes, self._provenance, kind.upper(), unit, what)
        return self._writer.companion(path, header, shape, map(no_data_is_zero, rows), dtype)

    def pictures(self, outputs: Outputs, wanted: Pictures) -> Outputs:
        """The preview and its thumbnail, and the large pictures that are asked for."""
        self._progress.item, version = outputs.preview.name, self._provenance.version
        assert outputs.thumbnail is not None
        look = write_preview(outputs.preview, outputs.thumbnail, self._mosaic, wanted, version, self._progress)
        made = replace(
            outputs,
            tiff=self._path(".tif") if wanted.tiff else None,
            jpeg=self._path(".jpg") if wanted.jpeg else None,
            zoom=self._path("_zoom") / PAGE if wanted.zoom else None,
            hips=self._hips(wanted),
        )
        if wanted.large:
            self._large(made, Developer(self._mosaic, wanted, look), wanted)
        if wanted.hips == "fits":
            self._tiled(made, Planes(self._mosaic), wanted)
        return made

    def _hips(self, wanted: Pictures) -> tuple[Path, ...]:
        """One HiPS of pictures, and of the colours of FITS tiles one each."""
        several = wanted.hips == "fits" and self._channels > 1
        names = [f"_hips_{colour}" for colour in COLOURS] if several else ["_hips"]
        return tuple(self._path(name) / MARK for name in names) if wanted.hips != "none" else ()

    def _tiled(self, made: Outputs, source: Planes | Collected, wanted: Pictures) -> None:
        """Write what `made.hips` names."""
        self._progress.item = ", ".join(path.parent.name for path in made.hips)
        told, about = self._provenance, list[About]()
        for colour, path in zip(COLOURS, made.hips, strict=False):
            title = f"{self._title()} {colour}" if len(made.hips) > 1 else self._title()
            about.append(About(title, path.parent.name, told.version, told.input_hash))
        write_hips([path.parent for path in made.hips], source, wanted.hips, about, self._progress)

    def _large(self, made: Outputs, developer: Developer, wanted: Pictures) -> None:
        """Each band of the picture goes into all files that want it."""
        self._progress.item = ", ".join(
            path.name for path in (made.tiff, made.jpeg, made.zoom and made.zoom.parent) if path
        )
        with ExitStack() as opened_files:
            jpeg = opened_files.enter_context(JpegFile(made.jpeg, developer)) if made.jpeg else None
            scratch = self._base.with_name(f".{self._base.name}_hips.pixels")
            hips = opened_files.enter_context(Collected(scratch, self._mosaic.grid)) if wanted.tiled else None
            tiles = Tiles(made.zoom.parent, self._mosaic.grid, self._title()) if made.zoom else None

            def bands() -> Iterator[Band]:
                for band in developer.bands(self._progress):
                    if jpeg or tiles or hips:
                        self._hand_on(band, jpeg, tiles, hips)
                    yield band

            if made.tiff:
                strips_of_all = (strip for band in bands() for strip in tiff_strips(band, wanted.clear))
                write_tiff(made.tiff, developer, strips_of_all, wanted.clear, f"ZeMosaic {self._provenance.version}")
            else:
                deque(bands(), maxlen=0)
            if jpeg:
                jpeg.finish()
            if tiles:
                tiles.finish()
            if hips:
                self._tiled(made, hips, wanted)
        if jpeg and jpeg.shrink > 1 and made.jpeg:
            self._progress.reporter.emit(Warned(_too_large(made.jpeg, developer, jpeg.shrink)))

    @staticmethod
    def _hand_on(band: Band, jpeg: JpegFile | None, tiles: Tiles | None, hips: Collected | None) -> None:
        picture = band.eight_bit()
        if jpeg:
            jpeg.add(picture)
        if tiles:
            tiles.add(picture)
        if hips:
            hips.add(picture, band.covered)

    def _title(self) -> str:
        """Of pages and tiles: what most frames state as their object, else the name of the files."""
        names = Counter(frame.target for frame in self._used if frame.target)
        return names.most_common(1)[0][0] if names else self._base.name

    def line(self, line: LineMix) -> tuple[Path, Path]:
        """The mosaic of an emission line and its weight."""
        grid = self._mosaic.grid
        path = self._announced(self._path(f"_{line.name}"))
        header = line_header(grid, self._used, self._provenance, line.name, line.origin)
        (data,) = self._writer.mosaic(
            path, header, self._plane, lambda: map(line.values, self._rows(self._mosaic.data))
        )
        what = f"inverse variance of {line.name}"
        header = companion_header(grid, 1, self._provenance, "WEIGHT", "adu**(-2)", what)
        rows = map(line.weight, self._rows(self._mosaic.weight))
        path = self._path(f"_{line.name}_weight")
        return data, self._writer.companion(path, header, self._plane, rows, np.float32)


def renew_headers(
    outputs: Outputs,
    grid: Grid,
    channels: int,
    used: Sequence[Frame],
    provenance: Provenance,
    form: Format,
    lines: Sequence[LineMix],
) -> None:
    """Write what headers say now into a mosaic, and its emission lines, whose pixels stay; each file is whole at any time.

    Raises
    ------
    OutputError
        A file cannot be read or written.
    """
    writer = Writer(form)
    writer.renew((outputs.mosaic, *outputs.planes), mosaic_header(grid, channels, used, provenance))
    for line, path in zip(lines, outputs.lines[::2], strict=True):  # each is followed by its weight
        writer.renew((path,), line_header(grid, used, provenance, line.name, line.origin))


def rows_to_write(
    height: int,
    channels: int,
    sides: bool,
    form: Format,
    lines: int = 0,
    exposure: bool = False,
    pictures: Pictures = PREVIEW_ONLY,
) -> int:
    """Rows of all files together: what the progress of the export counts."""
    shown = pictures.large + (pictures.hips != "none")
    return height * (form.passes(channels) + 3 + sides + exposure + lines * (form.passes(1) + 1) + shown)


def own_files(mark: Path) -> list[Path]:
    """What an earlier run has put beside the page to zoom into, or the `properties` of a HiPS, these first; else the file."""
    others = {PAGE: own_pages, MARK: own_tiles}.get(mark.name)
    return list(others(mark.parent)) if others else [mark]


def _too_large(path: Path, developer: Developer, shrink: int) -> str:
    return (
        f"{path.name}: the mosaic is {developer.width} x {developer.height} px, and a JPEG holds 65535 px at most along a side: "
        f"it is reduced to 1/{shrink}; the TIFF (picture_tiff) and the page to zoom into (picture_zoom) show all pixels"
    )


def has_exposure(used: Sequence[Frame]) -> bool:
    """Whether there is a map of the exposure: some frame says how long it was."""
    return total_exposure(used) > 0.0
