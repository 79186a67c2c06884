"""The measurement file of a frame: its stars and its sky mesh, as one .npz in the workspace."""

from __future__ import annotations

import io
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zemosaic.chunks import put_file
from zemosaic.model import SkyMesh, Stars
from zemosaic.npz import load_arrays

__all__ = [
    "MEASURE_VERSION",
    "border_file",
    "is_measurement",
    "load_border",
    "load_damaged",
    "load_mesh",
    "load_stars",
    "save_border",
    "save_measurement",
]

MEASURE_VERSION = 5  # raise it with any change of what is measured on a frame: all are then measured anew
MEMBERS = {"mesh_mean.npy", "mesh_cell.npy", "damaged.npy", *(f"star_{field.name}.npy" for field in fields(Stars))}
STAR_COLUMNS = tuple(f"star_{field.name}" for field in fields(Stars))


def save_measurement(path: Path, stars: Stars, mesh: SkyMesh, damaged: NDArray[np.bool_] | None = None) -> None:
    """Write a file that is whole or absent, after a power cut too.

    damaged : (h, w), single hot and dead pixels; None for none

    Raises OutputError when that cannot be done.
    """
    columns = {f"star_{field.name}": getattr(stars, field.name) for field in fields(Stars)}
    places, file = np.flatnonzero([] if damaged is None else damaged).astype(np.uint32), io.BytesIO()
    np.savez(file, mesh_mean=mesh.mean, mesh_cell=mesh.cell, damaged=places, **columns)
    put_file(path, file.getvalue())


def border_file(measurement: Path) -> Path:
    """Where the distances of a stack's pixels from its border lie, beside its measurement."""
    return measurement.with_suffix(".border.npy")


def save_border(path: Path, distance: NDArray[np.uint16]) -> None:
    """Write (h, w) distances from the border, px; whole or absent."""
    file = io.BytesIO()
    np.save(file, distance)
    put_file(path, file.getvalue())


def load_border(path: Path, rows: slice) -> NDArray[np.uint16]:
    """Some rows of the distances."""
    return np.array(np.load(path, mmap_mode="r")[rows])


def is_measurement(path: Path) -> bool:
    """Whether the file is there and whole, as far as its table of contents tells (it is written last)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return MEMBERS.issubset(archive.namelist())
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return False


def load_stars(path: Path) -> Stars:
    """The stars of a frame."""
    return Stars(**{name.removeprefix("star_"): column for name, column in load_arrays(path, STAR_COLUMNS).items()})


def load_damaged(path: Path) -> NDArray[np.int64]:
    """Flat places of the single hot and dead pixels of a frame, rising."""
    return np.asarray(load_arrays(path, ("damaged",))["damaged"], np.int64)


def load_mesh(path: Path) -> SkyMesh:
    """The sky mesh of a frame."""
    table = load_arrays(path, ("mesh_mean", "mesh_cell"))
    return SkyMesh(mean=table["mesh_mean"], cell=int(table["mesh_cell"]))
