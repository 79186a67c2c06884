"""The measurement file of a frame: its stars and its sky mesh, as one .npz in the workspace."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from zemosaic.model import SkyMesh, Stars

__all__ = ["load_mesh", "load_stars", "save_measurement"]


def save_measurement(path: Path, stars: Stars, mesh: SkyMesh) -> None:
    """Write under a temporary name, then rename: the file is whole or absent."""
    temporary = path.with_suffix(".partial.npz")
    columns = {f"star_{field.name}": getattr(stars, field.name) for field in fields(Stars)}
    np.savez(temporary, mesh_mean=mesh.mean, mesh_cell=mesh.cell, **columns)
    temporary.replace(path)


def load_stars(path: Path) -> Stars:
    """The stars of a frame."""
    with np.load(path) as table:
        return Stars(**{field.name: table[f"star_{field.name}"] for field in fields(Stars)})


def load_mesh(path: Path) -> SkyMesh:
    """The sky mesh of a frame."""
    with np.load(path) as table:
        return SkyMesh(mean=table["mesh_mean"], cell=int(table["mesh_cell"]))
