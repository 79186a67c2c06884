"""What is asked of the folders of a run before anything is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from zemosaic.errors import InputError, OutputError

__all__ = ["absolute", "check_inputs", "existing_parent", "why_no_output"]

FITS_NAME = re.compile(r"[^.].*\.(fit|fits|fts)(\.gz|\.fz)?", re.IGNORECASE)


def absolute(path: Path) -> Path:
    """The same for all ways to say it; a link to a file keeps its name, which tells lights from stacks."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def check_inputs(inputs: Sequence[Path]) -> None:
    """Raises InputError for one that is not there."""
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: this input does not exist; check the path (and that its disk is connected).")


def why_no_output(inputs: Sequence[Path], output: Path) -> str:
    """Why a folder must not be an output, in words: it is an input, or full of subs; "" when it may be.

    Raises OutputError when it cannot be read.
    """
    if output.exists() and any(path.exists() and path.samefile(output) for path in inputs):
        return f"{output} is input and output at once; nothing is ever written into an input: choose another"
    if not output.is_dir():
        return ""
    try:
        names = [path.name for path in output.iterdir()]
    except OSError as error:
        raise OutputError(f"cannot read the output folder {output}: {error.strerror}") from error
    ours = any(name.startswith(("zemosaic_MT", "zemosaic_workspace")) for name in names)
    if ours or not any(FITS_NAME.fullmatch(name) for name in names):
        return ""
    return (
        f"the output folder {output} holds FITS files and nothing of ZeMosaic: were input and output swapped? "
        "Subs come first, the output last"
    )


def existing_parent(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there already."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
