"""Room on the disk: how much there is, whether it is enough, folders that are made and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from zemosaic.errors import OutputError

__all__ = ["check_room", "made_folder", "remove", "room_for_samples"]

SPARE = 200 * 2**20  # bytes


def room_for_samples(folder: Path) -> int:
    """Bytes in `folder` that samples may take: half of what is free."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(folder).free // 2
    except OSError as error:
        raise OutputError(f"coadd_memmap_dir: cannot use {folder} ({error.strerror}); choose another folder") from error


def check_room(workspace: Path, planes: Path, planned: int, besides: int = 0) -> None:
    """Whether there is room for an assembly whose planes take `planned` bytes; `planes` is where those of earlier runs lie.

    besides : bytes of the large pictures
    """
    there = (p for p in planes.rglob("*") if p.is_file())
    free = shutil.disk_usage(workspace).free + sum(p.stat().st_size for p in there)
    needed = 2 * planned + besides + SPARE  # the workspace and the exported files hold the same planes once each
    if free < needed:
        raise OutputError(
            f"{workspace.parent}: the mosaic needs {needed / 2**30:.1f} GB of disk, {free / 2**30:.1f} GB "
            "are free; make room, or choose another output folder"
        )


def made_folder(folder: Path) -> Path:
    """The folder, made when it is absent; the one above it is there."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def remove(folder: Path, top: Path) -> None:
    """Remove a folder with all in it, and those above it, below `top`, that are empty then."""
    shutil.rmtree(folder)
    for parent in folder.parents:
        if parent == top or any(parent.iterdir()):
            return
        parent.rmdir()
