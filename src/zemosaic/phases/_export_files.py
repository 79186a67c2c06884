"""The forms in which a mosaic can lie on the disk: axes, 16 bits, a file a colour, no data, compression."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from zemosaic.fits_writer import Scaling, pack, renew_header, write_fits

__all__ = ["COLOURS", "Format", "Writer"]

Pixels = NDArray[Any]
Strips = Callable[[], Iterable[Pixels]]  # row blocks from the first to the last, as often as asked
COLOURS = "RGB"
SPECTRAL = ("CTYPE3", "CRPIX3", "CRVAL3", "CD3_3")
AXIS_CARDS = ("CTYPE", "CRVAL", "CRPIX", "CUNIT")


@dataclass(frozen=True)
class Format:
    """How the files are written."""

    interleaved: bool = False  # NAXIS1 = 3
    planes: bool = False  # a 2-D file a colour
    integer: bool = False  # 16 bits with BSCALE and BZERO
    zero: bool = False  # no data is 0 instead of NaN or BLANK
    packed: bool = False  # tile-compressed, .fits.fz

    def passes(self, channels: int) -> int:
        """How often the mosaic's rows are read to be written."""
        return self.integer + (3 if self.planes and channels == 3 else 1)

    @property
    def ending(self) -> str:
        return ".fits.fz" if self.packed else ".fits"


class Writer:
    """Writes files of one format."""

    def __init__(self, form: Format) -> None:
        self.form = form

    def mosaic(self, base: Path, header: fits.Header, shape: tuple[int, ...], strips: Strips) -> tuple[Path, ...]:
        """The mosaic, as one file or one a colour; `base` is their path without the ending.

        shape : (h, w) or (3, h, w), as the strips and the header have it
        """
        scaling = _scaling(strips(), self.form.zero) if self.form.integer else None
        if len(shape) == 2 or not self.form.planes:
            interleaved = self.form.interleaved and len(shape) == 3
            cards = _interleaved(header) if interleaved else header
            return (self._write(base, cards, shape, strips(), np.float32, scaling, interleaved),)
        paths = []
        for k, colour in enumerate(COLOURS):
            plane = (strip[k] for strip in strips())
            path = base.with_name(f"{base.name}_{colour}")
            paths.append(self._write(path, _one_plane(header, colour), shape[1:], plane, np.float32, scaling, False))
        return tuple(paths)

    def renew(self, paths: Sequence[Path], header: fits.Header) -> None:
        """Give the files of a mosaic, as `mosaic` has returned them, other cards; `header` as it takes it."""
        if len(paths) > 1:
            for path, colour in zip(paths, COLOURS, strict=True):
                renew_header(path, _one_plane(header, colour))
        else:
            (path,) = paths
            colours = header["WCSAXES"] == 3
            renew_header(path, _interleaved(header) if self.form.interleaved and colours else header)

    def companion(
        self, base: Path, header: fits.Header, shape: tuple[int, ...], strips: Iterable[Pixels], dtype: type
    ) -> Path:
        """A map that goes with the mosaic, always planes and never scaled."""
        return self._write(base, header, shape, strips, dtype, None, False)

    def _write(
        self,
        base: Path,
        header: fits.Header,
        shape: tuple[int, ...],
        strips: Iterable[Pixels],
        dtype: type,
        scaling: Scaling | None,
        interleaved: bool,
    ) -> Path:
        path = base.with_name(f"{base.name}.fits")
        values = map(_zero_for_none, strips) if self.form.zero else strips
        write_fits(path, header, shape, values, dtype, scaling=scaling, interleaved=interleaved)
        if not self.form.packed:
            return path
        packed = base.with_name(f"{base.name}{self.form.ending}")
        pack(path, packed)
        return packed


def _zero_for_none(strip: Pixels) -> Pixels:
    return np.where(np.isfinite(strip), strip, strip.dtype.type(0))


def _scaling(strips: Iterable[Pixels], with_zero: bool) -> Scaling:
    """Steps that hold the whole range of the mosaic, and 0 where that stands for no data."""
    extremes = list(_extremes(strips))
    values = [value for pair in extremes for value in pair] + ([0.0] if with_zero else [])
    return Scaling.of_range(min(values), max(values)) if values else Scaling(0.0, 1.0)


def _extremes(strips: Iterable[Pixels]) -> Iterator[tuple[float, float]]:
    for strip in strips:
        known = np.isfinite(strip)
        if known.any():
            yield (
                float(np.min(strip, where=known, initial=math.inf)),
                float(np.max(strip, where=known, initial=-math.inf)),
            )


def _one_plane(header: fits.Header, colour: str) -> fits.Header:
    """The header of a colour by itself."""
    out = header.copy()
    out["WCSAXES"] = 2
    for key in SPECTRAL:
        out.remove(key, ignore_missing=True)
    out.insert("BUNIT", ("COLOUR", colour, "plane of the colour mosaic"))
    return out


def _interleaved(header: fits.Header) -> fits.Header:
    """The same with the colours as the first axis: the sky moves to the axes 2 and 3."""
    out = fits.Header()
    order = {1: 2, 2: 3, 3: 1}
    for card in header.cards:
        name = card.keyword
        if name[:-1] in AXIS_CARDS:
            card = fits.Card(f"{name[:-1]}{order[int(name[-1])]}", card.value, card.comment)
        elif name.startswith("CD") and name[3:4] == "_":
            card = fits.Card(f"CD{order[int(name[2])]}_{order[int(name[4])]}", card.value, card.comment)
        out.append(card, end=True)
    return out
