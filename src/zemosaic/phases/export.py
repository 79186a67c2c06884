"""Export: the mosaic, its coverage and weight maps as FITS, and a preview as PNG.

Peak memory: about 5 x STRIP_BYTES while a FITS file is written, or 5 rows of chunks where these are more (12 bytes x 256 px x the
width, each); for the preview 40 bytes x PREVIEW_PIXELS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zemosaic.chunks import opened
from zemosaic.events import Reporter
from zemosaic.imaging.lines import LineMix
from zemosaic.model import Frame, Mosaic
from zemosaic.names import PREVIEW
from zemosaic.phases._export_files import Format, Writer
from zemosaic.phases._export_header import Provenance, add_history, companion_header, mosaic_header, total_exposure
from zemosaic.phases._export_preview import write_preview
from zemosaic.phases._export_strips import Pixels, Progress, no_data_is_zero, seconds, strips

__all__ = ["Format", "Outputs", "Provenance", "export", "has_exposure", "rows_to_write"]

AS_DEFAULT = Format()


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
    channels = opened(mosaic.data).shape[0]
    rows = rows_to_write(mosaic.grid.height, channels, mosaic.sides is not None, form, len(lines), has_exposure(used))
    files = _Files(mosaic, used, provenance, output / name, form, Progress(reporter, rows))
    first, *planes = files.mosaic()
    return Outputs(
        first,
        weight=files.weight(),
        coverage=files.coverage(),
        rejected=files.rejected(),
        exposure=files.exposure(),
        preview=files.preview(),
        planes=tuple(planes),
        lines=tuple(path for line in lines for path in files.line(line)),
    )


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

    def preview(self) -> Path:
        path = self._path(PREVIEW)
        self._progress.item = path.name
        write_preview(path, self._mosaic, self._provenance.version, self._progress)
        return path

    def line(self, line: LineMix) -> tuple[Path, Path]:
        """The mosaic of an emission line and its weight."""
        grid = self._mosaic.grid
        path = self._announced(self._path(f"_{line.name}"))
        header = mosaic_header(grid, 1, self._used, self._provenance)
        for key in ("MAGZERO", "MAGZSCT"):  # of stars in green light
            header.remove(key, ignore_missing=True)
        header["LINE"] = (line.name, "emission line that this plane shows")
        add_history(header, line.origin)
        (data,) = self._writer.mosaic(
            path, header, self._plane, lambda: map(line.values, self._rows(self._mosaic.data))
        )
        what = f"inverse variance of {line.name}"
        header = companion_header(grid, 1, self._provenance, "WEIGHT", "adu**(-2)", what)
        rows = map(line.weight, self._rows(self._mosaic.weight))
        path = self._path(f"_{line.name}_weight")
        return data, self._writer.companion(path, header, self._plane, rows, np.float32)


def rows_to_write(height: int, channels: int, sides: bool, form: Format, lines: int = 0, exposure: bool = False) -> int:
    """Rows of all files together: what the progress of the export counts."""
    return height * (form.passes(channels) + 3 + sides + exposure + lines * (form.passes(1) + 1))


def has_exposure(used: Sequence[Frame]) -> bool:
    """Whether there is a map of the exposure: some frame says how long it was."""
    return total_exposure(used) > 0.0
